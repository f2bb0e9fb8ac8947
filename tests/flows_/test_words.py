"""What people read says what is so: of versions that wait, were declined or passed over, of labels, of files."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.projects import inbox, project, tumours
from treadle.flows import monitor, score
from treadle.flows.champion import history, promote
from treadle.flows.cli.models import show_models
from treadle.flows.cli.runtime.screen import Screen
from treadle.flows.cli.status import _realised as realised
from treadle.flows.project import status
from treadle.flows.project.status.snapshot import ChampionStatus
from treadle.flows.service.alerts import delivery
from treadle.infra import stores, supervisor
from treadle.infra.databases.ledger import VersionRecord
from treadle.infra.files import outbox
from treadle.infra.processes import process
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import NothingPromoted, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

    Clinic = tuple[Settings, PipelineConfig]


def judged(version: int, decision: str, against: int | None = None) -> VersionRecord:
    """A version as the gate leaves it in the ledger."""
    texts = dict.fromkeys(("run_id", "metric", "data_version", "bundle", "digest"), "")
    return VersionRecord(
        pipeline="clinic",
        version=version,
        run_key=f"run {version}",
        decision=decision,
        headline="so it is",
        value=0.9,
        champion_value=0.8,
        against=against,
        result="{}",
        created_at=datetime.now(UTC),
        **texts,
    )


@pytest.mark.usefixtures("prefect_server")
def test_why_nobody_predicts_is_said_with_what_helps(home: Path) -> None:
    settings, config = project(home, tumours(), "Malignant")
    ledger = stores.open(settings, config.name).ledger

    def refusal() -> tuple[str, str]:
        with pytest.raises(NothingPromoted) as raised:
            score.run_score(settings, config)
        return raised.value.message, raised.value.fix

    assert refusal() == ("clinic has no champion yet", "train one: treadle train -p clinic")
    ledger.add_version(judged(1, "KEEP"))
    assert refusal() == (
        "clinic has no champion: its newest version, 1, is KEEP",
        "see why: treadle report 1 -p clinic",
    )
    (need,) = (one for one in status.run_status(settings).needs if one.kind == "promotion")
    assert need.what == "no champion: the gate did not promote the only version"
    ledger.add_version(judged(2, "PROMOTE"))
    assert refusal() == (
        "clinic has no champion: version 2 waits for a person to promote it",
        "promote it, or add --decline: treadle promote 2 --reason '...' -p clinic",
    )
    promote.run_promote(settings, config, 2, "too slow", decline=True)
    message, fix = refusal()
    assert message == f"clinic has no champion: version 2 was declined by {settings.who}: too slow"
    assert fix == "train another: treadle train --again -p clinic"
    (need,) = (one for one in status.run_status(settings).needs if one.kind == "promotion")
    assert need.what == f"no champion: version 2 was declined by {settings.who}: too slow"
    assert need.command == "treadle train --again -p clinic"


def test_a_version_that_waited_until_another_was_promoted_was_passed_over(clinic: Clinic) -> None:
    settings, config = clinic
    ledger = stores.open(settings, config.name).ledger
    ledger.add_version(judged(3, "PROMOTE", against=2))
    ledger.add_version(judged(4, "KEEP", against=2))

    def verdicts() -> dict[int, str]:
        out = io.StringIO()
        known = history.run_models(settings, config)
        show_models(known, Screen(out))
        table = out.getvalue().partition("Champions")[0]
        lines = [[cell.strip() for cell in line.split("│")] for line in table.splitlines() if "│" in line]
        assert known.waiting == (3 if not any(one.passed_over for one in known.versions) else None)
        return {int(cells[2]): cells[3] for cells in lines if cells[2].isdigit()}

    assert verdicts() == {4: "KEEP", 3: "PROMOTE", 2: verdicts()[2], 1: "PROMOTE"}
    promote.run_promote(settings, config, 1, "the other one")
    assert verdicts()[3] == "PROMOTE, passed over"
    assert verdicts()[1] == "PROMOTE", "it has been champion"


def champion(labels_at: datetime | None, monitored_at: datetime | None) -> ChampionStatus:
    moment = datetime(2026, 11, 25, tzinfo=UTC)
    return ChampionStatus(
        version=1,
        since=moment,
        age_days=1.0,
        metric="roc_auc",
        value=0.9,
        realised=None,
        labels=0,
        monitored_at=monitored_at,
        due="",
        labels_at=labels_at,
    )


@pytest.mark.parametrize(
    ("came", "looked", "said"),
    [
        (None, 26, "no labels have come ("),
        (25, 26, "the labels that have come are of rows that it did not predict ("),
        (27, 26, "labels have come since it was looked at; look again: treadle monitor -p clinic ("),
        (27, None, "nobody has looked at this champion yet (treadle monitor -p clinic)"),
    ],
)
def test_it_is_said_why_it_is_not_known_what_predictions_were_worth(
    came: int | None, looked: int | None, said: str
) -> None:
    moments = (None if day is None else datetime(2026, 11, day, tzinfo=UTC) for day in (came, looked))
    assert realised(champion(*moments), "clinic").startswith(f"not known: {said}")


@pytest.mark.usefixtures("prefect_server")
def test_labels_of_rows_that_nobody_predicted_are_not_taken_for_none(clinic: Clinic) -> None:
    settings, _ = clinic
    file = settings.home / "pipelines" / "clinic.toml"
    text = re.sub(r"(\[labels\]\n)source = .*", r'\1source = "late/*.csv"', file.read_text())
    file.write_text(text)
    (settings.home / "late").mkdir()
    tumours()[["Tumour ID", "Malignant"]][:9].to_csv(settings.home / "late" / "november.csv", index=False)
    monitor.run_monitor(settings, load_config(file))
    (one,) = status.run_status(settings).pipelines
    assert one.champion is not None
    assert (one.champion.realised, one.champion.labels_at is None) == (None, False)


def test_an_up_that_was_killed_is_missed_until_it_is_told_to_end(clinic: Clinic) -> None:
    settings, _ = clinic
    lock = supervisor.locks_folder(settings) / "up.lock"
    assert status.run_status(settings).needs == ()
    code = (
        "import os, signal, sys; from pathlib import Path; from treadle.infra import settings, supervisor; "
        f"home = settings.at(Path({str(settings.home)!r}))\n"
        "with supervisor.hold_process_lock(supervisor.locks_folder(home) / 'up.lock', home.home, for_life=True):\n"
        "    supervisor.mark_ready(home, 'http://127.0.0.1:4200'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -9
    (need,) = status.run_status(settings).needs
    assert (need.pipeline, need.command) == ("", "treadle up")
    assert "nothing watches the inboxes" in need.what
    supervisor.stop_up(settings)
    assert process.last_record(lock).home == ""
    assert status.run_status(settings).needs == ()


@pytest.mark.parametrize(
    ("title", "longest", "cut"),
    [
        ("treadle: clinic: the gate refused it", 200, "treadle: clinic: the gate refused it"),
        ("treadle: clinic: the gate refused it", 24, "treadle: clinic: the ..."),
        ("treadle: clinic: the gate refused it", 16, "treadle: clinic ..."),
        ("a" * 40, 10, "aaaaaaaaaa ..."),
    ],
)
def test_a_title_is_cut_between_words(title: str, longest: int, cut: str) -> None:
    assert delivery._line(title, longest) == cut


def treadle(home: Path, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "treadle.flows.cli", *words]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TREADLE_", "PREFECT_"))}
    return subprocess.run(command, cwd=home, env={**kept, **extra}, capture_output=True, text=True, check=False)


def test_a_server_that_would_be_open_to_all_is_refused_before_it_is_said_to_start(clinic: Clinic) -> None:
    done = treadle(clinic[0].home, "train", TREADLE_HOST="0.0.0.0")
    assert done.returncode == 2
    assert "TREADLE_HOST=0.0.0.0 would let other machines in" in done.stderr
    assert "starting" not in done.stderr


def test_a_file_is_named_once_and_one_without_an_ending_is_said_to_be_so(home: Path) -> None:
    project(home, tumours(), "Malignant")
    (inbox(home) / "empty.csv").touch()
    assert "problem: empty.csv: the file is empty" in treadle(home, "check").stdout
    with pytest.raises(UsageError, match="october: its name has no ending that says how to write it"):
        outbox.check_output(home / "october")
