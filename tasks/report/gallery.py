"""Which pictures a story has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.report import binary, explained, learning, multiclass, regression, trials
from treadle.tasks.report.groups import group_plots

if TYPE_CHECKING:
    from treadle.tasks.report.drawing import Plot
    from treadle.tasks.report.story import Story

JUDGED = {
    "binary": binary.binary_figures,
    "multiclass": multiclass.multiclass_figures,
    "regression": regression.regression_figures,
}


def holdout_plots(story: Story) -> list[Plot]:
    """Pictures of the holdout: how good the model is."""
    return JUDGED[story.task](story)


def learned(story: Story) -> list[Plot]:
    """Pictures of training: how it came to be."""
    return [*learning.learning_figures(story), *trials.trial_figures(story)]


@dataclass(frozen=True, slots=True)
class Gallery:
    """A story's pictures, drawn: of the holdout, its groups, what predictions are made of, columns, training."""

    judged: list[Plot]
    groups: list[Plot]
    explained: list[Plot]
    effects: list[Plot]
    learned: list[Plot]


def gallery_of(story: Story) -> Gallery:
    """All pictures of a story; what has nothing to draw is left out."""
    return Gallery(
        holdout_plots(story),
        group_plots(story),
        explained.explanation_figures(story.explanation),
        explained.effect_figures(story),
        learned(story),
    )


def plots(story: Story, drawn: Gallery | None = None) -> dict[str, str]:
    """Name -> SVG of every picture, to stand alone; a name with nothing to draw is left out.

    `drawn` are the story's pictures where they are drawn already.
    """
    found = drawn or gallery_of(story)
    shown = [*found.judged, *found.groups, *found.explained, *found.effects, *found.learned]
    return {plot.name: plot.svg for plot in shown}
