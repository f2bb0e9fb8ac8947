"""What can be known of infra/deploy/Dockerfile and infra/deploy/compose.yaml where there is no Docker."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field

from treadle.infra import settings as settings_
from treadle.infra import supervisor
from treadle.infra.settings import Settings, child_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra" / "deploy"
OURS = re.compile(r"(?<![\w.])/(opt|build|project|artifacts|prefect)\b")
"""The folders of the image that its own steps make."""


class Strict(BaseModel):
    """What the Compose Specification allows of what we use."""

    model_config = ConfigDict(extra="forbid")


class Build(Strict):
    context: str
    dockerfile: str
    additional_contexts: dict[str, str]


class Condition(Strict):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Health(Strict):
    test: list[str] = Field(min_length=2)
    interval: str = Field(pattern=r"^\d+s$")
    timeout: str = Field(pattern=r"^\d+s$")
    retries: int
    start_period: str = Field("0s", pattern=r"^\d+s$")


class Service(Strict):
    image: str
    build: Build | None = None
    restart: Literal["unless-stopped"]
    init: bool = False
    user: str = Field(pattern=r"^[1-9]\d*:[1-9]\d*$")
    read_only: Literal[True]
    tmpfs: list[str]
    cap_drop: tuple[Literal["ALL"]]
    security_opt: tuple[Literal["no-new-privileges:true"]]
    command: list[str] | None = None
    env_file: list[str] = []
    environment: dict[str, str]
    volumes: list[str] = []
    ports: list[str] = []
    depends_on: dict[str, Condition] = {}
    stop_grace_period: str = Field("10s", pattern=r"^\d+s$")
    healthcheck: Health


class Compose(Strict):
    name: str
    services: dict[str, Service]
    volumes: dict[str, dict[str, str]]


def compose() -> Compose:
    told: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
    return Compose.model_validate({key: value for key, value in told.items() if not key.startswith("x-")})


def test_every_service_is_nobody_in_particular_writes_nowhere_else_and_says_how_it_is() -> None:
    told = compose()  # the rest of it is in the models above
    for name, service in told.services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.ports), name
        assert set(service.depends_on) <= set(told.services)
        for source, *_ in (volume.rsplit(":", 2 if volume.endswith(":ro") else 1) for volume in service.volumes):
            assert source in told.volumes or source.startswith("${PROJECT") or (INFRA / source).is_file(), source
        if service.build is not None:
            assert (INFRA / service.build.context / service.build.dockerfile).is_file()


def test_the_password_is_asked_for_once_and_is_in_no_file_of_gits() -> None:
    text = (INFRA / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) == {"POSTGRES_PASSWORD", "PROJECT"}
    assert "${POSTGRES_PASSWORD:?" in text
    assert (INFRA / "compose.env.example").read_text().splitlines()[-1] == "POSTGRES_PASSWORD="
    ignored = subprocess.run(["git", "check-ignore", "-q", "infra/deploy/compose.env"], cwd=ROOT, check=False)
    assert ignored.returncode == 0
    assert "infra/deploy/compose.env" in (ROOT / ".dockerignore").read_text().splitlines()


def test_what_the_services_are_told_is_what_treadle_reads_and_the_databases_are_made() -> None:
    told = compose()
    known = {f"{settings_.PREFIX}{name.upper()}" for name in Settings.model_fields} | {"PREFECT_API_URL"}
    assert set(told.services["treadle"].environment) <= known
    named = {
        name
        for service in told.services.values()
        for value in service.environment.values()
        for name in re.findall(r"@postgres:5432/(\w+)", value)
    }
    assert named == set(re.findall(r"CREATE DATABASE (\w+);", (INFRA / "databases.sql").read_text()))


def test_the_health_check_says_whether_up_is_at_work(home: Path) -> None:
    _, python, *words = compose().services["treadle"].healthcheck.test
    assert python == "python"

    def check() -> subprocess.CompletedProcess[str]:
        told = child_environment({"TREADLE_HOME": str(home)})
        return subprocess.run(
            [sys.executable, *words], env=told, cwd=home, capture_output=True, text=True, check=False, timeout=60
        )

    away = check()
    assert (away.returncode, away.stderr.strip().splitlines()[-1]) == (1, "AssertionError"), away.stderr
    lock = supervisor.locks_folder(settings_.at(home)) / "up.lock"
    with supervisor.hold_process_lock(lock, home):
        at_work = check()
    assert at_work.returncode == 0, at_work.stderr


def instructions() -> Iterator[tuple[str, str]]:
    """The Dockerfile's, in order: its word and the rest of the line."""
    text = re.sub(r"\\\n\s*", "", (INFRA / "Dockerfile").read_text())
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest


def in_(place: Path, text: str) -> str:
    """The text with the image's folders under `place`."""
    return OURS.sub(lambda found: f"{place}{found.group()}", text)


def context(folder: Path) -> None:
    """What of the repository an image may see: what git has, as far as .dockerignore lets it."""
    seen = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    listed = subprocess.run(["git", "ls-files", *seen], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name, follow_symlinks=False)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_images_build_steps_lead_to_a_treadle_with_the_projects_files(tmp_path: Path) -> None:
    seen, place = tmp_path / "seen", tmp_path / "image"
    context(seen)
    place.mkdir()
    environment = child_environment({}, without=("PIP_REQUIRE", "PYTHON", "VIRTUAL_ENV"))
    environment["PATH"] = f"{Path(sys.executable).resolve().parent}:{environment['PATH']}"
    settled: dict[str, str] = {}
    for word, rest in instructions():
        if word == "COPY":
            source = re.match(r"--from=(\w+) ", rest)
            *names, target = rest.split()[1 if source else 0 :]
            for name in names:
                if source and source.group(1) == "built":
                    assert in_(place, name) == in_(place, target), "the last image has it where it was built"
                else:
                    take(seen, name, Path(in_(place, target)))
        elif word == "RUN":
            command = in_(place, rest) if os.getuid() == 0 or not rest.startswith("chown") else "true"
            subprocess.run(["/bin/sh", "-ec", command], cwd=place, env=environment, check=True)
        elif word == "ENV":
            settled |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        else:
            assert word in ("FROM", "WORKDIR", "USER", "CMD"), word
    shutil.rmtree(place / "build")
    told = {key: in_(place, value) for key, value in settled.items()}
    asked = (["treadle", "check", "--json"], ["treadle", "doctor", "--json"])
    for command in asked:
        ended = subprocess.run(
            command, cwd=place / "project", env={**told}, capture_output=True, text=True, check=False, timeout=300
        )
        assert "Traceback" not in ended.stderr
        assert str(ROOT) not in ended.stdout + ended.stderr, "it has nothing of the checkout"
    assert sorted(path.name for path in (place / "project").iterdir()) == [
        ".treadle",
        "data",
        "expectations",
        "mlruns",
        "pipelines",
    ]
    checked = subprocess.run(
        ["python", "-m", "pip", "check"], env={**told}, cwd=place, capture_output=True, text=True, check=False
    )
    lacking = [line for line in checked.stdout.splitlines() if "nvidia-nccl" not in line and "No broken" not in line]
    assert lacking == []


def take(seen: Path, name: str, target: Path) -> None:
    """`COPY`: a folder's content, or files."""
    found = sorted(seen.glob(name)) if "*" in name else [seen / name]
    assert found, name
    for path in found:
        if path.is_dir():
            shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / path.name)
