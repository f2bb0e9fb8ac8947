from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from treadle.flows.cli.report import show_comparison
from treadle.flows.cli.runtime.screen import Screen
from treadle.flows.project import report
from treadle.flows.project.compare import CompareResult
from treadle.infra import settings as settings_
from treadle.infra import stores as stores_
from treadle.infra.databases.ledger import VersionRecord
from treadle.tasks.comparison import Disagreement, ImportancePair, MetricGain, SettingPair
from treadle.tasks.config.spec import PipelineConfig
from treadle.tasks.errors import DataError, UsageError

CONFIG = PipelineConfig.model_validate(
    {"name": "orders", "data": {"source": "orders.csv", "target": "paid", "task": "binary"}}
)


def record(version: int, run_id: str, run_key: str = "", told: str = "") -> VersionRecord:
    return VersionRecord(
        pipeline="orders",
        version=version,
        run_key=run_key or f"key{version}",
        run_id=run_id,
        decision="PROMOTE",
        headline="better",
        metric="roc_auc",
        value=0.8,
        champion_value=0.5,
        against=None,
        data_version="rows@1",
        bundle=f"mlruns/{version}",
        digest="d",
        result=json.dumps({"report": told}),
        created_at=datetime(2026, 1, version, tzinfo=UTC),
    )


VERSIONS = (record(1, "aa11"), record(2, "ab22", "77ff"), record(3, "3c33"))


@pytest.mark.parametrize(
    ("run", "version"), [(None, 3), ("2", 2), ("v2", 2), ("aa", 1), ("AB2", 2), ("77f", 2), ("3", 3), (" 1 ", 1)]
)
def test_a_run_is_meant_by_its_version_or_by_its_first_digits(run: str | None, version: int) -> None:
    assert report.choose_version("orders", VERSIONS, run).version == version


@pytest.mark.parametrize(
    ("versions", "run", "said"),
    [
        ((), None, "no report yet"),
        ((), "3", "no report yet"),
        (VERSIONS, "a", "means 2 runs"),
        (VERSIONS, "9", "no run '9'"),
        (VERSIONS, "", "no run ''"),
    ],
)
def test_what_means_none_or_several_is_a_usage_error(
    versions: tuple[VersionRecord, ...], run: str | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        report.choose_version("orders", versions, run)
    assert caught.value.fix


def test_the_place_that_the_run_told_is_believed_only_under_the_home(tmp_path: Path) -> None:
    inside, outside = tmp_path / "home" / "report.html", tmp_path / "report.html"
    inside.parent.mkdir()
    for file in (inside, outside):
        file.write_text("here")
    assert report.recorded_report(inside.parent, record(1, "aa", told=str(inside))) == inside
    assert report.recorded_report(inside.parent, record(1, "aa", told=str(outside))) is None
    assert report.recorded_report(inside.parent, record(1, "aa", told=str(inside.parent / "gone.html"))) is None
    assert report.recorded_report(inside.parent, replace(record(1, "aa"), result="")) is None


def test_a_report_is_found_in_mlflow_and_one_that_is_gone_is_said_so(home: Path) -> None:
    settings = settings_.at(home)
    stores = stores_.open(settings, "orders")
    run_id = stores.tracking.open_run("key1", "orders key1", {})
    stores.ledger.add_version(record(1, run_id, "key1", told="/elsewhere/report.html"))
    with pytest.raises(DataError, match="version 1 of orders is not in MLflow"):
        report.run_report(settings, CONFIG)

    made = home / "made"
    made.mkdir()
    (made / "report.html").write_text("<p>told</p>")
    stores.tracking.log_folder(run_id, made)
    found = report.run_report(settings, CONFIG, run_id[:8])
    assert Path(found.path).read_text() == "<p>told</p>"
    assert (found.version, found.opened, found.exit_code()) == (1, False, 0)


def test_two_versions_are_printed_side_by_side() -> None:
    out = io.StringIO()
    result = CompareResult(
        pipeline="orders",
        first=7,
        second=6,
        sentence="version 7 is better than version 6",
        metric="roc_auc",
        rows=1_200,
        left_out=("300 labelled rows do not judge: version 6 was fitted on them",),
        alike=0.931,
        scores=(MetricGain(metric="roc_auc", first=0.8, second=0.7, gain=0.1, lower=0.05, upper=0.15),),
        settings=(SettingPair(name="params.max_depth", first="3", second=""),),
        columns=(ImportancePair(column="paid", first=0.25, second=None),),
        slices=(),
        disagreements=(Disagreement(row="K1", label="yes", first="0.9", second="0.1", apart=0.8, values={}),),
        path="/tmp/page.html",
    )
    show_comparison(result, Screen(out))
    printed = out.getvalue()
    for part in (
        "+0.1",
        "93.1%",
        "25.0%",
        "K1",
        "/tmp/page.html",
        "300 labelled",
    ):
        assert part in printed
    assert result.exit_code() == 0
