"""From the booster's raw output to the columns that people read: calibration, threshold, intervals, labels.

The scorer repeats `apply_postprocess` (infra/tracking/scorer/postprocessing.py); a property test keeps the two equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.tasks.calibration import choose_calibration
from treadle.tasks.calibration_maps import mapped
from treadle.tasks.errors import TargetError
from treadle.tasks.objective import plain_objective
from treadle.tasks.target_scale import Transform, from_raw
from treadle.tasks.weights import relative

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.calibration_maps import Calibration
    from treadle.tasks.objective import Objective

ClassLabel = str | bool | int | float

MAX_CLASSES = 100
COVERAGE = 0.9

POSITIVE_WORDS = ("true", "yes", "y", "t", "1", "1.0", "positive", "pos")
"""Which of two labels is the positive one where the config names none: these, else the greater."""


class Post(BaseModel):
    """What is done to the booster's raw output; all of it fitted on rows that the booster was not fitted on.

    `knots_x`, `knots_y`: calibration of binary probabilities, linear between the knots, strictly increasing, so that
    no two rows change places; or `slopes` and `intercepts`, of one class or more (`calibration_maps.mapped`); where all
    are empty there is none. `threshold`: the least probability that is called positive.
    `transform`: what was done to regression's target; the raw output is brought back by `from_raw` with `smear`.
    `half_width`: half of regression's interval on the scale `spread`: in the target's unit, or of log1p(value). It lies
    around the prediction, with a transform around the raw output, which is no mean.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    classes: tuple[ClassLabel, ...] = ()
    knots_x: tuple[float, ...] = ()
    knots_y: tuple[float, ...] = ()
    threshold: float = 0.5
    half_width: float = 0.0
    transform: Transform = ""
    smear: float = 1.0
    spread: Transform = ""
    slopes: tuple[float, ...] = ()
    intercepts: tuple[float, ...] = ()

    def column_names(self) -> tuple[str, ...]:
        """The prediction columns in order."""
        if self.task == "regression":
            return ("prediction", "lower", "upper")
        if self.task == "binary":
            return ("prediction", "probability")
        return ("prediction", *(f"probability_{label_text(label)}" for label in self.classes))


@dataclass(frozen=True, slots=True)
class Predictions:
    """`columns`: the prediction columns, [n]; `p`: float64, the calibrated probability of positive or the value [n],
    or [n, classes].
    """

    columns: pa.Table
    p: np.ndarray


def label_text(label: ClassLabel) -> str:
    """A label as it stands in a column's name: `true`, `3` (also for 3.0), `yes`."""
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def classes(
    task: str, labels: Sequence[ClassLabel | None], positive: str | bool | int | float | None, target: str
) -> tuple[ClassLabel, ...]:
    """The labels in code order: binary (negative, positive), multiclass sorted, regression none.

    `labels` are the target's distinct values; None is ignored. `positive` names binary's positive label, as a value
    or as its text; None leaves it to `POSITIVE_WORDS`. Raises TargetError where the labels do not make the task.
    """
    present = [label for label in dict.fromkeys(labels) if label is not None]
    if not present:
        raise TargetError(f"target {target!r} has no label in any row", "name the column that holds the labels")
    if task == "regression":
        return _check_numbers(present, target)
    if not all(isinstance(label, str | bool | int | float) for label in present):
        raise TargetError(f"target {target!r} holds dates, which are no classes", "choose another target")
    if len(present) == 1:
        raise TargetError(
            f"target {target!r} has a single class, {present[0]!r}: there is nothing to tell apart",
            "add rows of another class, or choose another target",
        )
    ordered = tuple(sorted(present))
    if task == "binary":
        return _check_two(ordered, positive, target)
    if len(ordered) > MAX_CLASSES:
        raise TargetError(
            f"target {target!r} has {len(ordered):,} classes (at most {MAX_CLASSES})",
            "set task = 'regression' for an amount, or group rare classes",
        )
    return ordered


def encode_target(column: pa.ChunkedArray | pa.Array, task: str, classes: Sequence[ClassLabel]) -> np.ndarray:
    """Labels as float32 [n]: class codes in the order of `classes`, or regression's values.

    Raises TargetError for a null or a label that is none of `classes`.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count:
        raise TargetError(f"{column.null_count:,} rows have no label", "train on labelled rows only")
    if task == "regression":
        return np.asarray(column.cast(pa.float64(), safe=False)).astype(np.float32)
    codes = pc.index_in(column, value_set=pa.array(list(classes), column.type))
    if codes.null_count:
        stray = column.filter(pc.is_null(codes))[0].as_py()
        raise TargetError(f"label {stray!r} is none of {list(classes)}", "train again: the classes have changed")
    return np.asarray(codes).astype(np.float32)


def fit_postprocess(
    task: str,
    classes: Sequence[ClassLabel],
    y: np.ndarray,
    raw: np.ndarray,
    objective: Objective | None = None,
    weight: np.ndarray | None = None,
    calibration: Calibration | None = None,
) -> Post:
    """Fit calibration and threshold (classes) or smearing and interval (regression) on validation rows.

    `calibration` is the map that was chosen for these rows (None: it is chosen here, as for rows without a time).

    `y` float32 [n] codes or values on the target's own scale, `raw` the booster's output for the same rows. The
    threshold is the one with the highest macro F1 (mean of both classes' F1: it suits a rare positive class as well as
    a frequent one). The interval is split conformal: half-width = the ceil((n + 1) 0.9)-th smallest absolute residual
    (Lei et al. 2018, JASA 113). Residuals are taken on the scale on which `objective` (None: the plain one) spreads
    evenly: any scale keeps the coverage, as only the residuals' order counts.

    With `weight` [n] all of this is weighted: the interval holds 90% of the weight, the row that comes counting as one
    of mean weight (Tibshirani, Barber, Candès & Ramdas 2019, Conformal prediction under covariate shift).
    """
    import numpy as np

    raw64, y64, weights = raw.astype(np.float64), y.astype(np.float64), relative(weight)
    if task == "regression":
        chosen = objective or plain_objective(task)
        smear = chosen.smear(y64, raw64, weights)
        scale = Post(task=task, transform=chosen.transform, smear=smear, spread=chosen.spread)
        residuals = np.abs((np.log1p(y64) if scale.spread else y64) - _centre(scale, raw64))
        order = np.argsort(residuals)
        residuals = residuals[order]
        rank = min(math.ceil((len(residuals) + 1) * COVERAGE), len(residuals))
        if weights is not None:
            reached = np.cumsum(weights[order])
            rank = min(int(np.searchsorted(reached, (reached[-1] + 1) * COVERAGE)) + 1, len(residuals))
        return scale.model_copy(update={"half_width": float(residuals[rank - 1]) if rank else 0.0})
    chosen_map = calibration or choose_calibration(task, raw64, y64, weights).calibration
    post = Post(
        task=task,
        classes=tuple(classes),
        knots_x=chosen_map.knots_x,
        knots_y=chosen_map.knots_y,
        slopes=chosen_map.slopes,
        intercepts=chosen_map.intercepts,
    )
    if task != "binary":
        return post
    return post.model_copy(update={"threshold": best_threshold(calibrate(post, raw), y64, weights)})


def calibrate(post: Post, raw: np.ndarray) -> np.ndarray:
    """Float64, same shape as `raw`; unchanged where there is no calibration."""
    import numpy as np

    return mapped(raw.astype(np.float64), post.knots_x, post.knots_y, post.slopes, post.intercepts)


def _centre(post: Post, raw: np.ndarray) -> np.ndarray:
    """The middle of the interval for `raw` float64 [n], on the scale of `post.spread`."""
    import numpy as np

    return np.log1p(raw) if post.spread and not post.transform else raw


def _interval(post: Post, raw: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end for `raw` and predictions `p`, both float64 [n]; a prediction is never outside."""
    import numpy as np

    if not post.spread:
        return p - post.half_width, p + post.half_width
    centre = _centre(post, raw)
    lower, upper = (from_raw(post.spread, centre + sign * post.half_width) for sign in (-1, 1))
    return np.minimum(lower, p), np.maximum(upper, p)


def apply_postprocess(post: Post, raw: np.ndarray) -> Predictions:
    """The prediction columns for the booster's raw output (binary, regression [n]; multiclass [n, classes])."""
    import numpy as np
    import pyarrow as pa

    if post.task == "regression":
        p = from_raw(post.transform, raw, post.smear)
        parts = [pa.array(column) for column in (p, *_interval(post, raw.astype(np.float64), p))]
        return Predictions(pa.table(parts, names=list(post.column_names())), p)
    p = calibrate(post, raw)
    labels = pa.array(list(post.classes))
    if post.task == "binary":
        chosen, probabilities = (p >= post.threshold).astype(np.int64), [p]
    else:
        chosen, probabilities = p.argmax(axis=1), list(np.asfortranarray(p).T)
    columns = [labels.take(pa.array(chosen)), *(pa.array(column) for column in probabilities)]
    return Predictions(pa.table(columns, names=list(post.column_names())), p)


def _check_numbers(labels: Sequence[ClassLabel], target: str) -> tuple[ClassLabel, ...]:
    strange = next((label for label in labels if isinstance(label, bool) or not isinstance(label, int | float)), None)
    if strange is not None:
        raise TargetError(
            f"target {target!r} holds {strange!r}, which is no number: regression needs numbers",
            "set task = 'binary' or 'multiclass', or choose another target",
        )
    if len(labels) == 1:
        raise TargetError(
            f"target {target!r} is {labels[0]!r} in every row: there is nothing to learn",
            "choose another target",
        )
    return ()


def _check_two(
    ordered: tuple[ClassLabel, ...], positive: str | bool | int | float | None, target: str
) -> tuple[ClassLabel, ...]:
    if len(ordered) > 2:
        shown = ", ".join(repr(label) for label in ordered[:5]) + (", ..." if len(ordered) > 5 else "")
        raise TargetError(
            f"target {target!r} has {len(ordered):,} classes ({shown}); binary needs two",
            "set task = 'multiclass' (or 'regression' for an amount)",
        )
    if positive is None:
        words = [label for label in ordered if label_text(label).strip().casefold() in POSITIVE_WORDS]
        chosen = words[0] if len(words) == 1 else ordered[1]
    else:
        named = [label for label in ordered if label_text(label) == label_text(positive) or label == positive]
        if not named:
            raise TargetError(
                f"target {target!r} has no label {positive!r} (it has {ordered[0]!r} and {ordered[1]!r})",
                "set data.positive to one of them",
            )
        chosen = named[0]
    return (ordered[0] if chosen is ordered[1] else ordered[1], chosen)


def best_threshold(p: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """The threshold that predictions carry, from probabilities `p` [n] of a binary task and labels `y` [n].

    Halfway between the two neighbouring probabilities that part the rows, each counting by its `weight` [n] (None: as
    one), with the highest macro F1.
    """
    import numpy as np

    order = np.argsort(-p, kind="stable")
    ranked, positive = p[order], y[order] == 1
    called, hits = np.arange(1, len(p) + 1), np.cumsum(positive)
    if weight is not None:
        called, hits = np.cumsum(weight[order]), np.cumsum(weight[order] * positive)
    positives, rows = hits[-1], called[-1]
    # F1 = 2 TP / (called + real), for the positive class above the cut and for the negative one below it
    f1_positive = 2 * hits / (called + positives)
    negatives_below = (rows - called) - (positives - hits)
    f1_negative = 2 * negatives_below / np.maximum((rows - called) + (rows - positives), np.finfo(np.float64).tiny)
    ends_a_tie = np.append(ranked[1:] < ranked[:-1], True)
    best = int(np.argmax(np.where(ends_a_tie, f1_positive + f1_negative, -1.0)))
    below = ranked[best + 1] if best + 1 < len(p) else 0.0
    return float((ranked[best] + below) / 2)
