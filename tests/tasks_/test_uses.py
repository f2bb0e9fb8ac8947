from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from tests.tasks_.stories import verdict
from treadle.tasks import metrics
from treadle.tasks.explain import ExplainedColumn, Explanation
from treadle.tasks.gate import Judged, SliceVerdict
from treadle.tasks.leakage import Leak
from treadle.tasks.uses import columns_in_words, judged_span, model_uses, sure_gain

if TYPE_CHECKING:
    from treadle.tasks.report import Finding


def findings(
    task: str,
    y: np.ndarray,
    p: np.ndarray,
    *,
    beside: dict[str, np.ndarray] | None = None,
    metric: str = "",
    slices: tuple[SliceVerdict, ...] = (),
    leaks: tuple[Leak, ...] = (),
    weight: np.ndarray | None = None,
    classes: tuple[str, ...] = ("no", "yes"),
) -> tuple[Finding, ...]:
    metric = metric or metrics.default_metric(task)
    usual = (
        np.full(p.shape, float(np.mean(y)))
        if p.ndim == 1
        else np.tile(np.bincount(y.astype(int)) / len(y), (len(y), 1))
    )
    judged = Judged(
        task=task,
        metric=metric,
        y=y,
        challenger=p,
        champion=usual,
        champion_name="dummy",
        beside={"dummy": usual, **(beside or {})},
        weight=weight,
    )
    evidence = SimpleNamespace(
        y=y,
        predictions=SimpleNamespace(p=p),
        judged=judged,
        scores={"challenger": metrics.scores(task, y, p, weight)},
        leaks=leaks,
        suspects=(),
    )
    problem = SimpleNamespace(task=task, metric=metric, target="price", classes=classes)
    return model_uses(problem, evidence, verdict(metric, len(y), slices=slices), None)  # type: ignore[arg-type]


def said(found: tuple[Finding, ...], caution: bool) -> str:
    return " ".join(sentence for one in found if one.caution == caution for sentence in one.sentences)


def ranked(rows: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and the probabilities that they were drawn with."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 4, rows)
    return (rng.random(rows) < p).astype(float), p


def test_a_good_ranking_is_said_in_pairs_and_in_the_highest_tenth() -> None:
    y, p = ranked()
    good = said(findings("binary", y, p), caution=False)
    area = metrics.metric_value("binary", "roc_auc", y, p)
    tenth = y[np.argsort(-p)[:400]].sum() / y.sum()
    assert f"in {area:.0%} of the cases" in good
    assert f"holds {tenth:.0%} of all yes rows ({tenth / 0.1:.1f} times a random tenth)" in good
    assert "is surely better than that of the dummy" in good


@pytest.mark.parametrize("seed", range(3))
def test_probabilities_that_are_off_are_said_although_the_ranking_is_good(seed: int) -> None:
    y, p = ranked(seed=seed)
    assert "probabilities are too" not in said(findings("binary", y, p), caution=True)
    high = findings("binary", y, np.minimum(2 * p, 1))
    assert "Ranking" in said(high, caution=False)
    assert "Its probabilities are too high" in said(high, caution=True)
    assert f"{y.mean():.1%} of the rows are yes" in said(high, caution=True)
    assert "too low" in said(findings("binary", y, p / 2), caution=True)


def test_weights_go_into_what_is_said() -> None:
    y, p = ranked()
    weight = np.where(y == 1, 1.0, 4.0)
    assert "too high" in said(findings("binary", y, p, weight=weight), caution=True)


def test_a_guess_is_good_for_nothing() -> None:
    y, _ = ranked()
    found = findings("binary", y, np.random.default_rng(1).random(len(y)))
    assert "Nothing that was measured" in said(found, caution=False)
    assert "hardly better than chance" in said(found, caution=True)
    assert "not surely better than the dummy" in said(found, caution=True)


def test_a_linear_model_that_is_as_good_is_said_and_one_that_is_worse_is_a_strength() -> None:
    y, p = ranked()
    rng, alike = np.random.default_rng(3), 0
    for _ in range(8):
        ours, theirs = p + rng.normal(0, 0.01, (2, len(y)))
        found = findings("binary", y, ours, beside={"linear": theirs})
        alike += "not surely better than the linear model" in said(found, caution=True)
    assert alike >= 6, "of 8 in which neither is better, at 97.5% fewer in one of a hundred"
    better = findings("binary", y, p, beside={"linear": p + rng.normal(0, 0.2, len(y))})
    assert "that of a linear model by" in said(better, caution=False)
    assert "linear model" not in said(better, caution=True)


@pytest.mark.parametrize("seed", range(3))
def test_a_sure_gain_covers_the_gain_on_other_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def drawn(rows: int) -> Judged:
        truth = rng.normal(size=rows)
        y = truth + rng.normal(size=rows)
        return Judged("regression", "rmse", y, truth, truth + rng.normal(0, 0.5, rows), "dummy")

    some, many = drawn(500), drawn(100_000)
    found, whole = sure_gain(some, "rmse", some.champion), sure_gain(many, "rmse", many.champion)
    assert found is not None
    assert whole is not None
    middle, reach = found[0], found[2] - found[0]
    assert abs(whole[0] - middle) < 2 * reach
    assert found[1] > 0


def test_a_regression_says_its_errors_in_the_targets_unit_and_where_it_is_off() -> None:
    rng = np.random.default_rng(0)
    truth = rng.gamma(2, 50, 3000)
    found = findings("regression", truth, np.minimum(truth, 150) + rng.normal(0, 2, 3000))
    assert "of the true price" in said(found, caution=False)
    assert "In the fifth of the rows with the highest predictions it is too low by" in said(found, caution=True)


@pytest.mark.parametrize("metric", ["mae", "pinball_0.9"])
def test_a_median_and_a_quantile_are_not_blamed_for_being_no_mean(metric: str) -> None:
    truth = np.random.default_rng(0).exponential(50, 4000)
    found = findings("regression", truth, np.full(4000, np.quantile(truth, 0.9)), metric=metric)
    assert "too high" not in said(found, caution=True)


def test_classes_that_are_mostly_missed_are_named() -> None:
    rng = np.random.default_rng(0)
    y = rng.choice(3, 900, p=[0.5, 0.4, 0.1]).astype(float)
    p = np.full((900, 3), 0.05)
    p[np.arange(900), np.where(y == 2, 0, y).astype(int)] = 0.9
    found = findings("multiclass", y, p, classes=("a", "b", "rare"))
    assert "right class of 3 for" in said(found, caution=False)
    assert f"rare (0% of {int((y == 2).sum())} rows)" in said(found, caution=True)


def test_slices_leaks_and_few_rows_are_limits() -> None:
    y, p = ranked(200)
    lost = SliceVerdict(column="age", value="17 to 19", rows=90, metric="roc_auc", gain=-0.2, lower=-0.3, upper=-0.1)
    open_ = lost.model_copy(update={"value": "20 to 22", "lower": -0.3, "upper": 0.1})
    bad = said(findings("binary", y, p, slices=(lost, open_), leaks=(Leak(("paid",), 0.99, "AUC"),)), caution=True)
    assert "worse than the dummy for the rows with age 17 to 19" in bad
    assert "not surely better than the dummy for the rows with age 20 to 22" in bad
    assert "if paid is only known after the fact" in bad
    assert "200 judged rows are rough" in bad


def test_the_columns_that_carry_most_are_named_with_their_direction() -> None:
    columns = (
        ExplainedColumn("age", 0.5, 1.0, 0.5, direction=-0.8),
        ExplainedColumn("shop", 0.3, 0.6, 0.3, highest="north", lowest="south"),
        ExplainedColumn("sum", 0.2, 0.392, 0.196, direction=0.1),
        ExplainedColumn("id", 0.0, 0.008, 0.004),
    )
    found = Explanation("binary", "roc_auc", "log-odds", 9, 9, 9, 3, (0.0,), 0.0, columns)
    assert columns_in_words(found) == (
        "age (lower values raise the prediction), shop (highest for north, lowest for south) and sum make >99% of all "
        "contributions to the predictions.",
        "1 of 4 columns make less than 1% each.",
    )


def test_the_time_of_the_judged_rows_is_said_where_a_column_dates_them() -> None:
    days = pa.array(np.array(["2024-03-01", "2024-01-05"], dtype="datetime64[D]"))
    evidence = SimpleNamespace(rows=pa.table({"day": days}))
    dated, undated = (SimpleNamespace(time=name, order="") for name in ("day", ""))
    assert judged_span(dated, evidence) == "2024-01-05 to 2024-03-01"  # type: ignore[arg-type]
    assert judged_span(undated, evidence) == ""  # type: ignore[arg-type]
