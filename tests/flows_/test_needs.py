"""What needs a person is said in words that fit, and points to the run in which it came about."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from tests.projects import inbox, project, tumours
from tests.receivers import hook
from treadle.flows import ingest, train
from treadle.flows.cli.runtime.screen import Screen
from treadle.flows.cli.status import show_status
from treadle.flows.project import status
from treadle.flows.project.status import prefect_messages
from treadle.flows.service.alerts import delivery
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

    Place = tuple[Settings, PipelineConfig]


@pytest.fixture
def place(home: Path) -> Place:
    """A pipeline `clinic` that has seen nothing yet."""
    return project(home, tumours(), "Malignant", quick=True)


def taken(place: Place, name: str, bad: int = 0) -> str:
    """Take in a file of which so many rows break a rule; the page of the run."""
    settings, config = place
    ids = [f"{name} {number}" for number in range(40)]
    rows = tumours()[:40].drop(columns="Malignant").assign(**{"Tumour ID": ids})
    rows.loc[: bad - 1, "mean radius"] = -1
    rows.to_csv(inbox(settings.home) / f"{name}.csv", index=False)
    ingest.run_ingest(settings, config)
    return newest(settings, "ingest")


def newest(settings: Settings, work: str) -> str:
    """The page of the newest run of the kind."""
    return next(one.page for one in status.run_status(settings).pipelines[0].work if one.work == work)


def need(settings: Settings, kind: str) -> status.Need:
    (found,) = (one for one in status.run_status(settings).needs if one.kind == kind)
    return found


@pytest.mark.usefixtures("prefect_server")
def test_rows_in_quarantine_point_to_the_run_that_refused_them(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = place
    june = taken(place, "june", bad=1)
    assert june != taken(place, "july"), "a run after it, which refused nothing"
    assert need(settings, "quarantine").page == june
    august = taken(place, "august", bad=2)
    both = need(settings, "quarantine")
    assert both.page == "", "no one run is that of all"
    assert [item.page for item in both.items] == [june, august]
    file = settings.home / "pipelines" / "clinic.toml"
    file.write_text(f'{file.read_text()}\n[alerts]\nto = ["env:ALERTS_CHAT"]\n')
    with hook() as chat:
        monkeypatch.setenv("ALERTS_CHAT", f"json://127.0.0.1:{chat.port}")
        delivery.send_news(settings)
        taken(place, "september", bad=3)
        september = newest(settings, "ingest")
        taken(place, "october")
        delivery.send_news(settings)
    assert [one in chat.received[0].body for one in (june, august, september)] == [True, True, False]
    assert f"  where: {september}\n" in chat.received[1].body
    assert june not in chat.received[1].body


@pytest.mark.usefixtures("prefect_server")
def test_what_arrived_within_another_work_points_to_the_run_within_it(place: Place) -> None:
    settings, config = place
    text = tumours()
    text.loc[0, "mean radius"] = -1
    text.to_csv(inbox(settings.home) / "all.csv", index=False)
    train.run_train(settings, config, trials=1, if_due=True)
    assert [one.work for one in status.run_status(settings).pipelines[0].work] == ["train"]
    page = need(settings, "quarantine").page
    assert "/runs/flow-run/" in page
    assert page != newest(settings, "train")


@pytest.mark.usefixtures("prefect_server")
def test_a_verdict_points_to_the_training_that_was_judged(place: Place) -> None:
    settings, _ = place
    file = settings.home / "pipelines" / "clinic.toml"
    file.write_text(f"{file.read_text().partition('[gate]')[0]}\n[gate]\nmax_model_mb = 0.000001\n")
    config = load_config(file)
    train.run_train(settings, config, trials=1)
    judged = newest(settings, "train")
    train.run_train(settings, config, trials=1)  # it is done already
    assert newest(settings, "train") != judged
    assert need(settings, "promotion").page == judged


@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_the_server_does_not_know_is_no_link(place: Place) -> None:
    from treadle.infra import stores

    settings, config = place
    taken(place, "june", bad=1)
    ledger = stores.open(settings, config.name).ledger
    record = ledger.batches(config.name)[-1]
    for run in ("00000000-0000-4000-8000-000000000000", ""):
        ledger.record_batch(record, run=run)
        assert need(settings, "quarantine").page == ""


def shown(settings: Settings) -> str:
    """What `treadle status` prints."""
    out = io.StringIO()
    show_status(status.run_status(settings), Screen(out))
    return out.getvalue()


KILLED = (
    "Process exited due to a SIGKILL signal. Typically caused by the operating system terminating the process for "
    "exceeding memory limits, or by manual cancellation."
)
LATE = "Flow run encountered an exception: ServiceError: the ledger does not answer\nlook at the server"


@pytest.mark.parametrize(
    ("said", "whole", "line"),
    [
        ("Its process was killed.", "Its process was killed.", "Its process was killed."),
        (f"Flow run infrastructure exited with non-zero status code -9. {KILLED}", "its process was killed", ""),
        (f"Process exited with status code: 137. {KILLED}", "its process was killed", ""),
        ("Flow run process exited with non-zero status code 1.", "its process ended with status 1", ""),
        ("Execution was aborted by an interrupt signal.", "it was interrupted", ""),
        ("Flow run could not start: no module 'x'", "it could not be started: no module 'x'", ""),
        ("Flow run process could not be started:\nOSError()", "it could not be started: OSError()", ""),
        (LATE, "the ledger does not answer\nlook at the server", "the ledger does not answer"),
        ("Flow run encountered an exception: KeyError: 'x'", "KeyError: 'x'", ""),
        ("word " * 60, "word " * 60, "word " * 20 + "..."),
        ("", "", ""),
    ],
)
def test_what_prefect_says_of_a_run_is_said_in_a_phrase(said: str, whole: str, line: str) -> None:
    assert prefect_messages.plain(said) == whole
    assert prefect_messages.brief(said) == (line or whole)


@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_failed_is_a_phrase_for_people_and_all_of_it_for_programs(place: Place) -> None:
    settings, config = place
    suite = settings.home / "expectations" / "clinic.json"
    suite.rename(suite.with_suffix(".away"))
    with pytest.raises(ConfigError) as raised:
        ingest.run_ingest(settings, config)
    (work,) = status.run_status(settings).pipelines[0].work
    assert work.message.startswith("Flow run encountered an exception: ConfigError: ")
    assert work.error == raised.value.kind == "ConfigError"
    assert "Flow run encountered" not in shown(settings)
    assert "ConfigError" not in shown(settings)
    assert need(settings, "failed").what.startswith(f"the last `ingest` failed: {raised.value.message}; ")
