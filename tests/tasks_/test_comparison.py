"""Two versions side by side: what differs between them, how sure that is, and the page that shows it."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import shop
from treadle.tasks import bundle
from treadle.tasks.comparison import ComparedVersion, check_same_question, differing_settings, lay_beside
from treadle.tasks.dataset.split import SplitSpec
from treadle.tasks.errors import DataError
from treadle.tasks.gate import GateSpec
from treadle.tasks.report.compare import comparison_sentence, render_comparison

RANDOM = SplitSpec(strategy="random")
GATE = GateSpec(slices=("Channel", "<b>"))


def versions(task: str) -> tuple[ComparedVersion, ComparedVersion]:
    trees = ComparedVersion(7, shop.model(task), shop.FACTS, None)
    return trees, ComparedVersion(6, shop.linear_model(task), shop.FACTS.model_copy(update={"seed": 5}), None)


@pytest.mark.parametrize("task", list(shop.LABELS))
def test_a_page_shows_both_versions(task: str) -> None:
    first, second = versions(task)
    rows = shop.labelled(task, 1_200)
    beside = lay_beside(shop.problem(task), first, second, rows, GATE, RANDOM)
    page = render_comparison("shop", beside, [("a <fact>", "b")], ["3 labelled rows do not judge: <i>"])
    assert "version 7 beside version 6" in page
    assert comparison_sentence(beside) in page.replace("&#39;", "'").replace("No sure", "no sure").replace(
        "Version", "version"
    )
    assert "a &lt;fact&gt;" in page
    assert "&lt;i&gt;" in page
    assert len(re.findall("<figure", page)) == 2
    assert "<script" not in page
    assert "Channel" in page
    assert page == render_comparison("shop", beside, [("a <fact>", "b")], ["3 labelled rows do not judge: <i>"])


@pytest.mark.parametrize("task", list(shop.LABELS))
def test_gains_turn_around_with_the_versions(task: str) -> None:
    first, second = versions(task)
    rows = shop.labelled(task, 600)
    one = lay_beside(shop.problem(task), first, second, rows, GATE, RANDOM)
    other = lay_beside(shop.problem(task), second, first, rows, GATE, RANDOM)
    for ours, theirs in zip(one.scores, other.scores, strict=True):
        assert (ours.first, ours.second) == (theirs.second, theirs.first)
        assert (ours.gain, ours.lower, ours.upper) == pytest.approx((-theirs.gain, -theirs.upper, -theirs.lower))
    assert one.alike == other.alike
    assert [pair.row for pair in one.disagreements] == [pair.row for pair in other.disagreements]


def test_what_is_shown_is_what_the_models_answer() -> None:
    first, second = versions("binary")
    rows = shop.labelled("binary", 600)
    beside = lay_beside(shop.problem("binary"), first, second, rows, GATE, RANDOM)
    ours, theirs = (bundle.predict_table(one.model, rows) for one in (first, second))
    p, q = ours["probability"].to_numpy(), theirs["probability"].to_numpy()
    assert beside.alike == pytest.approx((ours["prediction"].to_numpy() == theirs["prediction"].to_numpy()).mean())
    worst = int(np.abs(p - q).argmax())
    top = beside.disagreements[0]
    assert (top.row, top.first, top.second) == (str(worst), f"{p[worst]:.3f}", f"{q[worst]:.3f}")
    assert top.apart == pytest.approx(abs(p[worst] - q[worst]))
    assert top.label == rows["y"][worst].as_py()


def test_a_version_beside_itself_differs_nowhere() -> None:
    first, _ = versions("regression")
    twin = dataclasses.replace(first, version=6)
    beside = lay_beside(shop.problem("regression"), first, twin, shop.labelled("regression", 300), GATE, RANDOM)
    assert beside.settings == ()
    assert beside.disagreements == ()
    assert all(one.gain == 0 for one in beside.scores)
    assert "better" not in comparison_sentence(beside)
    assert "None: both were made alike." in render_comparison("shop", beside, [], [])


def test_a_version_that_is_surely_better_is_named_whichever_stands_first() -> None:
    good, _ = versions("regression")
    spoilt = good.model.post.model_copy(update={"bands": None, "half_width": 1.0})
    worse = ComparedVersion(6, dataclasses.replace(shop.model("regression", count=40), post=spoilt), shop.FACTS, None)
    rows = shop.labelled("regression", 1_000)
    for pair in ((good, worse), (worse, good)):
        found = lay_beside(shop.problem("regression"), *pair, rows, GATE, RANDOM)
        assert comparison_sentence(found).startswith("version 7 is better than version 6: RMSE ")


def test_settings_differ_by_name_and_say_both() -> None:
    first, second = versions("binary")
    named = {pair.name: (pair.first, pair.second) for pair in differing_settings(first, second)}
    assert named["seed"] == ("0", "5")
    assert "data_version" not in named
    assert "threshold" in named


def test_a_column_that_one_does_not_use_has_no_share() -> None:
    first, second = versions("binary")
    shares = {
        one.column: (one.first, one.second)
        for one in lay_beside(shop.problem("binary"), first, second, shop.labelled("binary", 300), GATE, RANDOM).columns
    }
    assert set(shares) == {*first.model.features.sources, *second.model.features.sources}
    for name, (ours, theirs) in shares.items():
        assert (ours is None) == (name not in first.model.features.sources)
        assert (theirs is None) == (name not in second.model.features.sources)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "z"}, "version 7 predicts 'y', the target now is 'z'"),
        ({"task": "regression"}, "version 7 is a binary model, the task now is regression"),
        ({"classes": ("yes", "no")}, "version 7 predicts the probability of 'yes', the positive class now is 'no'"),
    ],
)
def test_versions_for_another_question_are_refused(change: dict, message: str) -> None:
    first, _ = versions("binary")
    with pytest.raises(DataError, match=message):
        check_same_question(dataclasses.replace(shop.problem("binary"), **change), first, shop.schema("binary").names)


def test_rows_without_a_column_that_a_version_needs_are_refused() -> None:
    first, second = versions("binary")
    rows = shop.labelled("binary", 50).drop_columns(["Items"])
    with pytest.raises(DataError, match="version 7 needs column 'Items'"):
        lay_beside(shop.problem("binary"), first, second, rows, GATE, RANDOM)


@settings(deadline=None, max_examples=6)
@given(count=st.integers(1, 12))
def test_a_few_rows_are_shown_as_they_are(count: int) -> None:
    first, second = VERSIONS
    beside = lay_beside(PROBLEM, first, second, shop.labelled("binary", 400).slice(3, count), GATE, RANDOM)
    assert render_comparison("shop", beside, [], [])
    assert comparison_sentence(beside).endswith(f"on {count:,} rows that are new to both")


VERSIONS, PROBLEM = versions("binary"), shop.problem("binary")
