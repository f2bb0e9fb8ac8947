"""`treadle report V W`: two versions side by side on labelled rows that neither was fitted on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.flows.project.report import choose_version, open_in_browser
from treadle.tasks.comparison import Disagreement, ImportancePair, MetricGain, SettingPair
from treadle.tasks.errors import DataError, UsageError
from treadle.tasks.gate import SliceVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from treadle.flows.context.workplace import Workplace
    from treadle.infra.databases.ledger import VersionRecord
    from treadle.infra.settings import Settings
    from treadle.tasks.comparison import ComparedVersion
    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.dataset.judging import LeftOut


class CompareResult(BaseModel):
    """Two versions side by side; every gain is the first's over the second's, `rows` are new to both.

    `alike` is the share of rows for which both predict the same class; None for a regression.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    pipeline: str
    first: int
    second: int
    sentence: str
    metric: str
    rows: int
    left_out: tuple[str, ...]
    alike: float | None
    scores: tuple[MetricGain, ...]
    settings: tuple[SettingPair, ...]
    columns: tuple[ImportancePair, ...]
    slices: tuple[SliceVerdict, ...]
    disagreements: tuple[Disagreement, ...]
    path: str
    opened: bool = False

    def exit_code(self) -> int:
        """Always 0: what cannot be compared raises."""
        return 0


def run_compare(
    settings: Settings, config: PipelineConfig, first: str, second: str, *, open_browser: bool = False
) -> CompareResult:
    """Compare the judged boosters of two versions, each named as for `run_report`, and write a page about it.

    The rows are all of today's labelled ones that neither was fitted or tuned on. Raises UsageError where a version is
    unknown or both are the same, DataError where the two answer different questions or no row is new to both,
    BundleError where a model was cleared away or is damaged.
    """
    from treadle.flows.context.workplace import open_workplace
    from treadle.infra.files.atomic import write_atomically
    from treadle.tasks.comparison import lay_beside
    from treadle.tasks.report.compare import comparison_sentence, render_comparison
    from treadle.tasks.training import define, labels

    place = open_workplace(str(settings.home), config.name)
    records = _records(place, first, second)
    ours, theirs = (_version(place, record.version) for record in records)
    rows = _labelled(place)
    problem = define(config, place.suite().schema, labels(rows, config.data.target))
    new, left_out = _new_to_both(place, rows, ours, theirs)
    beside = lay_beside(problem, ours, theirs, new, config.gate, config.split)
    said = [f"{one.rows:,} labelled rows do not judge: {one.why}" for one in left_out]
    facts = [
        (f"version {record.version}", f"{record.decision}, {record.created_at:%Y-%m-%d %H:%M}, {record.data_version}")
        for record in records
    ]
    path = settings.state / "reports" / f"{config.name}-{ours.version}-{theirs.version}.html"
    write_atomically(path, render_comparison(config.name, beside, facts, said))
    return CompareResult(
        pipeline=config.name,
        first=ours.version,
        second=theirs.version,
        sentence=comparison_sentence(beside),
        metric=problem.metric,
        rows=len(new),
        left_out=tuple(said),
        alike=beside.alike,
        scores=beside.scores,
        settings=beside.settings,
        columns=beside.columns,
        slices=beside.slices,
        disagreements=beside.disagreements,
        path=str(path),
        opened=open_browser and sys.stdout.isatty() and open_in_browser(path),
    )


def _records(place: Workplace, first: str, second: str) -> tuple[VersionRecord, VersionRecord]:
    recorded = place.stores.ledger.versions(place.config.name)
    ours, theirs = (choose_version(place.config.name, recorded, one) for one in (first, second))
    if ours.version == theirs.version:
        raise UsageError(f"both are version {ours.version}: there is nothing to compare", "name two versions")
    return ours, theirs


def _version(place: Workplace, version: int) -> ComparedVersion:
    from treadle.tasks import bundle
    from treadle.tasks.comparison import ComparedVersion

    folder = place.stores.bundle_folder(version)
    model = place.model(version, part="judged")
    return ComparedVersion(version, model, bundle.read_facts(folder), bundle.read_recipe(folder))


def _labelled(place: Workplace) -> pa.Table:
    from treadle.infra.tables.labelled import training_rows

    stores = place.stores
    return training_rows(stores.tables, place.labelled(stores.data_version()))


def _new_to_both(
    place: Workplace, rows: pa.Table, first: ComparedVersion, second: ComparedVersion
) -> tuple[pa.Table, Sequence[LeftOut]]:
    """The rows on which neither was fitted, and why the others do not judge; raises DataError where there is none."""
    from treadle.flows.train.opponent import fitted_by
    from treadle.tasks.dataset.judging import judging

    fitted = []
    for one in (first, second):
        found = fitted_by(place, one.version, "judged")
        if isinstance(found, str):
            raise DataError(f"nothing can be compared: {found}", "compare versions whose rows are still in the tables")
        fitted.append(found)
    names = {"the challenger": f"version {first.version}", "the champion": f"version {second.version}"}
    new, left_out = judging(rows, fitted[0], fitted[1])
    said = [type(one)(_renamed(one.why, names), one.rows) for one in left_out]
    if not len(new):
        reasons = "; ".join(f"{one.rows:,}: {one.why}" for one in said)
        raise DataError(
            f"no labelled row is new to versions {first.version} and {second.version} ({reasons or 'no rows'})",
            f"bring newer labelled rows: treadle ingest -p {place.config.name}",
        )
    return new, said


def _renamed(why: str, names: dict[str, str]) -> str:
    for former, name in names.items():
        why = why.replace(former, name)
    return why
