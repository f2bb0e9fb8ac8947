from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from treadle.tasks import dependence, influence, metrics
from treadle.tasks.dataset import SplitSpec
from treadle.tasks.dependence import Dependence, standard_error, usable_error

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


@pytest.mark.parametrize(("task", "metric"), METRICS)
def test_an_influence_is_what_a_little_more_weight_changes(task: str, metric: str) -> None:
    y, p = world(task, 300, 1)
    found = influence.influences(metric, y, p)
    assert abs(found.sum()) < 1e-8
    for row in np.random.default_rng(2).integers(0, 300, 6):
        weight = np.ones(300)
        weight[row] += 1e-5
        moved = metrics.metric_value(task, metric, y, p, weight) - metrics.metric_value(task, metric, y, p)
        assert found[row] == pytest.approx(moved / 1e-5 * 300, abs=1e-4)


def drawn_again(y: np.ndarray, p: np.ndarray, task: str, metric: str, units: np.ndarray, seed: int) -> np.ndarray:
    """The plain bootstrap: units drawn with replacement, all of their rows scored anew."""
    draw, count = np.random.default_rng(seed), int(units.max()) + 1
    weights = (np.bincount(draw.integers(0, count, count), minlength=count)[units] for _ in range(600))
    return np.array([metrics.metric_value(task, metric, y, p, weight.astype(np.float64)) for weight in weights])


@pytest.mark.parametrize(("task", "metric"), METRICS)
@pytest.mark.parametrize("grouped", [False, True])
def test_a_standard_error_is_that_of_the_plain_bootstrap(task: str, metric: str, grouped: bool) -> None:
    y, p = world(task, 600, 3)
    units = np.arange(600)
    if grouped:
        units = np.sort(np.random.default_rng(4).integers(0, 60, 600))
        p = np.clip(p + np.random.default_rng(5).normal(0, 0.1, 60)[units][(...,) + (None,) * (p.ndim - 1)], 0.01, 3)
    depends = Dependence(groups=units) if grouped else Dependence()
    found = dependence.standard_error(influence.influences(metric, y, p), depends)
    # 600 draws know their own standard deviation to 3%
    assert found.error == pytest.approx(np.nanstd(drawn_again(y, p, task, metric, units, 6)), rel=0.15)
    assert found.unit == ("groups" if grouped else "rows")


def autoregression(draw: np.random.Generator, periods: int, lasts: float) -> np.ndarray:
    noise = draw.normal(size=periods)
    for period in range(1, periods):
        noise[period] = lasts * noise[period - 1] + np.sqrt(1 - lasts**2) * noise[period]
    return noise


@pytest.mark.parametrize(("lasts", "least", "most"), [(0.0, 1, 3), (0.5, 2, 9), (0.9, 10, 35)])
def test_blocks_are_as_long_as_the_dependence_lasts(lasts: float, least: int, most: int) -> None:
    lengths = [dependence.block_length(autoregression(np.random.default_rng(seed), 200, lasts)) for seed in range(20)]
    assert least <= np.median(lengths) <= most


def test_blocks_equal_draws_of_blocks() -> None:
    draw = np.random.default_rng(7)
    series = autoregression(draw, 200, 0.6)
    series -= series.mean()
    times = np.arange(200)
    found = dependence.standard_error(series, Dependence(times=times))
    starts = draw.integers(0, 200 - found.block + 1, (4_000, 200 // found.block))
    sums = np.array([series[(one[:, None] + np.arange(found.block)).ravel()].mean() for one in starts])
    assert np.std(sums) * 0.85 < found.error < np.std(sums) * 1.6


def test_groups_and_time_together_are_the_pigeonhole_bootstrap() -> None:
    draw = np.random.default_rng(8)
    groups, times = draw.integers(0, 40, 2_000), draw.integers(0, 30, 2_000)
    values = draw.normal(size=40)[groups] + draw.normal(size=30)[times] + draw.normal(size=2_000)
    values -= values.mean()
    found = dependence.standard_error(values, Dependence(groups=groups, times=times))
    sums = []
    for _ in range(3_000):
        chosen = np.bincount(draw.integers(0, 40, 40), minlength=40)[groups]
        sums.append((chosen * np.bincount(draw.integers(0, 30, 30), minlength=30)[times] * values).mean())
    assert found.error == pytest.approx(np.std(sums), rel=0.35)
    assert found.error > np.std(sums) * 0.9


@pytest.mark.parametrize("groups", [20, 100])
def test_equal_models_look_different_no_oftener_than_alpha_says(groups: int) -> None:
    wrong, codes = 0, np.repeat(np.arange(groups), 20)
    for seed in range(400):
        draw = np.random.default_rng(seed)
        values = 0.5 * draw.normal(size=groups)[codes] + draw.normal(size=len(codes))
        found = dependence.standard_error(values - values.mean(), Dependence(groups=codes))
        wrong += values.mean() > found.quantile(0.95) * found.error
    assert wrong <= 34  # of 400 at 5%: more with probability 0.1%


@pytest.mark.parametrize("lasts", [0.0, 0.5, 0.8])
def test_equal_models_over_time_are_told_apart_rarely_or_said_to_be_too_few(lasts: float) -> None:
    wrong, times = 0, np.repeat(np.arange(60), 5)
    for seed in range(400):
        draw = np.random.default_rng(seed)
        values = autoregression(draw, 60, lasts)[times] + draw.normal(size=300)
        found = dependence.standard_error(values - values.mean(), Dependence(times=times))
        wrong += not found.few and values.mean() > found.quantile(0.95) * found.error
    assert wrong <= 34


def test_few_units_are_said_to_be_few() -> None:
    values = np.random.default_rng(9).normal(size=400)
    values -= values.mean()
    codes = np.arange(400)
    assert not dependence.standard_error(values, Dependence()).few
    assert dependence.standard_error(values, Dependence(groups=codes % 19)).few
    assert not dependence.standard_error(values, Dependence(groups=codes % 20)).few
    assert dependence.standard_error(values, Dependence(times=codes % 9)).few
    crossed = dependence.standard_error(values, Dependence(groups=codes % 19, times=codes))
    assert (crossed.few, crossed.unit) == (True, "groups")
    alone = dependence.standard_error(values, Dependence(groups=np.zeros(400)))
    assert np.isinf(alone.quantile(0.95))


def test_the_split_says_what_rows_depend_on() -> None:
    rows = pa.table({"who": ["a", None, "b", "a", None], "day": pa.array([3, 1, None, 2, 2], pa.int32())})
    group = dependence.dependence_of(rows, SplitSpec(strategy="group", group="who"), "")
    assert group.times is None
    assert group.groups is not None
    assert len(set(group.groups.tolist())) == 3
    assert group.groups[1] == group.groups[4]
    time = dependence.dependence_of(rows, SplitSpec(strategy="time"), "day")
    assert time.groups is None
    assert time.times is not None
    assert time.times.tolist() == [3, 1, 1, 2, 2]
    assert dependence.dependence_of(rows, SplitSpec(), "day") == Dependence()


def test_many_times_become_periods_of_whole_times_in_order() -> None:
    times = np.random.default_rng(10).integers(0, 5_000, 20_000)
    found = dependence.periods(times)
    assert found.max() + 1 <= dependence.PERIODS
    order = np.argsort(times, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert all(len(set(found[times == one])) == 1 for one in times[:50])


@pytest.mark.parametrize("dependence", [Dependence(groups=np.zeros(50)), Dependence(times=np.zeros(50))])
def test_with_one_group_or_one_time_a_choice_goes_by_rows(dependence: Dependence) -> None:
    influence = np.random.default_rng(0).normal(size=50)
    influence -= influence.mean()
    found = standard_error(influence, dependence)
    assert not (np.isfinite(found.error) and found.freedom >= 1)
    assert usable_error(influence, dependence) == standard_error(influence, Dependence()).error
