"""The pages are true: their commands run as stated, their links lead somewhere, their tables name what there is."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from treadle.infra import settings as settings_
from treadle.tasks.config.draft import value
from treadle.tasks.config.spec import PipelineConfig

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pydantic.fields import FieldInfo

    from treadle.infra.settings import Settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), ROOT / "mlruns" / "README.md"])
ROOMS = ("flows", "tasks", "expectations", "infra", "tests", "docs")

START = DOCS / "own-table.md"
"""Makes the project in which the commands of all other pages of docs/ go on."""

NOT_RUN = {
    r"make ": "installs, or runs what is tested elsewhere",
    r"treadle demo": "takes minutes; what it runs is tested on small tables",
    r"(?:[A-Z_]+=\S+ )*mlflow ui": "a server: it does not return",
}


def named(page: Path) -> str:
    """A page's path, as a test's id."""
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Command:
    """A command of a page, where it stands, and the exit code that the page states for it."""

    where: str
    text: str
    exit_code: int = 0

    @property
    def runs_here(self) -> bool:
        return not any(re.match(pattern, self.text) for pattern in NOT_RUN)


def blocks(page: Path) -> Iterator[tuple[int, str, str, str]]:
    """The fenced blocks of a page: line, language, text, and the line before the fence."""
    lines = page.read_text(encoding="utf-8").splitlines()
    begun, before = None, ""
    for number, line in enumerate(lines, 1):
        if not line.startswith("```"):
            before = line if line.strip() and begun is None else before
        elif begun is None:
            begun = number
        else:
            yield begun, lines[begun - 1].removeprefix("```"), "\n".join(lines[begun : number - 1]), before
            begun, before = None, ""


def commands(page: Path) -> Iterator[Command]:
    """What a reader of `page` runs: the `$ ` lines of its console blocks, and its Python blocks, in order.

    `<!-- exit code 3 -->` before a console block is about its last command.
    """
    for line, language, text, before in blocks(page):
        where = f"{page.name}:{line}"
        if language == "python":
            yield Command(where, f"python - <<'END OF BLOCK'\n{text}\nEND OF BLOCK")
        elif language == "console":
            typed = re.findall(r"^\$ ((?:.*\\\n)*.*)$", text, re.M)
            stated = re.fullmatch(r"<!-- exit code (\d+) -->", before)
            for number, command in enumerate(typed, 1):
                yield Command(where, command, int(stated[1]) if stated and number == len(typed) else 0)


def follow(page: Path, person: Path, folder: Path, settings: Settings, done: Collection[str] = ()) -> None:
    """Run the commands of `page` in one shell, as somebody whose home is `person`; fails at the first surprise.

    What stands in `done`, word by word, was run before and is not run again.
    """
    from treadle.infra import orchestrator

    lines = ["trap 'treadle down' EXIT"]  # a page may bring the project up
    for command in commands(page):
        if command.runs_here and command.text not in done:
            surprise = shlex.quote(f"{command.where}: $ {command.text.splitlines()[0]}: exit code")
            lines += [command.text, "code=$?"]
            lines += [f"[ $code = {command.exit_code} ] || {{ echo {surprise} $code >&2; exit 99; }}"]
    script = person / f"{page.stem}.sh"
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"HOME": str(person), "PATH": path, "PREFECT_API_URL": orchestrator.server_state(settings).url}
    ended = subprocess.run(
        ["bash", script], cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"


def clone(person: Path) -> Path:
    """What a reader of the first pages stands in: a clone after `make install`, as far as they touch it."""
    folder = person / "treadle"
    folder.mkdir(parents=True)
    (folder / "docs").symlink_to(DOCS)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, server_home: Settings) -> Path:
    """The home folder of somebody who has followed the page on their own table."""
    folder = tmp_path_factory.mktemp("person")
    follow(START, folder, clone(folder), server_home)
    return folder


def test_the_readmes_commands_are_those_of_the_page_on_ones_own_table() -> None:
    followed = iter([command for command in commands(START) if command.runs_here])
    for command in commands(ROOT / "README.md"):
        assert not command.runs_here or any(
            (one.text, one.exit_code) == (command.text, command.exit_code) for one in followed
        ), f"{command.where}: {command.text!r} is not run: let docs/{START.name} say it too, in this order"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [page for page in PAGES if page.parent == DOCS and any(commands(page))], ids=named)
def test_a_pages_commands_do_what_it_says(page: Path, person: Path, server_home: Settings) -> None:
    if page != START:
        follow(page, person, person / "tumours", server_home, done=[command.text for command in commands(START)])


def test_what_is_not_run_stands_in_the_pages() -> None:
    typed = [command.text for page in PAGES for command in commands(page)]
    assert [pattern for pattern in NOT_RUN if not any(re.match(pattern, text) for text in typed)] == []


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """What can stand behind `#`: the page's headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    targets = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", prose(page))
    for target in (inline or attribute for inline, attribute in targets):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_file_and_target_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    built = re.sub(r"^## What is not built yet.*?(?=^## )", "", prose(page), flags=re.M | re.S)
    named = set(re.findall(r"(?<![\w/.*-])((?:[\w-]+/)*[\w-]+\.(?:py|md|svg|lock))(?![\w/])", built))
    lost = [name for name in named if not any((place / name).exists() for place in (ROOT, page.parent))]
    lost = [name for name in lost if not any(path for room in ROOMS for path in (ROOT / room).rglob(name))]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    lost += [f"make {name}" for name in re.findall(r"(?:`|\$ |^)make ([a-z-]+)", text, re.M) if name not in targets]
    assert lost == []


def sections() -> Iterator[tuple[str, str, FieldInfo]]:
    """Every key of a pipeline's file: its section ("" for the top), name and field."""
    for name, field in PipelineConfig.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from ((name, key, inner) for key, inner in kind.model_fields.items())
        else:
            yield "", name, field


def rows(section: str) -> dict[str, list[str]]:
    """The rows of a section's table in docs/config.md, by key: meaning, default, allowed."""
    heading = f"## [{section}]" if section else "## The top"
    page = (DOCS / "config.md").read_text(encoding="utf-8")
    assert f"\n{heading}\n" in page, f"docs/config.md has no heading {heading!r}"
    text = page.split(f"\n{heading}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {key.strip("`"): rest for key, *rest in cells}


def stated_default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    assert default is not PydanticUndefined
    return "none" if default is None else "`{}`" if default == {} else f"`{value(default)}`"


def limits(field: FieldInfo) -> list[str]:
    """The words and numbers that a key's `allowed` must name: choices and bounds."""
    found = [str(choice) for choice in get_args(field.annotation)] if get_origin(field.annotation) is Literal else []
    for limit in field.metadata:
        bounds = [getattr(limit, name, None) for name in ("ge", "gt", "le", "lt")]
        found += [f"{bound:,}" for bound in bounds if bound is not None]
    return found


@pytest.mark.parametrize(
    ("section", "key", "field"), [pytest.param(*one, id=f"{one[0]}.{one[1]}") for one in sections()]
)
def test_every_key_of_the_config_is_documented(section: str, key: str, field: FieldInfo) -> None:
    documented = rows(section)
    assert key in documented, f"docs/config.md, [{section}], has no row for {key!r}"
    meaning, default, allowed = documented[key]
    assert meaning
    assert default == stated_default(field)
    assert [limit for limit in limits(field) if limit not in allowed] == []


def test_no_other_key_is_documented() -> None:
    known: dict[str, set[str]] = {}
    for section, key, _ in sections():
        known.setdefault(section, set()).add(key)
    assert {section: set(rows(section)) for section in known} == known


def variables() -> set[str]:
    """Every environment variable that we read."""
    fields = settings_.Settings.model_fields.items()
    named = {str(field.validation_alias or f"{settings_.PREFIX}{name.upper()}") for name, field in fields}
    text = Path(settings_.__file__).read_text(encoding="utf-8")
    return named | {f"{settings_.PREFIX}{name}" for name in re.findall(r"\{PREFIX\}([A-Z_]+)", text)}


def test_every_environment_variable_is_documented_and_no_other() -> None:
    page = (DOCS / "operation.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.M))
    assert documented == variables()
    for other in PAGES:
        named = set(re.findall(rf"\b{settings_.PREFIX}[A-Z_]+\b", other.read_text(encoding="utf-8")))
        assert named <= variables(), f"{other.name} names a variable that nothing reads"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        linked = {(page.parent / name).resolve() for name in re.findall(r"\]\(([^)#\s:]+\.md)", prose(page))}
        waiting += [other for other in linked & set(PAGES) if other not in reached]
    assert set(PAGES) - reached == {ROOT / "mlruns" / "README.md"}, "link it where one looks for it"


def test_the_glossary_is_short_sorted_and_linked_where_its_terms_first_appear() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    terms = re.findall(r"^- \*\*(.+?)\*\*: ", text, flags=re.MULTILINE)
    assert 20 <= len(terms) <= 30
    assert terms == sorted(set(terms))
    assert {"champion", "gate", "holdout", "suite"} <= set(terms)
    assert "docs/glossary.md" in (ROOT / "README.md").read_text()
    for page in ("gate", "data", "training", "scoring", "monitoring"):
        assert "](glossary.md)" in (ROOT / "docs" / f"{page}.md").read_text(), page
