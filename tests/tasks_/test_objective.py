"""What is minimised: chosen by metric and target, and equal to the formulas that XGBoost's leaves are computed by."""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.tasks import baselines, booster, gate, metrics, objective, postprocess
from treadle.tasks.booster import MatrixRows
from treadle.tasks.errors import ConfigError, TargetError
from treadle.tasks.gate import luck, proper
from treadle.tasks.objective import Objective, WantedObjective, candidate_objectives, choose_objective

if TYPE_CHECKING:
    from collections.abc import Callable

    from xgboost import Booster

NAMES = ("a", "b", "c", "d")


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(n, 4)).astype(np.float32)
    return X, 0.4 * X[:, 0] + 0.6 * np.sin(3 * X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + 0.3 * X[:, 3]


def targets(kind: str, n: int = 2_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, 4] and a target [n] of a kind."""
    X, signal = rows(n, seed)
    draw = np.random.default_rng(seed + 1)
    made: dict[str, Callable[[], np.ndarray]] = {
        "normal": lambda: 5 + signal + draw.normal(size=n),
        "lognormal": lambda: np.exp(6 + signal + draw.normal(0, 0.8, n)),
        "counts": lambda: draw.poisson(np.exp(0.7 + signal) * draw.gamma(2, 0.5, n)),
        "few counts": lambda: draw.integers(0, 4, n),
        "zeros": lambda: np.exp(3 + signal) * (draw.random(n) < 0.4),
        "shares": lambda: 1 / (1 + np.exp(-signal)),
        "two": lambda: draw.random(n) < 1 / (1 + np.exp(-signal)),
    }
    return X, made[kind]().astype(np.float64)


# the choice

CHOICES = {
    "squares for rmse": ("normal", "rmse", {}, ["reg:squarederror"]),
    "counts": ("counts", "rmse", {}, ["reg:squarederror", "reg:squarederror log1p", "count:poisson"]),
    "few whole numbers are grades": ("few counts", "rmse", {}, ["reg:squarederror"]),
    "skewed amounts": ("lognormal", "r2", {}, ["reg:squarederror", "reg:squarederror log1p", "count:poisson"]),
    "amounts with zeros": ("zeros", "rmse", {}, ["reg:squarederror", "count:poisson", "reg:tweedie"]),
    "absolute errors for mae": ("normal", "mae", {}, ["reg:absoluteerror", "reg:pseudohubererror"]),
    "skewed, mae": (
        "lognormal",
        "mae",
        {},
        ["reg:absoluteerror", "reg:absoluteerror log1p", "reg:pseudohubererror"],
    ),
    "mae with a direction": ("normal", "mae", {"a": 1}, ["reg:pseudohubererror"]),
    "skewed mae with a direction": (
        "lognormal",
        "mae",
        {"a": 1},
        ["reg:pseudohubererror", "reg:pseudohubererror log1p"],
    ),
    "a column without a direction binds nothing": ("normal", "mae", {"a": 0}, ["reg:absoluteerror"]),
}


@pytest.mark.parametrize("case", CHOICES)
def test_the_objective_follows_the_metric_and_the_targets_shape(case: str) -> None:
    kind, metric, monotone, expected = CHOICES[case]
    _, y = targets(kind)
    found = candidate_objectives("regression", metric, y, monotone=monotone)
    names = [f"{one.name} {one.transform}".strip() for one in found]
    assert names[: len(expected)] == expected
    assert len(names) <= 3
    assert found[0] == choose_objective("regression", metric, WantedObjective(), y, monotone=monotone)
    assert all(one.why for one in found)


@pytest.mark.parametrize(("task", "name"), [("binary", "binary:logistic"), ("multiclass", "multi:softprob")])
def test_classes_have_one_objective(task: str, name: str) -> None:
    assert [one.name for one in candidate_objectives(task, "log_loss", np.array([0.0, 1.0]))] == [name]


def test_what_is_asked_for_is_taken_with_its_parameters() -> None:
    _, y = targets("zeros")
    wanted = WantedObjective(objective="reg:tweedie", parameters={"tweedie_variance_power": 1.2})
    found = candidate_objectives("regression", "rmse", y, wanted)
    assert [(one.name, one.parameters) for one in found] == [
        ("reg:tweedie", {"tweedie_variance_power": 1.2, "max_delta_step": 0.7})
    ]
    logarithm = candidate_objectives("regression", "rmse", y, WantedObjective(target_transform="log1p"))
    assert [(one.name, one.transform, one.smeared) for one in logarithm] == [("reg:squarederror", "log1p", True)]


NOT_LEARNED = {
    "negative counts": (WantedObjective(objective="count:poisson"), [1.0, -3.0, 2.0], "is -3 in one of 1 rows"),
    "negative amounts": (WantedObjective(objective="reg:tweedie"), [-1.0, 2.0], "needs 0 or more"),
    "zero for Gamma": (WantedObjective(objective="reg:gamma"), [0.0, 2.0], "needs more than 0"),
    "no share": (WantedObjective(objective="reg:logistic"), [0.5, 1.5], "needs 0 to 1"),
    "negative logarithm": (
        WantedObjective(target_transform="log1p"),
        [-0.5, 2.0],
        "target_transform 'log1p' cannot learn",
    ),
}


@pytest.mark.parametrize("case", NOT_LEARNED)
def test_a_target_outside_of_the_objectives_range_is_refused_with_its_value(case: str) -> None:
    wanted, y, says = NOT_LEARNED[case]
    with pytest.raises(TargetError, match=says) as caught:
        choose_objective("regression", "rmse", wanted, np.array(y), target="price")
    assert "'price'" in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize("name", sorted(objective.LEAVES_RESET))
def test_directions_that_xgboost_would_ignore_are_refused(name: str) -> None:
    _, y = targets("normal")
    with pytest.raises(ConfigError, match="keeps no direction"):
        choose_objective("regression", "mae", WantedObjective(objective=name), y, monotone={"a": 1})
    with pytest.raises(ConfigError, match="keeps no direction"):
        booster.complete_parameters(
            "regression", {}, classes=0, device="cpu", seed=0, objective=Objective(name=name), monotone={"a": 1},
            names=NAMES,
        )  # fmt: skip
    with pytest.raises(ConfigError, match="keeps no direction"):
        booster.complete_parameters("multiclass", {}, classes=3, device="cpu", seed=0, monotone={"a": 1}, names=NAMES)


# the losses: one tree, its leaves recomputed

LAMBDA = 1.5


def loss_of(name: str, y: np.ndarray, m: np.ndarray, chosen: Objective) -> np.ndarray:
    """Each row's loss at margins `m`, from the literature."""
    match name:
        case "reg:squarederror":
            return (y - m) ** 2 / 2
        case "reg:pseudohubererror":
            slope = chosen.parameters["huber_slope"]
            return slope**2 * (np.sqrt(1 + ((y - m) / slope) ** 2) - 1)
        case "binary:logistic" | "reg:logistic":
            return np.logaddexp(0, m) - y * m
        case "count:poisson":
            return np.exp(m) - y * m
        case "reg:gamma":
            return y * np.exp(-m) + m
        case _:
            power = chosen.parameters["tweedie_variance_power"]
            return -y * np.exp((1 - power) * m) / (1 - power) + np.exp((2 - power) * m) / (2 - power)


def base_margin(model: Booster, chosen: Objective) -> float:
    start = float(json.loads(model.save_config())["learner"]["learner_model_param"]["base_score"].strip("[]"))
    return {"exp": np.log(start), "logistic": np.log(start / (1 - start)) if start < 1 else 0.0}.get(chosen.link, start)


LOSSES = {
    "reg:squarederror": "normal",
    "reg:pseudohubererror": "lognormal",
    "binary:logistic": "two",
    "reg:logistic": "shares",
    "count:poisson": "counts",
    "reg:gamma": "lognormal",
    "reg:tweedie": "zeros",
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_leaf_is_minus_gradient_over_hessian_of_the_losses_finite_differences(name: str) -> None:
    task = "binary" if name.startswith("binary") else "regression"
    X, y = targets(LOSSES[name], 600)
    chosen = choose_objective(task, "rmse", WantedObjective(objective=name), y)
    params = booster.complete_parameters(
        task,
        {"max_depth": 2, "learning_rate": 1.0, "reg_lambda": LAMBDA, "min_child_weight": 0.0, "max_delta_step": 0.0},
        classes=2,
        device="cpu",
        seed=0,
        objective=chosen,
        fixed={"max_delta_step": 0.0},
    )
    model = booster.fit_booster(params, MatrixRows(X, y.astype(np.float32)), rounds=1, names=NAMES)
    start = base_margin(model, chosen)
    assert start == pytest.approx(expected_start(name, y), rel=1e-4, abs=1e-5)
    leaf = leaves(model, X)
    step = 1e-4 * max(1.0, abs(start))
    low, middle, high = (loss_of(name, y.astype(np.float64), start + at * step, chosen) for at in (-1, 0, 1))
    gradient, hessian = (high - low) / (2 * step), (high - 2 * middle + low) / step**2
    for one in np.unique(leaf):
        held = leaf == one
        value = -gradient[held].sum() / (hessian[held].sum() + LAMBDA)
        assert margins(model, X[held])[0] - start == pytest.approx(value, rel=5e-3, abs=1e-4 * max(1.0, abs(start)))


def expected_start(name: str, y: np.ndarray) -> float:
    mean = float(y.mean())
    if name == "reg:pseudohubererror":
        return float(np.median(y))
    if name.endswith("logistic"):
        return float(np.log(mean / (1 - mean)))
    return mean if name == "reg:squarederror" else float(np.log(mean))


def leaves(model: Booster, X: np.ndarray) -> np.ndarray:
    import xgboost

    return model.predict(xgboost.DMatrix(X, feature_names=list(NAMES)), pred_leaf=True).reshape(len(X), -1)[:, 0]


def margins(model: Booster, X: np.ndarray) -> np.ndarray:
    import xgboost

    matrix = xgboost.DMatrix(X, feature_names=list(NAMES))
    return model.predict(matrix, output_margin=True).astype(np.float64)


def test_a_softmax_leaf_is_the_newton_step_of_its_class() -> None:
    """XGBoost doubles the hessian p (1 - p), a bound on the rows' full matrix."""
    X, signal = rows(600)
    y = np.digitize(signal, [-0.4, 0.4])
    params = booster.complete_parameters(
        "multiclass", {"max_depth": 2, "learning_rate": 1.0, "reg_lambda": LAMBDA, "base_score": 0.5}, classes=3,
        device="cpu", seed=0,
    )  # fmt: skip
    model = booster.fit_booster(params, MatrixRows(X, y.astype(np.float32)), rounds=1, names=NAMES)
    import xgboost

    at = model.predict(xgboost.DMatrix(X, feature_names=list(NAMES)), pred_leaf=True)
    for column in range(3):
        for one in np.unique(at[:, column]):
            held = at[:, column] == one
            gradient = held.sum() / 3 - (y[held] == column).sum()
            value = -gradient / (2 * held.sum() * (1 / 3) * (2 / 3) + LAMBDA)
            assert margins(model, X[held])[0, column] - 0.5 == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(("name", "alpha"), [("reg:absoluteerror", 0.5), ("reg:quantileerror", 0.8)])
def test_leaves_of_absolute_and_quantile_errors_are_the_quantile_of_their_rows(name: str, alpha: float) -> None:
    X, y = targets("lognormal", 601)
    wanted = WantedObjective(objective=name, parameters={"quantile_alpha": alpha})
    chosen = choose_objective("regression", "mae", wanted, y)
    params = booster.complete_parameters(
        "regression", {"max_depth": 2, "learning_rate": 1.0}, classes=0, device="cpu", seed=0, objective=chosen
    )
    model = booster.fit_booster(params, MatrixRows(X, y.astype(np.float32)), rounds=1, names=NAMES)
    answers, at = booster.predict_raw(model, X), leaves(model, X)
    for one in np.unique(at):
        held = at == one
        below = (y[held] <= answers[held][0] * (1 + 1e-5)).mean()
        assert below == pytest.approx(alpha, abs=1.5 / held.sum())


def test_a_quantile_models_answer_lies_above_that_share_of_new_rows() -> None:
    X, y = targets("lognormal", 6_000)
    chosen = choose_objective(
        "regression", "mae", WantedObjective(objective="reg:quantileerror", parameters={"quantile_alpha": 0.9}), y
    )
    params = booster.complete_parameters(
        "regression", {"max_depth": 3, "learning_rate": 0.1}, classes=0, device="cpu", seed=0, objective=chosen
    )
    part = MatrixRows(X[:3_000], y[:3_000].astype(np.float32))
    _, curve = booster.fit_with_curve(
        params, part, MatrixRows(X[3_000:], y[3_000:].astype(np.float32)), rounds=60, names=NAMES
    )
    assert curve.metric == "pinball_0.9"
    model = booster.fit_booster(params, part, rounds=60, names=NAMES)
    # four standard errors of a share of 3,000 rows, and what boosting still learns
    assert (y[3_000:] <= booster.predict_raw(model, X[3_000:])).mean() == pytest.approx(0.9, abs=0.03)


# monotone and interactions, as properties of predictions

KEEPING = sorted({*objective.TASK_OBJECTIVES["regression"], "binary:logistic"} - objective.LEAVES_RESET)
KINDS = LOSSES | {"reg:absoluteerror": "lognormal", "reg:quantileerror": "lognormal"}


def constrained(name: str, params: dict[str, booster.Scalar], monotone: dict[str, int], seed: int = 0) -> Booster:
    task = "binary" if name.startswith("binary") else "regression"
    X, y = targets(KINDS[name], 800, seed)
    chosen = choose_objective(task, "rmse", WantedObjective(objective=name), y, monotone=monotone)
    complete = booster.complete_parameters(
        task, params, classes=2, device="cpu", seed=seed, objective=chosen, names=NAMES, monotone=monotone,
        interactions=[["a", "d"], ["b", "c"]],
    )  # fmt: skip
    return booster.fit_booster(complete, MatrixRows(X, y.astype(np.float32)), rounds=15, names=NAMES)


def steps_along_a(model: Booster) -> np.ndarray:
    grid = np.repeat(rows(60, seed=9)[0][:, None, :], 30, axis=1)
    grid[:, :, 0] = np.linspace(-3, 3, 30)
    return np.diff(booster.predict_raw(model, grid.reshape(-1, 4)).reshape(60, 30), axis=1)


def interplay(model: Booster, i: int, j: int) -> float:
    """The largest mixed difference of margins in columns i and j by the margins' size: 0 where they do not interact."""
    here, there = rows(200, seed=5)[0], rows(200, seed=6)[0]

    def at(*moved: int) -> np.ndarray:
        place = here.copy()
        place[:, list(moved)] = there[:, list(moved)]
        return margins(model, place)

    return float(np.abs(at(i, j) - at(i) - at(j) + at()).max() / np.abs(at()).max())


SETTINGS = st.fixed_dictionaries(
    {
        "max_depth": st.integers(2, 7),
        "grow_policy": st.sampled_from(["depthwise", "lossguide"]),
        "max_leaves": st.sampled_from([0, 8, 30]),
        "learning_rate": st.sampled_from([0.1, 0.5, 1.0]),
        "reg_lambda": st.sampled_from([0.0, 1.0]),
        "reg_alpha": st.sampled_from([0.0, 0.5]),
        "min_child_weight": st.sampled_from([5e-6, 1.0]),
        "subsample": st.sampled_from([0.6, 1.0]),
        "colsample_bynode": st.sampled_from([0.6, 1.0]),
        "num_parallel_tree": st.sampled_from([1, 3]),
    }
)


@pytest.mark.parametrize("name", KEEPING)
@settings(max_examples=20, deadline=None)
@given(params=SETTINGS, way=st.sampled_from([1, -1]), seed=st.integers(0, 3))
def test_predictions_keep_their_direction(name: str, params: dict[str, booster.Scalar], way: int, seed: int) -> None:
    steps = steps_along_a(constrained(name, params, {"a": way}, seed))
    assert np.isfinite(steps).all()
    assert (steps * way >= 0).all()


@pytest.mark.parametrize("name", sorted(objective.EXP))
@pytest.mark.parametrize("seed", range(3))
def test_rows_with_nearly_no_hessian_do_not_end_in_nan(name: str, seed: int) -> None:
    wild: dict[str, booster.Scalar] = {"learning_rate": 0.5, "reg_lambda": 0.0, "min_child_weight": 5e-6}
    model = constrained(name, {**wild, "max_depth": 7, "reg_alpha": 0.5}, {"a": 1}, seed)
    assert np.isfinite(booster.predict_raw(model, rows(500, 7)[0])).all()


@pytest.mark.parametrize("name", sorted(KINDS))
@settings(max_examples=10, deadline=None)
@given(params=SETTINGS, seed=st.integers(0, 3))
def test_predictions_add_up_across_groups_that_may_not_interact(
    name: str, params: dict[str, booster.Scalar], seed: int
) -> None:
    model = constrained(name, params, {}, seed)
    assert max(interplay(model, i, j) for i in (0, 3) for j in (1, 2)) < 1e-4


def test_columns_of_a_group_and_all_features_of_a_column_interact_freely() -> None:
    model = constrained("reg:squarederror", {"max_depth": 5}, {})
    assert interplay(model, 1, 2) > 0.01
    groups = booster.complete_parameters(
        "regression", {}, classes=0, device="cpu", seed=0, names=("x", "when.year", "when.day", "y", "z"),
        owners=("x", "when", "when", "y", "z"), interactions=[["x", "y"], ["when"], ["left out"]],
    )["interaction_constraints"]  # fmt: skip
    assert json.loads(str(groups)) == [[0, 3], [1, 2], [4]]


def test_directions_are_named_by_column_also_where_xgboost_cannot_spell_it() -> None:
    params = booster.complete_parameters(
        "regression", {}, classes=0, device="cpu", seed=0, names=("Price (EUR)", "b"), owners=("Price [EUR]", "b"),
        monotone={"Price [EUR]": -1},
    )  # fmt: skip
    assert params["monotone_constraints"] == "(-1,0)"


# parameters that stay


def test_fixed_parameters_go_before_the_objectives_and_the_trials() -> None:
    spec = booster.BoosterSpec(max_depth=4, max_delta_step=0.3, max_bin=32)
    assert spec.fixed == {"max_depth": 4, "max_delta_step": 0.3, "max_bin": 32}
    X, y = targets("lognormal", 300)
    chosen = choose_objective("regression", "mae", WantedObjective(), y, monotone={"a": 1})
    trial: dict[str, booster.Scalar] = {"max_depth": 9, "huber_slope": 1.0, "learning_rate": 0.2}
    params = booster.complete_parameters(
        "regression", trial, classes=0, device="cpu", seed=0, objective=chosen, fixed=spec.fixed, names=NAMES
    )
    assert (params["max_depth"], params["max_delta_step"], params["learning_rate"]) == (4, 0.3, 0.2)
    assert params["huber_slope"] == chosen.parameters["huber_slope"]
    part = MatrixRows(X, y.astype(np.float32))
    booster.fit_booster(params, part, rounds=2, names=NAMES)
    booster.fit_with_curve(params, part, part, rounds=2, names=NAMES)


# targets, there and back


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=30))
def test_a_target_comes_back_from_its_logarithm(values: list[float]) -> None:
    chosen, y = Objective(name="reg:squarederror", transform="log1p"), np.array(values)
    back = chosen.decode(chosen.encode(y))
    assert back == pytest.approx(y, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_smeared_predictions_of_lognormal_rows_are_unbiased(seed: int) -> None:
    draw = np.random.default_rng(seed)
    raw = draw.normal(3, 1, 40_000)
    y = np.expm1(raw + draw.normal(0, 0.7, len(raw)))
    y, raw = y[y >= 0], raw[y >= 0]
    smeared = Objective(name="reg:squarederror", transform="log1p", smeared=True)
    half = len(y) // 2
    factor = smeared.smear(y[:half], raw[:half])
    error = y[half:] - smeared.decode(raw[half:], factor)
    # the mean error within four standard errors, doubled as the factor has its own
    assert abs(error.mean()) < 8 * error.std() / np.sqrt(half)
    plain = y[half:] - smeared.decode(raw[half:])
    assert plain.mean() > 0.15 * y.mean()
    assert smeared.model_copy(update={"smeared": False}).smear(y, raw) == 1.0


SCALES = {
    "plain": Objective(name="reg:squarederror"),
    "logarithm": Objective(name="reg:squarederror", transform="log1p", smeared=True),
    "exponential link": Objective(name="count:poisson"),
}


@pytest.mark.parametrize("case", SCALES)
@pytest.mark.parametrize("seed", range(3))
def test_nine_tenths_of_new_amounts_lie_in_the_interval_whatever_the_scale(case: str, seed: int) -> None:
    chosen, draw = SCALES[case], np.random.default_rng(seed)
    level = draw.normal(2, 1, 21_000)
    y = np.exp(level) * draw.gamma(2, 0.5, len(level))
    raw = (np.log1p(np.exp(level)) if chosen.transform else np.exp(level)).astype(np.float32)
    post = postprocess.fit_postprocess("regression", (), y[:1_000].astype(np.float32), raw[:1_000], chosen)
    columns = postprocess.apply_postprocess(post, raw[1_000:]).columns.to_pandas()
    inside = (y[1_000:] >= columns["lower"]) & (y[1_000:] <= columns["upper"])
    # a coverage fitted on 1,000 rows is Beta distributed: standard error 0.0095
    assert inside.mean() == pytest.approx(0.9, abs=0.035)
    assert (columns["lower"] <= columns["prediction"]).all()
    assert (columns["prediction"] <= columns["upper"]).all()
    small = raw[1_000:] < np.median(raw)
    assert inside[small].mean() == pytest.approx(inside[~small].mean(), abs=0.06)


def test_absolute_error_beats_squared_error_by_mae_on_a_skewed_table() -> None:
    X, y = targets("lognormal", 4_000)
    train, new = MatrixRows(X[:2_000], y[:2_000].astype(np.float32)), X[2_000:]
    found = {}
    for metric in ("rmse", "mae"):
        chosen = choose_objective("regression", metric, WantedObjective(), y[:2_000])
        params = booster.complete_parameters(
            "regression", {"max_depth": 4, "learning_rate": 0.1}, classes=0, device="cpu", seed=0, objective=chosen
        )
        model = booster.fit_booster(params, train, rounds=60, names=NAMES)
        found[metric] = metrics.metric_value("regression", "mae", y[2_000:], booster.predict_raw(model, new))
    assert found["mae"] < 0.95 * found["rmse"]


@pytest.mark.parametrize("below", [0.1, 0.5, 0.9])
def test_pinball_loss_is_scikit_learns_and_is_least_at_the_quantile(below: float) -> None:
    from sklearn.metrics import mean_pinball_loss

    _, y = targets("lognormal", 999)
    p, weight = np.random.default_rng(5).normal(800, 400, 999), np.random.default_rng(6).integers(1, 5, 999)
    name = f"pinball_{below}"
    expected = mean_pinball_loss(y, p, sample_weight=weight, alpha=below)
    assert metrics.metric_value("regression", name, y, p, weight) == pytest.approx(expected)
    assert not metrics.greater_is_better(name)
    chance = baselines.dummy("regression", y.astype(np.float32), 999, classes=0, metric=name)
    assert (y <= chance[0]).mean() == pytest.approx(below, abs=0.002)
    least = metrics.metric_value("regression", name, y, chance)
    for other in (np.quantile(y, below - 0.05), np.quantile(y, below + 0.05), y.mean()):
        assert least < metrics.metric_value("regression", name, y, np.full(999, other))


@pytest.mark.parametrize("name", ["pinball_0.9", "pinball_0.05"])
def test_a_quantile_is_trained_where_the_metric_asks_for_it(name: str) -> None:
    _, y = targets("lognormal")
    (found,) = candidate_objectives("regression", name, y)
    assert (found.name, found.parameters) == ("reg:quantileerror", {"quantile_alpha": float(name[8:])})
    assert WantedObjective(objective=found.name, parameters=found.parameters).metric == name
    with pytest.raises(ConfigError, match="keeps no direction"):
        candidate_objectives("regression", name, y, monotone={"a": 1})


@pytest.mark.parametrize("name", ["pinball_1.0", "pinball_0", "pinball_0.0", "pinball_", "pinball", "pinball_-0.5"])
def test_what_is_no_quantile_is_no_metric(name: str) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        metrics.metric_value("regression", name, np.zeros(3), np.zeros(3))


@pytest.mark.parametrize("metric", ["mae", "pinball_0.9"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_model_of_medians_or_quantiles_is_not_refused_for_its_squared_error(metric: str, weighted: bool) -> None:
    draw = np.random.default_rng(0)
    middle = draw.normal(size=3_000)
    y = np.exp(middle + draw.normal(0, 1.5, 3_000))
    below = 0.5 if metric == "mae" else 0.9
    p = np.exp(middle + 1.5 * NormalDist().inv_cdf(below))
    chance = baselines.dummy("regression", y.astype(np.float32), len(y), classes=0, metric=metric)
    judged = gate.Judged(
        task="regression", metric=metric, y=y, challenger=p, champion=chance, champion_name="dummy",
        weight=np.ones(len(y)) if weighted else None,
    )  # fmt: skip
    assert list(proper.worse_than_dummy(gate.GateSpec(), judged)) == []
    assert luck.luck(judged, seed=0) < 0.05
    worse = replace(judged, challenger=np.full(len(y), float(y.max())))
    assert list(proper.worse_than_dummy(gate.GateSpec(), worse)) != []


def test_a_quantile_stays_itself_on_the_logarithm() -> None:
    y = np.random.default_rng(0).lognormal(size=500).astype(np.float32)
    (found,) = candidate_objectives("regression", "pinball_0.9", y, WantedObjective(target_transform="log1p"))
    assert (found.name, found.transform, found.parameters["quantile_alpha"]) == ("reg:quantileerror", "log1p", 0.9)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4)), min_size=1, max_size=40))
@settings(deadline=None)
def test_pseudo_huber_with_whole_weights_is_that_of_rows_that_come_so_often(rows: list[tuple[int, int]]) -> None:
    y, times = (np.array(one, dtype=float) for one in zip(*rows, strict=True))
    wanted = WantedObjective(objective="reg:pseudohubererror")
    weighted = choose_objective("regression", "mae", wanted, y, weight=times)
    again = choose_objective("regression", "mae", wanted, np.repeat(y, times.astype(int)))
    assert weighted.parameters == pytest.approx(again.parameters)


def test_the_shape_of_a_target_is_that_of_the_rows_that_count() -> None:
    draw = np.random.default_rng(0)
    y = np.concatenate([draw.lognormal(8, 1.2, 500), draw.normal(500, 20, 500)])
    skewed = np.arange(1_000) < 500
    assert objective.target_shape(y, np.where(skewed, 1.0, 1e-6)) == "positive"
    assert objective.target_shape(y, np.where(skewed, 1e-6, 1.0)) == ""
