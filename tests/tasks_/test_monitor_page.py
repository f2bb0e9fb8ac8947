from __future__ import annotations

import dataclasses
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from tests.tasks_.stories import draw
from tests.tasks_.test_report import NASTY, Page
from treadle.flows.monitor import summary
from treadle.tasks import metrics
from treadle.tasks.coverage import IntervalCoverage
from treadle.tasks.health import BatchShares, ColumnShares
from treadle.tasks.performance import BatchOutcome, MetricBounds, Realised, VersionOutcome, WindowOutcome
from treadle.tasks.report import monitor
from treadle.tasks.retrain import Reason, RetrainFinding

SENTENCE = "2,500 new labelled rows since version 1 was trained, 41.7% of the 6,000 before (due from 20% on)"


def realised(task: str, seed: int, labelled: bool = True) -> Realised:
    y, p = draw(task, 120, 3, seed)
    scores = metrics.scores(task, y, p) if labelled else {}
    value = scores.get(metrics.default_metric(task))
    bounds = MetricBounds(value=value, lower=value and value * 0.95, upper=value and value * 1.05)
    mean = float(np.mean(p)) if labelled and task != "multiclass" else None
    return Realised(
        rows=150,
        labelled=120 if labelled else 0,
        unknown=0,
        coverage=0.8 if labelled else 0.0,
        metric=bounds,
        scores=scores,
        predicted=mean,
        actual=mean,
    )


def watch(task: str = "binary", *, windows: int = 5, labelled: bool = True, due: bool = True) -> monitor.MonitorStory:
    def version(number: int, champion: bool) -> VersionOutcome:
        start = date(2024, 1, 1)
        return VersionOutcome(
            version=number,
            champion=champion,
            total=realised(task, 0, labelled),
            batches=(BatchOutcome(batch_id="b1", label=f"{NASTY}.csv", realised=realised(task, 1, labelled)),),
            windows=tuple(
                WindowOutcome(
                    first=start + timedelta(days=7 * one),
                    last=start + timedelta(days=7 * one + 6),
                    realised=realised(task, one, labelled and one != 2),
                )
                for one in range(windows)
            ),
        )

    def shares(missing: float) -> tuple[ColumnShares, ...]:
        return (
            ColumnShares(column=NASTY, missing=missing, unseen=missing / 2),
            ColumnShares(column="still", missing=0.0, unseen=None),
        )

    finding = RetrainFinding(cause="new_share", due=due, sentence=SENTENCE)
    return monitor.MonitorStory(
        pipeline="orders",
        target=NASTY,
        task=task,
        metric=metrics.default_metric(task),
        champion=2,
        expected=MetricBounds(value=0.8, lower=0.78, upper=0.82),
        reason=Reason(causes=("new_share",), sentences=(SENTENCE,)) if due else None,
        findings=(finding, RetrainFinding(cause="age", due=False, sentence="version 2 is 3.0 days old (due after 90)")),
        versions=(version(1, False), version(2, True)) if windows else (),
        reference=shares(0.1),
        batches=tuple(BatchShares(batch_id=f"b{n}", label=NASTY, rows=9, columns=shares(n / 10)) for n in range(3)),
        facts={"data version": "rows@3,labels@1"},
        headline=SENTENCE,
        next_command="treadle train --if-due",
        window_days=7,
    )


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_page_stands_alone_and_says_first_whether_to_train(task: str) -> None:
    html = monitor.render_monitor(watch(task))
    parsed = Page(html)
    assert not parsed.open, "every tag is closed"
    assert all(link.startswith("#") for link in parsed.links)
    assert not {"script", "link", "iframe", "img"} & set(parsed.tags)
    assert "url(http" not in html
    assert parsed.text.index("RETRAINING IS DUE") < parsed.text.index("treadle train --if-due")
    assert parsed.text.index("treadle train --if-due") < parsed.text.index("Predictions and observed labels")
    assert parsed.text.count(SENTENCE) == 1, "the headline is not said again"
    assert len(html) < 500_000
    assert html == monitor.render_monitor(watch(task))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_metric_of_the_task_has_its_picture_over_the_same_time(task: str) -> None:
    told = watch(task)
    pictures = {monitor.timeline(told).name, *(plot.name for plot in monitor.multiples(told))}
    others = set(metrics.METRICS[task]) - {told.metric}
    assert pictures == {"realised", "coverage", *others, *(set() if task == "multiclass" else {"means"})}
    assert all(plot.caption.endswith(".") for plot in monitor.multiples(told))


def test_without_labels_the_page_shows_what_waits_and_no_score() -> None:
    html = monitor.render_monitor(watch(labelled=False, due=False))
    assert "NOTHING IS DUE" in html
    assert 'id="coverage"' in html
    assert 'id="realised"' not in html
    assert 'id="brier"' not in html


def test_without_predictions_the_page_says_what_to_do() -> None:
    html = monitor.render_monitor(watch(windows=0))
    assert "treadle score" in html
    assert "and were zero everywhere" in html


def with_intervals(share: float, upper: float) -> monitor.MonitorStory:
    """A page whose predictions have intervals that hold `share` of the labels."""
    told = watch("regression", due=False)
    found = IntervalCoverage(rows=120, share=share, lower=2 * share - upper, upper=upper, width=3.0)

    def measured(one: Realised) -> Realised:
        return one.model_copy(update={"intervals": found})

    def of(version: VersionOutcome) -> VersionOutcome:
        windows = tuple(one.model_copy(update={"realised": measured(one.realised)}) for one in version.windows)
        return version.model_copy(update={"total": measured(version.total), "windows": windows})

    return dataclasses.replace(told, versions=[of(one) for one in told.versions])


@pytest.mark.parametrize(("share", "upper", "fails"), [(0.8, 0.85, True), (0.86, 0.91, False), (0.9, 0.93, False)])
def test_the_page_shows_how_many_labels_the_intervals_hold_and_says_where_they_are_too_few(
    share: float, upper: float, fails: bool
) -> None:
    told = with_intervals(share, upper)
    notes = summary.interval_notes(told)  # type: ignore[arg-type]
    assert len(notes) == len(told.versions)
    assert all(f"the 90% intervals hold {100 * share:.1f}% of 120 observed values" in note for note in notes)
    assert all(("too few" in note) is fails for note in notes)
    html = monitor.render_monitor(dataclasses.replace(told, notes=notes))
    assert 'id="inside"' in html
    assert ("promise too much" in html) is fails
    values = summary.interval_metrics(told.versions[0].total.intervals)
    assert (values["realised_interval_coverage"], values["realised_interval_width"]) == (share, 3.0)
    assert summary.curves(told)["window_interval_coverage"] == [share] * 5  # type: ignore[arg-type]


def test_predictions_that_repeat_a_row_are_said_on_the_page() -> None:
    told = watch()
    first, second = told.versions
    again = second.model_copy(update={"total": second.total.model_copy(update={"repeated": 50})})
    html = Page(monitor.render_monitor(replace(told, versions=(first, again)))).text
    assert "Version 2 made 200 predictions of 150 rows: a batch has all of its own, and elsewhere a row counts" in html
    assert "Version 1 made" not in html
