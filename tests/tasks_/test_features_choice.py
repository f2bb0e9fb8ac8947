"""Encodings are chosen by what they gain on rows left out, and stay as they are where they gain nothing."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from treadle.tasks import features
from treadle.tasks.dataset import Column, Schema
from treadle.tasks.dataset.folds import Fold, dealt_folds, rolling_folds
from treadle.tasks.features import choice, ids, measure

ROWS = 3_000


def problem(table: pa.Table, y: np.ndarray, task: str = "binary", *, time=None, folds=None, **kinds):
    schema = Schema(columns=tuple(Column(name=name, kind=kinds.get(name, "text")) for name in table.column_names))
    return features.EncodingProblem(
        rows=table.cast(schema.arrow()),
        y=y.astype(np.float32),
        schema=schema,
        columns=schema.names,
        categories=(),
        time=time,
        timezone="",
        task=task,
        classes=2,
        folds=dealt_folds(y, 0) if folds is None else folds,
        seed=0,
    )


def shops(effect, seed: int):
    """Rows of 300 shops; `effect` [300] moves the odds of each."""
    draw = np.random.default_rng(seed)
    shop, x = draw.integers(0, 300, ROWS), draw.normal(size=ROWS)
    y = draw.random(ROWS) < 1 / (1 + np.exp(-effect[shop] - x))
    return problem(pa.table({"shop": [f"s{one:03}" for one in shop], "x": x}), y, x="number")


@pytest.mark.parametrize("seed", range(3))
def test_levels_without_an_order_become_statistics_and_counts(seed):
    chosen = features.choose_encodings(shops(np.random.default_rng(seed).normal(0, 2, 300), seed), seconds=60)
    assert "statistics" in chosen.encodings["shop"]
    assert "target statistics and counts instead of codes: taken, log loss 0." in chosen.reasons["shop"]
    assert not chosen.stopped_by_clock


def test_a_few_huge_amounts_do_not_hide_what_levels_tell():
    """By squared error of the amounts themselves statistics are taken in two of these four worlds."""
    taken = 0
    for seed in range(4):
        draw = np.random.default_rng(seed)
        shop, x = draw.integers(0, 300, 2_000), draw.normal(size=2_000)
        y = np.exp(7 + draw.normal(size=300)[shop] + 0.3 * x + 1.3 * draw.normal(size=2_000))
        one = problem(pa.table({"shop": [f"s{one:03}" for one in shop], "x": x}), y, "regression", x="number")
        chosen = features.choose_encodings(one, seconds=600)
        assert "squared error of the logarithm" in chosen.reasons["shop"]
        taken += "statistics" in chosen.encodings.get("shop", ())
    assert taken >= 3


def test_codes_that_need_deep_trees_are_compared_in_deep_trees():
    """Each of 300 shops has a level, and years of its own: shallow trees know too few of them by their codes."""
    for seed in range(3):
        draw = np.random.default_rng(seed)
        shop, year = draw.integers(0, 300, 9_000), draw.integers(0, 4, 9_000)
        y = 10 * draw.normal(size=300)[shop] + 5 * draw.normal(size=(300, 4))[shop, year] + draw.normal(size=9_000)
        table = pa.table({"shop": [f"s{one:03}" for one in shop], "year": year})
        one = problem(table, y, "regression", year="integer")
        chosen = features.choose_encodings(one, seconds=600)
        assert "codes" in chosen.encodings.get("shop", ("codes",)), chosen.reasons
        comparison = choice._Comparison(one, float("inf"))
        comparison.take(comparison.plan.using({"shop": ("statistics", "counts")}), ["shop"], "statistics")
        assert comparison.plan.deep


@pytest.mark.parametrize("seed", range(3))
def test_levels_in_the_order_of_their_effect_keep_their_codes(seed):
    effect = np.repeat([-2.0, 2.0, -2.0], 100)
    chosen = features.choose_encodings(shops(effect, seed), seconds=60)
    assert "codes" in chosen.encodings.get("shop", ("codes",))
    assert "instead of codes: not taken" in chosen.reasons["shop"]


def numbered(seed: int, effect: np.ndarray | None = None):
    """Rows of 300 students, whose numbers mean nothing, or mean as much as `effect` [300]."""
    draw = np.random.default_rng(seed)
    effect = draw.normal(0, 2, 300) if effect is None else effect
    student, x = draw.integers(0, 300, ROWS), draw.normal(size=ROWS)
    y = draw.random(ROWS) < 1 / (1 + np.exp(-effect[student] - x))
    return problem(pa.table({"s": student, "x": x}), y, s="integer", x="number")


@pytest.mark.parametrize("seed", range(3))
def test_integers_that_name_someone_get_statistics_beside_the_number(seed):
    chosen = features.choose_encodings(numbered(seed), seconds=60)
    assert chosen.encodings == {"s": ("number", "statistics", "counts")}
    assert "target statistics and counts beside the number: taken, log loss 0." in chosen.reasons["s"]


@pytest.mark.parametrize("seed", range(5))
def test_an_amount_whose_neighbours_are_alike_stays_a_number(seed):
    one = numbered(seed, np.linspace(-3, 3, 300))
    assert ids.possible_ids(one) == []
    assert features.choose_encodings(one, seconds=60).encodings == {}


def test_of_a_monotone_column_and_of_values_that_hardly_come_back_no_ids_are_made():
    one = numbered(0)
    assert ids.possible_ids(one) == ["s"]
    assert ids.possible_ids(measure.replace(one, numbers=("s",))) == []
    assert ids.possible_ids(measure.replace(one, categories=("s",))) == []
    assert ids.possible_ids(measure.replace(one, task="multiclass", classes=1_000)) == []
    once = problem(pa.table({"s": np.arange(ROWS)}), np.arange(ROWS) % 2, s="integer")
    assert ids.possible_ids(once) == []


def test_what_gains_in_one_window_of_time_only_is_not_sure():
    rows, when = 600, np.arange(600.0)
    one = problem(
        pa.table({"x": np.zeros(rows), "day": [date(2020, 1, 1) + timedelta(days=int(day)) for day in when]}),
        when % 2,
        time="day",
        folds=rolling_folds(when, [300, 400, 500]),
        x="number",
        day="date",
    )
    before = [np.ones(100)] * 3
    everywhere = measure.paired_gain(one, before, [np.full(100, 0.8)] * 3)
    once = measure.paired_gain(one, before, [np.full(100, 0.4), np.ones(100), np.ones(100)])
    assert everywhere[1:] == pytest.approx((0.2, 0, 0))
    assert once[1] == pytest.approx(0.2)
    assert once[3] > 0.2, "a mean of three windows of which one has all the gain"
    assert measure.paired_gain(measure.replace(one, time=None), before, [np.full(100, 0.4), *before[1:]])[3] == 0


def test_the_same_rows_give_the_same_choice():
    one = shops(np.random.default_rng(0).normal(0, 0.6, 300), 4)
    first, second = (features.choose_encodings(one, seconds=60) for _ in range(2))
    assert first == second


def test_without_time_or_folds_nothing_changes():
    one = shops(np.random.default_rng(0).normal(0, 2, 300), 0)
    chosen = features.choose_encodings(one, seconds=-1)
    assert (chosen.encodings, chosen.stopped_by_clock) == ({}, True)
    assert features.choose_encodings(measure.replace(one, folds=()), seconds=60) == choice.EncodingChoice()


def test_few_levels_are_not_measured():
    y = np.arange(400) % 2
    one = problem(pa.table({"c": ["a", "b", "c", "d"] * 100}), y)
    assert features.choose_encodings(one, seconds=60) == choice.EncodingChoice()


def test_labels_of_answered_rows_change_no_encoding_of_the_fitted(monkeypatch):
    """Statistics are those of the fitted rows."""
    one = shops(np.random.default_rng(0).normal(0, 2, 300), 0)
    given = []
    cross_fitted = measure.cross_fitted

    def recorded(spec, rows, y, **more):
        given.append((rows.num_rows, len(y)))
        return cross_fitted(spec, rows, y, **more)

    monkeypatch.setattr(measure, "cross_fitted", recorded)
    fold = one.folds[0]
    measure.held_losses(one, measure.EncodingPlan({"shop": ("statistics",)}), fold)
    assert given == [(len(fold.fitted), len(fold.fitted))]


def test_the_error_of_a_gain_counts_a_group_as_one_row():
    one = shops(np.zeros(300), 0)
    rows = len(one.folds[0].answered)
    before, after = np.ones(rows), np.random.default_rng(0).random(rows)
    alone = measure.paired_gain(one, [before], [after])
    in_pairs = measure.replace(one, groups=np.arange(ROWS) // 2)
    twice = measure.replace(one, folds=(Fold(one.folds[0].fitted, np.arange(rows)),), groups=np.arange(ROWS) // 2)
    assert measure.paired_gain(in_pairs, [before], [after])[:2] == alone[:2]
    doubled = np.repeat(after[: rows // 2], 2)
    ratio = measure.paired_gain(twice, [before], [doubled])[2] / (doubled.std() / np.sqrt(rows))
    assert ratio == pytest.approx(np.sqrt(2), rel=0.01)


@pytest.mark.parametrize("seed", range(2))
def test_a_target_that_depends_on_tenure_takes_the_days_between_two_dates(seed):
    draw = np.random.default_rng(seed)
    at = np.sort(draw.integers(15_000, 16_500, 2_000))
    since = at - draw.integers(10, 700, 2_000)
    y = (at - since) / 100 + draw.normal(0, 1, 2_000)
    table = pa.table(
        {name: pa.array(days.astype("int32")).cast(pa.date32()) for name, days in {"at": at, "since": since}.items()}
    )
    folds = rolling_folds(at.astype(float), [at[1_000], at[1_400]])
    late = Fold(np.arange(1_400), np.arange(1_400, 2_000))
    one = problem(table, y, "regression", time="at", folds=folds, at="date", since="date")
    chosen = features.choose_encodings(one, seconds=60)
    assert chosen.differences == (("since", "at"),)
    assert "days between dates: taken, squared error" in chosen.reasons["since"]
    plain, with_days = measure.EncodingPlan(), measure.EncodingPlan(differences=chosen.differences)
    losses = [measure.held_losses(one, plan, late).mean() for plan in (plain, with_days)]
    r2 = [1 - loss / y[1_400:].var() for loss in losses]
    assert r2[1] > 0.6 > r2[0]


def test_words_and_entries_of_lists_are_taken_where_they_tell():
    draw = np.random.default_rng(2)
    good, fillers = draw.random(ROWS) < 0.5, [f"word{number}" for number in range(60)]
    note = [" ".join([*draw.choice(fillers, 5), "great" if one else "awful"]) for one in good]
    has = draw.random((ROWS, 9)) < 0.4
    tags = ["|".join(f"tag{place}" for place in np.flatnonzero(row)) for row in has]
    noise = [" ".join(draw.choice(fillers, 5)) for _ in range(ROWS)]
    y = draw.random(ROWS) < 1 / (1 + np.exp(-3 * (good - 0.5) - 3 * (has[:, 0] - 0.5) + 3 * (has[:, 7] - 0.5)))
    chosen = features.choose_encodings(problem(pa.table({"note": note, "tags": tags, "noise": noise}), y), seconds=120)
    assert "ngrams" in chosen.encodings["note"]
    assert "list" in chosen.encodings["tags"]
    assert "ngrams" not in chosen.encodings.get("noise", ())


def test_days_stay_where_they_are_missed():
    """A trend: without days since 1970 the year and the day of it say less."""
    draw = np.random.default_rng(0)
    days = draw.integers(0, 300, 2_000)
    table = pa.table({"on": [date(2020, 1, 1) + timedelta(days=int(one)) for one in days]})
    y = np.floor(days / 17) % 2 + draw.normal(0, 0.1, 2_000)
    chosen = features.choose_encodings(problem(table, y, "regression", on="date"), seconds=60)
    assert "no days since 1970" in chosen.reasons["on"]
    spec = features.fit_features(
        table,
        Schema(columns=(Column(name="on", kind="date"),)),
        columns=("on",),
        categories=(),
        time=None,
        timezone="",
        encodings=chosen.encodings,
    )
    assert {"on.days", "on.dayofyear"} & set(spec.names)


@pytest.mark.parametrize("matters", [False, True])
def test_hours_of_a_few_weeks_are_left_out_where_they_mattered_once(matters):
    """Where hours matter in the oldest weeks only, the days since 1970 may tell these weeks apart instead."""
    left_out = unchanged = 0
    for seed in range(5):
        draw = np.random.default_rng(seed)
        hours, x = np.sort(draw.choice(24 * 70, 1_600, replace=False)), draw.normal(size=1_600)
        effect = 3 * draw.normal(size=24)[hours % 24]
        level = effect if matters else np.where(np.arange(1_600) < 600, effect, 0.0)
        y = draw.random(1_600) < 1 / (1 + np.exp(-level - x))
        at = np.datetime64("2026-01-01T00:00:00") + hours.astype("timedelta64[h]")
        table = pa.table({"at": pa.array(at.astype("datetime64[us]")), "x": x})
        folds = rolling_folds(hours.astype(float), [hours[600], hours[900], hours[1_200]])
        one = problem(table, y, time="at", folds=folds, at="timestamp", x="number")
        found = features.choose_encodings(one, seconds=600).encodings.get("at", ("parts",))
        left_out, unchanged = left_out + ("parts" not in found), unchanged + (found == ("parts",))
    if matters:
        assert left_out == 0
    else:
        assert left_out >= 1
        assert unchanged == 0
