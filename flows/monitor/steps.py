"""The steps of `treadle monitor`: each loads by `infra`, calls `tasks`, and returns its result."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING

from prefect import task
from prefect.artifacts import create_markdown_artifact

from treadle.flows.context import events
from treadle.flows.context.retries import retried_task
from treadle.flows.context.workplace import Workplace, open_workplace
from treadle.flows.monitor import due, summary
from treadle.flows.monitor.result import ComparedData, MeasuredPerformance, MonitorResult
from treadle.flows.score.steps import ModelRef  # noqa: TC001 - Prefect looks parameters' types up
from treadle.tasks.errors import BundleError
from treadle.tasks.horizon import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.infra.tables.outcomes import By, Group, Outcomes
    from treadle.tasks.bundle import BundleFacts, Model
    from treadle.tasks.health import Freshness
    from treadle.tasks.performance import VersionOutcome

BATCHES = 30
"""The columns of this many of the newest batches are compared."""

ROWS_AT_ONCE = 50_000
DAY_SECONDS = 86_400


@task(name="measure", task_run_name="measure")
def measure_performance(home: str, pipeline: str, champion: ModelRef) -> MeasuredPerformance:
    """Join predictions with labels once, then take each group's realised performance by itself."""
    from treadle.tasks import retrain

    place = open_workplace(home, pipeline)
    tables, record = place.stores.tables, place.stores.ledger.version(pipeline, champion.version)
    data_version, predicted = place.stores.data_version(), tables.version("predictions")
    versions: list[VersionOutcome] = []
    warnings: list[str] = []
    with due.outcomes(place) as outcomes:
        state = due.retrain_state(place, outcomes)
        settled = due.settled_delay(place, outcomes)
        totals = outcomes.groups("_version")
        for number, group in enumerate(totals):
            events.emit("monitor", f"version {group.version}", done=number, total=len(totals))
            try:
                model = place.model(group.version)
            except BundleError as error:
                warnings.append(f"version {group.version} is left out: {error.message}")
                continue
            if model.task != place.config.data.task:
                warnings.append(f"version {group.version} is left out: it was a {model.task} model")
                continue
            versions.append(_outcome(place, outcomes, model, group, state.metric, champion.version))
        events.emit("monitor", "predictions compared with labels", done=len(totals), total=len(totals))
    reason = retrain.due(state)
    return MeasuredPerformance(
        metric=record.metric if record else state.metric,
        data_version=data_version,
        predictions_version=predicted,
        expected=state.expected,
        recent=state.realised,
        versions=tuple(versions),
        findings=retrain.findings(state),
        reason=reason.text if reason else "",
        warnings=tuple(warnings),
        proposed_mature_after=in_words(settled) if settled else None,
        rise=state.rise,
    )


def _outcome(
    place: Workplace, outcomes: Outcomes, model: Model, total: Group, metric: str, champion: int
) -> VersionOutcome:
    """One version's groups, each read and scored by itself."""
    from treadle.tasks import performance

    labels = {batch.batch_id: batch.label for batch in place.stores.ledger.batches(place.config.name)}
    realised = partial(due.realised_by, place, outcomes, model, metric)

    def groups(by: By) -> Iterator[Group]:
        return (group for group in outcomes.groups(by) if group.version == total.version)

    windows = []
    for group in groups("_window"):
        first, last = performance.window(group.window or date.min, place.config.monitor.window_days)
        windows.append(performance.WindowOutcome(first=first, last=last, realised=realised(group)))
    return performance.VersionOutcome(
        version=total.version,
        champion=total.version == champion,
        total=realised(total),
        batches=tuple(
            performance.BatchOutcome(
                batch_id=group.batch_id or "", label=labels.get(group.batch_id or "", ""), realised=realised(group)
            )
            for group in groups("_batch")
        ),
        windows=tuple(windows),
    )


@task(name="compare the data", task_run_name="compare the data")
def compare_data(home: str, pipeline: str, champion: ModelRef) -> ComparedData:
    """Read the newest batches, a slice at a time, beside the reference in the champion's bundle; and their age."""
    from treadle.infra.tables import connect
    from treadle.tasks import bundle, health
    from treadle.tasks.dataset import quote

    place = open_workplace(home, pipeline)
    folder = place.stores.bundle_folder(champion.version)
    model, tables = place.model(champion.version, champion.digest), place.stores.tables
    spec = model.features
    labels = {batch.batch_id: batch.label for batch in place.stores.ledger.batches(pipeline)}
    stored = tables.columns("rows").names
    listed = ", ".join(quote(name) for name in dict.fromkeys(spec.sources) if name in stored)
    batches = []
    with connect(tables.scratch) as con:
        newest = con.sql(
            f"SELECT _batch_id FROM {tables.relation('rows')} GROUP BY _batch_id "
            f"ORDER BY min(_ingested_at) DESC, _batch_id DESC LIMIT {BATCHES}"
        ).fetchall()
        for (batch_id,) in reversed(newest):
            relation = con.sql(f"SELECT {listed} FROM {tables.relation('rows', batches=[batch_id])}")
            rows, shares = health.shares(spec, relation.to_arrow_reader(ROWS_AT_ONCE))
            label = labels.get(batch_id, batch_id)
            batches.append(health.BatchShares(batch_id=batch_id, label=label, rows=rows, columns=shares))
    events.emit("monitor", f"{len(batches)} batches compared with the training rows of version {champion.version}")
    return ComparedData(
        freshness=_freshness(place, champion, bundle.read_facts(folder)),
        reference=health.shares(spec, [bundle.reference(folder)])[1],
        batches=tuple(batches),
    )


def _freshness(place: Workplace, champion: ModelRef, facts: BundleFacts) -> Freshness:
    from treadle.infra.tables import connect
    from treadle.tasks.dataset import quote
    from treadle.tasks.health import Freshness

    stores, target, now = place.stores, place.config.data.target, datetime.now(UTC)
    tables, time = stores.tables, due.time_column(place)
    rows = tables.relation("rows")
    newest = f"max({quote(time)})" if time else "NULL"
    own = (
        f"max(_ingested_at) FILTER ({quote(target)} IS NOT NULL)" if target in tables.columns("rows").names else "NULL"
    )
    with connect(tables.scratch) as con:
        ((row, batch, label),) = con.sql(f"SELECT {newest}, max(_ingested_at), {own} FROM {rows}").fetchall()
        ((late,),) = con.sql(f"SELECT max(_ingested_at) FROM {tables.relation('labels')}").fetchall()
    label_times = [moment for moment in (label, late) if moment is not None]
    record = stores.ledger.version(stores.pipeline, champion.version)
    promotion = stores.ledger.champion(stores.pipeline)
    assert record is not None
    assert promotion is not None
    return Freshness(
        newest_row="" if row is None else str(row),
        newest_batch=batch,
        batch_age_days=None if batch is None else (now - batch).total_seconds() / DAY_SECONDS,
        newest_label=max(label_times) if label_times else None,
        champion_made=record.created_at,
        champion_since=promotion.at,
        champion_age_days=(now - record.created_at).total_seconds() / DAY_SECONDS,
        trained_until="" if facts.trained_until is None else str(facts.trained_until),
        days_unseen=_days_between(facts.trained_until, row),
    )


def _days_between(before: object, after: object) -> float | None:
    """Days from one date or moment to a later one, at least 0; None where they are not both dates or both moments."""
    if isinstance(before, datetime) and isinstance(after, datetime):
        before, after = (moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in (before, after))
        return max(0.0, (after - before).total_seconds() / DAY_SECONDS)
    both_dates = type(before) is date and type(after) is date
    return max(0.0, float((after - before).days)) if both_dates else None  # type: ignore[operator]


def monitor_result(
    pipeline: str, champion: ModelRef, measured: MeasuredPerformance, compared: ComparedData
) -> MonitorResult:
    """The results of both steps together, before they are published; unseen levels are those of the newest batch."""
    from treadle.tasks import health

    unseen = health.unseen_in_batch(compared.batches[-1], compared.reference) if compared.batches else ()
    warned = tuple(f"{compared.batches[-1].label}: {text}" for one in unseen if (text := one.warning()))
    return MonitorResult(
        pipeline=pipeline,
        champion=champion.version,
        due=bool(measured.reason),
        page="",
        run_id="",
        unseen=unseen,
        warnings=(*measured.warnings, *warned),
        **{
            name: getattr(measured, name)
            for name in MonitorResult.model_fields
            if name in MeasuredPerformance.model_fields and name != "warnings"
        },
        **{name: getattr(compared, name) for name in ComparedData.model_fields},
    )


@retried_task("publish")
def publish_result(home: str, pipeline: str, result: MonitorResult, predictions_version: int) -> MonitorResult:
    """Write the page, log metrics and page to MLflow, and show the summary in Prefect's UI."""
    from treadle.infra.files.workbench import Workbench

    place = open_workplace(home, pipeline)
    stores, bench = place.stores, Workbench(place.settings.state / "monitor" / pipeline)
    page = bench.put_text("monitor.html", summary.page(place.config, result))
    spec = place.config.monitor.model_dump_json()
    since = result.freshness.champion_since.isoformat()
    state = f"{result.data_version}|{predictions_version}|{result.champion}|{since}|{spec}"
    key = f"monitor-{hashlib.sha256(state.encode()).hexdigest()[:16]}"
    tags = {"kind": "monitor", "data_version": result.data_version, "champion": f"version {result.champion}"}
    run_id = stores.tracking.open_run(key, f"{pipeline} monitor {result.data_version}", tags)
    stores.tracking.log_metrics(run_id, summary.metrics(result))
    stores.tracking.log_curves(run_id, summary.curves(result))
    stores.tracking.log_folder(run_id, bench.folder)
    stores.tracking.finish(run_id, {"due": result.reason or "no"})
    create_markdown_artifact(
        key=f"monitor-{pipeline}".replace("_", "-"),
        markdown=summary.summary(result),
        description=f"Monitoring of {pipeline}",
    )
    published = result.model_copy(update={"page": str(page), "run_id": run_id})
    Workbench(place.settings.state / "monitor").put(f"{pipeline}.json", published, MonitorResult)
    return published
