"""Three classes and more: confusion matrix, calibration of the class it names, and each class in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.report.binary import calibration, count_matrix
from treadle.tasks.report.drawing import Plot, draw
from treadle.tasks.report.words import label, percent, shorten

if TYPE_CHECKING:
    import numpy as np

    from treadle.tasks.report.story import Story

SHOWN = 12


@dataclass(frozen=True, slots=True)
class ClassLine:
    """One class on the holdout; precision is NaN where it was never predicted, recall where it never came."""

    label: str
    rows: int
    predicted: int
    precision: float
    recall: float
    f1: float


def multiclass_figures(story: Story) -> list[Plot]:
    """The pictures of a multiclass model."""
    if not len(story.y):
        return []
    chosen = story.p.argmax(axis=1)
    hit = chosen == story.y.astype(int)
    what = "probability of the class that it names"
    return [
        class_confusion_figure(story, chosen),
        calibration(hit, story.p.max(axis=1), "calibration", what, story.weight),
    ]


def class_confusion_figure(story: Story, chosen: np.ndarray) -> Plot:
    """Truth by prediction for the most frequent classes; the others are drawn as one."""
    import numpy as np

    y, size = story.y.astype(int), len(story.classes)
    keep = np.sort(np.argsort(-np.bincount(y, minlength=size), kind="stable")[:SHOWN])
    place = np.full(size, len(keep))
    place[keep] = np.arange(len(keep))
    labels = [shorten(label(story.classes[code]), 14) for code in keep]
    if size > SHOWN:
        labels.append(f"{size - SHOWN} others")
    table = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(table, (place[y], place[chosen]), 1)

    off = np.zeros((size, size), dtype=int)
    np.add.at(off, (y, chosen), y != chosen)
    true, wrong = np.unravel_index(off.argmax(), off.shape)
    right = percent(float((chosen == y).mean()))
    caption = f"Each line is a true class, its cells what it was called: {right} of {len(y):,} are right"
    if off.max():
        truth, taken = (shorten(label(story.classes[code])) for code in (true, wrong))
        caption += f"; most often, {truth} is taken for {taken} ({off.max():,} rows)"
    if size > SHOWN:
        caption += f"; the {size - SHOWN} rarest classes are drawn as one"
    height = 200 + 14 * len(labels)
    return Plot(
        "confusion",
        "Confusion",
        caption + ".",
        draw("confusion", lambda figure: count_matrix(figure, table, labels, rest=size > SHOWN), height=height),
    )


def class_lines(story: Story) -> list[ClassLine]:
    """Every class in numbers, the most frequent first."""
    import numpy as np

    y, chosen, size = story.y.astype(int), story.p.argmax(axis=1), len(story.classes)
    rows, predicted = np.bincount(y, minlength=size), np.bincount(chosen, minlength=size)
    right = np.bincount(y[y == chosen], minlength=size)
    lines = []
    for code in np.argsort(-rows, kind="stable"):
        both = int(rows[code] + predicted[code])
        lines.append(
            ClassLine(
                label=label(story.classes[code]),
                rows=int(rows[code]),
                predicted=int(predicted[code]),
                precision=float(right[code] / predicted[code]) if predicted[code] else float("nan"),
                recall=float(right[code] / rows[code]) if rows[code] else float("nan"),
                f1=float(2 * right[code] / both) if both else float("nan"),
            )
        )
    return lines
