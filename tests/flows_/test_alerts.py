"""People are told what needs them: once, and all that is new in one message."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from prefect.states import Completed, Crashed, Running

from tests.flows_.alerting import CHAT, MAIL, arrive, break_suite, left, to, version
from treadle.flows import ingest
from treadle.flows.project import status
from treadle.flows.service import deployments
from treadle.flows.service.alerts import delivery as delivery_
from treadle.infra import orchestrator, stores
from treadle.infra import settings as settings_
from treadle.infra.databases.ledger import BatchRecord
from treadle.infra.orchestrator import dead_runs
from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from tests.flows_.alerting import Place
    from tests.receivers import Receiver
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig


def fail(settings: Settings, config: PipelineConfig) -> None:
    with pytest.raises(ConfigError):
        ingest.run_ingest(settings, config)


def test_all_that_is_new_comes_in_one_message_once(prefect_server: str, place: Place, chat: Receiver) -> None:
    settings, config = place
    to(settings, CHAT)
    arrive(settings, "june", bad=1)
    arrive(settings, "july", bad=40)
    ingest.run_ingest(settings, config)
    away = break_suite(settings)
    fail(settings, config)
    (delivery,) = delivery_.send_news(settings)
    assert (delivery.notified, delivery.trouble, delivery.receiver.address) == (2, "", "json://127.0.0.1")
    (told,) = chat.received
    assert told.title == "treadle: clinic: 2 things need you"
    assert "the last `ingest` failed: " in told.body
    assert f"where: {prefect_server.removesuffix('/api')}/runs/flow-run/" in told.body
    assert "then: treadle ingest -p clinic" in told.body
    assert "2 batches (41 rows) in quarantine" in told.body
    assert "june.csv: 1 rows" in told.body
    assert "july.csv: " in told.body
    assert "then: treadle quarantine list -p clinic" in told.body
    assert [one.notified for one in delivery_.send_news(settings)] == [0]

    fail(settings, config)  # for the same reason
    assert [one.notified for one in delivery_.send_news(settings, ["clinic"])] == [0]
    away.rename(away.with_suffix(".json"))
    arrive(settings, "august", bad=2)
    ingest.run_ingest(settings, config)
    assert delivery_.send_news(settings)[0].notified == 1
    assert chat.received[1].title == "treadle: clinic: 3 batches (43 rows) in quarantine without a decision"
    assert "august.csv" in chat.received[1].body
    assert "june.csv" not in chat.received[1].body
    break_suite(settings)
    fail(settings, config)  # the failure was over, and is there again
    assert delivery_.send_news(settings)[0].notified == 1
    assert "the last `ingest` failed" in chat.received[2].title
    assert len(chat.received) == 3
    assert left(settings) == []


@pytest.mark.usefixtures("prefect_server")
def test_a_verdict_that_needs_a_person_is_told_by_mail_and_by_hook(
    place: Place, chat: Receiver, mail: Receiver
) -> None:
    settings, config = place
    to(settings, CHAT, MAIL)
    ledger = stores.open(settings, config.name).ledger
    ledger.add_version(version(3, "REFUSED", "leak: column 'x' gives it"))
    assert [one.notified for one in delivery_.send_news(settings)] == [1, 1]
    assert len(chat.received) == len(mail.received) == 1
    for told in (chat.received[0], mail.received[0]):
        assert told.title == "treadle: clinic: the gate refused version 3: leak: column 'x' gives it"
        assert "  then: treadle report -p clinic" in told.body
        assert str(settings.home) in told.body
    assert "promotion" in [need.kind for need in status.run_status(settings).needs]
    ledger.add_version(version(4, "PROMOTE"))
    assert [one.notified for one in delivery_.send_news(settings)] == [1, 1]
    assert "version 4 is better than guessing and waits for your decision" in mail.received[1].title


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
    assert delivery_.send_news(away)[0].notified == 1
    assert "the gate refused version 3" in chat.received[0].title
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert [need.kind for need in status.run_status(away).needs if need.kind == "promotion"] == ["promotion"]


def batch(at: datetime) -> BatchRecord:
    return BatchRecord(
        "clinic", at.isoformat(), at.isoformat(), "x.csv", "accepted", "", 1, 1, 0, 0, 0, 1, "", "", at
    )  # fmt: skip


def test_data_that_no_longer_comes_is_told_until_it_comes(place: Place, chat: Receiver) -> None:
    settings, config = place
    to(settings, CHAT, more="stale_after_hours = 30")
    ledger = stores.open(settings, config.name).ledger
    assert delivery_.send_news(settings)[0].notified == 0
    now = datetime.now(UTC)
    ledger.record_batch(batch(now - timedelta(hours=31)))
    assert delivery_.send_news(settings)[0].notified == 1
    assert chat.received[0].title.startswith("treadle: clinic: no data came since ")
    assert chat.received[0].title.endswith("UTC, more than 30 hours")
    assert delivery_.send_news(settings)[0].notified == 0
    ledger.record_batch(batch(now))
    assert [need.kind for need in status.run_status(settings).needs if need.kind == "stale"] == []
    assert delivery_.send_news(settings)[0].notified == 0
    ledger.record_batch(replace(batch(now), at=now - timedelta(hours=30.5)))
    assert delivery_.send_news(settings)[0].notified == 1
    to(settings, CHAT, more='about = ["failed"]\nstale_after_hours = 1')
    ledger.record_batch(batch(now - timedelta(hours=29)))
    assert delivery_.send_news(settings)[0].notified == 0


def test_a_file_that_cannot_be_obeyed_is_told_to_those_it_names(place: Place, chat: Receiver) -> None:
    settings, _ = place
    file = settings.home / "pipelines" / "clinic.toml"
    to(settings, CHAT)
    sound = file.read_text()
    file.write_text(sound.replace("[labels]", "[lables]"))
    assert delivery_.send_news(settings)[0].notified == 1
    assert "unknown key 'lables'" in chat.received[0].title
    assert "treadle check -p clinic" in chat.received[0].body
    file.write_text(f"{sound}\n][")
    assert delivery_.send_news(settings) == ()


@pytest.mark.usefixtures("prefect_server")
def test_what_a_drop_of_files_brings_is_told_when_all_of_it_was_taken_in(place: Place, chat: Receiver) -> None:
    settings, config = place
    to(settings, CHAT)
    deployments.apply_deployments(settings)
    run = UUID(deployments.start_run(settings, config.name, "ingest"))

    def told_when(state: State[None]) -> int:
        with orchestrator.flow_context(settings), orchestrator.connected() as client:
            client.set_flow_run_state(run, state, force=True)
        return delivery_.send_news(settings)[0].notified

    ledger = stores.open(settings, config.name).ledger
    bad = replace(batch(datetime.now(UTC)), status="unreadable", reason="the file is empty", rows_in=0, accepted=0)
    ledger.record_batch(replace(bad, sha256="1", batch_id="1"))
    assert told_when(Running()) == 0
    ledger.record_batch(replace(bad, sha256="2", batch_id="2"))
    assert told_when(Completed()) == 1
    assert "2 batches in quarantine" in chat.received[0].title
    assert told_when(Running()) == told_when(Completed()) == 0, "they are told once"
    (settings.home / "pipelines" / "clinic.toml").unlink()
    deployments.apply_deployments(settings)  # the server is the session's


@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_was_killed_is_told_where_it_is_not_taken_up_again(
    place: Place, chat: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, config = place
    to(settings, CHAT)
    deployments.apply_deployments(settings)
    run = UUID(deployments.start_run(settings, config.name, "train"))

    def becomes(*states: State[None]) -> int:
        with orchestrator.flow_context(settings), orchestrator.connected() as client:
            for state in states:
                client.set_flow_run_state(run, state, force=True)
        return delivery_.send_news(settings)[0].notified

    assert becomes(Running(), Crashed(message="Its process was killed.")) == 0
    monkeypatch.setattr(dead_runs, "ALERT_SECONDS", 0.0)
    assert delivery_.send_news(settings)[0].notified == 1
    assert chat.received[0].title == "treadle: clinic: the last `train` crashed: Its process was killed."
    assert becomes(Running()) == 0
    assert becomes(Crashed(message="Its process was killed.")) == 0, "nobody knew whether it was over"
    assert becomes(Running(), Completed()) == 0
    assert becomes(Running(), Crashed(message="Its process was killed.")) == 1
    (settings.home / "pipelines" / "clinic.toml").unlink()
    deployments.apply_deployments(settings)  # the server is the session's
