from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def modules(package: str) -> list[str]:
    """The modules and folders of a package, as the text would name them."""
    return sorted(
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / package).iterdir()
        if (path.is_dir() and (path / "__init__.py").exists()) or (path.suffix == ".py" and path.name != "__init__.py")
    )


@pytest.mark.parametrize("package", ["flows", "tasks", "expectations", "infra"])
def test_every_module_has_its_place_in_the_text(package: str) -> None:
    room = TEXT.split(f"### {package}/")[1].split("\n##")[0]
    assert [name for name in modules(package) if f"`{name}`" not in room] == []


def test_every_path_in_the_text_exists() -> None:
    named = re.findall(r"`((?:flows|tasks|expectations|infra|pipelines|docs)/[\w./]*)`", TEXT)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []
