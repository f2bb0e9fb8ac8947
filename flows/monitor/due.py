"""Read what the decision to retrain depends on from tables, ledger and bundle."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from treadle.flows.champion.forbidden import used
from treadle.flows.champion.recorded import recorded_result
from treadle.tasks.maturity import COMPLETE, settled_after

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import timedelta

    import pyarrow as pa

    from treadle.flows.context.workplace import Workplace
    from treadle.infra.databases.ledger import VersionRecord
    from treadle.infra.tables.outcomes import Group, Outcomes
    from treadle.tasks.bundle import Model
    from treadle.tasks.dependence import Dependence
    from treadle.tasks.performance import MetricBounds, Realised
    from treadle.tasks.retrain import RetrainState
    from treadle.tasks.sequential import LossRise

DAY_SECONDS = 86_400
YEAR_DAYS = 365


@contextmanager
def outcomes(place: Workplace) -> Iterator[Outcomes]:
    """Open every prediction of a version that was champion, joined with its label."""
    from treadle.infra.tables.outcomes import open_outcomes
    from treadle.tasks.horizon import span

    data = place.config.data
    opening: AbstractContextManager[Outcomes] = open_outcomes(
        place.stores.tables,
        data.target,
        data.key,
        time=time_column(place),
        timezone=data.timezone,
        window_days=place.config.monitor.window_days,
        mature_after=span(place.config.labels.mature_after),
        weight=data.weight,
        group=place.config.split.group,
    )
    with opening as opened:
        yield opened


def time_column(place: Workplace) -> str:
    """The column `data.time` if it holds dates or timestamps, else empty."""
    time, schema = place.config.data.time, place.suite().schema
    return time if time in schema.names and schema.column(time).kind in ("date", "timestamp") else ""


def retrain_state(place: Workplace, outcomes: Outcomes) -> RetrainState:
    """The input of `treadle.tasks.retrain.due`, as of now."""
    from treadle.infra.tables.labelled import count_labelled
    from treadle.tasks import metrics
    from treadle.tasks.retrain import RetrainState

    stores, data, spec = place.stores, place.config.data, place.config.retrain
    champion = stores.ledger.champion(stores.pipeline)
    record = stores.ledger.version(stores.pipeline, champion.version_to) if champion else None

    def count(data_version: str) -> int:
        return count_labelled(stores.tables, place.labelled(data_version))

    if champion is None or record is None:
        now = count(stores.data_version())
        return RetrainState(spec, metrics.default_metric(data.task), None, 0.0, None, 0, now)
    model = place.model(record.version)
    tried = stores.ledger.versions(stores.pipeline)[0]
    settled = settled_delay(place, outcomes)
    realised = recent(place, outcomes, record.version, model, record.metric, settled)
    return RetrainState(
        spec=spec,
        metric=record.metric,
        champion=record.version,
        age_days=(datetime.now(UTC) - record.created_at).total_seconds() / DAY_SECONDS,
        tried=tried.version,
        labelled_then=count(tried.data_version),
        labelled=count(stores.data_version()),
        expected=expected(record),
        realised=realised,
        forbidden=used(model.spec(), data.forbid),
        settled=is_settled(place, settled, realised),
        rise=loss_rise(place, outcomes, record, champion.at, model, settled) if spec.on_performance else None,
    )


def is_settled(place: Workplace, settled: timedelta | None, realised: Realised | None) -> bool:
    """Whether the labels of recent predictions are complete: by the config, by past delays, or by their coverage."""
    return bool(place.config.labels.mature_after or settled or (realised and realised.coverage >= COMPLETE))


def settled_delay(place: Workplace, outcomes: Outcomes) -> timedelta | None:
    """The age from which on labels are complete, as past delays show it; None where they do not, or the config says."""
    return None if place.config.labels.mature_after else settled_after(*outcomes.delays())


def expected(record: VersionRecord) -> MetricBounds | None:
    """A version's holdout value with its interval, as its training run recorded them; None without an interval."""
    from treadle.tasks.performance import MetricBounds

    result = recorded_result(record)
    if record.value is None or result.value_lower is None or result.value_upper is None:
        return None
    return MetricBounds(value=record.value, lower=result.value_lower, upper=result.value_upper)


def loss_rise(
    place: Workplace,
    outcomes: Outcomes,
    record: VersionRecord,
    since: datetime,
    model: Model,
    settled: timedelta | None = None,
) -> LossRise | None:
    """How sure it is that a version's loss rose on the rows that it predicted since it is champion.

    None without labels, and where no loss is known to compare with. Only of rows that are `settled` old or older, where
    that is known. Rows depend on each other by the groups of the split, and in time where they are dated.
    """
    from treadle.infra.tables.outcomes import GROUP, MOMENT, WEIGHT, WINDOW
    from treadle.tasks import performance, sequential, watched

    config = place.config
    holdout = watched.expected_loss(record.metric, expected(record), holdout_rows(record))
    labelled = any(one.labelled for one in outcomes.groups("_version") if one.version == record.version)
    if holdout is None or not labelled or model.task != config.data.task:
        return None
    least_age = settled.total_seconds() / DAY_SECONDS if settled else 0.0
    wanted = (*performance.columns(model.task, model.post.classes), WEIGHT, GROUP, MOMENT, WINDOW)
    table = outcomes.read_since(record.version, since, wanted, settled_days=least_age)
    sums = watched.watched_sums(
        model.task,
        record.metric,
        model.post.classes,
        table,
        holdout,
        window_days=config.monitor.window_days,
        dated=bool(config.data.time) or config.split.strategy == "time",
        grouped=bool(config.split.group),
        weighted=bool(config.data.weight),
    )
    a_year = max(1, round(YEAR_DAYS / config.monitor.window_days))
    return None if sums is None else sequential.look(holdout, sums, a_year)


def holdout_rows(record: VersionRecord) -> int:
    """How many rows a version was judged on; 0 where its training run did not record it."""
    return recorded_result(record).judged_rows


def recent(
    place: Workplace, outcomes: Outcomes, version: int, model: Model, metric: str, settled: timedelta | None = None
) -> Realised | None:
    """A version's performance on its predictions of the `recent_days` before its newest label; None without labels.

    Only of rows that are `settled` old or older, where that is known.
    """
    days = place.config.monitor.recent_days
    least_age = settled.total_seconds() / DAY_SECONDS if settled else 0.0
    group = outcomes.recent(version, days, settled_days=least_age)
    if not group.labelled:
        return None
    return realised_by(place, outcomes, model, metric, group, recent_days=days, settled_days=least_age)


def realised_by(
    place: Workplace,
    outcomes: Outcomes,
    model: Model,
    metric: str,
    group: Group,
    *,
    recent_days: int | None = None,
    settled_days: float = 0.0,
) -> Realised:
    """The performance of `group`, predictions of the version `model`; of its last days only, where they are given."""
    from treadle.infra.tables.outcomes import WEIGHT
    from treadle.tasks import performance

    classes = model.post.classes
    wanted = (*performance.columns(model.task, classes), WEIGHT, *dependent_by(place))
    table = outcomes.read(group, wanted, recent_days=recent_days, settled_days=settled_days)
    return performance.realised(
        model.task,
        metric,
        classes,
        table["_label"],
        table,
        rows=group.rows,
        young=group.young,
        repeated=group.repeated,
        dependence=dependence_of_outcomes(place, table),
        weight=table[WEIGHT] if place.config.data.weight else None,
    )


def dependent_by(place: Workplace) -> tuple[str, ...]:
    """The columns of predictions beside labels that say which of them depend on each other."""
    from treadle.infra.tables.outcomes import GROUP, MOMENT

    split = place.config.split
    return (*((MOMENT,) if split.strategy == "time" else ()), *((GROUP,) if split.group else ()))


def dependence_of_outcomes(place: Workplace, table: pa.Table) -> Dependence:
    """Which predictions of a table with the columns `dependent_by` depend on each other: by group, by time, or not."""
    from treadle.infra.tables.outcomes import GROUP, MOMENT
    from treadle.tasks.dependence import dependence_of

    split = place.config.split
    named = [split.group if name == GROUP else name for name in table.column_names]
    return dependence_of(table.rename_columns(named), split, MOMENT)
