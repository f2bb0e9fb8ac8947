"""A loss of one's own, `[model] objective = "module:function"`, loaded from `pipelines/module.py` of the home."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.custom_loss import CustomLoss


def load_loss(home: Path, objective: str) -> CustomLoss | None:
    """The loss that `objective` names, None where it names one of XGBoost's.

    The function's attributes `loss`, `link` and `exact` are read where it has them. Raises ConfigError where file or
    function is missing, or the file cannot be run.
    """
    from treadle.tasks.custom_loss import CustomLoss

    path = loss_file(home, objective)
    if path is None:
        return None
    wanted = objective.partition(":")[2]
    module = _run(path)
    found: Callable[..., object] | None = getattr(module, wanted, None)
    if not callable(found):
        raise ConfigError(
            f"pipelines/{path.name} has no function {wanted!r}",
            f"define it: def {wanted}(margins, y): return gradient, hessian",
            key="model.objective",
        )
    return CustomLoss(
        name=objective,
        derivatives=found,  # type: ignore[arg-type]  # `check_loss` calls it and looks at what it returns
        loss=getattr(found, "loss", None),
        link=str(getattr(found, "link", "")),
        exact=bool(getattr(found, "exact", True)),
    )


def loss_file(home: Path, objective: str) -> Path | None:
    """The file that a custom objective names, None for XGBoost's own and for none.

    Raises ConfigError where the file does not exist.
    """
    from treadle.tasks.objective import XGBOOST_KINDS

    module = objective.partition(":")[0]
    if objective in ("", "auto") or module in XGBOOST_KINDS:
        return None
    path = home / "pipelines" / f"{module}.py"
    if not path.is_file():
        raise ConfigError(
            f"{objective!r} is the function of a file that does not exist: pipelines/{module}.py",
            "write the file, or name an objective of XGBoost",
            key="model.objective",
        )
    return path


def obeyed_digest(home: Path, config: PipelineConfig) -> str:
    """The config's digest, with the content of the file that a custom objective names: edited, it is another run."""
    path = loss_file(home, config.model.objective)
    if path is None:
        return config.digest()
    return hashlib.sha256(config.digest().encode() + path.read_bytes()).hexdigest()


def _run(path: Path) -> ModuleType:
    """The file as a module, under a name that no other module has."""
    import importlib.util
    import sys

    name = f"_treadle_loss_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "the path ends with .py"
    assert spec.loader is not None, "the path ends with .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(
            f"pipelines/{path.name} cannot be run: {type(error).__name__}: {error}",
            f"correct it; try: python pipelines/{path.name}",
            key="model.objective",
        ) from error
    return module
