"""Which pictures a story has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.report import binary, learning, multiclass, regression, trials
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


def plots(story: Story) -> dict[str, str]:
    """Name -> SVG of every picture, to stand alone; a name with nothing to draw is left out."""
    return {plot.name: plot.svg for plot in [*holdout_plots(story), *group_plots(story), *learned(story)]}
