"""A second booster for regression's intervals: the 5% and the 95% quantile of the target for each row.

Its errors are known from rows that were left out, so the intervals are conformal whatever it learned: conformalised
quantile regression (Romano, Patterson & Candès 2019, NeurIPS). Where the spread depends on other things than the height
of the prediction, they are narrower than bands around the prediction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.interval import MISSED, QUANTILE_ROUNDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from xgboost import Booster

    from treadle.tasks.booster import MatrixRows
    from treadle.tasks.features import FeatureSpec
    from treadle.tasks.interval import QuantileScale
    from treadle.tasks.recipe import Recipe
    from treadle.tasks.training import Problem

LEARNING_RATE = 0.1
"""A rate by which `QUANTILE_ROUNDS` rounds are enough."""

LEVELS = f"[{MISSED / 2:g},{1 - MISSED / 2:g}]"


class QuantileFits:
    """The quantile boosters of a recipe's fits, and their answers [n, 2] for rows that were left out (else NaN).

    `scale` is that on which the target is learned, the logarithm of a skewed one.
    """

    def __init__(self, problem: Problem, recipe: Recipe, y: np.ndarray) -> None:
        import numpy as np

        from treadle.tasks.interval import band_scale
        from treadle.tasks.objective import Objective, target_shape

        self.problem = problem
        self.scale = band_scale(y, logarithm=bool((recipe.objective and recipe.objective.spread) or target_shape(y)))
        objective = Objective(name="reg:quantileerror", transform=self.scale)
        self.recipe = recipe.model_copy(update={"objective": objective, "monotone": {}})
        self.sums, self.times = np.zeros((len(y), 2)), np.zeros(len(y))
        self.kept: list[tuple[Booster, FeatureSpec]] = []

    @property
    def named_scale(self) -> QuantileScale:
        """The scale as `Bands.quantiles` has it."""
        return "log1p" if self.scale else "own"

    def answers(self) -> np.ndarray:
        """The quantiles [n, 2] on the target's own scale."""
        import numpy as np

        from treadle.tasks.interval import own_quantiles

        with np.errstate(invalid="ignore", divide="ignore"):
            raw = self.sums / self.times[:, None]
        return own_quantiles(self.named_scale, raw.astype(np.float32))

    def fit(self, spec: FeatureSpec, part: MatrixRows) -> Booster:
        """A booster of both quantiles for rows that were encoded by `spec`."""
        from treadle.tasks import booster
        from treadle.tasks.recipe import recipe_parameters

        setting = {name: value for name, value in self.recipe.params.items() if name not in ("eta", "max_delta_step")}
        params = recipe_parameters(self.problem, self.recipe, spec, {**setting, "learning_rate": LEARNING_RATE})
        assert self.recipe.objective is not None
        part = booster.on_scale(part, self.recipe.objective)
        return booster.fit_booster({**params, "quantile_alpha": LEVELS}, part, rounds=QUANTILE_ROUNDS, names=spec.names)

    def leave_out(
        self, spec: FeatureSpec, part: MatrixRows, apart: MatrixRows, answered: np.ndarray, *, keep: bool
    ) -> None:
        """Fit on `part` and answer for the rows `apart`, whose positions are `answered`; `keep` the booster."""
        from treadle.tasks import booster

        fitted = self.fit(spec, part)
        self.sums[answered] += booster.predict_raw(fitted, apart.X)
        self.times[answered] += 1
        if keep:
            self.kept.append((fitted, spec))

    def merged(self, columns: Sequence[tuple[int, ...]], names: Sequence[str]) -> Booster:
        """The mean of the boosters that were kept; `columns` say where the features of each stand among `names`."""
        from treadle.tasks import ensemble

        share = 1 / len(self.kept)
        members = [ensemble.Member(one, share, at) for (one, _), at in zip(self.kept, columns, strict=True)]
        return ensemble.merge(members, names)
