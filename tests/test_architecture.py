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


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what import-linter looks at."""
    copy = tmp_path_factory.mktemp("tree")
    for name in (*PACKAGES, "src"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", copy / "pyproject.toml")
    return copy


def broken(tree: Path) -> tuple[set[str], str]:
    """The contracts that do not hold, and what import-linter says."""
    ended = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = set(re.findall(r"^(.+) BROKEN\b", ended.stdout, re.M))
    assert ended.returncode == bool(found), ended.stdout + ended.stderr
    assert found or " kept, 0 broken." in ended.stdout
    return found, ended.stdout


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
    ({"infra/newroom/x.py": "import prefect"}, PREFECT),
    ({"infra/newroom/deeper/x.py": "def late():\n    from prefect.client import orchestration"}, PREFECT),
    ({"tasks/newroom/x.py": "import prefect"}, PURE),
    ({"infra/tables/y.py": "import mlflow"}, MLFLOW),
    ({"flows/newflow/z.py": "def late():\n    import mlflow.pyfunc"}, MLFLOW),
    ({"flows/newflow/z.py": "import great_expectations"}, GX),
    ({"infra/newroom/x.py": "from great_expectations import core"}, GX),
    ({"infra/newroom/x.py": "def late():\n    import deltalake"}, DELTA),
    ({"flows/newflow/z.py": "from apprise import Apprise"}, APPRISE),
    ({"flows/service/new.py": "from rich.table import Table"}, TERMINAL),
    ({"infra/newroom/x.py": "import typer"}, TERMINAL),
    ({"tasks/newroom/x.py": "import os"}, PURE),
    ({"tasks/newroom/x.py": "def late():\n    import sqlalchemy"}, PURE),
    ({"tasks/newroom/x.py": "from treadle.infra import settings"}, LAYERS),
    ({"infra/newroom/x.py": "from treadle.flows.cli import options"}, LAYERS),
    ({"infra/newroom/x.py": "def late():\n    from treadle.expectations import starter"}, LAYERS),
    ({"infra/tracking/scorer/more.py": "from treadle.tasks import errors"}, SCORER),
    (
        {"infra/newroom/x.py": "import treadle.infra.other.x", "infra/other/x.py": "import treadle.infra.newroom.x"},
        CIRCLES,
    ),
    ({"tasks/newroom/a.py": "from . import b", "tasks/newroom/b.py": "from . import a"}, CIRCLES),
]


def put(tree: Path, modules: dict[str, str]) -> Iterator[Path]:
    """Add modules, and make packages of their folders; what was made."""
    for name, text in modules.items():
        for folder in reversed(Path(name).parents[:-1]):
            if not (tree / folder).exists():
                (tree / folder).mkdir()
                yield tree / folder
                (tree / folder / "__init__.py").touch()
        (tree / name).write_text(f"{text}\n")
        yield tree / name


def test_the_contracts_of_imports_hold_and_are_those_that_are_proved_here(tree: Path) -> None:
    found, said = broken(tree)
    assert found == set()
    assert set(re.findall(r"^(.+) KEPT\b", said, re.M)) == {contract for _, contract in FORBIDDEN}


@pytest.mark.parametrize(("modules", "contract"), FORBIDDEN)
def test_an_import_that_is_not_allowed_is_found_in_a_new_room_too(
    tree: Path, modules: dict[str, str], contract: str
) -> None:
    scorer = tree / "infra" / "tracking" / "scorer.py"
    if scorer.exists() and any(name.startswith(f"{ALONE}/") for name in modules):
        scorer.rename(tree / "scorer.py")  # as a folder of the same name
    made = list(put(tree, modules))
    try:
        found, said = broken(tree)
    finally:
        for path in reversed(made):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if (tree / "scorer.py").exists():
            (tree / "scorer.py").rename(scorer)
    assert contract in found, said


def test_prefect_in_a_new_module_of_its_rooms_is_allowed(tree: Path) -> None:
    made = list(put(tree, {"flows/newflow/x.py": "import prefect", "infra/orchestrator/new.py": "import prefect"}))
    try:
        assert broken(tree)[0] == set()
    finally:
        for path in reversed(made):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
