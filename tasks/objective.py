"""What the booster minimises: chosen from the metric and the target's shape, with what it does to the target.

XGBoost's own starting values are right where it takes the target's mean, median or quantile (squared error, absolute
error, quantile, Poisson, Tweedie, Gamma, logistic). For the others (pseudo-Huber, losses of one's own) it takes one
Newton step from 0, or 0.5, so that the value stands in `Objective.parameters`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from treadle.tasks.centring import offset_of
from treadle.tasks.errors import ConfigError, TargetError
from treadle.tasks.influence import quantile_metric, quantile_of
from treadle.tasks.target_scale import Transform, from_raw, smearing, to_training_target
from treadle.tasks.weights import weighted_quantiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

Link = Literal["identity", "logistic", "exp", "softmax"]

TASK_OBJECTIVES: dict[str, tuple[str, ...]] = {
    "binary": ("binary:logistic",),
    "multiclass": ("multi:softprob",),
    "regression": (
        "reg:squarederror",
        "reg:absoluteerror",
        "reg:pseudohubererror",
        "reg:quantileerror",
        "reg:logistic",
        "reg:tweedie",
        "reg:gamma",
        "count:poisson",
    ),
}
"""XGBoost's names of what each task can be trained by; the first is its plain one."""

XGBOOST_KINDS = frozenset({"reg", "binary", "multi", "count", "rank", "survival"})
"""What stands before the colon in XGBoost's names; anything else there is a module of one's own."""

PARAMETER_OF = {
    "tweedie_variance_power": "reg:tweedie",
    "quantile_alpha": "reg:quantileerror",
    "huber_slope": "reg:pseudohubererror",
}
"""Parameters that belong to one objective."""

LEAVES_RESET = frozenset({"reg:absoluteerror", "reg:quantileerror"})
"""XGBoost grows these trees by gradients and then sets each leaf to the median or quantile of its rows' residuals,
which keeps no direction and obeys neither `reg_lambda` nor `max_delta_step`."""

MEDIANS = frozenset({"reg:absoluteerror", "reg:pseudohubererror"})
"""Objectives that estimate the median: back on the target's scale it needs no smearing."""

CENTRED = frozenset({"reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror"})
"""Objectives to which only differences between label and prediction matter, so that labels may be centred."""

EXP = frozenset({"reg:tweedie", "reg:gamma", "count:poisson"})
"""Objectives whose raw output is the exponential of the margin."""

LINKS: dict[str, Link] = {
    "binary:logistic": "logistic",
    "reg:logistic": "logistic",
    "multi:softprob": "softmax",
    **dict.fromkeys(sorted(EXP), "exp"),
}

SKEWED = 1.5
"""From this ratio of (90% quantile - median) to (median - 10% quantile) on a target counts as skewed."""

ZEROS = 0.05
"""Above this share of zeros an amount is no logarithm plus noise: the smearing would be of two kinds of rows."""

COUNT_ZEROS = 0.4
"""The same for counts, where a zero lies beside a one."""

FEW_VALUES = 5
"""A target of at most so many distinct whole numbers is a grade, not a count."""

LONGEST_STEP = 0.7
"""By how much a leaf of Tweedie and Gamma may move the logarithm, which XGBoost does for Poisson by itself. Rows far
below the prediction have nearly no hessian, and without a limit their step ends in NaN (lambda 0, min_child_weight near
0); on four tables the limit changed RMSE by -3% to +2%."""


class WantedObjective(BaseModel):
    """What a person asks for: XGBoost's name of an objective or `auto`, its parameters and the target's transform."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: str = "auto"
    target_transform: Literal["auto", "none", "log1p"] = "auto"
    parameters: dict[str, float] = {}

    @property
    def metric(self) -> str:
        """The metric of the quantile that is asked for, where `tune.metric` names none; empty: the task's own."""
        below = self.parameters.get("quantile_alpha", 0.5)
        return f"pinball_{below:g}" if self.objective == "reg:quantileerror" else ""

    @property
    def transform(self) -> Transform:
        """What is done to the target; `auto` is none where nothing is measured."""
        return "log1p" if self.target_transform == "log1p" else ""


class Objective(BaseModel):
    """What a booster is trained by; part of a version's recipe.

    `name` is XGBoost's, also in the model's file; of a loss of one's own it is the objective whose link (how a margin
    becomes an answer) is the loss's. `parameters` are XGBoost's and stay as they are in every trial. `transform` is
    done to the target before training (`log1p`: natural logarithm of 1 + y). `smeared`: the inverse is corrected to
    estimate a mean. `custom` is `module:function`, or empty. `why` is the reason in words. `offset` is taken off the
    (transformed) target in float64 (`centring`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    parameters: dict[str, float] = {}
    transform: Transform = ""
    smeared: bool = False
    custom: str = ""
    why: str = ""
    offset: float = 0.0

    @property
    def link(self) -> Link:
        """How a margin becomes the booster's output."""
        return LINKS.get(self.name, "identity")

    @property
    def spread(self) -> Transform:
        """The scale on which errors are about equally wide for small and large predictions: see `Post.spread`."""
        return "log1p" if self.transform or self.name in EXP else ""

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Labels [n] on the target's own scale as XGBoost gets them, float32."""
        return to_training_target(self.transform, y, self.offset)

    def smear(self, y: np.ndarray, raw: np.ndarray, weight: np.ndarray | None = None) -> float:
        """The factor for `decode`, see `target_scale.smearing`; 1 where the objective estimates no mean."""
        return smearing(y, raw + self.offset if self.offset else raw, weight) if self.smeared else 1.0

    def decode(self, raw: np.ndarray, smear: float = 1.0) -> np.ndarray:
        """The booster's raw output as values on the target's own scale, float64 of the same shape."""
        return from_raw(self.transform, raw, smear, self.offset)


def plain_objective(task: str) -> Objective:
    """The task's plain objective, which fits any target of the task."""
    return Objective(name=TASK_OBJECTIVES[task][0], why=f"the plain objective of a {task} task")


def choose_objective(
    task: str,
    metric: str,
    wanted: WantedObjective,
    y: np.ndarray,
    *,
    monotone: Mapping[str, int] | None = None,
    custom: Objective | None = None,
    target: str = "the target",
    weight: np.ndarray | None = None,
) -> Objective:
    """The objective that is wanted, or for `auto` the one that follows the metric: `candidate_objectives`' first.

    `y` [n] are training labels as numbers, on the target's own scale. `custom` is what `custom_loss.custom_objective`
    makes of the loaded loss that `wanted` names. `weight` [n] says how many rows of its kind each row stands for.
    Raises ConfigError where what is wanted does not fit the task or cannot keep the directions of `monotone`,
    TargetError where it does not fit the labels.
    """
    if wanted.objective == "auto":
        return candidate_objectives(task, metric, y, wanted, monotone=monotone, target=target, weight=weight)[0]
    bound = any((monotone or {}).values())
    if wanted.objective in LEAVES_RESET and bound:
        raise ConfigError(
            f"XGBoost keeps no direction of [model] monotone with {wanted.objective}",
            'set "reg:pseudohubererror" or "auto", or take the columns out of model.monotone',
            key="model.objective",
        )
    if custom is not None:
        return custom
    if wanted.objective not in TASK_OBJECTIVES[task]:
        raise ConfigError(
            f"{wanted.objective!r} does not fit task = {task!r}",
            f"allowed: auto, {', '.join(TASK_OBJECTIVES[task])} or module:function",
            key="model.objective",
        )
    check_target(Objective(name=wanted.objective, transform=wanted.transform), y, target)
    return _named(wanted.objective, wanted, y, metric, "as configured", weight)


def candidate_objectives(
    task: str,
    metric: str,
    y: np.ndarray,
    wanted: WantedObjective | None = None,
    *,
    monotone: Mapping[str, int] | None = None,
    target: str = "the target",
    weight: np.ndarray | None = None,
) -> tuple[Objective, ...]:
    """What a search may try for the target's shape: the plain one first, at most three.

    Where nothing is measured the first is right: another one pays on some tables and costs on others. With an
    objective or transform that is asked for there is no choice.

    RMSE and R² ask for a mean. Besides squared error, counts and amounts that are skewed get a logarithm with smearing
    (Duan 1983, JASA 78) where few are zero, Poisson (quasi-Poisson for amounts: it needs no whole numbers), and with
    more zeros Tweedie. MAE asks for a median: absolute error, its logarithm for skewed amounts, and pseudo-Huber, whose
    trees regularise. Gamma lost to the logarithm on every table that was tried: it is only taken by name.
    """
    wanted = wanted or WantedObjective()
    if task != "regression":
        return (plain_objective(task),)
    if wanted.objective != "auto":
        return (choose_objective(task, metric, wanted, y, monotone=monotone, target=target, weight=weight),)
    bound = any((monotone or {}).values())
    if (below := quantile_of(metric)) is not None:
        quantile = wanted.model_copy(update={"objective": "reg:quantileerror", "parameters": {"quantile_alpha": below}})
        chosen = choose_objective(task, metric, quantile, y, monotone=monotone, target=target, weight=weight)
        return (chosen.model_copy(update={"why": f"{metric} asks for this quantile"}),)

    def named(name: str, of: WantedObjective, why: str) -> Objective:
        return _named(name, of, y, metric, why, weight)

    if wanted.target_transform == "log1p":
        name = "reg:squarederror" if metric != "mae" else _absolute(monotone)
        check_target(Objective(name=name, transform="log1p"), y, target)
        return (named(name, wanted, f"for {metric}, on the logarithm as configured"),)
    kind = "" if offset_of(y) else target_shape(y, weight)
    logarithm = WantedObjective(target_transform="log1p")
    if metric == "mae":
        found = [named(_absolute(monotone), wanted, _why_absolute(bound))]
        if kind in ("counts", "positive") and wanted.target_transform == "auto":
            found.append(named(_absolute(monotone), logarithm, f"the median of skewed {kind}"))
        if not bound:
            found.append(named("reg:pseudohubererror", wanted, "nearly absolute error, with smooth steps"))
        return tuple(found)
    found = [named("reg:squarederror", wanted, f"{metric} is about squared errors")]
    # where the time does not suffice for all, it is for the logarithm, which gains most where it gains
    if kind not in ("", "amounts with zeros") and wanted.target_transform == "auto":
        found.append(named("reg:squarederror", logarithm, f"{kind} over several orders of magnitude"))
    if kind:
        found.append(named("count:poisson", wanted, f"{kind}: the spread grows with the mean"))
    if kind == "amounts with zeros":
        found.append(named("reg:tweedie", wanted, "zeros and skewed amounts (compound Poisson)"))
    return tuple(found)


def target_shape(
    y: np.ndarray, weight: np.ndarray | None = None
) -> Literal["", "counts", "amounts with zeros", "positive"]:
    """What kind of skewed non-negative amounts `y` [n] holds; empty: none.

    `counts`: whole numbers, of more than `FEW_VALUES` values. `positive`: few zeros, see `ZEROS`. Skewed is measured by
    quantiles (Hinkley 1975), which no single outlier moves. Rows count by `weight` [n].
    """
    import numpy as np

    if not len(y) or float(y.min()) < 0:
        return ""
    low, middle, high = (float(value) for value in weighted_quantiles(y, (0.1, 0.5, 0.9), weight))
    if high - middle < SKEWED * (middle - low) or high == low:
        return ""
    zeros = float(np.average(y == 0, weights=weight))
    if bool((y == np.floor(y)).all()) and zeros <= COUNT_ZEROS:
        return "counts" if len(np.unique(y)) > FEW_VALUES else ""
    return "positive" if zeros <= ZEROS else "amounts with zeros"


def check_target(objective: Objective, y: np.ndarray, target: str = "the target") -> None:
    """Raises TargetError where a label of `y` [n] (the target's own scale) is outside of what the objective allows."""
    import numpy as np

    y = np.asarray(y, dtype=np.float64)
    name = f"target_transform {objective.transform!r}" if objective.transform else objective.name
    if objective.transform or objective.name in ("count:poisson", "reg:tweedie"):
        wrong, rule = y < 0, "0 or more"
    elif objective.name == "reg:gamma":
        wrong, rule = y <= 0, "more than 0"
    elif objective.name == "reg:logistic":
        wrong, rule = (y < 0) | (y > 1), "0 to 1"
    else:
        return
    if objective.custom and not objective.transform:
        return
    if wrong.any():
        raise TargetError(
            f"target {target!r} is {y[wrong][0]:g} in one of {int(wrong.sum()):,} rows that {name} cannot learn: "
            f"it needs {rule}",
            'set model.objective = "auto" and leave model.target_transform out, or choose another target',
        )
    if not objective.transform and (offset := offset_of(y)):
        raise TargetError(
            f"target {target!r} lies so far from 0 beside its spread (around {offset:g}) that float32, in which {name} "
            "computes, cannot tell its values apart",
            'set model.objective = "auto", which centres them, or take an offset off in the source',
        )


def _absolute(monotone: Mapping[str, int] | None) -> str:
    return "reg:pseudohubererror" if any((monotone or {}).values()) else "reg:absoluteerror"


def _why_absolute(bound: bool) -> str:
    if bound:
        return "mae is about absolute errors; pseudo-Huber keeps the directions of model.monotone"
    return "mae is about absolute errors"


def _named(
    name: str, wanted: WantedObjective, y: np.ndarray, metric: str, why: str, weight: np.ndarray | None
) -> Objective:
    """The objective `name` with its parameters: those that are wanted, the others from the labels `y`."""
    import numpy as np

    transform = wanted.transform
    offset = offset_of(np.log1p(np.asarray(y, dtype=np.float64)) if transform else y) if name in CENTRED else 0.0
    parameters: dict[str, float] = {}
    if name == "reg:tweedie":
        parameters["max_delta_step"] = LONGEST_STEP
        parameters["tweedie_variance_power"] = wanted.parameters.get("tweedie_variance_power", 1.5)
    if name == "reg:gamma":
        parameters["max_delta_step"] = LONGEST_STEP
    if name == "reg:quantileerror":
        parameters["quantile_alpha"] = wanted.parameters.get("quantile_alpha", 0.5)
    if name == "reg:pseudohubererror":
        parameters = _pseudo_huber(to_training_target(transform, y, offset), wanted, weight)
    mean = bool(transform) and name not in MEDIANS | LEAVES_RESET and not quantile_metric(metric)
    return Objective(name=name, parameters=parameters, transform=transform, smeared=mean, why=why, offset=offset)


def _pseudo_huber(y: np.ndarray, wanted: WantedObjective, weight: np.ndarray | None) -> dict[str, float]:
    """Slope, starting value and the longest step of a leaf, from the training target's median and spread.

    The slope is the median absolute deviation: errors below it count squared, above it absolutely. XGBoost's Newton
    step on a far row is the residual's cube over the slope's square, without end; so a leaf moves by ten slopes at
    most. Rows count by `weight` [n].
    """
    import numpy as np

    middle, own = 0.0, 1.0
    if len(y):
        middle = float(weighted_quantiles(y, (0.5,), weight)[0])
        away = np.abs(np.asarray(y, dtype=np.float64) - middle)
        spreads = (float(weighted_quantiles(away, (0.5,), weight)[0]), float(np.average(away, weights=weight)))
        own = next((one for one in spreads if one > 0), 1.0)
    slope = wanted.parameters.get("huber_slope", own)
    return {"huber_slope": slope, "base_score": middle, "max_delta_step": 10 * max(slope, own)}
