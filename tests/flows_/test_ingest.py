from __future__ import annotations

import gzip
import io
import json
from typing import TYPE_CHECKING

import duckdb
import pytest

from tests.projects import inbox, project, tumours
from treadle.flows import ingest
from treadle.flows.cli.ingest import show_ingest
from treadle.flows.cli.runtime.screen import Screen
from treadle.infra import sources, stores
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

pytestmark = pytest.mark.usefixtures("prefect_server")

Project = tuple["Settings", "PipelineConfig"]


@pytest.fixture
def clinic(home: Path) -> Project:
    return project(home, tumours()[:469], "Malignant")


def content(settings: Settings, table: str) -> list[tuple[object, ...]]:
    relation = stores.open(settings, "clinic").tables.relation(table)
    with duckdb.connect() as con:
        return sorted(con.sql(f"SELECT * EXCLUDE (_ingested_at) FROM {relation}").fetchall(), key=repr)


def refused(settings: Settings) -> list[dict[str, object]]:
    relation = stores.open(settings, "clinic").tables.relation("quarantine")
    with duckdb.connect() as con:
        rows = con.sql(f"SELECT * FROM {relation} ORDER BY _ordinal")
        return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]


def test_rows_in_are_accepted_quarantined_or_duplicates(clinic: Project) -> None:
    settings, config = clinic
    rows = tumours()[400:500].copy()
    rows["mean radius"] = rows["mean radius"].astype(object)
    rows.iloc[0, 1] = "wide"
    rows.iloc[1, 1] = -4.5
    rows = rows.loc[[*rows.index, rows.index[5], rows.index[6]]]
    rows.to_csv(inbox(settings.home) / "may.csv", index=False)
    result = ingest.run_ingest(settings, config, [inbox(settings.home) / "may.csv"])
    assert (result.rows_in, result.accepted, result.quarantined, result.duplicates) == (102, 98, 2, 2)
    assert result.exit_code() == 0
    wide, negative = refused(settings)
    assert json.loads(str(wide["row"]))["mean radius"] == "wide"
    assert (wide["columns"], wide["values"]) == (["mean radius"], ["wide"])
    assert "mean radius" in str(negative["reason"])
    assert negative["_ordinal"] == 1
    (batch,) = result.batches
    assert len(batch.refusals) == 2
    assert all("mean radius" in told for told in batch.refusals)
    assert all("mean radius" not in told for told in batch.warnings), "they have refused rows, which is no warning"


def test_the_same_content_under_another_name_does_nothing(clinic: Project) -> None:
    settings, config = clinic
    first = ingest.run_ingest(settings, config)
    before = content(settings, "rows")
    (inbox(settings.home) / "again.csv").write_bytes((settings.home.parent / "clinic.csv").read_bytes())
    second = ingest.run_ingest(settings, config)
    assert (first.accepted, second.accepted, second.batches, second.skipped) == (469, 0, (), 2)
    assert content(settings, "rows") == before
    assert second.data_version == first.data_version


def test_a_batch_that_the_ledger_lost_is_taken_in_again_with_the_same_end(clinic: Project) -> None:
    settings, config = clinic
    ingest.run_ingest(settings, config)
    before = content(settings, "rows")
    (settings.home / "mlruns" / "treadle.db").unlink()
    ingest.run_ingest(settings, config)
    assert content(settings, "rows") == before


def test_rows_of_a_run_that_was_killed_go_where_a_suite_that_was_changed_since_sends_them(clinic: Project) -> None:
    settings, config = clinic
    ingest.run_ingest(settings, config)
    (settings.home / "mlruns" / "treadle.db").unlink()  # a kill after the rows and before the ledger
    suite = settings.home / "expectations" / "clinic.json"
    document = json.loads(suite.read_text())
    document["expectations"].append(
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1000}, "severity": "critical"}
    )
    suite.write_text(json.dumps(document))
    result = ingest.run_ingest(settings, config)
    assert (result.rows_in, result.accepted, result.quarantined) == (469, 0, 469)
    assert content(settings, "rows") == []
    assert len(refused(settings)) == 469


def test_rows_without_a_target_are_welcome(clinic: Project) -> None:
    settings, config = clinic
    tumours()[469:].drop(columns="Malignant").to_parquet(inbox(settings.home) / "june.parquet")
    result = ingest.run_ingest(settings, config, [inbox(settings.home)])
    assert (result.accepted, result.batches[0].labelled) == (100, 0)


CASES = {
    "an empty file": b"",
    "a header without rows": None,
    "half a file": b'PAR1\x15\x04\x15"\x15',
    "UTF-16": "Tumour ID,Malignant\nT1,yes\n".encode("utf-16"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_cannot_be_a_batch_is_set_aside_with_its_reason(clinic: Project, case: str) -> None:
    settings, config = clinic
    name = "bad.parquet" if case == "half a file" else "bad.csv"
    bad = inbox(settings.home) / name
    bad.write_bytes(CASES[case] if CASES[case] is not None else ",".join(tumours().columns).encode() + b"\n")
    result = ingest.run_ingest(settings, config, [bad])
    (batch,) = result.batches
    assert result.exit_code() == 3
    assert batch.reason
    assert not batch.reason.startswith(f"{name}:")
    assert content(settings, "rows") == []
    named_again = ingest.run_ingest(settings, config, [bad])
    assert named_again.exit_code() == 3
    assert batch.reason in named_again.refused_before[0]
    if batch.status == "unreadable":
        (kept,) = stores.open(settings, "clinic").tables.refused_folder.iterdir()
        assert kept.read_bytes() == bad.read_bytes()


def test_a_file_that_nobody_lets_us_read_keeps_no_other_waiting_and_is_looked_at_again(clinic: Project) -> None:
    settings, config = clinic
    closed, good = inbox(settings.home) / "closed.csv", inbox(settings.home) / "good.csv"
    closed.symlink_to("/proc/self/mem")  # which not even root can read
    tumours()[469:].to_csv(good, index=False)
    result = ingest.run_ingest(settings, config, [closed, good])
    assert (result.exit_code(), result.accepted) == (3, 100)
    assert [told.partition(": ")[2] for told in result.closed] == ["cannot be read (Input/output error)"]
    show_ingest(result, Screen(out := io.StringIO()))
    assert "left alone: " in out.getvalue()
    assert out.getvalue().rstrip().endswith("treadle ingest")
    closed.unlink()
    tumours()[:10].to_csv(closed, index=False)
    assert ingest.run_ingest(settings, config, [closed, good]).closed == ()


def test_a_renamed_column_refuses_the_batch_and_a_mended_suite_takes_it_in(clinic: Project) -> None:
    settings, config = clinic
    tumours()[469:].rename(columns={"mean area": "area (mean)"}).to_csv(inbox(settings.home) / "july.csv", index=False)
    first = ingest.run_ingest(settings, config, [inbox(settings.home)])
    assert first.batches[0].status == "refused"
    assert "mean area" in first.batches[0].reason
    assert (first.accepted, first.quarantined) == (0, 100)
    suite = settings.home / "expectations" / "clinic.json"
    document = json.loads(suite.read_text())
    document["expectations"] = [one for one in document["expectations"] if one["kwargs"].get("column") != "mean area"]
    suite.write_text(json.dumps(document))
    second = ingest.run_ingest(settings, config, [inbox(settings.home)])
    assert (second.batches[0].status, second.accepted, second.quarantined) == ("accepted", 100, 0)
    assert refused(settings) == []


def rewritten(settings: Settings, old: str, new: str) -> PipelineConfig:
    file = settings.home / "pipelines" / "clinic.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    return load_config(file)


def test_a_batch_refused_for_its_bad_rows_is_taken_in_once_the_config_allows_them(clinic: Project) -> None:
    settings, config = clinic
    rows = tumours()[469:]
    rows["mean radius"] = rows["mean radius"].astype(object)
    rows.iloc[:20, 1] = "wide"
    rows.to_csv(inbox(settings.home) / "august.csv", index=False)
    assert ingest.run_ingest(settings, config, [inbox(settings.home)]).batches[0].status == "refused"
    config = rewritten(settings, "[data]\n", "[data]\nmax_bad_rows = 0.2\n")
    allowed = ingest.run_ingest(settings, config, [inbox(settings.home)])
    assert (allowed.batches[0].status, allowed.accepted, allowed.quarantined) == ("accepted", 80, 20)


def test_a_config_that_names_no_column_of_the_suite_is_refused_with_its_line(clinic: Project) -> None:
    settings, _ = clinic
    config = rewritten(settings, 'target = "Malignant"', 'target = "malignant"')
    with pytest.raises(ConfigError, match=r"clinic.toml:\d+: data.target: the suite has no column 'malignant'"):
        ingest.run_ingest(settings, config)


def test_a_file_that_grows_while_it_is_read_is_no_batch_yet_and_keeps_no_other_waiting(
    clinic: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, config = clinic
    rows = tumours()
    rows[:30].to_csv(inbox(settings.home) / "whole.csv", index=False)
    file, whole = inbox(settings.home) / "slow.csv", tumours()[469:].to_csv(index=False)
    file.write_text("\n".join(whole.splitlines()[:60]) + "\n")
    open_raw = sources.open_raw

    def copied_meanwhile(con: object, path: Path, batch_id: str) -> object:
        opened = open_raw(con, path, batch_id)
        if path == file:
            file.write_text(whole)
        return opened

    with monkeypatch.context() as patch:
        patch.setattr(sources, "open_raw", copied_meanwhile)
        first = ingest.run_ingest(settings, config, [inbox(settings.home)])
    assert (first.accepted, first.exit_code()) == (30, 3)
    assert first.growing == ("slow.csv was still being written while it was read",)
    show_ingest(first, Screen(out := io.StringIO()))
    assert "left alone: slow.csv was still being written" in out.getvalue()
    again = ingest.run_ingest(settings, config, [file])
    assert (again.accepted, again.exit_code(), again.growing) == (100, 0, ())


def test_a_file_that_breaks_off_because_it_is_still_being_written_is_not_set_aside(
    clinic: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, config = clinic
    file, whole = inbox(settings.home) / "slow.csv.gz", gzip.compress(tumours()[469:].to_csv(index=False).encode())
    file.write_bytes(whole[: len(whole) // 2])
    open_raw = sources.open_raw

    def copied_meanwhile(con: object, path: Path, batch_id: str) -> object:
        try:
            return open_raw(con, path, batch_id)
        finally:
            if path == file:
                file.write_bytes(whole)

    with monkeypatch.context() as patch:
        patch.setattr(sources, "open_raw", copied_meanwhile)
        assert len(ingest.run_ingest(settings, config).growing) == 1
    assert refused(settings) == []
    assert ingest.run_ingest(settings, config).accepted == 100


def test_the_longest_name_that_a_file_can_have_is_taken_in_or_set_aside(clinic: Project) -> None:
    settings, config = clinic
    tumours()[469:].to_csv(inbox(settings.home) / f"{'ä' * 125}.csv", index=False)
    (inbox(settings.home) / f"{'n' * 251}.csv").write_text("")
    result = ingest.run_ingest(settings, config)
    assert sorted(batch.status for batch in result.batches) == ["accepted", "accepted", "unreadable"]
    (kept,) = stores.open(settings, "clinic").tables.refused_folder.iterdir()
    assert kept.name.endswith("nnn.csv")
