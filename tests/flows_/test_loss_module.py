"""A loss of one's own is read from pipelines/module.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from treadle.flows.context.loss_module import load_loss, loss_file, obeyed_digest
from treadle.tasks.config.spec import PipelineConfig
from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
from dataclasses import dataclass
import numpy as np

@dataclass
class Slope:
    value: float = 1.0

def own(margins, y):
    return Slope().value * (margins - y), np.ones_like(margins)

own.loss = lambda margins, y: (margins - y) ** 2 / 2
own.link = "identity"
own.exact = False
number = 3
"""


def home(tmp_path: Path, source: str = SOURCE) -> Path:
    (tmp_path / "pipelines").mkdir(exist_ok=True)
    (tmp_path / "pipelines" / "losses.py").write_text(source)
    return tmp_path


def config(objective: str) -> PipelineConfig:
    data = {"source": "a.csv", "target": "y", "task": "regression"}
    return PipelineConfig.model_validate({"name": "a", "data": data, "model": {"objective": objective}})


def test_function_and_attributes_are_read(tmp_path: Path) -> None:
    loss = load_loss(home(tmp_path), "losses:own")
    assert loss is not None
    assert (loss.name, loss.link, loss.exact) == ("losses:own", "identity", False)
    assert loss.loss is not None
    gradient, hessian = loss.derivatives(np.array([3.0]), np.array([1.0]))
    assert (gradient.tolist(), hessian.tolist()) == ([2.0], [1.0])


@pytest.mark.parametrize("objective", ["", "auto", "reg:gamma", "binary:logistic", "count:poisson"])
def test_xgboosts_objectives_have_no_file(tmp_path: Path, objective: str) -> None:
    assert load_loss(tmp_path, objective) is None


WRONG = {
    "no file": ("others:own", SOURCE, "does not exist: pipelines/others.py"),
    "no function": ("losses:mine", SOURCE, "has no function 'mine'"),
    "no function but a number": ("losses:number", SOURCE, "has no function 'number'"),
    "no Python": ("losses:own", "def own(", "cannot be run: SyntaxError"),
    "fails": ("losses:own", "1 / 0", "cannot be run: ZeroDivisionError"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_loss_that_is_not_there_is_refused_by_file_and_name(tmp_path: Path, case: str) -> None:
    objective, source, says = WRONG[case]
    with pytest.raises(ConfigError, match=says) as caught:
        load_loss(home(tmp_path, source), objective)
    assert caught.value.key == "model.objective"
    assert caught.value.fix


def test_an_edited_loss_is_another_run_and_any_other_file_is_not(tmp_path: Path) -> None:
    place, custom = home(tmp_path), config("losses:own")
    before = obeyed_digest(place, custom)
    (place / "pipelines" / "other.py").write_text("")
    assert obeyed_digest(place, custom) == before
    assert obeyed_digest(home(tmp_path, SOURCE + "\n"), custom) != before
    plain = config("reg:gamma")
    assert obeyed_digest(place, plain) == plain.digest()
    assert loss_file(place, "losses:own") == place / "pipelines" / "losses.py"
