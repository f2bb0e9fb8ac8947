"""A version's recipe: made once by a training run, and followed by every fit after it."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from treadle.tasks.errors import TargetError

if TYPE_CHECKING:
    from treadle.tasks.booster import Scalar
    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.features import FeatureSpec
    from treadle.tasks.search import Found
    from treadle.tasks.training import Problem


class Recipe(BaseModel):
    """What recipe.json says: what the search settled for, and what the columns were taken for.

    `params` are the trial's, `rounds` those of the judged booster and `serving_rounds` those of the serving one.
    `columns` may become features and `categories` are the integers among them that are names. `threads` is XGBoost's
    `nthread` as it was (0: all), which changes no tree; `stopped` is what ended the search, 'trials' or 'budget'
    (empty: not recorded).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    task: str
    metric: str
    columns: tuple[str, ...]
    categories: tuple[str, ...]
    monotone: dict[str, int]
    params: dict[str, str | int | float]
    rounds: int
    serving_rounds: int
    seed: int
    device: str
    threads: int
    refit: Literal["all", "none"]
    stopped: str = ""


def serving_rounds(rounds: int, judged_rows: int, rows: int) -> int:
    """Rounds for a model on `rows` rows whose recipe took `rounds` on `judged_rows`: more by the root of their ratio.

    More rows carry more rounds before noise is learned. With a fifth held out that is 1.12 times as many; `make audit`
    (refit) measures this factor against others.
    """
    return max(1, round(rounds * math.sqrt(max(rows, judged_rows) / judged_rows)))


def make_recipe(
    config: PipelineConfig, problem: Problem, found: Found, *, judged_rows: int, rows: int, device: str
) -> Recipe:
    """How this run makes its models: `judged_rows` are fitted by the judged one, `rows` there are in all."""
    from treadle.tasks import booster

    whole = config.model.refit == "all"
    return Recipe(
        task=problem.task,
        metric=problem.metric,
        columns=problem.columns,
        categories=problem.categories,
        monotone=dict(config.model.monotone),
        params=found.params,
        rounds=found.rounds,
        serving_rounds=serving_rounds(found.rounds, judged_rows, rows) if whole else found.rounds,
        seed=config.tune.seed,
        device=device,
        threads=booster.threads(judged_rows),
        refit=config.model.refit,
        stopped=found.stopped,
    )


def by_recipe(problem: Problem, recipe: Recipe) -> Problem:
    """The problem as the recipe's version saw it: its columns, on today's rows.

    Raises TargetError where one of them is not there any more or is the target now, or for another task. A column whose
    kind has changed is taken as it is now.
    """
    names = set(problem.schema.names)
    if gone := [name for name in recipe.columns if name not in names]:
        raise TargetError(f"column {gone[0]!r} is not in the rows any more", "train a version without it")
    if problem.target in recipe.columns:
        raise TargetError(f"the target {problem.target!r} was one of its columns", "compare them by hand")
    if recipe.task != problem.task:
        raise TargetError(f"it was a {recipe.task} task, and is a {problem.task} task now", "compare them by hand")
    return dataclasses.replace(
        problem,
        columns=tuple(name for name in problem.schema.names if name in recipe.columns),
        categories=recipe.categories,
    )


def recipe_parameters(problem: Problem, recipe: Recipe, spec: FeatureSpec) -> dict[str, Scalar]:
    """All that `xgboost.train` needs, for a booster of the features of `spec`."""
    from treadle.tasks import booster

    return booster.complete_parameters(
        problem.task,
        recipe.params,
        classes=len(problem.classes),
        device=recipe.device,
        seed=recipe.seed,
        monotone={name: way for name, way in recipe.monotone.items() if name in spec.names},
        names=spec.names,
    )
