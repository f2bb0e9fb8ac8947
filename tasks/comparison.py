"""Two versions of a pipeline on the same rows: settings, columns, scores, slices, and where they disagree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from treadle.tasks.commands import Command
from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.bundle import BundleFacts, Model
    from treadle.tasks.dataset import SplitSpec
    from treadle.tasks.gate import GateSpec, Judged, SliceVerdict
    from treadle.tasks.recipe import Recipe
    from treadle.tasks.training import Problem

ALPHA = 0.025
"""On each side of an interval: 95% lie between."""

MOST_DISAGREEMENTS = 15
COLUMNS_SHOWN = 4
"""So many of the columns that the two use most stand beside a row on which they disagree."""

NOT_SETTINGS = frozenset({"columns", "format", "code", "libraries"})


@dataclass(frozen=True, slots=True)
class ComparedVersion:
    """A version to compare: its judged model, how that was made, and from which data."""

    version: int
    model: Model
    facts: BundleFacts
    recipe: Recipe | None


class SettingPair(BaseModel):
    """What both versions have under one name, as text; empty where one has none."""

    model_config = ConfigDict(frozen=True)

    name: str
    first: str
    second: str


class ImportancePair(BaseModel):
    """A column's share of each model's importance; None where the model does not use it."""

    model_config = ConfigDict(frozen=True)

    column: str
    first: float | None
    second: float | None


class MetricGain(BaseModel):
    """A metric of both, how much better the first is, and the 95% interval of that; NaN where it is not defined."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    metric: str
    first: float
    second: float
    gain: float
    lower: float
    upper: float


class Disagreement(BaseModel):
    """A row on which the two disagree: what names it, its label, both predictions, and some of its values."""

    model_config = ConfigDict(frozen=True)

    row: str
    label: str
    first: str
    second: str
    apart: float
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class Beside:
    """Two versions side by side on rows that neither was fitted on; every gain is the first's over the second.

    `judged` holds labels and calibrated predictions of both, the first as challenger. `settings` are those that
    differ, `columns` all that either uses, the most important first, `scores` have the problem's metric first.
    `alike` is the share of rows for which both predict the same class; None for a regression.
    """

    first: int
    second: int
    problem: Problem
    judged: Judged
    settings: tuple[SettingPair, ...]
    columns: tuple[ImportancePair, ...]
    scores: tuple[MetricGain, ...]
    slices: tuple[SliceVerdict, ...]
    disagreements: tuple[Disagreement, ...]
    alike: float | None


def lay_beside(
    problem: Problem, first: ComparedVersion, second: ComparedVersion, rows: pa.Table, spec: GateSpec, split: SplitSpec
) -> Beside:
    """Both versions on `rows`, labelled and new to both (at least one).

    Raises DataError where a version answers another question than `problem`, or needs a column that `rows` lack.
    """
    from treadle.tasks import metrics
    from treadle.tasks.gate.slices import review_slices

    for one in (first, second):
        check_same_question(problem, one, rows.column_names)
    judged = _judged(problem, first, second, rows, spec, split)
    names = sorted(metrics.METRICS[problem.task], key=lambda metric: metric != problem.metric)
    return Beside(
        first=first.version,
        second=second.version,
        problem=problem,
        judged=judged,
        settings=differing_settings(first, second),
        columns=_columns(first.model, second.model),
        scores=tuple(_gain(spec, judged, metric) for metric in names),
        slices=review_slices(spec, judged).verdicts,
        disagreements=_disagreements(problem, judged, rows, _columns(first.model, second.model)),
        alike=_alike(problem, judged),
    )


def check_same_question(problem: Problem, one: ComparedVersion, columns: Sequence[str]) -> None:
    """Raise DataError where the version predicts something else than `problem`, or needs a column not in `columns`."""
    from treadle.tasks.gate import why_not_comparable

    if why := why_not_comparable(one.version, one.model.spec(), problem, columns):
        raise DataError(why, ("compare two versions that were trained for the same question: ", Command("models")))


def differing_settings(first: ComparedVersion, second: ComparedVersion) -> tuple[SettingPair, ...]:
    """What the two were made with and from, where it differs, by name; lists of columns are compared elsewhere."""
    ours, theirs = _settings(first), _settings(second)
    names = sorted({*ours, *theirs})
    pairs = (SettingPair(name=name, first=ours.get(name, ""), second=theirs.get(name, "")) for name in names)
    return tuple(pair for pair in pairs if pair.first != pair.second)


def _settings(one: ComparedVersion) -> dict[str, str]:
    facts = one.facts.model_dump(mode="json")
    recipe = one.recipe.model_dump(mode="json") if one.recipe else {}
    own = one.model.post
    post = {"threshold": own.threshold, "threshold_by": own.threshold_by} if one.model.task == "binary" else {}
    return {name: text for part in (facts, recipe, post) for name, text in _flat(part) if text}


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as (dotted name, text); what is no setting is left out."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if name in NOT_SETTINGS:
            continue
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}.")
        else:
            listed = isinstance(value, list | tuple)
            nothing = value is None or (listed and not value)
            text = "" if nothing else f"{value:.4g}" if isinstance(value, float) else str(value)
            found.append((prefix + name, text))
    return found


def _judged(
    problem: Problem, first: ComparedVersion, second: ComparedVersion, rows: pa.Table, spec: GateSpec, split: SplitSpec
) -> Judged:
    from treadle.tasks import gate, postprocess
    from treadle.tasks.dependence import dependence_of
    from treadle.tasks.weights import row_weights

    depends = dependence_of(rows, split, problem.time)
    categories = first.model.features.levelled
    return gate.Judged(
        task=problem.task,
        metric=problem.metric,
        y=postprocess.encode_target(rows[problem.target], problem.task, problem.classes),
        challenger=_answers(first.model, rows),
        champion=_answers(second.model, rows),
        champion_name=f"version {second.version}",
        slices={
            name: gate.slice_values(rows[name], category=name in categories)
            for name in spec.slices
            if name in rows.column_names
        },
        groups=depends.groups,
        times=depends.times,
        challenger_threshold=first.model.post.threshold,
        champion_threshold=second.model.post.threshold,
        weight=row_weights(rows, problem.weight),
        weighted_by=problem.weight,
    )


def _answers(model: Model, rows: pa.Table) -> np.ndarray:
    from treadle.tasks import booster, features, postprocess

    raw = booster.predict_raw(model.booster, features.encode(model.features, rows))
    return postprocess.apply_postprocess(model.post, raw).p


def _gain(spec: GateSpec, judged: Judged, metric: str) -> MetricGain:
    from dataclasses import replace

    from treadle.tasks import gate

    bounds = gate.measure_gain(spec.model_copy(update={"alpha": ALPHA}), replace(judged, metric=metric))
    return MetricGain(
        metric=metric,
        first=bounds.value,
        second=bounds.champion_value,
        gain=bounds.gain,
        lower=bounds.lower,
        upper=bounds.upper,
    )


def _columns(first: Model, second: Model) -> tuple[ImportancePair, ...]:
    from treadle.tasks.evaluation import column_importance

    ours, theirs = column_importance(first), column_importance(second)
    names = sorted({*ours, *theirs}, key=lambda name: (-max(ours.get(name, 0.0), theirs.get(name, 0.0)), name))
    return tuple(ImportancePair(column=name, first=ours.get(name), second=theirs.get(name)) for name in names)


def _alike(problem: Problem, judged: Judged) -> float | None:
    from treadle.tasks.influence import class_codes

    if problem.task == "regression":
        return None
    ours = class_codes(judged.challenger, judged.challenger_threshold)
    theirs = class_codes(judged.champion, judged.champion_threshold)
    return float((ours == theirs).mean())


def _disagreements(
    problem: Problem, judged: Judged, rows: pa.Table, columns: Sequence[ImportancePair]
) -> tuple[Disagreement, ...]:
    """The rows whose predictions lie furthest apart; of class probabilities half the sum of the differences."""
    import numpy as np

    from treadle.tasks.explain.rows import answer_text
    from treadle.tasks.features import as_text

    apart = np.abs(judged.challenger - judged.champion)
    if apart.ndim == 2:
        apart = apart.sum(axis=1) / 2
    order = np.argsort(-apart, kind="stable")[:MOST_DISAGREEMENTS]
    order = order[apart[order] > 0]
    some = rows.take(order)
    named = problem.key or tuple(name for name in ("_batch_id", "_ordinal") if name in rows.column_names)
    shown = [one.column for one in columns if one.column not in named][:COLUMNS_SHOWN]
    texts = {name: as_text(some[name]) for name in dict.fromkeys((*named, *shown, problem.target))}
    return tuple(
        Disagreement(
            row=", ".join(texts[name][place] for name in named),
            label=texts[problem.target][place],
            first=answer_text(problem.task, problem.classes, judged.challenger[at]),
            second=answer_text(problem.task, problem.classes, judged.champion[at]),
            apart=float(apart[at]),
            values={name: texts[name][place] for name in shown},
        )
        for place, at in enumerate(order)
    )
