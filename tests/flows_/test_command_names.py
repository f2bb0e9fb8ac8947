"""Every command that we print can be given as it stands, also in a home with several pipelines."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from tests.projects import inbox, tumours
from treadle.flows.cli.app import app
from treadle.tasks import errors
from treadle.tasks.commands import PER_PIPELINE, Command, advice_line
from treadle.tasks.errors import ConfigError, NewerFormat, TreadleError, UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

    Clinic = tuple[Settings, PipelineConfig]

ROOT = Path(__file__).parents[2]
NAMED = re.compile(
    rf"treadle (?:quarantine (?:list|show|release|drop)|{'|'.join(PER_PIPELINE - {'quarantine'})})\b"
    r"(?: (?:-p [\w-]+|--[a-z][a-z-]*|'[^']*'|[A-Z]+\b|(?:labels-)?[0-9a-f]*\d[\w-]*))*"
)
"""A command for one pipeline in a text, with its arguments."""

FIX = "  fix: "


class Text(NamedTuple):
    """A string in our code (`3` for what a running program puts in)."""

    file: str
    line: int
    text: str


def texts() -> Iterator[Text]:
    for package in ("flows", "infra", "tasks", "expectations"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield from _texts(path)


def _texts(path: Path) -> Iterator[Text]:
    tree = ast.parse(path.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings, of constants too
    examples = {id(inner) for node in ast.walk(tree) if _lists_examples(node) for inner in ast.walk(node)}
    within = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for inner in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone | examples | within:
            said = node.value
        elif isinstance(node, ast.JoinedStr):
            said = _said(node)
        else:
            continue
        if "treadle " in said:
            yield Text(str(path.relative_to(ROOT)), node.lineno, said)


def _said(node: ast.JoinedStr) -> str:
    return "".join(str(one.value) if isinstance(one, ast.Constant) else "3" for one in node.values)


def values() -> Iterator[Command]:
    """Every `Command(...)` in our code whose arguments stand there."""
    for package in ("flows", "infra", "tasks", "expectations"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Command":
                    first = node.args[0]
                    for one in (first.body, first.orelse) if isinstance(first, ast.IfExp) else (first,):
                        if isinstance(one, ast.Constant):
                            yield Command(str(one.value))
                        elif isinstance(one, ast.JoinedStr):
                            yield Command(_said(one))


def _lists_examples(node: ast.AST) -> bool:
    """Examples of help pages name pipelines, files and batches of their own."""
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "example_lines"


def commands() -> Mapping[tuple[str, ...], set[str]]:
    """Every command and its parameters."""

    def walk(command: object, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], set[str]]]:
        for name, one in getattr(command, "commands", {}).items():
            if hasattr(one, "commands"):
                yield from walk(one, (*words, name))
            else:
                yield (*words, name), {parameter.name for parameter in one.params}

    return dict(walk(get_command(app), ()))


def test_the_commands_that_take_a_pipeline_are_known() -> None:
    assert {words[0] for words, parameters in commands().items() if "pipeline" in parameters} == PER_PIPELINE
    assert not {words[0] for words, parameters in commands().items() if "pipeline" not in parameters} & PER_PIPELINE


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("models", "treadle models -p shop"),
        ("train --again", "treadle train --again -p shop"),
        ("promote 4 --reason '...'", "treadle promote 4 --reason '...' -p shop"),
        ("quarantine drop 3f9c1a --reason 'x'", "treadle quarantine drop 3f9c1a --reason 'x' -p shop"),
        ("train -p bakery", "treadle train -p bakery"),
        ("up", "treadle up"),
        ("alerts --test", "treadle alerts --test"),
    ],
)  # fmt: skip
def test_a_command_names_the_pipeline_where_it_takes_and_lacks_one(arguments: str, line: str) -> None:
    assert Command(arguments).line("shop") == line
    assert Command(arguments).line() == f"treadle {arguments}"


KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, TreadleError) and kind not in (NewerFormat, UnreadableFile)
]


@pytest.mark.parametrize("kind", KINDS)
@given(message=st.text(), before=st.text(), after=st.text())
def test_the_text_of_an_error_is_never_changed_and_its_commands_name_the_pipeline(
    kind: type[TreadleError], message: str, before: str, after: str
) -> None:
    error = kind(message, (before, Command("train --again"), after))
    assert (error.message, error.fix) == (message, f"{before}treadle train --again{after}")
    error.pipeline = "shop"
    assert (error.message, error.fix) == (message, f"{before}treadle train --again -p shop{after}")
    assert str(error) == f"{error.message}\n{error.fix}"


def test_a_command_that_is_only_quoted_in_a_text_is_left_as_it_is() -> None:
    said = "column 'treadle train' is missing"
    error = ConfigError(said, "rename treadle train", where="shop.toml:3", key="data.drop")
    error.pipeline = "shop"
    assert str(error) == f"shop.toml:3: data.drop: {said}\nrename treadle train"
    assert advice_line("treadle train", "shop") == "treadle train"


def parsed(command: str) -> dict[str, object]:
    """The parameters of a command line as the command line reads them; fails where it refuses them."""
    tree, words = get_command(app), shlex.split(command)[1:]
    name, inner, rest = tree.resolve_command(tree.make_context("treadle", []), words)
    if hasattr(inner, "commands"):
        name, inner, rest = inner.resolve_command(inner.make_context(name, [], resilient_parsing=True), rest)
    assert inner is not None
    return dict(inner.make_context(str(name), rest).params)


def test_every_command_that_we_recommend_can_be_given_as_it_stands() -> None:
    found = list(values())
    assert len(found) > 30
    for command in found:
        assert parsed(command.line("shop")).get("pipeline", "shop") in {"shop", "3"}, command


def test_every_command_in_a_text_names_its_pipeline_and_can_be_given_as_it_stands() -> None:
    found = [(one, command) for one in texts() for command in NAMED.findall(one.text)]
    assert len(found) > 10
    for one, command in found:
        assert " -p " in command, (one, "a command without a pipeline is a Command, not text")
        assert parsed(command.replace(" V ", " 3 "))["pipeline"] in {"shop", "3"}, (one, command)


def test_a_next_step_without_a_pipeline_is_a_command_that_takes_none() -> None:
    """`Screen.next` repeats the -p of the command before; after one that takes none there is nothing to repeat."""
    takes_none = {words[0] for words, parameters in commands().items() if "pipeline" not in parameters}
    checked = set()
    for path in (ROOT / "flows" / "cli").glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            command = getattr(function, "name", "").removeprefix("show_")
            if isinstance(function, ast.FunctionDef) and command in takes_none:
                checked.add(command)
                for call in ast.walk(function):
                    if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "next":
                        words = [one.value for one in call.args[1:] if isinstance(one, ast.Constant)]
                        first = str(words[0]).split()[0] if words else ""
                        assert first in {*takes_none, ""} or "-p" in words, (path.name, function.name, words)
    assert checked == takes_none


def treadle(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "treadle.flows.cli", *words]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("prefect_server")
def test_the_fix_of_an_error_works_in_a_home_with_two_pipelines(clinic: Clinic) -> None:
    home = clinic[0].home
    for folder, kind in (("pipelines", "toml"), ("expectations", "json")):
        file = home / folder / f"clinic.{kind}"
        shutil.copy(file, file.with_stem("bakery"))
    file = home / "pipelines" / "bakery.toml"
    file.write_text(file.read_text().replace('name = "clinic"', 'name = "bakery"'))
    rows = tumours()[:20].drop(columns="Malignant").assign(**{"mean radius": -1})
    rows.to_csv(inbox(home) / "bad.csv", index=False)
    treadle(home, "ingest", "-p", "clinic")
    for words in (
        ("promote", "7", "--reason", "x"),
        ("promote", "2", "--reason", "x"),
        ("promote", "1", "--decline", "--reason", "x"),
        ("rollback", "--to", "2"),
        ("report", "beef"),
        ("quarantine", "show", "nothing"),
        ("models", "--at", "2100-01-01"),
    ):
        done = treadle(home, *words, "-p", "clinic")
        (way,) = (line for line in done.stderr.splitlines() if line.startswith(FIX))
        (command,) = re.findall(r"treadle .*", way)
        assert command.endswith(" -p clinic"), words
        assert treadle(home, *shlex.split(command)[1:]).returncode == 0, command
