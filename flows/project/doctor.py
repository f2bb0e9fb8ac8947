"""`treadle doctor`: problems of this machine or this home, and how to fix them.

Quick, because heavy libraries are looked up by name and not imported, except XGBoost where there may be a GPU.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict

from treadle.tasks.commands import advice_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.infra.settings import Settings

GB = 1e9
PYTHON = (3, 11)
DISK_NEEDED, DISK_WANTED = 1 * GB, 5 * GB
MEMORY_WANTED = 3 * GB
NVIDIA = Path("/dev/nvidiactl")
MEMORY_INFO = Path("/proc/meminfo")
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
SAME_PACKAGE = {"xgboost": ("xgboost-cu12",)}
"""Packages that hold the same under another name: XGBoost for drivers of CUDA 12."""
FONT = "mpl-data/fonts/ttf/DejaVuSans.ttf"
DATABASES = {"mlflow.db": "MLflow's database", "treadle.db": "the ledger", "optuna.db": "the tuning studies"}


class Check(BaseModel):
    """One check: `ok`, `warning` (works, but slowly or not for long) or `broken`, what was found, and the remedy."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: Literal["ok", "warning", "broken"]
    found: str
    remedy: str = ""


class DoctorResult(BaseModel):
    """All checks, in the order in which to fix them."""

    model_config = ConfigDict(frozen=True)

    home: str
    checks: tuple[Check, ...]

    def exit_code(self) -> int:
        """1 when a check is broken; warnings are 0."""
        return 1 if any(check.status == "broken" for check in self.checks) else 0


def run_doctor(settings: Settings) -> DoctorResult:
    """Run all checks; one that raises an error counts as broken and stops no other."""
    return DoctorResult(
        home=str(settings.home), checks=tuple(_attempt(name, check, settings) for name, check in CHECKS.items())
    )


def _attempt(name: str, check: Callable[[Settings], Check], settings: Settings) -> Check:
    try:
        return check(settings)
    except Exception as error:
        return _broken(name, f"could not be checked: {type(error).__name__}: {error}", "report this as a bug")


def python(_settings: Settings) -> Check:
    """Is this Python new enough?"""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < PYTHON:
        return _broken("Python", version, "install Python 3.11 or later, then: make PYTHON=python3.11 install")
    return _ok("Python", f"{version} ({sys.prefix})")


def packages(_settings: Settings) -> Check:
    """Is everything installed that we need, in versions that we know to work?"""
    from importlib.metadata import distributions, requires

    from packaging.requirements import Requirement

    wrong, needed = [], [Requirement(line) for line in requires("treadle") or ()]
    for requirement in needed:
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        names = (requirement.name, *SAME_PACKAGE.get(requirement.name, ()))
        installed = next((one.version for name in names for one in distributions(name=name)), None)
        if installed is None:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} is {installed}, not {requirement.specifier}")
    if wrong:
        return _broken("packages", "; ".join(wrong), "make install")
    return _ok("packages", f"all {len(needed)} that treadle names")


def openmp(_settings: Settings) -> Check:
    """Does XGBoost find OpenMP? Its wheels include it on Linux, and need Homebrew's on macOS."""
    if platform.system() != "Darwin":
        return _ok("OpenMP", "comes with XGBoost")
    places = [Path(prefix) / "opt/libomp/lib/libomp.dylib" for prefix in ("/opt/homebrew", "/usr/local")]
    if any(place.exists() for place in places):
        return _ok("OpenMP", "libomp from Homebrew")
    return Check(name="OpenMP", status="warning", found="no libomp from Homebrew", remedy="brew install libomp")


def project(settings: Settings) -> Check:
    """Is there a project here?"""
    if (settings.home / "pipelines").is_dir():
        number = len(settings.pipelines)
        return _ok("project", f"{settings.home}, {number} pipeline{'' if number == 1 else 's'}")
    return Check(
        name="project",
        status="warning",
        found=f"none at {settings.home} or above",
        remedy="begin one: treadle init DATA --target COLUMN (or look at one: treadle demo)",
    )


def writable(settings: Settings) -> Check:
    """May we write in the home, and in the folders that it has already?"""
    folders = [_nearest_folder(settings.home), settings.state, settings.mlruns]
    if "://" not in settings.tables_root:
        folders.append(Path(settings.tables_root))
    for folder in (path for path in folders if path.exists()):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            remedy = "make room on this disk" if error.errno == errno.ENOSPC else f"chmod -R u+rwX '{folder}'"
            return _broken("writing", f"{folder}: {error.strerror}", f"{remedy}, or set TREADLE_HOME to another place")
    return _ok("writing", "the home can be written")


def disk(settings: Settings) -> Check:
    """Is there room for tables, models and MLflow's artifacts?"""
    free = shutil.disk_usage(_nearest_folder(settings.home)).free
    found, remedy = f"{free / GB:.1f} GB free", "make room, or set TREADLE_STORAGE_URL to a larger place"
    if free < DISK_NEEDED:
        return _broken("disk", found, remedy)
    if free < DISK_WANTED:
        return Check(name="disk", status="warning", found=found, remedy=remedy)
    return _ok("disk", found)


def memory(_settings: Settings) -> Check:
    """How much memory may we use? In a container, its limit and not the machine's memory."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in (path.read_text().strip() for path in MEMORY_LIMITS if path.exists()):
        total = min(total, int(limit)) if limit.isdigit() else total
    found = f"{total / GB:.1f} GB"
    if MEMORY_INFO.exists():
        fields = dict(line.split(":") for line in MEMORY_INFO.read_text().splitlines() if ":" in line)
        available = int(fields["MemAvailable"].split()[0]) * 1024
        found = f"{min(available, total) / GB:.1f} of {found} available"
        total = min(available, total)
    if total < MEMORY_WANTED:
        remedy = "close other programs; below 3 GB large tables may not fit into training"
        return Check(name="memory", status="warning", found=found, remedy=remedy)
    return _ok("memory", found)


def cores(_settings: Settings) -> Check:
    """How many cores may we use?"""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if usable < 2:
        remedy = "nothing to fix: give [tune].budget_seconds more time"
        return Check(name="cores", status="warning", found="1: tuning will find less in its time", remedy=remedy)
    return _ok("cores", str(usable))


def gpu(_settings: Settings) -> Check:
    """Do driver and XGBoost's wheel fit, and does a training stay on the GPU?

    Checked only where there is a driver, because the import takes two seconds.
    """
    if not NVIDIA.exists() and shutil.which("nvidia-smi") is None:
        return _ok("GPU", "none: training uses the CPU")
    import xgboost

    from treadle.flows.project.gpu_fit import gpu_fit, nvidia_smi
    from treadle.tasks.device import PAYS_FROM_VALUES, why_no_gpu

    fit = gpu_fit(xgboost.build_info(), nvidia_smi())
    if not fit.fits:
        return Check(name="GPU", status="warning", found=f"{fit.found}: training uses the CPU", remedy=fit.remedy)
    if missing := why_no_gpu():
        remedy = "see that nvidia-smi lists the GPU in this shell or container; until then training uses the CPU"
        return Check(name="GPU", status="warning", found=f"{fit.found}, but {missing}", remedy=remedy)
    return _ok("GPU", f"{fit.found}; device auto takes it from {PAYS_FROM_VALUES:,} values (rows x columns)")


def ports(_settings: Settings) -> Check:
    """Can a server of ours listen on this machine, and be reached?"""
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            socket.create_connection(listener.getsockname(), timeout=2).close()
    except OSError as error:
        remedy = "allow connections on the loopback interface (firewall, sandbox or container settings)"
        return _broken("ports", f"127.0.0.1 cannot be used: {error}", remedy)
    return _ok("ports", "free ports on 127.0.0.1")


def prefect(settings: Settings) -> Check:
    """Does the Prefect server that flows would use answer?"""
    from treadle.infra.orchestrator import ServerPhase, server_state
    from treadle.infra.settings import without_secrets

    server = server_state(settings)
    if server.state is ServerPhase.RUNNING:
        return _ok("Prefect server", without_secrets(server.url).removesuffix("/api"))
    if server.state is ServerPhase.STOPPED:
        return _ok("Prefect server", "not running: the next command that needs one starts it")
    if server.state is ServerPhase.STARTING:
        found = f"process {server.pid} is there but does not answer (yet)"
        return Check(name="Prefect server", status="warning", found=found, remedy="wait a little, else: treadle down")
    remedy = "start that server, or unset PREFECT_API_URL to use the project's own"
    return _broken("Prefect server", f"PREFECT_API_URL={without_secrets(server.url)} does not answer", remedy)


def check_mlflow(settings: Settings) -> Check:
    """Does the MLflow server answer, where TREADLE_TRACKING_URI names one?"""
    from treadle.infra import supervisor
    from treadle.infra.settings import without_secrets

    if not supervisor.is_elsewhere(settings):
        return _ok("MLflow server", "none is needed: treadle up shows its pages")
    found = f"TREADLE_TRACKING_URI={without_secrets(settings.tracking)}"
    if supervisor.answers(settings.tracking):
        return _ok("MLflow server", found)
    return _broken("MLflow server", f"{found} does not answer", "start that server, or unset TREADLE_TRACKING_URI")


def databases(settings: Settings) -> Check:
    """Are the embedded databases intact, and do those elsewhere answer?"""
    from treadle.infra.databases import engines

    elsewhere = {variable: url for variable, url in _addresses(settings).items() if url}
    for variable, url in elsewhere.items():
        if trouble := engines.trouble(url):
            return _broken("databases", f"{variable}: {trouble}", f"fix {variable}, or start that server")
    present = [path for path in (settings.mlruns / name for name in DATABASES) if path.exists()]
    for path in present:
        trouble = _trouble(path)
        if trouble:
            remedy = f"put back a copy of {path}, or begin anew without it: mv '{path}' '{path}.damaged'"
            return _broken("databases", f"{DATABASES[path.name]} is damaged: {trouble}", remedy)
    if not present and not elsewhere:
        return _ok("databases", "none yet: they are made when they are first needed")
    whole = f"{', '.join(path.name for path in present)}: whole" if present else ""
    answering = f"{', '.join(elsewhere)}: answering" if elsewhere else ""
    return _ok("databases", "; ".join(one for one in (whole, answering) if one))


def _addresses(settings: Settings) -> dict[str, str]:
    """Database URLs by the variable that sets them; empty where the database is under the home."""
    urls = {"TREADLE_LEDGER_URL": settings.ledger_url, "TREADLE_TUNING_URL": settings.tuning_url}
    if not settings.prefect_api_url:
        urls["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = settings.prefect_database_url
    stores = {"TREADLE_TRACKING_URI": settings.tracking_uri, "TREADLE_REGISTRY_URI": settings.registry_uri}
    return urls | {name: uri for name, uri in stores.items() if not uri.startswith("http")}


def artifact_paths(settings: Settings) -> Check:
    """Do MLflow's artifacts lie where its database says? It keeps absolute paths."""
    path = settings.mlruns / "mlflow.db"
    if not path.exists():
        return _ok("MLflow artifacts", "none yet")
    query = "SELECT DISTINCT artifact_location FROM experiments WHERE lifecycle_stage = 'active' AND experiment_id > 0"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        places = [Path(unquote(str(place).removeprefix("file://"))) for (place,) in connection.execute(query)]
    lost = [place for place in places if place.is_absolute() and not place.is_relative_to(settings.home)]
    if any(not place.exists() for place in lost):
        old = str(lost[0]).partition("/mlruns/")[0]
        found = f"MLflow looks for them in {lost[0]}, outside this home: was it moved?"
        return _broken(
            "MLflow artifacts", found, f"move it back, or let the old place lead here: ln -s '{settings.home}' '{old}'"
        )
    return _ok("MLflow artifacts", "in their place")


def fonts(_settings: Settings) -> Check:
    """Is there the font that plots are drawn with?"""
    from importlib.util import find_spec

    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None or not (Path(spec.origin).parent / FONT).exists():
        return _broken("fonts", "matplotlib's DejaVu Sans is missing", "make install (after: rm -rf .venv)")
    return _ok("fonts", "DejaVu Sans comes with matplotlib")


def champions(settings: Settings) -> Check:
    """Is every pipeline's champion in service? One that uses a column of data.forbid is not."""
    from treadle.flows.champion.forbidden import out_of_service

    for name, use in out_of_service(settings):
        return _broken("champions", f"{name}: {use.sentence()}", advice_line(use.advice(), name))
    return _ok("champions", "none is out of service")


CHECKS: dict[str, Callable[[Settings], Check]] = {
    "Python": python,
    "packages": packages,
    "OpenMP": openmp,
    "project": project,
    "writing": writable,
    "disk": disk,
    "memory": memory,
    "cores": cores,
    "GPU": gpu,
    "ports": ports,
    "Prefect server": prefect,
    "MLflow server": check_mlflow,
    "databases": databases,
    "MLflow artifacts": artifact_paths,
    "fonts": fonts,
    "champions": champions,
}


def _trouble(path: Path) -> str:
    """SQLite's error about the file; empty when it is intact, or only locked."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        return "" if "locked" in str(error) else str(error)
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if answer == "ok" else str(answer)


def _nearest_folder(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _ok(name: str, found: str) -> Check:
    return Check(name=name, status="ok", found=found)


def _broken(name: str, found: str, remedy: str) -> Check:
    return Check(name=name, status="broken", found=found, remedy=remedy)
