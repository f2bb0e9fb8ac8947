from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tests.tasks_.stories import story, trials, verdict
from treadle.tasks import report
from treadle.tasks.booster import Curve
from treadle.tasks.gate import SliceVerdict
from treadle.tasks.leakage import Leak
from treadle.tasks.report import Finding, binary, drawing, learning, page, words
from treadle.tasks.report import trials as tried
from treadle.tasks.suspects import Suspect

TASKS = ("binary", "multiclass", "regression")
JUDGED = {
    "binary": {"roc", "precision_recall", "confusion", "calibration"},
    "multiclass": {"confusion", "calibration"},
    "regression": {"predicted_actual", "residuals", "coverage"},
}
LEARNED = {"learning", "importance", "trials", "parameters"}
UNLEARNED = {"trials": (), "importance": {}, "curve": Curve("rmse", (), ())}
UNDRAWN = {"y": np.empty(0, np.float32), "p": np.empty(0), **UNLEARNED}
NASTY = "<script>alert(1)</script> & \"a\" 'b' $x_1$ \x00\n列 " + "long" * 30


class Page(HTMLParser):
    """What a browser makes of a page: its text, its tags, and everything that it would fetch or run."""

    VOID = frozenset({"meta", "br", "rect", "line", "path", "use", "image"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name.split(":")[-1] in ("href", "src", "srcset")]
        self.links += [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_columns_to_question_are_shown_with_their_evidence_and_escaped() -> None:
    asked = [Suspect(f"{NASTY} {number}", "its gaps alone tell the target", f"AUC 0.8{number}") for number in range(23)]
    shown = Page(report.render_report(story("binary", suspects=asked)))
    assert "Columns to question" in shown.text
    assert "AUC 0.819" in shown.text
    assert "and 3 more" in shown.text
    assert "script" not in shown.tags
    assert "Columns to question" not in Page(report.render_report(story("binary"))).text


@pytest.mark.parametrize("task", TASKS)
def test_a_page_stands_alone_with_its_verdict_before_any_picture(task: str) -> None:
    html = report.render_report(story(task))
    parsed = Page(html)
    assert not parsed.open, "every tag is closed"
    assert all(link.startswith("#") for link in parsed.links)
    assert not {"script", "link", "iframe", "img"} & set(parsed.tags)
    assert "url(http" not in html
    assert parsed.text.index("PROMOTE") < parsed.text.index("Key numbers") < parsed.text.index("Learning curve")
    targets = set(re.findall(r' id="([^"]+)"', html))
    assert {link[1:] for link in parsed.links} <= targets, "every entry of the contents leads somewhere"
    for reason in story(task).verdict.reasons:
        assert reason in parsed.text


@pytest.mark.parametrize("task", TASKS)
def test_a_weighted_story_says_so_and_draws_its_curves_by_the_weights(task: str) -> None:
    plain, weight = story(task), np.exp(np.random.default_rng(1).normal(size=500))
    told = replace(plain, weight=weight, verdict=plain.verdict.model_copy(update={"weighted_by": NASTY}))
    shown, other = (Page(report.render_report(one)).text for one in (told, plain))
    for sentence in ("All on the same holdout rows, weighted by", "Curves and calibration are weighted"):
        assert (sentence in shown, sentence in other) == (True, False)
    pictures, before = report.plots(told), report.plots(plain)
    changed = {name for name, svg in pictures.items() if svg != before[name]}
    assert changed == {"roc", "precision_recall", "calibration"} & set(pictures)
    if task == "binary":
        area = roc_auc_score(told.y > 0.5, told.p, sample_weight=weight)
        assert f"in {words.percent(area)} of pairs" in binary.roc(told).caption


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_its_pictures_and_each_is_whole_xml(task: str) -> None:
    told = story(task, importance={NASTY: 0.9, f"{NASTY}2": 0.1}, target=NASTY)
    pictures = report.plots(told)
    assert pictures == report.plots(told), "the same story gives the same bytes"
    assert set(pictures) == JUDGED[task] | LEARNED
    for svg in pictures.values():
        ET.fromstring(svg)


@pytest.mark.parametrize(
    ("task", "rows", "classes"), [("binary", 60_000, 2), ("multiclass", 20_000, 100), ("regression", 60_000, 0)]
)
def test_many_rows_classes_trials_and_columns_stay_far_below_two_megabytes(task: str, rows: int, classes: int) -> None:
    many = tuple(
        SliceVerdict(column="country", value=f"c{n}", rows=300, metric="roc_auc", gain=0.1, lower=-0.1, upper=0.3)
        for n in range(3000)
    )
    big = story(
        task,
        rows,
        classes=classes,
        tried=9000,
        importance={f"column {n}": 1 / 500 for n in range(500)},
        verdict=verdict("roc_auc", rows, slices=many),
    )
    assert len(report.render_report(big).encode()) < 700_000


@pytest.mark.parametrize("task", TASKS)
def test_names_are_shown_never_run(task: str) -> None:
    told = story(task)
    labels = tuple(f"{NASTY}{code}" for code in range(len(told.classes)))
    nasty = replace(
        told,
        pipeline=NASTY,
        target=NASTY,
        classes=labels,
        importance={NASTY: 0.9, f"{NASTY}2": 0.1},
        facts={NASTY: NASTY},
        leaks=(Leak(columns=(NASTY, "b"), score=0.9995, metric="AUC"),),
        verdict=verdict(
            told.metric,
            500,
            slices=(SliceVerdict(column=NASTY, value=NASTY, rows=9, metric="f1", gain=0, lower=-1, upper=1),),
        ).model_copy(update={"headline": NASTY, "reasons": (NASTY,)}),
    )
    html = report.render_report(nasty)
    parsed = Page(html)
    assert "script" not in parsed.tags
    assert "<script>alert(1)</script>" in parsed.text
    assert "\x00" not in html


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(story("binary", 30, importance={"only": 1.0}), id="one feature"),
        pytest.param(story("binary", importance={"a": 0.0}), id="a model without a split"),
        pytest.param(story("binary", tried=1), id="one trial"),
        pytest.param(
            story("regression", p=np.full(500, 3.0), lower=None, upper=None, **UNLEARNED), id="one prediction for all"
        ),
        pytest.param(story("regression", y=np.full(500, 3.0, np.float32), **UNLEARNED), id="one value for all"),
        pytest.param(story("binary", y=np.ones(500, np.float32), **UNLEARNED), id="one class on the holdout"),
        pytest.param(story("binary", p=np.full(500, 0.2), **UNLEARNED), id="one probability for all"),
        pytest.param(story("multiclass", 40, classes=90, **UNLEARNED), id="more classes than rows"),
        pytest.param(story("binary", threshold=2.0, **UNLEARNED), id="a threshold above everything"),
        pytest.param(
            story("binary", 500, classes=2, scores={"challenger": {"roc_auc": math.nan}}, **UNLEARNED),
            id="a NaN metric",
        ),
        pytest.param(story("binary", trials=()), id="no trials"),
        pytest.param(
            story("binary", facts={}, scores={"challenger": {}}, train_scores={}, **UNDRAWN), id="nothing known"
        ),
    ],
)
def test_odd_stories_are_told_too(told: report.Story) -> None:
    assert "nan" not in Page(report.render_report(told)).text.lower().replace("dominant", "")


@pytest.mark.parametrize("decision", ["PROMOTE", "KEEP", "NOT_COMPARABLE", "REFUSED"])
def test_a_verdict_has_its_own_colour_and_stands_in_words(decision: str) -> None:
    html = report.render_report(story("binary", verdict=verdict("roc_auc", 500, decision), **UNDRAWN))
    tone = decision.lower().replace("_", "-")
    assert f'class="card verdict {tone}"' in html
    assert f".{tone} {{" in html
    assert decision.replace("_", " ") in Page(html).text


@pytest.mark.parametrize(
    ("metric", "ours", "linear", "dummy", "said"),
    [
        ("roc_auc", 0.80, 0.70, 0.5, ""),
        ("roc_auc", 0.80, 0.797, 0.5, "as good"),
        ("roc_auc", 0.80, 0.81, 0.5, "better"),
        ("log_loss", 0.40, 0.60, 0.7, ""),
        ("log_loss", 0.40, 0.401, 0.7, "as good"),
        ("log_loss", 0.40, 0.30, 0.7, "better"),
        ("roc_auc", 0.45, 0.44, 0.5, ""),
        ("roc_auc", 0.80, math.nan, 0.5, ""),
        ("roc_auc", 0.80, 0.80, math.nan, "as good"),
    ],
)
def test_a_linear_model_that_is_as_good_is_said_at_the_top(
    metric: str, ours: float, linear: float, dummy: float, said: str
) -> None:
    scores = {"challenger": {metric: ours}, "linear": {metric: linear}, "dummy": {metric: dummy}}
    told = story("binary", metric=metric, scores=scores, **UNDRAWN)
    sentence = page.linear_is_as_good(told)
    assert (said in sentence) if said else not sentence
    if said:
        text = Page(report.render_report(told)).text
        assert text.index(sentence) < text.index("On this page") < text.index("All scores")


def test_the_chosen_metric_comes_first_and_the_best_of_each_line_is_marked() -> None:
    scores = {"challenger": {"brier": 0.1, "roc_auc": 0.8}, "linear": {"brier": 0.2, "roc_auc": 0.9}}
    heads, lines = page.scoreboard(story("binary", scores=scores, train_scores={"roc_auc": 0.95}))
    assert heads == ["This model", "Linear"]
    assert [(line.name, line.best, line.gap) for line in lines] == [
        ("ROC AUC", (False, True), "+0.1500"),
        ("Brier score", (True, False), "n/a"),
    ]


def test_findings_stand_on_the_first_screen_with_those_that_limit_the_use_marked() -> None:
    found = (Finding("What it is good for", ("ranks well",)), Finding(NASTY, (NASTY, "off by 20 points"), caution=True))
    html = report.render_report(story("binary", findings=found, **UNDRAWN))
    text = Page(html).text
    assert (
        text.index("PROMOTE") < text.index("ranks well") < text.index("off by 20 points") < text.index("On this page")
    )
    assert html.count('class="card finding caution"') == 1
    assert html.count('class="card finding"') == 1
    assert "script" not in Page(html).tags


def test_leaks_stand_before_the_numbers() -> None:
    leaks = (Leak(columns=("paid_on", "due_on"), score=0.9998, metric="AUC"),)
    text = Page(report.render_report(story("binary", leaks=leaks, **UNDRAWN))).text
    assert text.index("paid_on with due_on") < text.index("All on the same holdout rows")


def test_slices_show_the_score_and_the_verdicts_own_bounds() -> None:
    lost = SliceVerdict(
        column="age", value="25 to 34", rows=200, metric="roc_auc", score=0.61, gain=-0.2, lower=-0.3, upper=-0.1
    )
    html = report.render_report(story("binary", verdict=verdict("roc_auc", 500, slices=(lost,))))
    assert 'class="line under"' in html
    text = Page(html).text
    assert text.index("25 to 34") < text.index("0.6100") < text.index("-0.2000") < text.index("-0.3000 to -0.1000")


@pytest.mark.parametrize(("metric", "train", "holdout"), [("roc_auc", 0.95, 0.8), ("log_loss", 0.3, 0.45)])
def test_a_gap_is_positive_where_a_model_overfits_whichever_way_the_metric_runs(
    metric: str, train: float, holdout: float
) -> None:
    told = story("binary", scores={"challenger": {metric: holdout}}, train_scores={metric: train}, metric=metric)
    (line,) = page.scoreboard(told)[1]
    assert line.gap == "+0.1500"
    falling = Curve(metric, (train,) * 3, (holdout,) * 3)
    assert "training is better by 0.150" in learning.curve(replace(told, curve=falling)).caption


def test_scores_that_are_close_get_the_digits_that_tell_them_apart() -> None:
    scores = {"challenger": {"roc_auc": 0.57789}, "champion": {"roc_auc": 0.577}}
    (line,) = page.scoreboard(story("binary", scores=scores, train_scores={"roc_auc": 0.6}))[1]
    assert line.cells == ("0.57789", "0.57700")
    assert line.train == "0.60000"


def test_notes_stand_in_the_verdict_before_the_numbers() -> None:
    noted = verdict("roc_auc", 500).model_copy(update={"notes": ("the dummy predictor is better: ...",)})
    text = Page(report.render_report(story("binary", verdict=noted, **UNDRAWN))).text
    reasons, notes = text.index("the gain is at least"), text.index("the dummy predictor is better")
    assert text.index("Why this verdict, in 3 sentences") < reasons < notes < text.index("All on the same holdout rows")


def test_roc_points_count_equal_scores_once() -> None:
    y = np.array([True, False, True, False])
    cuts, true, false = binary.counts(y, np.array([0.9, 0.5, 0.5, 0.1]))
    assert (cuts.tolist(), true.tolist(), false.tolist()) == ([0.9, 0.5, 0.1], [1, 2, 2], [0, 1, 2])


def test_the_area_under_the_drawn_curve_is_the_metric() -> None:
    told = story("binary", 2000)
    shown = re.search(r"AUC ([\d.]+)", report.plots(told)["roc"])
    assert shown is not None
    assert float(shown[1]) == pytest.approx(told.scores["challenger"]["roc_auc"], abs=6e-4)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=400))
def test_bins_keep_equal_scores_together_and_leave_none_empty(scores: list[float]) -> None:
    p = np.array(scores)
    which = binary.bins(p)
    assert set(which) == set(range(which.max() + 1))
    assert which.max() < binary.BINS
    assert len(set(zip(scores, which.tolist(), strict=True))) == len(set(scores))
    assert (np.diff(which[np.argsort(p, kind="stable")]) >= 0).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2000))
def test_a_thinned_line_keeps_its_ends_and_invents_nothing(values: list[float]) -> None:
    x, y = np.arange(len(values), dtype=float), np.array(values)
    thin_x, thin_y = drawing.thin(x, y, 100)
    assert len(thin_x) <= min(len(x), 102)
    assert (thin_x[0], thin_x[-1]) == (x[0], x[-1])
    assert (y[thin_x.astype(int)] == thin_y).all()


def test_parameters_that_never_moved_are_not_drawn() -> None:
    assert set(tried.informative_parameters(tried.trials_with_value(trials(12)))) == {"learning_rate", "max_depth"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.81234, "0.8123"),
        (0.0812345, "0.0812"),
        (0.00081234, "0.00081"),
        (1234567.8, "1,234,568"),
        (-3.5, "−3.500"),
        (0, "0"),
        (math.nan, "n/a"),
        (None, "n/a"),
        (math.inf, "∞"),
        (3e20, "3.000e+20"),
    ],
)
def test_numbers_read_as_people_write_them(value: float | None, text: str) -> None:
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.234, "23%"), (0.001, "<1%"), (0.999, ">99%"), (0, "0%"), (1, "100%"), (math.nan, "n/a")]
)
def test_shares_never_round_to_none_or_all(share: float, text: str) -> None:
    assert words.percent(share) == text


@given(st.text(max_size=80), st.integers(4, 40))
def test_shortened_names_fit_and_keep_both_ends(name: str, length: int) -> None:
    short = words.shorten(name, length)
    assert len(short) <= length
    if len(name) > length:
        assert short[0] == words.clean(name)[0]
        assert short[-1] == words.clean(name)[-1] or length < 4
