"""The features of a table's columns, learned from training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.errors import TargetError
from treadle.tasks.features.encoding import encode, typed_column
from treadle.tasks.features.spec import (
    CLOCK_PARTS,
    DATE_PARTS,
    MAX_LEVELS,
    RARE_FROM,
    READ_AS_MISSING,
    DatePart,
    Feature,
    FeatureSpec,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.dataset import Column, Schema


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
        values = typed_column(training, column.name)
        for feature in _candidates(column, values, column.name in categories, with_days=not time):
            spec = FeatureSpec(features=(feature,), timezone=timezone)
            if _varies(encode(spec, training.select([column.name]))):
                name = xgboost_name(feature.name, named)
                named[name] = feature.model_copy(update={"name": name})
    if not named:
        raise TargetError(
            f"no column varies in {training.num_rows:,} training rows (looked at: {', '.join(columns)})",
            "take columns out of data.drop, or train on more rows",
        )
    return FeatureSpec(features=tuple(named.values()), timezone=timezone)


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
