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
from typer.main import get_command

from tests.projects import inbox, tumours
from treadle.flows.cli.app import app
from treadle.flows.context import command_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

    Clinic = tuple[Settings, PipelineConfig]

ROOT = Path(__file__).parents[2]
COMPLETED = (
    "flows/project/status/needs.py",
    "flows/champion/forbidden.py",
    "infra/stores.py",
    "tasks/bundle/manifest.py",
    "tasks/bundle/certificate.py",
)
"""Their texts are completed: of needs where they are made, of the others where what holds them is shown."""

WAY_OUT = "  fix: "


class Text(NamedTuple):
    """A string in our code (`3` for what a running program puts in), and whether an error says it."""

    file: str
    line: int
    text: str
    in_error: bool


def texts() -> Iterator[Text]:
    for package in ("flows", "infra", "tasks", "expectations"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield from _texts(path)


def _texts(path: Path) -> Iterator[Text]:
    tree = ast.parse(path.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings, of constants too
    examples = {id(inner) for node in ast.walk(tree) if _lists_examples(node) for inner in ast.walk(node)}
    raised = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Raise) for inner in ast.walk(node)}
    within = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for inner in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone | examples | within:
            said = node.value
        elif isinstance(node, ast.JoinedStr):
            said = "".join(str(one.value) if isinstance(one, ast.Constant) else "3" for one in node.values)
        else:
            continue
        if "treadle " in said:
            yield Text(str(path.relative_to(ROOT)), node.lineno, said, id(node) in raised)


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
    known = {(verb,) for verb in command_names.VERBS} | {("quarantine", word) for word in command_names.QUARANTINE}
    assert known == {words for words, parameters in commands().items() if "pipeline" in parameters}


@pytest.mark.parametrize(
    ("said", "complete"),
    [
        ("see: treadle models", "see: treadle models -p shop"),
        ("or train again: treadle train --again", "or train again: treadle train --again -p shop"),
        ("treadle promote 4 --reason '...'; or treadle up", "treadle promote 4 --reason '...' -p shop; or treadle up"),
        ("treadle quarantine drop 3f9c1a --reason 'x', or", "treadle quarantine drop 3f9c1a --reason 'x' -p shop, or"),
        ("treadle quarantine release labels-12ab-r1", "treadle quarantine release labels-12ab-r1 -p shop"),
        ("treadle train -p bakery; treadle score", "treadle train -p bakery; treadle score -p shop"),
        ("`treadle ingest --labels FILE` takes it", "`treadle ingest --labels FILE -p shop` takes it"),
        ("treadle scored nothing", "treadle scored nothing"),
    ],
)  # fmt: skip
def test_what_lacks_a_pipeline_gets_it(said: str, complete: str) -> None:
    assert command_names.with_pipeline(said, "shop") == complete
    assert command_names.with_pipeline(said, "") == said


def test_every_command_in_our_words_can_be_given_as_it_stands() -> None:
    tree, found = get_command(app), 0
    for one in texts():
        for command in command_names.COMMAND.findall(command_names.with_pipeline(one.text, "shop")):
            words = shlex.split(command.replace(" V ", " 3 "))[1:]
            name, inner, rest = tree.resolve_command(tree.make_context("treadle", []), words)
            if hasattr(inner, "commands"):
                name, inner, rest = inner.resolve_command(inner.make_context(name, [], resilient_parsing=True), rest)
            assert inner is not None
            given = inner.make_context(str(name), rest).params
            assert given["pipeline"] in {"shop", "3"}, (one, command)
            found += 1
    assert found > 30


def test_only_errors_leave_the_pipeline_to_whoever_shows_them() -> None:
    left = [
        f"{one.file}:{one.line}: {command}"
        for one in texts()
        for command in command_names.COMMAND.findall(one.text)
        if " -p " not in command and not one.in_error and not one.file.startswith(COMPLETED)
    ]
    assert left == []


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
def test_the_way_out_of_an_error_works_in_a_home_with_two_pipelines(clinic: Clinic) -> None:
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
        (way,) = (line for line in done.stderr.splitlines() if line.startswith(WAY_OUT))
        (command,) = re.findall(r"treadle .*", way)
        assert command.endswith(" -p clinic"), words
        assert treadle(home, *shlex.split(command)[1:]).returncode == 0, command
