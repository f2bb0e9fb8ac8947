from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from treadle.infra.tables import Tables
from treadle.infra.tables.labelled import DataVersion, count_labelled
from treadle.infra.tables.outcomes import Group, open_outcomes
from treadle.tasks import performance

if TYPE_CHECKING:
    from collections.abc import Sequence

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
ZONE = "America/New_York"
KEY = ("Order No", "shop")
UTC_MICROS = pa.timestamp("us", tz="UTC")


class World(NamedTuple):
    """What was ever said, as people keep it in frames."""

    rows: pd.DataFrame
    predictions: pd.DataFrame
    labels: pd.DataFrame


def world(seed: int, *, orders: int = 60, said: int = 150) -> World:
    """Orders in three batches, some labelled in the row, some sent twice; two models; labels in four files.

    Labels come late, in any order, are revised and repeated, and some are for orders that never came.
    """
    draw = np.random.default_rng(seed)
    rows = pd.DataFrame({"Order No": draw.permutation(orders), "shop": draw.choice(["a", "b"], orders)})
    rows["placed"] = [NOON + timedelta(hours=int(hours)) for hours in draw.integers(0, 24 * 20, orders)]
    rows["paid"] = np.where(draw.random(orders) < 0.2, draw.choice(["yes", "no"], orders), None)
    rows["_batch_id"] = draw.choice(["b1", "b2", "b3"], orders)
    again = rows.sample(12, random_state=seed).assign(_batch_id="b4", paid=draw.choice(["yes", "no", None], 12))
    rows = pd.concat([rows, again], ignore_index=True)
    rows["_ordinal"] = rows.groupby("_batch_id").cumcount()
    rows["_ingested_at"] = rows["_batch_id"].map({f"b{n}": NOON + timedelta(days=20 + n) for n in range(1, 5)})
    rows["_row_hash"] = "h"
    scored = [
        rows[rows["paid"].isna() & rows["_batch_id"].isin(batches)].assign(model_version=version)
        for version, batches in ((1, ["b1", "b2", "b4"]), (2, ["b2", "b3"]))
    ]
    predictions = pd.concat(scored, ignore_index=True)
    predictions["probability"] = draw.random(len(predictions)).round(2)
    days = draw.integers(30, 40, len(predictions))
    predictions["_scored_at"] = [NOON + timedelta(days=int(day), seconds=at) for at, day in enumerate(days)]
    predictions["lower"], predictions["upper"] = predictions["probability"] - 1, predictions["probability"] + 1
    predictions["prediction"] = np.where(predictions["probability"] >= 0.5, "yes", "no")
    about = rows.sample(said, replace=True, random_state=seed)[[*KEY]]
    about.loc[about.index[:5], "Order No"] = orders + 1000
    labels = about.assign(paid=draw.choice(["yes", "no"], said), _batch_id=draw.choice(["l1", "l2", "l3", "l4"], said))
    days = draw.integers(0, 6, said)
    labels["observed_at"] = [NOON + timedelta(days=22 + int(day)) if day else pd.NaT for day in days]
    labels["_ingested_at"] = labels["_batch_id"].map({f"l{n}": NOON + timedelta(days=21 + n) for n in range(1, 5)})
    labels["_ordinal"] = labels.groupby("_batch_id").cumcount()
    return World(rows, predictions, labels)


def store(folder: Path, made: World, seed: int) -> Tables:
    """Everything in its table, label files in a shuffled order and one of them twice."""
    tables = Tables(str(folder / "orders"), folder / "scratch")
    kept = [*KEY, "prediction", "lower", "upper", "probability", "model_version", "_batch_id", "_ordinal", "_scored_at"]
    for batch, part in made.rows.groupby("_batch_id"):
        tables.overwrite_batch("rows", str(batch), reader(part))
    for (version, batch), part in made.predictions.groupby(["model_version", "_batch_id"]):
        where = {"_batch_id": str(batch), "purpose": "champion", "model_digest": f"d{version}"}
        tables.overwrite(
            "predictions", where, reader(part[kept].assign(purpose="champion", model_digest=f"d{version}"))
        )
        shadow = {**where, "purpose": "shadow"}
        tables.overwrite("predictions", shadow, reader(part[kept].assign(purpose="shadow", model_digest=f"d{version}")))
    files = [str(batch) for batch in np.random.default_rng(seed).permutation(made.labels["_batch_id"].unique())]
    for batch in [*files, files[0]]:
        tables.overwrite_batch("labels", batch, reader(made.labels[made.labels["_batch_id"] == batch]))
    return tables


def reader(frame: pd.DataFrame) -> pa.RecordBatchReader:
    times = {"placed", "observed_at", "_ingested_at", "_scored_at"}
    arrays = {name: moments(frame[name]) if name in times else pa.array(frame[name]) for name in frame.columns}
    texts = {name: array.cast(pa.string()) if name == "paid" else array for name, array in arrays.items()}
    return pa.table(texts).to_reader()


def moments(column: pd.Series) -> pa.Array:
    naive = pd.to_datetime(column, utc=True).dt.tz_convert(None).to_numpy()
    return pa.array(naive, pa.timestamp("us"), from_pandas=True).cast(UTC_MICROS)


def truth(made: World) -> pd.DataFrame:
    """The newest label of every key by a plain sort: by when it was observed, then when it arrived, then its place."""
    own = made.rows.dropna(subset=["paid"]).assign(observed_at=pd.NaT)
    said = pd.concat([own, made.labels])[[*KEY, "paid", "observed_at", "_ingested_at", "_batch_id", "_ordinal"]]
    said["since"] = pd.to_datetime(said["observed_at"], utc=True).fillna(pd.to_datetime(said["_ingested_at"], utc=True))
    said = said.sort_values(["since", "_ingested_at", "_batch_id", "_ordinal"])
    return said.groupby(list(KEY), as_index=False).last()[[*KEY, "paid"]]


def recomputed(made: World) -> pd.DataFrame:
    """Every prediction with its label, the Monday of its week in New York, and whether its row counts by it."""
    kept = made.predictions.drop(columns="paid").merge(truth(made), on=list(KEY), how="left")
    local = pd.to_datetime(kept["placed"], utc=True).dt.tz_convert(ZONE).dt.tz_localize(None).dt.normalize()
    kept["monday"] = (local - pd.to_timedelta(local.dt.day_of_week, unit="D")).dt.date
    first = kept.sort_values("_scored_at").drop_duplicates(["model_version", *KEY]).index
    return kept.assign(counts=kept.index.isin(first))


def check(group: Group, part: pd.DataFrame, told: performance.Realised) -> None:
    if group.batch_id is None:
        assert group.repeated == (~part["counts"]).sum()
        part = part[part["counts"]]
    known = part.dropna(subset=["paid"])
    assert (group.rows, group.labelled) == (len(part), len(known)) == (told.rows, told.labelled)
    assert told.coverage == pytest.approx(len(known) / len(part))
    if not len(known):
        assert told.metric.value is None
        return
    y, p = known["paid"] == "yes", known["probability"].clip(1e-7, 1 - 1e-7)
    assert told.actual == pytest.approx(y.mean())
    assert told.scores["brier"] == pytest.approx(brier_score_loss(y, known["probability"], pos_label=True))
    assert told.scores["accuracy"] == pytest.approx(accuracy_score(y, known["probability"] >= 0.5))
    assert told.scores["log_loss"] == pytest.approx(log_loss(y, p, labels=[False, True]), rel=1e-5)
    if y.nunique() == 2:
        assert told.metric.value == pytest.approx(roc_auc_score(y, known["probability"]))
    else:
        assert told.metric.value is None


@given(st.integers(0, 2**31))
@settings(max_examples=8)
def test_realised_performance_equals_a_plain_recomputation(seed: int) -> None:
    made = world(seed)
    expected = recomputed(made)
    with tempfile.TemporaryDirectory() as folder:
        tables = store(Path(folder), made, seed)
        with open_outcomes(tables, "paid", KEY, time="placed", timezone=ZONE, window_days=7) as found:
            for by, column in (("_version", None), ("_batch", "_batch_id"), ("_window", "monday")):
                groups = found.groups(by)
                keys = ["model_version", *([column] if column else [])]
                counted = expected if by == "_batch" else expected[expected["counts"]]
                assert len(groups) == counted.groupby(keys).ngroups
                for group in groups:
                    part = expected[expected["model_version"] == group.version]
                    if column:
                        part = part[part[column] == (group.batch_id if by == "_batch" else group.window)]
                    check(group, part, realised(found.read(group, ["prediction", "probability"]), group.rows))
            mine = expected[(expected["model_version"] == 1) & expected["counts"]]
            recent, days = found.recent(1, 5), 5
            newest = mine.dropna(subset=["paid"])["placed"].max()
            near = mine[(mine["placed"] <= newest) & (mine["placed"] > newest - timedelta(days=days))]
            assert (recent.rows, recent.labelled) == (len(near), near["paid"].notna().sum())
            assert found.read(recent, ["prediction", "probability"], recent_days=days).num_rows == recent.labelled


def test_the_ends_of_delivered_intervals_are_read_beside_their_prediction(tmp_path: Path) -> None:
    tables = store(tmp_path, world(3), 3)
    with open_outcomes(tables, "paid", KEY, time="placed", timezone=ZONE, window_days=7) as found:
        read = found.read(found.groups("_version")[0], ["probability", "lower", "upper"]).to_pandas()
    assert len(read)
    assert read["upper"].tolist() == pytest.approx((read["probability"] + 1).tolist())
    assert read["lower"].tolist() == pytest.approx((read["probability"] - 1).tolist())


def realised(table: pa.Table, rows: int) -> performance.Realised:
    return performance.realised("binary", "roc_auc", ("no", "yes"), table["_label"], table, rows=rows)


def sent_again(folder: Path, *, key: tuple[str, ...] = KEY, changed: bool = False, corrects: bool = False) -> Tables:
    """500 rows in one file and again in a second, scored in both by version 1; the second probability is 1 less it."""
    tables, draw = Tables(str(folder / "orders"), folder / "scratch"), np.random.default_rng(0)
    rows = pd.DataFrame({"Order No": np.arange(500), "shop": "a", "placed": NOON, "_ordinal": np.arange(500)})
    rows["_row_hash"] = [f"h{number // 2}" for number in rows["Order No"]]
    y, p = draw.random(500) < 0.4, draw.random(500)
    for nth, batch in enumerate(("b1", "b2")):
        moment = NOON + timedelta(days=nth)
        came = rows.assign(_batch_id=batch, _ingested_at=moment)
        if nth and changed:
            came["_row_hash"] += "changed"
        tables.overwrite_batch("rows", batch, reader(came))
        made = came[["Order No", "shop", "_batch_id", "_ordinal"]].assign(model_version=1, _scored_at=moment)
        made["probability"] = 1 - p if nth else p
        made["prediction"] = np.where(made["probability"] >= 0.5, "yes", "no")
        tables.overwrite(
            "predictions",
            {"_batch_id": batch, "purpose": "champion", "model_digest": "d1"},
            reader(made.assign(purpose="champion", model_digest="d1")),
        )
        if nth and corrects:
            tables.mark_correcting(batch)
    labels = rows[[*KEY, "_ordinal"]].assign(paid=np.where(y, "yes", "no"), observed_at=pd.NaT, _batch_id="l1")
    tables.overwrite_batch("labels", "l1", reader(labels.assign(_ingested_at=NOON + timedelta(days=9))))
    return tables


@pytest.mark.parametrize("changed", [False, True])
def test_a_row_that_is_scored_in_two_files_counts_once_by_its_first_prediction(tmp_path: Path, changed: bool) -> None:
    tables = sent_again(tmp_path, changed=changed)
    with open_outcomes(tables, "paid", KEY, time="placed") as found:
        (total,), (window,), (first, second) = map(found.groups, ("_version", "_window", "_batch"))
        got = {
            one: realised(found.read(one, ["prediction", "probability"]), one.rows)
            for one in (total, window, first, second)
        }
        assert len(found.delays()[0]) == found.recent(1, 7).rows == 500
    assert (total.rows, total.labelled, total.repeated) == (window.rows, window.labelled, window.repeated)
    assert (total.rows, total.labelled, total.repeated) == (500, 500, 500)
    assert [(one.rows, one.labelled, one.repeated) for one in (first, second)] == [(500, 500, 0), (500, 500, 500)]
    assert got[total].metric == got[window].metric == got[first].metric
    assert got[second].metric.value == pytest.approx(1 - (got[first].metric.value or 0))


def test_rows_count_since_a_promotion_by_when_they_were_predicted_first(tmp_path: Path) -> None:
    with open_outcomes(sent_again(tmp_path), "paid", KEY, time="placed", group="shop") as found:
        for since, rows in ((NOON, 500), (NOON + timedelta(hours=1), 0)):
            table = found.read_since(1, since, ["probability", "_moment", "_window", "_group"])
            assert len(table) == rows
        assert found.read_since(2, NOON, ["probability"]).num_rows == 0
        assert len(found.read_since(1, NOON, ["_group"], settled_days=30)) == 0
        assert set(found.read_since(1, NOON, ["_group"])["_group"].to_pylist()) == {"a"}


def test_a_declared_correction_takes_the_place_of_the_first_prediction(tmp_path: Path) -> None:
    with open_outcomes(sent_again(tmp_path, changed=True, corrects=True), "paid", KEY, time="placed") as found:
        (total,), (first, second) = found.groups("_version"), found.groups("_batch")
        assert (first.repeated, second.repeated) == (500, 0)
        counted, corrected = (found.read(one, ["probability"])["probability"].to_pylist() for one in (total, second))
    assert sorted(counted) == sorted(corrected)


@pytest.mark.parametrize(("changed", "rows"), [(False, 500), (True, 1000)])
def test_without_a_key_rows_are_the_same_by_content_and_equal_rows_of_a_file_are_not(
    tmp_path: Path, changed: bool, rows: int
) -> None:
    with open_outcomes(sent_again(tmp_path, changed=changed), "paid", ()) as found:
        (total,) = found.groups("_version")
    assert (total.rows, total.repeated) == (rows, 1000 - rows)


def test_labelled_rows_are_counted_at_any_data_version(tmp_path: Path) -> None:
    made = world(3)
    tables = store(tmp_path, made, 3)
    rows_then, labels_then = tables.version("rows"), tables.version("labels")
    count = len(made.rows[list(KEY)].drop_duplicates().merge(truth(made), on=list(KEY)))
    assert count_labelled(tables, DataVersion("paid", KEY, rows_then, labels_then)) == count
    own = made.rows.dropna(subset=["paid"])[list(KEY)].drop_duplicates()
    assert count_labelled(tables, DataVersion("paid", KEY, rows_then, -1)) == len(own)
    assert count_labelled(tables, DataVersion("paid", KEY, -1, -1)) == 0
    more = made.rows[:1].assign(**{"Order No": 5000, "_batch_id": "b9", "paid": "yes"})
    tables.overwrite_batch("rows", "b9", reader(more))
    assert count_labelled(tables, DataVersion("paid", KEY, rows_then, labels_then)) == count
    assert count_labelled(tables, DataVersion("paid", KEY, tables.version("rows"), labels_then)) == count + 1
    assert count_labelled(tables, DataVersion("paid", (), rows_then, -1)) == made.rows["paid"].notna().sum()


@pytest.mark.parametrize("key", [(), KEY])
def test_without_any_table_there_are_no_outcomes(tmp_path: Path, key: Sequence[str]) -> None:
    tables = Tables(str(tmp_path / "orders"), tmp_path / "scratch")
    with open_outcomes(tables, "paid", key) as found:
        assert found.groups("_version") == []
        assert (found.recent(1, 7).rows, found.recent(1, 7).labelled) == (0, 0)


def test_without_a_time_column_a_prediction_belongs_to_the_day_on_which_its_row_arrived(tmp_path: Path) -> None:
    made = world(5)
    tables = store(tmp_path, made, 5)
    with open_outcomes(tables, "paid", KEY, window_days=1) as found:
        arrived = {(group.version, str(group.window)) for group in found.groups("_window")}
    expected = {
        (version, str((NOON + timedelta(days=20 + int(batch[1:]))).date()))
        for version, batch in made.predictions[["model_version", "_batch_id"]].drop_duplicates().itertuples(index=False)
    }
    assert arrived == expected


def test_without_a_key_a_label_can_only_stand_in_its_row(tmp_path: Path) -> None:
    made = world(7)
    tables = store(tmp_path, made, 7)
    with open_outcomes(tables, "paid", (), time="placed") as found:
        groups = found.groups("_version")
        assert [group.labelled for group in groups] == [0, 0]
        table = found.read(groups[0], ["prediction", "probability"])
        assert realised(table, groups[0].rows).metric.value is None
