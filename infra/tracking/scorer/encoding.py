"""The booster's input from raw columns: the features that spec.json declares.

Repeats `encode` of tasks/features/encoding.py.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import pandas as pd

from treadle.infra.tracking.scorer.reading import inside_calendar
from treadle.infra.tracking.scorer.values import SPACE, is_number, number_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import tzinfo

    from treadle.infra.tracking.scorer.reading import Column, Reader


class Feature(TypedDict):
    """A feature of spec.json; see tasks/features/spec.py."""

    source: str
    kind: str
    levels: list[str]
    part: str | None
    scale: dict[str, float] | None  # only in the spec of a linear model


class FeatureSpec(TypedDict):
    """The features of spec.json in the booster's order; see tasks/features/spec.py."""

    features: list[Feature]
    read_as_missing: list[str]


def encode(spec: FeatureSpec, columns: Mapping[str, Column], reader: Reader, frame: pd.DataFrame) -> np.ndarray:
    """The booster's input: float32 [rows, features], NaN for missing."""
    encoded = np.empty((len(frame), len(spec["features"])), dtype=np.float32)
    dates: dict[str, np.ndarray] = {}
    for index, feature in enumerate(spec["features"]):
        column, series = columns[feature["source"]], frame[feature["source"]]
        if feature["part"] is not None:
            if column["name"] not in dates:
                dates[column["name"]] = local_time(reader.instants(series, column), column["kind"], reader.zone)
            values = date_part(dates[column["name"]], feature["part"])
        elif feature["kind"] not in ("code", "indicator") and column["kind"] != "text":
            values = reader.numeric(series, column["kind"])
        elif column["kind"] == "integer":
            values = integer_codes(reader, series, feature["levels"])
        else:
            values = text_codes(reader, series, feature["levels"], spec["read_as_missing"])
        encoded[:, index] = to_float32(linear_input(feature, values))
    return encoded


def linear_input(feature: Feature, values: np.ndarray) -> np.ndarray:
    """What a linear model's feature makes of its source's values; trees' features are the values as they are."""
    if feature["kind"] == "missing":
        return np.where(np.isfinite(values), 0.0, 1.0)
    if feature["kind"] == "indicator":
        return np.where(values == 0, 1.0, 0.0)
    scale = feature.get("scale")
    if scale is None:
        return values
    filled = np.where(np.isfinite(values), values, scale["fill"])
    with np.errstate(over="ignore"):
        scaled: np.ndarray = (filled - scale["mean"]) / scale["std"]
    return np.nan_to_num(scaled)


def text_codes(reader: Reader, series: pd.Series, levels: Sequence[str], read_as_missing: Iterable[str]) -> np.ndarray:
    """Float64 codes of a text column: index into the levels, -1 for another text, NaN for missing.

    Where pandas took text for numbers or booleans, the level is found by its value: 7 is "007" if that is the
    only level of value 7, True is "TRUE" or "true".
    """
    index = {level: float(code) for code, level in enumerate(levels)}
    by_number = _only_once((number_of(level), code) for level, code in index.items() if is_number(level))
    by_word = _only_once((level.strip(SPACE).lower(), code) for level, code in index.items())
    absent = frozenset(read_as_missing)

    def code_of(value: object) -> float:
        text = text_of(value)
        if reader.is_missing(value) or text in absent:
            return math.nan
        if text in index or isinstance(value, str):
            return index.get(text, -1.0)
        if isinstance(value, bool | np.bool_):
            return by_word.get(text, -1.0)
        return by_number.get(number_of(value), -1.0)

    return reader.each(series, code_of)


def integer_codes(reader: Reader, series: pd.Series, levels: Sequence[str]) -> np.ndarray:
    """Float64 codes of an integer column; the levels are sorted by number."""
    values = reader.numeric(series, "integer")
    known = np.array([int(level) for level in levels], dtype=np.float64)
    place = np.searchsorted(known, values)
    found = np.append(known, np.nan)[place] == values
    return np.where(np.isnan(values), np.nan, np.where(found, place, -1))


def local_time(instants: np.ndarray, kind: str, zone: tzinfo | None) -> np.ndarray:
    """Days as they are; instants as wall-clock time of the zone, NaT outside Python's calendar."""
    if kind == "date" or zone is None:
        return inside_calendar(instants)
    wall = pd.DatetimeIndex(inside_calendar(instants)).tz_localize("UTC").tz_convert(zone).tz_localize(None)
    return wall.to_numpy().astype("datetime64[us]")


def date_part(local: np.ndarray, part: str) -> np.ndarray:
    """One calendar part as float64, NaN for NaT: weekday from Monday = 0, days since 1970-01-01."""
    if part == "days":
        return np.where(np.isnat(local), np.nan, local.astype("datetime64[D]").astype(np.int64).astype(np.float64))
    attribute = {"weekday": "day_of_week", "dayofyear": "day_of_year"}.get(part, part)
    return np.asarray(getattr(pd.DatetimeIndex(local), attribute), dtype=np.float64)


def to_float32(values: np.ndarray) -> np.ndarray:
    """Float64 to float32: infinite becomes NaN, what lies beyond float32 its largest or smallest number."""
    limit = float(np.finfo(np.float32).max)
    return np.clip(np.where(np.isinf(values), np.nan, values), -limit, limit).astype(np.float32)


def _only_once(pairs: Iterable[tuple[Any, float]]) -> dict[Any, float]:
    """A dictionary of the keys that come once."""
    known = list(pairs)
    times = Counter(key for key, _ in known)
    return {key: value for key, value in known if times[key] == 1}
