from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.tasks import booster, metrics, search
from treadle.tasks.booster import MatrixRows
from treadle.tasks.custom_loss import CustomLoss
from treadle.tasks.dataset.folds import dealt_folds
from treadle.tasks.search import Found, Trial, TuneSpec
from treadle.tasks.search.course import Course, LaneRows, lay_out
from treadle.tasks.search.space import (
    FLOORS,
    LARGE,
    NAMES,
    PACE_STEP,
    SMALL,
    early_rate,
    expected_pace,
    floor,
    portfolio,
    ranges,
    settled_pace,
)
from treadle.tasks.search.study import surely_behind

if TYPE_CHECKING:
    from collections.abc import Callable

FEATURES = ("a", "b", "c", "d")


def part(task: str, rows: int, seed: int, noise: float = 1.0) -> MatrixRows:
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(rows, 4)).astype(np.float32)
    signal = X[:, 0] + X[:, 1] * X[:, 2] + noise * draw.normal(size=rows)
    y = {"binary": signal > 0, "multiclass": np.digitize(signal, [-1, 1]), "regression": signal}[task]
    return MatrixRows(X, y.astype(np.float32))


def ignore(_trial: Trial, _done: int, _total: int, _left: float) -> None:
    """Listen to no trial."""


def rows_of(task: str, rows: int, noise: float = 1.0) -> MatrixRows:
    """Three quarters to fit and a quarter to measure."""
    first, second = part(task, rows, 1, noise), part(task, rows // 3, 2, noise)
    return MatrixRows(np.concatenate([first.X, second.X]), np.concatenate([first.y, second.y]))


def course_of(
    task: str, rows: MatrixRows, metric: str = "", *, folds: bool = False, settled: dict[str, float] | None = None
) -> Course:
    """The rows in five folds, or the last quarter apart."""
    at = np.arange(len(rows.y))
    sides = [(at < len(at) * 3 // 4, at >= len(at) * 3 // 4)]
    if folds:
        sides = [(np.isin(at, fold.fitted), np.isin(at, fold.answered)) for fold in dealt_folds(rows.y, 0)]
    lanes = [LaneRows(rows.take(fitted), rows.take(measured)) for fitted, measured in sides]
    fixed = booster.complete_parameters(task, settled or {}, classes=3, device="cpu", seed=0)
    metric = metric or metrics.default_metric(task)
    return lay_out(lanes, fixed, task=task, metric=metric, names=FEATURES, settled=tuple(settled or ()))


def hunt(
    storage: optuna.storages.BaseStorage | None = None,
    *,
    task: str = "binary",
    rows: int = 300,
    metric: str = "",
    trials: int = 7,
    budget: float = 600.0,
    seed: int = 0,
    folds: bool = False,
    settled: dict[str, float] | None = None,
    on_trial: Callable[[Trial, int, int, float], None] = ignore,
    **options: object,
) -> Found:
    return search.run_search(
        storage or optuna.storages.InMemoryStorage(),
        "hunt",
        lambda _device, _external: course_of(task, rows_of(task, rows), metric, folds=folds, settled=settled),
        spec=TuneSpec(trials=trials, budget_seconds=budget, seed=seed),
        device="cpu",
        on_trial=on_trial,
        **options,  # type: ignore[arg-type]
    )


def tried(found: Found) -> list[Trial]:
    """The trials that count, without what no clock repeats."""
    return [replace(trial, number=0, seconds=0, fit_seconds=0.0) for trial in found.trials if trial.state != "failed"]


@pytest.mark.parametrize("task", metrics.METRICS)
@pytest.mark.parametrize("folds", [False, True])
def test_a_search_finds_what_predicts(task: str, folds: bool) -> None:
    found = hunt(task=task, folds=folds)
    chosen = next(trial for trial in found.trials if trial.params == found.params)
    assert chosen.rounds == found.rounds
    if not found.members:
        assert chosen.value == found.value
    assert len(found.trials) == 7
    bar = {"binary": 0.75, "multiclass": 0.95, "regression": 1.4}[task]
    assert metrics.gain(metrics.default_metric(task), found.value, bar) > 0


@pytest.mark.parametrize(
    ("task", "metric"), [(task, name) for task, names in metrics.METRICS.items() for name in names]
)
def test_every_metric_can_be_searched_by(task: str, metric: str) -> None:
    found = hunt(task=task, metric=metric, trials=2, rows=150)
    assert np.isfinite(found.value)


def test_the_portfolio_comes_first_and_the_default_before_all() -> None:
    first = hunt(trials=4).trials
    expected = portfolio(FLOORS[0], 300)[:4]
    assert [{**trial.params, "learning_rate": 0} for trial in first] == [
        {**one, "learning_rate": 0} for one in expected
    ]
    assert [trial.params["learning_rate"] for trial in first[1:]] == [one["learning_rate"] for one in expected[1:]]


@pytest.mark.parametrize("rows", [SMALL - 1, SMALL, LARGE])
@pytest.mark.parametrize("lowest", FLOORS)
def test_the_portfolio_lies_within_the_ranges(rows: int, lowest: float) -> None:
    within = ranges(lowest, rows)
    assert tuple(within) == NAMES
    for setting in portfolio(lowest, rows):
        assert all(within[name]._contains(within[name].to_internal_repr(value)) for name, value in setting.items())


def test_learning_rates_rise_only_where_rounds_are_slow_for_the_budget() -> None:
    assert floor(20, 0.003) == 0.02
    assert floor(300, 0.1) == 0.02
    assert floor(20, 0.2) == 0.2
    assert floor(20, 60.0) == FLOORS[-1]
    assert early_rate(4.5, 0.001) == 0.02
    assert early_rate(4.5, 0.01) == 0.1
    assert early_rate(4.5, 0.1) == 0.3


@pytest.mark.parametrize(
    ("slower", "steps"), [(1.0, 0), (3.9, 0), (1 / 3.9, 0), (4.1, 1), (1 / 4.1, -1), (15.0, 1), (17.0, 2), (1 / 17, -2)]
)
def test_a_measured_pace_corrects_the_expected_one_only_by_whole_steps(slower: float, steps: int) -> None:
    assert settled_pace(0.03 * slower, 0.03) == pytest.approx(0.03 * PACE_STEP**steps)


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-9, 1e4), st.floats(1e-9, 1e4))
def test_a_settled_pace_lies_between_what_was_expected_and_measured(measured: float, expected: float) -> None:
    settled = settled_pace(measured, expected)
    low, high = sorted((measured, expected))
    assert low * (1 - 1e-9) <= settled <= high * (1 + 1e-9)
    assert measured / settled * (1 + 1e-9) >= 1 / PACE_STEP
    assert measured / settled <= PACE_STEP * (1 + 1e-9)


def test_a_larger_table_is_expected_to_take_longer() -> None:
    assert expected_pace(1_000, 10, 2_560, 1) < expected_pace(100_000, 10, 2_560, 1)
    assert expected_pace(1_000, 10, 2_560, 1) < expected_pace(1_000, 40, 10_240, 1)
    assert expected_pace(1_000, 10, 2_560, 3) == pytest.approx(3 * expected_pace(1_000, 10, 2_560, 1))


def test_a_slow_moment_of_the_machine_changes_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = hunt(rows=2_000, trials=3, budget=300)
    grow = search.course.Course.grow

    def disturbed(*given: object) -> float:
        time.sleep(0.002)
        return grow(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(search.course.Course, "grow", disturbed)
    busy = hunt(rows=2_000, trials=3, budget=300)
    assert busy.lowest_rate == quiet.lowest_rate > 0
    assert tried(busy) == tried(quiet)
    assert busy.repeatable
    assert quiet.repeatable


def test_all_trials_made_is_said_and_can_be_repeated() -> None:
    found = hunt(trials=3)
    assert (found.stopped, found.cut, found.repeatable) == ("trials", 0, True)
    assert found.why_stopped == "all 3 trials were made"
    assert {trial.ended for trial in found.trials} <= {"early stopping", "pruning", "rounds"}
    assert found.record()["search.trials"] == 3


def test_the_time_was_up_is_said_and_the_trial_that_it_ended_is_marked() -> None:
    found = hunt(rows=3_000, trials=10_000, budget=0.5)
    assert found.stopped == "budget"
    assert not found.repeatable
    assert any(trial.ended == "clock" for trial in found.trials) == (found.cut > 0)
    assert f"after {len(found.trials):,} of 10,000 trials" in found.why_stopped
    only = hunt(rows=3_000, trials=1, budget=0.001)
    assert (only.stopped, only.cut, only.repeatable) == ("trials", 1, False)
    assert only.why_stopped == "the only trial was made; the clock ended it"


def test_the_same_seed_makes_the_same_trials_and_another_makes_others() -> None:
    assert tried(hunt()) == tried(hunt())
    assert tried(hunt())[4:] != tried(hunt(seed=1))[4:]


@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_interrupted_anywhere_a_search_goes_on_as_if_it_had_not_been(tmp_path: Path, folds: bool, kept: bool) -> None:
    """With the answers of earlier trials kept as files, and without."""
    whole, answers = hunt(folds=folds), tmp_path / "answers" if kept else None
    storage = optuna.storages.InMemoryStorage()
    for stop in (1, 2, 5):

        def interrupt(_trial: Trial, done: int, _total: int, _left: float, stop: int = stop) -> None:
            if done == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            hunt(storage, folds=folds, on_trial=interrupt, answers=answers)
    resumed = hunt(storage, folds=folds, answers=answers)
    assert resumed.resumed == 5
    assert tried(resumed) == tried(whole)
    assert (resumed.members, resumed.rounds, resumed.value) == (whole.members, whole.rounds, whole.value)
    assert (tmp_path / "answers" / "0.npy").exists() == kept


def test_an_interrupted_trial_is_marked_and_its_slot_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    storage, rounds = optuna.storages.InMemoryStorage(), [0]
    grow = search.course.Course.grow

    def interrupted(*given: object) -> float:
        rounds[0] += 1
        if rounds[0] == 30:
            raise KeyboardInterrupt
        return grow(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(search.course.Course, "grow", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hunt(storage)
    found = hunt(storage)
    assert [trial.state for trial in found.trials][:2] == ["failed", "complete"]
    assert tried(found) == tried(hunt())


KILLED = """
import os, signal, sys
import optuna
from tests.tasks_.test_search import hunt
def die(trial, done, total, left):
    if done == 3:
        # the next trial is running, as if the power went
        optuna.load_study(study_name="hunt", storage=storage).ask()
        os.kill(os.getpid(), signal.SIGKILL)
storage = optuna.storages.RDBStorage(sys.argv[1])
hunt(storage, on_trial=die)
"""


def test_killed_a_search_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    root = Path(__file__).parents[2]
    dead = subprocess.run([sys.executable, "-c", KILLED, url], cwd=root, check=False, capture_output=True)
    assert dead.returncode == -9, dead.stderr.decode()
    resumed = hunt(optuna.storages.RDBStorage(url))
    assert resumed.resumed == 3
    assert [trial.state for trial in resumed.trials].count("failed") == 1
    assert tried(resumed) == tried(hunt())


def test_a_finished_search_makes_no_more_trials() -> None:
    storage = optuna.storages.InMemoryStorage()
    first, told = hunt(storage, trials=3), []
    again = hunt(storage, trials=3, on_trial=lambda trial, *_: told.append(trial))
    assert told == []
    assert (again.params, again.rounds, again.resumed) == (first.params, first.rounds, 3)


def test_seconds_of_an_earlier_run_count() -> None:
    storage = optuna.storages.InMemoryStorage()
    first = hunt(storage, trials=3)
    again = hunt(storage, trials=100, budget=first.seconds / 2)
    assert len(again.trials) == 3
    assert again.seconds >= sum(trial.seconds for trial in first.trials)


def test_the_budget_is_kept_and_told() -> None:
    told: list[tuple[int, int, float]] = []
    began = time.monotonic()
    found = hunt(rows=3_000, trials=10_000, budget=1.5, on_trial=lambda _, *progress: told.append(progress))
    assert time.monotonic() - began < 4
    assert 1 <= len(found.trials) < 10_000
    assert [done for done, _, _ in told] == list(range(1, len(found.trials) + 1))
    left = [seconds for *_, seconds in told]
    assert left == sorted(left, reverse=True)
    assert left[-1] < 1.5


def test_there_is_a_model_however_short_the_budget() -> None:
    found = hunt(rows=3_000, budget=0.001)
    assert len(found.trials) == 1
    assert found.rounds >= 1
    assert found.params["learning_rate"] > 0.08


def test_trials_are_pruned_on_one_lane_and_never_chosen() -> None:
    found = hunt(rows=2_500, trials=14)
    states = {trial.state for trial in found.trials}
    assert states <= {"complete", "pruned"}
    assert next(trial for trial in found.trials if trial.params == found.params).state == "complete"


def test_of_trials_that_are_equally_good_the_plainest_is_taken() -> None:
    """Labels of pure noise: whatever looks best is luck, and no larger model is worth its trees."""
    for seed in range(3):
        draw = np.random.default_rng(seed)
        rows = MatrixRows(draw.normal(size=(400, 4)).astype(np.float32), (np.arange(400) % 2).astype(np.float32))
        found = search.run_search(
            optuna.storages.InMemoryStorage(),
            "noise",
            lambda _device, _external, rows=rows: course_of("binary", rows, folds=True),
            spec=TuneSpec(trials=8, budget_seconds=60, seed=seed, ensemble="never"),
            device="cpu",
            on_trial=ignore,
        )
        sizes = sorted(trial.size for trial in found.trials)
        chosen = next(trial for trial in found.trials if trial.params == found.params)
        assert chosen.size <= sizes[len(sizes) // 2]


def test_a_far_better_trial_is_taken_whatever_its_size() -> None:
    found = hunt(task="regression", rows=1_500, trials=8, folds=True)
    best = min(trial.value for trial in found.trials if trial.value is not None)
    assert found.value <= best * 1.01


def test_several_trials_become_one_model_only_where_that_is_better() -> None:
    alone = hunt(rows=1_200, trials=8, folds=True)
    assert alone.members
    assert sum(setting.share for setting in alone.members) == pytest.approx(1.0)
    assert alone.value > alone.single_value
    best = max(trial.value for trial in alone.trials if trial.value is not None)
    assert alone.value >= best


def test_an_average_keeps_within_the_size_that_a_model_may_have() -> None:
    whole = hunt(rows=1_200, trials=8, folds=True)
    smallest = 5 * min(trial.size for trial in whole.trials)
    limit = search.Aftermath(max_size=float(smallest), bagged=True)
    bound = hunt(rows=1_200, trials=8, folds=True, aftermath=limit)
    assert bound.members == ()
    assert next(trial for trial in bound.trials if trial.params == bound.params).size <= smallest


def test_a_model_keeps_within_the_time_that_it_may_take() -> None:
    """A limit that no trial keeps changes nothing, and the gate has its say."""
    free = hunt(rows=600, trials=3, folds=True, aftermath=search.Aftermath(max_ms=1e6, bagged=True))
    assert all(trial.ms > 0 for trial in free.trials)
    strict = hunt(rows=600, trials=3, folds=True, aftermath=search.Aftermath(max_ms=1e-9, bagged=True))
    assert strict.members == ()


def test_the_champions_setting_follows_the_portfolio_as_far_as_the_ranges_go() -> None:
    earlier = {"learning_rate": 9.0, "max_depth": 3, "min_child_weight": 0.7}
    last = len(portfolio(FLOORS[0], 300))
    second = hunt(trials=last + 1, earlier=[earlier]).trials[last].params
    assert second["max_depth"] == 3
    assert second["min_child_weight"] == 0.7
    assert second["learning_rate"] == pytest.approx(0.3)
    assert set(second) == set(NAMES)


def test_the_fits_that_follow_are_left_their_time() -> None:
    """Twice the effort of fits, measured on the same machine in one run, ends the search earlier."""
    free = hunt(rows=3_000, trials=10_000, budget=3.0, folds=True)
    busy = hunt(rows=3_000, trials=10_000, budget=3.0, folds=True, aftermath=search.Aftermath(effort=2.4))
    assert busy.seconds < free.seconds
    assert busy.seconds < 3.0 * 0.9


def test_the_best_trial_is_left_the_time_of_its_fits_however_slow_they_are() -> None:
    study = optuna.create_study(direction="maximize")
    for value, seconds in ((0.7, 1.0), (0.8, 20.0), (0.75, 2.0)):
        outcome = {"value": value, "rounds": 9, "fit_seconds": seconds}
        study.add_trial(optuna.trial.create_trial(value=value, user_attrs={"outcome": outcome}))
    course, spec = course_of("binary", rows_of("binary", 100)), TuneSpec(budget_seconds=100)
    at_work = search.Search(study, course, spec, search.Aftermath(effort=2.0), deadline=time.monotonic() + 50, lap=0.0)
    assert at_work.seconds_left() < 50 - 2.0 * 20.0
    assert at_work.forecast(0) >= 2.0 * 20.0


def test_a_trial_that_cannot_become_the_best_ends_and_is_not_chosen() -> None:
    """The portfolio's slow settings learn little a round."""
    slow = {"learning_rate": 0.02, "max_depth": 2, "min_child_weight": 64.0, "reg_lambda": 50.0}
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="hunt", direction="maximize")
    for name, decided in {"first_rate": 0.02, "lowest_rate": 0.02, "fewest_rounds": 40}.items():
        study.set_user_attr(name, decided)
    found = hunt(storage, rows=1_000, trials=9, folds=True, earlier=[slow])
    whole = [trial for trial in found.trials if trial.ended != "pruning"]
    pruned = [trial for trial in found.trials if trial.ended == "pruning"]
    assert pruned
    assert all(trial.state == "pruned" for trial in pruned)
    best = max(trial.value or 0.0 for trial in whole)
    assert all((trial.value or 0.0) < best for trial in pruned)


def test_a_person_who_ends_the_search_at_once_gets_a_whole_first_trial() -> None:
    found = hunt(rows=600, trials=50, stop=lambda: True)
    assert len(found.trials) == 1
    assert found.stopped == "interrupt"
    assert found.trials[0].ended == "early stopping"
    assert found.rounds > 5


@pytest.mark.parametrize(
    ("curve", "behind"),
    [
        ([-1.0] * 10 + [-0.9] * 10, True),  # twice the rounds would give -0.8
        ([-1.0] * 10 + [-0.7] * 10, False),  # ... -0.4
        ([-0.4] * 20, False),  # ahead of the best
        ([-0.505] * 20, False),  # as good as the best
    ],
)
def test_a_trial_is_surely_behind_that_the_last_doubling_of_rounds_would_leave_behind(
    curve: list[float], behind: bool
) -> None:
    assert surely_behind(curve, -0.5) == behind
    assert not surely_behind(curve, float("-inf"))  # no trial is complete


def test_a_person_ends_the_search_and_its_best_is_the_model() -> None:
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 60

    found = hunt(rows=600, trials=50, stop=stop)
    assert found.stopped == "interrupt"
    assert found.trials[-1].ended == "interrupt"
    assert not found.repeatable
    assert found.why_stopped.startswith(f"ended by hand after {len(found.finished)} of 50 trials")
    assert found.rounds >= 1


def test_the_first_trial_ends_after_a_tenth_of_the_budget() -> None:
    found = hunt(task="multiclass", rows=20_000, trials=2, budget=2.0, folds=True)
    assert found.trials[0].ended == "clock"
    assert found.trials[0].value is not None
    assert hunt(task="multiclass", rows=200, trials=1, budget=60.0, folds=True).trials[0].ended != "clock"


def test_what_is_watched_is_a_smooth_loss_whatever_the_metric() -> None:
    for task, names in metrics.METRICS.items():
        for metric in names:
            course = course_of(task, rows_of(task, 60), metric)
            assert course.fixed["eval_metric"] in ("logloss", "mlogloss", "rmse")


@pytest.mark.parametrize(
    "settled", [{"max_depth": 3}, {"learning_rate": 0.05}, {"reg_lambda": 100.0, "subsample": 0.3}]
)
def test_what_a_person_has_set_no_trial_varies(settled: dict[str, float]) -> None:
    found = hunt(trials=9, settled=settled)
    for trial in found.trials:
        assert not set(settled) & set(trial.params)
    assert set(found.trials[-1].params) == set(NAMES) - set(settled)


def test_where_everything_is_set_one_trial_is_made() -> None:
    everything = dict(portfolio(0.1, 300)[0])
    found = hunt(trials=9, settled=everything)  # type: ignore[arg-type]
    assert len(found.trials) == 1
    assert (found.params, found.stopped) == ({}, "trials")


def expectile(margins: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors, of which those below the label weigh 19 times as much: its best start is far from the mean."""
    weight = np.where(y > margins, 0.95, 0.05)
    return 2 * weight * (margins - y), 2 * weight


def test_a_loss_of_ones_own_is_watched_itself() -> None:
    """RMSE is best at the mean, where this loss begins."""
    rows = rows_of("regression", 600)
    lanes = [LaneRows(rows.take(np.arange(600)), rows.take(np.arange(600, 800)))]
    fixed = booster.complete_parameters(
        "regression", {"base_score": float(rows.y.mean())}, classes=0, device="cpu", seed=0
    )

    def loss(margins: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.where(y > margins, 0.95, 0.05) * (y - margins) ** 2

    own = CustomLoss(name="mine:expectile", derivatives=expectile, loss=loss)
    found = search.run_search(
        optuna.storages.InMemoryStorage(),
        "own",
        lambda _device, _external: lay_out(lanes, fixed, task="regression", metric="rmse", names=FEATURES, custom=own),
        spec=TuneSpec(trials=1, budget_seconds=60),
        device="cpu",
        on_trial=ignore,
    )
    assert found.rounds > 30
