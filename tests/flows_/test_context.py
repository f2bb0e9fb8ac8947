from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from treadle.flows.context.locking import leased, one_at_a_time
from treadle.flows.project import backup
from treadle.infra import settings as settings_
from treadle.infra.databases.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_one_at_a_time_does_a_kind_of_work_in_all_homes_that_share_a_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_LEDGER_URL", f"sqlite:///{tmp_path / 'shared.db'}")
    at_work: list[str] = []
    most: list[int] = []
    first_is_in, first_may_end = threading.Event(), threading.Event()

    @one_at_a_time("ingest")
    def work(home: str, pipeline: str) -> None:
        at_work.append(home)
        most.append(len(at_work))
        if not first_is_in.is_set():
            first_is_in.set()
            first_may_end.wait(30)
        at_work.remove(home)

    homes = [str(tmp_path / name) for name in ("one", "two")]
    threads = [threading.Thread(target=work, args=(home, "shop")) for home in homes]
    threads[0].start()
    assert first_is_in.wait(30)
    threads[1].start()
    work(homes[1], "bakery")  # another pipeline waits for nobody
    assert at_work == [homes[0]]
    first_may_end.set()
    for thread in threads:
        thread.join(30)
    assert (sorted(most), at_work) == ([1, 1, 2], [])


def test_who_was_at_work_when_a_backup_was_taken_is_waited_for_by_nobody_where_it_is_restored(
    home: Path, tmp_path: Path
) -> None:
    with leased(str(home), "shop", "train"):
        backup.run_backup(settings_.at(home), tmp_path / "backup")
        now = Ledger(settings_.at(home).ledger).lease("shop", "train")
        assert now is not None
        assert now.process
    backup.run_restore(tmp_path / "backup", tmp_path / "elsewhere")
    there = Ledger(settings_.at(tmp_path / "elsewhere").ledger).lease("shop", "train")
    assert there is not None
    assert there.process == ""
