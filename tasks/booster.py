"""XGBoost: matrix, fit, predict; on which device stands in `device`.

`names` are the features of a `FeatureSpec`, in the order of the columns of `X`. XGBoost does not check the order
of an array's columns: the caller encodes by that same spec.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from treadle.tasks.coefficients import line_of
from treadle.tasks.device import DeviceName, batched_matrix, booster_device, check_trained_on, first_that_fits
from treadle.tasks.errors import ConfigError
from treadle.tasks.model_keys import ModelKeys
from treadle.tasks.weights import relative

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from xgboost import Booster, DMatrix

    from treadle.tasks.custom_loss import CustomLoss
    from treadle.tasks.device import Placement
    from treadle.tasks.objective import Objective

Scalar = str | int | float

WATCHED = {
    "binary:logistic": "logloss",
    "multi:softprob": "mlogloss",
    "reg:absoluteerror": "mae",
    "reg:pseudohubererror": "mae",
    "reg:quantileerror": "quantile",
}
"""What is measured after each round, by objective; RMSE for all others."""

FEW_ROWS = 10_000

OUR_NAMES = {"logloss": "log_loss", "mlogloss": "log_loss", "rmse": "rmse", "mae": "mae"}


@dataclass(frozen=True, slots=True)
class MatrixRows:
    """Rows ready for XGBoost: `X` float32 [n, features] with NaN for missing, `y` [n] class codes or values.

    `weight` float64 [n] says how much each row counts, as it stands in its column (None: all alike).
    """

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None = None

    def take(self, at: np.ndarray) -> MatrixRows:
        """The rows at the positions, or under the mask, `at`."""
        return MatrixRows(self.X[at], self.y[at], None if self.weight is None else self.weight[at])


class BoosterSpec(ModelKeys):
    """Where the model is trained and by what, on which rows it ends, what it must keep, and which parameters stay."""

    device: DeviceName = Field(
        "auto", description="auto takes a GPU where XGBoost can use one and the rows make it pay"
    )
    refit: Literal["all", "none"] = Field(
        "all",
        description="all: the serving model is fitted on all labelled rows, with the holdout; none: it is the judged",
    )
    kind: Literal["auto", "trees", "linear"] = Field(
        "auto",
        description="trees: XGBoost; linear: ridge or logistic regression; auto: linear where trees are not better by "
        "more than a standard error",
    )
    monotone: dict[str, Literal[-1, 0, 1]] = Field(
        default_factory=dict, description="column -> 1 (never falls with it), -1 (never rises), 0 (free)"
    )


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric after every round, on the rows that were fitted and on the validation rows."""

    metric: str
    train: tuple[float, ...]
    validation: tuple[float, ...]


def complete_parameters(
    task: str,
    params: Mapping[str, Scalar],
    *,
    classes: int,
    device: str,
    seed: int,
    objective: Objective | None = None,
    fixed: Mapping[str, Scalar] | None = None,
    monotone: Mapping[str, int] | None = None,
    interactions: Sequence[Sequence[str]] = (),
    names: Sequence[str] = (),
    owners: Sequence[str] = (),
) -> dict[str, Scalar]:
    """`params` of a trial completed to what `xgboost.train` needs.

    `objective` None is the task's plain one. Its parameters go before the trial's, and those of `fixed` (what a person
    set) before all. The starting value (base_score) is left to XGBoost where the objective sets none.

    `names` are the features and `owners` the column that each belongs to (default: its own name); `monotone` and
    `interactions` speak of columns. Columns that stand in no list of `interactions` interact with no other column; a
    listed column of which no feature is made is ignored, as it does not vary. Raises ConfigError where `monotone` names
    such a column, and for directions that the objective cannot keep.
    """
    from treadle.tasks.objective import LEAVES_RESET, plain_objective

    chosen, columns = objective or plain_objective(task), tuple(owners) or tuple(names)
    assert len(columns) == len(names), "a column for each feature"
    complete: dict[str, Scalar] = {
        "objective": chosen.name,
        "tree_method": "hist",
        "device": device,
        "seed": seed,
        **params,
        **chosen.parameters,
        **(fixed or {}),
    }
    if task == "multiclass":
        complete["num_class"] = classes
    bound = {name: way for name, way in (monotone or {}).items() if way}
    if unknown := sorted(set(bound) - set(columns)):
        raise ConfigError(
            f"{unknown[0]!r} is no feature of the model",
            f"allowed: {', '.join(dict.fromkeys(columns))}",
            key="model.monotone",
        )
    if bound and (task == "multiclass" or (chosen.name in LEAVES_RESET and not chosen.custom)):
        raise ConfigError(
            f"XGBoost keeps no direction with {chosen.name}",
            "take the columns out of model.monotone, or choose another objective",
            key="model.monotone",
        )
    if bound:
        complete["monotone_constraints"] = "(" + ",".join(str(bound.get(name, 0)) for name in columns) + ")"
    if interactions:
        complete["interaction_constraints"] = _interaction_groups(interactions, columns)
    return complete


def _interaction_groups(interactions: Sequence[Sequence[str]], columns: Sequence[str]) -> str:
    """The groups as positions among the features; a column outside of them is a group of its own features."""
    import json

    named = {name for group in interactions for name in group}
    groups = [set(group) for group in interactions if group]
    groups += [{name} for name in dict.fromkeys(columns) if name not in named]
    places = [[at for at, name in enumerate(columns) if name in group] for group in groups]
    return json.dumps([group for group in places if group])


def threads(rows: int) -> int:
    """How many threads to train on: 0 takes all.

    On few rows a second thread saves little, and costs tenfold where another process wants the same core.
    """
    return 1 if rows < FEW_ROWS else 0


def watched(objective: str) -> str:
    """XGBoost's name of what is measured after each round of an objective: a loss that moves smoothly.

    Watching the metric itself, such as AUC, ends too early. Of a target's transform it is measured on that scale.
    """
    return WATCHED.get(objective, "rmse")


def quantile_matrix(
    part: MatrixRows,
    names: Sequence[str],
    ref: DMatrix | None = None,
    *,
    max_bin: int | None = None,
    external: bool = False,
) -> DMatrix:
    """The rows of `part`, binned once; validation rows take the bins of `ref`.

    It is binned on the CPU and, where a model trains on a GPU, copied to it once. With `external` the rows stay in the
    host's memory instead (`device.batched_matrix`), without `ref`. `max_bin` is that of the parameters it is trained
    with: XGBoost refuses another one. Weights are scaled to a mean of 1 over the rows above 0, so that min_child_weight
    and lambda keep their meaning; bins, starting value, gradients and evaluation metrics obey them.
    """
    import xgboost

    nthread = threads(len(part.y))
    if external:
        return batched_matrix(part.X, part.y, names, relative(part.weight), nthread=nthread)
    return xgboost.QuantileDMatrix(
        part.X,
        part.y,
        weight=relative(part.weight),
        feature_names=list(names),
        ref=ref,
        max_bin=max_bin,
        nthread=nthread or None,
    )


def on_scale(part: MatrixRows, objective: Objective) -> MatrixRows:
    """The rows with their labels as XGBoost gets them for this objective."""
    from dataclasses import replace

    return replace(part, y=objective.encode(part.y)) if objective.transform or objective.offset else part


def bins_of(params: Mapping[str, Scalar]) -> int | None:
    """The `max_bin` that matrices for a booster of `params` need; None is XGBoost's own."""
    return int(params["max_bin"]) if "max_bin" in params else None


def fit_booster(
    params: Mapping[str, Scalar],
    part: MatrixRows,
    *,
    rounds: int,
    names: Sequence[str],
    custom: CustomLoss | None = None,
) -> Booster:
    """`rounds` rounds on all rows of `part`; where the GPU's memory is too small, elsewhere, with a DeviceFallback.

    `custom` is the loss of an objective that names one.
    """
    import xgboost

    loss = custom.as_xgboost() if custom else None

    def fit(place: Placement) -> Booster:
        complete = {"nthread": threads(len(part.y)), **params, "device": place.device}
        fitted = quantile_matrix(part, names, max_bin=bins_of(params), external=place.external)
        return _on_cpu(xgboost.train(complete, fitted, num_boost_round=rounds, obj=loss), place)

    return first_that_fits(str(params["device"]), fit)


def fit_with_curve(
    params: Mapping[str, Scalar],
    train: MatrixRows,
    validation: MatrixRows,
    *,
    rounds: int,
    names: Sequence[str],
    custom: CustomLoss | None = None,
) -> tuple[Booster, Curve]:
    """`rounds` rounds on `train`, their loss measured on both parts after each; nothing is stopped early.

    Where the GPU's memory is too small it is trained elsewhere, with a DeviceFallback.
    """
    import xgboost

    name, loss, bins = watched(str(params["objective"])), custom.as_xgboost() if custom else None, bins_of(params)

    def fit(place: Placement) -> tuple[Booster, Curve]:
        fitted = quantile_matrix(train, names, max_bin=bins, external=place.external)
        measured = quantile_matrix(validation, names, fitted, max_bin=bins, external=place.external)
        evaluated: dict[str, dict[str, list[float]]] = {}
        booster = xgboost.train(
            {"nthread": threads(len(train.y)), **params, "eval_metric": name, "device": place.device},
            fitted,
            num_boost_round=rounds,
            evals=[(fitted, "train"), (measured, "validation")],
            evals_result=evaluated,
            verbose_eval=False,
            obj=loss,
        )
        metric = OUR_NAMES.get(name) or f"pinball_{float(params['quantile_alpha']):g}"
        curve = Curve(metric, tuple(evaluated["train"][name]), tuple(evaluated["validation"][name]))
        return _on_cpu(booster, place), curve

    return first_that_fits(str(params["device"]), fit)


def _on_cpu(booster: Booster, place: Placement) -> Booster:
    """The booster, set to predict on the CPU wherever it was trained.

    Raises ConfigError where it was not trained on the device of `place`: XGBoost goes on with the CPU without a GPU.
    """
    check_trained_on(booster, place.device)
    booster.set_param({"device": "cpu", "nthread": 0})
    return booster


def predict_raw(booster: Booster, X: np.ndarray) -> np.ndarray:
    """Raw output for `X` float32 [n, features], float32.

    Binary: probability of the positive class [n]. Multiclass: probabilities [n, classes]. Regression: values
    [n].
    """
    import numpy as np

    _follow_rows(booster)
    line = line_of(booster)
    margins = None if line is None else line.margins(X)
    return np.asarray(booster.inplace_predict(np.ascontiguousarray(X, dtype=np.float32), base_margin=margins))


def predict_margin(booster: Booster, X: np.ndarray) -> np.ndarray:
    """Margins for `X` float32 [n, features], float32 [n] or [n, classes]: what trees sum up to, before any link."""
    import numpy as np

    _follow_rows(booster)
    return np.asarray(booster.inplace_predict(np.ascontiguousarray(X, dtype=np.float32), predict_type="margin"))


def _follow_rows(booster: Booster) -> None:
    """Set a booster to the CPU, where the rows are: on a GPU XGBoost would copy them and warn of mismatched devices."""
    if booster_device(booster) != "cpu":
        booster.set_param({"device": "cpu"})


def from_margins(objective: str, margins: np.ndarray) -> np.ndarray:
    """Margins [n] or [n, classes] as the raw output of an objective: probabilities, or values of the target."""
    import numpy as np
    from scipy.special import expit, softmax

    from treadle.tasks.objective import LINKS

    link = LINKS.get(objective, "identity")
    if link == "softmax":
        return np.asarray(softmax(margins, axis=1))
    if link == "logistic":
        return np.asarray(expit(margins))
    return np.exp(margins) if link == "exp" else np.asarray(margins)


def gain_importance(booster: Booster, names: Sequence[str]) -> dict[str, float]:
    """Each feature's share of the total gain of all splits; 0 for a feature that no tree uses; sums to 1.

    Of a linear model it is the share of |coefficient x standard deviation|.
    """
    if line := line_of(booster):
        return dict(zip(names, line.importance(), strict=True))
    gains = booster.get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    return {name: float(gains.get(name, 0.0)) / total for name in names}
