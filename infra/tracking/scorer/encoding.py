"""The booster's input from raw columns: the features that spec.json declares.

Repeats `encode` of tasks/features/encoding.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np
import pandas as pd

from treadle.infra.tracking.scorer.reading import LARGEST, inside_calendar
from treadle.infra.tracking.scorer.texts import entry_counts, gram_counts
from treadle.infra.tracking.scorer.values import SPACE, is_number, number_of, only_once, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import tzinfo

    from treadle.infra.tracking.scorer.reading import Column, Reader


DAY = 86_400_000_000
FIRSTS = {"dayofyear": 1, "weekday": 0, "hour": 0}


class Feature(TypedDict):
    """A feature of spec.json, which says of the optional fields what its kind needs; see tasks/features/spec.py."""

    source: str
    kind: str
    levels: list[str]
    part: str | None
    values: NotRequired[list[float]]
    fallback: NotRequired[float]
    missing: NotRequired[float]
    origin: NotRequired[str]
    separator: NotRequired[str]
    bucket: NotRequired[int]
    scale: NotRequired[dict[str, float]]
    offset: NotRequired[float]


class FeatureSpec(TypedDict):
    """The features of spec.json in the booster's order; see tasks/features/spec.py."""

    features: list[Feature]
    read_as_missing: list[str]
    beyond_float32: NotRequired[str]


def encode(spec: FeatureSpec, columns: Mapping[str, Column], reader: Reader, frame: pd.DataFrame) -> np.ndarray:
    """The booster's input: float32 [rows, features], NaN for missing."""
    encoded = np.empty((len(frame), len(spec["features"])), dtype=np.float32)
    inputs = Inputs(spec, columns, reader, frame)
    for index, feature in enumerate(spec["features"]):
        encoded[:, index] = to_float32(linear_input(feature, inputs.numbers(index, feature)))
    return encoded


def made_of(spec: FeatureSpec) -> list[str]:
    """The columns that the features are made of."""
    found = ([feature["source"], feature.get("origin", "")] for feature in spec["features"])
    return list(dict.fromkeys(name for names in found for name in names if name))


class Inputs:
    """The columns of a frame; what several features of a column share is computed once."""

    def __init__(self, spec: FeatureSpec, columns: Mapping[str, Column], reader: Reader, frame: pd.DataFrame) -> None:
        self.spec, self.columns, self.reader, self.frame = spec, columns, reader, frame
        self.codes: dict[tuple[str, tuple[str, ...]], np.ndarray] = {}
        self.dates: dict[str, np.ndarray] = {}
        self.texts: dict[int, np.ndarray] = {}

    def numbers(self, index: int, feature: Feature) -> np.ndarray:
        """The numbers of the feature at `index`, float64 or float32 [rows]."""
        column, series = self.columns[feature["source"]], self.frame[feature["source"]]
        if feature["kind"] in ("code", "indicator", "statistic", "count"):
            codes = self.level_codes(column, series, feature["levels"])
            return codes if feature["kind"] in ("code", "indicator") else from_table(feature, codes)
        if feature["kind"] == "missing" and column["kind"] == "text":
            return self.level_codes(column, series, [])
        if feature["kind"] in ("gram", "entry"):
            if index not in self.texts:
                self.texts |= self.text_numbers(series, feature)
            return self.texts[index]
        if "origin" in feature:
            return self.days_between(column, self.columns[feature["origin"]])
        if feature["part"] is None:
            return self.number(feature, series, column["kind"])
        parts = date_part(self.local(column), feature["part"])
        return cycle(parts, feature["part"], feature["values"]) if feature["kind"] == "cycle" else parts

    def number(self, feature: Feature, series: pd.Series, kind: str) -> np.ndarray:
        """Numbers, less their offset; raises ValueError for one beyond float32, unless the spec clips it."""
        if feature["kind"] != "number":
            return self.reader.numeric(series, kind)
        values = self.reader.floats(series, kind)
        beyond = np.isfinite(values) & (np.abs(values) > LARGEST)
        if self.spec.get("beyond_float32", "clip") == "clip":
            values = np.where(beyond, values, self.reader.of_kind(values, kind))
        elif beyond.any():
            raise ValueError(
                f"column {feature['source']!r} is {values[beyond].tolist()[0]!r} in one of {int(beyond.sum()):,} rows "
                f"beyond the range of float32 (at most {LARGEST:.2g} in size), in which the model computes: correct "
                "these rows"
            )
        else:
            values = self.reader.of_kind(values, kind)
        return values - feature["offset"] if "offset" in feature else values

    def level_codes(self, column: Column, series: pd.Series, levels: Sequence[str]) -> np.ndarray:
        """Float64 codes: index into the levels, -1 for another value, NaN for missing."""
        key = (column["name"], tuple(levels))
        if key not in self.codes:
            if column["kind"] == "integer":
                self.codes[key] = integer_codes(self.reader, series, levels)
            else:
                self.codes[key] = text_codes(self.reader, series, levels, self.spec["read_as_missing"])
        return self.codes[key]

    def local(self, column: Column) -> np.ndarray:
        """The wall-clock times of a column."""
        name = column["name"]
        if name not in self.dates:
            instants = self.reader.instants(self.frame[name], column)
            self.dates[name] = local_time(instants, column["kind"], self.reader.zone)
        return self.dates[name]

    def days_between(self, later: Column, earlier: Column) -> np.ndarray:
        """Days between two columns: of two instants as such, of a date and an instant by the clock."""
        if later["kind"] == earlier["kind"]:
            moments = [inside_calendar(self.reader.instants(self.frame[one["name"]], one)) for one in (later, earlier)]
        else:
            moments = [self.local(later), self.local(earlier)]
        apart = moments[0] - moments[1]
        return np.where(np.isnat(apart), np.nan, apart.astype(np.int64).astype(np.float64) / DAY)

    def text_numbers(self, series: pd.Series, like: Feature) -> dict[int, np.ndarray]:
        """The numbers of all features of the source, kind and separator of `like`, by their positions."""
        wanted = [
            (index, one)
            for index, one in enumerate(self.spec["features"])
            if (one["source"], one["kind"]) == (like["source"], like["kind"])
            and one.get("separator") == like.get("separator")
        ]
        absent = self.spec["read_as_missing"]
        if like["kind"] == "gram":
            counts = gram_counts(self.reader, series, [one["bucket"] for _, one in wanted], absent)
        else:
            entries = [one["levels"][0] if one["levels"] else None for _, one in wanted]
            counts = entry_counts(self.reader, series, like["separator"], entries, absent)
        return {index: counts[:, at] for at, (index, _) in enumerate(wanted)}


def from_table(feature: Feature, codes: np.ndarray) -> np.ndarray:
    """The number of each level code, from the feature's table: float64 [rows]."""
    table = np.array([*feature["values"], feature["fallback"], feature["missing"]])
    place = np.where(codes == -1, len(table) - 2, codes)
    return np.asarray(table[np.where(np.isnan(codes), len(table) - 1, place).astype(np.int64)])


def cycle(parts: np.ndarray, part: str, table: Sequence[float]) -> np.ndarray:
    """The table's number for each value of a calendar part, float64, NaN for NaN."""
    place = np.where(np.isnan(parts), len(table), parts - FIRSTS[part]).astype(np.int64)
    return np.array([*table, np.nan])[place]


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
    return np.asarray(np.nan_to_num(scaled))


def text_codes(reader: Reader, series: pd.Series, levels: Sequence[str], read_as_missing: Iterable[str]) -> np.ndarray:
    """Float64 codes of a text column: index into the levels, -1 for another text, NaN for missing.

    Where pandas took text for numbers or booleans, the level is found by its value: 7 is "007" if that is the
    only level of value 7, True is "TRUE" or "true".
    """
    index = {level: float(code) for code, level in enumerate(levels)}
    by_number = only_once((number_of(level), code) for level, code in index.items() if is_number(level))
    by_word = only_once((level.strip(SPACE).lower(), code) for level, code in index.items())
    absent = frozenset(read_as_missing)

    def code_of(value: object) -> float:
        text = text_of(value)
        if reader.is_missing(value) or text in absent:
            return math.nan
        if text in index or isinstance(value, str):
            return index.get(text, -1.0)
        if isinstance(value, bool | np.bool_):
            return float(by_word.get(text, -1.0))
        return float(by_number.get(number_of(value), -1.0))

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
