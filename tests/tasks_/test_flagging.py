"""What a threshold means on the newest rows; and that every figure of labels is that of the delivered predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, precision_score, recall_score

from tests import shop
from treadle.tasks import evaluation, gate, metrics, performance, postprocess, report_content
from treadle.tasks.booster import Curve
from treadle.tasks.bundle import Model, predict_table
from treadle.tasks.dependence import Dependence
from treadle.tasks.flagging import flag_finding, flag_meaning
from treadle.tasks.report.binary import confusion_figure
from treadle.tasks.search import Found
from treadle.tasks.threshold import ThresholdRule

BY_COST = ThresholdRule(by="cost", miss=5, alarm=1, declared=True)


def drawn(rows: int, seed: int, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    p = draw.beta(share * 2, (1 - share) * 2, rows)
    return (draw.random(rows) < p).astype(float), p


def test_shares_are_those_of_scikit_learn_also_weighted() -> None:
    y, p = drawn(2_000, 0)
    weight = np.random.default_rng(1).integers(1, 5, 2_000).astype(float)
    for w in (None, weight):
        found, called = flag_meaning(BY_COST, 1 / 6, y, p, w), p >= 1 / 6
        assert found.precision.value == pytest.approx(precision_score(y, called, sample_weight=w))
        assert found.recall.value == pytest.approx(recall_score(y, called, sample_weight=w))
        assert found.accuracy == pytest.approx(accuracy_score(y, called, sample_weight=w))
        assert found.frequent == pytest.approx(accuracy_score(y, np.zeros(2_000), sample_weight=w))
        assert (found.positives, found.flagged.value) == pytest.approx(
            (np.average(y, weights=w), np.average(called, weights=w))
        )
        costs = 1_000 * np.average(5 * (y == 1) * ~called + (y == 0) * called, weights=w)
        assert found.cost is not None
        assert found.cost.delivered == pytest.approx(costs)
        assert found.cost.none == pytest.approx(5_000 * np.average(y, weights=w))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    y, p = drawn(400_000, 2)
    cut, truth = 0.4, (y[p >= 0.4].mean(), (p[y == 1] >= 0.4).mean(), (p >= 0.4).mean())
    held, worlds = np.zeros(3), 300
    for seed in range(worlds):
        at = np.random.default_rng(seed).integers(0, len(y), 300)
        found = flag_meaning(ThresholdRule(), cut, y[at], p[at])
        shares = (found.precision, found.recall, found.flagged)
        held += [one.lower <= real <= one.upper for one, real in zip(shares, truth, strict=True)]  # type: ignore[operator]
    assert (held >= binom.ppf(0.001, worlds, 0.94)).all()
    assert (held <= binom.ppf(0.999, worlds, 0.97)).all()


def test_rows_of_one_group_say_less() -> None:
    y, p = drawn(300, 3)
    y, p, groups = (np.repeat(one, 10) for one in (y, p, np.arange(300)))
    alone = flag_meaning(ThresholdRule(), 0.4, y, p)
    together = flag_meaning(ThresholdRule(), 0.4, y, p, dependence=Dependence(groups=groups))
    for one, other in ((alone.precision, together.precision), (alone.recall, together.recall)):
        assert one.value == other.value
        assert (other.upper - other.lower) > 2.5 * (one.upper - one.lower)  # type: ignore[operator]


def test_dated_rows_count_from_the_middle_of_the_holdout_on() -> None:
    y, p = drawn(2_000, 4)
    times = np.random.default_rng(5).permutation(2_000)
    newer = times >= 1_000
    found = flag_meaning(ThresholdRule(), 0.4, y, p, dependence=Dependence(times=times))
    assert (found.rows, found.newest) == (1_000, True)
    assert found.precision.value == pytest.approx(precision_score(y[newer], p[newer] >= 0.4))
    few = flag_meaning(ThresholdRule(), 0.4, np.where(newer, 0, y), p, dependence=Dependence(times=times))
    assert (few.rows, few.newest) == (2_000, False), "no positive row is new"


def test_none_called_and_all_right_have_honest_ends() -> None:
    y, p = drawn(500, 6)
    none = flag_meaning(ThresholdRule(), 1.1, y, p)
    assert (none.precision.value, none.recall.value, none.flagged.value) == (None, 0.0, 0.0)
    assert none.flagged.upper is not None
    assert 0 < none.flagged.upper < 0.02
    perfect = flag_meaning(ThresholdRule(), 0.5, y, y)
    assert perfect.precision.lower is not None
    assert 0.9 < perfect.precision.lower < perfect.precision.value == 1.0  # type: ignore[operator]
    assert flag_finding(none, ThresholdRule(), "late", ("no", "yes")).caution
    assert not flag_finding(perfect, ThresholdRule(), "late", ("no", "yes")).caution
    noise = flag_meaning(ThresholdRule(), 0.4, np.random.default_rng(7).permutation(y), p)
    assert flag_finding(noise, ThresholdRule(), "late", ("no", "yes")).caution, "called rows are no better than others"


def test_the_finding_says_what_a_person_asks() -> None:
    y, p = drawn(2_000, 8)
    found = flag_meaning(BY_COST, 1 / 6, y, p)
    one = flag_finding(found, BY_COST, "late", ("no", "yes"))
    text = " ".join(one.sentences)
    assert "from a probability of 0.167 on: a miss costs 5 and a false alarm 1" in text
    for value in (found.precision.value, found.recall.value, found.frequent, found.positives):
        assert f"{value:.1%}" in text
    assert "always answering 'no'" in text
    assert f"cost {found.cost.delivered:,.4g} for each 1,000 rows" in text  # type: ignore[union-attr]


@pytest.mark.parametrize(("cut", "drifted"), [(0.15, True), (0.46, False), (0.75, True)])
def test_a_default_that_calls_far_more_or_fewer_rows_than_are_positive_says_so(cut: float, drifted: bool) -> None:
    y, p = drawn(4_000, 9)
    found = flag_meaning(ThresholdRule(), cut, y, p)
    one = flag_finding(found, ThresholdRule(), "late", ("no", "yes"))
    times = (p >= cut).mean() / y.mean()
    assert (f"That is {times:.2g} times as many" in " ".join(one.sentences)) == one.caution == drifted
    declared = ThresholdRule(by="number", value=cut)
    assert not flag_finding(found, declared, "late", ("no", "yes")).caution, "a person wants it so"


def judged_at(threshold: float) -> tuple[Model, evaluation.Evidence]:
    """A binary model whose threshold is none that any rule takes, on 300 holdout rows."""
    model = shop.model("binary")
    model = replace(model, post=model.post.model_copy(update={"threshold": threshold}))
    table = shop.labelled("binary", 600)
    return model, evaluation.evaluate_models(
        shop.problem("binary"), model, None, table.slice(0, 300), table.slice(300), ("Branch",), 0
    )


@pytest.mark.parametrize("threshold", [0.2, 0.83])
def test_every_accuracy_and_f1_is_that_of_the_delivered_predictions(threshold: float) -> None:
    model, evidence = judged_at(threshold)
    positive = shop.problem("binary").classes[1]
    called = np.array(evidence.predictions.columns["prediction"].to_pylist()) == positive
    expected = {"accuracy": accuracy_score(evidence.y, called), "f1": f1_score(evidence.y, called)}
    for metric, value in expected.items():
        judged = replace(evidence.judged, metric=metric)
        assert evidence.scores["challenger"][metric] == pytest.approx(value)
        assert gate.decide_verdict(gate.GateSpec(), judged).value == pytest.approx(value)
        assert evaluation.Scores(evidence.scores, {}, 1, flag=evidence.flag).flat()[f"holdout_{metric}"] == (
            pytest.approx(value)
        )
    assert evidence.flag is not None
    assert evidence.flag.accuracy == pytest.approx(expected["accuracy"])
    assert evidence.flag.precision.value == pytest.approx(precision_score(evidence.y, called))
    found = Found(params={}, rounds=1, value=0.5, trials=(), resumed=0, seconds=0.0, stopped="trials", allowed=1)
    verdict = gate.decide_verdict(gate.GateSpec(), evidence.judged)
    curve = Curve("", (), ())
    story = report_content.story_of("x", shop.problem("binary"), model, evidence, verdict, found, curve, {}, 1)
    assert any("predicted as" in one for finding in story.findings for one in finding.sentences)
    wrong = int((called & (evidence.y == 0)).sum())
    assert f"raises {wrong:,} false alarms" in confusion_figure(story).caption


def test_the_linear_model_beside_has_a_threshold_by_the_same_rule() -> None:
    _, evidence = judged_at(0.5)
    line, cut = evidence.judged.beside["linear"], evidence.judged.beside_thresholds["linear"]
    assert cut != 0.5
    assert evidence.scores["linear"]["f1"] == pytest.approx(f1_score(evidence.y, line >= cut))
    assert (line >= cut).mean() == pytest.approx(evidence.y.mean(), abs=0.06)
    asked = replace(evidence.judged, metric="accuracy")
    words = " ".join(gate.decide_verdict(gate.GateSpec(), asked).notes)
    value = accuracy_score(evidence.y, line >= cut)
    assert "the linear model is better" not in words or f"accuracy {value:.3f}"[:-1] in words


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_realised_accuracy_and_f1_are_of_the_delivered_column_whatever_the_threshold_is_now(task: str) -> None:
    model, table = shop.model(task), shop.labelled(task, 400)
    delivered = predict_table(model, table)
    classes = [str(one) for one in model.post.classes]
    truth = [str(one) for one in table["y"].to_pylist()]
    # some other threshold, or none at all, made these labels
    labels = list(np.random.default_rng(0).permutation(delivered["prediction"].to_pylist()))
    made = delivered.set_column(0, "prediction", pa.array([str(one) for one in labels]))
    metric = "f1" if task == "binary" else "balanced_accuracy"
    found = performance.realised(task, metric, tuple(classes), pa.chunked_array([truth]), made, rows=400)
    given = [str(one) for one in labels]
    assert found.scores["accuracy"] == pytest.approx(accuracy_score(truth, given))
    if task == "binary":
        assert found.metric.value == pytest.approx(f1_score(truth, given, pos_label=classes[1]))
    else:
        assert found.metric.value == pytest.approx(balanced_accuracy_score(truth, given))
        assert found.scores["f1_macro"] == pytest.approx(f1_score(truth, given, average="macro"))
    y = postprocess.encode_target(table["y"], task, model.post.classes)
    p = np.column_stack([delivered[name].to_numpy() for name in delivered.column_names[1:]])
    assert found.scores["log_loss"] == pytest.approx(
        metrics.metric_value(task, "log_loss", y, p[:, 0] if task == "binary" else p)
    )
    assert found.metric.lower is not None
    assert found.metric.lower < found.metric.value < found.metric.upper  # type: ignore[operator]


def test_a_multiclass_prediction_is_the_most_likely_class_and_scored_so() -> None:
    model, table = shop.model("multiclass"), shop.labelled("multiclass", 400)
    delivered = predict_table(model, table)
    p = np.column_stack([delivered[name].to_numpy() for name in delivered.column_names[1:]])
    assert delivered["prediction"].to_pylist() == [model.post.classes[code] for code in p.argmax(axis=1)]
    y = postprocess.encode_target(table["y"], "multiclass", model.post.classes)
    value = accuracy_score(table["y"].to_pylist(), delivered["prediction"].to_pylist())
    assert metrics.metric_value("multiclass", "accuracy", y, p) == pytest.approx(value)
