"""Typed rows to the booster's input, as a FeatureSpec declares it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.errors import DataError
from treadle.tasks.features.linear import category_features, linear_input
from treadle.tasks.features.spec import OTHER, DatePart, Feature, FeatureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa


def encode(spec: FeatureSpec, rows: pa.Table | pa.RecordBatch) -> np.ndarray:
    """The booster's input: float32 [rows, features], NaN for missing.

    `rows` are typed (Schema.arrow); columns may stand in any order, and others are ignored. Every value goes through
    float64, so that an integer column with gaps, which pandas holds as floats, gives the same number; beyond
    float32's range it is clipped, and infinite counts as missing. Raises DataError naming a missing column.
    """
    import numpy as np
    import pyarrow as pa

    encoded = np.empty((rows.num_rows, len(spec.features)), dtype=np.float32)
    dates: dict[str, np.ndarray] = {}
    for index, feature in enumerate(spec.features):
        column = typed_column(rows, feature.source)
        if feature.kind in ("code", "indicator") or pa.types.is_string(column.type):
            values = _codes(feature, column, spec.read_as_missing)
        elif feature.part is not None:
            if feature.source not in dates:
                dates[feature.source] = _local(column, spec.timezone)
            values = _date_part(dates[feature.source], feature.part)
        else:
            values = _numbers(column)
        encoded[:, index] = to_float32(linear_input(feature, values))
    return encoded


def unseen(spec: FeatureSpec, rows: pa.Table | pa.RecordBatch) -> Mapping[str, int]:
    """Rows per source column whose category is not among the levels; columns without any are left out."""
    counts = {}
    for feature in category_features(spec):
        codes = _codes(feature, typed_column(rows, feature.source), spec.read_as_missing)
        counts[feature.source] = int((codes == OTHER).sum())
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


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Float64 with NaN for null; booleans are 0 and 1, integers beyond 2**53 are rounded."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    values: np.ndarray = column.cast(pa.float64(), safe=False).to_numpy()
    return values.astype(np.float64, copy=False)


def _codes(feature: Feature, column: pa.ChunkedArray, read_as_missing: Sequence[str]) -> np.ndarray:
    """Float64 codes: index into the levels, OTHER for a value that is none of them, NaN for null."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    levels = pa.array(feature.levels, pa.string())
    if pa.types.is_integer(column.type):
        value_set = levels.cast(column.type)
    else:
        value_set = pa.concat_arrays([levels, pa.array(read_as_missing, pa.string())])
    found = pc.fill_null(pc.index_in(column, value_set=value_set), OTHER).to_numpy().astype(np.float64)
    absent = pc.is_null(column).to_numpy() | (found >= len(feature.levels))
    return np.where(absent, np.nan, found)


def _local(column: pa.ChunkedArray, timezone: str) -> np.ndarray:
    """Dates, or instants as wall-clock time of `timezone`: datetime64[us], NaT for null.

    Outside the years that Python's calendar knows an instant has no wall-clock time: NaT.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    instants: np.ndarray = column.cast(pa.timestamp("us")).to_numpy().astype("datetime64[us]")
    first, last = np.datetime64("0001-01-02", "us"), np.datetime64("9999-12-30", "us")
    instants = np.where((instants >= first) & (instants <= last), instants, np.datetime64("NaT", "us"))
    if pa.types.is_date(column.type) or not timezone:
        return instants
    wall_clock = pd.DatetimeIndex(instants).tz_localize("UTC").tz_convert(timezone).tz_localize(None)
    return wall_clock.to_numpy().astype("datetime64[us]")


def _date_part(local: np.ndarray, part: DatePart) -> np.ndarray:
    """One calendar part as float64, NaN for NaT: weekday from Monday = 0, days since 1970-01-01."""
    import numpy as np
    import pandas as pd

    if part == "days":
        days = local.astype("datetime64[D]").astype(np.int64).astype(np.float64)
        return np.where(np.isnat(local), np.nan, days)
    attribute = {"weekday": "day_of_week", "dayofyear": "day_of_year"}.get(part, part)
    return getattr(pd.DatetimeIndex(local), attribute).to_numpy().astype(np.float64)  # type: ignore[no-any-return]
