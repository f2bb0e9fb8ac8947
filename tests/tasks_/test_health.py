from __future__ import annotations

import pyarrow as pa
import pytest

from treadle.tasks import features, health
from treadle.tasks.dataset import Column, Schema

SCHEMA = Schema(
    columns=(
        Column(name="Shop", kind="text"),
        Column(name="branch", kind="integer"),
        Column(name="price", kind="number"),
        Column(name="Born", kind="date"),
    )
)
NAMES = ("Shop", "branch", "price")


def rows(shop: list[str | None], branch: list[int | None], price: list[float | None]) -> pa.Table:
    born = [None] * len(shop)
    schema = SCHEMA.arrow()
    return pa.table([shop, branch, price, born], schema=schema)


def spec() -> features.FeatureSpec:
    known = rows(["a", "b", "a", None], [1, 2, 1, 2], [1.0, 2.0, None, 4.0])
    return features.fit_features(known, SCHEMA, columns=NAMES, categories=("branch",), time=None, timezone="")


def test_shares_are_of_all_rows_of_the_stream() -> None:
    first = rows(["a", "z"], [1, 9], [None, None])
    second = rows([None, "b"], [None, 2], [1.0, 2.0])
    total, shares = health.shares(spec(), [first, second])
    assert total == 4
    told = {one.column: (one.missing, one.unseen) for one in shares}
    assert told == {"Shop": (0.25, 0.25), "branch": (0.25, 0.25), "price": (0.5, None)}


def test_a_column_that_a_batch_did_not_bring_is_missing_in_all_its_rows() -> None:
    total, shares = health.shares(spec(), [rows(["a"], [1], [1.0]).drop_columns(["Shop"])])
    assert total == 1
    assert {one.column: one.missing for one in shares} == {"Shop": 1.0, "branch": 0.0, "price": 0.0}


def test_no_rows_have_no_shares() -> None:
    total, shares = health.shares(spec(), [])
    assert total == 0
    assert all(one.missing == 0 for one in shares)


def test_changes_are_told_the_largest_first() -> None:
    reference = health.shares(spec(), [rows(["a", "b", "a", None], [1, 2, 1, 2], [1.0, 2.0, None, 4.0])])[1]
    batches = []
    for number, shop in enumerate((["a", "b"], ["z", "z"])):
        count, shares = health.shares(spec(), [rows(shop, [1, 2], [1.0, 2.0])])
        batches.append(health.BatchShares(batch_id=f"b{number}", label=f"b{number}.csv", rows=count, columns=shares))
    changes = health.changes(reference, batches)
    assert (changes[0].column, changes[0].what, changes[0].reference, changes[0].newest) == ("Shop", "unseen", 0.0, 1.0)
    assert [one.column for one in changes if one.what == "unseen"] == ["Shop", "branch"]
    assert health.course(batches, "Shop", "unseen") == [0.0, 1.0]
    assert health.changes(reference, []) == ()
    assert health.course(batches, "price", "unseen") == pytest.approx([0.0, 0.0])
