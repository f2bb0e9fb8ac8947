"""Typed rows to the booster's input, as a FeatureSpec declares it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.centring import check_range
from treadle.tasks.errors import DataError
from treadle.tasks.features.dates import cycle, date_part, days_between, instants, local
from treadle.tasks.features.linear import category_features, linear_input
from treadle.tasks.features.spec import LEVELLED, OTHER, Feature, FeatureSpec
from treadle.tasks.features.text import entry_counts, gram_counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa


def encode(spec: FeatureSpec, rows: pa.Table | pa.RecordBatch) -> np.ndarray:
    """The booster's input: float32 [rows, features], NaN for missing.

    `rows` are typed (Schema.arrow); columns may stand in any order, and others are ignored. Every value goes through
    float64, so that an integer column with gaps, which pandas holds as floats, gives the same number. Raises DataError
    naming a missing column, or a number that is infinite or beyond float32 (see `FeatureSpec.beyond_float32`),
    ValueError where a statistic is open.
    """
    import numpy as np

    encoded = np.empty((rows.num_rows, len(spec.features)), dtype=np.float32)
    columns = _Columns(spec, rows)
    for index, feature in enumerate(spec.features):
        encoded[:, index] = to_float32(linear_input(feature, columns.values(feature)))
    return encoded


def level_codes(spec: FeatureSpec, feature: Feature, rows: pa.Table | pa.RecordBatch) -> np.ndarray:
    """Float64 [rows] of a feature with levels: index into them, OTHER for a value that is none, NaN for null."""
    return _codes(feature.levels, typed_column(rows, feature.source), spec.read_as_missing)


def unseen(spec: FeatureSpec, rows: pa.Table | pa.RecordBatch) -> Mapping[str, int]:
    """Rows per source column whose category is not among the levels; columns without any are left out."""
    counts = {}
    for feature in category_features(spec):
        counts[feature.source] = int((level_codes(spec, feature, rows) == OTHER).sum())
    return {source: count for source, count in counts.items() if count}


def as_text(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A typed column as text [n] for people (slices of a report): null is `(missing)`, integers have no point."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.fill_null(column.cast(pa.string()), "(missing)").to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def to_float32(values: np.ndarray) -> np.ndarray:
    """Float64 to float32: infinite becomes NaN, what lies beyond float32 its largest or smallest number."""
    import numpy as np

    limit = float(np.finfo(np.float32).max)
    finite = np.where(np.isinf(values), np.nan, values)
    return np.clip(finite, -limit, limit).astype(np.float32)


def typed_column(rows: pa.Table | pa.RecordBatch, name: str) -> pa.ChunkedArray:
    """One column as a chunked array; text as plain strings, whatever the reader made of it."""
    import pyarrow as pa

    if name not in rows.schema.names:
        raise DataError(f"column {name!r} is missing; the model needs it", f"there are: {', '.join(rows.schema.names)}")
    column = rows[name]
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column], type=column.type)
    like_text = (pa.types.is_dictionary, pa.types.is_large_string, pa.types.is_string_view)
    return chunked.cast(pa.string()) if any(is_like(chunked.type) for is_like in like_text) else chunked


def from_table(feature: Feature, codes: np.ndarray) -> np.ndarray:
    """The number of each level code, from the feature's table: float64 [rows]. Raises ValueError for an open one."""
    import numpy as np

    if feature.fallback is None or feature.missing is None:
        raise ValueError(f"feature {feature.name!r} is open: fit_statistics gives it values")
    table = np.array([*feature.values, feature.fallback, feature.missing])
    place = np.where(codes == OTHER, len(feature.values), codes)
    return table[np.where(np.isnan(codes), len(feature.values) + 1, place).astype(np.int64)]


class _Columns:
    """The columns of rows; what several features of a column share is computed once."""

    def __init__(self, spec: FeatureSpec, rows: pa.Table | pa.RecordBatch) -> None:
        self.spec, self.rows = spec, rows
        self._codes: dict[tuple[str, tuple[str, ...]], np.ndarray] = {}
        self._local: dict[str, np.ndarray] = {}
        self._texts: dict[tuple[str, str, str], dict[Feature, np.ndarray]] = {}

    def values(self, feature: Feature) -> np.ndarray:
        """The feature's numbers, float64 or float32 [rows]; for the inputs of a linear model, what they are made of."""
        import pyarrow as pa

        if feature.kind in LEVELLED:
            codes = self._level_codes(feature)
            return codes if feature.kind in ("code", "indicator") else from_table(feature, codes)
        if feature.kind in ("gram", "entry"):
            return self._text(feature)
        column = typed_column(self.rows, feature.source)
        if feature.kind == "missing" and pa.types.is_string(column.type):
            return self._level_codes(feature)
        if feature.origin:
            return days_between(column, typed_column(self.rows, feature.origin), self.spec.timezone)
        if feature.part is not None:
            parts = date_part(self._local_time(feature.source, column), feature.part)
            return cycle(parts, feature.part, feature.values) if feature.kind == "cycle" else parts
        return self._number(feature, numbers(column))

    def _number(self, feature: Feature, values: np.ndarray) -> np.ndarray:
        """The values of a number less its offset, checked where the spec wants it; others as they are."""
        if feature.kind != "number":
            return values
        if self.spec.beyond_float32 == "refuse":
            check_range(values, feature.source)
        return values - feature.offset if feature.offset else values

    def _level_codes(self, feature: Feature) -> np.ndarray:
        key = (feature.source, feature.levels)
        if key not in self._codes:
            self._codes[key] = level_codes(self.spec, feature, self.rows)
        return self._codes[key]

    def _local_time(self, source: str, column: pa.ChunkedArray) -> np.ndarray:
        if source not in self._local:
            self._local[source] = local(instants(column), column.type, self.spec.timezone)
        return self._local[source]

    def _text(self, feature: Feature) -> np.ndarray:
        key = (feature.source, feature.kind, feature.separator)
        if key not in self._texts:
            wanted = [one for one in self.spec.features if (one.source, one.kind, one.separator) == key]
            column = typed_column(self.rows, feature.source)
            absent = self.spec.read_as_missing
            if feature.kind == "gram":
                counts = gram_counts(column, [one.bucket for one in wanted if one.bucket is not None], absent)
            else:
                entries = [one.levels[0] if one.levels else None for one in wanted]
                counts = entry_counts(column, feature.separator, entries, absent)
            self._texts[key] = {one: counts[:, index] for index, one in enumerate(wanted)}
        return self._texts[key][feature]


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Float64 with NaN for null; booleans are 0 and 1, integers beyond 2**53 are rounded."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    values: np.ndarray = column.cast(pa.float64(), safe=False).to_numpy()
    return values.astype(np.float64, copy=False)


def _codes(levels: Sequence[str], column: pa.ChunkedArray, read_as_missing: Sequence[str]) -> np.ndarray:
    """Float64 codes: index into the levels, OTHER for a value that is none of them, NaN for null."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pa.array(levels, pa.string())
    if pa.types.is_integer(column.type):
        value_set = known.cast(column.type)
    else:
        value_set = pa.concat_arrays([known, pa.array(read_as_missing, pa.string())])
    found = pc.fill_null(pc.index_in(column, value_set=value_set), OTHER).to_numpy().astype(np.float64)
    absent = pc.is_null(column).to_numpy() | (found >= len(levels))
    return np.where(absent, np.nan, found)
