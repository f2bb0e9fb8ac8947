"""What a search found, and why it stopped there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict


class Setting(BaseModel):
    """One setting of a model that averages several: its parameters, rounds and share (shares sum to 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    params: dict[str, str | int | float]
    rounds: int
    share: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting that was tried.

    `value` is the metric on measured rows (the mean of all lanes) after `rounds` rounds; None where the trial failed.
    `state` is 'complete', 'pruned' (among the worst quarter at the same progress, or surely behind the best with twice
    its rounds too) or 'failed' (interrupted; its slot is tried again). `ended` is what ended it: 'early stopping',
    'clock' (its share of the budget, or the budget), 'rounds' (the most that are allowed), 'pruning', 'interrupt' (a
    person ended the search); empty where it failed or is of an earlier version. The rounds of a trial that the clock
    ended depend on the speed of the machine. `fit_seconds` is what `rounds` rounds took on all lanes, and `size` the
    bytes of the model that it becomes; 0 in records of an earlier version. `ms` is how long that takes for 1,000 rows,
    where it has a limit.
    """

    number: int
    params: dict[str, str | int | float]
    value: float | None
    rounds: int
    seconds: float
    state: str
    ended: str = ""
    fit_seconds: float = 0.0
    size: int = 0
    ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """What the search settled for.

    `params` and `rounds` (the best iteration + 1) are the chosen trial's, or of the member with the largest share;
    `value` is the model's; `resumed` how many trials an earlier run of the same study had finished; `seconds` the
    search's time over all runs. `stopped` is 'trials' (all that were allowed are made), 'budget' (the seconds ended
    first) or 'interrupt' (a person ended it), empty in records of an earlier version; `allowed` are the trials that it
    might make. `lowest_rate` is the study's lowest learning rate, `nthread` the threads of XGBoost (0: all).

    `members` are the settings whose average is the model; empty where it is one. `single_value` is then the value of
    the best one alone. `lanes` says how often rows were left out to be measured, and `fitted_rows` how many rows were
    fitted then, on average (both 0: not recorded). `hurried` says that the time ran out before all that precedes the
    search was measured, or that a larger average would have taken longer than there was.
    """

    params: dict[str, str | int | float]
    rounds: int
    value: float
    trials: tuple[Trial, ...]
    resumed: int
    seconds: float
    stopped: str = ""
    allowed: int = 0
    lowest_rate: float = 0.0
    nthread: int = 0
    members: tuple[Setting, ...] = ()
    single_value: float = 0.0
    lanes: int = 0
    fitted_rows: int = 0
    hurried: bool = False

    @property
    def finished(self) -> tuple[Trial, ...]:
        """The trials that were not interrupted, numbered by their slots: the same whether anything was or not."""
        whole = [trial for trial in self.trials if trial.state != "failed"]
        return tuple(replace(trial, number=slot) for slot, trial in enumerate(whole))

    @property
    def cut(self) -> int:
        """How many trials the clock or a person ended."""
        return sum(trial.ended in ("clock", "interrupt") for trial in self.finished)

    @property
    def interrupted(self) -> int:
        """How many trials were interrupted and made again."""
        return len(self.trials) - len(self.finished)

    @property
    def why_stopped(self) -> str:
        """Why the search ended, and whether another run makes the same trials, as a sentence without its full stop."""
        made = len(self.finished)
        if not self.stopped:
            return "not recorded"
        if not self.allowed and not made:
            return "a linear model has nothing to search"
        if self.stopped == "trials":
            text = f"all {made:,} trials were made" if made > 1 else "the only trial was made"
        elif self.stopped == "interrupt":
            text = f"ended by hand after {made:,} of {self.allowed:,} trials"
        else:
            text = f"the time was up after {made:,} of {self.allowed:,} trials"
        if cut := sum(trial.ended == "clock" for trial in self.finished):
            text += f"; the clock ended {cut:,} of them" if made > 1 else "; the clock ended it"
        if self.hurried:
            text += "; the clock decided what was measured before, or averaged after"
        if self.interrupted:
            text += f"; {self.interrupted:,} interrupted and made again"
        return text

    @property
    def repeatable(self) -> bool:
        """Whether the clock decided nothing: the same data, config, seed and lowest rate then give the same model."""
        return self.stopped == "trials" and not self.cut and not self.hurried

    def record(self) -> dict[str, str | int | float]:
        """How the search went, under the names of a run's parameters."""
        return {
            "search.stopped": self.stopped,
            "search.why_stopped": self.why_stopped,
            "search.trials": len(self.finished),
            "search.trials_ended_by_clock": self.cut,
            "search.lowest_learning_rate": self.lowest_rate,
            "search.nthread": self.nthread,
            "search.lanes": self.lanes,
            "search.members": max(1, len(self.members)),
        }


NOTHING_TO_SEARCH = Found(params={}, rounds=1, value=0.0, trials=(), resumed=0, seconds=0.0, stopped="trials")
"""Of a linear model: its one parameter, the penalty, is found where it is fitted."""
