"""Which holdout rows may judge two models: those on which neither was fitted, whatever changed between them.

The challenger's holdout is cut by its own config; the champion may have been trained under another one, on other rows,
or on an earlier form of the same rows. So the rows that either was fitted and tuned on are laid beside the holdout, and
whatever they share with it is left out: the row itself, the row that either model's key says it is, the same content
where there is no key (unless the challenger's split says that such rows are observations of their own), and the group
where either model's split names one. Where either was split by time, the judging rows lie after the last row that
either was fitted on, by `split.gap` at least.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from treadle.tasks.dataset.arrival import arrivals
from treadle.tasks.dataset.split import SplitSpec, canonical_rows, moments
from treadle.tasks.horizon import span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import pyarrow as pa

ARRIVAL = ("_batch_id", "_ordinal")
SKETCH, DIGITS = 22, 8
FEW = 3


@dataclass(frozen=True, slots=True)
class FittedRows:
    """The rows that a model was fitted and tuned on, and how it distinguished rows, groups and times."""

    rows: pa.Table
    split: SplitSpec
    key: tuple[str, ...]
    time: str
    target: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Holdout rows that may not judge, and why; a row is counted under the first reason that applies."""

    why: str
    rows: int

    def __str__(self) -> str:
        return f"{self.rows:,} holdout rows do not judge: {self.why}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whom a challenger is compared with: the holdout rows that do not judge, and which booster is the champion's.

    `booster`: the champion's judged or serving one, or one made by its `recipe` on the challenger's rows; `note` says
    more of it. `newer`: whether the challenger learns from newer data. `moved`: whether the holdout's cut was moved to
    where the champion's rows end.
    """

    left_out: tuple[LeftOut, ...]
    booster: Literal["judged", "serving", "recipe"] = "judged"
    note: str = ""
    newer: bool = False
    moved: bool = False

    def names(self, version: int) -> str:
        """The two boosters in words."""
        theirs = "recipe" if self.booster == "recipe" else f"{self.booster} booster"
        return f"the challenger's judged booster with version {version}'s {theirs}{self.note}"


def judging(holdout: pa.Table, challenger: FittedRows, champion: FittedRows) -> tuple[pa.Table, tuple[LeftOut, ...]]:
    """The rows of `holdout` that are new to both models, in their order, and what was left out.

    A column that a model's rows do not have is not compared; where neither key is there, the common columns decide.
    """
    import numpy as np

    free, left_out = np.ones(len(holdout), dtype=bool), []
    for why, shared in _shared(holdout, challenger, champion):
        if hit := int((free & shared).sum()):
            left_out.append(LeftOut(why, hit))
        free &= ~shared
    return holdout.take(np.flatnonzero(free)), tuple(left_out)


def sketch(rows: pa.Table) -> str:
    """A short name for a set of rows that resembles the name of a set which is nearly the same; see `alike`.

    The 22 smallest digests of the rows (Broder 1997, On the resemblance and containment of documents), in hex.
    """
    columns = [name for name in ARRIVAL if name in rows.column_names] or rows.column_names
    return "".join(sorted({digest.hex()[:DIGITS] for digest in _digests(rows, columns)})[:SKETCH])


def alike(a: str, b: str) -> bool:
    """Whether two sketches are of sets that share more than half of their rows, as far as sketches tell."""
    first, second = ({text[place : place + DIGITS] for place in range(0, len(text), DIGITS)} for text in (a, b))
    smallest = set(sorted(first | second)[: max(len(first), len(second))])
    return 2 * len(smallest & first & second) > len(smallest)


def _shared(holdout: pa.Table, challenger: FittedRows, champion: FittedRows) -> Iterator[tuple[str, np.ndarray]]:
    """Why rows may not judge, and a mask of the rows for which it holds."""
    both = {"the champion": champion, "the challenger": challenger}
    for who, fitted in both.items():
        yield f"{who} was fitted on them", _among(holdout, fitted.rows, ARRIVAL)
    keys = list(dict.fromkeys(one.key for one in both.values() if one.key))
    groups = list(dict.fromkeys(one.split.group for one in both.values() if one.split.group))
    inputs = _inputs(holdout, challenger, champion)
    rows_apart = challenger.split.duplicates == "apart"
    for who, fitted in both.items():
        shared_keys = [key for key in keys if set(key) <= set(fitted.rows.column_names) & set(holdout.column_names)]
        for key in shared_keys:
            yield f"{who} was fitted on a row of the same {_and(key)}", _among(holdout, fitted.rows, key)
        if not shared_keys and not rows_apart:
            yield f"{who} was fitted on a row of the same content", _among(holdout, fitted.rows, inputs)
        for group in groups:
            yield f"{who} was fitted on rows of the same {group!r}", _among(holdout, fitted.rows, (group,))
    gap = max((one.split.gap for one in both.values()), key=span)
    for time in dict.fromkeys(one.time for one in both.values() if one.split.strategy == "time"):
        for who, fitted in both.items():
            near = f" (or less than {gap} before)" if gap else ""
            late = f"as late in {time!r}" if time else "that arrived as late"
            yield f"{who} was fitted on rows {late}{near}", _not_after(holdout, fitted.rows, time, gap)


def _inputs(holdout: pa.Table, challenger: FittedRows, champion: FittedRows) -> tuple[str, ...]:
    """The columns that all three tables have, less ours and the targets."""
    names = (set(holdout.column_names) & set(challenger.rows.column_names)) & set(champion.rows.column_names)
    out = {challenger.target, champion.target}
    return tuple(sorted(name for name in names - out if not name.startswith("_")))


def _among(holdout: pa.Table, rows: pa.Table, columns: Sequence[str]) -> np.ndarray:
    """Which rows of `holdout` have the values in `columns` of any of `rows`; none where a column is not there."""
    import numpy as np
    import pyarrow as pa

    there = set(holdout.column_names) & set(rows.column_names)
    if not columns or not set(columns) <= there:
        return np.zeros(len(holdout), dtype=bool)
    if len(columns) > FEW:
        # most rows differ in a few columns already, and only the rest need be compared whole
        few = sorted(columns, key=lambda name: not pa.types.is_floating(holdout.schema.field(name).type))[:FEW]
        ours, theirs = np.flatnonzero(_whole(holdout, rows, few)), np.flatnonzero(_whole(rows, holdout, few))
        found = np.zeros(len(holdout), dtype=bool)
        found[ours] = _whole(holdout.take(ours), rows.take(theirs), columns)
        return found
    return _whole(holdout, rows, columns)


def _whole(holdout: pa.Table, rows: pa.Table, columns: Sequence[str]) -> np.ndarray:
    import numpy as np

    digests = set(_digests(rows, columns))
    return np.array([digest in digests for digest in _digests(holdout, columns)], dtype=bool)


def _digests(rows: pa.Table, columns: Sequence[str]) -> list[bytes]:
    return [hashlib.md5(text, usedforsecurity=False).digest() for text in canonical_rows(rows, columns)]


def _not_after(holdout: pa.Table, rows: pa.Table, time: str, gap: str) -> np.ndarray:
    """Which rows of `holdout` are not later than the last of `rows`, or not by `gap`; those without a time are not.

    Where the column is not there, or is a time on one side and a number on the other, none can be said to be later.
    An empty `time` is the order of arrival.
    """
    import numpy as np
    import pyarrow as pa

    if not time:
        names = [name for name in ("_ingested_at", *ARRIVAL) if name in holdout.column_names]
        place = arrivals(pa.concat_tables([rows.select(names), holdout.select(names)]))
        early: np.ndarray = place[len(rows) :] <= place[: len(rows)].max(initial=-1)
        return early
    if time not in holdout.column_names:
        return np.ones(len(holdout), dtype=bool)
    when, has_time = moments(_in_microseconds(holdout, time), time)
    if time not in rows.column_names:
        return ~has_time
    first, second = (pa.types.is_temporal(table.schema.field(time).type) for table in (holdout, rows))
    if first != second or pa.types.is_string(rows.schema.field(time).type):
        return np.ones(len(holdout), dtype=bool)
    fitted, there = moments(_in_microseconds(rows, time), time)
    if not there.any():
        return ~has_time
    last = fitted[there].max()
    judges: np.ndarray = has_time & (when > last)
    if first:  # both are moments
        judges &= when >= last + span(gap) // timedelta(microseconds=1)
    return ~judges


def _in_microseconds(rows: pa.Table, time: str) -> pa.Table:
    """Days as their midnight, so that they compare with timestamps."""
    import pyarrow as pa

    if not pa.types.is_date(rows.schema.field(time).type):
        return rows
    return rows.set_column(rows.column_names.index(time), time, rows[time].cast(pa.timestamp("us")))


def _and(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
