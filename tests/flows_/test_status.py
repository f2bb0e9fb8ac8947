"""`treadle status` says what is so, starts nothing, and names for every need the command that settles it."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC
from typing import TYPE_CHECKING

from tests.projects import inbox, tumours
from treadle.flows import ingest
from treadle.flows.champion import history
from treadle.flows.project import quarantine, status
from treadle.flows.project.deployment_plans import Difference
from treadle.flows.service import deployments
from treadle.infra import orchestrator, stores

if TYPE_CHECKING:
    import pytest

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

    Clinic = tuple[Settings, PipelineConfig]

HEAVY = {"prefect", "mlflow", "great_expectations", "pandas", "xgboost", "sklearn", "optuna"}


def commands(result: status.StatusResult) -> list[str]:
    return [need.command for need in result.needs]


def test_a_home_at_rest_needs_nothing_and_nothing_is_started(clinic: Clinic) -> None:
    settings, _ = clinic
    result = status.run_status(settings)
    (one,) = result.pipelines
    assert one.champion is not None
    assert (one.champion.version, one.champion.metric, one.champion.realised, one.versions) == (2, "roc_auc", None, 2)
    assert (one.trouble, one.waiting, one.alias, one.files, one.work) == ("", None, "", (), ())
    assert [server.state for server in result.servers] == ["stopped"] * 3
    assert result.needs == ()
    assert orchestrator.server_state(settings).state == orchestrator.ServerPhase.STOPPED


def test_it_imports_nothing_that_takes_seconds(clinic: Clinic) -> None:
    settings, _ = clinic
    code = (
        "import sys; from pathlib import Path; from treadle.flows.project import status; "
        "from treadle.infra import settings; "
        f"status.run_status(settings.at(Path({str(settings.home)!r}))); print(*{HEAVY!r} & sys.modules.keys())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []


def test_what_waits_is_counted_as_those_count_it_who_settle_it(prefect_server: str, clinic: Clinic) -> None:
    settings, config = clinic
    rows = tumours()[:20].drop(columns="Malignant").assign(**{"Tumour ID": [f"N{number}" for number in range(20)]})
    rows.loc[3, "mean radius"] = -1
    rows.to_csv(inbox(settings.home) / "new.csv", index=False)
    assert status.run_status(settings).pipelines[0].files == ("new.csv",)
    assert commands(status.run_status(settings)) == ["treadle score -p clinic"]
    ingest.run_ingest(settings, config)
    (one,) = status.run_status(settings).pipelines
    (kept,) = quarantine.run_list(settings, config).batches
    assert (one.files, one.unscored.rows) == ((), 20 - kept.rows)
    assert (one.quarantine.batches, one.quarantine.rows) == (1, kept.rows)
    assert [(item.file, item.batch_id) for item in one.quarantine.kept] == [("new.csv", kept.batch_id)]
    assert [(work.work, work.state) for work in one.work] == [("ingest", "COMPLETED")]
    assert one.work[0].page.startswith(prefect_server.removesuffix("/api"))
    assert commands(status.run_status(settings)) == ["treadle quarantine list -p clinic", "treadle score -p clinic"]
    quarantine.run_drop(settings, config, kept.batch_id, "a slip of the pen")
    assert status.run_status(settings).pipelines[0].quarantine.batches == 0


def test_the_next_run_of_a_schedule_is_told(prefect_server: str, clinic: Clinic) -> None:
    settings, _ = clinic
    file = settings.home / "pipelines" / "clinic.toml"
    text = file.read_text().replace("[score]\n", "[score]\nschedule = '0 6 * * *'\n")
    file.write_text(text if "[score]" in text else f"{text}\n[score]\nschedule = '0 6 * * *'\n")
    deployments.apply_deployments(settings)
    deadline = time.monotonic() + 60
    while len(work := status.run_status(settings).pipelines[0].work) < len(("maintain", "score")):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    maintain, score = work
    assert (maintain.work, maintain.next is None) == ("maintain", False)
    assert score.next is not None
    assert (score.work, score.at, score.next.astimezone(UTC).hour) == ("score", None, 6)
    assert status.run_status(settings).differs == ()
    file.write_text(file.read_text().replace("0 6 * * *", "0 7 * * *"))
    assert commands(status.run_status(settings)) == ["treadle up"]
    file.unlink()
    deployments.apply_deployments(settings)  # the server is the session's
    assert status.run_status(settings).differs == ()


def test_an_alias_that_a_person_moved_is_told_with_the_command(clinic: Clinic) -> None:
    settings, config = clinic
    stores.open(settings, config.name).registry.set_champion(1)
    (need,) = status.run_status(settings).needs
    assert "points at version 1" in need.what
    assert need.command.startswith("treadle promote 2 --reason")


def test_an_alias_that_is_about_to_follow_a_promotion_is_no_trouble(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, config = clinic
    opened = stores.open(settings, config.name)
    before = opened.ledger.champion(config.name)
    assert before is not None
    opened.ledger.promote(
        config.name,
        expected=2,
        to=1,
        verdict="MANUAL",
        reason="r",
        who="w",
        bundle=before.bundle,
        digest=before.digest,
    )
    assert status.run_status(settings).needs == ()
    monkeypatch.setattr(history, "ALIAS_SECONDS", 0.0)
    (need,) = status.run_status(settings).needs
    assert "points at version 2" in need.what


def test_a_file_that_cannot_be_obeyed_hides_nothing_else(clinic: Clinic) -> None:
    settings, _ = clinic
    (settings.home / "pipelines" / "bakery.toml").write_text('name = "bakery"\n')
    bakery, kept = status.run_status(settings).pipelines
    assert "bakery.toml" in bakery.trouble
    assert kept.champion is not None
    assert commands(status.run_status(settings)) == ["treadle check -p bakery"]


def test_a_file_that_cannot_be_obeyed_is_told_once_also_where_it_was_deployed() -> None:
    broken = status.PipelineStatus(pipeline="shop", trouble="it is broken", trouble_kind="ConfigError")
    differs = [
        Difference("shop", "refused", "whatever this sentence says"),
        Difference("other", "deployment", "shop cannot be deployed: or so it seems"),
    ]
    needs = list(status.needs.home_needs([broken], differs, up=True, exited=False, locked=""))
    assert [(need.kind, need.command) for need in needs] == [
        ("deployment", "treadle up"),
        ("config", "treadle check -p shop"),
    ]


def test_a_server_that_is_away_is_said(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    from treadle.infra import settings as settings_

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    result = status.run_status(settings_.at(clinic[0].home))
    assert result.servers[0].state == "unreachable"
    assert result.pipelines[0].work == ()
