"""A shop's orders: rows of every kind, their schema, and small models of every task on them."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from treadle.tasks import booster, bundle, features, linear, metrics, postprocess, training
from treadle.tasks.booster import MatrixRows
from treadle.tasks.dataset import Column, RawTable, Schema
from treadle.tasks.dataset.typing import typed_relation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import duckdb

ZONE = "America/New_York"
MISSING = ("", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "-999")
FACTS = bundle.BundleFacts(data_version="rows@1", config_digest="c" * 64, seed=0, trained_until=date(2013, 8, 31))

INPUTS = Schema(
    columns=(
        Column(name="Order No", kind="integer"),
        Column(name="Price [EUR]", kind="number"),
        Column(name="Items", kind="integer"),
        Column(name="Gift", kind="boolean"),
        Column(name="Channel", kind="text"),
        Column(name="Size", kind="text"),
        Column(name="Zip", kind="text"),
        Column(name="Branch", kind="integer"),
        Column(name="Born", kind="date", format="%Y%m%d"),
        Column(name="Due", kind="date"),
        Column(name="Placed at", kind="timestamp"),
        Column(name="Paid", kind="timestamp", format="%d.%m.%Y %H:%M"),
        Column(name="Always 1", kind="integer"),
    )
)
LABELS = {"binary": ["no", "yes"], "multiclass": [1, 2, 3], "regression": []}
TARGET_KINDS = {"binary": "text", "multiclass": "integer", "regression": "number"}


def schema(task: str) -> Schema:
    return Schema(columns=(*INPUTS.columns, Column(name="y", kind=TARGET_KINDS[task])))


def rows(count: int, seed: int = 0) -> pa.Table:
    """Typed rows without a target; every fifth value of every column but the first is null."""
    draw = np.random.default_rng(seed)
    second = 1_000_000
    stamps = draw.integers(1_357_000_000 // 60, 1_380_000_000 // 60, count) * 60 * second
    values = {
        "Order No": np.arange(count),
        "Price [EUR]": np.round(draw.lognormal(3, 1, count), 2),
        "Items": draw.integers(0, 9, count),
        "Gift": draw.random(count) < 0.3,
        "Channel": draw.choice(["web", "shop", "Phone", "x y"], count),
        "Size": draw.choice(["1", "2", "3"], count),
        "Zip": draw.choice(["02134", "10001", "00501"], count),
        "Branch": draw.choice([3, 12, 101], count),
        "Born": draw.integers(0, 15_000, count).astype("int32"),
        "Due": draw.integers(15_700, 15_990, count).astype("int32"),
        "Placed at": stamps,
        "Paid": stamps + 3600 * second,
        "Always 1": np.ones(count, dtype=np.int64),
    }
    columns = []
    for index, field in enumerate(INPUTS.arrow()):
        gaps = (np.arange(count) + index) % 5 == 0 if 0 < index < len(values) - 1 else None
        columns.append(pa.array(values[field.name], mask=gaps).cast(field.type))
    return pa.Table.from_arrays(columns, schema=INPUTS.arrow())


def typed(con: duckdb.DuckDBPyConnection, raw: pa.Table, schema: Schema, zone: str = ZONE) -> pa.Table:
    """What the batch path makes of raw columns, by tasks/dataset/typing.py."""
    con.register("raw", raw.append_column("_ordinal", pa.array(range(len(raw)), pa.int64())))
    described = con.sql("DESCRIBE raw").fetchall()
    columns = tuple((name, kind) for name, kind, *_ in described if name != "_ordinal")
    query = typed_relation(RawTable("raw", columns, "b"), schema, MISSING, zone)
    table = con.sql(f"SELECT * FROM ({query}) ORDER BY _ordinal").to_arrow_table()
    con.unregister("raw")
    return table


def labelled(task: str, count: int = 400) -> pa.Table:
    table = rows(count)
    signal = (
        pd.Series(table["Items"].to_pandas()).fillna(4).to_numpy() + table["Price [EUR]"].to_pandas().fillna(0) / 40
    )
    noisy = signal.to_numpy() + np.random.default_rng(1).normal(0, 1, count)
    if task == "regression":
        target = pa.array(noisy * 10)
    else:
        cuts = [5] if task == "binary" else [3, 6]
        target = pa.array(LABELS[task]).take(pa.array(np.digitize(noisy, cuts)))
    return table.append_column("y", target)


def model(
    task: str,
    key: tuple[str, ...] = ("Order No",),
    count: int = 400,
    encodings: Mapping[str, tuple[str, ...]] | None = None,
    differences: Sequence[tuple[str, str]] = (),
) -> bundle.Model:
    """Fitted on three quarters of `labelled`, calibrated on the rest."""
    table, names = labelled(task, count), tuple(name for name in INPUTS.names if name != "Order No")
    classes = postprocess.classes(task, table["y"].unique().to_pylist(), None, "y")
    train, validation = table.slice(0, count * 3 // 4), table.slice(count * 3 // 4)
    declared = features.fit_features(
        train,
        schema(task),
        columns=names,
        categories=("Branch",),
        time=None,
        timezone=ZONE,
        encodings=encodings,
        differences=differences,
    )
    y = postprocess.encode_target(train["y"], task, classes)
    spec, X = features.cross_fitted(declared, train, y, task=task, classes=len(classes), seed=0)

    def part(of: pa.Table) -> MatrixRows:
        return MatrixRows(X=features.encode(spec, of), y=postprocess.encode_target(of["y"], task, classes))

    params = booster.complete_parameters(
        task, {"max_depth": 4, "eta": 0.3, "nthread": 1}, classes=len(classes), device="cpu", seed=0
    )
    fitted = booster.fit_booster(params, MatrixRows(X=X, y=y), rounds=15, names=spec.names)
    raw = booster.predict_raw(fitted, part(validation).X)
    return bundle.Model(
        booster=fitted,
        features=spec,
        post=postprocess.fit_postprocess(task, classes, part(validation).y, raw),
        schema=schema(task),
        key=key,
        target="y",
        time="",
        timezone=ZONE,
        task=task,
        missing=MISSING,
    )


def problem(task: str) -> training.Problem:
    """What `model` and `linear_model` learn."""
    return training.Problem(
        task=task,
        metric=metrics.default_metric(task),
        target="y",
        schema=schema(task),
        key=("Order No",),
        time="",
        timezone=ZONE,
        columns=tuple(name for name in INPUTS.names if name != "Order No"),
        categories=("Branch",),
        missing=MISSING,
        classes=postprocess.classes(task, labelled(task)["y"].unique().to_pylist(), None, "y"),
    )


def linear_model(task: str, count: int = 400) -> bundle.Model:
    """A linear model fitted on three quarters of `labelled`, calibrated on the rest."""
    table, of = labelled(task, count), problem(task)
    y = postprocess.encode_target(table["y"], task, of.classes)
    cut = count * 3 // 4
    fitted, spec = linear.fit_linear(of, table.slice(0, cut), y[:cut], seed=0)
    raw = booster.predict_raw(fitted, features.encode(spec, table.slice(cut)))
    post = postprocess.fit_postprocess(task, of.classes, y[cut:], raw)
    return dataclasses.replace(model(task, count=count), booster=fitted, features=spec, post=post)


def write(folder: Path, of: bundle.Model) -> str:
    table = labelled(of.task)
    return bundle.write_bundle(folder, of, golden=table, reference=table, facts=FACTS)
