from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.audit import slices as worlds
from treadle.tasks import gate
from treadle.tasks.gate import GateSpec, Judged, slices, slicing
from treadle.tasks.gate.sure import gain_on

SPEC = GateSpec()


def sizes(values: np.ndarray, cut: int = 0) -> dict[str, int]:
    """The rows of each slice of a column."""
    one = slicing.slice_column(values)[cut]
    return dict(zip(one.levels, np.bincount(one.codes, minlength=len(one.levels)).tolist(), strict=True))


def test_a_challenger_at_chance_for_857_people_is_refused_wherever_they_are() -> None:
    for seed in range(4):
        verdict = gate.decide_verdict(SPEC, worlds.at_chance(np.random.default_rng(seed), 20_000))
        assert verdict.gain > 0
        assert verdict.decision == "REFUSED"
        assert verdict.headline.startswith("worse where age is ")


def test_ages_as_text_are_binned_too() -> None:
    of = worlds.at_chance(np.random.default_rng(1), 4_000)
    as_text = Judged(
        of.task,
        of.metric,
        of.y,
        of.challenger,
        of.champion,
        "version 1",
        slices={"age": of.slices["age"].astype(int).astype(str).astype(object)},
    )
    assert gate.decide_verdict(SPEC, as_text).decision == "REFUSED"


@pytest.mark.parametrize(
    ("name", "most"),
    # at 5%: more with probability 0.3%
    [("one column of numbers, 4,000 rows", 8), ("eight shops, 2,500 rows", 8), ("0.2% positive, 20,000 rows", 5)],
)
def test_equal_challengers_are_rarely_refused_for_slices(name: str, most: int) -> None:
    count = 30 if most == 5 else 60
    assert worlds.refused(worlds.equal_worlds()[name], count, seed=5) * count <= most


def test_a_loss_below_the_margin_is_said_and_does_not_refuse() -> None:
    of = worlds.small_loss(np.random.default_rng(3))
    review = slices.review_slices(SPEC, of)
    (lost,) = [one for one in review.verdicts if one.gain < 0]
    assert -lost.margin < lost.gain < 0
    assert review.refusals == ()
    assert any("none surely worse by" in note for note in review.notes)
    strict = slices.review_slices(GateSpec(slice_margin=0), of)
    assert [one.refuses for one in strict.verdicts if one.value == lost.value] == [lost.upper < 0]


def test_the_margin_is_a_share_for_errors_and_half_of_detect_by_default() -> None:
    draw = np.random.default_rng(0)
    y = draw.normal(size=1_000) * 50
    found = gain_on(Judged("regression", "rmse", y, y + 12, y + 10.0, "version 1"), "rmse")
    assert slices.slice_margin(GateSpec(slice_margin=0.1), found) == pytest.approx(1.0)
    assert slices.slice_margin(GateSpec(detect=0.04), found) == pytest.approx(0.2)


def test_a_first_model_is_refused_where_it_is_worse_than_the_dummy_and_named_where_it_knows_nothing() -> None:
    wrong = gate.decide_verdict(SPEC, worlds.first_model(np.random.default_rng(0), skill=-0.5))
    assert wrong.decision == "REFUSED"
    assert "worse where shop is '0'" in wrong.headline
    lost = gate.decide_verdict(SPEC, worlds.first_model(np.random.default_rng(0), skill=0.0))
    assert lost.decision == "PROMOTE"
    assert any(note.startswith("no skill shown where shop is '0'") for note in lost.notes)


def test_what_is_not_examined_is_said() -> None:
    draw = np.random.default_rng(0)
    y = (draw.random(1_000) < 0.5).astype(float)
    p = np.clip(0.5 + 0.3 * (y - 0.5) + 0.2 * draw.normal(size=1_000), 0.01, 0.99)
    columns = {
        "shop": np.array(["north"] * 600 + ["south"] * 300 + ["a"] * 60 + ["b"] * 40, dtype=object),
        "all": np.full(1_000, "one", dtype=object),
    }
    of = Judged("binary", "roc_auc", y, p, np.full(1_000, 0.5), "dummy", slices=columns)
    notes = slices.review_slices(GateSpec(slices=("shop", "all", "gone")), of).notes
    assert "slices of 'gone' were not examined: the holdout has no such column" in notes
    assert "not examined of 'shop': 100 of 1,000 rows, with 2 values that have fewer than 200 rows each" in notes
    assert "slices of 'all' were not examined: all 1,000 rows are in one, 'one'" in notes


def test_where_nothing_is_compared_no_slice_is_examined_and_that_is_said() -> None:
    of = replace(worlds.at_chance(np.random.default_rng(0), 4_000), unseen=12)
    verdict = gate.decide_verdict(GateSpec(slices=("age",)), of)
    assert verdict.decision == "NOT_COMPARABLE"
    assert verdict.slices == ()
    assert verdict.notes == ("slices were not examined: nothing is compared on so few new rows",)


COLUMNS = {
    "whole numbers": (np.repeat(np.arange(20, 70), 20), ["20 to 29", "30 to 39", "40 to 49", "50 to 59", "60 to 69"]),
    "few values": (np.repeat([1.0, 2.0, np.nan], 300), ["(missing)", "1", "2"]),
    "rare texts": (np.array(["x"] * 300 + ["y"] * 150 + ["z"] * 100, dtype=object), ["x", "(rare)"]),
    "missing is not rare": (np.array(["x"] * 300 + ["y"] * 150 + [None] * 100, dtype=object), ["(missing)", "x", "y"]),
    "a heavy zero": (np.r_[np.zeros(900), np.arange(1, 401)], ["1 to 200", "201 to 400", "0"]),
    "dates": (
        np.arange("2026-01-01", "2026-02-20", dtype="datetime64[D]").repeat(8).astype("datetime64[us]"),
        ["2026-01-01 to 2026-01-25", "2026-01-26 to 2026-02-19"],
    ),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_columns_are_sliced_by_what_they_hold(case: str) -> None:
    values, names = COLUMNS[case]
    assert list(sizes(values)) == names


@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=40),
    st.integers(1, 60),
    st.sampled_from(["integer", "number", "text"]),
)
def test_every_row_has_one_slice_and_bins_have_rows_enough(values: list[int], times: int, kind: str) -> None:
    column = np.repeat(np.array(values), times)
    column = {"integer": column, "number": column / 7, "text": column.astype(str).astype(object)}[kind]
    for cut in slicing.slice_column(column):
        counts = np.bincount(cut.codes, minlength=len(cut.levels))
        assert counts.sum() == len(column)
        assert len(set(cut.levels)) == len(cut.levels) == len(counts)
        assert (counts > 0).all()
        if cut.binned and len(column) >= slicing.SMALLEST_SLICE:
            assert cut.left_out == 0


def test_typed_columns_reach_the_slices_as_numbers_dates_or_names() -> None:
    whole, day = pa.chunked_array([[3, None]]), pa.array([dt.date(2026, 1, 2), None])
    assert np.isnan(slicing.slice_values(whole)[1])
    assert slicing.slice_values(whole, category=True).tolist() == ["3", "(missing)"]
    assert np.isnat(slicing.slice_values(day)[1])
    assert slicing.slice_values(pa.array(["a", None])).tolist() == ["a", "(missing)"]


def test_a_slice_of_one_class_is_examined_by_its_losses() -> None:
    draw = np.random.default_rng(2)
    shop = np.repeat(["quiet", "busy"], 1_000).astype(object)
    y = np.where(shop == "quiet", 0.0, (draw.random(2_000) < 0.5).astype(float))
    champion = np.where(shop == "quiet", 0.001, 0.5 + 0.2 * (y - 0.5))
    alarmed, alike = champion.copy(), champion.copy()
    alarmed[:1_000], alike[:1_000] = 0.6, 0.0012
    for challenger, refused in ((alarmed, True), (alike, False)):
        of = Judged("binary", "roc_auc", y, challenger, champion, "version 1", slices={"shop": shop})
        review = slices.review_slices(SPEC, of)
        assert {one.value: one.metric for one in review.verdicts} == {"quiet": "log_loss", "busy": "roc_auc"}
        assert bool(review.refusals) is refused


def test_a_slice_of_one_group_is_not_said_to_be_examined() -> None:
    draw = np.random.default_rng(3)
    store = np.repeat(np.arange(25), 240)
    y = draw.normal(size=len(store))
    worse = np.where(store == 7, 3.0, 0.9) * draw.normal(size=len(store))
    judged = Judged(
        "regression",
        "mae",
        y,
        y + worse,
        y + draw.normal(size=len(store)),
        "version 1",
        slices={"store": np.array([f"s{code}" for code in store], dtype=object)},
        groups=store,
    )
    review = slices.review_slices(GateSpec(slices=("store",)), judged)
    assert review.verdicts == ()
    assert any(note.startswith("not examined, because their rows are one group") for note in review.notes)
    assert not any("none surely worse" in note for note in review.notes)


def test_r2_of_a_slice_with_equal_labels_is_judged_by_the_error() -> None:
    draw = np.random.default_rng(4)
    y = np.r_[np.zeros(400), draw.normal(size=1_600) * 5]
    worse = np.r_[np.full(400, 3.0), np.zeros(1_600)] + 0.1 * draw.normal(size=2_000)
    part = np.array(["flat"] * 400 + ["rest"] * 1_600, dtype=object)
    judged = Judged("regression", "r2", y, y + worse, y + draw.normal(size=2_000), "version 1", slices={"part": part})
    review = slices.review_slices(GateSpec(slices=("part",)), judged)
    assert any("part is 'flat'" in refusal and "rmse" in refusal for refusal in review.refusals)
