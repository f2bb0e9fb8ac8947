"""The model that MLflow loads: raw rows to predictions.

Repeats `predict_table` of tasks/bundle/model.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
import xgboost

from treadle.infra.tracking.scorer.coefficients import linear_margins
from treadle.infra.tracking.scorer.encoding import encode, made_of
from treadle.infra.tracking.scorer.postprocessing import postprocess
from treadle.infra.tracking.scorer.reading import Reader
from treadle.infra.tracking.scorer.verification import verified

if TYPE_CHECKING:
    from treadle.infra.tracking.scorer.encoding import FeatureSpec
    from treadle.infra.tracking.scorer.reading import Column


class Scorer(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Raw rows to predictions: the key's columns (without a key all inputs) and the prediction columns."""

    def load_context(self, context: Any) -> None:
        """Check every file of the bundle against its manifest, then read it; raises ValueError where they differ."""
        contents = verified(Path(context.artifacts["bundle"]))
        part = "serving/" if "serving/spec.json" in contents else ""  # a bundle of format 1 has one booster, at the top
        spec = json.loads(contents[f"{part}spec.json"])
        self.columns: dict[str, Column] = {column["name"]: column for column in spec["columns"]}
        self.features: FeatureSpec = spec["features"]
        self.post: dict[str, Any] = spec["post"]
        self.key: list[str] = spec["key"]
        self.identity: list[str] = spec["identity"]
        self.reader = Reader(spec["missing"], spec["timezone"])
        self.booster = read_booster(contents[f"{part}model.ubj"])
        second = contents.get(f"{part}interval.ubj")
        self.interval = None if second is None else read_booster(second)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row of predictions for every raw row, in order and under the same index.

        Columns may stand in any order and others may be there. Raises ValueError naming columns that are missing.
        """
        frame = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame(model_input)
        needed = dict.fromkeys([*self.key, *made_of(self.features)])
        if gone := [name for name in needed if name not in frame.columns]:
            raise ValueError(f"missing columns: {', '.join(map(repr, gone))}; the model needs {', '.join(needed)}")
        encoded = encode(self.features, self.columns, self.reader, frame)
        raw = self.booster.inplace_predict(encoded, base_margin=linear_margins(self.booster, encoded))
        second = None if self.interval is None else self.interval.inplace_predict(encoded)
        predictions = postprocess(self.post, raw, frame.index, second)
        return pd.concat([self._identity(frame), predictions], axis=1)

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


def read_booster(ubj: bytes) -> xgboost.Booster:
    """A booster from bytes that are known to be good, to predict on the CPU."""
    booster = xgboost.Booster({"device": "cpu"})
    booster.load_model(bytearray(ubj))
    booster.set_param({"device": "cpu"})
    return booster
