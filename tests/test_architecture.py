from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from treadle.infra import failpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PACKAGES = ("flows", "tasks", "expectations", "infra")
CODE = {str(path.relative_to(ROOT)): path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in CODE.items()}

ALONE = "infra/tracking/scorer"
"""It imports nothing of ours, and so repeats what `tasks/` has."""

ROOMS = {
    "prefect": ("flows/", "infra/orchestrator/"),
    "mlflow": ("infra/tracking/",),
    "great_expectations": ("expectations/",),
}
"""Where a library may be imported, by name too."""


PLANNED = "## What is not built yet, and where it goes"


def modules(folder: Path) -> list[str]:
    """The modules and folders of a package or room, as the text would name them."""
    return sorted(
        f"{path.name}/" if path.is_dir() else path.name
        for path in folder.iterdir()
        if (path.is_dir() and (path / "__init__.py").exists()) or (path.suffix == ".py" and path.name != "__init__.py")
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_and_module_has_its_place_in_the_text(package: str) -> None:
    room = TEXT.split(f"### {package}/")[1].split("\n##")[0]
    assert [name for name in modules(ROOT / package) if f"`{name}`" not in room] == []


@pytest.mark.parametrize(
    "room", ["flows/champion", "flows/project", "flows/service", "flows/context", "infra/tracking"]
)
def test_every_module_of_a_room_of_many_things_is_named(room: str) -> None:
    assert [name for name in modules(ROOT / room) if f"`{name}`" not in TEXT and f"/{name}`" not in TEXT] == []


def paths(text: str) -> list[str]:
    """The files and folders that a text names."""
    return re.findall(r"`((?:flows|tasks|expectations|infra|pipelines|docs|src|tests)/[\w./]*)`", text)


def test_every_path_in_the_text_exists() -> None:
    before, planned = TEXT.split(PLANNED)
    named = paths(before + planned.partition("\n## ")[2])
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_each_line_of_what_is_coming_says_where_it_goes() -> None:
    lines = TEXT.split(PLANNED)[1].partition("\n## ")[0].splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| capability")]
    assert len(rows) > 15
    assert [row for row in rows if not paths(row)] == []
    new = [path for path in paths("\n".join(rows)) if not (ROOT / path).exists()]
    assert [path for path in new if not (ROOT / path).parent.parent.exists()] == []


def top_level(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those below its `if` and `try` too."""
    for one in statements:
        yield one
        if isinstance(one, ast.If | ast.Try):
            yield from top_level([*one.body, *one.orelse])


def public_names(tree: ast.Module) -> Iterator[str]:
    """The types and functions that a module defines: classes, functions, and type aliases (`Place = tuple[...]`)."""
    for one in top_level(tree.body):
        names: list[str] = []
        if isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names = [one.name]
        elif isinstance(one, ast.Assign):
            names = [target.id for target in one.targets if isinstance(target, ast.Name)]
            names = [name for name in names if name[0].isupper() and not name.isupper()]
        elif isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            names = [name for name in [one.target.id] if name[0].isupper() and not name.isupper()]
        yield from (name for name in names if not name.startswith("_"))


def test_a_public_type_or_function_name_occurs_once() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for module, tree in TREES.items():
        if not module.startswith(ALONE):
            for name in set(public_names(tree)):
                where[name].append(module)
    assert len(where) > 500
    assert {name: modules for name, modules in where.items() if len(modules) > 1} == {}


def strings(tree: ast.Module) -> Iterator[str]:
    """Every string constant, parts of f-strings too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def loads(text: str) -> str:
    """The library into which a dotted path leads, as `mlflow.server.fastapi_app:app` does; empty where it does not."""
    library, *parts = re.split(r"[.:]", text) if re.fullmatch(r"\w+(\.\w+)+(:\w+)?", text) else [""]
    if library not in ROOMS or text in failpoint.NAMES or text.endswith(".db"):
        return ""
    spec = find_spec(library)
    assert spec is not None
    assert spec.origin is not None
    found = Path(spec.origin).parent / parts[0]
    return library if found.is_dir() or found.with_suffix(".py").is_file() else ""


def test_a_module_that_is_loaded_by_name_is_loaded_where_it_may_be_imported() -> None:
    found = [
        (module, text, loads(text))
        for module, tree in TREES.items()
        for text in sorted(set(strings(tree)))
        if loads(text)
    ]
    assert ("infra/tracking/web_pages.py", "mlflow.server.fastapi_app:app", "mlflow") in found
    assert [(module, text) for module, text, library in found if not module.startswith(ROOMS[library])] == []


def texts() -> Iterator[Path]:
    """What names modules of ours: code, what a server or a shell runs, and the pages; the changelog tells of before."""
    for folder in (*PACKAGES, "src", "docs", "tests", ".ci"):
        yield from (
            path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix not in (".pyc", ".xz")
        )
    yield from (
        ROOT / name for name in ("pyproject.toml", "Makefile", "README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")
    )


OURS = re.compile(rf"(?<![\w.])treadle\.(?:{'|'.join(PACKAGES)})\b(?:\.[a-z_]\w*)*(?:\.[A-Z]\w*)?(?::\w+)?")


def exists(name: str) -> bool:
    """Whether it is a module of ours, or what a module defines or imports at its top."""
    path, _, last = re.sub(r"[.:]", "/", name.removeprefix("treadle.")).rpartition("/")
    if (ROOT / path / last).is_dir() or f"{path}/{last}.py" in TREES:
        return True
    module = TREES.get(f"{path}.py") or TREES.get(f"{path}/__init__.py")
    return module is not None and last in set(names_at_the_top(module))


def names_at_the_top(tree: ast.Module) -> Iterator[str]:
    for one in top_level(tree.body):
        if isinstance(one, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in one.names)
        elif isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield one.name
        elif isinstance(one, ast.Assign | ast.AnnAssign):
            targets = one.targets if isinstance(one, ast.Assign) else [one.target]
            yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))


def test_every_module_and_attribute_of_ours_that_a_text_names_exists() -> None:
    named: dict[str, set[str]] = defaultdict(set)
    for path in texts():
        if path != Path(__file__):
            for name in OURS.findall(path.read_text(encoding="utf-8")):
                named[name].add(str(path.relative_to(ROOT)))
    assert {
        "treadle.flows.cli:main",
        "treadle.infra.supervisor.child",
        "treadle.infra.orchestrator.serve:hosted",
        "treadle.flows.service.deployments.project_package.pack",
        "treadle.flows.service.deployments.entrypoints.score_deployment",
    } <= named.keys()
    assert {name: sorted(files) for name, files in named.items() if not exists(name)} == {}


def test_no_module_is_imported_or_started_by_a_bare_name() -> None:
    bare = set()
    for path in texts():
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if path.suffix == ".py" else ():
            named = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                named = [node.module or ""] if node.level == 0 else []
            if {name.partition(".")[0] for name in named} & {*PACKAGES}:
                bare.add((str(path.relative_to(ROOT)), node.lineno))
        if re.search(rf"-m[\s\",]+(?:{'|'.join(PACKAGES)})[.\s\"]", text):
            bare.add((str(path.relative_to(ROOT)), 0))
    assert bare == set()


def test_every_folder_of_modules_is_a_package() -> None:
    """Else what is in it is neither checked by import-linter nor found by a walk."""
    assert [name for name, path in CODE.items() if not (path.parent / "__init__.py").exists()] == []


def linted(tree: Path) -> tuple[set[str], dict[str, str]]:
    """The contracts of a tree that hold, and by contract what import-linter says of one that is broken."""
    ended = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    kept = set(re.findall(r"^(.+) KEPT\b", ended.stdout, re.M))
    broken = re.findall(r"^(.+) BROKEN\b", ended.stdout, re.M)
    assert kept or broken, ended.stdout + ended.stderr
    assert ended.returncode == bool(broken)
    sections = re.split(r"^(.+)\n-+\n", ended.stdout.partition("Broken contracts")[2], flags=re.M)
    return kept, {name: sections[sections.index(name) + 1] for name in broken}


def copied(folder: Path) -> Path:
    """A copy of what import-linter looks at."""
    for name in (*PACKAGES, "src"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    return folder


LAYERS = "flows -> {expectations, infra} -> tasks"
PURE = "tasks knows no orchestrator, tracker, validator, network or environment"
PREFECT = "Prefect only in flows and infra.orchestrator"
MLFLOW = "MLflow only in infra.tracking"
GX = "Great Expectations only in expectations"
DELTA = "Delta only in infra.tables"
APPRISE = "Apprise only in infra.notifications"
TERMINAL = "typer and rich only in flows.cli"
SCORER = "The scorer stands alone"
CIRCLES = "No circles"
FORBIDDEN = [
    ("infra/room1/x.py", "import prefect", PREFECT),
    ("infra/room1/deeper/x.py", "def late():\n    from prefect.client import orchestration", PREFECT),
    ("tasks/room1/x.py", "import prefect", PURE),
    ("infra/tables/y.py", "import mlflow", MLFLOW),
    ("flows/flow1/x.py", "def late():\n    import mlflow.pyfunc", MLFLOW),
    ("flows/flow2/x.py", "import great_expectations", GX),
    ("infra/room2/x.py", "from great_expectations import core", GX),
    ("infra/room3/x.py", "def late():\n    import deltalake", DELTA),
    ("flows/flow3/x.py", "from apprise import Apprise", APPRISE),
    ("flows/service/new.py", "from rich.table import Table", TERMINAL),
    ("infra/room4/x.py", "import typer", TERMINAL),
    ("tasks/room2/x.py", "import os", PURE),
    ("tasks/room3/x.py", "def late():\n    import sqlalchemy", PURE),
    ("tasks/room4/x.py", "from treadle.infra import settings", LAYERS),
    ("infra/room5/x.py", "from treadle.flows.cli import app", LAYERS),
    ("infra/room6/x.py", "def late():\n    from treadle.expectations import starter", LAYERS),
    ("infra/tracking/scorer/more.py", "from treadle.tasks import errors", SCORER),
    ("infra/circle1/x.py", "import treadle.infra.circle2.x", CIRCLES),
    ("tasks/room5/circle1.py", "def late():\n    from . import circle2", CIRCLES),
]
"""Modules in new rooms or in rooms that are there, each with the contract that it breaks."""
ALLOWED = [
    ("flows/flow4/x.py", "import prefect", PREFECT),
    ("infra/orchestrator/new.py", "import prefect", PREFECT),
    ("infra/tracking/new.py", "import mlflow", MLFLOW),
    ("infra/circle2/x.py", "import treadle.infra.circle1.x", ""),
    ("tasks/room5/circle2.py", "from . import circle1", ""),
]


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What import-linter says of a tree to which all of these were added, by contract."""
    tree = copied(tmp_path_factory.mktemp("planted"))
    for name, text, _ in (*FORBIDDEN, *ALLOWED):
        for folder in Path(name).parents[:-1]:
            (tree / folder).mkdir(parents=True, exist_ok=True)
            (tree / folder / "__init__.py").touch()
        (tree / name).write_text(f"{text}\n")
    return linted(tree)[1]


def test_the_contracts_of_imports_hold_and_are_those_that_are_proved_here(tmp_path: Path) -> None:
    kept, broken = linted(copied(tmp_path))
    assert broken == {}
    assert kept == {contract for _, _, contract in FORBIDDEN}


@pytest.mark.parametrize(("name", "text", "contract"), [one for one in FORBIDDEN if one[2] != CIRCLES])
def test_an_import_that_is_not_allowed_is_found_in_a_new_room_too(
    broken: dict[str, str], name: str, text: str, contract: str
) -> None:
    assert contract in broken, text
    module = f"treadle.{name.removesuffix('.py').replace('/', '.')}"
    assert re.search(rf"{re.escape(module)}\b", broken[contract]), (text, broken[contract])


@pytest.mark.parametrize("folder", ["treadle.infra", "treadle.tasks.room5"])
def test_a_circle_between_new_rooms_or_modules_is_found(broken: dict[str, str], folder: str) -> None:
    about = broken[CIRCLES].partition(f"No cycles are allowed in {folder}.\n")[2].partition("No cycles")[0]
    assert re.search(r"\.circle1 -> \.circle2|\.circle2 -> \.circle1", about), broken[CIRCLES]


@pytest.mark.parametrize(("name", "contract"), [(name, contract) for name, _, contract in ALLOWED if contract])
def test_a_new_module_of_a_librarys_own_room_may_import_it(broken: dict[str, str], name: str, contract: str) -> None:
    assert f"treadle.{name.removesuffix('.py').replace('/', '.')} " not in broken.get(contract, "")
