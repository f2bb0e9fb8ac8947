"""A loss of one's own is checked before it trains, and a model of it answers without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from treadle.tasks import booster, objective
from treadle.tasks.booster import MatrixRows
from treadle.tasks.custom_loss import CustomLoss, check_loss, custom_objective
from treadle.tasks.errors import ConfigError, TargetError
from treadle.tasks.objective import WantedObjective, choose_objective

if TYPE_CHECKING:
    from xgboost import Booster

NAMES = ("a", "b")
Pair = tuple[np.ndarray, np.ndarray]
WANTED = WantedObjective(objective="losses:own")


def squared(m: np.ndarray, y: np.ndarray) -> Pair:
    return m - y, np.ones_like(m)


def squared_loss(m: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (m - y) ** 2 / 2


def log_cosh(m: np.ndarray, y: np.ndarray) -> Pair:
    return np.tanh(m - y), 1 / np.cosh(np.clip(m - y, -300, 300)) ** 2


def logistic(m: np.ndarray, y: np.ndarray) -> Pair:
    p = 1 / (1 + np.exp(-m))
    return p - y, p * (1 - p)


def softmax(m: np.ndarray, y: np.ndarray) -> Pair:
    p = np.exp(m - m.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p - np.eye(m.shape[1])[y.astype(int)], p * (1 - p)


def softmax_loss(m: np.ndarray, y: np.ndarray) -> np.ndarray:
    top = m.max(axis=1)
    return np.log(np.exp(m - top[:, None]).sum(axis=1)) + top - m[np.arange(len(y)), y.astype(int)]


def poisson(m: np.ndarray, y: np.ndarray) -> Pair:
    return np.exp(m) - y, np.exp(m)


def xgboosts_poisson(m: np.ndarray, y: np.ndarray) -> Pair:
    """Its hessian is that at the end of the longest step, 0.7."""
    return np.exp(m) - y, np.exp(m + 0.7)


def absolute(m: np.ndarray, y: np.ndarray) -> Pair:
    return np.sign(m - y), np.ones_like(m)


def own(function: object, **more: object) -> CustomLoss:
    return CustomLoss("losses:own", function, **more)  # type: ignore[arg-type]


def target(task: str, n: int = 600) -> np.ndarray:
    draw = np.random.default_rng(0)
    made = {"regression": draw.gamma(2, 3, n), "binary": draw.integers(0, 2, n), "multiclass": draw.integers(0, 3, n)}
    return made[task].astype(np.float64)


RIGHT = {
    "squares": ("regression", own(squared, loss=squared_loss)),
    "without a loss": ("regression", own(squared)),
    "log-cosh": ("regression", own(log_cosh, loss=lambda m, y: np.logaddexp(m - y, y - m) - np.log(2))),
    "logistic": ("binary", own(logistic, loss=lambda m, y: np.logaddexp(0, m) - y * m)),
    "softmax": ("multiclass", own(softmax, loss=softmax_loss)),
    "exponential link": ("regression", own(poisson, loss=lambda m, y: np.exp(m) - y * m, link="exp")),
    "an approximated hessian, said": ("regression", own(absolute, loss=lambda m, y: np.abs(m - y), exact=False)),
}


@pytest.mark.parametrize("case", RIGHT)
@pytest.mark.parametrize("seed", range(3))
def test_a_right_loss_passes(case: str, seed: int) -> None:
    task, custom = RIGHT[case]
    check_loss(custom, task, target(task), classes=3, seed=seed)


def outside(m: np.ndarray, y: np.ndarray) -> Pair:
    raise ZeroDivisionError("no rows")


WRONG = {
    "sign": (own(lambda m, y: (y - m, np.ones_like(m)), loss=squared_loss), "gradient is .* finite differences of the"),
    "factor": (own(lambda m, y: (2 * (m - y), 2 * np.ones_like(m)), loss=squared_loss), "gradient is"),
    "hessian": (own(lambda m, y: (m - y, 2 * np.ones_like(m))), "hessian is 2 .* differences of the gradient give 1"),
    "approximated, not said": (own(absolute), "hessian is 1 "),
    "negative hessian": (own(lambda m, y: (m - y, -np.ones_like(m)), exact=False), "hessian is -1"),
    "no hessian at all": (own(lambda m, y: (m - y, np.zeros_like(m)), exact=False), "hessian is 0"),
    "shape": (own(lambda m, y: ((m - y)[:, None], np.ones_like(m))), r"shape \(300, 1\) for margins of shape"),
    "one value": (own(lambda m, y: ((m - y).mean(), 1.0)), r"shape \(\)"),
    "mean loss": (own(squared, loss=lambda m, y: ((m - y) ** 2).mean() / 2), "loss has shape"),
    "NaN": (own(lambda m, y: (np.log(-np.abs(m)), np.ones_like(m))), "gradient is nan for margin"),
    "rows together": (own(lambda m, y: (m - y - (m - y).mean() + m[0], np.ones_like(m))), "rows beside it"),
    "fails": (own(outside), "ZeroDivisionError: no rows"),
    "link of another task": (own(squared, link="softmax"), "link 'softmax' does not fit task = 'regression'"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.filterwarnings("ignore:invalid value encountered in log")
def test_a_wrong_loss_is_refused_with_the_figure_and_the_one_expected(case: str) -> None:
    custom, says = WRONG[case]
    with pytest.raises(ConfigError, match=says) as caught:
        custom_objective(custom, "regression", "rmse", WANTED, target("regression"))
    assert caught.value.key == "model.objective"
    assert caught.value.fix


SAME = {
    "regression": (squared, "", "reg:squarederror"),
    "binary": (logistic, "", "binary:logistic"),
    "counts": (xgboosts_poisson, "exp", "count:poisson"),
}


@pytest.mark.parametrize("case", SAME)
def test_xgboosts_own_loss_written_by_hand_gives_its_model_and_answers_without_the_function(case: str) -> None:
    function, link, name = SAME[case]
    task = "binary" if case == "binary" else "regression"
    draw = np.random.default_rng(1)
    X = draw.normal(size=(800, 2)).astype(np.float32)
    y = {
        "regression": X[:, 0] + draw.normal(size=800),
        "binary": X[:, 0] + draw.normal(size=800) > 0,
        "counts": draw.poisson(np.exp(X[:, 0])),
    }[case].astype(np.float32)
    custom, params = own(function, link=link, exact=case != "counts"), {"max_depth": 3, "max_delta_step": 0.7}
    chosen = custom_objective(custom, task, "rmse", WANTED, y)
    assert choose_objective(task, "rmse", WANTED, y, custom=chosen) is chosen
    answers = []
    for one, loss in ((chosen, custom), (objective.Objective(name=name), None)):
        complete = booster.complete_parameters(task, params, classes=2, device="cpu", seed=0, objective=one)
        model = booster.fit_booster(complete, MatrixRows(X, y), rounds=8, names=NAMES, custom=loss)
        back = booster_from_bytes(bytes(model.save_raw("ubj")))
        answers.append(booster.predict_raw(back, X))
    assert answers[0] == pytest.approx(answers[1], rel=1e-3, abs=1e-3)


def booster_from_bytes(raw: bytes) -> Booster:
    import xgboost

    model = xgboost.Booster({"device": "cpu"})
    model.load_model(bytearray(raw))
    return model


def test_classes_of_a_loss_of_ones_own_sum_to_one() -> None:
    draw = np.random.default_rng(2)
    X = draw.normal(size=(600, 2)).astype(np.float32)
    y = np.digitize(X[:, 0], [-0.5, 0.5]).astype(np.float32)
    custom = own(softmax)
    chosen = custom_objective(custom, "multiclass", "log_loss", WANTED, y)
    params = booster.complete_parameters(
        "multiclass", {"max_depth": 3}, classes=3, device="cpu", seed=0, objective=chosen
    )
    answers = booster.predict_raw(
        booster.fit_booster(params, MatrixRows(X, y), rounds=20, names=NAMES, custom=custom), X
    )
    assert answers.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (answers.argmax(axis=1) == y).mean() > 0.95


def test_a_loss_of_ones_own_starts_at_the_mean_on_the_scale_it_learns() -> None:
    y = target("regression")
    plain = custom_objective(own(squared), "regression", "rmse", WANTED, y)
    logarithm = custom_objective(
        own(squared), "regression", "rmse", WANTED.model_copy(update={"target_transform": "log1p"}), y
    )
    assert plain.parameters["base_score"] == pytest.approx(y.mean())
    assert logarithm.parameters["base_score"] == pytest.approx(np.log1p(y).mean(), rel=1e-6)
    assert (plain.smeared, logarithm.smeared, logarithm.transform) == (False, True, "log1p")
    with pytest.raises(TargetError, match="log1p"):
        custom_objective(
            own(squared), "regression", "rmse", WANTED.model_copy(update={"target_transform": "log1p"}), y - 100
        )


@pytest.mark.parametrize(("task", "link"), [("regression", ""), ("regression", "exp"), ("binary", "")])
def test_a_loss_of_ones_own_starts_at_the_weighted_mean(task: str, link: str) -> None:
    draw = np.random.default_rng(4)
    y, times = (draw.exponential(size=200) > 0.7).astype(float), draw.integers(1, 5, 200)
    loss = own(squared, link=link)
    weighted = loss.start(task, y, times * 0.5)
    assert weighted == pytest.approx(loss.start(task, np.repeat(y, times)))
    assert weighted != pytest.approx(loss.start(task, y))


def test_row_weights_reach_a_loss_of_ones_own() -> None:
    import xgboost

    draw = np.random.default_rng(3)
    X, y, weight = draw.normal(size=(300, 2)), draw.normal(size=300), draw.integers(1, 4, 300)
    again = np.repeat(np.arange(300), weight)
    loss = own(squared).as_xgboost()
    weighted = loss(np.zeros(300, dtype=np.float32), xgboost.DMatrix(X, y, weight=weight))
    repeated = loss(np.zeros(len(again), dtype=np.float32), xgboost.DMatrix(X[again], y[again]))
    for one, other in zip(weighted, repeated, strict=True):
        assert one.sum() == pytest.approx(other.sum(), rel=1e-4)
