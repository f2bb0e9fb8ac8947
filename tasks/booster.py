"""XGBoost: device, matrix, fit, predict.

`names` are the features of a `FeatureSpec`, in the order of the columns of `X`. XGBoost does not check the order
of an array's columns: the caller encodes by that same spec.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from treadle.tasks.coefficients import line_of
from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from xgboost import Booster, QuantileDMatrix

Scalar = str | int | float

OBJECTIVES = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}

EXPONENTIAL = ("count:poisson", "reg:gamma", "reg:tweedie")
"""Objectives whose margin is the logarithm of the mean."""

WATCHED = {"binary": "logloss", "multiclass": "mlogloss", "regression": "rmse"}
"""What is measured after each round: a loss that moves smoothly, whatever the metric. Watching AUC ends too early."""

FEW_ROWS = 10_000

OUR_NAMES = {"logloss": "log_loss", "mlogloss": "log_loss", "rmse": "rmse"}


@dataclass(frozen=True, slots=True)
class MatrixRows:
    """Rows ready for XGBoost: `X` float32 [n, features] with NaN for missing, `y` float32 [n] class codes or values."""

    X: np.ndarray
    y: np.ndarray


class BoosterSpec(BaseModel):
    """Where the model is trained, on which rows it ends, and which directions it must keep."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where XGBoost can use one")
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


def choose_device(wanted: str) -> tuple[str, str]:
    """The device to train on ('cpu' or 'cuda') and why, in words.

    Raises ConfigError for 'cuda' where XGBoost finds no GPU that it can use.
    """
    if wanted == "cpu":
        return "cpu", "cpu as configured"
    missing = _why_no_gpu()
    if not missing:
        return "cuda", "cuda as configured" if wanted == "cuda" else "using the GPU"
    if wanted == "cuda":
        raise ConfigError(f"'cuda' cannot be used: {missing}", "set it to 'auto' or 'cpu'", key="model.device")
    return "cpu", f"using the CPU: {missing}"


def _why_no_gpu() -> str:
    """Empty where a one-round training on 'cuda' stays there, else what is missing."""
    import json
    import warnings

    import numpy as np
    import xgboost

    if not xgboost.build_info().get("USE_CUDA"):
        return "this XGBoost is built without CUDA"
    probe = np.arange(8, dtype=np.float32).reshape(-1, 1)
    with warnings.catch_warnings():
        # without a GPU XGBoost warns and goes on with the CPU: the configuration afterwards shows it
        warnings.simplefilter("ignore")
        try:
            trained = xgboost.train({"device": "cuda"}, xgboost.DMatrix(probe, probe[:, 0]), num_boost_round=1)
        except xgboost.core.XGBoostError as error:
            return f"XGBoost cannot use the GPU ({str(error).strip().splitlines()[-1]})"
    used = json.loads(trained.save_config())["learner"]["generic_param"]["device"]
    return "" if used.startswith("cuda") else "no GPU found"


def complete_parameters(
    task: str,
    params: Mapping[str, Scalar],
    *,
    classes: int,
    device: str,
    seed: int,
    monotone: Mapping[str, int] | None = None,
    names: Sequence[str] = (),
) -> dict[str, Scalar]:
    """`params` of a trial completed to what `xgboost.train` needs.

    The starting value (base_score) is left to XGBoost, which takes the target's mean or the classes' shares.
    Raises ConfigError where `monotone` names a column that is no feature of `names`.
    """
    complete: dict[str, Scalar] = {
        "objective": OBJECTIVES[task],
        "tree_method": "hist",
        "device": device,
        "seed": seed,
        **params,
    }
    if task == "multiclass":
        complete["num_class"] = classes
    bound = {name: way for name, way in (monotone or {}).items() if way}
    if unknown := sorted(set(bound) - set(names)):
        raise ConfigError(
            f"{unknown[0]!r} is no numeric feature of the model",
            f"allowed: {', '.join(names)}",
            key="model.monotone",
        )
    if bound:
        complete["monotone_constraints"] = "(" + ",".join(str(bound.get(name, 0)) for name in names) + ")"
    return complete


def threads(rows: int) -> int:
    """How many threads to train on: 0 takes all.

    On few rows a second thread saves little, and costs tenfold where another process wants the same core.
    """
    return 1 if rows < FEW_ROWS else 0


def quantile_matrix(
    X: np.ndarray, y: np.ndarray, names: Sequence[str], ref: QuantileDMatrix | None = None
) -> QuantileDMatrix:
    """`X` float32 [n, features] with NaN for missing, binned once; validation rows take the bins of `ref`."""
    import xgboost

    return xgboost.QuantileDMatrix(X, y, feature_names=list(names), ref=ref, nthread=threads(len(y)) or None)


def fit_booster(params: Mapping[str, Scalar], part: MatrixRows, *, rounds: int, names: Sequence[str]) -> Booster:
    """`rounds` rounds on all rows of `part`."""
    import xgboost

    complete = {"nthread": threads(len(part.y)), **params}
    return _on_cpu(xgboost.train(complete, quantile_matrix(part.X, part.y, names), num_boost_round=rounds))


def fit_with_curve(
    params: Mapping[str, Scalar],
    train: MatrixRows,
    validation: MatrixRows,
    *,
    rounds: int,
    names: Sequence[str],
) -> tuple[Booster, Curve]:
    """`rounds` rounds on `train`, their loss measured on both parts after each; nothing is stopped early."""
    import xgboost

    fitted = quantile_matrix(train.X, train.y, names)
    evaluated: dict[str, dict[str, list[float]]] = {}
    task = next(task for task, objective in OBJECTIVES.items() if objective == params["objective"])
    name = WATCHED[task]
    booster = xgboost.train(
        {"nthread": threads(len(train.y)), **params, "eval_metric": name},
        fitted,
        num_boost_round=rounds,
        evals=[(fitted, "train"), (quantile_matrix(validation.X, validation.y, names, fitted), "validation")],
        evals_result=evaluated,
        verbose_eval=False,
    )
    curve = Curve(OUR_NAMES[name], tuple(evaluated["train"][name]), tuple(evaluated["validation"][name]))
    return _on_cpu(booster), curve


def _on_cpu(booster: Booster) -> Booster:
    """The booster, set to predict on the CPU wherever it was trained."""
    booster.set_param({"device": "cpu", "nthread": 0})
    return booster


def predict_raw(booster: Booster, X: np.ndarray) -> np.ndarray:
    """Raw output for `X` float32 [n, features], float32.

    Binary: probability of the positive class [n]. Multiclass: probabilities [n, classes]. Regression: values
    [n].
    """
    import numpy as np

    line = line_of(booster)
    margins = None if line is None else line.margins(X)
    return np.asarray(booster.inplace_predict(np.ascontiguousarray(X, dtype=np.float32), base_margin=margins))


def predict_margin(booster: Booster, X: np.ndarray) -> np.ndarray:
    """Margins for `X` float32 [n, features], float32 [n] or [n, classes]: what trees sum up to, before any link."""
    import numpy as np

    return np.asarray(booster.inplace_predict(np.ascontiguousarray(X, dtype=np.float32), predict_type="margin"))


def from_margins(objective: str, margins: np.ndarray) -> np.ndarray:
    """Margins [n] or [n, classes] as the raw output of an objective: probabilities, or values of the target."""
    import numpy as np
    from scipy.special import expit, softmax

    if objective.startswith("multi:"):
        return np.asarray(softmax(margins, axis=1))
    if objective in ("binary:logistic", "reg:logistic"):
        return np.asarray(expit(margins))
    return np.exp(margins) if objective in EXPONENTIAL else np.asarray(margins)


def objective_of(booster: Booster) -> str:
    """XGBoost's name of the objective that a booster was fitted with."""
    import json

    return str(json.loads(booster.save_config())["learner"]["objective"]["name"])


def gain_importance(booster: Booster, names: Sequence[str]) -> dict[str, float]:
    """Each feature's share of the total gain of all splits; 0 for a feature that no tree uses; sums to 1.

    Of a linear model it is the share of |coefficient x standard deviation|.
    """
    if line := line_of(booster):
        return dict(zip(names, line.importance(), strict=True))
    gains = booster.get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    return {name: float(gains.get(name, 0.0)) / total for name in names}
