"""One training run as plain functions: rows to a problem, a study's finding to a model, a model to its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa
    from xgboost import Booster

    from tasks.booster import Curve
    from tasks.bundle import Model
    from tasks.config import PipelineConfig
    from tasks.dataset import Schema
    from tasks.features import FeatureSpec
    from tasks.gate import Judged
    from tasks.leakage import Leak
    from tasks.postprocess import Predictions
    from tasks.search import Found

Label = str | bool | int | float

TRAIN_SCORE_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be learned, fixed before anything is fitted.

    `classes` are the labels in code order (binary: negative, positive; regression: none); `columns` are the columns
    that may become features.
    """

    task: str
    metric: str
    target: str
    schema: Schema
    key: tuple[str, ...]
    time: str
    timezone: str
    columns: tuple[str, ...]
    categories: tuple[str, ...]
    missing: tuple[str, ...]
    classes: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows ready for XGBoost: `X` float32 [n, features] with NaN for missing, `y` float32 [n] class codes or values."""

    X: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, slots=True)
class Fitted:
    """The model to register (fitted on training and validation rows) and how the search's one learned."""

    model: Model
    curve: Curve


@dataclass(frozen=True, slots=True)
class Champion:
    """Who sits in the chair: a registered model, by its version."""

    version: int
    model: Model


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the gate and the report need to know about a model, all from the same holdout rows.

    `scores` maps who ('challenger', 'champion', 'linear', 'dummy') to metric values; `train_scores` are the
    challenger's on (a sample of) the rows that it was fitted on; `broken` are checks that could not be made.
    """

    judged: Judged
    leaks: tuple[Leak, ...]
    broken: tuple[str, ...]
    scores: Mapping[str, Mapping[str, float]]
    train_scores: Mapping[str, float]
    predictions: Predictions
    y: np.ndarray


@dataclass(frozen=True, slots=True)
class Scores:
    """Holdout metrics of everyone ('challenger', 'champion', 'linear', 'dummy'), training metrics of the challenger."""

    holdout: dict[str, dict[str, float]]
    train: dict[str, float]
    holdout_reads: int

    def of(self, who: str, metric: str) -> float | None:
        """One value, or None where nobody of that name was scored."""
        return self.holdout.get(who, {}).get(metric)

    def flat(self) -> dict[str, float]:
        """All values under one name each, for a metrics store: holdout_roc_auc, linear_roc_auc, train_roc_auc."""
        named = {
            f"{'holdout' if who == 'challenger' else who}_{metric}": value
            for who, values in self.holdout.items()
            for metric, value in values.items()
        }
        return {**named, **{f"train_{metric}": value for metric, value in self.train.items()}}


def labels(rows: pa.Table, target: str) -> list[Label]:
    """The target's distinct values, nulls left out."""
    import pyarrow.compute as pc

    return [value for value in pc.unique(rows[target]).to_pylist() if value is not None]


def together(training: pa.Table, validation: pa.Table) -> pa.Table:
    """All rows that the registered model is fitted on."""
    import pyarrow as pa

    return pa.concat_tables([training, validation])


def feature_columns(config: PipelineConfig, schema: Schema) -> tuple[str, ...]:
    """The columns that may become features: all but target, drop, group and a key of one column.

    A compound key's parts stay: carrier and origin say something, although together they name the row.
    """
    out = {config.data.target, *config.data.drop, config.split.group}
    if len(config.data.key) == 1:
        out |= set(config.data.key)
    names = tuple(name for name in schema.names if name not in out)
    if not names:
        raise TargetError(
            f"pipeline '{config.name}': no column is left to learn {config.data.target!r} from",
            "take columns out of data.drop",
        )
    return names


def define(config: PipelineConfig, schema: Schema, labels: Sequence[Label]) -> Problem:
    """The problem that `config` describes; `labels` are the target's distinct values.

    Raises TargetError where the labels do not make the task that the config names.
    """
    from tasks import metrics, postprocess

    data = config.data
    return Problem(
        task=data.task,
        metric=config.tune.metric or metrics.default_metric(data.task),
        target=data.target,
        schema=schema,
        key=data.key,
        time=data.time,
        timezone=data.timezone,
        columns=feature_columns(config, schema),
        categories=data.categories,
        missing=data.missing,
        classes=postprocess.classes(data.task, labels, data.positive, data.target),
    )


def learn_features(problem: Problem, training: pa.Table) -> FeatureSpec:
    """The encoding, fitted on training rows only."""
    from tasks import features

    return features.fit(
        training,
        problem.schema,
        columns=problem.columns,
        categories=problem.categories,
        time=problem.time or None,
        timezone=problem.timezone,
    )


def part(problem: Problem, spec: FeatureSpec, rows: pa.Table) -> Part:
    """Encode `rows`, which all carry a label."""
    from tasks import features, postprocess

    return Part(
        X=features.encode(spec, rows),
        y=postprocess.encode_target(rows[problem.target], problem.task, problem.classes),
    )


def stack(a: Part, b: Part) -> Part:
    """The rows of `a`, then those of `b`."""
    import numpy as np

    return Part(X=np.concatenate([a.X, b.X]), y=np.concatenate([a.y, b.y]))


def fit(problem: Problem, spec: FeatureSpec, train: Part, validation: Part, found: Found, device: str, seed: int) -> Fitted:
    """Fit the found parameters twice: on training rows, to calibrate on validation; then on both, to register.

    The number of rounds is the search's own, fixed before: the registered model never early-stops on anything.
    """
    from tasks import booster, bundle, postprocess

    params = booster.parameters(problem.task, found.params, classes=len(problem.classes), device=device, seed=seed)
    tuned, curve = booster.fit_with_curve(
        params, train, validation, rounds=found.rounds, names=spec.names, metric=problem.metric
    )
    post = postprocess.fit(problem.task, problem.classes, validation.y, booster.predict(tuned, validation.X))
    final: Booster = booster.fit(params, stack(train, validation), rounds=found.rounds, names=spec.names)
    model = bundle.Model(
        booster=final,
        features=spec,
        post=post,
        schema=problem.schema,
        key=problem.key,
        target=problem.target,
        time=problem.time,
        timezone=problem.timezone,
        task=problem.task,
        missing=problem.missing,
    )
    return Fitted(model=model, curve=curve)


def evaluate(
    problem: Problem,
    model: Model,
    champion: Champion | None,
    training: pa.Table,
    holdout: pa.Table,
    slices: Sequence[str],
    seed: int,
) -> Evidence:
    """Score challenger, champion, linear model and dummy on the same holdout rows: the one reading of the holdout."""
    from tasks import baselines, features, leakage, metrics, postprocess
    from tasks.gate import Judged

    fitted_on = part(problem, model.features, training)
    judge_on = part(problem, model.features, holdout)
    predictions = postprocess.apply(model.post, _raw(model, judge_on.X))
    kinds = {feature.name: feature.kind for feature in model.features.features}
    linear = baselines.linear(problem.task, fitted_on, judge_on.X, kinds=kinds, classes=len(problem.classes), seed=seed)
    chance = baselines.dummy(problem.task, fitted_on.y, len(judge_on.y), classes=len(problem.classes))
    in_chair, broken = _champion_predictions(problem, champion, holdout)
    everyone = {"challenger": predictions.p, "champion": in_chair, "linear": linear, "dummy": chance}
    some = _sample(fitted_on, TRAIN_SCORE_ROWS, seed)
    return Evidence(
        judged=Judged(
            task=problem.task,
            metric=problem.metric,
            y=judge_on.y,
            challenger=predictions.p,
            champion=chance if in_chair is None else in_chair,
            champion_name=f"version {champion.version}" if champion and in_chair is not None else "dummy",
            slices={name: features.as_text(holdout[name]) for name in slices if name in holdout.column_names},
        ),
        leaks=leakage.find(problem.task, fitted_on, names=model.features.names, sources=model.features.sources, seed=seed),
        broken=broken,
        scores={who: metrics.scores(problem.task, judge_on.y, p) for who, p in everyone.items() if p is not None},
        train_scores=metrics.scores(problem.task, some.y, postprocess.apply(model.post, _raw(model, some.X)).p),
        predictions=predictions,
        y=judge_on.y,
    )


def _raw(model: Model, X: np.ndarray) -> np.ndarray:
    from tasks import booster

    return booster.predict(model.booster, X)


def _sample(part: Part, rows: int, seed: int) -> Part:
    import numpy as np

    if len(part.y) <= rows:
        return part
    chosen = np.random.default_rng(seed).choice(len(part.y), rows, replace=False)
    return Part(X=part.X[chosen], y=part.y[chosen])


def _champion_predictions(
    problem: Problem, champion: Champion | None, holdout: pa.Table
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The champion's calibrated predictions in the problem's class order, or why they cannot be had."""
    from tasks import features, postprocess

    if champion is None:
        return None, ()
    who, model = f"the champion (version {champion.version})", champion.model
    if gone := [name for name in model.features.sources if name not in holdout.column_names]:
        return None, (f"{who} cannot be compared: column {gone[0]!r} that it needs is not in the rows any more",)
    if model.task != problem.task or tuple(model.post.classes) != problem.classes:
        return None, (f"{who} cannot be compared: it answers {model.post.classes}, the target now has {problem.classes}",)
    return postprocess.apply(model.post, _raw(model, features.encode(model.features, holdout))).p, ()
