"""Whatever the command line knows is in its pages; an option or a field without a word fails here."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import get_args

import pytest
import typer.main
from pydantic import BaseModel

from treadle.flows.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = {
    f"{group} {name}".strip(): command
    for group, commands in {
        "": {name: one for name, one in typer.main.get_group(app).commands.items() if not hasattr(one, "commands")},
        **{name: one.commands for name, one in typer.main.get_group(app).commands.items() if hasattr(one, "commands")},
    }.items()
    for name, command in commands.items()
}
RESULTS = {
    "demo": "treadle.flows.demo:DemoResult",
    "init": "treadle.flows.project.init:InitResult",
    "check": "treadle.flows.project.check:CheckResult",
    "ingest": "treadle.flows.ingest:IngestResult",
    "train": "treadle.flows.train:TrainResult",
    "score": "treadle.flows.score:ScoreResult",
    "monitor": "treadle.flows.monitor:MonitorResult",
    "notify": "treadle.flows.service.notify:NotifyResult",
    "models": "treadle.flows.champion.history:ModelsResult",
    "promote": "treadle.flows.champion.promote:PromoteResult",
    "report": "treadle.flows.project.report:ReportResult",
    "rollback": "treadle.flows.champion.rollback:RollbackResult",
    "status": "treadle.flows.project.status:StatusResult",
    "quarantine list": "treadle.flows.project.quarantine:ListResult",
    "quarantine show": "treadle.flows.project.quarantine:ShowResult",
    "quarantine release": "treadle.flows.project.quarantine:ReleaseResult",
    "quarantine drop": "treadle.flows.project.quarantine:DropResult",
    "alerts": "treadle.flows.service.alerts.delivery:AlertsResult",
    "doctor": "treadle.flows.project.doctor:DoctorResult",
    "down": "treadle.flows.service.down:DownResult",
    "maintain": "treadle.flows.maintain:MaintainResult",
    "backup": "treadle.flows.project.backup:BackupResult",
    "restore": "treadle.flows.project.backup:BackupResult",
    "up": "treadle.flows.service.up:UpResult",
}
FORMS = {"report RUN OTHER": "treadle.flows.project.compare:CompareResult"}
"""Forms of a command that print another object than the command alone."""


def section(page: str, command: str) -> str:
    found = re.search(rf"^## treadle {command}$(.*?)(?=^## |\Z)", (DOCS / page).read_text(), re.M | re.S)
    assert found, f"docs/{page} has no section on treadle {command}"
    return found[1]


def fields(model: type[BaseModel]) -> set[str]:
    """The names of the object's fields, and of the objects in it, as they are printed."""
    names = set()
    for name, field in model.model_fields.items():
        names.add(field.serialization_alias or name)
        parts = [field.annotation, *get_args(field.annotation)]
        parts += [inner for part in parts for inner in get_args(part)]
        for part in parts:
            if isinstance(part, type) and issubclass(part, BaseModel) and part.__name__ != "IngestResult":
                names |= fields(part)
    return names


def result(command: str) -> type[BaseModel]:
    module, name = (RESULTS | FORMS)[command].split(":")
    found = getattr(importlib.import_module(module), name)
    assert issubclass(found, BaseModel)
    return found


def test_every_command_has_a_result() -> None:
    assert set(COMMANDS) == set(RESULTS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented(command: str) -> None:
    page = section("cli.md", command)
    for parameter in COMMANDS[command].params:
        for name in parameter.opts if parameter.param_type_name == "option" else []:
            assert f"`{name}" in page, f"{name} of treadle {command} is not in docs/cli.md"


@pytest.mark.parametrize("command", RESULTS | FORMS)
def test_every_field_is_documented_and_no_other(command: str) -> None:
    rows = re.findall(r"^\| `([^`]+)`", section("json.md", command), re.M)
    documented = {part.removesuffix("[]") for row in rows for part in row.split(".")}
    assert documented == fields(result(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_examples(command: str) -> None:
    assert COMMANDS[command].help
    assert f"treadle {command}" in (COMMANDS[command].epilog or "")
