"""A pipeline of a corner shop's orders, two key columns and late labels, fed file by file without a server."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import duckdb

from treadle.flows.ingest.discovery import find_batches
from treadle.flows.ingest.labels import LabelBatch, take_labels
from treadle.flows.ingest.rows import BatchResult, take_in
from treadle.infra import settings as settings_
from treadle.infra import stores

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.stores import Stores

CONFIG = """
name = "shop"
[data]
source = "in/*"
target = "Came Back"
task = "binary"
key = ["Shop", "Order No"]
timezone = "Europe/Berlin"
[labels]
source = "in/labels/*"
observed_at = "{observed_at}"
"""
COLUMNS = {"Shop": "VARCHAR", "Order No": "BIGINT", "amount": "DOUBLE", "Came Back": "VARCHAR"}
CLASSES = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "Came Back", "value_set": ["no", "yes"]}}


@dataclass
class Shop:
    """The pipeline, by its home."""

    home: Path
    numbers: count[int] = field(default_factory=count)

    @property
    def stores(self) -> Stores:
        return stores.open(settings_.at(self.home), "shop")

    def put(self, content: str | bytes, folder: str = "in/labels", ending: str = ".csv") -> Path:
        """Let a file arrive; the next one's name is greater."""
        path = self.home / folder / f"{next(self.numbers):04d}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def ingest(self) -> list[LabelBatch]:
        """Take in what waits; what became of late labels."""
        return [batch for batch in self.take_in() if isinstance(batch, LabelBatch)]

    def take_in(self) -> list[BatchResult | LabelBatch]:
        """Take in what waits, rows before labels."""
        place = (str(self.home), "shop")
        return [
            (take_in if ref.kind == "rows" else take_labels).fn(*place, ref) for ref in find_batches.fn(*place, []).new
        ]

    def read(self, table: str, columns: str = "*") -> list[tuple[object, ...]]:
        """The rows of a table, in order; times in UTC."""
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            return con.sql(f"SELECT {columns} FROM {self.stores.tables.relation(table)} ORDER BY ALL").fetchall()

    def truth(self) -> dict[tuple[str, int], str]:
        with duckdb.connect() as con:
            found = con.sql(f"FROM {self.stores.tables.truth('Came Back', ['Shop', 'Order No'])}").fetchall()
        assert len(found) == len({(shop, order) for shop, order, _ in found})
        return {(shop, order): label for shop, order, label in found}

    def training(self) -> dict[tuple[str, int], tuple[float, str]]:
        tables = self.stores.tables
        rows = tables.training(tables.version("rows"), "Came Back", ["Shop", "Order No"]).to_pylist()
        assert len(rows) == len({(row["Shop"], row["Order No"]) for row in rows})
        return {(row["Shop"], row["Order No"]): (row["amount"], row["Came Back"]) for row in rows}

    def quarantine(self) -> list[tuple[int, list[str], list[str], str]]:
        relation = self.stores.tables.relation("quarantine")
        with duckdb.connect() as con:
            query = f"SELECT _ordinal, columns, values, reason FROM {relation} ORDER BY file, _ordinal"
            return con.sql(query).fetchall()


def shop(home: Path, observed_at: str = "seen", *expectations: dict[str, object], **columns: str) -> Shop:
    """The pipeline, its suite with more `expectations` and `columns` (name to DuckDB type) than the usual ones."""
    (home / "pipelines").mkdir(parents=True, exist_ok=True)
    (home / "expectations").mkdir(exist_ok=True)
    (home / "pipelines" / "shop.toml").write_text(CONFIG.format(observed_at=observed_at))
    typed = [
        {"type": "expect_column_values_to_be_of_type", "kwargs": {"column": name, "type_": kind}}
        for name, kind in {**COLUMNS, **columns}.items()
    ]
    suite = {"name": "shop", "expectations": [*typed, CLASSES, *expectations]}
    (home / "expectations" / "shop.json").write_text(json.dumps(suite))
    return Shop(home)
