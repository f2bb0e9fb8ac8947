"""What the operating system tells about processes: from /proc on Linux, from `ps` and `sysctl` elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

from treadle.infra.settings import child_environment

PROCESSES = Path("/proc")


def process_identity(pid: int) -> str:
    """A text that no other process ever gets: machine and its start, a space, process id and start time.

    The machine is empty where it is not known, the start time where no such process runs; a zombie does not run.
    """
    return f"{machine_identity()} {pid}/{_started(pid)}"


def machine_identity() -> str:
    """This start of this machine, with the name space of process ids where there are several; empty if not known."""
    with suppress(OSError):
        if not PROCESSES.is_dir():
            return _output("sysctl", "-n", "kern.bootsessionuuid").strip()
        boot = (PROCESSES / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink(PROCESSES / 'self/ns/pid')}"
    return ""


def has_ended(identity: str) -> bool:
    """Whether the process with this `process_identity` has ended; False for every process of another machine."""
    machine, _, process = identity.rpartition(" ")
    return bool(machine) and machine == machine_identity() and identity != process_identity(int(process.split("/")[0]))


def run_processes(home: Path) -> dict[str, int]:
    """The living processes that a worker of this home started for flow runs: run id -> process id.

    They are found by their environment. Raises OSError where the system does not show it.
    """
    found = {}
    for pid, variables in _environments().items():
        run = next((one for one in variables if one.startswith("PREFECT__FLOW_RUN_ID=")), "")
        if run and f"TREADLE_HOME={home}" in variables:
            found[run.partition("=")[2]] = pid
    return found


def _environments() -> dict[int, list[str]]:
    """The environment, as NAME=value, of every living process that we may look at, by process id."""
    found = {}
    if PROCESSES.is_dir():
        for place in PROCESSES.glob("[0-9]*/environ"):
            with suppress(OSError):
                found[int(place.parent.name)] = place.read_bytes().decode(errors="replace").split("\0")
        return found
    for pid, command in re.findall(r"(?m)^ *(\d+) (.*)$", _output("ps", "axeww", "-o", "pid=,command=")):
        found[int(pid)] = re.split(r"\s(?=\w+=)", command.strip())
    if not any(one.startswith("PATH=") for one in found.get(os.getpid(), [])):
        raise OSError("ps does not show the environment of processes")
    return found


def _started(pid: int) -> str:
    """When a process started, in units of the system; empty where none runs."""
    with suppress(OSError):
        if not PROCESSES.is_dir():
            state, _, started = _output("ps", "-o", "stat=,lstart=", "-p", str(pid)).strip().partition(" ")
            return "" if state.startswith("Z") else "_".join(started.split())
        state, *rest = (PROCESSES / f"{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return "" if state in "ZX" else rest[18]
    return ""


def _output(*command: str) -> str:
    """What a command of the system prints, in the C locale; raises OSError where there is no such command."""
    answer = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=child_environment({"LC_ALL": "C"}), check=False
    )
    return answer.stdout
