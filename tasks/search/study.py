"""A study at work: the next trial, its rounds, and what becomes of the trials together.

No trial takes more than `SHARE` of the budget, the first one no more than `FIRST_SHARE`; the fits that follow the
search are left their time.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from treadle.tasks.search.found import Setting, Trial
from treadle.tasks.search.space import early_rate, floor, portfolio, ranges, settled_pace, within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import optuna
    from xgboost import Booster

    from treadle.tasks.booster import Scalar
    from treadle.tasks.search.course import Course
    from treadle.tasks.search.spec import Aftermath, TuneSpec

MAX_ROUNDS = 2_000

SHARE = 0.4
"""The share of the budget after which a trial ends with what it has."""

FIRST_SHARE = 0.1
"""The share of the budget after which the first trial ends with what it has."""

FITS_SHARE = 0.35
"""The fits of an average are left this share of the budget at most; the best trial alone is left what it needs."""

SPARE = 1.1
"""More than the fits of the best trial need, so that it is not lost to a slow moment."""

AVERAGES = 3
"""The search leaves time to fit an average of so many trials like its best."""

PACE_ROUNDS = 4

LOSING_EVERY = 10
"""Rounds between two checks of whether a trial can still become the best."""

LOSING_SHARE = 1 / 16
"""The first check comes after the rounds that the portfolio's first setting makes in this share of the budget."""

LOSING_MARGIN = 0.02
"""A trial ends that would be behind the best one by this share of its loss with twice its rounds, too."""

REPORT_EVERY = 1.0
"""A pruning report after every so much of (rounds x learning rate): trials are compared at equal progress."""


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
                fit_seconds=outcome.get("fit_seconds", 0.0),
                size=outcome.get("size", 0),
                ms=outcome.get("ms", 0.0),
            )
        )
    return tuple(found)


def open_study(storage: optuna.storages.BaseStorage, name: str, metric: str) -> optuna.Study:
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


def surely_behind(curve: Sequence[float], best: float) -> bool:
    """Whether a trial would be surely behind the `best` one with twice its rounds, too.

    `curve` is its best after each round, and both are minus the loss that is watched. Learning curves flatten: doubling
    the rounds gains no more than the last doubling did.
    """
    return 2 * curve[-1] - curve[len(curve) // 2 - 1] < best - LOSING_MARGIN * abs(best)


@dataclass(slots=True)
class Search:
    """A study at work: `deadline` and `lap` (the end of the trial before) in seconds of the monotonic clock."""

    study: optuna.Study
    course: Course
    spec: TuneSpec
    aftermath: Aftermath
    deadline: float
    lap: float
    earlier: tuple[Mapping[str, Scalar], ...] = ()
    stop: Callable[[], bool] = lambda: False
    answers: Path | None = None
    hurried: bool = False
    _margins: dict[int, list[np.ndarray]] = field(default_factory=dict)

    def seconds_left(self) -> float:
        """Seconds until the fits have to begin, 0 when they have."""
        return max(self.deadline - self._fits() - time.monotonic(), 0.0)

    def has_time(self) -> bool:
        """Whether a trial of the quickest kind that was made has time left."""
        whole = [trial.seconds for trial in trials(self.study) if trial.ended not in ("clock", "interrupt", "")]
        return self.seconds_left() > min(whole, default=0.0)

    def forecast(self, trials_left: int) -> float:
        """Seconds until both models are fitted: the budget's, or fewer where the trials are made before."""
        ended = [trial for trial in trials(self.study) if trial.state != "failed"]
        each = sum(trial.seconds for trial in ended) / max(1, len(ended))
        rest = min(self.seconds_left(), each * trials_left)
        return rest + self._fits()

    def attempt(self, slot: int) -> None:
        """Make the trial of `slot` and report its result to the study; its seconds count from `lap`."""
        from optuna.trial import TrialState

        trial = self._ask(slot)
        try:
            models = self.course.models(trial.params)
            began = time.monotonic()
            watched, rounds, grown, ended = self._train(models, trial, slot)
            growing = time.monotonic() - began
            margins = self.course.margins(models, rounds)
            value, now = self.course.score(self.course.answers(margins)), time.monotonic()
            outcome = {
                "value": value,
                "rounds": rounds,
                "seconds": round(now - self.lap, 3),
                "ended": ended,
                "watched": watched,
                "fit_seconds": round(growing * rounds / grown, 4),
                "size": round(self._copies * sum(len(model[:rounds].save_raw("ubj")) for model in models)),
                "ms": self._copies * self.course.milliseconds(models, rounds) if self.aftermath.max_ms else 0.0,
            }
            self._keep(trial.number, margins)
            trial.set_user_attr("outcome", outcome)
            self.lap = now
        except BaseException:
            self.study.tell(trial, state=TrialState.FAIL)
            raise
        if ended == "pruning":
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, value)

    def settle(self, complete: Sequence[Trial]) -> tuple[list[Setting], float, float]:
        """The settings that become the model, the model's value, and the value of the plainest setting alone."""
        from treadle.tasks.search import choice

        complete = [trial for trial in complete if self._allowed([trial])] or complete
        if len(complete) > 1:
            complete = [trial for trial in complete if self._affordable([trial])] or complete
        one = choice.plainest(self.course, complete, self._margins_of)
        value = float(one.value or 0.0)
        alone = [Setting(params=one.params, rounds=one.rounds, share=1.0)], value, value
        if self.spec.ensemble == "never" or len(complete) == 1:
            return alone
        average = choice.best_average(self.course, complete, self._margins_of, self._affordable)
        if len(average.draws) == 1:
            return alone
        by_number, draws = {trial.number: trial for trial in complete}, sum(average.draws.values())
        settings = [
            Setting(params=by_number[number].params, rounds=by_number[number].rounds, share=count / draws)
            for number, count in average.draws.items()
        ]
        return settings, average.value, average.single

    def _affordable(self, members: Sequence[Trial]) -> bool:
        """Whether there is time to fit these trials, and the config allows their trees."""
        if not self._allowed(members):
            return False
        needed = self.aftermath.seconds(*((one.fit_seconds, one.rounds) for one in members))
        in_time = needed <= self.deadline - time.monotonic()
        self.hurried |= not in_time
        return in_time

    @property
    def _copies(self) -> float:
        """How many boosters a trial becomes in the model, for each that was measured."""
        return 1.0 if self.aftermath.bagged else 1 / len(self.course.lanes)

    def _allowed(self, members: Sequence[Trial]) -> bool:
        """Whether the config allows a model of these trials' trees."""
        size, ms = self.aftermath.max_size, self.aftermath.max_ms
        if size is not None and sum(trial.size for trial in members) > size:
            return False
        return ms is None or sum(trial.ms for trial in members) <= ms

    def _fits(self) -> float:
        """Seconds to leave for the fits after the search."""
        complete = [trial for trial in trials(self.study) if trial.state == "complete"]
        if not complete:
            return 0.0
        # whichever is best could be paid for when it ended: see `_train`
        best = max(complete, key=lambda trial: (self.course.sign * (trial.value or 0.0), -trial.number))
        alone = SPARE * self.aftermath.seconds((best.fit_seconds, best.rounds))
        several = 1 if self.spec.ensemble == "never" else AVERAGES
        return max(alone, min(several * alone, FITS_SHARE * self.spec.budget_seconds))

    def _pace(self) -> tuple[float, float]:
        """The first trial's learning rate and the study's lowest, decided once per study: see `space`."""
        if "lowest_rate" not in self.study.user_attrs:
            models = self.course.models(portfolio(0.0, self.course.rows, self.course.settled)[0])
            self.course.grow(models, 0)
            paces: list[float] = []
            while len(paces) < PACE_ROUNDS and (not paces or self.seconds_left() > 0):
                started = time.monotonic()
                self.course.grow(models, len(paces) + 1)
                paces.append(time.monotonic() - started)
            # the fastest round is the one that other processes disturbed least
            pace = settled_pace(min(paces), self.course.expected_pace())
            self.study.set_user_attr("fewest_rounds", math.ceil(LOSING_SHARE * self.spec.budget_seconds / pace))
            self.study.set_user_attr("first_rate", early_rate(FIRST_SHARE * self.spec.budget_seconds, pace))
            self.study.set_user_attr("lowest_rate", floor(self.spec.budget_seconds, pace))
        lowest = float(self.study.user_attrs["lowest_rate"])
        return float(self.study.user_attrs.get("first_rate", lowest)), lowest

    def _ask(self, slot: int) -> optuna.Trial:
        """The next trial; the same for the same seed, slot and history."""
        import optuna
        from optuna.trial import TrialState

        (first, lowest), rows = self._pace(), self.course.rows
        settled = self.course.settled
        drawn = ranges(lowest, rows, first, settled)
        fixed = [*portfolio(lowest, rows, settled), *(within(one, drawn) for one in self.earlier)]
        # a seed for each slot: a sampler that goes on after a restart would repeat its first draws
        seed = (self.spec.seed * 10_007 + slot) % 2**32
        self.study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=len(fixed) + 2)
        # a kill may have left the slot's setting waiting
        if slot < len(fixed) and not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            setting = dict(fixed[slot])
            if slot == 0 and "learning_rate" in setting:
                setting["learning_rate"] = max(first, float(setting["learning_rate"]))
            self.study.enqueue_trial(setting)
        return self.study.ask(fixed_distributions=drawn)

    def _train(self, models: Sequence[Booster], trial: optuna.Trial, slot: int) -> tuple[float, int, int, str]:
        """Add rounds until they gain no more or the time is up.

        Returns the best that was watched, its number of rounds, the number of all, and what ended them.
        """
        rate = float(trial.params.get("learning_rate", self.course.fixed.get("learning_rate", 0.3)))
        early_stopping_rounds = min(max(math.ceil(4 / rate), 20), 150)
        share = SHARE if slot else FIRST_SHARE
        began = time.monotonic()
        most = min(self.seconds_left(), share * self.spec.budget_seconds)
        fewest, best = self._to_beat()  # once: the study may be in a database
        curve: list[float] = []
        best_rounds, reported, ended = 1, 0, "rounds"
        for iteration in range(MAX_ROUNDS):
            watched = self.course.grow(models, iteration)
            if not curve or watched > curve[-1]:
                best_rounds = iteration + 1
            curve.append(max(watched, curve[-1]) if curve else watched)
            took = time.monotonic() - began
            if iteration + 1 - best_rounds >= early_stopping_rounds:
                ended = "early stopping"
            elif slot and self.stop():  # the first trial is the model of a person who ends the search at once
                ended = "interrupt"
            elif took >= most or (iteration >= PACE_ROUNDS and not self._payable(took, iteration + 1, began)):
                ended = "clock"
            elif len(curve) >= fewest and len(curve) % LOSING_EVERY == 0 and surely_behind(curve, best):
                ended = "pruning"
            elif len(self.course.lanes) == 1 and (iteration + 1) * rate >= (reported + 1) * REPORT_EVERY:
                reported += 1
                # what is watched is a loss, and studies by a metric that grows want one that grows
                trial.report(self.course.sign * curve[-1], reported)
                if trial.should_prune():
                    ended = "pruning"
            if ended != "rounds":
                break
        return curve[-1], best_rounds, len(curve), ended

    def _payable(self, took: float, rounds: int, began: float) -> bool:
        """Whether there is time for the fits of a trial at work that `took` so many seconds for its `rounds`."""
        return took + SPARE * self.aftermath.seconds((took, rounds)) < self.deadline - began

    def _to_beat(self) -> tuple[int, float]:
        """The rounds before which no trial loses, and the best that was watched of a trial that is complete."""
        watched = (float(one.user_attrs["outcome"].get("watched", -math.inf)) for one in self._complete())
        return int(self.study.user_attrs.get("fewest_rounds", MAX_ROUNDS + 1)), max(watched, default=-math.inf)

    def _complete(self) -> list[optuna.trial.FrozenTrial]:
        from optuna.trial import TrialState

        found: list[optuna.trial.FrozenTrial] = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return found

    def _keep(self, number: int, margins: list[np.ndarray]) -> None:
        """Keep a trial's margins in memory, and as a file for a run that goes on after a kill."""
        import numpy as np

        self._margins[number] = margins
        if self.answers is not None:
            self.answers.mkdir(parents=True, exist_ok=True)
            aside = self.answers / f"{number}.part.npy"
            np.save(aside, np.concatenate(margins))
            aside.replace(self.answers / f"{number}.npy")

    def _margins_of(self, trial: Trial) -> list[np.ndarray]:
        """A trial's margins for the measured rows; those of an earlier run's trial are read, or made anew."""
        import numpy as np

        if trial.number not in self._margins:
            kept = self.answers / f"{trial.number}.npy" if self.answers is not None else None
            if kept is not None and kept.exists():
                ends = np.cumsum([len(lane.rows.y) for lane in self.course.lanes])[:-1]
                self._margins[trial.number] = np.split(np.load(kept), ends)
            else:
                models = self.course.models(trial.params)
                for iteration in range(trial.rounds):
                    self.course.grow(models, iteration)
                self._keep(trial.number, self.course.margins(models, trial.rounds))
        return self._margins[trial.number]
