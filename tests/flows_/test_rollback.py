from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.projects import project, tumours
from treadle.flows.champion import history, promote, rollback
from treadle.infra import stores
from treadle.infra.databases.ledger import Promotion
from treadle.tasks.errors import BundleError, NothingPromoted, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

    Clinic = tuple[Settings, PipelineConfig]

BEGAN = datetime(2026, 10, 1, tzinfo=UTC)


def moves(text: str) -> list[Promotion]:
    """`1 2 b3 r2`: promoted by the gate, by hand, stepped back to."""
    made: list[Promotion] = []
    for seq, word in enumerate(text.split(), start=1):
        verdict = {"r": "ROLLBACK", "b": "BY HAND"}.get(word[0], "PROMOTE")
        before = made[-1].version_to if made else None
        at = BEGAN + timedelta(days=seq)
        made.append(Promotion("p", seq, at, before, int(word.strip("rb")), verdict, "", "", "", "", False))
    return made


PILES = {
    "1": [1],
    "1 2 3": [1, 2, 3],
    "1 2 3 r2": [1, 2],
    "1 2 3 r2 r1": [1],
    "1 2 3 r2 r3": [1, 2, 3],
    "1 2 3 r2 r3 r2": [1, 2],
    "1 2 3 r1": [1],
    "1 2 3 r1 r3": [1, 2, 3],
    "1 2 3 r2 4": [1, 2, 4],
    "1 2 3 r2 4 r3": [1, 2, 4, 3],
    "1 2 b1": [1, 2, 1],
    "1 2 b1 r2": [1, 2],
    "1 2 b1 r2 r1": [1, 2, 1],
    "1 2 3 r2 r1 r2": [1, 2],
}


@pytest.mark.parametrize("history", PILES)
def test_champions_are_a_pile_and_an_undone_step_leaves_it_as_it_was(history: str) -> None:
    assert rollback.champion_stack(moves(history)) == PILES[history]


def test_a_step_back_is_checked_audited_and_undone_by_the_command_that_it_prints(clinic: Clinic) -> None:
    settings, config = clinic
    stepped = rollback.run_rollback(settings, config, reason="Lyon complained")
    assert (stepped.from_version, stepped.to, stepped.reason) == (2, 1, "Lyon complained")
    assert stepped.golden_rows > 50
    assert stepped.seconds < 60
    shown = history.run_models(settings, config)
    assert (shown.champion, shown.alias) == (1, "")
    assert (shown.history[0].verdict, shown.history[0].reason) == ("ROLLBACK", "Lyon complained")
    assert stepped.undo == "treadle rollback --to 2 -p clinic"
    undone = rollback.run_rollback(settings, config, to=2)
    assert (undone.from_version, undone.to, undone.reason) == (1, 2, "stepped back from version 1")
    assert rollback.run_rollback(settings, config).to == 1


def test_a_second_step_back_goes_no_further_than_the_first_champion(clinic: Clinic) -> None:
    settings, config = clinic
    rollback.run_rollback(settings, config)
    with pytest.raises(UsageError, match="no champion before version 1") as caught:
        rollback.run_rollback(settings, config)
    assert caught.value.fix == "name another former champion: --to 2"
    assert history.run_models(settings, config).champion == 1


def test_the_same_command_after_a_kill_is_the_same_step_until_the_person_was_told(clinic: Clinic) -> None:
    settings, config = clinic
    first = rollback.run_rollback(settings, config, resume=True)
    again = rollback.run_rollback(settings, config, resume=True)
    assert (again.seq, again.from_version, again.to, again.reason) == (first.seq, 2, 1, first.reason)
    assert len(history.run_models(settings, config).history) == 3
    rollback.acknowledge(settings, config)
    with pytest.raises(UsageError, match="no champion before version 1"):
        rollback.run_rollback(settings, config, resume=True)


def test_a_note_of_another_command_is_no_step_of_this_one(clinic: Clinic) -> None:
    settings, config = clinic
    rollback.run_rollback(settings, config, reason="Lyon complained", resume=True)
    with pytest.raises(UsageError, match="champion already"):
        rollback.run_rollback(settings, config, to=1, resume=True)
    assert rollback.run_rollback(settings, config, to=2, resume=True).to == 2


def test_nobody_steps_back_to_themselves_or_to_a_stranger(clinic: Clinic) -> None:
    settings, config = clinic
    with pytest.raises(UsageError, match="version 2 is the champion already"):
        rollback.run_rollback(settings, config, to=2)
    with pytest.raises(UsageError, match=r"version 7 was never champion \(champions so far: 1, 2\)"):
        rollback.run_rollback(settings, config, to=7)


def test_there_is_nothing_to_step_back_from_without_a_champion(home: Path) -> None:
    settings, config = project(home, tumours()[:50], "Malignant")
    with pytest.raises(NothingPromoted):
        rollback.run_rollback(settings, config)


def test_a_bundle_without_its_certificate_takes_no_chair(clinic: Clinic) -> None:
    from treadle.tasks import bundle
    from treadle.tasks.bundle.manifest import publish_bundle, verified

    settings, config = clinic
    opened = stores.open(settings, "clinic")
    folder = opened.bundle_folder(1)
    manifest, contents = verified(folder)
    del contents["parity.json"]
    digest = publish_bundle(folder, contents, manifest.facts)
    with pytest.raises(BundleError, match="no parity certificate"):
        bundle.certificate(folder)
    with opened.ledger._write() as con:
        con.exec_driver_sql(f"UPDATE versions SET digest = '{digest}' WHERE version = 1")
    for attempt in (
        lambda: rollback.run_rollback(settings, config),
        lambda: promote.run_promote(settings, config, 1, "please"),
    ):
        with pytest.raises(BundleError, match="no parity certificate"):
            attempt()
    assert history.run_models(settings, config).champion == 2


def test_another_scorer_than_the_certified_one_takes_no_chair(clinic: Clinic) -> None:
    settings, config = clinic
    scorer = stores.open(settings, "clinic").bundle_folder(1).parents[1] / "scorer.py"
    scorer.write_text(scorer.read_text() + "\n")
    with pytest.raises(BundleError, match="not the scorer that was compared"):
        rollback.run_rollback(settings, config)
    assert history.run_models(settings, config).champion == 2


def test_models_say_who_was_champion_at_a_moment(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    settings, config = clinic
    with stores.open(settings, "clinic").ledger._write() as con:
        for seq, at in ((1, "2026-10-12T07:00:00.000000+00:00"), (2, "2026-10-12T07:00:01.000000+00:00")):
            con.exec_driver_sql(f"UPDATE promotions SET at = '{at}' WHERE seq = {seq}")
    monkeypatch.setenv("TZ", "Europe/Berlin")  # two hours before UTC's clock that day
    time.tzset()
    try:
        asked = {
            "2026-10-12 08:59": None,
            "2026-10-12 09:00": 1,
            "2026-10-12T09:00:01": 2,
            "2026-10-12 07:00+00:00": 1,
            "2026-10-12": None,
        }
        for at, champion in asked.items():
            then = history.run_models(settings, config, at).then
            assert (then.to if then else None) == champion, at
        assert history.run_models(settings, config).then is None
    finally:
        monkeypatch.undo()
        time.tzset()
    with pytest.raises(UsageError, match="is no moment"):
        history.run_models(settings, config, "last tuesday")
    with pytest.raises(UsageError, match="has not come yet"):
        history.run_models(settings, config, "2999-01-01")
