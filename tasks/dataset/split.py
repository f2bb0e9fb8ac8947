"""Which rows train, which tune, which judge.

Random and group splits are made by content: md5 of the key's values, of the group's value or, without a key,
of all input columns' values. The first 32 bits of the digest say whether the row is held out, the next 32
whether it validates. So a row's part depends on nothing but the row: not on its order, its batch, the rows
beside it, the library that read it or the machine, and it stays the same for ever. Where rows without a key are
observations of their own although their inputs are equal (`duplicates = "apart"`), the second row of one content has
a 1 at the end of its text, the third a 2, in the order of arrival. A time split is cut at
a time: a column's, or where none dates rows that are in time order, a place in the order of arrival (`arrival`).

The text that is hashed: columns in the order of their names, each value as `<bytes>:<value>` (a null as `~`),
where a value is text as it came; a boolean as 0 or 1; an integer, or a number that is whole, in decimal
digits; any other number as `x` and the decimal of its IEEE 754 bits; a date in days and a timestamp in
microseconds since 1970 (UTC).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from treadle.tasks.dataset.arrival import arrival_place, arrivals
from treadle.tasks.errors import DataError, TargetError
from treadle.tasks.horizon import Horizon, span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    import numpy as np
    import pyarrow as pa

MANY_VALUES = 100
"""Up to this many distinct labels every one of them is wanted in training and validation rows."""

EXACT = 2.0**53


class SplitSpec(BaseModel):
    """How rows are parted into training, validation and holdout."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    strategy: Literal["time", "random", "group"] = Field("random", description="what keeps the parts apart")
    holdout: float = Field(0.2, ge=0.05, le=0.5, description="share of rows that only the gate reads")
    validation: float = Field(0.2, ge=0.05, le=0.5, description="share of rows that the search compares on")
    group: str = Field(
        "", description="column whose equal values stay in one part; with a time split: whose known values do not judge"
    )
    gap: Horizon = Field(
        "", description="time split: rows this close before a part are in none, such as '30d'; empty: no gap"
    )
    duplicates: Literal["together", "apart"] = Field(
        "together",
        description="random split without data.key: rows whose inputs are all equal stay in one part, as copies of one "
        "row; apart: each is an observation of its own",
    )


@dataclass(frozen=True, slots=True)
class OpenParts:
    """What a model to judge may know of the rows: those outside the holdout, and how many others there are."""

    train: pa.Table
    validation: pa.Table
    holdout_rows: int
    all_rows: int


@dataclass(frozen=True, slots=True)
class Parts:
    """The rows of a training run: fit on `train`, compare trials on `validation`, judge once on `holdout`.

    `known` are the rows of a time split's holdout whose group is in training or validation too: they do not judge, and
    are scored apart; None where the split has no groups. `between` are the rows in the gaps of a time split. Neither is
    in a part.
    """

    train: pa.Table
    validation: pa.Table
    holdout: pa.Table
    between: pa.Table
    known: pa.Table | None = None

    def open(self) -> OpenParts:
        """The parts without the holdout's rows."""
        return OpenParts(self.train, self.validation, holdout_rows=len(self.holdout), all_rows=len(self.every_row()))

    def every_row(self) -> pa.Table:
        """All labelled rows: those to train, to tune and to judge by, in this order, then the others."""
        import pyarrow as pa

        known = [] if self.known is None else [self.known]
        return pa.concat_tables([self.train, self.validation, self.holdout, self.between, *known])


def split(
    rows: pa.Table,
    spec: SplitSpec,
    *,
    key: Sequence[str],
    time: str,
    target: str,
    after: datetime | date | int | float | None = None,
) -> Parts:
    """Part labelled `rows`; every row is in at most one part, in the order in which it came.

    Random: by hash of `key`, or without one of all columns but `target` and those that begin with `_`, so that equal
    rows stay together (or, by `spec.duplicates`, they are parted one by one). Where training or validation rows lack a
    label (of at most 100), the row of it that is nearest to the border changes sides; where there are two labels and
    the holdout lacks one, so does the row of it with the lowest hash. There is no other exception to the hash.

    Group: by hash of the group's value; rows without one are a group.

    Time: the holdout is the newest share of the rows, validation the newest share of what is before. Rows of one time
    value stay together; rows without a time count as the oldest; with an empty `time` it is the order of arrival.
    With `gap` the rows that lie less than that before the first holdout or validation row are in no part. With
    `group` the holdout rows whose group is in training or validation too are `known`, and no part of the holdout;
    rows without a group are one group.

    `validation` is a share of the rows that are not held out. `after` moves the cut of a time split: the holdout is all
    that is later. Raises TargetError where all rows have the same label, and DataError where a part would be empty or
    hold one label only.
    """
    import numpy as np

    labels = rows[target].combine_chunks().dictionary_encode()
    codes = labels.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    if not len(rows):
        raise TargetError(f"no row has a label in {target!r}", "ingest rows with labels first")
    if len(labels.dictionary) < 2:
        only = ", ".join(repr(value) for value in labels.dictionary.to_pylist()) or "none"
        raise TargetError(
            f"all {len(rows):,} rows have the same {target!r} ({only}): nothing can be learned",
            "bring rows with other labels, or choose another target",
        )
    between = known = np.zeros(len(rows), dtype=bool)
    if spec.strategy == "time":
        holdout, validation, between = _by_time(rows, spec, time, after)
        if spec.group:
            known = holdout & known_groups(rows, spec.group, ~holdout & ~between)
            holdout = holdout & ~known
    else:
        columns = [spec.group] if spec.strategy == "group" else list(key) or _inputs(rows, target)
        rows_apart = spec.strategy == "random" and not key and spec.duplicates == "apart"
        holdout, validation, draw = _by_hash(rows, spec, columns, rows_apart=rows_apart)
        if spec.strategy == "random" and len(labels.dictionary) <= MANY_VALUES:
            _lend(codes, draw, holdout, validation)
    training = ~(holdout | validation | between | known)
    masks = {"training": training, "validation": validation, "holdout": holdout, "between": between}
    for name, mask in list(masks.items())[:3]:
        _check(name, codes[mask], target, spec, known=int(known.sum()))
    train, tune, judge, apart = (rows.take(np.flatnonzero(mask)) for mask in masks.values())
    return Parts(
        train,
        tune,
        judge,
        apart,
        known=rows.take(np.flatnonzero(known)) if spec.strategy == "time" and spec.group else None,
    )


def _inputs(rows: pa.Table, target: str) -> list[str]:
    return [name for name in rows.column_names if name != target and not name.startswith("_")]


def _by_hash(
    rows: pa.Table, spec: SplitSpec, columns: Sequence[str], *, rows_apart: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks of holdout and validation rows, and the draws in [0, 1) by which rows judge and validate [n, 2].

    With `rows_apart` rows of one content are numbered, so that each has a draw of its own.
    """
    import numpy as np

    if missing := [name for name in columns if name not in rows.column_names]:
        what = f"column {missing[0]!r}, by which rows are parted, is not in the table"
        raise DataError(what, "correct data.key or split.group")
    texts = canonical_rows(rows, columns)
    if rows_apart:
        texts = _numbered(texts)
    digests = b"".join(hashlib.md5(text, usedforsecurity=False).digest()[:8] for text in texts)
    words = np.frombuffer(digests, dtype=">u4").reshape(-1, 2) / 2.0**32
    holdout = words[:, 0] < spec.holdout
    return holdout, ~holdout & (words[:, 1] < spec.validation), words


def canonical_rows(rows: pa.Table, columns: Sequence[str]) -> list[bytes]:
    """One text per row that holds its values in `columns` unambiguously, as the module's docstring defines."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = []
    for name in sorted(columns):
        text = _as_text(rows[name].combine_chunks())
        length = pc.binary_length(text.cast(pa.binary())).cast(pa.string())
        value_text = pc.binary_join_element_wise(length, text, ":")
        parts.append(pc.fill_null(value_text, "~"))
    joined = pc.binary_join_element_wise(*parts, "")
    return [str(text).encode("utf-8") for text in joined.to_pylist()]


def _numbered(texts: Sequence[bytes]) -> list[bytes]:
    """Texts with the number of equal ones before each at its end; the first of each stays as it is."""
    before: dict[bytes, int] = {}
    found = []
    for text in texts:
        number = before.get(text, 0)
        before[text] = number + 1
        found.append(b"%s%d" % (text, number) if number else text)
    return found


def _as_text(values: pa.Array) -> pa.Array:
    """Values as text that no library version formats in its own way; null stays null, NaN is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_dictionary(kind):
        return _as_text(values.dictionary_decode())
    if pa.types.is_boolean(kind):
        return values.cast(pa.int8()).cast(pa.string())
    if pa.types.is_date(kind):
        return values.cast(pa.date32()).cast(pa.int32()).cast(pa.string())
    if pa.types.is_timestamp(kind):
        return values.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64()).cast(pa.string())
    if pa.types.is_floating(kind):
        # 0.0 + -0.0 is 0.0: both zeros are one value
        number = pc.add(values.cast(pa.float64()), 0.0)
        number = pc.if_else(pc.is_nan(number), pa.scalar(None, pa.float64()), number)
        whole = pc.and_(pc.equal(pc.floor(number), number), pc.less(pc.abs(number), EXACT))
        digits = pc.if_else(whole, number, 0.0).cast(pa.int64()).cast(pa.string())
        bits = pc.binary_join_element_wise("x", number.view(pa.int64()).cast(pa.string()), "")
        return pc.if_else(whole, digits, bits)
    return values.cast(pa.string())


def _lend(codes: np.ndarray, draws: np.ndarray, holdout: np.ndarray, validation: np.ndarray) -> None:
    """Give each label with two rows or more outside the holdout one in training and one in validation.

    Of two labels the holdout needs both as well: one with three rows or more, none of them held out, lends it the row
    whose draw is lowest. A row that comes later can only be lower, so no row that trained once is lent later.
    """
    import numpy as np

    judge, draw = draws[:, 0], draws[:, 1]
    labels = np.unique(codes)
    for code in labels:
        own = np.flatnonzero(codes == code)
        lowest = own[judge[own] == judge[own].min()]
        if len(labels) == 2 and not holdout[own].any() and len(own) - len(lowest) >= 2:
            holdout[lowest], validation[lowest] = True, False
    for code in np.unique(codes[~holdout]):
        open_ = np.flatnonzero((codes == code) & ~holdout)
        least, most = draw[open_].min(), draw[open_].max()
        if least == most:
            continue
        if not validation[open_].any():
            validation[open_[draw[open_] == least]] = True
        elif validation[open_].all():
            validation[open_[draw[open_] == most]] = False


def _by_time(
    rows: pa.Table, spec: SplitSpec, time: str, after: datetime | date | int | float | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks of holdout and validation rows, cut at time values, and of the rows in the gaps before them."""
    import numpy as np

    when, has_time = moments(rows, time)
    if not has_time.any():
        raise DataError(f"no row has a time in {time!r}", "set split.strategy to 'random'")
    apart = gap_units(rows, spec.gap, time)
    first_held_out = _cut(when[has_time], spec.holdout)
    if after is not None:
        later = when[has_time & (when > _moment(rows, time, after))]
        first_held_out = later.min() if len(later) else np.inf
    holdout = has_time & (when >= first_held_out)
    rest = has_time & (when <= first_held_out - apart) & ~holdout
    validation, last_trained = np.zeros(len(rows), dtype=bool), first_held_out - apart
    if rest.any():
        first_validated = _cut(when[rest], spec.validation)
        validation = rest & (when >= first_validated)
        last_trained = first_validated - apart
    return holdout, validation, has_time & ~holdout & ~validation & (when > last_trained)


def gap_units(rows: pa.Table, gap: str, time: str) -> int:
    """The gap in the units of `moments`, days rounded up; 0 without one.

    Raises DataError for a gap in a column that holds no dates or timestamps.
    """
    import pyarrow as pa

    if not (length := span(gap)):
        return 0
    kind = rows.schema.field(time).type
    if not pa.types.is_temporal(kind):
        raise DataError(
            f"column {time!r} holds {kind}, and split.gap = {gap!r} is a span of days or hours",
            "give the column a date or timestamp type in the suite, or take split.gap out",
        )
    return -(-length // (timedelta(days=1) if pa.types.is_date(kind) else timedelta(microseconds=1)))


def known_groups(rows: pa.Table, group: str, fitted: np.ndarray) -> np.ndarray:
    """Which rows have the value in the column `group` of any row of the mask `fitted` [n]: a mask [n]."""
    import numpy as np

    if group not in rows.column_names:
        raise DataError(f"column {group!r}, by which rows are parted, is not in the table", "correct split.group")
    texts = canonical_rows(rows, [group])
    known = {text for text, mine in zip(texts, fitted, strict=True) if mine}
    return np.array([text in known for text in texts], dtype=bool)


def _moment(rows: pa.Table, time: str, value: datetime | date | int | float) -> float:
    """A value of the column `time` as `moments` gives it."""
    import pyarrow as pa

    try:
        if not time:
            return arrival_place(value)
        one = pa.table({time: pa.array([value], rows.schema.field(time).type)})
    except (pa.ArrowException, TypeError) as error:
        kind = f"column {time!r} holds {rows.schema.field(time).type}" if time else "the order of arrival has moments"
        raise DataError(f"{kind}, and {value!r} is none", "") from error
    return moments(one, time)[0][0]  # type: ignore[no-any-return]


def _cut(times: np.ndarray, share: float) -> float:
    """The time value from which on the rows are nearest to `share` of all, never all if it can be helped."""
    import numpy as np

    values, counts = np.unique(times, return_counts=True)
    if len(values) == 1:
        return float(values[0])
    newer = counts[::-1].cumsum()[::-1][1:]
    return values[1:][np.abs(newer - share * len(times)).argmin()]  # type: ignore[no-any-return]


def moments(rows: pa.Table, time: str) -> tuple[np.ndarray, np.ndarray]:
    """Times as numbers in the column's own unit (0 where there is none), and where there is one.

    Where `time` is empty, the order of arrival: see `arrivals`.
    """
    import numpy as np
    import pyarrow as pa

    if not time:
        return arrivals(rows), np.ones(len(rows), dtype=bool)
    if time not in rows.column_names:
        raise DataError(f"column {time!r}, by which rows are parted, is not in the table", "correct data.time")
    column = rows[time].combine_chunks()
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
    elif pa.types.is_date(kind):
        column = column.cast(pa.date32()).cast(pa.int32())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DataError(
            f"column {time!r} holds {kind}, which has no order in time",
            "give it a date or timestamp type in the suite, or set split.strategy to 'random'",
        )
    has_time = column.is_valid().to_numpy(zero_copy_only=False)
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f":
        has_time = has_time & np.isfinite(values)
    return values, has_time


def _check(name: str, codes: np.ndarray, target: str, spec: SplitSpec, *, known: int) -> None:
    """Raises DataError where a part is empty or all its labels are the same; `known` rows were taken from it."""
    import numpy as np

    if len(codes) and len(np.unique(codes)) > 1:
        return
    what = f"its {len(codes):,} rows all have the same {target!r}" if len(codes) else "it would hold no row"
    other = "" if spec.strategy == "random" else ", or set split.strategy to 'random'"
    share = f"split.{name}" if name != "training" else "the shares split.holdout and split.validation"
    if name == "holdout" and known:
        what += f" ({known:,} rows of a {spec.group!r} that is in training too do not judge)"
        share += ", take split.group out"
    elif spec.gap:
        share += " or split.gap"
    raise DataError(
        f"the {spec.strategy} split leaves no usable {name} part: {what}",
        f"change {share}, bring more rows{other}",
    )
