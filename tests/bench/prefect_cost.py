"""What Prefect adds to a command: the same flow function with and without it, side by side (`make bench`).

Each measurement is a process of its own, imports included, on a fresh copy of the same home, against a server that
runs. Without Prefect, a stand-in of twenty lines takes its place: `@flow` and `@task` leave functions as they are.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import harness
from treadle.infra import orchestrator
from treadle.infra import settings as settings_

ROUNDS = 5
MOST_SECONDS = 3.0
FLOWS = ("ingest", "score")

PROGRAM = """
import sys, types
from pathlib import Path

class Step:
    def __init__(self, function):
        self.function = function
    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs)
    def with_options(self, **_):
        return self

def decorator(function=None, **_):
    return Step(function) if function else Step

if sys.argv[1] == "without":
    prefect, artifacts, events = (types.ModuleType(f"prefect{part}") for part in ("", ".artifacts", ".events"))
    prefect.flow = prefect.task = decorator
    prefect.runtime = types.SimpleNamespace(flow_run=types.SimpleNamespace(id=None))
    for kind in ("table", "markdown", "link"):
        setattr(artifacts, f"create_{kind}_artifact", lambda **_: None)
    events.emit_event = lambda *_, **__: None
    sys.modules |= {"prefect": prefect, "prefect.artifacts": artifacts, "prefect.events": events}
    objects, context = types.ModuleType("prefect.client.schemas.objects"), types.ModuleType("prefect.context")
    objects.RunType = types.SimpleNamespace(FLOW_RUN="flow run")
    context.FlowRunContext = types.SimpleNamespace(get=lambda: None)
    for one in ("prefect.client", "prefect.client.schemas"):
        sys.modules[one] = types.ModuleType(one)
    sys.modules |= {objects.__name__: objects, context.__name__: context}
from treadle.infra import settings as settings_, orchestrator
settings = settings_.at(Path(sys.argv[2]))
orchestrator.prepare_client(settings)
from importlib import import_module
module = import_module(f"treadle.flows.{sys.argv[3]}")
if sys.argv[1] == "without":
    getattr(module, sys.argv[3])(sys.argv[2], sys.argv[4])
else:
    from treadle.tasks.config.load import load_config
    getattr(module, f"run_{sys.argv[3]}")(settings, load_config(settings.home / "pipelines" / f"{sys.argv[4]}.toml"))
"""


def seconds(home: Path, flow: str, how: str, aside: Path) -> tuple[float, float]:
    """One run on a copy of `home`: wall seconds, and seconds of processor, which other programs do not stretch."""
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(home, aside)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, how, str(aside), flow, harness.NAME]
    began, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, capture_output=True)
    now = os.times()
    used = now.children_user + now.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, used


def measure(folder: Path, homes: dict[str, Path]) -> int:
    """Print the table; 1 where Prefect costs more than it may."""
    print(f"medians of {ROUNDS} runs: seconds, and in brackets seconds of processor")
    print(f"{'flow':8} {'without':>15} {'with':>15} {'Prefect adds':>15} {'ratio':>13}")
    worst = 0.0
    for flow in FLOWS:
        found: dict[str, list[tuple[float, float]]] = {"without": [], "with": []}
        for how in found:  # compiled, cached, warm
            seconds(homes[flow], flow, how, folder / "copy")
        for _ in range(ROUNDS):
            for how, values in found.items():
                values.append(seconds(homes[flow], flow, how, folder / "copy"))
        without, whole = (tuple(map(statistics.median, zip(*runs, strict=True))) for runs in found.values())
        worst = max(worst, whole[0] - without[0])
        added = (whole[0] - without[0], whole[1] - without[1])
        ratio = (whole[0] / without[0], whole[1] / without[1])
        cells = [f"{wall:.2f} ({cpu:.2f})" for wall, cpu in (without, whole, added, ratio)]
        print(f"{flow:8} {cells[0]:>15} {cells[1]:>15} {cells[2]:>15} {cells[3]:>13}")
    print(f"Prefect may add {MOST_SECONDS:g} s to a command: {'yes' if worst < MOST_SECONDS else 'NO'}, {worst:.2f} s")
    return int(worst >= MOST_SECONDS)


def main() -> int:
    """Prepare a home with a champion and files that wait, and measure."""
    with tempfile.TemporaryDirectory(prefix="treadle-bench-") as place:
        folder = Path(place)
        server = settings_.at(folder / "server")
        (server.home / "pipelines").mkdir(parents=True)
        with orchestrator.flow_context(server) as url:
            pass
        try:
            with harness.Workshop(folder / "workshop", url) as workshop:
                homes = harness.Stages(workshop, folder, until="score").before
            os.environ["PREFECT_API_URL"] = url
            return measure(folder, homes)
        finally:
            os.environ.pop("PREFECT_API_URL", None)
            orchestrator.stop_servers(server)


if __name__ == "__main__":
    sys.exit(main())
