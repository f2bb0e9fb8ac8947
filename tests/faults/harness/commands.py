"""Real commands in processes of their own, forked by one that has imported everything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

FINE = (0, 3, 4)
"""Done; done, and a batch was refused; done, and the gate let nobody in."""
LONGEST_SECONDS = 120.0
REPOSITORY = Path(__file__).parents[3]


@dataclass
class Command:
    """One command at work in a process of its own."""

    pid: int
    out: Path
    err: Path
    began: float = field(default_factory=time.monotonic)
    status: int | None = None

    def ended(self) -> bool:
        """Whether the process is gone; collects its status (negative: the signal)."""
        if self.status is None:
            path = self.out.with_suffix(".status")
            if path.exists() and (text := path.read_text()):
                self.status = int(text)
        return self.status is not None

    def wait(self, seconds: float = LONGEST_SECONDS) -> int:
        """The exit status."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"{self.err.read_text()[-2000:]}")
            time.sleep(0.01)
        assert self.status is not None
        return self.status

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def at_work(self) -> bool:
        """Whether the first of its flow's events was seen: `[  1.2 s] ingest: ...`."""
        return "] " in self.err.read_text()

    def said(self) -> str:
        return f"{self.out.read_text()}\n{self.err.read_text()}"


class Workshop:
    """Forks a process for each command; everything heavy is imported once."""

    def __init__(self, folder: Path, api_url: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.count = 0
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("TREADLE_", "PREFECT_"))
        }
        environment |= {"PREFECT_API_URL": api_url, "PREFECT_HOME": str(folder / "prefect"), "TMPDIR": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.faults.workshop"],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self) -> Workshop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:  # a library's thread that does not end
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def start(self, home: Path, arguments: Sequence[str], **environment: str) -> Command:
        """Begin `treadle ARGUMENTS` in `home`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.count += 1
        out, err = self.folder / f"{self.count}.out", self.folder / f"{self.count}.err"
        out.touch()
        err.touch()
        order = {"home": str(home), "arguments": list(arguments), "environment": environment}
        self.process.stdin.write(json.dumps(order | {"out": str(out), "err": str(err)}) + "\n")
        self.process.stdin.flush()
        return Command(int(self.process.stdout.readline()), out, err)

    def run(self, home: Path, arguments: Sequence[str], **environment: str) -> Command:
        """The command, ended."""
        command = self.start(home, arguments, **environment)
        command.wait()
        return command
