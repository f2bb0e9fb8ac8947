"""Figures by group, how sure their differences are, and when a difference refuses."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binom, binomtest

from tests.audit import groups as worlds
from tests.faults import planted
from tests.tasks_.stories import story
from treadle.tasks import evaluation, fairness, gate, report
from treadle.tasks.config.spec import ADDED, PipelineConfig
from treadle.tasks.dependence import StandardError
from treadle.tasks.fairness import DeliveredAnswers, GroupMean
from treadle.tasks.gate import GateSpec, Judged
from treadle.tasks.gate.grouped import GroupedColumn, GroupGap, gap_metrics
from treadle.tasks.gate.groups import review_groups
from treadle.tasks.report.groups import group_plots, group_tables

SPEC = GateSpec(groups=("group",))
STRICT = GateSpec(groups=("group",), group_criterion="selection_rate", group_margin=0.1)


def figures(column: GroupedColumn) -> dict[str, dict[str, float]]:
    """Group -> figure -> value."""
    return {one.group: {name: figure.value for name, figure in one.figures.items()} for one in column.groups}


def gap_of(judged: Judged, criterion: str, spec: GateSpec = SPEC) -> GroupGap:
    (column,) = review_groups(spec, judged).columns
    (gap,) = [one for one in column.gaps if one.criterion == criterion]
    return gap


def share(hits: int, rows: int) -> GroupMean:
    """A group with `hits` of `rows`."""
    p = hits / rows
    standard = StandardError((p * (1 - p) / rows) ** 0.5, rows - 1, rows)
    return GroupMean("group", np.arange(rows), p, standard, rows, share=True, normal=True, enough=True)


def test_every_figure_is_what_its_definition_counts() -> None:
    draw = np.random.default_rng(0)
    y, p = draw.integers(0, 2, 600).astype(float), draw.random(600)
    group = np.array(["a", "b"], dtype=object)[draw.integers(0, 2, 600)]
    judged = Judged("binary", "roc_auc", y, p, p, "dummy", challenger_threshold=0.3, by_group={"group": group})
    for name, found in figures(review_groups(SPEC, judged).columns[0]).items():
        here = group == name
        real, called, chance = y[here] == 1, p[here] >= 0.3, p[here]
        expected = {
            "positive_rate": real.mean(),
            "selection_rate": called.mean(),
            "true_positive_rate": (called & real).sum() / real.sum(),
            "false_positive_rate": (called & ~real).sum() / (~real).sum(),
            "precision": (called & real).sum() / called.sum(),
            "calibration": (real - chance).mean(),
            "error": (called != real).mean(),
            "brier": ((real - chance) ** 2).mean(),
        }
        assert found == pytest.approx(expected)


def test_the_other_tasks_have_their_figures_too() -> None:
    draw = np.random.default_rng(1)
    group = np.array(["a", "b"], dtype=object)[draw.integers(0, 2, 600)]
    y, p = draw.integers(0, 3, 600).astype(float), draw.dirichlet(np.ones(3), 600)
    many = Judged("multiclass", "log_loss", y, p, p, "dummy", by_group={"group": group}, classes=("x", "y", "z"))
    found = figures(review_groups(SPEC, many).columns[0])["a"]
    here, called = group == "a", p.argmax(axis=1)
    assert found["error"] == pytest.approx((called != y)[here].mean())
    assert found["recall of y"] == pytest.approx((called == 1)[here & (y == 1)].mean())
    assert gap_of(many, "recall").measure.startswith("recall of ")
    value = draw.normal(10, 3, 600)
    guess, inside = value + draw.normal(1, 2, 600), draw.random(600) < 0.9
    amounts = Judged("regression", "rmse", value, guess, guess, "dummy", by_group={"group": group}, inside=inside)
    found = figures(review_groups(SPEC, amounts).columns[0])["a"]
    error = (value - guess)[here]
    assert found == pytest.approx(
        {"error": np.abs(error).mean(), "calibration": error.mean(), "coverage": inside[here].mean()}
    )
    assert gap_of(amounts, "error").unit == pytest.approx(np.abs(value - guess).mean())


def test_a_share_has_wilsons_interval_and_two_have_newcombes() -> None:
    expected = binomtest(7, 60).proportion_ci(0.95, "wilson")
    assert share(7, 60).ends(0.025) == pytest.approx((expected.low, expected.high))
    # Newcombe 1998, Statistics in Medicine 17, table II (a), method 10: 56/70 less 48/80
    two = fairness.Extremes((share(56, 70), share(48, 80)), {})
    lower, upper, (high, low) = two.bounds(0.025 * 2)
    assert (lower, upper) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert (len(high.at), len(low.at)) == (70, 80)


def test_none_of_many_is_not_surely_less_than_few_of_few() -> None:
    # a share of 0 has no standard error; its interval is not empty
    lower, _, _ = fairness.Extremes((share(0, 60), share(2, 60)), {}).bounds(0.05)
    assert lower == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_the_interval_holds_the_difference_that_is_seen(groups: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    gap = gap_of(worlds.world(draw, 700, draw.random(groups), clusters=int(draw.integers(0, 2)) * 70), "selection_rate")
    assert 0 <= gap.lower <= gap.gap + 1e-12
    assert gap.gap <= gap.upper + 1e-12
    assert gap.ratio is not None
    assert gap.ratio_lower is not None
    assert gap.ratio_upper is not None
    assert 0 <= gap.ratio_lower <= gap.ratio <= gap.ratio_upper <= 1


def test_weights_weigh_and_equal_ones_change_nothing() -> None:
    judged = worlds.world(np.random.default_rng(2), 900, (0.3, 0.5))
    plain = review_groups(STRICT, judged)
    assert review_groups(STRICT, replace(judged, weight=np.full(900, 3.0))) == plain
    weight = np.random.default_rng(3).integers(1, 4, 900)
    weighted = review_groups(SPEC, replace(judged, weight=weight.astype(float)))
    again = np.repeat(np.arange(900), weight)
    repeated = replace(
        judged,
        y=judged.y[again],
        challenger=judged.challenger[again],
        by_group={"group": judged.by_group["group"][again]},
    )
    for group, values in figures(review_groups(SPEC, repeated).columns[0]).items():
        assert figures(weighted.columns[0])[group] == pytest.approx(values)
    # unequal weights say less than as many rows of equal weight
    skewed = np.random.default_rng(4).lognormal(0, 1, 900)
    wide, narrow = (gap_of(replace(judged, weight=one), "selection_rate") for one in (skewed, None))
    assert wide.upper - wide.lower > narrow.upper - narrow.lower


def test_rows_that_depend_on_each_other_make_wider_intervals() -> None:
    judged = worlds.world(np.random.default_rng(5), 4_000, (0.3, 0.4), clusters=100, whole=True)
    together, alone = (gap_of(one, "selection_rate") for one in (judged, replace(judged, groups=None)))
    assert together.upper - together.lower > 1.5 * (alone.upper - alone.lower)


def test_rows_of_a_few_clusters_are_not_judged() -> None:
    judged = worlds.world(np.random.default_rng(5), 4_000, (0.1, 0.9), clusters=12, whole=True)
    review = review_groups(STRICT, judged)
    assert review.refusals == ()
    assert any("not judged" in note for note in review.notes)


@pytest.mark.parametrize("name", ["alike, 8 groups, 4,000 rows, margin 0", "by the margin, 2 groups, 1,000 rows"])
def test_groups_within_the_margin_are_rarely_refused(name: str) -> None:
    world, margin = worlds.within_the_margin()[name]
    # at 5%: more with probability 0.3%
    assert worlds.refused(world, 60, seed=1, margin=margin) * 60 <= binom.ppf(0.997, 60, 0.05)


@pytest.mark.parametrize("name", sorted(worlds.beyond_the_margin()))
def test_a_difference_of_margin_and_a_tenth_more_is_found(name: str) -> None:
    # at 80%: fewer with probability 0.3%
    found = worlds.refused(worlds.beyond_the_margin()[name], 20, seed=2, margin=worlds.MARGIN)
    assert found * 20 >= binom.ppf(0.003, 20, 0.8)


def test_a_refusal_names_column_groups_figures_and_margin() -> None:
    judged = worlds.world(np.random.default_rng(6), 3_000, (0.3, 0.3, 0.6))
    verdict = gate.decide_verdict(STRICT, judged)
    assert verdict.decision == "REFUSED"
    (sentence,) = [reason for reason in verdict.reasons if "differ too much" in reason]
    for part in ("'group'", "selection rate 0.", "'group 2'", "rows", "95% confidence", "group_margin: 0.1"):
        assert part in sentence
    (gap,) = [one for one in verdict.groups[0].gaps if one.refuses]
    assert (gap.criterion, gap.largest) == ("selection_rate", "group 2")
    assert gate.Verdict.model_validate_json(verdict.model_dump_json()).groups == verdict.groups


def test_without_a_margin_nothing_is_refused_and_the_difference_is_said() -> None:
    judged = worlds.world(np.random.default_rng(6), 3_000, (0.3, 0.9))
    review = review_groups(SPEC, judged)
    assert review.refusals == ()
    assert any("surely differ: selection rate 0." in note for note in review.notes)


def test_equalised_odds_looks_at_both_rates() -> None:
    draw = np.random.default_rng(7)
    y = (draw.random(4_000) < 0.4).astype(float)
    group = np.array(["a", "b"], dtype=object)[draw.integers(0, 2, 4_000)]
    called = draw.random(4_000) < np.where((y == 0) & (group == "b"), 0.5, 0.2)
    p = np.where(called, 0.8, 0.1)
    judged = Judged("binary", "roc_auc", y, p, p, "dummy", by_group={"group": group})
    odds = GateSpec(groups=("group",), group_criterion="equalised_odds", group_margin=0.1)
    equal = odds.model_copy(update={"group_criterion": "true_positive_rate"})
    assert "false positive rate" in review_groups(odds, judged).refusals[0]
    assert review_groups(equal, judged).refusals == ()


def test_groups_of_few_rows_are_shown_and_not_judged() -> None:
    judged = worlds.world(np.random.default_rng(8), 1_000, (0.2, 0.9, 0.2), (480, 40, 480))
    (column,) = review_groups(STRICT, judged).columns
    (few,) = [one for one in column.groups if one.rows == 40]
    assert not any(figure.enough for figure in few.figures.values())
    assert few.figures["selection_rate"].lower is not None
    assert gap_of(judged, "selection_rate").largest != few.group


def test_numbers_are_cut_into_bands_in_their_order_and_missing_values_are_a_group() -> None:
    judged = worlds.world(np.random.default_rng(9), 3_000, (0.3, 0.4))
    age = np.random.default_rng(9).integers(18, 80, 3_000).astype(float)
    age[:100] = np.nan
    (column,) = review_groups(SPEC, replace(judged, by_group={"group": age})).columns
    names = [one.group for one in column.groups]
    assert names[-1] == "(missing)"
    starts = [int(name.split(" ")[0]) for name in names[:-1]]
    assert len(starts) == 5
    assert starts == sorted(starts)


def test_the_largest_of_many_groups_are_compared_and_the_others_counted() -> None:
    judged = worlds.world(np.random.default_rng(10), 3_000, (0.3,) * 30)
    (column,) = review_groups(SPEC, judged).columns
    assert len(column.groups) == fairness.MOST_GROUPS
    assert column.others == 10
    assert sum(one.rows for one in column.groups) + column.other_rows == 3_000


def test_a_column_that_is_not_there_refuses_where_a_margin_is_asked_for() -> None:
    judged = replace(worlds.world(np.random.default_rng(11), 500, (0.3, 0.3)), by_group={})
    assert "'group' cannot be compared" in review_groups(STRICT, judged).refusals[0]
    shown = review_groups(SPEC, judged)
    assert (shown.refusals, len(shown.notes)) == ((), 1)


def test_the_correlation_of_groups_that_share_clusters_is_used() -> None:
    draw = np.random.default_rng(12)
    clusters = np.arange(4_000) % 50
    group = draw.integers(0, 2, 4_000)
    called = (2 * draw.normal(size=50)[clusters] + 0.3 * draw.normal(size=4_000)) > 0
    answers = DeliveredAnswers(
        "binary", draw.integers(0, 2, 4_000).astype(float), called * 0.8, dependence=fairness.Dependence(clusters)
    )
    measure = fairness.GroupMeasure("selection_rate", called.astype(float))
    means = [fairness.group_mean(answers, measure, str(code), np.flatnonzero(group == code)) for code in (0, 1)]
    between = fairness.extremes(answers, measure, [one for one in means if one is not None])
    assert between is not None
    assert between.correlations[0, 1] > 0.9
    own = fairness.Extremes(between.means, {})
    assert between.bounds(0.05)[1] < own.bounds(0.05)[1] / 2


def told(task: str = "binary", groups: tuple[float, ...] = (0.2, 0.6), rows: int = 3_000) -> report.Story:
    """A story with groups, one of which has a name that could be run."""
    judged = worlds.world(np.random.default_rng(13), rows, groups)
    names = np.where(judged.by_group["group"] == "group 0", "<b>zero</b>", judged.by_group["group"]).astype(object)
    judged = replace(judged, by_group={"grade & group": names})
    if task == "regression":
        judged = replace(judged, task="regression", metric="rmse", inside=judged.y == 1)
    verdict = gate.decide_verdict(GateSpec(groups=("grade & group",)), judged)
    return story(task, rows=300, verdict=verdict, findings=tuple(report.group_findings(verdict)))


def test_the_report_has_a_section_with_tables_and_a_picture_per_criterion() -> None:
    whole = told()
    page = report.render_report(whole)
    section = page.partition(">By group</h2>")[2].partition("<h2")[0]
    assert "&lt;b&gt;zero&lt;/b&gt;" in section
    assert "<b>zero</b>" not in page
    pictures = re.findall(r'id="(groups_1_\w+)"', section)
    assert pictures == [f"groups_1_{one}" for one in fairness.CRITERIA["binary"] if one != "equalised_odds"]


def test_amounts_of_a_regression_are_no_shares() -> None:
    whole = told("regression")
    (table,) = group_tables(whole)
    cells = dict(zip(table.heads, table.lines[0][2], strict=True))
    assert "%" not in cells["Absolute error"][0]
    assert "%" in cells["In the interval"][0]
    assert [one.name for one in group_plots(whole)] == [f"groups_1_{one}" for one in fairness.CRITERIA["regression"]]


def test_the_first_screen_names_differences_that_are_sure_and_no_others() -> None:
    (finding,) = told().findings
    assert finding.caution
    assert any(sentence.startswith("Selection rate by grade & group: ") for sentence in finding.sentences)
    chance = told(groups=(0.3,) * 6, rows=600)
    assert max(gap.gap for gap in chance.verdict.groups[0].gaps) > 0.1
    assert chance.findings == ()


def test_a_verdict_without_groups_has_no_table_and_no_picture() -> None:
    plain = story("binary", rows=300)
    assert (group_tables(plain), group_plots(plain)) == ([], [])


def test_differences_become_metrics_with_names_that_a_store_takes() -> None:
    found = gap_metrics(told().verdict.groups)
    assert set(found) == {
        f"group_gap_{one}_grade _ group" for one in ("selection_rate", "equalised_odds", "calibration", "error")
    }
    assert found["group_gap_selection_rate_grade _ group"] == pytest.approx(0.4, abs=0.06)


def test_a_column_that_the_model_may_not_use_is_read_all_the_same() -> None:
    made = planted.train(planted.world(600, 2), seed=2, drop=("x0",))
    evidence = evaluation.evaluate_models(
        made.problem, made.model, None, made.fitted.rows, made.holdout, (), 0, groups=("x0", "gone")
    )
    assert "x0" not in made.model.features.sources
    assert list(evidence.judged.by_group) == ["x0"]
    called = evidence.predictions.columns["prediction"].to_numpy(zero_copy_only=False) == made.problem.classes[1]
    (column,) = review_groups(GateSpec(groups=("x0",)), evidence.judged).columns
    shown = sum(one.figures["selection_rate"].value * one.rows for one in column.groups)
    assert shown == pytest.approx(called.sum()), "figures are of the delivered labels"


def config(gate_section: str, task: str = "binary") -> str:
    return f"""
[data]
source = "rows.csv"
target = "y"
task = "{task}"

[gate]
{gate_section}
"""


@pytest.mark.parametrize(
    ("section", "task", "said"),
    [
        ('groups = ["y"]', "binary", "holds the target 'y'"),
        ('groups = ["a", "a"]', "binary", "names 'a' twice"),
        ('groups = ["a"]\ngroup_margin = 0.1', "binary", "does not say of what"),
        ('groups = ["a"]\ngroup_criterion = "error"', "binary", "refuses nothing without gate.group_margin"),
        ('group_criterion = "error"\ngroup_margin = 0.1', "binary", "gate.groups names no column"),
        ('groups = ["a"]\ngroup_criterion = "selection_rate"\ngroup_margin = 0.1', "regression", "does not fit task"),
    ],
)
def test_keys_that_do_not_fit_together_are_refused(section: str, task: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PipelineConfig.model_validate({"name": "orders", **tomllib.loads(config(section, task))}, strict=False)


def test_the_keys_with_their_defaults_leave_a_digest_as_it_was() -> None:
    plain = PipelineConfig.model_validate({"name": "orders", **tomllib.loads(config(""))}, strict=False)
    grouped = PipelineConfig.model_validate({"name": "orders", **tomllib.loads(config('groups = ["a"]'))}, strict=False)
    assert {("gate", key) for key in ("groups", "group_criterion", "group_margin")} <= set(ADDED)
    assert plain.digest() != grouped.digest()
