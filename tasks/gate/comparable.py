"""Can a champion be compared with a challenger at all? Where it cannot, a person decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from treadle.tasks.bundle.model import Spec
    from treadle.tasks.gate.values import Verdict
    from treadle.tasks.training import Problem

LISTED = 10


def why_not_comparable(version: int, champion: Spec, problem: Problem, columns: Collection[str]) -> str | None:
    """Why the predictions of `champion`, the version's model, cannot be compared with a challenger's; None: they can.

    The two must answer the same question: target, task, classes and, of two classes, the positive one. And the columns
    that the champion needs must be among `columns`, those that the rows have from now on.
    """
    end = "the two cannot be compared"
    if champion.target != problem.target:
        return f"version {version} predicts {champion.target!r}, the target now is {problem.target!r}: {end}"
    if champion.task != problem.task and "regression" in (champion.task, problem.task):
        return f"version {version} is a {champion.task} model, the task now is {problem.task}: {end}"
    before, now = champion.post.classes, problem.classes
    if set(before) != set(now):
        return f"version {version} answers {_listed(before)}; the target now has {_listed(now)}: {end}"
    if tuple(before) != tuple(now):
        positive = f"predicts the probability of {before[-1]!r}, the positive class now is {now[-1]!r}"
        return f"version {version} {positive}: {end}"
    if gone := [name for name in dict.fromkeys(champion.features.sources) if name not in columns]:
        named = "column" if len(gone) == 1 else "columns"
        return f"version {version} needs {named} {_listed(gone)}, which the rows do not have any more: {end}"
    return None


def leave_to_person(verdict: Verdict, why: str) -> Verdict:
    """The verdict on a challenger whose champion cannot be compared; `verdict` is that against the dummy.

    A refused challenger stays refused. Else the decision is NOT_COMPARABLE, `unsettled` says why, and no number of the
    verdict is about the champion.
    """
    if verdict.decision == "REFUSED":
        return verdict.model_copy(update={"reasons": (*verdict.reasons, why), "champion_value": float("nan")})
    better = verdict.decision == "PROMOTE"
    beside = "it is better than the dummy predictor" if better else "nor is it surely better than the dummy predictor"
    nan = float("nan")
    return verdict.model_copy(
        update={
            "decision": "NOT_COMPARABLE",
            "headline": f"{why}; {beside}; the champion stays until a person decides",
            "reasons": (why, *verdict.reasons),
            "unsettled": why,
            **dict.fromkeys(("champion_value", "gain", "lower", "upper"), nan),
            "rows_needed": None,
        }
    )


def _listed(values: Iterable[object]) -> str:
    shown = [repr(value) for value in values]
    return ", ".join(shown) if len(shown) <= LISTED else f"{', '.join(shown[:LISTED])} and {len(shown) - LISTED} more"
