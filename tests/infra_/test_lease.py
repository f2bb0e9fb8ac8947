from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import postgres
from treadle.infra.databases.ledger import Ledger
from treadle.infra.locks import lease
from treadle.tasks.errors import Fenced

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLDER = """
import sys, time
from treadle.infra.locks import lease
from treadle.infra.databases.ledger import Ledger
lease.BEAT_SECONDS = 0.1
with lease.hold_lease(Ledger(sys.argv[1]), "shop", "train", "somebody", print) as token:
    print(token, flush=True)
    time.sleep(600)
"""
MOVE = {"to": 1, "verdict": "PROMOTE", "reason": "better", "who": "me", "bundle": "b", "digest": "d"}


@pytest.fixture(params=postgres.BACKENDS)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return Ledger(postgres.url(request, request.param, tmp_path / "treadle.db"))


@pytest.fixture
def holder(ledger: Ledger) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lease."""
    command = [sys.executable, "-c", HOLDER, ledger.url]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        yield process
        process.kill()


def test_of_many_one_at_a_time_is_at_work_each_with_a_higher_token(ledger: Ledger) -> None:
    inside, tokens = threading.Lock(), []

    def work(_number: int) -> None:
        with lease.hold_lease(ledger, "shop", "train", "me", lambda _line: None) as token:
            assert inside.acquire(blocking=False)
            tokens.append(token)
            inside.release()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert tokens == [1, 2, 3, 4]


def test_the_lease_of_a_dead_process_is_taken_at_once_also_of_one_nobody_buried(
    ledger: Ledger, holder: subprocess.Popen[str]
) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    lines: list[str] = []
    with lease.hold_lease(ledger, "shop", "train", "me", lines.append) as token:
        assert token == 2
    assert lines == []


def test_who_gives_signs_of_life_keeps_the_lease_whatever_patience_others_have(
    ledger: Ledger, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "EXPIRED_SECONDS", 1.0)
    heard = threading.Event()
    lines: list[str] = []

    def waiting(line: str) -> None:
        lines.append(line)
        heard.set()

    def wait_for_it() -> int:
        with lease.hold_lease(ledger, "shop", "train", "me", waiting) as token:
            return token

    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(wait_for_it)
        assert heard.wait(20)
        with pytest.raises(TimeoutError):
            second.result(2.5)
        holder.kill()
        assert second.result(20) == 2
    assert [line.split(",")[0] for line in lines] == ["waiting for somebody"]
    assert "`train` of shop" in lines[0]


def test_who_was_stopped_is_passed_by_and_can_promote_nothing_afterwards(
    ledger: Ledger, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "EXPIRED_SECONDS", 1.0)
    os.kill(holder.pid, signal.SIGSTOP)
    with lease.hold_lease(ledger, "shop", "train", "me", lambda _line: None) as token:
        with pytest.raises(Fenced, match=r"me, process .* took over `train` of shop: nothing was promoted"):
            ledger.promote("shop", expected=None, token=1, **MOVE)
        assert ledger.champion("shop") is None
        assert ledger.promote("shop", expected=None, token=token, **MOVE).seq == 1
    assert len(ledger.history("shop")) == 1


def test_an_error_of_one_that_was_passed_by_is_told_as_that(ledger: Ledger) -> None:
    def passed_by() -> None:
        with lease.hold_lease(ledger, "shop", "train", "me", print):
            seen = ledger.lease("shop", "train")
            assert seen is not None
            assert ledger.take_lease(lease.Lease("shop", "train", 2, 0, "another", ""), seen)
            raise FileNotFoundError("the other one cleared it up")

    with pytest.raises(Fenced, match="another took over"):
        passed_by()


def test_an_error_of_one_that_holds_it_stays_what_it_is_and_gives_the_lease_back(ledger: Ledger) -> None:
    def fails() -> None:
        with lease.hold_lease(ledger, "shop", "train", "me", print):
            raise ValueError("of our own")

    with pytest.raises(ValueError, match="of our own"):
        fails()
    began = time.monotonic()
    with lease.hold_lease(ledger, "shop", "train", "me", print) as token:
        assert token == 2
    assert time.monotonic() - began < lease.BEAT_SECONDS
