"""Evaluation: the scores of all models on the same holdout rows, and what else the verdict and the report need."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from treadle.tasks.base_rate import BaseRate  # noqa: TC001 - scores are kept as JSON, which looks their types up
from treadle.tasks.dataset.judging import sketch
from treadle.tasks.dependence import Dependence, dependence_of
from treadle.tasks.flagging import FlagMeaning, flag_meaning
from treadle.tasks.reliability import Reliability, calibration_metrics, reliability

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.booster import MatrixRows
    from treadle.tasks.bundle import Model
    from treadle.tasks.dataset import SplitSpec
    from treadle.tasks.dataset.judging import LeftOut
    from treadle.tasks.gate import Cost, Judged
    from treadle.tasks.leakage import Leak
    from treadle.tasks.postprocess import Predictions
    from treadle.tasks.suspects import Suspect
    from treadle.tasks.training import Problem

TRAIN_SCORE_ROWS = 50_000
TIMES = 5


@dataclass(frozen=True, slots=True)
class ComparedChampion:
    """The champion that a challenger is compared with, by its version.

    `new` are the rows of the challenger's holdout that are new to both; `left_out` says what became of the others.
    `boosters` names the two that are compared; `newer` says whether the challenger learns from newer data.
    """

    version: int
    model: Model
    new: pa.Table
    left_out: Sequence[LeftOut] = ()
    boosters: str = ""
    newer: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the gate and the report need to know about a model, all from the same holdout rows.

    `scores` maps who ('challenger', 'champion', 'linear', 'dummy') to metric values; `train_scores` are the
    challenger's on (a sample of) the rows that it was fitted on; `incomparable` says why the champion was not compared,
    however many rows there are, else it is empty; `holdout` is a sketch of the rows, by which reads of (nearly) the
    same rows are counted; `suspects` are columns to question, which refuse nothing; `flag` says what a binary model's
    threshold means on the newest of the rows. `reliability` says of each class whether probabilities came true,
    `base_rates` how far they are off in windows of time; `rows` are those that judged.
    """

    judged: Judged
    leaks: tuple[Leak, ...]
    incomparable: str
    scores: dict[str, dict[str, float]]
    train_scores: dict[str, float]
    predictions: Predictions
    y: np.ndarray
    holdout: str
    suspects: tuple[Suspect, ...] = ()
    flag: FlagMeaning | None = None
    reliability: tuple[Reliability, ...] = ()
    base_rates: tuple[BaseRate, ...] = ()
    rows: pa.Table | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """Holdout metrics of everyone ('challenger', 'champion', 'linear', 'dummy'), training metrics of the challenger.

    `lower` and `upper` are the ends of the 95% interval of the challenger's deciding metric on the holdout. `flag` says
    what a binary challenger's threshold means on the newest holdout rows.
    """

    holdout: dict[str, dict[str, float]]
    train: dict[str, float]
    holdout_reads: int
    lower: float | None = None
    upper: float | None = None
    flag: FlagMeaning | None = None
    reliability: tuple[Reliability, ...] = ()
    base_rates: tuple[BaseRate, ...] = ()

    def of(self, who: str, metric: str) -> float | None:
        """One value, or None where `who` was not scored."""
        return self.holdout.get(who, {}).get(metric)

    def flat(self) -> dict[str, float]:
        """All values under one name each, for a metrics store: holdout_roc_auc, linear_roc_auc, train_roc_auc."""
        named = {
            f"{'holdout' if who == 'challenger' else who}_{metric}": value
            for who, values in self.holdout.items()
            for metric, value in values.items()
        }
        flag = self.flag.metrics() if self.flag else {}
        calibration = calibration_metrics(self.reliability, self.base_rates)
        return {**named, **{f"train_{metric}": value for metric, value in self.train.items()}, **flag, **calibration}


def evaluate_models(
    problem: Problem,
    model: Model,
    champion: ComparedChampion | None,
    fitted_rows: pa.Table,
    holdout: pa.Table,
    slices: Sequence[str],
    seed: int,
    split: SplitSpec | None = None,
    groups: Sequence[str] = (),
) -> Evidence:
    """Score challenger, champion, linear model and dummy on the same rows: the one reading of the holdout.

    With a champion the rows are those of the holdout that are new to it too. Where they are too few to compare two
    models, the challenger is scored on the whole holdout, and the champion is not scored: it was trained on these rows.
    Beside a challenger that is linear itself no other linear model is scored.
    `split` says which rows depend on each other (None: none do); `groups` are columns between whose groups the
    challenger's answers are compared.
    """
    from treadle.tasks import baselines, features, gate, leakage, metrics, postprocess, training
    from treadle.tasks.coefficients import line_of
    from treadle.tasks.linear import linear_beside

    champion_p, incomparable = _champion_predictions(problem, champion, holdout)
    unseen, rows = None, holdout
    if champion is not None and not incomparable:
        new = training.encoded_part(problem, model.features, champion.new)
        unseen = None if gate.enough(problem.task, new.y, new.weight) else len(new.y)
        if unseen is None:
            rows = champion.new
            champion_p, incomparable = _champion_predictions(problem, champion, rows)
    fitted_on, judge_on = (training.encoded_part(problem, model.features, part) for part in (fitted_rows, rows))
    if features.has_statistics(model.features):  # the model's own would give away the labels of the fitted rows
        others = features.out_of_fold(
            model.features,
            fitted_rows,
            fitted_on.y,
            seed=seed,
            groups=training.groups_of(problem, fitted_rows),
            weight=fitted_on.weight,
        )
        fitted_on = dataclasses.replace(fitted_on, X=others)
    predictions = postprocess.apply_postprocess(model.post, _raw(model, judge_on.X), model.quantiles(judge_on.X))
    codes = model.features.levelled
    line = None if line_of(model.booster) else linear_beside(problem, fitted_rows, fitted_on.y, rows, seed=seed)
    beside = {} if line is None else {"linear": line.p}
    scores = partial(metrics.scores, problem.task, metric=problem.metric)
    usual = partial(baselines.dummy, problem.task, classes=len(problem.classes), metric=problem.metric)
    chance = usual(fitted_on.y, len(judge_on.y), weight=fitted_on.weight)
    comparable = champion_p if unseen is None else None
    everyone = {"challenger": predictions.p, "champion": comparable, **beside, "dummy": chance}
    some = _sample(fitted_on, TRAIN_SCORE_ROWS, seed)
    depends = dependence_of(rows, split, problem.time) if split else Dependence()
    cuts = {"challenger": model.post.threshold, "champion": champion.model.post.threshold if champion else 0.5}
    if line is not None:
        cuts["linear"] = line.threshold
    some_p = postprocess.apply_postprocess(model.post, _raw(model, some.X)).p
    return Evidence(
        judged=gate.Judged(
            task=problem.task,
            metric=problem.metric,
            y=judge_on.y,
            challenger=predictions.p,
            champion=chance if champion_p is None else champion_p,
            champion_name=f"version {champion.version}" if champion and champion_p is not None else "dummy",
            slices={
                name: gate.slice_values(rows[name], category=name in codes)
                for name in slices
                if name in rows.column_names
            },
            beside={**beside, "dummy": chance},
            unseen=unseen,
            why_left_out=tuple(str(one) for one in champion.left_out) if champion else (),
            boosters=champion.boosters if champion and champion_p is not None else "",
            newer=champion.newer if champion else False,
            groups=depends.groups,
            times=depends.times,
            challenger_threshold=cuts["challenger"],
            champion_threshold=cuts["champion"] if champion_p is not None else 0.5,
            weight=judge_on.weight,
            weighted_by=problem.weight,
            beside_thresholds={who: cuts[who] for who in beside},
            by_group={
                name: gate.slice_values(rows[name], category=name in codes or name in problem.categories)
                for name in groups
                if name in rows.column_names
            },
            inside=inside_interval(predictions, judge_on.y),
            classes=tuple(postprocess.label_text(label) for label in problem.classes),
        ),
        leaks=leakage.find_leaks(
            problem.task,
            fitted_on,
            columns=model.features.positions,
            seed=seed,
            achieved=leakage.quality(problem.task, judge_on.y, predictions.p, judge_on.weight),
            used=list(column_importance(model)),
        ),
        incomparable=incomparable,
        scores={
            who: scores(judge_on.y, p, judge_on.weight, threshold=cuts.get(who, 0.5))
            for who, p in everyone.items()
            if p is not None
        },
        train_scores=scores(some.y, some_p, some.weight, threshold=model.post.threshold),
        predictions=predictions,
        y=judge_on.y,
        holdout=sketch(rows),
        reliability=reliability(
            problem.task,
            [postprocess.label_text(label) for label in problem.classes],
            judge_on.y,
            predictions.p,
            judge_on.weight,
            depends,
        ),
        suspects=columns_to_question(problem, model, fitted_on, (fitted_rows, holdout), seed),
        flag=flag_meaning(
            problem.threshold_rule, model.post.threshold, judge_on.y, predictions.p, judge_on.weight, depends
        )
        if problem.task == "binary"
        else None,
        rows=rows,
    )


@dataclass(frozen=True, slots=True)
class KnownEntities:
    """The holdout rows of a time split whose group was in training too: they do not judge.

    Of the `left_out` rows `rows` are new to both models; `challenger` and `champion` are the metric's values on these,
    None where it is not defined, or not comparable.
    """

    column: str
    left_out: int
    rows: int
    metric: str
    challenger: float | None
    champion: float | None

    def sentence(self, judged_rows: int) -> str:
        """What was left out of the verdict, and how it was scored; `judged_rows` judge."""
        values = {"challenger": self.challenger, "champion": self.champion}
        scored = ", ".join(f"{who} {value:.4g}" for who, value in values.items() if value is not None)
        return (
            f"the verdict is on {judged_rows:,} holdout rows of a new {self.column!r}; not in it are {self.left_out:,} "
            f"rows of one that training knows ({self.metric} on {self.rows:,} of them: {scored or 'not defined'})"
        )


def score_known_entities(
    problem: Problem, model: Model, champion: ComparedChampion | None, rows: pa.Table, *, column: str, left_out: int
) -> KnownEntities:
    """Score both models on the holdout `rows` of known entities that are new to both, apart from the verdict."""
    from treadle.tasks import metrics, postprocess, training

    if not len(rows):
        return KnownEntities(column, left_out, 0, problem.metric, None, None)
    part = training.encoded_part(problem, model.features, rows)
    champion_p, _ = _champion_predictions(problem, champion, rows)
    answers = [(postprocess.apply_postprocess(model.post, _raw(model, part.X)).p, model.post.threshold)]
    if champion is not None and champion_p is not None:
        answers.append((champion_p, champion.model.post.threshold))
    scores = partial(metrics.scores, problem.task, metric=problem.metric)
    values = [scores(part.y, p, part.weight, threshold=threshold).get(problem.metric) for p, threshold in answers]
    return KnownEntities(column, left_out, len(rows), problem.metric, *(*values, None)[:2])


def columns_to_question(
    problem: Problem, model: Model, fitted_on: MatrixRows, parts: Sequence[pa.Table], seed: int
) -> tuple[Suspect, ...]:
    """The suspects among the model's columns: by the rows that it was fitted on, and by the age of all `parts`."""
    import pyarrow as pa

    from treadle.tasks import suspects

    by_source = model.features.positions
    found = suspects.question_columns(problem.task, fitted_on, columns=by_source, classes=model.post.classes, seed=seed)
    if not problem.time:
        return found
    rows = pa.concat_tables([part.select([*by_source, *{problem.time} - set(by_source)]) for part in parts])
    return (*found, *suspects.filled_later(rows, list(by_source), time=problem.time))


def cost(model: Model, rows: pa.Table, size: int) -> Cost:
    """What a model whose file has `size` bytes costs: speed is the median of five times, 1,000 rows of `rows`."""
    import time
    from statistics import median

    import numpy as np

    from treadle.tasks import bundle
    from treadle.tasks.gate import Cost

    thousand = rows.take(np.arange(1_000) % len(rows))

    def once() -> float:
        begun = time.perf_counter()
        bundle.predict_table(model, thousand)
        return (time.perf_counter() - begun) * 1_000

    return Cost(model_mb=size / 1e6, ms_per_1000_rows=median(once() for _ in range(TIMES)))


def inside_interval(predictions: Predictions, y: np.ndarray) -> np.ndarray | None:
    """Whether each interval holds the value of `y` [n], bool [n]; None where there are none."""
    columns = predictions.columns
    if "lower" not in columns.column_names:
        return None
    lower, upper = (columns[name].to_numpy() for name in ("lower", "upper"))
    return (y >= lower) & (y <= upper)  # type: ignore[no-any-return]


def _raw(model: Model, X: np.ndarray) -> np.ndarray:
    from treadle.tasks import booster

    return booster.predict_raw(model.booster, X)


def _sample(part: MatrixRows, rows: int, seed: int) -> MatrixRows:
    import numpy as np

    if len(part.y) <= rows:
        return part
    return part.take(np.random.default_rng(seed).choice(len(part.y), rows, replace=False))


def _champion_predictions(
    problem: Problem, champion: ComparedChampion | None, holdout: pa.Table
) -> tuple[np.ndarray | None, str]:
    """The champion's calibrated predictions in the problem's class order, or why there are none."""
    from treadle.tasks import features, gate, postprocess

    if champion is None:
        return None, ""
    model, columns = champion.model, [name for name in holdout.column_names if name in problem.schema.names]
    if why := gate.why_not_comparable(champion.version, model.spec(), problem, columns):
        return None, why
    return postprocess.apply_postprocess(model.post, _raw(model, features.encode(model.features, holdout))).p, ""


def column_importance(model: Model) -> dict[str, float]:
    """Each source column's share of the booster's total gain, largest first; a date's parts are one column.

    A feature that is made of two columns counts half for each.
    """
    from treadle.tasks import booster

    gains = booster.gain_importance(model.booster, model.features.names)
    shares = dict.fromkeys(model.features.sources, 0.0)
    for feature in model.features.features:
        for source in feature.sources:
            shares[source] += gains[feature.name] / len(feature.sources)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
