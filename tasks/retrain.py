"""Whether to train again: a pure decision from data, champion and its realised performance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from treadle.tasks.out_of_service import out_of_service_reason
from treadle.tasks.schedule import Cron
from treadle.tasks.sequential import STABLE_YEARS, LossRise
from treadle.tasks.watched import loss_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.tasks.performance import MetricBounds, Realised

LEAST_LABELS = 100
"""Fewer realised labels than this say nothing of a champion."""

Cause = Literal["first", "new_rows", "new_share", "age", "performance", "forbidden"]


class RetrainSpec(BaseModel):
    """What makes `treadle train --if-due` train; a rule without a value never does."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    on_new_rows: int | None = Field(None, ge=1, description="due when so many labelled rows are new")
    on_new_share: float | None = Field(
        0.2, gt=0, description="due when the new labelled rows are this share of those that were trained on"
    )
    max_age_days: float | None = Field(None, gt=0, description="due when the champion is so many days old")
    on_performance: bool = Field(
        default=True,
        description="due when the champion's loss has surely risen above its holdout's since the promotion",
    )
    schedule: Cron = Field(default="", description="when the server asks by itself whether to train, as cron has it")


@dataclass(frozen=True, slots=True)
class RetrainState:
    """All that the decision depends on.

    `champion` is its version, None before the first, and `age_days` the days since it was registered. `labelled` rows
    are there now; `labelled_then` were there when version `tried` was trained: the champion, or a challenger that was
    tried later, so that what the gate has turned down is not tried again on the same rows. `expected` is the
    champion's holdout value with its interval, `realised` what its recent predictions turned out to be worth, both in
    `metric`; None where they are not known. `rise` says how sure it is that its loss rose since its promotion, None
    where there is nothing to compare. `settled` says whether the labels of those predictions are complete: else
    they may be mostly of the kind that becomes known first, and do not judge. `forbidden` are the columns for which the
    champion is out of service.
    """

    spec: RetrainSpec
    metric: str
    champion: int | None
    age_days: float
    tried: int | None
    labelled_then: int
    labelled: int
    expected: MetricBounds | None = None
    realised: Realised | None = None
    settled: bool = True
    forbidden: tuple[str, ...] = ()
    rise: LossRise | None = None

    @property
    def new_rows(self) -> int:
        """Labelled rows that no model was trained on yet."""
        return max(0, self.labelled - self.labelled_then)


class RetrainFinding(BaseModel):
    """What one rule of `[retrain]` found, in a sentence."""

    model_config = ConfigDict(frozen=True)

    cause: Cause
    due: bool
    sentence: str


class Reason(BaseModel):
    """Why it is time to train: the rules that say so, each with its sentence."""

    model_config = ConfigDict(frozen=True)

    causes: tuple[Cause, ...]
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """All sentences in one line."""
        return "; ".join(self.sentences)


def due(state: RetrainState) -> Reason | None:
    """Why to train again now, or None."""
    due_rules = [one for one in findings(state) if one.due]
    if not due_rules:
        return None
    return Reason(causes=tuple(one.cause for one in due_rules), sentences=tuple(one.sentence for one in due_rules))


def findings(state: RetrainState) -> tuple[RetrainFinding, ...]:
    """What every rule that is switched on says, due or not."""
    if state.champion is None:
        return (RetrainFinding(cause="first", due=True, sentence="there is no champion yet"),)
    return (*_out_of_service(state), *_rows(state), *_age(state), *_performance(state))


def _out_of_service(state: RetrainState) -> Iterator[RetrainFinding]:
    """A champion that uses a forbidden column answers nothing: a model without it is due, whatever the rules say."""
    if state.champion is not None and state.forbidden:
        sentence = out_of_service_reason(state.champion, state.forbidden)
        yield RetrainFinding(cause="forbidden", due=True, sentence=sentence)


def _rows(state: RetrainState) -> Iterator[RetrainFinding]:
    """New labelled rows, by number and by share.

    A share of no rows at all is due with the first one.
    """
    new, spec = state.new_rows, state.spec
    since = f"since version {state.tried} was trained"
    if spec.on_new_rows is not None:
        yield RetrainFinding(
            cause="new_rows",
            due=new >= spec.on_new_rows,
            sentence=f"{new:,} new labelled rows {since} (due from {spec.on_new_rows:,} on)",
        )
    if spec.on_new_share is not None:
        share = new / state.labelled_then if state.labelled_then else float(new > 0)
        yield RetrainFinding(
            cause="new_share",
            due=new > 0 and share >= spec.on_new_share,
            sentence=f"{new:,} new labelled rows {since}, {share:.1%} of the {state.labelled_then:,} before "
            f"(due from {spec.on_new_share:.0%} on)",
        )


def _age(state: RetrainState) -> Iterator[RetrainFinding]:
    """The champion's age; the same rows would only give the same model again."""
    limit = state.spec.max_age_days
    if limit is None:
        return
    old = state.age_days > limit
    nothing_new = old and not state.new_rows
    yield RetrainFinding(
        cause="age",
        due=old and not nothing_new,
        sentence=f"version {state.champion} is {state.age_days:,.1f} days old (due after {limit:g})"
        + ("; but no labelled row is new" if nothing_new else ""),
    )


def _performance(state: RetrainState) -> Iterator[RetrainFinding]:
    """The evidence that the champion's loss has risen above its holdout's since the promotion."""
    if not state.spec.on_performance:
        return
    expected, realised, rise = state.expected, state.realised, state.rise
    if expected is None or expected.value is None or expected.lower is None or expected.upper is None:
        why = f"no holdout interval of version {state.champion} is known to compare realised performance with"
        yield RetrainFinding(cause="performance", due=False, sentence=why)
        return
    if rise is None:
        yield RetrainFinding(cause="performance", due=False, sentence="no realised performance is known yet")
        return
    enough = rise.labelled >= LEAST_LABELS
    nothing_new = rise.risen and not state.new_rows
    sentence = _rise_in_words(state, rise)
    if not enough:
        sentence += f"; fewer than {LEAST_LABELS} labels say nothing"
    elif not state.settled:
        share = realised.coverage if realised else 0.0
        sentence += (
            f"; it does not judge: {share:.0%} of the recent predictions have a label, and the others may come "
            "later and be unlike them (set [labels] mature_after)"
        )
    elif nothing_new:
        sentence += "; but no labelled row is new"
    judges = enough and state.settled and not nothing_new
    yield RetrainFinding(cause="performance", due=rise.risen and judges, sentence=sentence)


def _rise_in_words(state: RetrainState, rise: LossRise) -> str:
    got = state.realised.metric if state.realised else None
    recent = ""
    if got is not None and got.value is not None and got.lower is not None and got.upper is not None:
        interval = f"{four_digits(got.lower)} to {four_digits(got.upper)}"
        recent = f"; recent {state.metric} {four_digits(got.value)} ({interval})"
    found = f"at least {rise.least:.0%} higher" if rise.risen else "no sure rise"
    evidence = f"evidence {_evidence(rise.evidence)}" if rise.evidence else "too few windows yet for any evidence"
    return (
        f"mean loss ({loss_name(state.metric)}) of {rise.labelled:,} labels since version {state.champion} is champion "
        f"{four_digits(rise.loss)}, of its holdout {four_digits(rise.expected)}: {found}, {evidence} (due from "
        f"{STABLE_YEARS} on, which a stable model reaches in 1 year of {STABLE_YEARS} at most){recent}"
    )


def _evidence(value: float) -> str:
    return "above 1,000,000" if value > 1e6 else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def four_digits(value: float) -> str:
    """Four significant digits, or a whole number with commas."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
