"""Rolling origins: windows of time, answered for by what is older, that calibrate and show how far a month is off."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from tests.tasks_.test_refit import config, parted
from treadle.tasks import fitting, rolling, training
from treadle.tasks.calibration import WINDOWS, Chosen
from treadle.tasks.calibration_maps import Calibration, fit_map
from treadle.tasks.dataset import Parts, SplitSpec
from treadle.tasks.prepared import Preparation
from treadle.tasks.recipe import Recipe, make_recipe
from treadle.tasks.search import Found
from treadle.tasks.validation import Layout


def dated(days: int, rows: int = 2_000, seed: int = 0) -> pa.Table:
    """Rows of the shop on `days` days; what a customer buys changes from month to month."""
    draw = np.random.default_rng(seed)
    day = np.sort(draw.integers(0, days, rows))
    a = draw.normal(size=rows)
    wave = 0.8 * np.sin(day / 17)
    return pa.table(
        {
            "id": np.arange(rows),
            "day": pa.array((15_000 + day).astype("int32")).cast(pa.date32()),
            "shop": draw.choice(["s1", "s2"], rows),
            "a": a,
            "b": draw.normal(size=rows),
            "c": draw.choice(["p", "q"], rows),
            "y": pa.array(draw.random(rows) < 1 / (1 + np.exp(-a - wave))),
        }
    )


@pytest.mark.parametrize("gap", ["", "10d"])
def test_windows_are_thirty_days_half_of_them_apart_and_fitted_on_what_is_older(gap: str) -> None:
    rows = dated(300)
    problem, _ = parted("binary", "time", rows)
    day = np.asarray(rows["day"].cast(pa.int32()))
    spec = SplitSpec(strategy="time", gap=gap)
    folds = rolling.rolling_windows(rows, problem, spec, training.labels_as_numbers(problem, rows))
    assert len(folds) == rolling.MOST_WINDOWS
    for fold in folds:
        answered = day[fold.answered]
        assert day[fold.fitted].max() < answered.min() - (9 if gap else 0)
        assert 25 <= answered.max() - answered.min() <= 30
    begins = np.array([day[fold.answered].min() for fold in folds])
    assert np.abs(np.diff(begins) - 15).max() <= 2
    assert day[folds[-1].answered].max() == day.max()
    assert rolling.window_length(rows, problem).words == "30 days"


def test_of_short_tables_and_of_numbers_a_window_is_an_eighth_of_the_rows() -> None:
    rows = dated(60)
    problem, _ = parted("binary", "time", rows)
    assert rolling.window_length(rows, problem) == rolling.WindowLength(0.0, 250)
    number = rows.set_column(1, "day", rows["day"].cast(pa.int32()))
    assert rolling.window_length(number, problem).words == "250 rows"
    folds = rolling.rolling_windows(rows, problem, SplitSpec(strategy="time"), np.asarray(rows["y"]).astype(float))
    assert len(folds) >= WINDOWS
    assert all(150 <= len(fold.answered) <= 350 for fold in folds)


def test_a_month_in_which_nothing_happened_is_a_window_and_one_with_one_label_to_fit_on_is_none() -> None:
    rows = dated(300)
    problem, _ = parted("binary", "time", rows)
    day = np.asarray(rows["day"].cast(pa.int32())) - 15_000
    y = np.where(day > 250, 0.0, training.labels_as_numbers(problem, rows))
    folds = rolling.rolling_windows(rows, problem, SplitSpec(strategy="time"), y)
    assert len(np.unique(y[folds[-1].answered])) == 1
    late = np.where(day < 200, 0.0, training.labels_as_numbers(problem, rows))
    folds = rolling.rolling_windows(rows, problem, SplitSpec(strategy="time"), late)
    assert folds
    assert all(len(np.unique(late[fold.fitted])) == 2 for fold in folds)


def test_a_judged_model_of_windows_knows_how_far_its_months_were_off_and_no_later_row_moves_an_earlier_one() -> None:
    rows = dated(300, 3_000)
    problem, parts = parted("binary", "time", rows)
    own = len(parts.train) + len(parts.validation)
    found = Found({"eta": 0.3, "max_depth": 2, "nthread": 1}, 10, 0.0, (), 0, 0.0)
    recipe = make_recipe(
        config("binary", "time"),
        problem,
        found,
        Preparation(layout=Layout(kind="windows")),
        judged_rows=own,
        rows=len(rows),
        device="cpu",
    )
    spec = SplitSpec(strategy="time")
    fitted = fitting.fit_judged(problem, recipe, parts.open(), spec)
    (rate,) = fitted.base_rates
    assert len(rate.windows) >= 2 * WINDOWS - 1
    assert rate.interval is not None
    assert not any(one.held_out for one in rate.windows)
    assert len(fitted.curve.validation) >= 1
    other = parts.validation.set_column(
        parts.validation.column_names.index("y"), "y", pa.array(~np.asarray(parts.validation["y"]))
    )
    again = fitting.fit_judged(problem, recipe, dataclasses.replace(parts, validation=other).open(), spec)
    if again.model.post.slopes == () == fitted.model.post.slopes:
        assert again.base_rates[0].windows[:3] == rate.windows[:3]


@pytest.mark.parametrize("kind", ["trees", "linear"])
def test_where_fits_are_dear_models_on_fewer_rows_say_how_far_a_month_may_be_off_and_change_nothing_else(
    kind: str,
) -> None:
    rows = dated(300, 3_000)
    problem, parts = parted("binary", "time", rows)
    dear, single = (judged_of(problem, parts, layout, kind) for layout in (Layout(dear=True), Layout()))
    (rate,) = dear.base_rates
    assert rate.interval is not None
    assert single.base_rates == ()
    assert dear.model.post == single.model.post
    assert dear.model.booster.save_raw("json") == single.model.booster.save_raw("json")


def test_a_line_that_is_taken_where_fits_are_dear_knows_how_far_a_month_may_be_off() -> None:
    rows = dated(300, 3_000)
    problem, parts = parted("binary", "time", rows)
    problem = dataclasses.replace(problem, columns=("a",))
    trees, spec = judged_of(problem, parts, Layout(dear=True)), SplitSpec(strategy="time")
    recipe = recipe_of(problem, parts, Layout(dear=True))
    fitted, chosen, words = fitting.plainer_kind(problem, recipe, trees, parts.open(), spec)
    assert (chosen.kind, chosen.layout.dear) == ("linear", True), words
    assert fitted.base_rates == judged_of(problem, parts, Layout(dear=True), "linear").base_rates != ()


def recipe_of(problem: training.Problem, parts: Parts, layout: Layout, kind: str = "trees") -> Recipe:
    own, found = len(parts.train) + len(parts.validation), Found({"eta": 0.3, "nthread": 1}, 10, 0.0, (), 0, 0.0)
    known = {"judged_rows": own, "rows": own + len(parts.holdout), "device": "cpu"}
    recipe = make_recipe(config("binary", "time"), problem, found, Preparation(layout=layout), **known)
    return fitting.as_line(recipe) if kind == "linear" else recipe


def judged_of(problem: training.Problem, parts: Parts, layout: Layout, kind: str = "trees") -> fitting.FittedModel:
    recipe = recipe_of(problem, parts, layout, kind)
    return fitting.fit_judged(problem, recipe, parts.open(), SplitSpec(strategy="time"))


def test_a_months_error_is_that_of_the_map_in_which_newer_windows_count_as_much_as_in_the_chosen_one() -> None:
    """The answers are further off from month to month, so that a map in which the newest count most is less wrong."""
    rows = dated(300, 6_000)
    problem, _ = parted("binary", "time", rows)
    day = np.asarray(rows["day"].cast(pa.int32())) - 15_000
    draw = np.random.default_rng(1)
    margin = draw.normal(size=len(rows))
    y = (draw.random(len(rows)) < 1 / (1 + np.exp(-margin - (day / 100) ** 2))).astype(np.float32)
    raw = 1 / (1 + np.exp(-margin))
    windows = rolling.rolling_windows(rows, problem, SplitSpec(strategy="time"), y)
    answered = np.isin(np.arange(len(rows)), np.concatenate([fold.answered for fold in windows]))
    fit = fitting.Fit(None, None, y, np.where(answered, raw, np.nan), None)  # type: ignore[arg-type]

    def errors(age: float) -> list[float]:
        chosen = Chosen(Calibration("beta"), raw[answered], age)
        (rate,) = rolling.rolling_rates(problem, fit, rows, windows, chosen)
        return [one.error for one in rate.windows]

    alike, newest = errors(1.0), errors(0.5)
    assert np.abs(newest[3:]).mean() < 0.8 * np.abs(alike[3:]).mean()
    codes, last = rolling.window_codes(windows, len(rows)), len(windows) - 1
    older = (codes >= 0) & (codes < last)
    made = fit_map("binary", "beta", raw[older].astype(np.float32), y[older].astype(int), 0.5 ** (last - codes[older]))
    at = windows[last].answered
    assert newest[-1] == pytest.approx(float(made.of(raw[at]).mean() - y[at].mean()), abs=1e-4)
