"""Flights of a month that no model has seen: how far the mean probability of a late flight is off, and the log loss.

A version is made of the months before, by the path of a training run with its default portfolio of one setting: columns
that only tell time apart are dropped, rolling origins calibrate, the serving model answers for the next month. The
constant is the share of late flights in all months before. The method was chosen on January to August.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from tests.audit.refit import PARAMS, schema_of
from treadle.flows.demo.stage import joined
from treadle.tasks import booster, features, fitting, postprocess, preparation, refit, training
from treadle.tasks.base_rate import joined_windows, widest
from treadle.tasks.config.spec import DataSpec, PipelineConfig
from treadle.tasks.dataset import SplitSpec, split
from treadle.tasks.dataset.split import moments
from treadle.tasks.metrics import metric_value
from treadle.tasks.recipe import make_recipe
from treadle.tasks.rolling import holdout_rates, window_length
from treadle.tasks.search import Found, TuneSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.tasks.dataset import Parts
    from treadle.tasks.training import Problem

MONTHS = (6, 7, 8, 9)
"""Each is predicted from all months before it."""

SAMPLE = 6
"""Every so many flights."""

ROUNDS = 150
BUDGET = 600.0

NEAR, WIDE = 0.075, 0.15
"""The mean probability of September is to lie this near to what happened, or the interval is to be no wider than this,
each way, and hold the error."""


class Month(NamedTuple):
    """What a version of the months before says of a month, and what happened."""

    predicted: float
    observed: float
    log_loss: float
    constant_loss: float
    raw_loss: float
    lower: float
    upper: float

    @property
    def error(self) -> float:
        return self.predicted - self.observed

    @property
    def missed(self) -> float:
        """By how much the error is beyond `NEAR` or beyond the interval's end, the smaller; 0 where it is not.

        The first counts where the log loss is below the constant's, the second where the interval is not too wide.
        """
        beyond = max(0.0, abs(self.error) - NEAR) if self.log_loss < self.constant_loss else 1.0
        outside = max(0.0, self.lower - self.error, self.error - self.upper)
        return min(beyond, outside if max(-self.lower, self.upper) <= WIDE else 1.0)


def rows(scale: int, seed: int) -> Iterator[tuple[str, str, float, float]]:
    """Experiment, figure, measured, limit; `scale` makes the sample as many times larger."""
    for month in MONTHS:
        found, name = measured(month, max(1, SAMPLE // scale), seed), f"flights of month {month}, from those before"
        last = month == MONTHS[-1]
        yield name, "mean probability less observed rate", found.error, 1.0
        yield name, "log loss", found.log_loss, 2.0
        yield name, "log loss / that of the constant", found.log_loss / found.constant_loss, 1.0
        yield name, "log loss before calibration", found.raw_loss, 2.0
        yield name, "interval of a month's error, lower end", found.lower, 0.0
        yield name, "interval of a month's error, upper end", found.upper, WIDE if last else 1.0
        if last:
            yield name, "how much it misses being near, or in a narrow interval", found.missed, 0.0


def flights(last: int, sample: int, seed: int) -> pa.Table:
    """Every `sample`-th flight with a label of the months up to `last`, in the order of the schedule."""
    with joined() as con:
        return con.sql(
            f"SELECT * FROM joined WHERE arrived_late IS NOT NULL AND month <= {last} "
            f"AND (flight * 7 + day * 3 + hour) % {sample} = {seed % sample} ORDER BY time_hour"
        ).to_arrow_table()


def measured(month: int, sample: int, seed: int) -> Month:
    """The version of the months before `month`, on that month."""
    table = flights(month, sample, seed)
    of = table["month"].to_numpy()
    known, later = table.filter(pa.array(of < month)), table.filter(pa.array(of == month))
    key = ("year", "month", "day", "carrier", "flight", "origin")
    data = DataSpec(
        source="x",
        target="arrived_late",
        task="binary",
        positive=True,
        key=key,
        time="time_hour",
        timezone="America/New_York",
    )
    spec = SplitSpec(strategy="time")
    config = PipelineConfig(name="audit", data=data, split=spec, tune=TuneSpec(seed=seed, budget_seconds=BUDGET))
    problem = training.define(config, schema_of(known), training.labels(known, "arrived_late"))
    parts = split(known, spec, key=key, time="time_hour", target="arrived_late")
    prepared = preparation.prepare(config, problem, parts.open())
    problem, own = prepared.narrowed(problem), len(parts.train) + len(parts.validation)
    recipe = make_recipe(
        config,
        problem,
        Found({**PARAMS, "nthread": os.cpu_count() or 1}, ROUNDS, 0.0, (), 0, 0.0),
        prepared,
        judged_rows=own,
        rows=len(known),
        device="cpu",
    )
    fitted = fitting.fit_judged(problem, recipe, parts.open(), spec)
    lower, upper = interval(problem, fitted, parts)
    served = refit.refit(problem, recipe, fitted.model, parts, spec).model
    raw = booster.predict_raw(served.booster, features.encode(served.features, later))
    p = postprocess.apply_postprocess(served.post, raw).p
    y = training.labels_as_numbers(problem, later)
    rate = float(np.mean(training.labels_as_numbers(problem, known)))
    losses = [metric_value("binary", "log_loss", y, of) for of in (p, np.full(len(y), rate), raw.astype(np.float64))]
    return Month(float(p.mean()), float(y.mean()), *losses, lower, upper)


def interval(problem: Problem, fitted: fitting.FittedModel, parts: Parts) -> tuple[float, float]:
    """The interval that the training's report states."""
    holdout = parts.holdout
    raw = booster.predict_raw(fitted.model.booster, features.encode(fitted.model.features, holdout))
    p, y = postprocess.apply_postprocess(fitted.model.post, raw).p, training.labels_as_numbers(problem, holdout)
    length = window_length(training.together(parts.train, parts.validation), problem)
    held = holdout_rates(problem, length, moments(holdout, problem.time)[0], y, p, None)
    found = widest(joined_windows(fitted.base_rates, held))
    return found.interval if found and found.interval else (float("nan"), float("nan"))
