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


def test_unseen_levels_are_counted_by_column_while_rows_go_by() -> None:
    count = health.UnseenCount(spec())
    assert count.columns() == {"Shop": 0, "branch": 0}
    count.add(rows(["a", "z"], [1, 9], [None, None]))
    count.add(rows([None, "y"], [None, 2], [1.0, 2.0]))
    assert (count.rows, count.columns()) == (4, {"Shop": 2, "branch": 1})


@pytest.mark.parametrize(
    ("unseen", "reference", "warns"),
    [(0, 0.0, False), (4, 0.0, False), (5, 0.0, True), (5, None, True), (15, 0.1, False), (20, 0.1, True)],
)
def test_many_unseen_levels_are_a_twentieth_of_the_rows_and_twice_those_of_training(
    unseen: int, reference: float | None, warns: bool
) -> None:
    warning = health.UnseenLevels(column="Shop", rows=100, unseen=unseen, reference=reference).warning()
    assert bool(warning) == warns
    assert not warns or f"column 'Shop': {unseen} of 100 rows" in warning


def test_the_unseen_levels_of_a_batch_stand_beside_those_of_the_training_rows() -> None:
    reference = health.shares(spec(), [rows(["a", "b", "a", None], [1, 2, 1, 2], [1.0, 2.0, None, 4.0])])[1]
    total, shares = health.shares(spec(), [rows(["z", "b", None], [1, 2, 7], [1.0, 2.0, 3.0])])
    batch = health.BatchShares(batch_id="b", label="b.csv", rows=total, columns=shares)
    found = [(one.column, one.rows, one.unseen, one.reference) for one in health.unseen_in_batch(batch, reference)]
    assert found == [("Shop", 3, 1, 0.0), ("branch", 3, 1, 0.0)]
    empty = batch.model_copy(update={"rows": 0})
    assert not any(one.warning() for one in health.unseen_in_batch(empty, reference))
