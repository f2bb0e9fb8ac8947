"""The scorer's modules make one file, which does what they do, or they are refused."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from treadle.infra import stores
from treadle.infra.tracking.scorer import join
from treadle.infra.tracking.scorer.join import JoinError, join_modules, shipped_source

if TYPE_CHECKING:
    from types import ModuleType

PACKAGE = "treadle.infra.tracking.scorer"
UNKNOWN = "is no name that an earlier module defines"
FIRST = '''"""Numbers."""

from __future__ import annotations

import re
from datetime import UTC, date
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

# a comment before a constant
ONE = 1
"""What a constant is."""


def total(values: Iterable[date]) -> int:
    """The total."""
    return len(list(values))  # a comment behind


# a comment at the end
'''
SECOND = f'''"""Texts.

In two paragraphs.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from {PACKAGE}.first import ONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from {PACKAGE}.first import total

LEAST = ONE
LEAST += 1
'''
JOINED = '''"""A file."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


# first.py: Numbers.


# a comment before a constant
ONE = 1
"""What a constant is."""


def total(values: Iterable[date]) -> int:
    """The total."""
    return len(list(values))  # a comment behind


# a comment at the end


# second.py: Texts.
#
# In two paragraphs.


LEAST = ONE
LEAST += 1


print(LEAST)
'''


def test_the_joined_file_has_every_import_once_and_every_body_as_it_is_written() -> None:
    assert join_modules("A file.", {"first": FIRST, "second": SECOND}, "print(LEAST)") == JOINED


def module(body: str, imports: str = "") -> str:
    return f'"""A module."""\n\n{imports}\n\n{body}\n'


REFUSED = {
    "the same function twice": (module("def f(): ..."), module("def f(): ..."), "'f' in second.py: defined in second"),
    "a constant and a class": (module("f = 1"), module("class f: ..."), "'f' in second.py: defined in second"),
    "several names at once": (module("a, f = 1, 2"), module("f: int = 1"), "'f' in second.py"),
    "a definition and an import": (module("f = 1"), module("", "from os import f"), "os import f, but also defined"),
    "an import and a definition": (module("", "import f"), module("def f(): ..."), "'f' .* but also import f"),
    "one name of two places": (
        module("", "from a import f"),
        module("", "from b import f"),
        "b import f, but also from a",
    ),
    "one alias of two places": (module("", "import a as f"), module("", "import b as f"), "b as f, but also import a"),
    "two places, one for type checkers": (
        module("", "from a import f"),
        module("", "if TYPE_CHECKING:\n    from b import f"),
        "b import f, but also from a",
    ),
    "a name of Python's own": (module("def sum(): ..."), module(""), "'sum' in first.py: .* Python's own"),
    "a later module": (module("", f"from {PACKAGE}.second import f"), module("f = 1"), UNKNOWN),
    "a name that is not there": (module("f = 1"), module("", f"from {PACKAGE}.first import g"), f"import g' {UNKNOWN}"),
    "another name for it": (module("f = 1"), module("", f"from {PACKAGE}.first import f as g"), f"f as g' {UNKNOWN}"),
    "treadle elsewhere": (module("", "from treadle.tasks.features import encode"), module(""), UNKNOWN),
    "a module of treadle": (module("", f"import {PACKAGE}.second"), module(""), UNKNOWN),
    "treadle for type checkers": (
        module("", "if TYPE_CHECKING:\n    from treadle.tasks.features import encode"),
        module(""),
        UNKNOWN,
    ),
    "treadle in a function": (module("def f():\n    import treadle.tasks"), module(""), "line 6: an import after"),
    "an import after a definition": (module("f = 1\nimport re"), module(""), "line 6: an import after"),
    "a relative import": (module("", "from .second import f"), module("f = 1"), "line 3: not an absolute import"),
    "a comment among imports": (module("", "import re  # for text"), module(""), "line 3: a comment among the imports"),
    "a statement": (module("print(1)"), module(""), "line 5: neither an import"),
    "a condition": (module("if 1 > 2:\n    f = 1"), module(""), "line 5: neither an import"),
    "no docstring": ("f = 1", module(""), "first.py has no docstring"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_modules_that_would_mean_something_else_in_one_file_are_refused(case: str) -> None:
    first, second, message = REFUSED[case]
    with pytest.raises(JoinError, match=message):
        join_modules("A file.", {"first": first, "second": second}, "")


def test_a_docstring_that_quotes_would_end_is_refused() -> None:
    with pytest.raises(JoinError, match="docstring"):
        join_modules("A \\n file.", {"first": FIRST}, "")


def test_the_same_modules_give_the_same_bytes_in_every_process() -> None:
    script = (
        f"import sys; from {PACKAGE}.join import shipped_source as source; sys.stdout.buffer.write(source()); "
        "assert not {'mlflow', 'pandas', 'numpy', 'xgboost'} & set(sys.modules)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {shipped_source()}


def test_every_module_of_the_folder_ships() -> None:
    folder = Path(join.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} == {*join.MODULES, "join", "__init__"}


def test_the_shipped_file_has_one_docstring_and_imports_nothing_of_treadle(scorer_file: Path) -> None:
    tree = ast.parse(scorer_file.read_text())
    assert (ast.get_docstring(tree) or "").startswith("A bundle as any MLflow client loads it")
    strings = [node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    assert len(strings) == 1
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names]
    assert {"mlflow", "pandas", "xgboost"} < set(imported)
    assert [name for name in imported if name.startswith("treadle")] == []


def test_the_shipped_file_passes_the_linter_and_is_formatted(scorer_file: Path) -> None:
    config = Path(__file__).parents[2] / "pyproject.toml"
    for command in (["check", "--no-cache"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--config", config, scorer_file], check=True)


def test_the_scorer_knows_what_stores_know_of_a_models_folder(scorer: ModuleType) -> None:
    assert scorer.MODEL_FILES == stores.MODEL_FILES
