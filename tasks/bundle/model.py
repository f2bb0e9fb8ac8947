"""A model: a booster with all that turns typed rows into predictions.

The scorer repeats `predict_table` for raw rows (infra/tracking/scorer/model.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from treadle.tasks.dataset import Column, Schema
from treadle.tasks.features import FeatureSpec
from treadle.tasks.postprocess import Post

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from xgboost import Booster


LINEAGE = ("purpose", "model_version", "model_digest", "data_version")
"""Columns of the predictions table that say where a prediction comes from."""


class Spec(BaseModel):
    """What spec.json says: the model less its booster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    task: str
    target: str
    key: tuple[str, ...]
    time: str
    timezone: str
    missing: tuple[str, ...]
    columns: tuple[Column, ...]
    features: FeatureSpec
    post: Post
    identity: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A booster with all that makes predictions of it.

    `schema` is the training table's, target included; `timezone` that of timestamps which name none; `missing` the
    texts that mean no value in raw rows. `interval` is the second booster of intervals that need one.
    """

    booster: Booster
    features: FeatureSpec
    post: Post
    schema: Schema
    key: tuple[str, ...]
    target: str
    time: str
    timezone: str
    task: str
    missing: tuple[str, ...]
    interval: Booster | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that scoring reads, in the schema's order: the identity's and those that features are made of."""
        wanted = {*self.identity, *self.features.sources}
        return tuple(name for name in self.schema.names if name in wanted)

    @property
    def identity(self) -> tuple[str, ...]:
        """Columns that name a row in predictions: the key, or without one all but the target.

        An input that bears the name of a prediction column or of its lineage, in whatever case, cannot stand beside it
        and is left out.
        """
        if self.key:
            return self.key
        taken = {name.casefold() for name in (*self.post.column_names(), *LINEAGE)}
        return tuple(name for name in self.schema.names if name != self.target and name.casefold() not in taken)

    @property
    def required(self) -> tuple[str, ...]:
        """The inputs without which there is no prediction, or no key to match it to its row."""
        wanted = {*self.key, *self.features.sources}
        return tuple(name for name in self.inputs if name in wanted)

    def quantiles(self, X: np.ndarray) -> np.ndarray | None:
        """The second booster's quantiles for encoded rows `X` [n, features], float64 [n, 2] on the target's own scale.

        None where the intervals need none.
        """
        import numpy as np

        from treadle.tasks import booster
        from treadle.tasks.interval import own_quantiles

        if self.interval is None or self.post.bands is None or not self.post.bands.quantiles:
            return None
        raw = booster.predict_raw(self.interval, X) if len(X) else np.empty((0, 2), dtype=np.float32)
        return own_quantiles(self.post.bands.quantiles, raw)

    def spec(self) -> Spec:
        """All of the model but its booster."""
        return Spec(
            task=self.task,
            target=self.target,
            key=self.key,
            time=self.time,
            timezone=self.timezone,
            missing=self.missing,
            columns=self.schema.columns,
            features=self.features,
            post=self.post,
            identity=self.identity,
        )


def predict_table(model: Model, rows: pa.Table | pa.RecordBatch) -> pa.Table:
    """The prediction columns for typed rows (Schema.arrow), one row for each, in order.

    Columns may stand in any order; others are ignored. Raises DataError naming a missing column.
    """
    import numpy as np

    from treadle.tasks import booster, features, postprocess

    X = features.encode(model.features, rows)
    if len(X):
        raw = booster.predict_raw(model.booster, X)
    else:
        raw = np.empty((0, len(model.post.classes)) if model.task == "multiclass" else 0, dtype=np.float32)
    return postprocess.apply_postprocess(model.post, raw, model.quantiles(X)).columns
