"""A dozen holdout rows with the reasons of their predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.explain.found import ExplainedRow, RowReason
from treadle.tasks.explain.source import value_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.explain.shapley import Contributions
    from treadle.tasks.training import Problem, TrainingLabel

EACH = 3
"""So many rows of each sort: highest, lowest, middle, largest error."""


def chosen_rows(task: str, y: np.ndarray, p: np.ndarray) -> list[tuple[str, int]]:
    """Why a row is shown, and its position: highest, middle and lowest predictions, then the largest errors.

    Of several classes the most and the least certain ones; an error is what the true class's probability lacks, or the
    distance from the true value. No row is chosen twice.
    """
    import numpy as np

    if task == "multiclass":
        size, error = p.max(axis=1), 1 - p[np.arange(len(y)), y.astype(np.int64)]
        names = ("most certain", "middle", "least certain")
    else:
        size, error = p, np.abs(y - p)
        names = ("highest", "middle", "lowest")
    order = np.argsort(-size, kind="stable")
    around = np.argsort(np.abs(size - np.median(size)), kind="stable")
    found: list[tuple[str, int]] = []
    for name, ranked in (
        (names[0], order),
        (names[1], around),
        (names[2], order[::-1]),
        ("largest error", np.argsort(-error, kind="stable")),
    ):
        taken = {at for _, at in found}
        found += [(name, int(at)) for at in ranked[: EACH + len(taken)] if int(at) not in taken][:EACH]
    return found


def explained_rows(
    problem: Problem,
    table: pa.Table,
    chosen: Sequence[str],
    p: np.ndarray,
    found: Contributions,
    columns: Sequence[str],
) -> tuple[ExplainedRow, ...]:
    """The rows of `table` in words, chosen for `chosen` [rows], with their contributions `found` by `columns`."""
    classes = [class_text(one) for one in problem.classes]
    shown = []
    for at, why in enumerate(chosen):
        margin = int(p[at].argmax()) if problem.task == "multiclass" else 0
        named = classes[margin] if problem.task == "multiclass" else classes[1] if problem.task == "binary" else ""
        reasons = [
            RowReason(name, value_text(table[name], at), float(found.values[at, place, margin]))
            for place, name in enumerate(columns)
        ]
        shown.append(
            ExplainedRow(
                chosen=why,
                row=_row_text(problem, table, at),
                prediction=answer_text(problem.task, problem.classes, p[at]),
                label=value_text(table[problem.target], at),
                named=named,
                base=float(found.base[margin]),
                margin=float(found.margins[at, margin]),
                reasons=tuple(sorted(reasons, key=lambda one: -abs(one.contribution))),
            )
        )
    return tuple(shown)


def _row_text(problem: Problem, table: pa.Table, at: int) -> str:
    """The row's key; without one its number in its batch, where rows carry them."""
    if problem.key or "_ordinal" not in table.column_names:
        return ", ".join(value_text(table[name], at) for name in problem.key)
    return f"row {value_text(table['_ordinal'], at)} of batch {value_text(table['_batch_id'], at)[:8]}"


def class_text(label: TrainingLabel) -> str:
    """A class as it stands in a prediction's column names."""
    from treadle.tasks.postprocess import label_text

    return label_text(label)


def answer_text(task: str, classes: Sequence[TrainingLabel], p: np.ndarray) -> str:
    """A prediction: a probability of the positive class, a value, or the likeliest class with its probability."""
    if task == "multiclass":
        best = int(p.argmax())
        return f"{class_text(classes[best])} ({float(p[best]):.3f})"
    return f"{float(p):.3f}" if task == "binary" else f"{float(p):,.6g}"
