"""Commands, runs of deployments and `up` tell people by themselves, and leave no secret behind."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.flows_.alerting import CANARY, CHAT, arrive, break_suite, left, to
from tests.projects import prefect_database
from treadle.flows.cli.alerts import show_alerts
from treadle.flows.cli.runtime.screen import Screen
from treadle.flows.cli.status import show_status
from treadle.flows.project import quarantine, status
from treadle.flows.service import deployments
from treadle.flows.service.alerts import delivery
from treadle.infra import orchestrator, stores
from treadle.infra import settings as settings_

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows_.alerting import Place
    from tests.receivers import Receiver
    from treadle.infra.settings import Settings


def taken(settings: Settings, name: str) -> bool:
    """Whether a file has been taken in."""
    return name in {record.label for record in stores.open(settings, "clinic").ledger.batches("clinic")}


def eventually(look: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.5)


def test_a_command_that_no_terminal_watches_tells_and_leaves_no_secret(
    prefect_server: str, place: Place, chat: Receiver
) -> None:
    settings, _ = place
    to(settings, CHAT, "ALERTS_NOWHERE")
    arrive(settings, "june", bad=40)
    out = io.StringIO()
    ended = subprocess.run(
        [sys.executable, "-m", "treadle.flows.cli", "ingest"],
        cwd=settings.home,
        env={**os.environ, "PREFECT_API_URL": prefect_server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 3, ended.stderr
    out.write(ended.stdout + ended.stderr)
    show_status(status.run_status(settings), Screen(out))
    for test in (False, True):
        result = delivery.run_alerts(settings, test=test)
        assert result.exit_code() == 1, "one address is not known"
        show_alerts(result, Screen(out))
    assert [told.title for told in chat.received] == [
        "treadle: clinic: 1 batch (40 rows) in quarantine without a decision",
        "treadle: a test",
    ]
    said = out.getvalue()
    assert f"alerts go to {CHAT} (json://127.0.0.1), ALERTS_NOWHERE (not set here)" in said
    assert f"{CHAT} (json://127.0.0.1), of clinic: test sent" in said
    assert f"{CHAT} (json://127.0.0.1), of clinic: nothing new" in said
    assert CANARY not in said
    assert left(settings) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_of_a_deployment_ends_with_a_look(prefect_server: str, place: Place, chat: Receiver) -> None:
    settings, config = place
    to(settings, CHAT)
    deployments.apply_deployments(settings)
    chat.answer = 500
    try:
        away = break_suite(settings)
        for name, mend in (("june", False), ("july", True)):
            arrive(settings, name, bad=40)
            run = deployments.start_run(settings, config.name, "ingest", paths=[f"data/inbox/clinic/{name}.csv"])
            if mend:
                away.rename(away.with_suffix(".json"))
                chat.answer = 200
                (settings.state / "alerts.json").unlink()  # it has been left in peace for long enough
            ended = subprocess.run(
                [sys.executable, "-P", "-m", "prefect.engine"],
                env=settings_.child_environment(
                    {
                        **orchestrator.run_environment(settings.home, 30),
                        "PREFECT_API_URL": prefect_server,
                        "PREFECT__FLOW_RUN_ID": run,
                    }
                ),
                capture_output=True,
                text=True,
                check=False,
            )
            assert CANARY not in ended.stdout + ended.stderr
            assert "alerts: " not in ended.stderr or not mend
        works = {one.work: one.state for one in status.run_status(settings).pipelines[0].work}
        assert works["ingest"] == "COMPLETED"
        assert [told.title for told in chat.received] == [
            "treadle: clinic: 1 batch (40 rows) in quarantine without a decision"
        ]
        quarantine.run_drop(
            settings, config, status.run_status(settings).pipelines[0].quarantine.kept[0].batch_id, "seen"
        )
        assert delivery.send_news(settings)[0].notified == 0
    finally:
        (settings.home / "pipelines" / "clinic.toml").unlink()
        deployments.apply_deployments(settings)  # the server is the session's


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_up_sees_is_told_and_a_dead_receiver_holds_nothing_up(
    clinic: Place, server_home: Settings, chat: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _ = clinic
    prefect_database(settings.home, server_home)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("ALERTS_SILENT", f"json://127.0.0.1:{silent.getsockname()[1]}/?rto=600")
        to(settings, "ALERTS_SILENT", CHAT, more="stale_after_hours = 0.02")
        command = [sys.executable, "-P", "-m", "treadle.flows.cli"]
        subprocess.run([*command, "up", "--detach"], cwd=settings.home, check=True)
        try:
            eventually(lambda: "no data came" in "".join(told.title for told in chat.received))
            arrive(settings, "june", bad=40)
            eventually(lambda: "in quarantine" in "".join(told.title + told.body for told in chat.received))
            arrive(settings, "july", bad=0)
            eventually(
                lambda: status.run_status(settings).pipelines[0].unscored.rows == 0 and taken(settings, "july.csv")
            )
            assert len([told for told in chat.received if "1 batch (40 rows)" in told.title + told.body]) == 1
            said = (settings.state / "logs" / "up.log").read_text()
            assert said.count("ALERTS_SILENT (json://127.0.0.1) does not answer within 20 seconds") == 1
        finally:
            subprocess.run([*command, "down"], cwd=settings.home, check=True)
    assert left(settings) == []
