"""What each column becomes, decided by measurement: quick boosters on folds, the plainer encoding unless another gains.

Measured are columns of many levels (codes, target statistics with counts, both), differences between dates, days and
season of dates, words of free text, and lists in a cell. What gains less than one standard error stays as it is
(Breiman and others 1984, Classification and regression trees, 3.4.3).
"""

from __future__ import annotations

import itertools
import time as clock
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from treadle.tasks.features.encoding import typed_column
from treadle.tasks.features.fitting import kept_levels, spans_a_year
from treadle.tasks.features.ids import possible_ids
from treadle.tasks.features.measure import (
    EncodingPlan,
    EncodingProblem,
    held_losses,
    on_steady_scale,
    paired_gain,
    sampled,
)
from treadle.tasks.features.spec import MOMENTS, STATISTICS
from treadle.tasks.features.statistics import MOST_CLASSES
from treadle.tasks.features.text import list_separator, words_per_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np

    from treadle.tasks.dataset.folds import Fold


LEAST_LEVELS = 8
"""Columns of fewer levels keep their codes: a tree parts them by itself."""

MOST_DIFFERENCES = 10

LEAST_WORDS = 2.5
"""A text column of so many words a cell, on average, may be free text."""

SURE = 2
"""Standard errors that must be gained by what is tried for one column after another, or takes many features."""

WORDS = {
    ("codes",): "codes",
    STATISTICS: "target statistics and counts instead of codes",
    ("codes", *STATISTICS): "target statistics and counts beside codes",
}


@dataclass(frozen=True, slots=True)
class EncodingChoice:
    """What columns become, by the names of `ENCODINGS`, and the pairs of dates whose difference is a feature.

    `encodings` has the columns that become something else than they do by default. `reasons` says in a sentence what
    was measured of a column. `stopped_by_clock`: time ran out before all was measured, so that another run may choose
    otherwise.
    """

    encodings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    differences: tuple[tuple[str, str], ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    stopped_by_clock: bool = False


def choose_encodings(problem: EncodingProblem, *, seconds: float) -> EncodingChoice:
    """The encodings that predict best on the rows that the problem's folds answer for.

    Boosters are compared on the same rows by log loss or squared error, of the logarithm where amounts are skewed.
    About `seconds` are spent at most: what would take longer is not begun. Without folds, or a column to decide on,
    nothing is measured.
    """
    deadline = clock.monotonic() + seconds
    comparison = _Comparison(on_steady_scale(sampled(problem)), deadline)
    try:
        if comparison.problem.folds:
            for decide in (
                _decide_levels,
                _decide_ids,
                _decide_differences,
                _decide_texts,
                _decide_dates,
                _decide_single_columns,
            ):
                decide(comparison)
    except _TimeIsUpError:
        comparison.stopped_by_clock = True
    encodings, differences = comparison.plan.encodings, comparison.plan.differences
    return EncodingChoice(dict(encodings), differences, comparison.reasons, comparison.stopped_by_clock)


class _TimeIsUpError(Exception):
    """The next measurement would end after the deadline."""


class _Comparison:
    """The plan that is best so far, with its losses on the answered rows of each fold."""

    def __init__(self, problem: EncodingProblem, deadline: float) -> None:
        self.problem, self.deadline = problem, deadline
        self.plan, self.reasons = EncodingPlan(), dict[str, str]()
        self.stopped_by_clock = False
        self._losses: list[np.ndarray] = []
        self._spent = 0.0

    def take(
        self, plan: EncodingPlan, columns: Iterable[str], what: str, *, errors: float = 1, plainer: bool = False
    ) -> bool:
        """Measure a plan, which makes `what` of `columns`, and take it where it gains more than `errors` standard ones.

        Where rows are dated it must gain more than one over windows, too: what helps in one season only is not taken.
        A plainer one is taken unless it loses more than that. One that loses twice as much in the first folds is not
        measured in the others. Raises `_TimeIsUpError`.
        """
        if not self._losses:
            self._choose_depth()
            plan = replace(plan, deep=self.plan.deep)
        losses: list[np.ndarray] = []
        for number, fold in enumerate(self.problem.folds, start=1):
            if len(self._losses) < number:
                self._losses.append(self._measured(self.plan, fold))
            losses.append(self._measured(plan, fold))
            before, gain, error, over_windows = paired_gain(self.problem, self._losses[:number], losses)
            if gain < -2 * errors * error:
                break
        least = max(errors * error, over_windows)
        taken = gain > -least if plainer else gain > least
        words = (
            f"{what}: {'taken' if taken else 'not taken'}, "
            f"{self.problem.loss} {before - gain:.5g} against {before:.5g} "
            f"(gain {gain:+.2g}, standard error {max(error, over_windows):.2g})"
        )
        for name in columns:
            self.reasons[name] = f"{self.reasons[name]}; {words}" if name in self.reasons else words
        if taken:
            self.plan, self._losses = plan, losses
        return taken

    def _choose_depth(self) -> None:
        """Compare by deeper trees where these surely predict the first fold better from columns as they are by default.

        Codes of many levels need deep trees: in shallow ones alone they would lose to statistics too often.
        """
        fold, deeper = self.problem.folds[0], replace(self.plan, deep=True)
        self._losses = [self._measured(self.plan, fold)]
        deep = [self._measured(deeper, fold)]
        _, gain, error, _ = paired_gain(self.problem, self._losses, deep)
        if gain > SURE * error:
            self.plan, self._losses = deeper, deep

    def _measured(self, plan: EncodingPlan, fold: Fold) -> np.ndarray:
        begun = clock.monotonic()
        if begun + self._spent > self.deadline:
            raise _TimeIsUpError
        losses = held_losses(self.problem, plan, fold)
        self._spent = clock.monotonic() - begun
        return losses


def _decide_levels(comparison: _Comparison) -> None:
    """All columns of many levels by statistics, and by both; where codes need deep trees, in shallow ones as well."""
    names = _levelled(comparison.problem)
    for wanted in (STATISTICS, ("codes", *STATISTICS)) if names else ():
        plan, words = comparison.plan.using(dict.fromkeys(names, wanted)), WORDS[wanted]
        taken = comparison.take(plan, names, words)
        if comparison.plan.deep and not taken:
            comparison.take(replace(plan, deep=False), names, f"{words} in shallower trees")


def _decide_ids(comparison: _Comparison) -> None:
    """Integers that may be ids by statistics beside the number: all of them, or each where all together do not gain."""
    wanted, what = ("number", *STATISTICS), "target statistics and counts beside the number"
    names = possible_ids(comparison.problem)
    if names and not comparison.take(comparison.plan.using(dict.fromkeys(names, wanted)), names, what, errors=SURE):
        for name in names if len(names) > 1 else ():
            comparison.take(comparison.plan.using({name: wanted}), [name], f"{what} for {name!r} alone", errors=SURE)


def _decide_single_columns(comparison: _Comparison) -> None:
    """Each column of many levels, those of the most first, by what the others have not become."""
    names = _levelled(comparison.problem)
    for name, wanted in itertools.product(names if len(names) > 1 else (), WORDS):
        now = comparison.plan.encodings.get(name, ("codes",))
        if wanted != now and set(now) <= {"codes", *STATISTICS}:
            comparison.take(
                comparison.plan.using({name: wanted}), [name], f"{WORDS[wanted]} for {name!r} alone", errors=SURE
            )


def _decide_differences(comparison: _Comparison) -> None:
    """Days between dates: all pairs, then without each; or each by itself where all together do not gain."""
    problem = comparison.problem
    dated = [column.name for column in problem.schema.columns if column.kind in MOMENTS]
    pairs = [
        (later, earlier)
        for earlier, later in itertools.combinations([name for name in dated if name in problem.columns], 2)
    ]
    pairs = sorted(pairs, key=lambda pair: problem.time not in pair)[:MOST_DIFFERENCES]
    if not pairs:
        return
    whole, columns = tuple(pairs), dict.fromkeys(itertools.chain.from_iterable(pairs))
    if not comparison.take(replace(comparison.plan, differences=whole), columns, "days between dates"):
        for pair in pairs if len(pairs) > 1 else ():
            more = (*comparison.plan.differences, pair)
            comparison.take(replace(comparison.plan, differences=more), pair, f"days from {pair[1]!r} to {pair[0]!r}")
    elif len(pairs) > 1:
        for pair in pairs:
            if fewer := tuple(one for one in comparison.plan.differences if one != pair):
                what = f"no days from {pair[1]!r} to {pair[0]!r}"
                comparison.take(replace(comparison.plan, differences=fewer), pair, what, plainer=True)


def _decide_texts(comparison: _Comparison) -> None:
    """Lists as indicators of their entries, other text of several words as grams."""
    problem = comparison.problem
    for name in _texts(problem):
        column = typed_column(problem.rows, name)
        now = comparison.plan.encodings.get(name, ("codes",))
        if list_separator(column):
            wanted, what = "list", "entries of a list"
        elif words_per_text(column) >= LEAST_WORDS and len(column.unique()) >= LEAST_LEVELS:
            wanted, what = "ngrams", "words and parts of words"
        else:
            continue
        comparison.take(comparison.plan.using({name: (*now, wanted)}), [name], what, errors=SURE)


def _decide_dates(comparison: _Comparison) -> None:
    """Season by sine and cosine; days since 1970 where rows are dated and they help, else where they are missed."""
    problem = comparison.problem
    dated = [one.name for one in problem.schema.columns if one.kind in MOMENTS and one.name in problem.columns]
    if not dated:
        return
    usual = ("parts",) if problem.time else ("parts", "days")
    for name in dated:
        if problem.time:
            days = comparison.plan.using({name: ("parts", "days")})
            comparison.take(days, [name], "days since 1970", errors=SURE)
        else:
            comparison.take(comparison.plan.using({name: ("parts",)}), [name], "no days since 1970", plainer=True)
    _decide_parts(comparison, dated, usual)
    for name in dated:
        now = comparison.plan.encodings.get(name, usual)
        season = comparison.plan.using({name: (*now, "season")})
        comparison.take(season, [name], "season by sine and cosine", errors=SURE)


def _decide_parts(comparison: _Comparison, dated: Sequence[str], usual: tuple[str, ...]) -> None:
    """No calendar parts of the time column where rows span less than a year and later rows are better off without.

    Of few weeks a tree learns hours and days that were special once. Where rows span a year the season decides, which
    the newest windows alone cannot show.
    """
    problem, name = comparison.problem, comparison.problem.time
    if name is None or name not in dated or len(problem.columns) == 1:
        return
    if not spans_a_year(typed_column(problem.rows, name)):
        others = tuple(one for one in comparison.plan.encodings.get(name, usual) if one != "parts")
        comparison.take(comparison.plan.using({name: others}), [name], "no calendar parts")


def _levelled(problem: EncodingProblem) -> list[str]:
    """The columns of many levels that come back, the most first; none where there are too many classes."""
    if problem.task == "multiclass" and problem.classes > MOST_CLASSES:
        return []
    levels = {name: len(kept_levels(typed_column(problem.rows, name))) for name in _texts(problem)}
    for column in problem.schema.columns:
        if column.kind == "integer" and column.name in problem.categories and column.name in problem.columns:
            levels[column.name] = len(kept_levels(typed_column(problem.rows, column.name)))
    many = [name for name, count in levels.items() if count >= LEAST_LEVELS]
    return sorted(many, key=lambda name: (-levels[name], name))


def _texts(problem: EncodingProblem) -> list[str]:
    return [
        column.name for column in problem.schema.columns if column.kind == "text" and column.name in problem.columns
    ]


DECISIONS = (
    _decide_levels,
    _decide_ids,
    _decide_differences,
    _decide_texts,
    _decide_dates,
    _decide_single_columns,
)
