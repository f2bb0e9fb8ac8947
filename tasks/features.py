"""The encoding: which numbers XGBoost sees for a typed row. Declared by a FeatureSpec, fitted on training rows only.

Categories become integer codes as numbers: of all encodings tried it is the most accurate on columns of many levels,
and twice as fast. What a spec says is all that the encoding needs, so that the scorer
(infra/tracking/scorer/encoding.py) repeats it from JSON; a property test keeps the two equal to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from treadle.tasks.errors import DataError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.dataset import Column, Schema

DatePart = Literal["year", "month", "day", "weekday", "dayofyear", "hour", "minute", "days"]

DATE_PARTS: tuple[DatePart, ...] = ("year", "month", "day", "weekday", "dayofyear")
CLOCK_PARTS: tuple[DatePart, ...] = ("hour", "minute")

OTHER = -1.0
"""The code of a category that was not in the training rows, or too rarely."""

MAX_LEVELS = 10_000
"""Levels kept per column, the most frequent; the rest are `OTHER`."""

RARE_FROM = 100
"""In a column of more levels than this, one that only a single row has is `OTHER`: nothing can be learned from it."""

READ_AS_MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
    *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""Text that pandas.read_csv takes for no value, so that we never make a category of it.

Otherwise a row would get another prediction through pandas than through a batch, where 'None' is text.
"""


class Feature(BaseModel):
    """One input of the booster.

    `name` is what XGBoost calls it: the source's name, less the characters that XGBoost forbids. `kind`: `number`
    (integers and numbers as they are), `boolean` (0, 1), `code` (index into `levels`, `OTHER` for the rest) or
    `date_part`. Missing is NaN in all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    kind: Literal["number", "boolean", "code", "date_part"]
    levels: tuple[str, ...] = ()
    part: DatePart | None = None


class FeatureSpec(BaseModel):
    """The features in the booster's order; dates are expanded in `timezone` (IANA, empty: UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[Feature, ...]
    timezone: str = ""
    read_as_missing: tuple[str, ...] = READ_AS_MISSING

    @property
    def names(self) -> tuple[str, ...]:
        """What XGBoost calls the features, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def sources(self) -> tuple[str, ...]:
        """The column that each feature is made of, beside `names`: a date that is expanded comes several times."""
        return tuple(feature.source for feature in self.features)


def fit_features(
    training: pa.Table,
    schema: Schema,
    *,
    columns: Sequence[str],
    categories: Sequence[str],
    time: str | None,
    timezone: str,
) -> FeatureSpec:
    """Learn the encoding of `columns` from typed training rows.

    Text columns, and the integer columns named in `categories`, become codes: levels are sorted (as numbers where
    they are integers), see `MAX_LEVELS` and `RARE_FROM`. Dates and timestamps become the calendar parts that vary.
    Without a time column they also become days since 1970; with one they do not, as every later row would lie
    beyond what the trees have seen. What is the same in every training row (all null, one value and no null) is
    left out. Raises TargetError where nothing is left, DataError where a column is missing.
    """
    named: dict[str, Feature] = {}
    for column in schema.columns:
        if column.name not in columns:
            continue
        values = _column(training, column.name)
        for feature in _candidates(column, values, column.name in categories, with_days=not time):
            spec = FeatureSpec(features=(feature,), timezone=timezone)
            if _varies(encode(spec, training.select([column.name]))):
                name = _xgboost_name(feature.name, named)
                named[name] = feature.model_copy(update={"name": name})
    if not named:
        raise TargetError(
            f"no column varies in {training.num_rows:,} training rows (looked at: {', '.join(columns)})",
            "take columns out of data.drop, or train on more rows",
        )
    return FeatureSpec(features=tuple(named.values()), timezone=timezone)


def encode(spec: FeatureSpec, rows: pa.Table | pa.RecordBatch) -> np.ndarray:
    """The booster's input: float32 [rows, features], NaN for missing.

    `rows` are typed (Schema.arrow); columns may stand in any order, and others are ignored. Every value goes through
    float64, so that an integer column with gaps, which pandas holds as floats, gives the same number; beyond
    float32's range it is clipped, and infinite counts as missing. Raises DataError naming a missing column.
    """
    import numpy as np

    encoded = np.empty((rows.num_rows, len(spec.features)), dtype=np.float32)
    dates: dict[str, np.ndarray] = {}
    for index, feature in enumerate(spec.features):
        column = _column(rows, feature.source)
        if feature.kind == "code":
            values = _codes(feature, column, spec.read_as_missing)
        elif feature.part is not None:
            if feature.source not in dates:
                dates[feature.source] = _local(column, spec.timezone)
            values = _date_part(dates[feature.source], feature.part)
        else:
            values = _numbers(column)
        encoded[:, index] = to_float32(values)
    return encoded


def unseen(spec: FeatureSpec, rows: pa.Table | pa.RecordBatch) -> Mapping[str, int]:
    """Rows per source column whose category is not among the levels; columns without any are left out."""
    counts = {}
    for feature in spec.features:
        if feature.kind == "code":
            codes = _codes(feature, _column(rows, feature.source), spec.read_as_missing)
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


def _candidates(column: Column, values: pa.ChunkedArray, is_category: bool, *, with_days: bool) -> Iterator[Feature]:
    """What `column` could become, whether or not it varies."""
    name = column.name
    if column.kind == "text" or (column.kind == "integer" and is_category):
        yield Feature(name=name, source=name, kind="code", levels=_levels(values))
    elif column.kind in ("date", "timestamp"):
        parts: tuple[DatePart, ...] = DATE_PARTS + (CLOCK_PARTS if column.kind == "timestamp" else ())
        for part in (*parts, "days") if with_days else parts:
            yield Feature(name=f"{name}.{part}", source=name, kind="date_part", part=part)
    else:
        yield Feature(name=name, source=name, kind="boolean" if column.kind == "boolean" else "number")


def _levels(values: pa.ChunkedArray) -> tuple[str, ...]:
    """The levels worth a code, sorted: integers by number, text by code point."""
    import pyarrow as pa

    counted = [(pair["values"], pair["counts"]) for pair in values.value_counts().to_pylist()]
    kept = [(value, count) for value, count in counted if value is not None and value not in READ_AS_MISSING]
    if len(kept) > RARE_FROM:
        kept = [(value, count) for value, count in kept if count > 1]
    kept = sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:MAX_LEVELS]
    assert pa.types.is_integer(values.type) or pa.types.is_string(values.type)
    return tuple(str(value) for value in sorted(value for value, _ in kept))


def _column(rows: pa.Table | pa.RecordBatch, name: str) -> pa.ChunkedArray:
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


def _varies(encoded: np.ndarray) -> bool:
    """Whether an encoded column differs anywhere; missing in some rows counts as a difference."""
    import numpy as np

    missing = np.isnan(encoded)
    if missing.all():
        return False
    present = encoded[~missing]
    return bool(missing.any() or (present != present[0]).any())


def _xgboost_name(name: str, taken: Mapping[str, Feature]) -> str:
    """`name` without `[`, `]` and `<`, which XGBoost refuses, and unlike any name in `taken`."""
    plain = name.translate(str.maketrans("[]<", "()‹"))
    if not plain.strip():
        plain = f"column {len(taken) + 1}"
    unique, count = plain, 1
    while unique in taken:
        count += 1
        unique = f"{plain} ({count})"
    return unique
