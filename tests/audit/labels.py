"""Outcomes that become known at different speeds: positives after 30 days, negatives after 90, in stable worlds.

What is measured: the base rate of the holdout beside the true one, and how often `on_performance` calls for another
model although nothing changed; with `mature_after` and without. Also how often it does where the world did change.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from treadle.flows.context.workplace import Workplace
from treadle.flows.monitor import due
from treadle.infra.tables import Tables
from treadle.infra.tables.labelled import DataVersion, Maturity, training_rows
from treadle.infra.tables.outcomes import open_outcomes
from treadle.tasks import metrics, retrain
from treadle.tasks.config.spec import DataSpec, LabelsSpec, PipelineConfig
from treadle.tasks.dataset import SplitSpec, split
from treadle.tasks.errors import DataError
from treadle.tasks.horizon import span
from treadle.tasks.performance import MetricBounds
from treadle.tasks.postprocess import Post

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.infra.databases.ledger import VersionRecord
    from treadle.tasks.bundle import Model

START = datetime(2023, 1, 2, tzinfo=UTC)
MICROS = pa.timestamp("us", tz="UTC")
QUICK, SLOW, RATE = 30, 90, 0.2
METRIC, KEY = "log_loss", ("id",)
PER_DAY, TRAINED = 30, 160
SHOWN = (260, 320, 400)
"""The days on which it is asked whether to train: only positives known yet; few negatives; both for long."""


@dataclass(frozen=True)
class SlowWorld:
    """Rows that come each day, the champion's probabilities of them, and their outcomes, known late."""

    day: np.ndarray
    p: np.ndarray
    y: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """The day on which each outcome is known."""
        return self.day + np.where(self.y, QUICK, SLOW)


def slow_world(seed: int, days: int, *, decay: float = 0.0) -> SlowWorld:
    """A world of `days` days; with `decay` the outcomes of that share of the rows from day 200 on are another's."""
    draw = np.random.default_rng(seed)
    day = np.sort(draw.uniform(0, days, PER_DAY * days))
    p = 1 / (1 + np.exp(-draw.normal(-1.75, 1.2, len(day))))
    p *= RATE / p.mean()
    y = draw.random(len(day)) < np.clip(p, 0, 1)
    changed = (day > 200) & (draw.random(len(day)) < decay)
    y[changed] = draw.random(int(changed.sum())) < 0.5
    return SlowWorld(day, np.clip(p, 0.001, 0.999), y)


def stored(world: SlowWorld, now: int, folder: Path) -> Tables:
    """What the tables hold on day `now`: rows that arrived as they happened, predictions, labels that were known."""
    tables = Tables(str(folder / "slow"), folder / "scratch")
    there, known = world.day < now, world.known < now
    ids, batch = np.arange(len(world.day)), "b"
    tables.overwrite_batch("rows", batch, _table(ids, world, there, batch, when=world.day, arrived=world.day))
    scored = there & (world.day >= TRAINED)
    extra = {"probability": world.p, "prediction": np.where(world.p > RATE, "yes", "no")}
    made = _table(ids, world, scored, batch, scored=world.day, **extra)
    where = {"_batch_id": batch, "purpose": "champion", "model_digest": "d"}
    tables.overwrite("predictions", where, made)
    y = np.where(world.y, "yes", "no")
    tables.overwrite_batch(
        "labels", "l", _table(ids, world, known, "l", observed=world.known, arrived=world.known, y=y)
    )
    return tables


def _table(
    ids: np.ndarray, world: SlowWorld, chosen: np.ndarray, batch: str, **columns: np.ndarray
) -> pa.RecordBatchReader:
    names = {"when": "when", "arrived": "_ingested_at", "scored": "_scored_at", "observed": "observed_at"}
    made = {"id": pa.array(ids[chosen]), "_batch_id": [batch] * chosen.sum(), "_ordinal": np.flatnonzero(chosen)}
    if "when" in columns:
        made |= {"x": world.p[chosen], "_row_hash": [str(one) for one in ids[chosen]]}
    if "scored" in columns:
        made |= {name: [value] * chosen.sum() for name, value in (("purpose", "champion"), ("model_digest", "d"))}
        made["model_version"] = np.ones(chosen.sum(), dtype=int)
    for name, values in columns.items():
        if name in names:
            since = int(START.timestamp() * 1e6)
            made[names[name]] = pa.array(since + (values[chosen] * 86_400e6).astype(np.int64)).cast(MICROS)
        else:
            made[name] = values[chosen]
    return pa.table(made).to_reader()


def base_rate(tables: Tables, mature_after: str) -> float:
    """The share of positives in the holdout of a time split; NaN where it has one kind of label only."""
    maturity = Maturity(span(mature_after), "when")
    rows = training_rows(tables, DataVersion("y", KEY, maturity=maturity))
    try:
        parts = split(rows, SplitSpec(strategy="time"), key=KEY, time="when", target="y")
    except DataError:
        return float("nan")
    return float(np.mean([label == "yes" for label in parts.holdout["y"].to_pylist()]))


def alarm(
    world: SlowWorld, tables: Tables, mature_after: str, *, always_judges: bool = False
) -> tuple[bool, bool, str]:
    """Whether `on_performance` calls for another model; whether it judged at all; and which age was proposed.

    With `always_judges` it does as if all labels were complete.
    """
    data = DataSpec(source="x", target="y", task="binary", key=KEY, time="when")
    config = PipelineConfig(name="slow", data=data, labels=LabelsSpec(source="l", mature_after=mature_after))
    place = Workplace(settings=None, config=config, stores=None)  # type: ignore[arg-type]
    held_out = (world.day >= TRAINED - 100) & (world.day < TRAINED)
    y, p = world.y[held_out].astype(float), world.p[held_out]
    lower, upper = metrics.interval("binary", METRIC, y, p)
    expected = MetricBounds(value=metrics.scores("binary", y, p)[METRIC], lower=lower, upper=upper)
    model: Model = SimpleNamespace(task="binary", post=Post(task="binary", classes=("no", "yes")))  # type: ignore[assignment]
    result = json.dumps({"value_lower": lower, "value_upper": upper, "judged_rows": len(y)})
    record: VersionRecord = SimpleNamespace(version=1, metric=METRIC, value=expected.value, result=result)  # type: ignore[assignment]
    with open_outcomes(tables, "y", KEY, time="when", mature_after=span(mature_after)) as outcomes:
        settled = None if always_judges else due.settled_delay(place, outcomes)
        realised = due.recent(place, outcomes, 1, model, METRIC, settled)
        rise = due.loss_rise(place, outcomes, record, START, model, settled)
    judges = always_judges or due.is_settled(place, settled, realised)
    spec = retrain.RetrainSpec(on_new_share=None)
    state = retrain.RetrainState(spec, METRIC, 1, 0.0, 1, 0, 1, expected, realised, judges, rise=rise)
    known = rise is not None
    return retrain.due(state) is not None, judges and known, f"{settled.days}d" if settled else ""


def rows(scale: int, seed: int) -> Iterator[tuple[str, str, float, float]]:
    """The experiment in `20 * scale` worlds, each with its own seed: (experiment, figure, measured, stated limit)."""
    worlds = 20 * scale
    for mature_after in ("90d", ""):
        key = f"mature_after = {mature_after!r}"
        rates, alarms, judged, proposed = [], 0, 0, 0
        for at in range(worlds):
            world = slow_world(seed + at, max(SHOWN))
            for now in SHOWN:
                with tempfile.TemporaryDirectory() as folder:
                    tables = stored(world, now, Path(folder))
                    rang, able, found = alarm(world, tables, mature_after)
                    alarms, judged = alarms + rang, judged + able
                    proposed += now == max(SHOWN) and found == f"{SLOW}d"
                    if now == max(SHOWN):
                        rates.append(base_rate(tables, mature_after))
        off = abs(float(np.mean(rates)) - RATE)
        yield "slow negatives, " + key, "holdout's base rate is off by", off, 0.02 if mature_after else 1.0
        yield "slow negatives, " + key, "false alarms, of all questions", alarms / (worlds * len(SHOWN)), 0.05
        yield "slow negatives, " + key, "questions that were judged", judged / (worlds * len(SHOWN)), 1.0
        if not mature_after:
            yield "slow negatives, " + key, "worlds without a proposal of 90d", 1 - proposed / worlds, 0.05
    rang = 0
    for at in range(worlds):
        world = slow_world(seed + at, 320)
        with tempfile.TemporaryDirectory() as folder:
            rang += alarm(world, stored(world, 320, Path(folder)), "", always_judges=True)[0]
    yield "slow negatives, all labels judge", "false alarms, of all worlds", rang / worlds, 1.0
    for mature_after in ("90d", ""):
        missed = 0
        for at in range(worlds):
            world = slow_world(seed + at, max(SHOWN), decay=0.5)
            with tempfile.TemporaryDirectory() as folder:
                missed += not alarm(world, stored(world, max(SHOWN), Path(folder)), mature_after)[0]
        yield f"decayed, mature_after = {mature_after!r}", "changes without an alarm", missed / worlds, 0.2
