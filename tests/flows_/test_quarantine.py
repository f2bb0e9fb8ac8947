from __future__ import annotations

import io
import json
import shutil
from typing import TYPE_CHECKING

import duckdb
import pytest

from tests.projects import inbox, project, tumours
from treadle.flows.cli.quarantine import show_quarantine_show
from treadle.flows.cli.runtime.screen import Screen
from treadle.flows.ingest.discovery import find_batches
from treadle.flows.ingest.labels import take_labels
from treadle.flows.ingest.rows import take_in
from treadle.flows.project import quarantine
from treadle.infra import failpoint, stores
from treadle.infra import settings as settings_
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import UsageError

COLUMNS = ["Tumour ID", "mean radius", "mean texture", "mean area", "Malignant"]

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from treadle.flows.ingest import BatchResult, LabelBatch
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

    Project = tuple[Settings, PipelineConfig]


def measures() -> pd.DataFrame:
    return tumours()[COLUMNS]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose first file is in the table."""
    home = tmp_path_factory.mktemp("first") / "home"
    (home / "pipelines").mkdir(parents=True)
    settings, _ = project(home, measures()[:400], "Malignant")
    assert [one.accepted for one in ingested(settings)] == [400]
    return home


@pytest.fixture
def clinic(first: Path, tmp_path: Path) -> Project:
    """A pipeline of one's own with its first file in the table."""
    home = tmp_path.resolve() / "home"
    shutil.copytree(first, home)
    return settings_.at(home), load_config(home / "pipelines" / "clinic.toml")


def ingested(settings: Settings, *files: Path, as_labels: bool = False) -> list[BatchResult | LabelBatch]:
    """What `ingest` does, without a server to watch it."""
    place = (str(settings.home), "clinic")
    waiting = find_batches.fn(*place, [str(file) for file in files], as_labels)
    return [(take_in if ref.kind == "rows" else take_labels).fn(*place, ref) for ref in waiting.new]


def sent(settings: Settings, rows: pd.DataFrame, name: str) -> str:
    """Ingest `rows` as a file; the batch's id."""
    file = inbox(settings.home) / name
    if name.endswith(".parquet"):
        rows.to_parquet(file)
    else:
        rows.to_csv(file, index=False)
    (batch,) = ingested(settings, file)
    return batch.batch_id


def table(settings: Settings, name: str, columns: str = "*") -> list[tuple[object, ...]]:
    relation = stores.open(settings, "clinic").tables.relation(name)
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        return con.sql(f"SELECT {columns} FROM {relation} ORDER BY ALL").fetchall()


def with_negatives(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    rows = rows.copy()
    rows.iloc[:count, rows.columns.get_loc("mean radius")] *= -1
    return rows


def allow(settings: Settings, column: str, minimum: float | None) -> None:
    """Mend the suite: `column` may go down to `minimum`, or None: its ranges are taken out."""
    path = settings.home / "expectations" / "clinic.json"
    document = json.loads(path.read_text())
    kept = []
    for one in document["expectations"]:
        if one["kwargs"].get("column") == column and one["type"].endswith("to_be_between"):
            if minimum is None:
                continue
            one["kwargs"]["min_value"] = minimum
        kept.append(one)
    document["expectations"] = kept
    path.write_text(json.dumps(document))


def test_a_value_that_breaks_two_rules_is_said_to_break_each(clinic: Project) -> None:
    settings, config = clinic
    rows = measures()[400:500]
    rows.iloc[0, rows.columns.get_loc("Tumour ID")] = None
    sent(settings, rows, "keyless.csv")
    (one,) = quarantine.run_list(settings, config).batches
    assert sorted((rule.columns, rule.words) for rule in one.rules) == [
        ("Tumour ID", "never missing"),
        ("Tumour ID", "never missing in a key"),
    ]


def test_list_says_what_was_refused_by_which_rules_and_what_to_do(clinic: Project) -> None:
    settings, config = clinic
    some = sent(settings, with_negatives(measures()[400:500], 3), "some.csv")
    whole = sent(settings, measures()[500:].rename(columns={"mean area": "Area"}), "whole.csv")
    broken = inbox(settings.home) / "broken.parquet"
    broken.write_bytes(b"PAR1 and no more")
    ingested(settings, broken)
    listed = {one.batch_id: one for one in quarantine.run_list(settings, config).batches}
    assert [one.scope for one in listed.values()] == ["row", "batch", "file"]
    (rule,) = listed[some].rules
    assert (listed[some].rows, rule.rows, rule.columns, rule.words) == (3, 3, "mean radius", ">= 0")
    assert rule.example is not None
    assert float(rule.example) < 0
    assert "'mean area' is missing" in listed[whole].reason
    assert listed[whole].rows == 69
    assert all("treadle quarantine drop" in one.advice for one in listed.values())
    assert "release" not in list(listed.values())[2].advice


def test_show_prints_rows_with_rule_column_and_value(clinic: Project) -> None:
    settings, config = clinic
    batch = sent(settings, with_negatives(measures()[400:500], 3), "some.csv")
    shown = quarantine.run_show(settings, config, batch[:6], 2)
    assert (shown.total, [row.ordinal for row in shown.rows]) == (3, [0, 1])
    first = shown.rows[0]
    assert (first.columns, first.rules) == (("mean radius",), ("expect_column_values_to_be_between",))
    assert first.words == (">= 0",)
    assert first.row is not None
    assert json.loads(first.row)["Tumour ID"] == "T0400"
    assert quarantine.run_show(settings, config, "some.csv", 20).batch_id == batch
    with pytest.raises(UsageError, match=r"no batch 'nothing'; in it: .*some.csv"):
        quarantine.run_show(settings, config, "nothing", 1)


def rewrite(settings: Settings, batch: str, select: str) -> None:
    """Put the columns `select` in the place of what the quarantine table has of `batch`, as another version would."""
    tables = stores.open(settings, "clinic").tables
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        rows = con.sql(f"SELECT {select} FROM {tables.relation('quarantine', batches=[batch])}").to_arrow_table()
    shutil.rmtree(tables.root / "quarantine")
    tables.overwrite_batch("quarantine", batch, rows.to_reader())


def test_rules_are_listed_from_their_columns_whatever_the_sentence_says(clinic: Project) -> None:
    settings, config = clinic
    batch = sent(settings, with_negatives(measures()[400:500], 3), "some.csv")
    listed, shown = quarantine.run_list(settings, config), quarantine.run_show(settings, config, batch, 9)
    rewrite(settings, batch, "* REPLACE ('said otherwise' AS reason)")
    assert quarantine.run_list(settings, config) == listed
    again = quarantine.run_show(settings, config, batch, 9)
    assert {row.reason for row in again.rows} == {"said otherwise"}
    said = shown.model_copy(
        update={"rows": tuple(row.model_copy(update={"reason": "said otherwise"}) for row in shown.rows)}
    )
    assert again == said


def test_a_quarantine_of_an_earlier_version_is_listed_shown_and_released(clinic: Project) -> None:
    settings, config = clinic
    batch = sent(settings, with_negatives(measures()[400:500], 3), "some.csv")
    rewrite(settings, batch, "* EXCLUDE (required)")
    (rule,) = quarantine.run_list(settings, config).batches[0].rules
    assert (rule.rows, rule.columns, rule.words) == (3, "mean radius", "")
    out = io.StringIO()
    show_quarantine_show(quarantine.run_show(settings, config, batch, 9), Screen(out))
    assert "(contract: >= 0)" in out.getvalue()
    sent(settings, with_negatives(measures()[500:], 1), "more.csv")
    assert [one.rules[0].words for one in quarantine.run_list(settings, config).batches] == ["", ">= 0"]
    allow(settings, "mean radius", None)
    assert quarantine.run_release(settings, config, batch).released == 3


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_release_takes_in_what_meets_todays_contract_and_the_rest_stays(clinic: Project, kind: str) -> None:
    settings, config = clinic
    rows = with_negatives(measures()[400:500], 4)
    rows.iloc[3, rows.columns.get_loc("mean radius")] = -1000.0
    batch = sent(settings, rows, f"some.{kind}")
    arrived = table(settings, "quarantine", "max(quarantined_at)")
    nothing = quarantine.run_release(settings, config, batch)
    assert (nothing.released, nothing.left, nothing.exit_code()) == (0, 4, 3)
    allow(settings, "mean radius", -100)
    result = quarantine.run_release(settings, config, batch, "they measure from the other side")
    assert (result.released, result.left, result.exit_code()) == (3, 1, 0)
    assert len(table(settings, "rows")) == 499
    taken = '"Tumour ID", "mean radius", _ordinal, _batch_id, _ingested_at'
    released = [row for row in table(settings, "rows", taken) if row[3] == result.into]
    assert [row[:3] for row in released] == [(f"T{400 + n:04d}", rows.iloc[n, 1], n) for n in range(3)]
    assert {row[4] for row in released} == {arrived[0][0]}
    (left,) = table(settings, "quarantine", "_ordinal, scope, reason, _batch_id")
    assert left[0] == 3
    assert left[1] == "row"
    assert "-1000.0 (contract: >= -100)" in str(left[2])
    assert left[3] == batch
    made = quarantine.run_list(settings, config).decisions
    assert [(one.action, one.rows, one.left, one.reason) for one in made] == [
        ("release", 0, 4, "validated again against the current contract"),
        ("release", 3, 1, "they measure from the other side"),
    ]
    assert all(one.who == settings.who for one in made)


def test_rows_that_were_typed_in_parquet_are_released_as_they_came(clinic: Project) -> None:
    settings, config = clinic
    rows = with_negatives(measures()[400:500], 2).astype({"mean radius": "float32"})
    rows["mean texture"] = rows["mean texture"].round().astype("int64")
    batch = sent(settings, rows, "typed.parquet")
    allow(settings, "mean radius", None)
    assert quarantine.run_release(settings, config, batch).released == 2
    found = {row[0]: row[1:] for row in table(settings, "rows", '"Tumour ID", "mean radius", "mean texture"')}
    for row in rows.head(2).to_dict("records"):
        assert found[row["Tumour ID"]] == (float(row["mean radius"]), float(row["mean texture"]))


def test_a_batch_refused_for_its_bad_rows_is_released_but_for_them(clinic: Project) -> None:
    settings, config = clinic
    batch = sent(settings, with_negatives(measures()[400:500], 30), "many.csv")
    assert len(table(settings, "quarantine")) == 100
    result = quarantine.run_release(settings, config, batch)
    assert (result.released, result.left, result.refused) == (70, 30, "")
    assert {row[0] for row in table(settings, "quarantine", "scope")} == {"row"}


def test_a_batch_that_breaks_a_rule_about_batches_stays_until_it_is_mended(clinic: Project) -> None:
    settings, config = clinic
    batch = sent(settings, measures()[400:500].drop(columns="mean area"), "short.csv")
    before = table(settings, "quarantine")
    result = quarantine.run_release(settings, config, batch)
    assert (result.released, result.left) == (0, 100)
    assert "mean area" in result.refused
    assert table(settings, "quarantine") == before


def test_ingest_leaves_a_batch_to_the_person_who_took_it_in_hand(clinic: Project) -> None:
    settings, config = clinic
    batch = sent(settings, with_negatives(measures()[400:500], 30), "many.csv")
    quarantine.run_release(settings, config, batch)
    allow(settings, "mean radius", None)
    named = (str(settings.home), "clinic", [str(inbox(settings.home) / "many.csv")])
    again = find_batches.fn(*named)
    assert (again.new, again.refused_before) == ((), ())
    quarantine.run_drop(settings, config, batch, "not worth it")
    again = find_batches.fn(*named)
    assert again.new == ()
    assert "not worth it" in again.refused_before[0]
    assert len(table(settings, "rows")) == 470


def test_drop_keeps_the_rows_and_settles_them_for_good(clinic: Project) -> None:
    settings, config = clinic
    batch = sent(settings, with_negatives(measures()[400:500], 3), "some.csv")
    before = table(settings, "quarantine")
    with pytest.raises(UsageError, match="reason"):
        quarantine.run_drop(settings, config, batch, "  ")
    result = quarantine.run_drop(settings, config, batch, "a broken sensor")
    assert (result.dropped, result.reason) == (3, "a broken sensor")
    assert table(settings, "quarantine") == before
    listed = quarantine.run_list(settings, config)
    assert listed.batches == ()
    assert [(one.action, one.rows, one.who) for one in listed.decisions] == [("drop", 3, settings.who)]
    assert "a broken sensor" in quarantine.run_show(settings, config, batch, 1).settled
    for decide in (quarantine.run_release, quarantine.run_drop):
        with pytest.raises(UsageError, match="dropped by"):
            decide(settings, config, batch, "again")


def test_rows_that_came_again_are_told_and_a_release_does_not_undo_the_correction(clinic: Project) -> None:
    settings, config = clinic
    good = measures()[400:500]
    batch = sent(settings, with_negatives(good, 3), "october.csv")
    sent(settings, good.head(2), "october-corrected.csv")
    (one,) = quarantine.run_list(settings, config).batches
    assert one.again == 2
    assert "2 of its rows" in one.advice
    sent(settings, good.iloc[2:3], "the-rest.csv")
    (one,) = quarantine.run_list(settings, config).batches
    assert one.again == 3
    assert "seems to have been sent again and accepted" in one.advice
    allow(settings, "mean radius", None)
    assert quarantine.run_release(settings, config, batch).released == 3
    opened = stores.open(settings, "clinic")
    found = opened.tables.training(opened.tables.version("rows"), "Malignant", config.data.key).to_pandas()
    assert (found["mean radius"] > 0).all()
    assert len(found) == 500


def test_rows_released_from_a_file_that_corrects_correct_too(clinic: Project) -> None:
    settings, config = clinic
    batch = sent(settings, with_negatives(measures()[:10].drop(columns="Malignant"), 3), "corrected.csv")
    opened = stores.open(settings, "clinic")
    opened.ledger.declare_correction("clinic", batch)
    allow(settings, "mean radius", None)
    into = quarantine.run_release(settings, config, batch).into
    assert opened.tables.correcting() == {into}
    found = opened.tables.training(opened.tables.version("rows"), "Malignant", config.data.key).to_pandas()
    assert (found["mean radius"] < 0).sum() == 3, "they have the labels of the rows that they correct"
    assert len(found) == 400


def test_a_file_that_could_not_be_read_can_only_be_dropped(clinic: Project) -> None:
    settings, config = clinic
    file = inbox(settings.home) / "broken.parquet"
    file.write_bytes(b"PAR1 and no more")
    ingested(settings, file)
    shown = quarantine.run_show(settings, config, "broken.parquet", 5)
    assert (shown.total, shown.rows[0].words) == (0, ())
    with pytest.raises(UsageError, match="could not be read"):
        quarantine.run_release(settings, config, "broken.parquet")
    measures()[400:410].to_parquet(file)
    ingested(settings, file)
    (one,) = quarantine.run_list(settings, config).batches
    assert "seems to have been sent again and accepted" in one.advice
    quarantine.run_drop(settings, config, one.batch_id, "sent again")
    assert quarantine.run_list(settings, config).batches == ()


def test_late_labels_are_released_as_labels(clinic: Project) -> None:
    settings, config = clinic
    late = measures()[400:403][["Tumour ID", "Malignant"]]
    sent(settings, measures()[400:403].drop(columns="Malignant"), "unlabelled.csv")
    late.iloc[0, 1] = "unclear"
    file = settings.home.parent / "late.csv"
    late.to_csv(file, index=False)
    assert [one.quarantined for one in ingested(settings, file, as_labels=True)] == [1]
    (one,) = quarantine.run_list(settings, config).batches
    assert (one.kind, one.rows, one.rules[0].example) == ("labels", 1, "unclear")
    path = settings.home / "expectations" / "clinic.json"
    path.write_text(path.read_text().replace('["no", "yes"]', '["no", "yes", "unclear"]'))
    result = quarantine.run_release(settings, config, one.batch_id)
    assert (result.kind, result.released, result.left) == ("labels", 1, 0)
    assert ("T0400", "unclear") in table(settings, "labels", '"Tumour ID", "Malignant"')


@pytest.mark.parametrize("place", ["release.rows", "release.quarantine", "ledger.decided"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_release_that_was_cut_off_is_finished_with_the_same_end(
    clinic: Project, monkeypatch: pytest.MonkeyPatch, place: str, side: str
) -> None:
    settings, config = clinic
    rows = with_negatives(measures()[400:500], 4)
    rows.iloc[3, rows.columns.get_loc("mean radius")] = -1000.0
    batch = sent(settings, rows, "some.csv")
    allow(settings, "mean radius", -100)

    def cut(reached: str) -> None:
        if reached == f"{place}:{side}":
            raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(failpoint, "_reach", cut)
        with pytest.raises(RuntimeError, match="the power went"):
            quarantine.run_release(settings, config, batch, "why")
    if (place, side) == ("ledger.decided", "after"):
        return
    (one,) = quarantine.run_list(settings, config).batches
    assert "interrupted" in one.advice
    result = quarantine.run_release(settings, config, batch, "why")
    assert (result.released, result.left, result.into) == (3, 1, f"{batch}-r1")
    assert len(table(settings, "rows")) == 499
    assert [row[0] for row in table(settings, "quarantine", "_ordinal")] == [3]
    made = quarantine.run_list(settings, config).decisions
    assert [(one.action, one.rows, one.left) for one in made] == [("release", 3, 1)]


def test_a_config_that_reads_other_words_as_missing_counts_in_a_release(clinic: Project) -> None:
    settings, _ = clinic
    rows = measures()[400:500]
    rows["mean texture"] = rows["mean texture"].astype(object)
    rows.iloc[:2, rows.columns.get_loc("mean texture")] = "unknown"
    batch = sent(settings, rows, "words.csv")
    file = settings.home / "pipelines" / "clinic.toml"
    file.write_text(file.read_text().replace("[data]\n", '[data]\nmissing = ["", "unknown"]\n'))
    result = quarantine.run_release(settings, load_config(file), batch)
    assert result.released + result.left == 2
