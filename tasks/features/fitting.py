"""The features of a table's columns, learned from training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.centring import offset_of
from treadle.tasks.errors import TargetError
from treadle.tasks.features.dates import CYCLES, cycle_tables, instants
from treadle.tasks.features.encoding import encode, numbers, typed_column
from treadle.tasks.features.spec import (
    CLOCK_PARTS,
    DATE_ENCODINGS,
    DATE_PARTS,
    LEVEL_ENCODINGS,
    MAX_LEVELS,
    MOMENTS,
    RARE_FROM,
    READ_AS_MISSING,
    STATISTICS,
    TEXT_ENCODINGS,
    DatePart,
    Feature,
    FeatureSpec,
)
from treadle.tasks.features.text import frequent_buckets, frequent_entries, list_separator

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.dataset import Column, Schema


SEASONS: frozenset[DatePart] = frozenset({"month", "dayofyear"})
"""Parts of the column that dates the rows which are learned only from rows that span a year, or nearly."""

NEARLY_A_YEAR = 330


def fit_features(
    training: pa.Table,
    schema: Schema,
    *,
    columns: Sequence[str],
    categories: Sequence[str],
    time: str | None,
    timezone: str,
    encodings: Mapping[str, tuple[str, ...]] | None = None,
    differences: Sequence[tuple[str, str]] = (),
) -> FeatureSpec:
    """Learn the encoding of `columns` from typed training rows, as far as it needs no label.

    Text columns, and the integer columns named in `categories`, become codes: levels are sorted (as numbers where
    they are integers), see `MAX_LEVELS` and `RARE_FROM`. Dates and timestamps become the calendar parts that vary.
    Without a time column they also become days since 1970; with one they do not, as every later row would lie
    beyond what the trees have seen. So do month and day of the year of the column `time` where its rows span less than
    `NEARLY_A_YEAR` days: they are left out too. What is the same in every training row (all null, one value and no
    null) is left out.

    `encodings` says of a column what it becomes instead, by names of `ENCODINGS`: none of them leaves the column out;
    names that do not fit what it holds are ignored, and where none fits it is encoded as if it were not there.
    Statistics are declared open: `fit_statistics` gives them values. `differences` are pairs of columns with dates or
    timestamps among `columns`: days from the second to the first. Raises TargetError where nothing is left, DataError
    where a column is missing, or a number is infinite or beyond float32.
    """
    named: dict[str, Feature] = {}

    def keep(candidates: Iterable[Feature]) -> None:
        for feature in _that_vary(tuple(candidates), training, timezone):
            name = xgboost_name(feature.name, named)
            named[name] = feature.model_copy(update={"name": name})

    for column in schema.columns:
        if column.name in columns:
            values = typed_column(training, column.name)
            wanted = (encodings or {}).get(column.name)
            fitting = None if wanted is None else [one for one in wanted if one in _possible(column, categories)]
            usual = _usual(column, categories, with_days=not time)
            made = _candidates(column, values, usual if fitting is None or (wanted and not fitting) else fitting)
            once = column.name == time and not spans_a_year(values)
            keep(one for one in made if not (once and one.part in SEASONS))
    for later, earlier in differences:
        if later in columns and earlier in columns and {kind_of(schema, later), kind_of(schema, earlier)} <= MOMENTS:
            keep([Feature(name=f"{later} since {earlier}", source=later, kind="since", origin=earlier)])
    if not named:
        raise TargetError(
            f"no column varies in {training.num_rows:,} training rows (looked at: {', '.join(columns)})",
            "take columns out of data.drop, or train on more rows",
        )
    return FeatureSpec(features=tuple(named.values()), timezone=timezone, beyond_float32="refuse")


def kind_of(schema: Schema, name: str) -> str:
    """What the column called `name` holds, empty where there is none."""
    return next((column.kind for column in schema.columns if column.name == name), "")


def _possible(column: Column, categories: Sequence[str]) -> tuple[str, ...]:
    """The encodings that fit what `column` holds."""
    if column.kind == "text":
        return (*LEVEL_ENCODINGS, *TEXT_ENCODINGS)
    if column.kind == "integer":
        return LEVEL_ENCODINGS if column.name in categories else ("number", *STATISTICS)
    return DATE_ENCODINGS if column.kind in MOMENTS else ("number",)


def _usual(column: Column, categories: Sequence[str], *, with_days: bool) -> tuple[str, ...]:
    """The encoding of a column of which nothing else is said."""
    if column.kind in MOMENTS:
        return ("parts", "days") if with_days else ("parts",)
    return _possible(column, categories)[:1]


def _candidates(column: Column, values: pa.ChunkedArray, encodings: Iterable[str]) -> Iterator[Feature]:
    """What `column` becomes, whether or not it varies."""
    wanted, name = set(encodings), column.name
    if "number" in wanted and column.kind == "boolean":
        yield Feature(name=name, source=name, kind="boolean")
    elif "number" in wanted:
        yield Feature(name=name, source=name, kind="number", offset=offset_of(numbers(values)))
    if wanted & set(LEVEL_ENCODINGS):
        yield from _levelled(name, values, wanted)
    if "ngrams" in wanted:
        for index, bucket in enumerate(frequent_buckets(values)):
            yield Feature(name=f"{name} gram {index + 1}", source=name, kind="gram", bucket=bucket)
    if "list" in wanted and (separator := list_separator(values)):
        yield Feature(name=f"{name} entries", source=name, kind="entry", separator=separator)
        for entry in frequent_entries(values, separator):
            yield Feature(name=f"{name} has {entry}", source=name, kind="entry", levels=(entry,), separator=separator)
    if column.kind in MOMENTS:
        parts: tuple[DatePart, ...] = DATE_PARTS + (CLOCK_PARTS if column.kind == "timestamp" else ())
        for part in (*(parts if "parts" in wanted else ()), *(("days",) if "days" in wanted else ())):
            yield Feature(name=f"{name}.{part}", source=name, kind="date_part", part=part)
        for part in CYCLES if "season" in wanted else ():
            for wave, table in cycle_tables(part).items() if part in parts else ():
                yield Feature(name=f"{name}.{part}.{wave}", source=name, kind="cycle", part=part, values=table)


def _levelled(name: str, values: pa.ChunkedArray, wanted: Collection[str]) -> Iterator[Feature]:
    """Code, open statistic and open count of a column's levels, as wanted."""
    levels = kept_levels(values)
    code = Feature(name=name, source=name, kind="code", levels=levels)
    if "codes" in wanted:
        yield code
    if "statistics" in wanted:
        yield code.model_copy(update={"name": f"{name}.mean", "kind": "statistic"})
    if "counts" in wanted:
        yield code.model_copy(update={"name": f"{name}.count", "kind": "count"})


def _that_vary(candidates: Sequence[Feature], training: pa.Table, timezone: str) -> Iterator[Feature]:
    """The candidates that differ in the training rows; of an open statistic its codes must."""
    if candidates:
        shown = [one.model_copy(update={"kind": "code"}) if one.is_open else one for one in candidates]
        spec = FeatureSpec(features=tuple(shown), timezone=timezone, beyond_float32="refuse")
        encoded = encode(spec, training)
        yield from (one for index, one in enumerate(candidates) if _varies(encoded[:, index]))


def spans_a_year(values: pa.ChunkedArray) -> bool:
    """Whether dates or timestamps span a year, or nearly: until then each day of the year is one day in time.

    After eleven months the days that come are, but for the first few weeks, days of the year that the rows have shown.
    """
    import numpy as np

    known = instants(values)
    known = known[~np.isnat(known)]
    return bool(len(known) and known.max() - known.min() >= np.timedelta64(NEARLY_A_YEAR, "D"))


def _one_column(name: str, values: pa.ChunkedArray) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: values})


def kept_levels(values: pa.ChunkedArray) -> tuple[str, ...]:
    """The levels worth a code, sorted: integers by number, text by code point."""
    import pyarrow as pa

    counted = [(pair["values"], pair["counts"]) for pair in values.value_counts().to_pylist()]
    kept = [(value, count) for value, count in counted if value is not None and value not in READ_AS_MISSING]
    if len(kept) > RARE_FROM:
        kept = [(value, count) for value, count in kept if count > 1]
    kept = sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:MAX_LEVELS]
    assert pa.types.is_integer(values.type) or pa.types.is_string(values.type)
    return tuple(str(value) for value in sorted(value for value, _ in kept))


def _varies(encoded: np.ndarray) -> bool:
    """Whether an encoded column differs anywhere; missing in some rows counts as a difference."""
    import numpy as np

    missing = np.isnan(encoded)
    if missing.all():
        return False
    present = encoded[~missing]
    return bool(missing.any() or (present != present[0]).any())


def xgboost_name(name: str, taken: Mapping[str, Feature]) -> str:
    """`name` without `[`, `]` and `<`, which XGBoost refuses, and unlike any name in `taken`."""
    plain = name.translate(str.maketrans("[]<", "()‹"))
    if not plain.strip():
        plain = f"column {len(taken) + 1}"
    unique, count = plain, 1
    while unique in taken:
        count += 1
        unique = f"{plain} ({count})"
    return unique
