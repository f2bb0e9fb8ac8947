from __future__ import annotations

import numpy as np
import pytest

from treadle.tasks import booster, metrics
from treadle.tasks.booster import MatrixRows
from treadle.tasks.errors import ConfigError

NAMES = ("age", "income", "noise")


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(n, 3)).astype(np.float32)
    X[draw.random((n, 3)) < 0.1] = np.nan
    return X, np.nan_to_num(X[:, 0]) + 0.5 * np.nan_to_num(X[:, 1]) ** 2


def part(task: str, n: int, seed: int = 0) -> MatrixRows:
    X, signal = rows(n, seed)
    targets = {
        "binary": signal > 0.4,
        "multiclass": np.digitize(signal, [-0.5, 0.5]),
        "regression": 1_000 + signal,
    }
    return MatrixRows(X, targets[task].astype(np.float32))


def fitted(task: str, **more: object) -> tuple[booster.Scalar | object, ...]:
    params = booster.complete_parameters(task, {"max_depth": 3}, classes=3, device="cpu", seed=1, names=NAMES, **more)  # type: ignore[arg-type]
    return params, booster.fit_booster(params, part(task, 800), rounds=60, names=NAMES)


SHAPES = {"binary": (500,), "multiclass": (500, 3), "regression": (500,)}


@pytest.mark.parametrize("task", SHAPES)
def test_a_model_learns_and_answers_in_its_tasks_shape(task: str) -> None:
    _, model = fitted(task)
    new = part(task, 500, seed=2)
    answers = booster.predict_raw(model, new.X)  # type: ignore[arg-type]
    assert answers.shape == SHAPES[task]
    assert answers.dtype == np.float32
    metric = metrics.default_metric(task)
    assert metrics.metric_value(task, metric, new.y, answers) == pytest.approx(
        {"binary": 0.97, "multiclass": 0.25, "regression": 0.25}[task], abs=0.15
    )


def test_the_same_seed_gives_the_same_model() -> None:
    X = part("binary", 300).X
    first, second = (booster.predict_raw(fitted("binary")[1], X) for _ in range(2))  # type: ignore[arg-type]
    assert (first == second).all()


@pytest.mark.parametrize("task", SHAPES)
def test_any_number_of_threads_grows_the_same_trees(task: str) -> None:
    X, signal = rows(20_000)
    y = {"binary": signal > 0.4, "multiclass": np.digitize(signal, [-0.5, 0.5]), "regression": signal}[task]
    settings = {"max_depth": 8, "subsample": 0.8, "colsample_bytree": 0.7}
    params = booster.complete_parameters(task, settings, classes=3, device="cpu", seed=1, names=NAMES)
    many = MatrixRows(X, y.astype(np.float32))
    grown = [
        booster.fit_booster({**params, "nthread": threads}, many, rounds=15, names=NAMES).get_dump(with_stats=True)
        for threads in (1, 2, 5)
    ]
    assert grown[0] == grown[1] == grown[2]


def test_a_target_far_from_zero_is_learned_as_well_as_one_near_it() -> None:
    X, signal = rows(2_000)
    errors = []
    for offset in (0.0, 10_000.0):
        params = booster.complete_parameters("regression", {}, classes=0, device="cpu", seed=0)
        model = booster.fit_booster(params, MatrixRows(X, (signal + offset).astype(np.float32)), rounds=50, names=NAMES)
        errors.append(np.sqrt(np.mean((booster.predict_raw(model, X) - offset - signal) ** 2)))
    assert errors[1] <= 1.1 * errors[0]


def test_the_curve_is_of_every_round_and_ends_where_the_model_stands() -> None:
    params = booster.complete_parameters("binary", {"max_depth": 3}, classes=2, device="cpu", seed=0)
    train, validation = part("binary", 800), part("binary", 400, seed=3)
    model, curve = booster.fit_with_curve(params, train, validation, rounds=25, names=NAMES)
    assert (curve.metric, len(curve.train), len(curve.validation)) == ("log_loss", 25, 25)
    answers = booster.predict_raw(model, validation.X)
    assert curve.validation[-1] == pytest.approx(
        metrics.metric_value("binary", "log_loss", validation.y, answers), abs=1e-5
    )
    assert curve.validation[-1] < curve.validation[0]


@pytest.mark.parametrize(
    ("objective", "watched"),
    [
        ("binary:logistic", "logloss"),
        ("multi:softprob", "mlogloss"),
        ("reg:squarederror", "rmse"),
        ("reg:absoluteerror", "mae"),
        ("reg:quantileerror", "quantile"),
        ("count:poisson", "rmse"),
    ],
)
def test_what_is_watched_moves_smoothly(objective: str, watched: str) -> None:
    assert booster.watched(objective) == watched
    assert watched in (*booster.OUR_NAMES, "quantile")


@pytest.mark.parametrize("way", [1, -1])
def test_a_monotone_feature_keeps_its_direction(way: int) -> None:
    _, model = fitted("regression", monotone={"age": way, "noise": 0})
    X = np.zeros((50, 3), dtype=np.float32)
    X[:, 0] = np.linspace(-3, 3, 50)
    steps = np.diff(booster.predict_raw(model, X)) * way  # type: ignore[arg-type]
    assert (steps >= 0).all()


def test_monotone_by_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'agee' is no feature") as caught:
        booster.complete_parameters("binary", {}, classes=2, device="cpu", seed=0, monotone={"agee": 1}, names=NAMES)
    assert caught.value.key == "model.monotone"


def test_importance_names_what_was_used_and_sums_to_one() -> None:
    _, model = fitted("regression")
    shares = booster.gain_importance(model, NAMES)  # type: ignore[arg-type]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["age"] > shares["income"] > shares["noise"]
