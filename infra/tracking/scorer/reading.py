"""Raw columns to typed arrays; what cannot be typed is missing.

Repeats tasks/dataset/typing.py.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, tzinfo
from typing import TYPE_CHECKING, Any, TypedDict
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from treadle.infra.tracking.scorer.values import SPACE, float_or_nan, moment_of, number_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LARGEST = float(np.finfo(np.float32).max)
FIRST, LAST = np.datetime64("0001-01-02", "us"), np.datetime64("9999-12-30", "us")


class Column(TypedDict):
    """A column of spec.json: its name, kind and strptime format ("": ISO 8601)."""

    name: str
    kind: str
    format: str


class Reader:
    """Reads the columns of one pipeline, which has `missing` tokens and a `timezone` (IANA, empty: UTC)."""

    def __init__(self, missing: Sequence[str], timezone: str) -> None:
        self.tokens = {token.strip(SPACE) for token in missing}
        self.numbers = {number for token in missing if math.isfinite(number := float_or_nan(token))}
        self.zone = ZoneInfo(timezone) if timezone else None

    def numeric(self, series: pd.Series, kind: str) -> np.ndarray:
        """Float64 with NaN for missing, of an integer, number or boolean column; beyond float32 is no number."""
        return self.of_kind(self.floats(series, kind), kind)

    def of_kind(self, values: np.ndarray, kind: str) -> np.ndarray:
        """NaN for what is infinite, beyond float32 or does not fit the kind."""
        good = np.abs(values) <= LARGEST
        if kind == "integer":
            good &= (values == np.trunc(values)) & (values >= -(2.0**63)) & (values < 2.0**63)
        elif kind == "boolean":
            good &= (values == 0) | (values == 1)
        return np.where(good, values, np.nan)

    def floats(self, series: pd.Series, kind: str) -> np.ndarray:
        """Float64 with NaN for what is missing or no number, whether or not it fits the kind."""
        if pd.api.types.is_numeric_dtype(series.dtype):
            values = series.to_numpy(dtype=np.float64, na_value=np.nan)
            if self.numbers and not pd.api.types.is_bool_dtype(series.dtype):
                values = np.where(np.isin(values, list(self.numbers)), np.nan, values)
        else:
            values = self.each(series, lambda value: self._number(value, kind))
        return values

    def instants(self, series: pd.Series, column: Column) -> np.ndarray:
        """A date column's days, or a timestamp column's instants in UTC: datetime64[us], NaT for missing."""
        is_date = column["kind"] == "date"
        zone = self.zone if is_date and self.zone else UTC
        if pd.api.types.is_datetime64_any_dtype(series.dtype):
            index = pd.DatetimeIndex(series)
            aware = np.full(len(index), index.tz is not None)
            index = index if index.tz is None else index.tz_convert(zone).tz_localize(None)
            wall = index.to_numpy().astype("datetime64[us]")
        else:
            codes, uniques = pd.factorize(series)
            moments = [*(self._moment(value, column["format"], zone) for value in uniques), None]
            aware = np.array([moment is not None and moment.tzinfo is not None for moment in moments])[codes]
            naive = [None if moment is None else moment.replace(tzinfo=None) for moment in moments]
            wall = np.array(naive, dtype="datetime64[us]")[codes]
        if is_date:
            return wall.astype("datetime64[D]").astype("datetime64[us]")
        return np.where(aware, wall, self.to_utc(wall))

    def to_utc(self, wall: np.ndarray) -> np.ndarray:
        """Wall-clock times as instants: of two the later, a skipped one as if the clock had not changed yet."""
        if self.zone is None or not len(wall):
            return wall
        inside = inside_calendar(wall)
        known = pd.DatetimeIndex(inside).tz_localize(self.zone, ambiguous="NaT", nonexistent="NaT")
        utc = known.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")
        for row in np.flatnonzero(np.isnat(utc) & ~np.isnat(inside)):
            moment = inside[row].astype(datetime)
            both = [moment.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
            utc[row] = np.datetime64(max(both).replace(tzinfo=None), "us")
        return utc

    def each(self, series: pd.Series, convert: Callable[[Any], float]) -> np.ndarray:
        """`convert` applied once to every distinct value of a column, NaN where there is none."""
        codes, uniques = pd.factorize(series)
        return np.array([*(convert(value) for value in uniques), math.nan], dtype=np.float64)[codes]

    def is_missing(self, value: object) -> bool:
        """Whether a value is one of the missing tokens, or a number that one of them names."""
        if isinstance(value, str):
            return value.strip(SPACE) in self.tokens
        return not isinstance(value, bool | np.bool_) and number_of(value) in self.numbers

    def _number(self, value: object, kind: str) -> float:
        if self.is_missing(value):
            return math.nan
        if kind == "boolean" and isinstance(value, str):
            return {"true": 1.0, "false": 0.0}.get(value.strip(SPACE).lower(), math.nan)
        return number_of(value)

    def _moment(self, value: object, form: str, zone: tzinfo) -> datetime | None:
        """One value of a date or timestamp column that is no datetime64; in `zone` if it names an offset."""
        if self.is_missing(value):
            return None
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day)
        try:
            moment = value if isinstance(value, datetime) else moment_of(value, form)
            return moment if moment.tzinfo is None else moment.astimezone(zone)
        except (ValueError, OverflowError):
            return None


def inside_calendar(instants: np.ndarray) -> np.ndarray:
    """NaT for what lies outside Python's calendar."""
    return np.where((instants >= FIRST) & (instants <= LAST), instants, np.datetime64("NaT", "us"))
