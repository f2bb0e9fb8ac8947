"""What a training run found out, as one offline HTML page and as pictures.

`render(story)` gives the page, `plots(story)` the pictures alone; both depend on the story only, so that the
same story gives the same bytes. Both take `gallery_of(story)`, so that each picture is drawn once.
"""

from __future__ import annotations

from treadle.tasks.report.gallery import gallery_of, plots
from treadle.tasks.report.groups import group_findings
from treadle.tasks.report.page import render_report
from treadle.tasks.report.story import Finding, Story

__all__ = ["Finding", "Story", "gallery_of", "group_findings", "plots", "render_report"]
