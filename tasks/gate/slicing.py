"""How a column is cut into slices: a value each, or bins of its numbers or dates; values of few rows are pooled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa


SMALLEST_SLICE = 200


BINS = (5, 20)
"""Numbers and dates are cut twice: few bins show a loss that is spread out, many one that is local."""


MOST_VALUES = 10
"""Numbers and dates of more distinct values are binned."""


MISSING = "(missing)"


RARE = "(rare)"


@dataclass(frozen=True, slots=True)
class Sliced:
    """A column's slices: their names, and which of them each row [n] is in; `binned` where they are ranges.

    `small` counts the values of fewer rows than a slice needs, `left_out` the rows of them that are not examined:
    values of few rows are one slice, "(rare)", where they have enough rows together.
    """

    levels: tuple[str, ...]
    codes: np.ndarray
    binned: bool = False
    small: int = 0
    left_out: int = 0

    @property
    def names(self) -> np.ndarray:
        """The slice [n] of each row, by its name."""
        import numpy as np

        return np.asarray(np.array(self.levels, dtype=object)[self.codes])


def slice_values(column: pa.ChunkedArray | pa.Array, *, category: bool = False) -> np.ndarray:
    """A typed column [n] as slices read it: float64 (null is NaN), datetime64 (null is NaT), else text.

    `category`: integers that are names, which are not binned.
    """
    import pyarrow as pa

    from treadle.tasks.features import as_text

    kind = column.type
    if pa.types.is_temporal(kind) and not pa.types.is_time(kind):
        return column.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if number and not category:
        return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    return as_text(column)


def slice_column(values: np.ndarray) -> tuple[Sliced, ...]:
    """The slices of a column's values [n]: numbers, datetime64 or text (None is "(missing)").

    Numbers and dates of more than 10 distinct values are cut twice, into at most 5 and at most 20 bins of about equally
    many rows, 200 or more; a value that has as many rows as a bin is a slice of its own. All else is cut once: text is
    a slice a value. Where most rows have texts of fewer than 200 rows and all read as numbers, they are binned as such.
    """
    import numpy as np

    values = np.asarray(values)
    if values.dtype.kind in "fiuM" and len(np.unique(values[~_absent(values)])) > MOST_VALUES:
        return tuple(_pooled(_binned(values, most)) for most in BINS)
    sliced = _by_value(values)
    counts = np.bincount(sliced.codes)
    if counts[counts >= SMALLEST_SLICE].sum() < len(values) / 2 and len(counts) > MOST_VALUES:
        numbers = _as_numbers(sliced)
        if numbers is not None:
            return tuple(_pooled(_binned(numbers, most)) for most in BINS)
    return (_pooled(sliced),)


def group_column(values: np.ndarray) -> Sliced:
    """The groups of a column's values [n], cut like slices, but once and with each value of few rows by itself.

    Numbers and dates of more than 10 distinct values are cut into at most 5 bins of about equally many rows.
    """
    import numpy as np

    values = np.asarray(values)
    if values.dtype.kind in "fiuM" and len(np.unique(values[~_absent(values)])) > MOST_VALUES:
        return _binned(values, BINS[0])
    return _by_value(values)


def _pooled(sliced: Sliced) -> Sliced:
    """Values of fewer rows than a slice needs become one slice; "(missing)" stays by itself."""
    import numpy as np

    counts = np.bincount(sliced.codes, minlength=len(sliced.levels))
    small = counts < SMALLEST_SLICE
    pool = small & (np.array(sliced.levels, dtype=object) != MISSING)
    together = int(counts[pool].sum())
    left_out = int(counts[small & ~pool].sum()) + (together if together < SMALLEST_SLICE else 0)
    levels, codes = sliced.levels, sliced.codes
    if pool.sum() > 1:
        kept = np.flatnonzero(~pool)
        place = np.full(len(levels), len(kept))
        place[kept] = np.arange(len(kept))
        levels, codes = (*(levels[index] for index in kept), RARE), place[codes]
    return Sliced(levels, codes, sliced.binned, int(small.sum()), left_out)


def _binned(values: np.ndarray, most: int) -> Sliced:
    """At most `most` bins of numbers or dates [n], each named by its smallest and largest value: "25 to 34"."""
    import numpy as np

    known = np.flatnonzero(~_absent(values))
    distinct, which, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    heavy = counts >= max(SMALLEST_SLICE, len(known) / most)
    rest = np.flatnonzero(~heavy)
    bins = np.empty(len(distinct), dtype=np.int64)
    bins[rest] = _equal_parts(counts[rest], most)
    bins[heavy] = most + np.arange(int(heavy.sum()))
    _, bins = np.unique(bins, return_inverse=True)
    ends = [(distinct[bins == code].min(), distinct[bins == code].max()) for code in range(bins.max() + 1)]
    levels = _ranges(ends)
    codes = np.full(len(values), len(levels))
    codes[known] = bins[which]
    return Sliced((*levels, MISSING) if len(known) < len(values) else tuple(levels), codes, binned=True)


def _equal_parts(counts: np.ndarray, most: int) -> np.ndarray:
    """The part [k] of each value, from 0, in order: at most `most` of about equally many rows, and of 200 or more."""
    import numpy as np

    upto = np.cumsum(counts)
    parts, begin, done = np.zeros(len(counts), dtype=np.int64), 0, 0
    total = int(upto[-1]) if len(upto) else 0
    for part in range(most):
        wanted = max(SMALLEST_SLICE, (total - done) / (most - part))
        end = int(np.searchsorted(upto, done + wanted)) + 1
        if part == most - 1 or end >= len(counts) or total - upto[end - 1] < SMALLEST_SLICE:
            end = len(counts)
        parts[begin:end] = part
        if end == len(counts):
            break
        begin, done = end, int(upto[end - 1])
    return parts


def _ranges(ends: Sequence[tuple[np.generic, np.generic]]) -> list[str]:
    """Each range as text, with as many digits as tell its ends, and the ranges, apart."""
    import numpy as np

    ranges: list[str] = []
    for digits in ("D", "m", "us") if isinstance(ends[0][0], np.datetime64) else (3, 4, 6, 9, 17):
        texts = [(_edge(low, digits), _edge(high, digits)) for low, high in ends]
        ranges = [low if low == high else f"{low} to {high}" for low, high in texts]
        cramped = any(low == high and pair[0] != pair[1] for (low, high), pair in zip(texts, ends, strict=True))
        if not cramped and len(set(ranges)) == len(ranges):
            break
    return ranges


def _edge(edge: np.generic, digits: str | int) -> str:
    import numpy as np

    if isinstance(edge, np.datetime64):
        return str(edge.astype(f"datetime64[{digits}]"))
    number = float(edge)
    return _whole(number) if number.is_integer() else f"{number:.{digits}g}"


def _whole(number: float) -> str:
    return f"{number:.0f}"


def _by_value(values: np.ndarray) -> Sliced:
    """A slice for each distinct value [n], in order; whole numbers have no point."""
    import numpy as np
    import pandas as pd

    codes, distinct = pd.factorize(values, sort=False)
    if values.dtype.kind == "M":
        texts = np.datetime_as_string(distinct).tolist()
    elif values.dtype.kind == "f":
        texts = [_whole(one) if one.is_integer() else repr(one) for one in distinct.tolist()]
    else:
        texts = [str(one) for one in distinct.tolist()]
    named = np.array([*texts, MISSING], dtype=object)
    levels, place = np.unique(named.astype(str), return_inverse=True)
    used, codes = np.unique(place[codes], return_inverse=True)  # -1, which is missing, is the last
    return Sliced(tuple(str(levels[index]) for index in used), codes)


def _as_numbers(sliced: Sliced) -> np.ndarray | None:
    """The numbers [n] that all names read as, NaN for "(missing)"; None where one does not."""
    import numpy as np

    try:
        numbers = [float("nan" if name == MISSING else name) for name in sliced.levels]
    except ValueError:
        return None
    return np.asarray(np.array(numbers)[sliced.codes])


def _absent(values: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.asarray(np.isnat(values) if values.dtype.kind == "M" else ~np.isfinite(values))
