"""The package's modules joined into the one Python file that MLflow stores beside a bundle, `scorer.py`.

Whatever would mean something else in the joined file than in its module is refused with JoinError.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

PACKAGE = "treadle.infra.tracking.scorer"
MODULES = ("verification", "values", "reading", "texts", "encoding", "coefficients", "postprocessing", "model")
"""The order of the joined file: a module imports from earlier ones only."""
ENDING = "mlflow.models.set_model(Scorer())"
"""The last line of the joined file: MLflow runs the file and takes the model that is set."""


class JoinError(ValueError):
    """The modules cannot be joined into one file."""


@dataclass(frozen=True)
class ImportedName:
    """`from module import name as alias`; without a name `import module as alias`."""

    module: str
    name: str
    alias: str

    def __str__(self) -> str:
        return f"from {self.module} import {self.clause}" if self.name else f"import {self.clause}"

    @property
    def is_ours(self) -> bool:
        """Whether it comes from treadle."""
        return self.module.partition(".")[0] == PACKAGE.partition(".")[0]

    @property
    def binds(self) -> str:
        """The name that the import gives to the module's code."""
        return self.alias or self.name or self.module.partition(".")[0]

    @property
    def clause(self) -> str:
        """What stands after `import`."""
        return f"{self.name or self.module}{self.alias and f' as {self.alias}'}"


@dataclass(frozen=True)
class ModuleParts:
    """What the joined file takes of a module; `body` is the text after the imports, `defines` the names bound there."""

    name: str
    docstring: str
    imports: tuple[ImportedName, ...]
    typing_imports: tuple[ImportedName, ...]
    defines: frozenset[str]
    body: str


def shipped_source() -> bytes:
    """The scorer as it ships: this folder's modules as one file that imports nothing of treadle."""
    folder = Path(__file__).parent
    sources = {name: (folder / f"{name}.py").read_text("utf-8") for name in MODULES}
    door = _parts("__init__", (folder / "__init__.py").read_text("utf-8"))
    return join_modules(door.docstring, sources, ENDING).encode()


def join_modules(docstring: str, sources: Mapping[str, str], ending: str) -> str:
    """The text of one file: `docstring`, all imports, the modules' bodies in the order of `sources`, `ending`.

    The same arguments give the same text. Raises JoinError where a top-level name means two things, where a module
    imports anything of treadle but names that an earlier module defines, or where a statement or a comment would be
    lost.
    """
    modules = [_parts(name, source) for name, source in sources.items()]
    _check_names(modules)
    imports = {one for module in modules for one in module.imports if not one.is_ours}
    typing_imports = {one for module in modules for one in module.typing_imports if not one.is_ours} - imports
    head = [f'"""{docstring}"""', *_import_sections(imports)]
    if typing_imports:
        block = "\n\n".join(_import_sections(typing_imports))
        head.append("if TYPE_CHECKING:\n" + _prefixed("    ", block))
    bodies = [f"{_prefixed('# ', f'{module.name}.py: {module.docstring}')}\n\n\n{module.body}" for module in modules]
    text = "\n\n\n".join(["\n\n".join(head), *bodies, ending]) + "\n"
    if ast.get_docstring(ast.parse(text), clean=False) != docstring:
        raise JoinError("the file's docstring holds quotes or backslashes that change it")
    return text


def _parts(name: str, source: str) -> ModuleParts:
    """A module's source in parts; raises JoinError unless it is a docstring, imports and then definitions."""
    tree, lines = ast.parse(source), source.split("\n")
    docstring = ast.get_docstring(tree, clean=False)
    if docstring is None:
        raise JoinError(f"{name}.py has no docstring")
    first, *statements = tree.body
    head = [*itertools.takewhile(_is_import, statements)]
    start, end = first.end_lineno or 0, [first, *head][-1].end_lineno or 0
    imports, typing_imports = [], []
    for node in head:
        if isinstance(node, ast.If):
            typing_imports += [one for inner in node.body for one in _imported(name, inner)]
        else:
            imports += _imported(name, node)
    defines = {bound for node in statements[len(head) :] for bound in _defined(name, node)}
    for number in range(start, end):
        if "#" in lines[number]:
            raise JoinError(f"{name}.py, line {number + 1}: a comment among the imports would be lost")
    body = "\n".join(lines[end:]).strip("\n")
    return ModuleParts(name, docstring, tuple(imports), tuple(typing_imports), frozenset(defines), body)


def _is_import(node: ast.stmt) -> bool:
    """Whether it is an import statement, or a block of what only type checkers import."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING" and not node.orelse
    return isinstance(node, ast.Import | ast.ImportFrom)


def _imported(name: str, node: ast.stmt) -> list[ImportedName]:
    if isinstance(node, ast.Import):
        return [ImportedName(one.name, "", one.asname or "") for one in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [ImportedName(node.module, one.name, one.asname or "") for one in node.names]
    raise JoinError(f"{name}.py, line {node.lineno}: not an absolute import: {ast.unparse(node)}")


def _defined(name: str, node: ast.stmt) -> set[str]:
    """The names that a top-level statement binds."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import | ast.ImportFrom):
            raise JoinError(f"{name}.py, line {inner.lineno}: an import after the first definition")
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a constant's docstring
        return set()
    raise JoinError(f"{name}.py, line {node.lineno}: neither an import, a function, a class nor a constant")


def _check_names(modules: Iterable[ModuleParts]) -> None:
    """Raise JoinError where one top-level name means two things, or is imported from no earlier module."""
    meanings = {name: f"Python's own {name}" for name in dir(builtins)}
    definitions: set[tuple[str, str]] = set()
    for module in modules:
        bound = dict.fromkeys(module.defines, f"defined in {module.name}.py")
        for one in (*module.imports, *module.typing_imports):
            if not one.is_ours:
                bound[one.binds] = str(one)
            elif one.alias or (one.module, one.name) not in definitions:
                raise JoinError(f"{module.name}.py: '{one}' is no name that an earlier module defines")
        for name, meaning in sorted(bound.items()):
            if meanings.setdefault(name, meaning) != meaning:
                raise JoinError(f"{name!r} in {module.name}.py: {meaning}, but also {meanings[name]}")
        definitions |= {(f"{PACKAGE}.{module.name}", name) for name in module.defines}


def _import_sections(imports: Collection[ImportedName]) -> list[str]:
    """Import statements as ruff sorts them: `__future__`, the standard library, all others."""
    sections: list[list[str]] = [[], [], []]
    for module in sorted({one.module for one in imports}):
        section = 0 if module == "__future__" else 1 if module.partition(".")[0] in sys.stdlib_module_names else 2
        names = [one for one in imports if one.module == module]
        sections[section] += sorted(str(one) for one in names if not one.name)
        named = sorted((one for one in names if one.name), key=_kind_and_name)
        if named:
            sections[section].append(f"from {module} import {', '.join(one.clause for one in named)}")
    return ["\n".join(sorted(section, key=lambda line: line.startswith("from"))) for section in sections if section]


def _kind_and_name(one: ImportedName) -> tuple[bool, bool, str]:
    """Sorts constants first, then classes, then the rest."""
    return not one.name.isupper(), not one.name[0].isupper(), one.clause


def _prefixed(prefix: str, text: str) -> str:
    return "\n".join(f"{prefix}{line}".rstrip() for line in text.splitlines())
