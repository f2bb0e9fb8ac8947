"""Row weights: what a column of them may hold, and that scores, bounds, calibration and fits obey it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression, Ridge

from tests import shop
from treadle.tasks import (
    baselines,
    booster,
    calibration_maps,
    dependence,
    features,
    gate,
    influence,
    linear,
    metrics,
    performance,
    postprocess,
    weights,
)
from treadle.tasks.booster import MatrixRows
from treadle.tasks.dataset import Column, Parts, Schema
from treadle.tasks.dependence import Dependence
from treadle.tasks.errors import DataError
from treadle.tasks.gate import sure
from treadle.tasks.gate.luck import luck
from treadle.tasks.gate.resample import gain_spread
from treadle.tasks.gate.sure import gain_on
from treadle.tasks.gate.values import GateSpec, Judged
from treadle.tasks.search.course import Course, LaneRows, lay_out

METRICS = [(task, name) for task, names in metrics.METRICS.items() for name in names]


def world(task: str, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    if task == "regression":
        y = draw.normal(size=rows)
        return y, y + draw.normal(size=rows)
    if task == "multiclass":
        y = draw.integers(0, 3, rows)
        p = draw.dirichlet(np.ones(3), rows) + 0.4 * np.eye(3)[y]
        return y.astype(np.float64), p / p.sum(axis=1, keepdims=True)
    y = (draw.random(rows) < 0.3).astype(np.float64)
    # two decimals: ties between and within the classes
    return y, np.round(np.clip(draw.normal(0.4 + 0.2 * y, 0.2), 0.01, 0.99), 2)


def unequal(rows: int, seed: int, spread: float = 1.0) -> np.ndarray:
    return np.exp(spread * np.random.default_rng([seed, 7]).normal(size=rows))


def table(**columns: list[object]) -> pa.Table:
    return pa.table(columns)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([1.0, None, 2.0, None], "column 'exposure': 2 of 4 weights are missing (the first: None, labelled row 2)"),
        ([1.0, 2.0, -0.5], "column 'exposure': 1 of 3 weights are negative (the first: -0.5, labelled row 3)"),
        ([1.0, float("inf")], "1 of 2 weights are infinite (the first: inf, labelled row 2)"),
        ([0.0, 0.0], "all 2 weights are 0"),
        (["a", "b"], "column 'exposure' holds string, no weights"),
    ],
)
def test_a_weight_that_is_none_is_refused_with_column_rows_and_value(values: list[object], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        weights.row_weights(table(exposure=values), "exposure")
    assert sentence in caught.value.message
    assert caught.value.fix
    with pytest.raises(DataError, match=r"'exposure', which data\.weight names, is not in the table"):
        weights.row_weights(table(other=values), "exposure")


def test_no_column_is_no_weight_and_numbers_come_as_they_are() -> None:
    rows = table(exposure=[0, 2, 3])
    assert weights.row_weights(rows, "") is None
    assert weights.row_weights(rows, "exposure").tolist() == [0.0, 2.0, 3.0]  # type: ignore[union-attr]


def test_rows_of_weight_0_are_in_no_part_and_a_part_of_them_alone_is_refused() -> None:
    some, none = table(w=[0.0, 1.0, 2.0]), table(w=[0.0, 0.0])
    parts = weights.counting_parts(Parts(some, some, some, none, known=some), "w")
    assert [len(part) for part in (parts.train, parts.validation, parts.holdout, parts.between)] == [2, 2, 2, 0]
    assert len(parts.known or ()) == 2
    with pytest.raises(DataError, match="all 2 holdout rows have weight 0"):
        weights.counting_parts(Parts(some, some, none, none), "w")
    assert weights.counting_parts(Parts(some, some, none, none), "").holdout is none


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_relative_weights_have_mean_1_over_the_rows_that_count(values: list[float]) -> None:
    weight = np.array(values)
    found = weights.relative(weight)
    counted = weight[weight > 0]
    if found is None:
        assert len(set(values)) == 1
    elif len(counted):
        assert found[weight > 0].mean() == pytest.approx(1)
        assert (found[weight == 0] == 0).all()


@given(st.integers(0, 10_000), st.sampled_from(METRICS))
@settings(max_examples=60, deadline=None)
def test_a_whole_weight_is_a_row_that_comes_so_often(seed: int, which: tuple[str, str]) -> None:
    task, metric = which
    y, p = world(task, 60, seed)
    times = np.random.default_rng(seed).integers(0, 4, 60)
    times[:2] = 1
    again = np.repeat(np.arange(60), times)
    weighted = metrics.metric_value(task, metric, y, p, times * 2.5)
    assert weighted == pytest.approx(metrics.metric_value(task, metric, y[again], p[again]), rel=1e-9, nan_ok=True)


@pytest.mark.parametrize(("task", "metric"), METRICS)
@pytest.mark.parametrize("depends", [None, "groups", "times", "both"])
def test_equal_weights_give_the_very_bits_of_no_weights(task: str, metric: str, depends: str | None) -> None:
    y, p = world(task, 400, 1)
    q = p[::-1].copy()
    on = Dependence(
        np.arange(400) % 40 if depends in ("groups", "both") else None,
        np.arange(400) // 4 if depends in ("times", "both") else None,
    )
    plain = Judged(task, metric, y, p, q, "version 1", groups=on.groups, times=on.times)
    equal = replace(plain, weight=np.full(400, 0.1))
    assert gain_spread(plain, metric) == gain_spread(equal, metric)
    assert gain_on(plain, metric) == gain_on(equal, metric)
    assert metrics.interval(task, metric, y, p, dependence=on) == metrics.interval(
        task, metric, y, p, dependence=on, weight=equal.weight
    )
    draws = [metrics.bootstrap_gain(metric, task, y, p, q, resamples=20, weight=one) for one in (None, equal.weight)]
    assert np.array_equal(*draws, equal_nan=True)


def test_equal_weights_change_nothing_of_a_verdict_but_what_it_says_of_them() -> None:
    y, p = world("binary", 1_200, 2)
    plain = Judged("binary", "roc_auc", y, p, np.full(1_200, 0.3), "dummy", slices={"part": np.arange(1_200) % 3})
    verdicts = [gate.decide_verdict(GateSpec(), one) for one in (plain, replace(plain, weight=np.full(1_200, 3.0)))]
    first, second = (one.model_dump(exclude={"reasons"}) for one in verdicts)
    assert first == second
    assert set(verdicts[0].reasons) < set(verdicts[1].reasons)


@pytest.mark.parametrize(("task", "metric"), METRICS)
def test_a_weighted_influence_is_what_drawing_a_row_a_little_more_often_changes(task: str, metric: str) -> None:
    y, p = world(task, 300, 1)
    weight = unequal(300, 1)
    found = influence.influences(metric, y, p, weight=weight)
    assert abs(found.sum()) < 1e-8 * np.abs(found).sum() + 1e-9
    value = metrics.metric_value(task, metric, y, p, weight)
    for row in np.random.default_rng(2).integers(0, 300, 6):
        more = weight.copy()
        more[row] *= 1 + 1e-5
        moved = metrics.metric_value(task, metric, y, p, more) - value
        assert found[row] == pytest.approx(moved / 1e-5 * 300, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(("task", "metric"), METRICS)
@pytest.mark.parametrize("grouped", [False, True])
def test_a_weighted_standard_error_is_that_of_the_plain_bootstrap(task: str, metric: str, grouped: bool) -> None:
    y, p = world(task, 900, 3)
    weight = unequal(900, 3, 0.7)
    units = np.sort(np.random.default_rng(4).integers(0, 90, 900)) if grouped else np.arange(900)
    count, draw = int(units.max()) + 1, np.random.default_rng(6)
    measured = metrics.weighted_measure(task, metric, y, p)
    times = np.array([np.bincount(draw.integers(0, count, count), minlength=count)[units] for _ in range(600)])
    depends = Dependence(groups=units) if grouped else Dependence()
    found = dependence.standard_error(influence.influences(metric, y, p, weight=weight), depends, weight)
    # 600 draws know their own standard deviation to 3%
    assert found.error == pytest.approx(np.nanstd(measured(times * weight)), rel=0.15)
    assert found.units < count, "unequal weights count as fewer rows"


def test_leaving_a_row_out_of_a_weighted_mean_takes_its_weight_away() -> None:
    losses, weight = np.array([1.0, 2.0, 4.0, 9.0]), np.array([1.0, 1.0, 2.0, 6.0])
    moved = influence.influences("mae", losses, np.zeros(4), weight=weight)
    without = [np.average(np.delete(losses, row), weights=np.delete(weight, row)) for row in range(4)]
    jackknife = np.sqrt(3 / 4 * ((np.array(without) - np.average(losses, weights=weight)) ** 2).sum())
    assert dependence.standard_error(moved, Dependence(), weight).error == pytest.approx(jackknife)


def test_an_interval_covers_the_weighted_truth() -> None:
    """400 samples of 300 rows whose losses depend on their weights; fewer than 92% cover by chance once in 300."""
    covered = 0
    draw = np.random.default_rng(5)
    for _ in range(400):
        z = draw.normal(size=300)
        weight, p = np.exp(0.6 * z), np.exp(0.5 * z) * draw.exponential(size=300)
        # E[w l] / E[w] with z normal: exp((0.6 + 0.5)² / 2 - 0.6² / 2)
        truth = np.exp((1.1**2 - 0.6**2) / 2)
        low, high = metrics.interval("regression", "mae", np.zeros(300), p, weight=weight)
        covered += low <= truth <= high
    assert covered >= 0.92 * 400


@pytest.mark.parametrize(("task", "metric"), METRICS)
def test_weighted_luck_is_the_share_of_all_orders_of_labels_with_their_weights(task: str, metric: str) -> None:
    draw = np.random.default_rng(1)
    weight = np.array([0.3, 2.0, 1.0, 1.5, 0.7, 3.0])
    if task == "regression":
        y, p = draw.normal(size=6), draw.normal(size=6)
        p[:4] += 1.5 * y[:4]
    elif task == "multiclass":
        y, p = np.array([0.0, 1, 2, 0, 1, 2]), draw.dirichlet(np.ones(3), 6) + 0.5 * np.eye(3)[[0, 1, 2, 0, 1, 0]]
        p /= p.sum(axis=1, keepdims=True)
    else:
        y, p = np.array([0.0, 0, 1, 0, 1, 1]), np.array([0.1, 0.3, 0.4, 0.6, 0.6, 0.8])
    every = [np.array(one) for one in itertools.permutations(range(6))]
    values = np.array([metrics.metric_value(task, metric, y[one], p, weight[one]) for one in every])
    actual = metrics.metric_value(task, metric, y, p, weight)
    as_good = values >= actual - 1e-12 if metrics.greater_is_better(metric) else values <= actual + 1e-12
    found = [luck(Judged(task, metric, y, p, p, "dummy", weight=weight), seed) for seed in range(12)]
    assert np.mean(found) == pytest.approx(as_good.mean(), rel=0.25, abs=0.05)


def test_a_class_that_weighs_more_is_no_skill() -> None:
    """Claims weigh 20, and predictions say nothing: of 40 p-values about 4 are below 0.1, and 10 or more 1 in 200."""
    below = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        y = (draw.random(400) < 0.1).astype(np.float64)
        p = np.clip(draw.normal(0.7, 0.05, 400), 0.01, 0.99)
        below += luck(Judged("binary", "log_loss", y, p, p, "dummy", weight=np.where(y == 1, 20.0, 1.0)), seed) < 0.1
    assert below < 10


def test_few_rows_that_carry_the_weight_are_few() -> None:
    y = np.r_[np.ones(100), np.zeros(100)]
    assert gate.enough("binary", y, unequal(200, 1, 0.1))
    heavy = np.ones(200)
    heavy[:2] = 1e6
    assert not gate.enough("binary", y, heavy)
    assert weights.effective_rows(heavy, y == 1) == 2
    assert weights.effective_rows(np.full(200, 0.1), y == 1) == 100


def test_the_gate_takes_the_model_that_is_better_where_the_weight_is() -> None:
    """One model knows the first half of the rows, the other the second; which one wins is decided by the weights."""
    y, draw = (np.arange(3_000) % 2).astype(np.float64), np.random.default_rng(3)
    sure, guess = np.clip(0.5 + 0.3 * (y - 0.5) + draw.normal(0, 0.2, 3_000), 0.01, 0.99), draw.random(3_000)
    first = np.arange(3_000) < 1_500
    ours, theirs = np.where(first, sure, guess), np.where(first, guess, sure)
    decided = {}
    for name, weight in (("first", np.where(first, 9.0, 1.0)), ("second", np.where(first, 1.0, 9.0)), ("none", None)):
        judged = Judged(
            "binary",
            "roc_auc",
            y,
            ours,
            theirs,
            "version 1",
            weight=weight,
            weighted_by="" if weight is None else "w",
        )
        decided[name] = gate.decide_verdict(GateSpec(), judged)
    assert decided["first"].decision == "PROMOTE"
    assert decided["second"].decision == "KEEP"
    assert decided["none"].decision != "PROMOTE"
    assert decided["first"].value == pytest.approx(
        reference.roc_auc_score(y, ours, sample_weight=np.where(first, 9.0, 1.0))
    )
    assert "(weighted by 'w')" in decided["first"].headline
    assert any(
        "every score is weighted by 'w': the 3,000 rows say as much as 1,829" in one for one in decided["first"].reasons
    )
    assert decided["first"].weighted_by == "w"
    assert "weighted" not in decided["none"].headline


def test_a_slice_is_scored_by_the_weights_of_its_rows() -> None:
    y, p = world("binary", 1_000, 4)
    weight, here = unequal(1_000, 4), np.flatnonzero(np.arange(1_000) % 2 == 0)
    found = gain_on(
        Judged("binary", "log_loss", y, p, np.full(1_000, 0.3), "dummy", weight=weight), "log_loss", here=here
    )
    assert found.value == pytest.approx(reference.log_loss(y[here], p[here], sample_weight=weight[here]))


def test_calibration_by_whole_weights_is_that_of_repeated_rows_but_for_its_ends() -> None:
    draw = np.random.default_rng(8)
    raw, times = draw.random(300), draw.integers(1, 5, 300)
    y = (draw.random(300) < raw**2).astype(np.float64)
    again = np.repeat(np.arange(300), times)
    weighted = calibration_maps.isotonic_knots(raw, y, times / times.mean())
    repeated = calibration_maps.isotonic_knots(raw[again], y[again])
    assert np.allclose(weighted[0], repeated[0])
    assert np.allclose(weighted[1][1:-1], repeated[1][1:-1], atol=0.003)
    assert (np.diff(weighted[1]) > 0).all()


def test_probabilities_are_calibrated_to_the_weighted_share() -> None:
    """Positives weigh 4 times as much: rows that are positive with probability q have the share 4q / (1 + 3q)."""
    draw = np.random.default_rng(9)
    raw = draw.random(20_000)
    y = (draw.random(20_000) < raw).astype(np.float64)
    post = postprocess.fit_postprocess("binary", (0, 1), y, raw, weight=np.where(y == 1, 4.0, 1.0))
    at = np.array([0.2, 0.5, 0.8])
    assert postprocess.calibrate(post, at) == pytest.approx(4 * at / (1 + 3 * at), abs=0.05)


def test_an_interval_holds_nine_tenths_of_the_weight() -> None:
    draw = np.random.default_rng(10)
    noisy = draw.random(4_000) < 0.5
    weight, y = np.where(noisy, 9.0, 1.0), draw.normal(size=4_000) * np.where(noisy, 5.0, 1.0)
    half, zero = slice(0, 2_000), np.zeros(2_000)
    post = postprocess.fit_postprocess("regression", (), y[half], zero, weight=weight[half])
    plain = postprocess.fit_postprocess("regression", (), y[half], zero)
    ends = [postprocess.apply_postprocess(one, zero).columns for one in (post, plain)]
    lower, upper = ends[0]["lower"].to_numpy(), ends[0]["upper"].to_numpy()
    inside = (y[2_000:] >= lower) & (y[2_000:] <= upper)
    assert np.average(inside, weights=weight[2_000:]) == pytest.approx(0.9, abs=0.03)
    assert ends[1]["upper"][0].as_py() - ends[1]["lower"][0].as_py() < 0.9 * (upper[0] - lower[0])


def test_dummy_and_line_obey_weights_as_scikit_learn_does() -> None:
    draw = np.random.default_rng(11)
    X = draw.normal(size=(600, 2)).astype(np.float32)
    weight = unequal(600, 11)
    y = (X[:, 0] + draw.normal(size=600) > 0.5).astype(np.float32)
    assert baselines.dummy("binary", y, 1, classes=2, weight=weight)[0] == pytest.approx(np.average(y, weights=weight))
    shares = baselines.dummy("multiclass", y, 1, classes=3, weight=weight)[0]
    assert shares[:2] == pytest.approx([1 - np.average(y, weights=weight), np.average(y, weights=weight)])
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    rows = pa.table({"a": X[:, 0].astype(float), "b": X[:, 1].astype(float), "w": weight})
    columns = tuple(Column(name=name, kind="number") for name in ("a", "b", "y", "w"))
    for task, model in (("binary", LogisticRegression(max_iter=500)), ("regression", Ridge(alpha=1.0))):
        problem = replace(
            shop.problem("binary"),
            task=task,
            schema=Schema(columns=columns),
            columns=("a", "b"),
            categories=(),
            classes=(0, 1) if task == "binary" else (),
            weight="w",
        )
        model.fit(scaled, y, weight / weight.mean())
        expected = model.predict_proba(scaled)[:, 1] if task == "binary" else model.predict(scaled)
        for unit in (1.0, 1e6):  # a penalty of 1 means the same whatever the unit of weights
            line, spec = linear.fit_linear(problem, rows, y, seed=0, weight=unit * weight, strength=1.0)
            assert booster.predict_raw(line, features.encode(spec, rows)) == pytest.approx(expected, abs=1e-3)


def test_a_line_is_taken_where_it_is_as_good_by_weight() -> None:
    """It errs in the half of the rows that weighs nearly nothing, the trees a little everywhere."""
    draw = np.random.default_rng(12)
    y, light = draw.normal(size=600), np.arange(600) < 300
    trees, line = y + draw.normal(0, 0.5, 600), y + draw.normal(0, np.where(light, 3.0, 0.3))
    weight = np.where(light, 0.001, 1.0)
    assert not linear.prefer_linear("regression", "rmse", y, trees, line)
    assert linear.prefer_linear("regression", "rmse", y, trees, line, weight=weight)


def contradicting(seed: int) -> tuple[MatrixRows, np.ndarray]:
    """Two groups whose target moves against each other with the only column; the first weighs 100 times as much."""
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(2_000, 1)).astype(np.float32)
    first = np.arange(2_000) < 500
    y = np.where(first, X[:, 0], -X[:, 0]) + 0.1 * draw.normal(size=2_000)
    return MatrixRows(X, y.astype(np.float32), np.where(first, 100.0, 1.0)), first


def fitted(part: MatrixRows, **params: float) -> booster.Booster:  # type: ignore[name-defined]
    complete = booster.complete_parameters(
        "regression", {"max_depth": 3, "nthread": 1, **params}, classes=0, device="cpu", seed=0
    )
    return booster.fit_booster(complete, part, rounds=30, names=["x"])


def test_a_booster_follows_the_rows_that_weigh() -> None:
    rows, first = contradicting(1)
    p, q = (booster.predict_raw(fitted(part), rows.X) for part in (rows, replace(rows, weight=None)))
    assert np.corrcoef(p, rows.y)[0, 1] < np.corrcoef(q, rows.y)[0, 1]
    assert reference.r2_score(rows.y[first], p[first]) > 0.9
    assert reference.r2_score(rows.y[first], q[first]) < 0
    # what the second group's weight of 3% leaves unexplained
    assert reference.r2_score(rows.y, p, sample_weight=rows.weight) > 0.8
    assert reference.r2_score(rows.y, q, sample_weight=rows.weight) < 0


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_only_ratios_of_weights_matter_to_a_booster(scale: float) -> None:
    """min_child_weight counts rows of mean weight, whatever the unit of the column."""
    rows, _ = contradicting(2)
    expected = booster.predict_raw(fitted(rows, min_child_weight=20), rows.X)
    scaled = replace(rows, weight=rows.weight * scale)  # type: ignore[operator]
    assert booster.predict_raw(fitted(scaled, min_child_weight=20), rows.X) == pytest.approx(expected, abs=1e-4)


def test_equal_weights_grow_the_very_trees_of_no_weights() -> None:
    rows, _ = contradicting(3)
    plain, equal = (fitted(replace(rows, weight=weight)) for weight in (None, np.full(2_000, 0.3)))
    assert plain.save_raw() == equal.save_raw()


def test_rows_take_their_weights_along() -> None:
    rows, first = contradicting(4)
    assert rows.take(first).weight.tolist() == [100.0] * 500  # type: ignore[union-attr]
    assert replace(rows, weight=None).take(first).weight is None


def course_of(*lanes: tuple[MatrixRows, MatrixRows]) -> Course:
    fixed = booster.complete_parameters("regression", {}, classes=0, device="cpu", seed=0)
    rows = [LaneRows(*lane) for lane in lanes]
    return lay_out(rows, fixed, task="regression", metric="rmse", names=["x"])


def test_trials_are_compared_by_weighted_scores() -> None:
    rows, _ = contradicting(5)
    cut = np.random.default_rng(0).permutation(2_000)
    sides = [rows.take(cut[:700]), rows.take(cut[700:])]
    course = course_of((sides[0], sides[1]), (sides[1], sides[0]))
    models = course.models({"max_depth": 2})
    watched = [course.grow(models, one) for one in range(3)][-1]
    answers = course.answers(course.margins(models, 3))
    expected = np.mean(
        [
            reference.root_mean_squared_error(lane.rows.y, answer, sample_weight=lane.rows.weight)
            for lane, answer in zip(course.lanes, answers, strict=True)
        ]
    )
    assert course.score(answers) == pytest.approx(expected)
    assert -watched == pytest.approx(expected, rel=1e-5), "XGBoost stops early by the same weights"


def realised(weight: list[float | None] | None) -> performance.Realised:
    y = ["no", "yes", "no", "yes", "maybe", "yes"]
    given = pa.table({"prediction": ["no"] * 6, "probability": [0.2, 0.4, 0.6, 0.9, 0.5, 0.1]})
    column = None if weight is None else pa.chunked_array([pa.array(weight, pa.float64())])
    return performance.realised(
        "binary", "log_loss", ("no", "yes"), pa.chunked_array([y]), given, rows=8, weight=column
    )


def test_realised_performance_is_weighted_where_rows_have_a_weight() -> None:
    found = realised([1.0, 2.0, 0.0, 4.0, 9.0, None])
    expected = reference.log_loss([0, 1, 1], [0.2, 0.4, 0.9], sample_weight=[1, 2, 4])
    assert found.metric.value == pytest.approx(expected)
    assert found.predicted == pytest.approx((0.2 + 0.8 + 3.6) / 7)
    assert (found.labelled, found.unknown, found.weighed) == (6, 1, 3)


def test_realised_performance_of_rows_without_weights_counts_them_alike() -> None:
    plain = realised(None)
    assert plain == realised([None] * 6)
    assert plain.weighed is None


@pytest.mark.parametrize(("task", "metric"), METRICS)
def test_a_weighted_resample_is_the_same_as_scoring_the_drawn_rows_with_their_weights(task: str, metric: str) -> None:
    y, p = world(task, 200, 3)
    q, weight = p[::-1].copy(), unequal(200, 3)
    drawn = np.random.default_rng(5).integers(0, 200, (1, 200))[0]
    found = metrics.bootstrap_gain(metric, task, y, p, q, resamples=1, seed=5, weight=weight)[0]
    scores = [metrics.metric_value(task, metric, y[drawn], who[drawn], weight[drawn]) for who in (p, q)]
    assert found == pytest.approx(metrics.gain(metric, *scores), abs=1e-9)


def test_an_interval_takes_a_row_out_with_its_weight() -> None:
    losses, weight = np.array([1.0, 2.0, 4.0, 9.0, 3.0]), np.array([1.0, 1.0, 2.0, 6.0, 1.0])
    low, high = metrics.interval("regression", "mae", losses, np.zeros(5), weight=weight)
    value = np.average(losses, weights=weight)
    found = dependence.standard_error(
        influence.influences("mae", losses, np.zeros(5), 0.5, weight), Dependence(), weight
    )
    # symmetric on the scale of the logarithm
    assert np.log(high / value) == pytest.approx(found.quantile(0.975) * found.error / value)
    assert low * high == pytest.approx(value**2)


def test_a_class_that_one_row_carries_is_scored_by_what_needs_no_classes() -> None:
    y, p = np.r_[np.ones(30), np.zeros(300)], np.linspace(0.9, 0.1, 330)
    judged = Judged("binary", "roc_auc", y, p, np.full(330, 0.1), "version 1")
    assert gain_on(judged, "roc_auc").metric == "roc_auc"
    assert gain_on(replace(judged, weight=np.r_[1e4, np.ones(329)]), "roc_auc").metric == "log_loss"


def test_nothing_is_said_of_two_models_where_one_row_carries_a_class() -> None:
    y, draw = np.r_[np.ones(100), np.zeros(900)], np.random.default_rng(4)
    ours, theirs = np.clip(0.3 * y + draw.normal(0.4, 0.1, 1_000), 0.01, 0.99), draw.random(1_000)
    judged = Judged("binary", "roc_auc", y, ours, theirs, "version 1")
    assert gate.decide_verdict(GateSpec(), judged).decision == "PROMOTE"
    heavy = gate.decide_verdict(GateSpec(), replace(judged, weight=np.r_[1e6, np.ones(999)]))
    assert heavy.decision == "NOT_COMPARABLE"
    assert "1 positive rows are too few to measure roc_auc by" in heavy.headline


@pytest.mark.parametrize("metric", ["brier", "log_loss"])
def test_the_least_error_of_a_gain_is_that_of_labels_drawn_by_the_model(metric: str) -> None:
    """4,000 draws know their own standard deviation to 1.1%."""
    draw, weight = np.random.default_rng(6), unequal(200, 6)
    p, q = draw.uniform(0.02, 0.1, 200), np.full(200, 0.03)
    drawn = (draw.random((4_000, 200)) < p).astype(np.float64)
    loss = {
        "brier": lambda y, of: (y - of) ** 2,
        "log_loss": lambda y, of: -(y * np.log(of) + (1 - y) * np.log1p(-of)),
    }[metric]
    gains = (loss(drawn, q) - loss(drawn, p)) @ weight / weight.sum()
    found = sure._predicted_error("binary", metric, p, q, weight)
    assert found == pytest.approx(gains.std(), rel=0.06)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_the_weighted_share_as_an_answer_says_nothing_where_rows_depend_on_each_other(task: str) -> None:
    draw = np.random.default_rng(7)
    y = draw.integers(0, 2 if task == "binary" else 3, 900).astype(np.float64)
    weight = np.where(y == 1, 10.0, 1.0) * unequal(900, 7, 0.1)
    shares = np.bincount(y.astype(int), weight) / weight.sum()
    answer = np.full(900, shares[1]) if task == "binary" else np.tile(shares, (900, 1))
    judged = Judged(task, "log_loss", y, answer, answer, "dummy", groups=np.arange(900) % 60, weight=weight)
    assert luck(judged, 0) > 0.4


def test_no_calibrated_probability_is_surer_than_the_rows_of_equal_weight_allow() -> None:
    raw = np.r_[np.full(200, 0.1), np.full(200, 0.9)]
    y, weight = np.r_[np.zeros(200), np.ones(200)], np.r_[np.full(10, 1e4), np.ones(380), np.full(10, 1e4)]
    knots = calibration_maps.isotonic_knots(raw, y, weight / weight.mean())[1]
    assert weights.effective_rows(weight, weight > 0) == 20
    assert knots[1] == pytest.approx(0.5 / 21)


def test_the_models_of_a_study_are_fitted_by_the_weights() -> None:
    rows, _ = contradicting(8)
    course = course_of((rows, rows.take(np.arange(0, 2_000, 7))))
    models = course.models({"max_depth": 2})
    for one in range(3):
        course.grow(models, one)
    (answer,) = course.answers(course.margins(models, 3))
    x = course.lanes[0].rows.X[:, 0]
    assert np.corrcoef(x, answer)[0, 1] > 0.8, "the heavy rows rise with x, three times as many fall"


def test_the_interval_of_realised_performance_is_weighted() -> None:
    y, p = world("binary", 300, 9)
    weight = unequal(300, 9)
    found = performance.realised(
        "binary",
        "roc_auc",
        (0, 1),
        pa.chunked_array([pa.array(y.astype(int))]),
        pa.table({"prediction": (p >= 0.5).astype(int), "probability": p}),
        rows=300,
        weight=pa.chunked_array([pa.array(weight)]),
    )
    assert (found.metric.lower, found.metric.upper) == metrics.interval("binary", "roc_auc", y, p, weight=weight)
    assert found.metric.lower != pytest.approx(metrics.interval("binary", "roc_auc", y, p)[0], abs=1e-4)
