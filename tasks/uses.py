"""What a judged model is good for, what it is not good for, and what it looks at: in words, from measured figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from treadle.tasks.dependence import Dependence, usable_error
from treadle.tasks.influence import influences, quantile_of
from treadle.tasks.metrics import gain
from treadle.tasks.report.story import Finding
from treadle.tasks.report.words import label, listing, metric_name, number, percent, shorten, values_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from treadle.tasks.bundle import Model
    from treadle.tasks.evaluation import Evidence
    from treadle.tasks.explain import ExplainedColumn, Explanation
    from treadle.tasks.gate import Judged, Verdict
    from treadle.tasks.training import Problem

Z = 1.96
FEW_ROWS = 500
"""On fewer judged rows the report says that its figures are rough."""

WEAK_AREA = 0.6
"""A ROC AUC below this ranks little better than chance."""

LOW_RECALL = 0.5
FEWEST_OF_A_CLASS = 20
TOP = 0.1
HARDLY = 0.01


def explain_judged(
    problem: Problem,
    model: Model,
    evidence: Evidence,
    gains: Mapping[str, float],
    *,
    link: str,
    seconds: float,
    seed: int,
) -> Explanation | None:
    """What the judged model's predictions are made of; None where no row judged or no column is used.

    `gains` are the source columns' shares of the gain, `link` is that of the model's objective; see
    `explain.explain_model`.
    """
    from treadle.tasks.explain import explain_model

    judged, rows = evidence.judged, evidence.rows
    if rows is None or not len(rows) or not any(gains.values()):
        return None
    return explain_model(
        problem,
        model,
        rows,
        (evidence.y, evidence.predictions.p, judged.weight),
        gains,
        link=link,
        dependence=Dependence(judged.groups, judged.times),
        seconds=seconds,
        seed=seed,
    )


def judged_span(problem: Problem, evidence: Evidence) -> str:
    """The first and the last time of the rows that judged, in words; empty where no column dates them."""
    from treadle.tasks.training import first_time, last_time

    rows = evidence.rows
    if rows is None or not problem.time or problem.order or not len(rows):
        return ""
    ends = (first_time(problem, rows), last_time(problem, rows))
    first, last = (str(one).removesuffix("+00:00").removesuffix(" 00:00:00") for one in ends)
    return f"{first} to {last}" if first != last else first


def model_uses(
    problem: Problem, evidence: Evidence, verdict: Verdict, explanation: Explanation | None
) -> tuple[Finding, ...]:
    """The findings on what the model is good for, what it is not good for, and what it looks at."""
    if not len(evidence.y):
        return ()
    good = [*_task_strength(problem, evidence), *_against_others(evidence)]
    bad = _limits(problem, evidence, verdict)
    found = [Finding("What it is good for", tuple(good) or ("Nothing that was measured: see the figures below.",))]
    if bad:
        found.append(Finding("What it is not good for", tuple(bad), caution=True))
    if explanation is not None:
        found.append(Finding("What it looks at", columns_in_words(explanation)))
    return tuple(found)


def _task_strength(problem: Problem, evidence: Evidence) -> list[str]:
    """What the predictions are worth in units that people know."""
    import numpy as np

    y, p = evidence.y.astype(np.float64), evidence.predictions.p
    weights = np.ones(len(y)) if evidence.judged.weight is None else evidence.judged.weight
    if problem.task == "regression":
        half = _median(np.abs(y - p), weights)
        words = [f"Half of the predictions are within {number(half, 3)} of the true {problem.target}."]
        dummy = evidence.judged.beside.get("dummy")
        if dummy is not None:
            ours, usual = (float(np.average(np.abs(y - one), weights=weights)) for one in (p, dummy))
            words.append(
                f"The average error is {number(ours, 3)}; always giving the same value would be off by "
                f"{number(usual, 3)}."
            )
        return words
    if problem.task == "multiclass":
        named = p.argmax(axis=1)
        right = float(np.average(named == y, weights=weights))
        most = int(np.bincount(y.astype(np.int64), weights, len(problem.classes)).argmax())
        usual = float(np.average(y == most, weights=weights))
        return [
            f"It names the right class of {len(problem.classes)} for {percent(right)} of the rows; always saying "
            f"{shorten(label(problem.classes[most]))} would be right for {percent(usual)}."
        ]
    area = evidence.scores["challenger"].get("roc_auc", math.nan)
    if not area >= WEAK_AREA:
        return []
    name = shorten(label(problem.classes[1]))
    order = np.argsort(-p, kind="stable")
    reached = np.cumsum(weights[order]) <= TOP * weights.sum()
    share = float((weights * y)[order][reached].sum() / (weights * y).sum())
    return [
        f"Ranking: of a {name} row and another row it gives the {name} row the higher probability in "
        f"{percent(area)} of the cases (50% would be guessing).",
        f"The tenth of the rows with the highest probability holds {percent(share)} of all {name} rows "
        f"({share / TOP:.1f} times a random tenth).",
    ]


def _against_others(evidence: Evidence) -> list[str]:
    """By which other model it is surely better, by the deciding metric with 95% intervals."""
    judged, metric = evidence.judged, evidence.judged.metric
    others = {who: (p, judged.beside_thresholds.get(who, 0.5)) for who, p in judged.beside.items()}
    if not judged.first:
        champion = (judged.champion, judged.champion_threshold)
        others = {f"the champion ({judged.champion_name})": champion, **others}
    named = {"linear": "a linear model", "dummy": "the dummy"}
    surely: list[str] = []
    for who, (p, cut) in others.items():
        found = sure_gain(judged, metric, p, cut)
        if found is not None and found[1] > 0:
            level = "" if surely else "95% interval "
            ends = f"{level}{number(found[1], 2)} to {number(found[2], 2)}"
            surely.append(f"that of {named.get(who, who)} by {number(found[0], 2)} ({ends})")
    return [f"Its {metric_name(metric)} is surely better than {listing(surely, 4)}."] if surely else []


def sure_gain(judged: Judged, metric: str, other: np.ndarray, cut: float = 0.5) -> tuple[float, float, float] | None:
    """The gain of the challenger over predictions `other` of the same rows, with its 95% interval; None: undefined.

    `cut` is the least probability that the other calls positive.
    """
    import numpy as np

    from treadle.tasks.metrics import metric_value

    values, moved = [], []
    for p, threshold in ((judged.challenger, judged.challenger_threshold), (other, cut)):
        values.append(metric_value(judged.task, metric, judged.y, p, judged.weight, threshold=threshold))
        moved.append(influences(metric, judged.y, p, threshold, judged.weight))
    between = gain(metric, *values)
    difference = gain(metric, 1.0, 0.0) * (moved[0] - moved[1])
    if not math.isfinite(between) or not np.isfinite(difference).all():
        return None
    reach = Z * usable_error(difference, Dependence(judged.groups, judged.times), judged.weight)
    return (between, between - reach, between + reach) if math.isfinite(reach) else None


def _limits(problem: Problem, evidence: Evidence, verdict: Verdict) -> list[str]:
    """Where its predictions must not be relied on."""
    words = [*_level(problem, evidence), *_weak(problem, evidence), *_slices(verdict)]
    names = {"linear": "the linear model", "dummy": "the dummy"}
    for who in ("linear", "dummy"):
        p = evidence.judged.beside.get(who)
        cut = evidence.judged.beside_thresholds.get(who, 0.5)
        found = None if p is None else sure_gain(evidence.judged, evidence.judged.metric, p, cut)
        if found is not None and found[1] <= 0:
            words.append(
                f"It is not surely better than {names[who]} in {metric_name(evidence.judged.metric)} "
                f"(gain {number(found[0], 2)}, 95% interval {number(found[1], 2)} to {number(found[2], 2)})."
            )
    if asked := [
        *(name for leak in evidence.leaks for name in leak.columns),
        *(one.column for one in evidence.suspects),
    ]:
        names_asked = listing([shorten(name) for name in dict.fromkeys(asked)])
        words.append(f"It is worth less than it seems if {names_asked} is only known after the fact: ask.")
    if len(evidence.y) < FEW_ROWS:
        words.append(f"Figures of {len(evidence.y):,} judged rows are rough: look at their intervals.")
    return words


def _level(problem: Problem, evidence: Evidence) -> list[str]:
    """Whether predictions are too high or too low on average, with a 95% interval that heeds dependent rows."""
    import numpy as np

    if problem.task == "multiclass" or quantile_of(problem.metric) is not None or problem.metric == "mae":
        return []
    judged, y, p = evidence.judged, evidence.y.astype(np.float64), evidence.predictions.p
    weights = np.ones(len(y)) if judged.weight is None else judged.weight
    off = float(np.average(p - y, weights=weights))
    influence = (p - y - off) * weights * (len(y) / weights.sum())
    reach = Z * usable_error(influence, Dependence(judged.groups, judged.times), judged.weight)
    mean = float(np.average(y, weights=weights))
    least = 0.1 * min(mean, 1 - mean) if problem.task == "binary" else 0.1 * float(np.std(y))
    if not abs(off) > max(reach, least):
        return []
    way = "high" if off > 0 else "low"
    if problem.task == "binary":
        name = shorten(label(problem.classes[1]))
        return [
            f"Its probabilities are too {way}: on average {percent(mean + off, 1)} is predicted and {percent(mean, 1)} "
            f"of the rows are {name} (off by {number(100 * off, 2)} points, 95% interval "
            f"{number(100 * (off - reach), 2)} to {number(100 * (off + reach), 2)})."
        ]
    return [
        f"Its predictions are too {way} on average: by {number(abs(off), 2)} (95% interval of prediction − truth "
        f"{number(off - reach, 2)} to {number(off + reach, 2)})."
    ]


def _weak(problem: Problem, evidence: Evidence) -> list[str]:
    """A weak ranking, classes that it mostly misses, and a bias where predictions are highest."""
    import numpy as np

    y, p = evidence.y.astype(np.float64), evidence.predictions.p
    if problem.task == "binary":
        area = evidence.scores["challenger"].get("roc_auc", math.nan)
        return [f"Its ranking is hardly better than chance (ROC AUC {number(area, 3)})."] if area < WEAK_AREA else []
    if problem.task == "multiclass":
        named, missed = p.argmax(axis=1), []
        for code, one in enumerate(problem.classes):
            mine = y == code
            recall = float((named[mine] == code).mean()) if mine.sum() >= FEWEST_OF_A_CLASS else 1.0
            if recall < LOW_RECALL:
                missed.append((recall, f"{shorten(label(one))} ({percent(recall)} of {int(mine.sum()):,} rows)"))
        if not missed:
            return []
        return [f"It finds less than half of the rows of {listing([text for _, text in sorted(missed)])}."]
    if quantile_of(problem.metric) is not None or problem.metric == "mae":  # these are no means
        return []
    top = p >= np.quantile(p, 0.8)
    apart = (y - p)[top]
    error = float(np.std(apart)) / math.sqrt(max(1, len(apart)))
    off = float(np.mean(apart))
    if len(apart) < FEWEST_OF_A_CLASS or abs(off) < max(3 * error, 0.05 * abs(float(np.mean(y[top])))):
        return []
    return [
        f"In the fifth of the rows with the highest predictions it is too {'low' if off > 0 else 'high'} by "
        f"{number(abs(off), 2)} on average."
    ]


def _slices(verdict: Verdict) -> list[str]:
    """The groups of rows in which it is surely worse, and those in which it is not surely better."""
    against = "the dummy" if verdict.boosters == "" else "the champion"
    worse = [one for one in verdict.slices if one.upper < 0]
    unsure = [one for one in verdict.slices if one.lower <= 0 <= one.upper] if against == "the dummy" else []
    words = []
    for found, what in ((worse, "worse than"), (unsure, "not surely better than")):
        if found:
            names = [f"{shorten(one.column)} {shorten(one.value)}" for one in sorted(found, key=lambda one: -one.rows)]
            words.append(f"It is {what} {against} for the rows with {listing(names)}.")
    return words


def columns_in_words(explanation: Explanation) -> tuple[str, ...]:
    """The columns that carry the predictions, with their directions, and how many carry hardly anything."""
    used = [one for one in explanation.columns if one.share > 0]
    top = used[:3]
    share = sum(one.share for one in top)
    rest = sum(one.share < HARDLY for one in explanation.columns)
    words = [
        f"{listing([_with_direction(one) for one in top])} {'make' if len(top) > 1 else 'makes'} {percent(share)} "
        "of all contributions to the predictions."
    ]
    if rest:
        words.append(f"{rest} of {len(explanation.columns)} columns make less than {percent(HARDLY)} each.")
    return tuple(words)


def _with_direction(one: ExplainedColumn) -> str:
    values = values_in_words(one)
    return f"{shorten(one.column)} ({values})" if values else shorten(one.column)


def _median(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted median."""
    import numpy as np

    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][int(np.searchsorted(reached, reached[-1] / 2))])
