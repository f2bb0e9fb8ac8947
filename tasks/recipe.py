"""A version's recipe: made once by a training run, and followed by every fit after it."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from treadle.tasks.dataset.folds import FOLDS
from treadle.tasks.errors import TargetError
from treadle.tasks.objective import Objective
from treadle.tasks.search.found import Setting
from treadle.tasks.validation import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.tasks.booster import Scalar
    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.features import FeatureSpec
    from treadle.tasks.prepared import Preparation
    from treadle.tasks.search import Found
    from treadle.tasks.training import Problem


class Recipe(BaseModel):
    """What recipe.json says: what the search settled for, and what the columns were taken for.

    `params` are the trial's, `rounds` those of the judged booster and `serving_rounds` those of the serving one. Where
    the model is an average, `members` are its settings, and these three are those of the one with the largest share.
    `layout` says how rows were left out in turn. Where it is bagged, each member is fitted on the fitted rows of every
    fold, and the model is the average of all; else it is fitted on all rows. `encodings` and `differences` say what
    columns become, `kind` whether the model is a booster or a line, `objective` what is minimised (None: the task's
    plain one), `fixed` which parameters a person set. `columns` may become features and `categories` are the integers
    among them that are names. `threads` is XGBoost's `nthread` as it was (0: all), which changes no tree; `stopped` is
    what ended the search, 'trials', 'budget' or 'interrupt' (empty: not recorded). `masked` says whether known levels
    are masked in the rows that boosters are fitted on (`features.masking`).
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
    members: tuple[Setting, ...] = ()
    layout: Layout = Layout()
    encodings: dict[str, tuple[str, ...]] = {}
    differences: tuple[tuple[str, str], ...] = ()
    objective: Objective | None = None
    kind: Literal["trees", "linear"] = "trees"
    interactions: tuple[tuple[str, ...], ...] = ()
    fixed: dict[str, str | int | float] = {}
    masked: bool = False

    @property
    def settings(self) -> tuple[Setting, ...]:
        """What is averaged; one setting where nothing is."""
        return self.members or (Setting(params=self.params, rounds=self.rounds, share=1.0),)

    def sentence(self) -> str:
        """What a fit makes: rounds of how many settings, in how many folds."""
        if self.kind == "linear":
            return "a linear model"
        rounds = " + ".join(f"{one.rounds:,}" for one in self.settings)
        if self.layout.kind != "folds" or not self.layout.bagged:
            return f"{rounds} rounds"
        return f"{rounds} rounds in each of {FOLDS * self.layout.repeats} folds"


def serving_rounds(rounds: int, judged_rows: int, rows: int, *, fewer: bool = False) -> int:
    """Rounds for a model on `rows` rows whose recipe took `rounds` on `judged_rows`: more by the root of their ratio.

    More rows carry more rounds before noise is learned. With a fifth held out that is 1.12 times as many; `make audit`
    (refit) measures this factor against others. Fewer rows get as many, or with `fewer` less by the same root.
    """
    ratio = rows / judged_rows
    return max(1, round(rounds * math.sqrt(ratio if fewer else max(ratio, 1.0))))


def make_recipe(
    config: PipelineConfig,
    problem: Problem,
    found: Found,
    prepared: Preparation | None = None,
    *,
    judged_rows: int,
    rows: int,
    device: str,
) -> Recipe:
    """How this run makes its models: `judged_rows` are fitted by the judged one, `rows` there are in all.

    `prepared` is what was decided before the search (None: nothing). Windows of time were fitted on fewer rows than the
    judged model is, so that one gets more rounds.
    """
    from treadle.tasks import booster
    from treadle.tasks.prepared import Preparation

    decided = prepared or Preparation()
    whole, layout = config.model.refit == "all", decided.layout
    seen = found.fitted_rows if layout.kind == "windows" and found.fitted_rows else judged_rows
    members = tuple(
        one.model_copy(update={"rounds": serving_rounds(one.rounds, seen, judged_rows)}) for one in found.members
    )
    judged_rounds = serving_rounds(found.rounds, seen, judged_rows)
    return Recipe(
        task=problem.task,
        metric=problem.metric,
        columns=decided.narrowed(problem).columns,
        categories=problem.categories,
        monotone=dict(config.model.monotone),
        params=found.params,
        rounds=judged_rounds,
        serving_rounds=serving_rounds(judged_rounds, judged_rows, rows) if whole else judged_rounds,
        seed=config.tune.seed,
        device=device,
        threads=booster.threads(judged_rows),
        refit=config.model.refit,
        stopped=found.stopped,
        members=members,
        layout=layout,
        encodings=decided.encodings,
        differences=decided.differences,
        objective=decided.objective,
        interactions=config.model.interactions,
        fixed=config.model.fixed,
        masked=True,
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


def recipe_parameters(
    problem: Problem, recipe: Recipe, spec: FeatureSpec, params: Mapping[str, Scalar] | None = None
) -> dict[str, Scalar]:
    """All that `xgboost.train` needs, for a booster of the features of `spec` with a member's `params`."""
    from treadle.tasks import booster

    return booster.complete_parameters(
        problem.task,
        recipe.params if params is None else params,
        classes=len(problem.classes),
        device=recipe.device,
        seed=recipe.seed,
        objective=recipe.objective,
        fixed=recipe.fixed,
        monotone={name: way for name, way in recipe.monotone.items() if name in spec.owners},
        interactions=recipe.interactions,
        names=spec.names,
        owners=spec.owners,
    )
