"""The Optuna study: which parameters, in which order, within which trials and seconds.

A study is a row of slots. The first ones hold the portfolio (`space`), a strong default before all; the others are
TPE's. The sampler is seeded anew from (seed, slot), so that a study which was killed and goes on makes the same
trials as one that was not. Where the measurement shows no difference, the default is chosen: `Search.choose`.

The first model comes early whatever the table: where rounds are slow for the budget, the learning rates of the whole
study are raised. How slow they are is calculated from the table, and measured only to correct it on machines that are
far faster or slower, so that neighbours on the machine change nothing. No trial takes more than `SHARE` of the budget;
one that the clock ended is marked, and `Found.stopped` says what ended the search.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from treadle.tasks.device import falls_back
from treadle.tasks.search.found import Found, Trial
from treadle.tasks.search.space import floor, portfolio, ranges, settled_pace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import optuna
    from xgboost import Booster

    from treadle.tasks.booster import MatrixRows
    from treadle.tasks.search.course import Course

__all__ = ["Found", "Search", "Trial", "TuneSpec", "run_search", "trials"]

MAX_ROUNDS = 2_000

SHARE = 0.4
"""The share of the budget after which a trial ends with what it has."""

NOISY = 5_000
"""Below this many measured rows a trial must beat the default beyond chance to be chosen."""

SURE, SURE_ON_ONE_LANE = 0.9, 0.99
"""In how many of the bootstrap's resamples it must: where rows are cross-validated, and where they are not."""

PACE_ROUNDS = 4

REPORT_EVERY = 1.0
"""A pruning report after every so much of (rounds x learning rate): trials are compared at equal progress."""


class TuneSpec(BaseModel):
    """How long to search, for what, from which seed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    trials: int = Field(40, ge=1, le=10_000, description="trials of the study")
    budget_seconds: float = Field(300, gt=0, description="seconds that the search may take in all")
    metric: str = Field("", description="what the search and the gate compare by; empty: the task's default")
    seed: int = Field(0, ge=0, description="seed of every random draw of the run")


@falls_back
def run_search(
    storage: optuna.storages.BaseStorage,
    study_name: str,
    train: MatrixRows,
    validation: MatrixRows,
    *,
    task: str,
    classes: int,
    names: Sequence[str],
    metric: str,
    spec: TuneSpec,
    device: str,
    monotone: Mapping[str, int],
    on_trial: Callable[[Trial, int, int, float], None],
    exchangeable: bool = False,
    external: bool = False,
) -> Found:
    """Search parameters within the trials and seconds of `spec`; those of an earlier, interrupted run count.

    `on_trial` is called with each trial that ended: the trial, how many are done, how many there may be, the seconds
    left. `exchangeable` says that a random split parted the rows: few of them are then cross-validated. The first
    trial is cut short by the budget's end, never thrown away, so there is always a model; the budget is overrun by
    one round at most. Ctrl-C passes through: the trial that it hit is marked as failed and made again next time.
    So is a trial for which the GPU's memory is too small: the study goes on elsewhere (`device.falls_back`), in
    `external` memory or on the CPU.
    """
    from treadle.tasks.search.course import lay_out

    began = time.monotonic()
    study = _open(storage, study_name, metric)
    past = [trial for trial in trials(study) if trial.state != "failed"]
    spent = sum(trial.seconds for trial in past)
    course = lay_out(
        train,
        validation,
        task=task,
        classes=classes,
        names=names,
        metric=metric,
        device=device,
        seed=spec.seed,
        monotone=monotone,
        exchangeable=exchangeable,
        external=external,
    )
    search = Search(study, course, spec, deadline=began + max(spec.budget_seconds - spent, 0.0), lap=began)
    for slot in range(len(past), spec.trials):
        if slot and search.seconds_left() <= 0:
            break
        search.attempt(slot)
        on_trial(trials(study)[-1], slot + 1, spec.trials, search.seconds_left())
    made = trials(study)
    chosen = search.choose([trial for trial in made if trial.state == "complete"])
    return Found(
        params=chosen.params,
        rounds=chosen.rounds,
        value=float(chosen.value or 0.0),
        trials=made,
        resumed=len(past),
        seconds=round(spent + time.monotonic() - began, 3),
        stopped="trials" if sum(trial.state != "failed" for trial in made) >= spec.trials else "budget",
        allowed=spec.trials,
        lowest_rate=float(study.user_attrs.get("lowest_rate", 0.0)),
        nthread=int(course.fixed["nthread"]),
    )


def trials(study: optuna.Study) -> tuple[Trial, ...]:
    """The trials that ended, oldest first."""
    from optuna.trial import TrialState

    states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    found = []
    for frozen in study.get_trials(deepcopy=False, states=tuple(states)):
        outcome = frozen.user_attrs.get("outcome", {})
        found.append(
            Trial(
                number=frozen.number,
                params=dict(frozen.params),
                value=outcome.get("value"),
                rounds=outcome.get("rounds", 0),
                seconds=outcome.get("seconds", 0.0),
                state=states[frozen.state],
                ended=outcome.get("ended", ""),
            )
        )
    return tuple(found)


def _open(storage: optuna.storages.BaseStorage, name: str, metric: str) -> optuna.Study:
    """The study, new or as it was left; trials that a kill left running are marked as failed."""
    import optuna
    from optuna.trial import TrialState

    from treadle.tasks.metrics import greater_is_better

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize" if greater_is_better(metric) else "minimize",
        # a median would stop shallow and slow trials, which start late and often win
        pruner=optuna.pruners.PercentilePruner(75.0, n_startup_trials=4, n_warmup_steps=7),
        load_if_exists=True,
    )
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(left.number, state=TrialState.FAIL)
    return study


@dataclass(slots=True)
class Search:
    """A study at work: `deadline` and `lap` (the end of the trial before) in seconds of the monotonic clock."""

    study: optuna.Study
    course: Course
    spec: TuneSpec
    deadline: float
    lap: float
    _answers: dict[int, np.ndarray] = field(default_factory=dict)

    def seconds_left(self) -> float:
        """Seconds until the budget ends, 0 when it has."""
        return max(self.deadline - time.monotonic(), 0.0)

    def attempt(self, slot: int) -> None:
        """Make the trial of `slot` and report its result to the study; its seconds count from `lap`."""
        from optuna.trial import TrialState

        trial = self._ask(slot)
        try:
            models = self.course.models(trial.params)
            rounds, ended = self._train(models, trial)
            answers = self.course.answers(models, rounds)
            value, now = self.course.score(answers), time.monotonic()
            outcome = {"value": value, "rounds": rounds, "seconds": round(now - self.lap, 3), "ended": ended}
            trial.set_user_attr("outcome", outcome)
            self._keep(trial.number, answers)
            self.lap = now
        except BaseException:
            self.study.tell(trial, state=TrialState.FAIL)
            raise
        if ended == "pruning":
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, value)

    def choose(self, complete: Sequence[Trial]) -> Trial:
        """The best trial; on few measured rows the default unless the best beats it beyond chance.

        Few rows rank forty trials mostly by luck, and the luckiest is no better on new rows. So the best must gain on
        the default in at least `SURE` of the bootstrap's resamples of the measured rows. On five public tables cut to
        500 or 1,000 rows the choice was never worse on new rows than the default, and on three as good as the best.
        """
        from treadle.tasks import metrics

        course = self.course
        best = max(complete, key=lambda trial: (course.sign * (trial.value or 0.0), -trial.number))
        default = complete[0]
        if len(course.y) >= NOISY or best is default:
            return best
        gains = metrics.bootstrap_gain(
            course.metric, course.task, course.y, self._answered(best), self._answered(default), resamples=1_000
        )
        needed = SURE if len(course.lanes) > 1 else SURE_ON_ONE_LANE
        return best if (gains > 0).mean() >= needed else default

    def _lowest_rate(self) -> float:
        """The study's lowest learning rate, decided once per study: see `space.floor` and `space.settled_pace`."""
        if "lowest_rate" not in self.study.user_attrs:
            models = self.course.models(portfolio(0.0, self.course.rows)[0])
            self.course.grow(models, 0)
            paces: list[float] = []
            while len(paces) < PACE_ROUNDS and (not paces or self.seconds_left() > 0):
                started = time.monotonic()
                self.course.grow(models, len(paces) + 1)
                paces.append(time.monotonic() - started)
            # the fastest round is the one that other processes disturbed least
            pace = settled_pace(min(paces), self.course.expected_pace())
            self.study.set_user_attr("lowest_rate", floor(self.spec.budget_seconds, pace))
        return float(self.study.user_attrs["lowest_rate"])

    def _ask(self, slot: int) -> optuna.Trial:
        """The next trial; the same for the same seed, slot and history."""
        import optuna
        from optuna.trial import TrialState

        lowest, rows = self._lowest_rate(), self.course.rows
        fixed = portfolio(lowest, rows)
        # a seed for each slot: a sampler that goes on after a restart would repeat its first draws
        seed = (self.spec.seed * 10_007 + slot) % 2**32
        self.study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=len(fixed) + 2)
        # a kill may have left the slot's setting waiting
        if slot < len(fixed) and not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.enqueue_trial(fixed[slot])
        return self.study.ask(fixed_distributions=ranges(lowest, rows))

    def _train(self, models: Sequence[Booster], trial: optuna.Trial) -> tuple[int, str]:
        """Add rounds until they gain no more or the time is up; the best number of rounds, and what ended it."""
        rate = float(trial.params["learning_rate"])
        early_stopping_rounds = min(max(math.ceil(4 / rate), 20), 150)
        until = min(self.deadline, time.monotonic() + SHARE * self.spec.budget_seconds)
        best, best_rounds, reported = -math.inf, 1, 0
        for iteration in range(MAX_ROUNDS):
            watched = self.course.grow(models, iteration)
            if watched > best:
                best, best_rounds = watched, iteration + 1
            if iteration + 1 - best_rounds >= early_stopping_rounds:
                return best_rounds, "early stopping"
            if time.monotonic() >= until:
                return best_rounds, "clock"
            if len(self.course.lanes) == 1 and (iteration + 1) * rate >= (reported + 1) * REPORT_EVERY:
                reported += 1
                trial.report(self.course.sign * best, reported)
                if trial.should_prune():
                    return best_rounds, "pruning"
        return best_rounds, "rounds"

    def _keep(self, number: int, answers: Sequence[np.ndarray]) -> None:
        import numpy as np

        if len(self.course.y) < NOISY:
            self._answers[number] = np.concatenate(answers)

    def _answered(self, trial: Trial) -> np.ndarray:
        """A trial's predictions for the measured rows; of an earlier run's trial they are made anew."""
        if trial.number not in self._answers:
            models = self.course.models(trial.params)
            for iteration in range(trial.rounds):
                self.course.grow(models, iteration)
            self._keep(trial.number, self.course.answers(models, trial.rounds))
        return self._answers[trial.number]
