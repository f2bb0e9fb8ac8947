"""A bundle as any MLflow client loads it: one file on numpy, pandas and xgboost; no treadle, no pickle.

MLflow stores this file beside the bundle and runs it at load ("models from code"), so it imports nothing of ours.
It does what the batch path does (tasks/dataset/typing.py, features.py, postprocess.py), but starts from a frame as
`pandas.read_csv` or `read_parquet` gives it: integers with gaps are floats, dates are text, categories may be
integers or booleans because their texts look so. Property tests keep the two paths equal to the bit.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict
from zoneinfo import ZoneInfo

import mlflow
import numpy as np
import pandas as pd
import xgboost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

SPACE = " \t\r\n"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z| UTC|[+-]\d{2}(:?\d{2})?)?)?", re.ASCII)
WIDTHS = {"%Y": 4, "%y": 2, "%m": 2, "%d": 2, "%j": 3, "%H": 2, "%M": 2, "%S": 2}
MODEL_FILES = {"MLmodel", "artifacts", "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta"}
MODEL_FILES |= {"scorer.py", "__pycache__"}  # what MLflow keeps of a model, and Python of the joined file
FIRST, LAST = np.datetime64("0001-01-02", "us"), np.datetime64("9999-12-30", "us")


class Column(TypedDict):
    """A column of spec.json: its name, kind and strptime format ("": ISO 8601)."""

    name: str
    kind: str
    format: str


class Feature(TypedDict):
    """A feature of spec.json; see tasks/features.py."""

    source: str
    kind: str
    levels: list[str]
    part: str | None


class Reader:
    """Raw columns to typed arrays, by the rules of tasks/dataset/typing.py; what cannot be typed is missing."""

    def __init__(self, missing: Sequence[str], timezone: str) -> None:
        self.tokens = {token.strip(SPACE) for token in missing}
        self.numbers = {number for token in missing if math.isfinite(number := _float_or_nan(token))}
        self.zone = ZoneInfo(timezone) if timezone else None

    def numeric(self, series: pd.Series, kind: str) -> np.ndarray:
        """Float64 with NaN for missing, of an integer, number or boolean column."""
        if pd.api.types.is_numeric_dtype(series.dtype):
            values = series.to_numpy(dtype=np.float64, na_value=np.nan)
            if self.numbers and not pd.api.types.is_bool_dtype(series.dtype):
                values = np.where(np.isin(values, list(self.numbers)), np.nan, values)
        else:
            values = self._each(series, lambda value: self._number(value, kind))
        good = np.isfinite(values)
        if kind == "integer":
            good &= (values == np.trunc(values)) & (values >= -(2.0**63)) & (values < 2.0**63)
        elif kind == "boolean":
            good &= (values == 0) | (values == 1)
        return np.where(good, values, np.nan)

    def codes(self, series: pd.Series, levels: Sequence[str], read_as_missing: Iterable[str]) -> np.ndarray:
        """Float64 codes of a text column: index into the levels, -1 for another text, NaN for missing.

        Where pandas took text for numbers or booleans, the level is found by its value: 7 is "007" if that is the
        only level of value 7, True is "TRUE" or "true".
        """
        index = {level: float(code) for code, level in enumerate(levels)}
        by_number = _only_once((_number_of(level), code) for level, code in index.items() if _is_number(level))
        by_word = _only_once((level.strip(SPACE).lower(), code) for level, code in index.items())
        absent = frozenset(read_as_missing)

        def code_of(value: object) -> float:
            text = _text(value)
            if self._is_missing(value) or text in absent:
                return math.nan
            if text in index or isinstance(value, str):
                return index.get(text, -1.0)
            if isinstance(value, bool | np.bool_):
                return by_word.get(text, -1.0)
            return by_number.get(_number_of(value), -1.0)

        return self._each(series, code_of)

    def integer_codes(self, series: pd.Series, levels: Sequence[str]) -> np.ndarray:
        """Float64 codes of an integer column; the levels are sorted by number."""
        values = self.numeric(series, "integer")
        known = np.array([int(level) for level in levels], dtype=np.float64)
        place = np.searchsorted(known, values)
        found = np.append(known, np.nan)[place] == values
        return np.where(np.isnan(values), np.nan, np.where(found, place, -1))

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
        inside = _inside(wall)
        known = pd.DatetimeIndex(inside).tz_localize(self.zone, ambiguous="NaT", nonexistent="NaT")
        utc = known.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")
        for row in np.flatnonzero(np.isnat(utc) & ~np.isnat(inside)):
            moment = inside[row].astype(datetime)
            both = [moment.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
            utc[row] = np.datetime64(max(both).replace(tzinfo=None), "us")
        return utc

    def local(self, instants: np.ndarray, kind: str) -> np.ndarray:
        """Days as they are; instants as wall-clock time of the zone, NaT outside Python's calendar."""
        if kind == "date" or self.zone is None:
            return _inside(instants)
        wall = pd.DatetimeIndex(_inside(instants)).tz_localize("UTC").tz_convert(self.zone).tz_localize(None)
        return wall.to_numpy().astype("datetime64[us]")

    def _each(self, series: pd.Series, convert: Callable[[Any], float]) -> np.ndarray:
        """`convert` applied once to every distinct value of a column, NaN where there is none."""
        codes, uniques = pd.factorize(series)
        return np.array([*(convert(value) for value in uniques), math.nan], dtype=np.float64)[codes]

    def _is_missing(self, value: object) -> bool:
        if isinstance(value, str):
            return value.strip(SPACE) in self.tokens
        return not isinstance(value, bool | np.bool_) and _number_of(value) in self.numbers

    def _number(self, value: object, kind: str) -> float:
        if self._is_missing(value):
            return math.nan
        if kind == "boolean" and isinstance(value, str):
            return {"true": 1.0, "false": 0.0}.get(value.strip(SPACE).lower(), math.nan)
        return _number_of(value)

    def _moment(self, value: object, form: str, zone: tzinfo) -> datetime | None:
        """One value of a date or timestamp column that is no datetime64; in `zone` if it names an offset."""
        if self._is_missing(value):
            return None
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day)
        try:
            moment = value if isinstance(value, datetime) else _written(value, form)
            return moment if moment.tzinfo is None else moment.astimezone(zone)
        except (ValueError, OverflowError):
            return None


class Scorer(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Raw rows to predictions: the key's columns (without a key all inputs) and the prediction columns."""

    def load_context(self, context: Any) -> None:
        """Check every file of the bundle against its manifest, then read it; raises ValueError where they differ."""
        contents = verified(Path(context.artifacts["bundle"]))
        spec = json.loads(contents["spec.json"])
        self.columns: dict[str, Column] = {column["name"]: column for column in spec["columns"]}
        self.features: list[Feature] = spec["features"]["features"]
        self.read_as_missing: list[str] = spec["features"]["read_as_missing"]
        self.post: dict[str, Any] = spec["post"]
        self.key: list[str] = spec["key"]
        self.identity: list[str] = spec["identity"]
        self.reader = Reader(spec["missing"], spec["timezone"])
        self.booster = xgboost.Booster({"device": "cpu"})
        self.booster.load_model(bytearray(contents["model.ubj"]))
        self.booster.set_param({"device": "cpu"})

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row of predictions for every raw row, in order and under the same index.

        Columns may stand in any order and others may be there. Raises ValueError naming columns that are missing.
        """
        frame = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame(model_input)
        needed = dict.fromkeys([*self.key, *(feature["source"] for feature in self.features)])
        if gone := [name for name in needed if name not in frame.columns]:
            raise ValueError(f"missing columns: {', '.join(map(repr, gone))}; the model needs {', '.join(needed)}")
        predictions = postprocess(self.post, self.booster.inplace_predict(self.encode(frame)), frame.index)
        return pd.concat([self._identity(frame), predictions], axis=1)

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """The booster's input: float32 [rows, features], NaN for missing."""
        encoded = np.empty((len(frame), len(self.features)), dtype=np.float32)
        local: dict[str, np.ndarray] = {}
        for index, feature in enumerate(self.features):
            column, series = self.columns[feature["source"]], frame[feature["source"]]
            if feature["part"] is not None:
                if column["name"] not in local:
                    instants = self.reader.instants(series, column)
                    local[column["name"]] = self.reader.local(instants, column["kind"])
                values = date_part(local[column["name"]], feature["part"])
            elif feature["kind"] != "code":
                values = self.reader.numeric(series, column["kind"])
            elif column["kind"] == "integer":
                values = self.reader.integer_codes(series, feature["levels"])
            else:
                values = self.reader.codes(series, feature["levels"], self.read_as_missing)
            encoded[:, index] = to_float32(values)
        return encoded

    def _identity(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The columns that name a row, as they came; dates and timestamps typed, as their text may lack the zone."""
        names = [name for name in self.identity if name in frame.columns]
        identity = frame[names].copy()
        for name in names:
            column = self.columns[name]
            if column["kind"] in ("date", "timestamp"):
                instants = pd.DatetimeIndex(self.reader.instants(frame[name], column))
                typed = instants.date if column["kind"] == "date" else instants.tz_localize("UTC")
                identity[name] = pd.Series(typed, index=frame.index)
        return identity


def verified(folder: Path) -> dict[str, bytes]:
    """The bundle's files, each as its manifest says, and no other; raises ValueError before anything is parsed."""
    beside = {path.name for path in folder.parent.iterdir()} - {folder.name}
    if (model := folder.parents[1] / "MLmodel").exists() and (
        strange := sorted(beside | ({path.name for path in model.parent.iterdir()} - MODEL_FILES))
    ):
        raise ValueError(f"model bundle: {strange[0]!r} does not belong beside it")
    there = {path.name: path for path in folder.iterdir()}
    if odd := [name for name, path in there.items() if folder.is_symlink() or path.is_symlink() or not path.is_file()]:
        raise ValueError(f"model bundle: {odd[0]!r} is no plain file")
    if "manifest.json" not in there:
        raise ValueError("model bundle: manifest.json is missing")
    files = json.loads(there.pop("manifest.json").read_bytes())["files"]
    if different := sorted(there.keys() ^ files.keys()):
        raise ValueError(f"model bundle: {different[0]!r} is missing, or is not in the manifest")
    contents = {name: path.read_bytes() for name, path in there.items()}
    for name, data in contents.items():
        if hashlib.sha256(data).hexdigest() != files[name]["sha256"]:
            raise ValueError(f"model bundle: {name!r} is damaged: it is not what the manifest says")
    return contents


def postprocess(post: Mapping[str, Any], raw: np.ndarray, index: pd.Index) -> pd.DataFrame:
    """The prediction columns for the booster's raw output; `post` is what tasks/postprocess.py calls Post."""
    p: np.ndarray = raw.astype(np.float64).ravel()  # the shape of no rows depends on XGBoost's version
    if post["task"] == "regression":
        return pd.DataFrame({"prediction": p, "lower": p - post["half_width"], "upper": p + post["half_width"]}, index)
    labels = pd.Series(post["classes"])
    if post["task"] == "binary":
        p = np.interp(p, post["knots_x"], post["knots_y"]) if post["knots_x"] else p
        chosen, columns = (p >= post["threshold"]).astype(np.int64), {"probability": p}
    else:
        names = [f"probability_{_text(label)}" for label in post["classes"]]
        p = p.reshape(len(index), len(names))
        chosen, columns = p.argmax(axis=1), dict(zip(names, p.T, strict=True))
    return pd.DataFrame({"prediction": labels.take(chosen).to_numpy(), **columns}, index=index)


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


def _inside(instants: np.ndarray) -> np.ndarray:
    """NaT for what lies outside Python's calendar."""
    return np.where((instants >= FIRST) & (instants <= LAST), instants, np.datetime64("NaT", "us"))


def _written(value: object, form: str) -> datetime:
    """A time as somebody wrote it, in text or as a whole number such as 20130905; ValueError if it is none."""
    if isinstance(value, str):
        text = value.strip(SPACE)
    else:  # leading zeros are lost where pandas took digits for a number
        number, width = _number_of(value), sum(WIDTHS.get(code, 0) for code in re.findall("%.", form))
        text = str(int(number)).zfill(width) if number.is_integer() else ""
    if form:
        return datetime.strptime(text, form)
    if not INSTANT.fullmatch(text):
        raise ValueError(text)
    hour = text[11:13]
    moment = datetime.fromisoformat((text[:11] + hour.replace("24", "00") + text[13:]).replace(" UTC", "Z"))
    if hour == "24" and (moment.minute, moment.second, moment.microsecond) != (0, 0, 0):
        raise ValueError(text)
    return moment + timedelta(days=1) if hour == "24" else moment


def _text(value: object) -> str:
    """A value as text: a whole float as an integer, booleans in small letters."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _number_of(value: object) -> float:
    """A number, a boolean or a number's text as float; NaN for anything else."""
    if isinstance(value, str):
        return _float_or_nan(value) if _is_number(value) else math.nan
    return math.nan if isinstance(value, date) else _float_or_nan(value)


def _is_number(text: str) -> bool:
    return NUMBER.fullmatch(text.strip(SPACE)) is not None


def _float_or_nan(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _only_once(pairs: Iterable[tuple[Any, float]]) -> dict[Any, float]:
    """A dictionary of the keys that come once."""
    known = list(pairs)
    times = Counter(key for key, _ in known)
    return {key: value for key, value in known if times[key] == 1}
