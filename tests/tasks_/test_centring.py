"""Numbers far from 0 beside their spread are centred before they become float32; beyond float32 they are refused."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tasks_.test_refit import config
from treadle.tasks import baselines, bundle, evaluation, features, fitting, linear, postprocess, refit, training
from treadle.tasks.centring import FAR, LARGEST, centred_target, offset_of
from treadle.tasks.dataset import Column, Schema, SplitSpec, split
from treadle.tasks.errors import DataError, TargetError
from treadle.tasks.metrics import interval, metric_value
from treadle.tasks.objective import Objective, WantedObjective, candidate_objectives, check_target, choose_objective
from treadle.tasks.prepared import Preparation
from treadle.tasks.recipe import make_recipe
from treadle.tasks.search import Found
from treadle.tasks.validation import Layout

SECONDS = 1.7e9
SCHEMA = Schema(
    columns=(
        Column(name="id", kind="integer"),
        Column(name="a", kind="number"),
        Column(name="c", kind="text"),
        Column(name="y", kind="number"),
    )
)


def table(rows: int, seed: int, *, at: float = 0.0, feature_at: float = 0.0) -> pa.Table:
    """A target around `at` with a spread of 22, 18 of which the columns tell; `a` lies around `feature_at`."""
    draw = np.random.default_rng(seed)
    a, level = draw.normal(0, 16, rows), draw.integers(0, 12, rows)
    effect = np.random.default_rng(5).normal(0, 9, 12)
    y = a + effect[level] + draw.normal(0, 12, rows)
    names = np.array([f"v{one:02}" for one in range(12)])[level]
    return pa.table({"id": np.arange(rows), "a": feature_at + a, "c": names, "y": at + y})


def fitted(rows: pa.Table, kind: str, encodings: tuple[str, ...] = ("codes",), metric: str = "rmse"):
    whole = config("regression", "random")
    problem = training.define(whole, SCHEMA, training.labels(rows, "y"))
    parts = split(rows, SplitSpec(), key=("id",), time="", target="y")
    both = training.together(parts.train, parts.validation)
    objective = candidate_objectives("regression", metric, training.labels_as_numbers(problem, both))[0]
    prepared = Preparation(layout=Layout(kind="folds"), encodings={"c": encodings}, objective=objective)
    found = Found({"eta": 0.1, "max_depth": 3, "nthread": 1}, 60, 0.0, (), 0, 0.0)
    recipe = make_recipe(whole, problem, found, prepared, judged_rows=len(both), rows=len(rows), device="cpu")
    recipe = fitting.as_line(recipe) if kind == "linear" else recipe
    return problem, parts, recipe, fitting.fit_judged(problem, recipe, parts.open(), SplitSpec())


def rmse(model: bundle.Model, rows: pa.Table) -> float:
    answered = bundle.predict_table(model, rows)["prediction"].to_numpy()
    return metric_value("regression", "rmse", rows["y"].to_numpy(), answered)


@pytest.mark.parametrize("encodings", [("codes",), ("statistics", "counts")])
@pytest.mark.parametrize("kind", ["trees", "linear"])
@pytest.mark.parametrize("seed", range(3))
def test_a_target_of_seconds_since_1970_is_learned_as_well_as_its_differences(
    seed: int, kind: str, encodings: tuple[str, ...]
) -> None:
    errors, widths = [], []
    for at in (0.0, SECONDS):
        problem, parts, _, found = fitted(table(1_200, seed, at=at), kind, encodings)
        errors.append(rmse(found.model, parts.holdout))
        answered = bundle.predict_table(found.model, parts.holdout)
        widths.append(np.mean(answered["upper"].to_numpy() - answered["lower"].to_numpy()))
        assert (found.model.post.offset != 0) == bool(at)
    chance = baselines.dummy(
        "regression", training.labels_as_numbers(problem, parts.train), len(parts.holdout), classes=0
    )
    dummy = metric_value("regression", "rmse", parts.holdout["y"].to_numpy(), chance)
    assert dummy == pytest.approx(22, abs=3)
    assert errors[1] == pytest.approx(errors[0], rel=0.03)
    assert errors[1] < 0.75 * dummy
    assert widths[1] == pytest.approx(widths[0], rel=0.05)


@pytest.mark.parametrize("metric", ["mae", "pinball_0.8"])
def test_other_objectives_learn_it_too(metric: str) -> None:
    errors = []
    for at in (0.0, SECONDS):
        _, parts, _, found = fitted(table(1_000, 2, at=at), "trees", metric=metric)
        answered = bundle.predict_table(found.model, parts.holdout)["prediction"].to_numpy()
        errors.append(metric_value("regression", metric, parts.holdout["y"].to_numpy(), answered))
    assert errors[1] == pytest.approx(errors[0], rel=0.05)


@pytest.mark.parametrize("kind", ["trees", "linear"])
def test_a_feature_of_seconds_since_1970_tells_as_much_as_its_differences(kind: str) -> None:
    errors = [
        rmse(found.model, parts.holdout)
        for _, parts, _, found in (fitted(table(1_200, 3, feature_at=at), kind) for at in (0.0, SECONDS))
    ]
    assert errors[1] == pytest.approx(errors[0], rel=0.03)


def test_evaluation_and_refit_measure_in_float64() -> None:
    problem, parts, recipe, found = fitted(table(1_200, 4, at=SECONDS), "trees")
    fitted_rows = training.together(parts.train, parts.validation)
    evidence = evaluation.evaluate_models(problem, found.model, None, fitted_rows, parts.holdout, (), 0)
    assert evidence.y.dtype == np.float64
    assert np.array_equal(evidence.y, parts.holdout["y"].to_numpy())
    scores = {who: values["rmse"] for who, values in evidence.scores.items()}
    assert scores["dummy"] == pytest.approx(22, abs=3)
    assert scores["challenger"] < 0.75 * scores["dummy"]
    assert scores["linear"] < 0.75 * scores["dummy"]
    for again in (recipe, fitting.as_line(recipe)):
        refitted = refit.refit(problem, again, found.model, parts, SplitSpec())
        assert rmse(refitted.model, parts.holdout) < 0.75 * scores["dummy"]


def test_numbers_near_0_beside_their_spread_have_no_offset() -> None:
    draw = np.random.default_rng(0)
    for values in (
        draw.normal(size=500),
        draw.integers(0, 2, 500),
        draw.integers(1_990, 2_025, 500),
        40.7 + draw.normal(0, 0.05, 500),
        np.zeros(500),
        np.full(500, SECONDS),
        np.array([]),
        np.array([np.nan, np.inf]),
        draw.integers(0, 2**40, 500),
    ):
        assert offset_of(np.asarray(values, dtype=np.float64)) == 0


@settings(deadline=None)
@given(
    at=st.floats(-1e15, 1e15),
    spread=st.floats(1e-3, 1e6),
    seed=st.integers(0, 1_000),
    whole=st.booleans(),
)
def test_what_is_left_of_centred_numbers_is_near_their_spread_and_whole_where_they_are(
    at: float, spread: float, seed: int, whole: bool
) -> None:
    values = at + spread * np.random.default_rng(seed).uniform(-1, 1, 200)
    values = np.round(values) if whole else values
    offset = offset_of(values)
    left = values - offset
    ends = np.quantile(values, [0.25, 0.75], method="inverted_cdf")
    if offset:
        assert np.abs(left).max() <= np.ptp(values) + (ends[1] - ends[0])
        assert not whole or (offset == round(offset) and (left == np.round(left)).all())
        assert math.isfinite(offset)
    elif ends[1] > ends[0]:
        assert abs(np.quantile(values, 0.5, method="inverted_cdf")) <= FAR * (ends[1] - ends[0])


def test_one_far_value_hides_no_offset() -> None:
    """A missing time that is written as 0 does not keep the others from being told apart."""
    values = SECONDS + np.random.default_rng(1).normal(0, 22, 1_000)
    values[3] = 0.0
    assert offset_of(values) == pytest.approx(SECONDS, abs=100)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_class_codes_are_never_centred(task: str) -> None:
    codes = np.array([0, 1, 1, 1] * 30, dtype=np.float32)
    assert centred_target(task, codes) is codes


def test_objectives_whose_answer_is_an_exponential_refuse_such_a_target() -> None:
    y = SECONDS + np.random.default_rng(0).normal(0, 22, 300)
    with pytest.raises(TargetError, match=r"target 'when' lies so far from 0 .* count:poisson"):
        choose_objective("regression", "rmse", WantedObjective(objective="count:poisson"), y, target="when")
    check_target(Objective(name="count:poisson"), y - SECONDS + 200)
    names = [one.name for one in candidate_objectives("regression", "rmse", SECONDS + np.exp(y - SECONDS - 40))]
    assert names == ["reg:squarederror"], "skewed seconds too"


def test_the_logarithm_of_a_far_target_is_centred_too() -> None:
    y = SECONDS * np.exp(np.random.default_rng(0).normal(0, 1e-5, 400))
    wanted = WantedObjective(target_transform="log1p")
    objective = choose_objective("regression", "rmse", wanted.model_copy(update={"objective": "reg:squarederror"}), y)
    assert objective.offset == pytest.approx(math.log(SECONDS), abs=1e-3)
    raw = objective.encode(y)
    post = postprocess.fit_postprocess("regression", (), y, raw, objective)
    answered = postprocess.apply_postprocess(post, raw)
    assert answered.p == pytest.approx(y, rel=1e-9)
    assert (answered.columns["lower"].to_numpy() <= answered.p).all()


@pytest.mark.parametrize("value", [1e39, -1e300, math.inf])
def test_a_feature_beyond_float32_is_refused_with_column_and_value(value: float) -> None:
    rows = pa.table({"x": [1.0, 2.0, value, None]})
    schema = Schema(columns=(Column(name="x", kind="number"),))
    with pytest.raises(DataError, match=rf"column 'x' is {value!r} in one of 1 rows".replace("+", r"\+")) as raised:
        features.fit_features(rows, schema, columns=("x",), categories=(), time=None, timezone="")
    assert "data.drop" in str(raised.value.fix)
    spec = features.fit_features(rows.slice(0, 2), schema, columns=("x",), categories=(), time=None, timezone="")
    with pytest.raises(DataError, match="beyond the range of float32"):
        features.encode(spec, rows)
    earlier = features.FeatureSpec.model_validate({**spec.model_dump(), "beyond_float32": "clip"})
    clipped = features.encode(earlier, rows)[2, 0]
    assert np.isnan(clipped) if math.isinf(value) else abs(clipped) == np.float32(LARGEST)


@pytest.mark.parametrize("value", [1e39, -1e300, math.inf])
def test_a_target_beyond_float32_is_refused_with_its_name_and_value(value: float) -> None:
    problem = training.define(config("regression", "random"), SCHEMA, [1.0, 2.0])
    rows = table(3, 1).set_column(3, "y", pa.array([1.0, value, 2.0]))
    with pytest.raises(TargetError, match=r"target 'y' is"):
        training.labels_as_numbers(problem, rows)


def test_specs_of_tables_that_need_no_offset_say_nothing_of_it() -> None:
    spec = training.learn_features(training.define(config("regression", "random"), SCHEMA, [1.0, 2.0]), table(50, 1))
    assert "offset" not in spec.model_dump_json()
    assert "offset" not in postprocess.Post(task="regression").model_dump_json()


def test_a_line_beside_a_model_answers_on_the_targets_own_scale() -> None:
    rows = table(600, 1, at=SECONDS)
    problem = training.define(config("regression", "random"), SCHEMA, [1.0, 2.0])
    y = training.labels_as_numbers(problem, rows)
    answers = linear.linear_beside(problem, rows, y, rows, seed=0)
    assert answers is not None
    assert metric_value("regression", "rmse", y, answers.p) < 18


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2", "pinball_0.9"])
def test_metrics_and_their_intervals_do_not_depend_on_how_far_the_target_lies(metric: str) -> None:
    draw = np.random.default_rng(0)
    y = draw.normal(0, 22, 800)
    p = y + draw.normal(0, 9, 800)
    near, far = (
        (metric_value("regression", metric, y + at, p + at), *interval("regression", metric, y + at, p + at))
        for at in (0.0, SECONDS)
    )
    assert far == pytest.approx(near, rel=1e-5)
