"""People are told what needs them: once, all that is new in one message, whatever becomes of the receiver."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from prefect.states import Completed, Crashed, Running

from flows import alerts, deployments, ingest, quarantine, rests, status
from flows.cli import show
from flows.cli.screen import Screen
from infra import alerts as sending
from infra import orchestrator, stores
from infra import settings as settings_
from infra.ledger import BatchRecord, VersionRecord
from tasks.errors import ConfigError
from tests.projects import inbox, prefect_database, project, tumours
from tests.receivers import Receiver, hook, mailbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from prefect.client.schemas.objects import State

    from infra.settings import Settings
    from tasks.config import PipelineConfig

    Place = tuple[Settings, PipelineConfig]

CANARY = "canary-91be"
CHAT, MAIL = "ALERTS_CHAT", "ALERTS_MAIL"


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A web hook whose address is a secret."""
    with hook() as receiver:
        monkeypatch.setenv(CHAT, f"json://someone:{CANARY}@127.0.0.1:{receiver.port}/{CANARY}?+Key={CANARY}")
        yield receiver


@pytest.fixture
def place(home: Path) -> Place:
    """A pipeline `clinic` that has seen nothing yet."""
    return project(home, tumours(), "Malignant")


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with mailbox() as receiver:
        monkeypatch.setenv(MAIL, f"mailto://127.0.0.1:{receiver.port}?from=treadle@example.org&to=someone@example.org")
        yield receiver


def to(settings: Settings, *names: str, more: str = "") -> None:
    """Let the pipeline's file say who is told."""
    file = settings.home / "pipelines" / "clinic.toml"
    named = ", ".join(f'"env:{name}"' for name in names)
    file.write_text(f"{file.read_text().partition('[alerts]')[0]}\n[alerts]\nto = [{named}]\n{more}\n")


def arrive(settings: Settings, name: str, bad: int) -> None:
    """A file of which so many rows break a rule."""
    ids = [f"{name} {number}" for number in range(40)]
    rows = tumours()[:40].drop(columns="Malignant").assign(**{"Tumour ID": ids})
    rows.loc[: bad - 1, "mean radius"] = -1
    rows.to_csv(inbox(settings.home) / f"{name}.csv", index=False)


def break_suite(settings: Settings) -> Path:
    """Let every ingest fail."""
    suite = settings.home / "expectations" / "clinic.json"
    return suite.rename(suite.with_suffix(".away"))


def fail(settings: Settings, config: PipelineConfig) -> None:
    with pytest.raises(ConfigError):
        ingest.run(settings, config)


def version(number: int, decision: str, headline: str = "so it is") -> VersionRecord:
    """One that the gate has judged; nobody is champion."""
    told = {"run_key": str(number), "run_id": "", "bundle": "", "digest": "", "data_version": "rows@1"}
    judged = {"decision": decision, "headline": headline, "metric": "roc_auc", "value": 0.9, "champion_value": None}
    at = datetime.now(UTC)
    return VersionRecord(pipeline="clinic", version=number, result='{"against": null}', created_at=at, **told, **judged)


def taken(settings: Settings, name: str) -> bool:
    """Whether a file has been taken in."""
    return name in {record.label for record in stores.open(settings, "clinic").ledger.batches("clinic")}


def eventually(look: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.5)


def left(settings: Settings) -> list[str]:
    """Where a secret is in the home."""
    files = (path for path in settings.home.rglob("*") if path.is_file())
    return [str(path) for path in files if CANARY.encode() in path.read_bytes()]


def test_all_that_is_new_comes_in_one_message_once(prefect_server: str, place: Place, chat: Receiver) -> None:
    settings, config = place
    to(settings, CHAT)
    arrive(settings, "june", bad=1)
    arrive(settings, "july", bad=40)
    ingest.run(settings, config)
    away = break_suite(settings)
    fail(settings, config)
    (delivery,) = alerts.tell(settings)
    assert (delivery.told, delivery.trouble, delivery.receiver.address) == (2, "", "json://127.0.0.1")
    (told,) = chat.told
    assert told.title == "treadle: clinic: 2 things need you"
    assert "the last `ingest` failed: " in told.body
    assert f"where: {prefect_server.removesuffix('/api')}/runs/flow-run/" in told.body
    assert "then: treadle ingest -p clinic" in told.body
    assert "2 batches (41 rows) in quarantine" in told.body
    assert "june.csv: 1 rows" in told.body
    assert "july.csv: " in told.body
    assert "then: treadle quarantine list -p clinic" in told.body
    assert [one.told for one in alerts.tell(settings)] == [0]

    fail(settings, config)  # for the same reason
    assert [one.told for one in alerts.tell(settings, ["clinic"])] == [0]
    away.rename(away.with_suffix(".json"))
    arrive(settings, "august", bad=2)
    ingest.run(settings, config)
    assert alerts.tell(settings)[0].told == 1
    assert chat.told[1].title == "treadle: clinic: 3 batches (43 rows) in quarantine, and nobody has decided"
    assert "august.csv" in chat.told[1].body
    assert "june.csv" not in chat.told[1].body
    break_suite(settings)
    fail(settings, config)  # the failure was over, and is there again
    assert alerts.tell(settings)[0].told == 1
    assert "the last `ingest` failed" in chat.told[2].title
    assert len(chat.told) == 3
    assert left(settings) == []


@pytest.mark.usefixtures("prefect_server")
def test_a_verdict_that_needs_a_person_is_told_by_mail_and_by_hook(
    place: Place, chat: Receiver, mail: Receiver
) -> None:
    settings, config = place
    to(settings, CHAT, MAIL)
    ledger = stores.open(settings, config.name).ledger
    ledger.add_version(version(3, "REFUSED", "leak: column 'x' gives it"))
    assert [one.told for one in alerts.tell(settings)] == [1, 1]
    assert len(chat.told) == len(mail.told) == 1
    for told in (chat.told[0], mail.told[0]):
        assert told.title == "treadle: clinic: the gate refused version 3: leak: column 'x' gives it"
        assert "  then: treadle report -p clinic" in told.body
        assert str(settings.home) in told.body
    assert "promotion" in [need.kind for need in status.run(settings).needs]
    ledger.add_version(version(4, "PROMOTE"))
    assert [one.told for one in alerts.tell(settings)] == [1, 1]
    assert "version 4 is better than guessing and waits for your word" in mail.told[1].title
    assert "treadle promote 4 --reason" in mail.told[1].body


def test_a_receiver_that_is_away_is_told_when_it_is_back_and_nobody_else_is_told_again(
    place: Place,
    chat: Receiver,
    mail: Receiver,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, config = place
    to(settings, CHAT, MAIL, "ALERTS_NOWHERE")
    ledger = stores.open(settings, config.name).ledger
    ledger.add_version(version(3, "REFUSED"))
    chat.answer = 503
    alerts.after(settings, "clinic")
    assert [record.getMessage() for record in caplog.records if record.name == "treadle.alerts"] == [
        f"alerts: {CHAT} (json://127.0.0.1) refused it (HTTP 503); it is tried again in a while",
        "alerts: ALERTS_NOWHERE is not set; it is tried again in a while",
    ]
    assert (len(chat.told), len(mail.told)) == (0, 1)
    chat.answer = 200
    caplog.clear()
    alerts.after(settings, "clinic")
    assert (len(chat.told), len(mail.told), caplog.messages) == (0, 1, []), "it is left in peace for a minute"
    monkeypatch.setattr(rests, "FIRST_SECONDS", 0.0)
    for _ in range(2):
        alerts.after(settings, "clinic")
        assert (len(chat.told), len(mail.told)) == (1, 1)
    assert CANARY not in caplog.text


def test_who_does_not_answer_is_tried_after_ever_longer_pauses_but_at_once_by_the_command(
    place: Place, chat: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, config = place
    to(settings, CHAT)
    stores.open(settings, config.name).ledger.add_version(version(3, "REFUSED"))
    chat.answer = 503
    moment = time.time()
    monkeypatch.setattr(rests, "time", SimpleNamespace(time=lambda: moment))
    attempts = []
    for minute in range(200):
        moment += 60.0 if minute else 0.0
        if alerts.tell(settings):
            attempts.append(minute)
    assert attempts == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    assert [one.trouble for one in alerts.run(settings).deliveries] == ["refused it (HTTP 503)"]
    moment -= 86_400
    chat.answer = 200
    assert [one.told for one in alerts.tell(settings)] == [1], "a clock that was set back silences nobody"


def test_what_needs_a_person_is_told_while_mlflow_is_away(
    place: Place, chat: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, config = place
    to(settings, CHAT)
    ledger = stores.open(settings, config.name).ledger
    ledger.add_version(version(2, "PROMOTE"))
    ledger.promote("clinic", expected=None, to=2, verdict="", reason="", who="", bundle="", digest="")
    ledger.add_version(version(3, "REFUSED"))
    monkeypatch.setenv("TREADLE_TRACKING_URI", "http://127.0.0.1:9")
    away = settings_.at(settings.home)
    assert alerts.tell(away)[0].told == 1
    assert "the gate refused version 3" in chat.told[0].title
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert [need.kind for need in status.run(away).needs if need.kind == "promotion"] == ["promotion"]


def test_a_receiver_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(CHAT, f"json://127.0.0.1:{silent.getsockname()[1]}/?rto=60")
        assert sending.send(CHAT, sending.Message("a", "b")) == "does not answer within 1 seconds"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"json://me:{CANARY}@hooks.example.org:8080/{CANARY}?key={CANARY}", "json://hooks.example.org"),
        (f"mailtos://me:{CANARY}@example.org?to=you@example.org", "mailtos://..."),
        (f"mailtos://me:{CANARY}@example.org", "mailtos://example.org"),
        (f"slack://{CANARY}/B/C", "slack://..."),
        (f"tgram://{CANARY}/1", "tgram://..."),
        (f"json://me:{CANARY}/x@example.org", "json://..."),
        (CANARY, "an address"),
        ("", ""),
    ],
)
def test_of_an_address_only_what_is_no_secret_is_shown(
    monkeypatch: pytest.MonkeyPatch, address: str, shown: str
) -> None:
    monkeypatch.setenv(CHAT, address)
    assert sending.address(CHAT) == shown


def batch(at: datetime) -> BatchRecord:
    return BatchRecord(
        "clinic", at.isoformat(), at.isoformat(), "x.csv", "accepted", "", 1, 1, 0, 0, 0, 1, "", "", at
    )  # fmt: skip


def test_data_that_no_longer_comes_is_told_until_it_comes(place: Place, chat: Receiver) -> None:
    settings, config = place
    to(settings, CHAT, more="stale_after_hours = 30")
    ledger = stores.open(settings, config.name).ledger
    assert alerts.tell(settings)[0].told == 0
    now = datetime.now(UTC)
    ledger.record_batch(batch(now - timedelta(hours=31)))
    assert alerts.tell(settings)[0].told == 1
    assert chat.told[0].title.startswith("treadle: clinic: no data came since ")
    assert chat.told[0].title.endswith("UTC, more than 30 hours")
    assert alerts.tell(settings)[0].told == 0
    ledger.record_batch(batch(now))
    assert [need.kind for need in status.run(settings).needs if need.kind == "stale"] == []
    assert alerts.tell(settings)[0].told == 0
    ledger.record_batch(replace(batch(now), at=now - timedelta(hours=30.5)))
    assert alerts.tell(settings)[0].told == 1
    to(settings, CHAT, more='about = ["failed"]\nstale_after_hours = 1')
    ledger.record_batch(batch(now - timedelta(hours=29)))
    assert alerts.tell(settings)[0].told == 0


def test_a_file_that_cannot_be_obeyed_is_told_to_those_it_names(place: Place, chat: Receiver) -> None:
    settings, _ = place
    file = settings.home / "pipelines" / "clinic.toml"
    to(settings, CHAT)
    sound = file.read_text()
    file.write_text(sound.replace("[split]", "[spilt]"))
    assert alerts.tell(settings)[0].told == 1
    assert "unknown key 'spilt'" in chat.told[0].title
    assert "treadle check -p clinic" in chat.told[0].body
    file.write_text(f"{sound}\n][")
    assert alerts.tell(settings) == ()


def test_a_command_that_no_terminal_watches_tells_and_leaves_no_secret(
    prefect_server: str, place: Place, chat: Receiver
) -> None:
    settings, _ = place
    to(settings, CHAT, "ALERTS_NOWHERE")
    arrive(settings, "june", bad=40)
    out = io.StringIO()
    ended = subprocess.run(
        [sys.executable, "-m", "flows.cli", "ingest"],
        cwd=settings.home,
        env={**os.environ, "PREFECT_API_URL": prefect_server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 3, ended.stderr
    out.write(ended.stdout + ended.stderr)
    show.status(status.run(settings), Screen(out))
    for test in (False, True):
        result = alerts.run(settings, test=test)
        assert result.exit_code() == 1, "one address is not known"
        show.alerts(result, Screen(out))
    assert [told.title for told in chat.told] == [
        "treadle: clinic: 1 batch (40 rows) in quarantine, and nobody has decided",
        "treadle: a test",
    ]
    said = out.getvalue()
    assert f"alerts go to {CHAT} (json://127.0.0.1), ALERTS_NOWHERE (not set here)" in said
    assert f"{CHAT} (json://127.0.0.1), of clinic: test sent" in said
    assert f"{CHAT} (json://127.0.0.1), of clinic: nothing new" in said
    assert CANARY not in said
    assert left(settings) == []


@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_was_killed_is_told_where_it_is_not_taken_up_again(
    place: Place, chat: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, config = place
    to(settings, CHAT)
    deployments.apply(settings)
    run = UUID(deployments.start(settings, config.name, "train"))

    def becomes(*states: State[None]) -> int:
        with orchestrator.flow_context(settings), orchestrator.connected() as client:
            for state in states:
                client.set_flow_run_state(run, state, force=True)
        return alerts.tell(settings)[0].told

    assert becomes(Running(), Crashed(message="Its process was killed.")) == 0
    monkeypatch.setattr(alerts, "CRASHED_SECONDS", 0.0)
    assert alerts.tell(settings)[0].told == 1
    assert chat.told[0].title == "treadle: clinic: the last `train` crashed: Its process was killed."
    assert becomes(Running()) == 0
    assert becomes(Crashed(message="Its process was killed.")) == 0, "nobody knew whether it was over"
    assert becomes(Running(), Completed()) == 0
    assert becomes(Running(), Crashed(message="Its process was killed.")) == 1
    (settings.home / "pipelines" / "clinic.toml").unlink()
    deployments.apply(settings)  # the server is the session's


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_of_a_deployment_ends_with_a_look(prefect_server: str, place: Place, chat: Receiver) -> None:
    settings, config = place
    to(settings, CHAT)
    deployments.apply(settings)
    chat.answer = 500
    try:
        away = break_suite(settings)
        for name, mend in (("june", False), ("july", True)):
            arrive(settings, name, bad=40)
            run = deployments.start(settings, config.name, "ingest", paths=[f"data/inbox/clinic/{name}.csv"])
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
        works = {one.work: one.state for one in status.run(settings).pipelines[0].work}
        assert works["ingest"] == "COMPLETED"
        assert [told.title for told in chat.told] == [
            "treadle: clinic: 1 batch (40 rows) in quarantine, and nobody has decided"
        ]
        quarantine.drop(settings, config, status.run(settings).pipelines[0].quarantine.kept[0].batch_id, "seen")
        assert alerts.tell(settings)[0].told == 0
    finally:
        (settings.home / "pipelines" / "clinic.toml").unlink()
        deployments.apply(settings)  # the server is the session's


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
        command = [sys.executable, "-P", "-m", "flows.cli"]
        subprocess.run([*command, "up", "--detach"], cwd=settings.home, check=True)
        try:
            eventually(lambda: "no data came" in "".join(told.title for told in chat.told))
            arrive(settings, "june", bad=40)
            eventually(lambda: "in quarantine" in "".join(told.title + told.body for told in chat.told))
            arrive(settings, "july", bad=0)
            eventually(lambda: status.run(settings).pipelines[0].unscored.rows == 0 and taken(settings, "july.csv"))
            assert len([told for told in chat.told if "1 batch (40 rows)" in told.title + told.body]) == 1
            said = (settings.state / "logs" / "up.log").read_text()
            assert said.count("ALERTS_SILENT (json://127.0.0.1) does not answer within 20 seconds") == 1
        finally:
            subprocess.run([*command, "down"], cwd=settings.home, check=True)
    assert left(settings) == []
