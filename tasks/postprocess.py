"""From the booster's raw output to the columns that people read: calibration, threshold, intervals, labels.

The scorer repeats `apply_postprocess` (infra/tracking/scorer/postprocessing.py); a property test keeps the two equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from treadle.tasks.calibration import choose_calibration
from treadle.tasks.calibration_maps import mapped
from treadle.tasks.centring import check_target_range
from treadle.tasks.errors import TargetError
from treadle.tasks.interval import Bands, ends, fit_bands
from treadle.tasks.objective import plain_objective, target_shape
from treadle.tasks.target_scale import Transform, from_raw
from treadle.tasks.threshold import DEFAULT_RULE, choose_threshold
from treadle.tasks.weights import relative

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.calibration_maps import Calibration
    from treadle.tasks.interval import QuantileScale
    from treadle.tasks.objective import Objective
    from treadle.tasks.threshold import ThresholdRule

ClassLabel = str | bool | int | float

MAX_CLASSES = 100

POSITIVE_WORDS = ("true", "yes", "y", "t", "1", "1.0", "positive", "pos")
"""Which of two labels is the positive one where the config names none: these, else the greater."""


def _is_zero(value: float) -> bool:
    """Whether a number is left out of spec.json."""
    return value == 0


class Post(BaseModel):
    """What is done to the booster's raw output; all of it fitted on rows that the booster was not fitted on.

    `knots_x`, `knots_y`: calibration of binary probabilities, linear between the knots, strictly increasing, so that
    no two rows change places; or `slopes` and `intercepts`, of one class or more (`calibration_maps.mapped`); where all
    are empty there is none. `threshold`: the least probability that is called positive.
    `transform`: what was done to regression's target; the raw output is brought back by `from_raw` with `smear`.
    `offset` is added to regression's raw output in float64 (`centring`), before a transform is undone. `threshold_by`
    says how the threshold was chosen (empty: by macro F1, in versions of before there was a choice). `bands`:
    regression's interval. Models of earlier versions have none, but one width: `half_width` is half of it on the scale
    `spread`, in the target's unit or of log1p(value), around the prediction, with a transform around the raw output,
    which is no mean.
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
    offset: float = Field(0.0, exclude_if=_is_zero)
    threshold_by: str = ""
    bands: Bands | None = None
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


def encode_target(
    column: pa.ChunkedArray | pa.Array, task: str, classes: Sequence[ClassLabel], target: str = "the target"
) -> np.ndarray:
    """Labels [n]: class codes in the order of `classes`, float32, or regression's values, float64.

    Raises TargetError for a null, a label that is none of `classes`, and a value that is infinite or beyond float32.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count:
        raise TargetError(f"{column.null_count:,} rows have no label", "train on labelled rows only")
    if task == "regression":
        values = np.asarray(column.cast(pa.float64(), safe=False))
        check_target_range(values, target)
        return values
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
    rule: ThresholdRule | None = None,
    newest: np.ndarray | None = None,
    windows: np.ndarray | None = None,
    quantiles: tuple[QuantileScale, np.ndarray] | None = None,
) -> Post:
    """Fit calibration and threshold (classes) or smearing and interval (regression) on validation rows.

    `calibration` is the map that was chosen for these rows (None: it is chosen here, as for rows without a time).

    `y` [n] codes or values on the target's own scale, `raw` the booster's output for the same rows. The threshold is
    chosen by `rule` (None: as many rows are called positive as are), with the mask `newest` [n] of the newest rows. The
    interval is that of `interval.fit_bands`, on the logarithm where `objective` (None: the plain one) or the target is
    skewed; `windows` [n] numbers the windows of time in which dated rows were answered for. `quantiles` are a second
    booster's answers [n, 2] for them, with its scale. With `weight` [n] all is weighted.
    """
    import numpy as np

    raw64, y64, weights = raw.astype(np.float64), y.astype(np.float64), relative(weight)
    if task == "regression":
        chosen = objective or plain_objective(task)
        smear = chosen.smear(y64, raw64, weights)
        p = from_raw(chosen.transform, raw64, smear, chosen.offset)
        scale: Transform = "log1p" if chosen.spread or target_shape(y64, weight) else ""
        named, answers = quantiles or ("", None)
        bands = fit_bands(y64, p, scale=scale, weight=weight, windows=windows, quantiles=answers, quantile_scale=named)
        return Post(task=task, transform=chosen.transform, smear=smear, bands=bands, offset=chosen.offset)
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
    chosen_by = rule or DEFAULT_RULE
    cut = choose_threshold(chosen_by, calibrate(post, raw), y64, weights, newest)
    return post.model_copy(update={"threshold": cut, "threshold_by": chosen_by.words()})


def calibrate(post: Post, raw: np.ndarray) -> np.ndarray:
    """Float64, same shape as `raw`; unchanged where there is no calibration."""
    import numpy as np

    return mapped(raw.astype(np.float64), post.knots_x, post.knots_y, post.slopes, post.intercepts)


def _centre(post: Post, raw: np.ndarray) -> np.ndarray:
    """The middle of the interval for `raw` float64 [n], on the scale of `post.spread`."""
    import numpy as np

    return np.log1p(raw) if post.spread and not post.transform else raw + post.offset


def _interval(post: Post, raw: np.ndarray, p: np.ndarray, q: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end for `raw` and predictions `p`, both float64 [n]."""
    import numpy as np

    if post.bands is not None:
        return ends(post.bands, p, q)
    if not post.spread:
        return p - post.half_width, p + post.half_width
    centre = _centre(post, raw)
    lower, upper = (from_raw(post.spread, centre + sign * post.half_width) for sign in (-1, 1))
    return np.minimum(lower, p), np.maximum(upper, p)


def apply_postprocess(post: Post, raw: np.ndarray, quantiles: np.ndarray | None = None) -> Predictions:
    """The prediction columns for the booster's raw output (binary, regression [n]; multiclass [n, classes]).

    `quantiles` [n, 2] are the second booster's, if there is one (`Model.quantiles`): without them ends are NaN.
    """
    import numpy as np
    import pyarrow as pa

    if post.task == "regression":
        p = from_raw(post.transform, raw, post.smear, post.offset)
        parts = [pa.array(column) for column in (p, *_interval(post, raw.astype(np.float64), p, quantiles))]
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
