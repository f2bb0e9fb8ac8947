"""A loss of one's own: a function that gives gradient and hessian, checked against finite differences before it trains.

The booster is stored with the XGBoost objective that has the loss's link, so that a model answers without the function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.errors import ConfigError
from treadle.tasks.influence import quantile_metric
from treadle.tasks.objective import Link, Objective, check_target

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from xgboost import DMatrix

    from treadle.tasks.objective import WantedObjective

    Derivatives = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    """Margins [n] or [n, classes] and labels [n] -> gradient and hessian of each row's loss, shaped as the margins."""

CARRIERS: dict[str, dict[Link, str]] = {
    "binary": {"logistic": "binary:logistic"},
    "multiclass": {"softmax": "multi:softprob"},
    "regression": {"identity": "reg:squarederror", "logistic": "reg:logistic", "exp": "reg:tweedie"},
}
"""XGBoost's objective that brings the link, by task. Not Poisson for exp: it would limit the loss's steps."""

CHECKED_ROWS = 300
TOLERANCE = 1e-3

KINKS = 0.02
"""So many rows may differ: finite differences across a kink are neither side's slope."""


@dataclass(frozen=True, slots=True)
class CustomLoss:
    """A function of margins and labels, by its name `module:function`.

    `loss` gives each row's loss [n] for the same arguments, None where there is none. `link` is empty for the task's
    own. `exact` is False where the hessian is an approximation on purpose.
    """

    name: str
    derivatives: Derivatives
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    link: str = ""
    exact: bool = True

    def carrier(self, task: str) -> str:
        """XGBoost's objective with the loss's link; raises ConfigError for a link that the task does not have."""
        links = CARRIERS[task]
        found = {str(link): name for link, name in links.items()}.get(self.link or next(iter(links)))
        if found is None:
            raise self._wrong(f"link {self.link!r} does not fit task = {task!r}", f"allowed: {', '.join(links)}")
        return found

    def start(self, task: str, y: np.ndarray, weight: np.ndarray | None = None) -> dict[str, float]:
        """The starting value as XGBoost's parameter: the mean of `y` [n], kept where the link can reach it.

        Rows count by `weight` [n].
        """
        import numpy as np

        mean = float(np.average(y, weights=weight)) if len(y) else 0.5
        match Objective(name=self.carrier(task)).link:
            case "softmax":
                return {}
            case "logistic":
                return {"base_score": min(max(mean, 1e-3), 1 - 1e-3)}
            case "exp":
                return {"base_score": max(mean, 1e-6)}
            case _:
                return {"base_score": mean}

    def as_xgboost(self) -> Callable[[np.ndarray, DMatrix], tuple[np.ndarray, np.ndarray]]:
        """The function as `xgboost.train(obj=...)` and `Booster.update(fobj=...)` take it.

        Row weights are multiplied in here: a loss of one's own does not see them.
        """
        import numpy as np

        def weighted(margins: np.ndarray, rows: DMatrix) -> tuple[np.ndarray, np.ndarray]:
            gradient, hessian = (np.asarray(one) for one in self.derivatives(margins, rows.get_label()))
            weight = rows.get_weight()
            if not len(weight):
                return gradient, hessian
            across = weight.reshape(-1, *[1] * (gradient.ndim - 1))
            return gradient * across, hessian * across

        return weighted

    def _wrong(self, message: str, fix: str) -> ConfigError:
        return ConfigError(f"{self.name}: {message}", fix, key="model.objective")


def custom_objective(
    custom: CustomLoss,
    task: str,
    metric: str,
    wanted: WantedObjective,
    y: np.ndarray,
    *,
    target: str = "the target",
    weight: np.ndarray | None = None,
) -> Objective:
    """The objective of a loaded loss, which is checked: it gets labels `y` [n] (own scale) after the transform wanted.

    It starts at the mean of the labels, weighted by `weight` [n].
    Raises ConfigError for a link that the task does not have and for derivatives that are wrong (`check_loss`),
    TargetError where the transform does not fit the labels.
    """
    carrier = Objective(name=custom.carrier(task), transform=wanted.transform, custom=custom.name)
    check_target(carrier, y, target)
    check_loss(custom, task, carrier.encode(y), classes=int(y.max()) + 1 if task == "multiclass" else 0)
    return carrier.model_copy(
        update={
            "parameters": custom.start(task, carrier.encode(y), weight),
            "smeared": bool(wanted.transform) and not quantile_metric(metric),
            "why": f"{custom.name} as configured",
        }
    )


def check_loss(custom: CustomLoss, task: str, y: np.ndarray, *, classes: int = 0, seed: int = 0) -> None:
    """Check gradient and hessian of up to `CHECKED_ROWS` labels of `y` [n] (training scale) at margins near the start.

    With a loss the gradient is compared with its central differences; the hessian always with those of the gradient,
    unless the function says that it approximates (then it must not be negative). Each row's figures must depend on its
    own margin and label alone: a fold sees other rows. Raises ConfigError with the row, its value and the one expected.
    """
    import numpy as np

    draw = np.random.default_rng(seed)
    labels = np.asarray(y, dtype=np.float64)
    labels = labels[draw.permutation(len(labels))[:CHECKED_ROWS]]
    margins = _margins(custom, task, labels, classes, draw)
    gradient, hessian = _called(custom, margins, labels)
    turned = draw.permutation(len(labels))
    again = _called(custom, margins[turned], labels[turned])
    for what, first, second in zip(("gradient", "hessian"), (gradient, hessian), again, strict=True):
        if not np.allclose(first[turned], second, rtol=1e-4, atol=1e-6 * (1 + np.abs(first).max())):
            raise custom._wrong(
                f"the {what} of a row changes with the rows beside it", "compute each row from its own margin and label"
            )
    columns = range(margins.shape[1]) if margins.ndim == 2 else (None,)
    for column in columns:
        at = (slice(None), column) if column is not None else slice(None)
        step = np.zeros_like(margins)
        step[at] = 1e-4 * np.maximum(1.0, np.abs(margins[at]))
        across = 2 * step[at]
        if custom.loss is not None:
            rise = _losses(custom, margins + step, labels) - _losses(custom, margins - step, labels)
            _compare(custom, "gradient", gradient[at], rise / across, margins[at], labels)
        if custom.exact:
            rise = (_called(custom, margins + step, labels)[0] - _called(custom, margins - step, labels)[0])[at]
            _compare(custom, "hessian", hessian[at], rise / across, margins[at], labels)
    if (hessian < 0).any() or not (hessian > 0).any():
        worst = float(hessian.min())
        raise custom._wrong(f"the hessian is {worst:g}", "return 0 or more, and more than 0 for some row")


def _margins(custom: CustomLoss, task: str, labels: np.ndarray, classes: int, draw: np.random.Generator) -> np.ndarray:
    import numpy as np

    if task == "multiclass":
        return draw.normal(0, 1, (len(labels), classes))
    start = custom.start(task, labels)["base_score"]
    match Objective(name=custom.carrier(task)).link:
        case "logistic":
            middle, spread = float(np.log(start / (1 - start))), 1.5
        case "exp":
            middle, spread = float(np.log(start)), 1.0
        case _:
            middle, spread = start, float(labels.std()) or 1.0
    return draw.normal(middle, spread, len(labels))


def _called(custom: CustomLoss, margins: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and hessian in float64; raises ConfigError for another shape, and for NaN or infinity."""
    import numpy as np

    try:
        returned = custom.derivatives(margins.copy(), labels.copy())
        gradient, hessian = (np.asarray(one, dtype=np.float64) for one in returned)
    except Exception as error:
        raise custom._wrong(
            f"fails with {type(error).__name__}: {error}", "return (gradient, hessian) for margins and labels"
        ) from error
    for what, found in (("gradient", gradient), ("hessian", hessian)):
        if found.shape != margins.shape:
            raise custom._wrong(
                f"the {what} has shape {found.shape} for margins of shape {margins.shape}",
                "return one value for each margin",
            )
        if not np.isfinite(found).all():
            row = int(np.argwhere(~np.isfinite(found))[0][0])
            raise custom._wrong(
                f"the {what} is {found[row]} for margin {margins[row]} and label {labels[row]:g}",
                "return finite numbers for every margin",
            )
    return gradient, hessian


def _losses(custom: CustomLoss, margins: np.ndarray, labels: np.ndarray) -> np.ndarray:
    import numpy as np

    assert custom.loss is not None, "the caller asked"
    found = np.asarray(custom.loss(margins, labels), dtype=np.float64)
    if found.shape != labels.shape:
        raise custom._wrong(
            f"loss has shape {found.shape} for {len(labels)} rows", "return each row's loss, without a mean"
        )
    return found


def _compare(
    custom: CustomLoss, what: str, given: np.ndarray, expected: np.ndarray, margins: np.ndarray, labels: np.ndarray
) -> None:
    """Raises ConfigError where more than `KINKS` of the rows differ by more than `TOLERANCE` of the usual size."""
    import numpy as np

    size = np.maximum(np.abs(expected), np.median(np.abs(expected)))
    off = np.abs(given - expected) > TOLERANCE * np.maximum(size, 1e-6)
    if off.mean() <= KINKS:
        return
    row = int(np.argmax(np.abs(given - expected)))
    of = "the loss" if what == "gradient" else "the gradient"
    hint = "" if what == "gradient" else ", or say that it is an approximation: function.exact = False"
    raise custom._wrong(
        f"the {what} is {given[row]:.6g} for margin {margins[row]:.6g} and label {labels[row]:g}, "
        f"where finite differences of {of} give {expected[row]:.6g} ({int(off.sum())} of {len(off)} rows differ)",
        f"correct the {what}{hint}",
    )
