"""A better model waits for a person where the config says so, and one beyond the config's limits is refused."""

from __future__ import annotations

import io
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.projects import project, tumours
from treadle.flows import train
from treadle.flows.champion import history, promote
from treadle.flows.cli.runtime.screen import Screen
from treadle.flows.cli.train import show_train
from treadle.infra import stores
from treadle.infra.databases.ledger import VersionRecord
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

pytestmark = pytest.mark.usefixtures("prefect_server")


def rule(settings: Settings, line: str) -> PipelineConfig:
    """The pipeline with `line` alone in its [gate]."""
    path = settings.home / "pipelines" / "clinic.toml"
    kept, inside = [], False
    for one in path.read_text().splitlines():
        inside = one.startswith("[gate]") or (inside and not one.startswith("["))
        kept += [] if inside else [one]
    path.write_text("\n".join([*kept, "[gate]", line, ""]))
    return load_config(path)


def trained(settings: Settings, config: PipelineConfig, *, again: bool = False) -> train.TrainResult:
    result = train.run_train(settings, config, trials=1, again=again)
    assert isinstance(result, train.TrainResult)
    return result


def test_a_better_model_waits_and_takes_the_chair_where_nobody_need_confirm_any_more(home: Path) -> None:
    settings, _ = project(home, tumours(), "Malignant", quick=True)
    config = rule(settings, 'promote = "manual"\nmax_model_mb = 50\nmax_ms_per_1000_rows = 5000')
    first = trained(settings, config)
    assert (first.decision, first.promoted, first.waits, first.exit_code()) == ("PROMOTE", False, True, 0)
    known = history.run_models(settings, config)
    assert (known.champion, known.waiting) == (None, first.version)
    repeated = trained(settings, config)
    assert (repeated.already, repeated.waits, repeated.version) == (True, True, first.version)
    kept = shutil.copytree(home / "mlruns", home / "kept")
    stores.open(settings, config.name).ledger.retire(config.name, first.version)
    gone = trained(settings, config)
    assert (gone.version, gone.promoted, history.run_models(settings, config).waiting) == (first.version, False, None)
    shutil.rmtree(home / "mlruns")
    kept.rename(home / "mlruns")
    taken = trained(settings, rule(settings, 'promote = "automatic"\nmax_model_mb = 50\nmax_ms_per_1000_rows = 5000'))
    assert (taken.version, taken.already, taken.promoted, taken.waits) == (first.version, True, True, False)
    assert history.run_models(settings, config).waiting is None


@pytest.mark.slow
def test_the_newest_waits_and_another_champion_settles_those_before(home: Path) -> None:
    settings, _ = project(home, tumours(), "Malignant", quick=True)
    config = rule(settings, 'promote = "manual"')
    first, second = trained(settings, config), trained(settings, config, again=True)
    assert history.run_models(settings, config).waiting == second.version
    promote.run_promote(settings, config, second.version, "the clinic agreed")
    assert history.run_models(settings, config).waiting is None
    outdated = trained(settings, config)
    assert (outdated.version, outdated.promoted, outdated.waits) == (first.version, False, False)
    assert history.run_models(settings, config).champion == second.version


def test_a_model_beyond_the_limits_is_refused_with_the_figures(home: Path) -> None:
    settings, _ = project(home, tumours(), "Malignant", quick=True)
    result = trained(settings, rule(settings, "max_model_mb = 0.000001\nmax_ms_per_1000_rows = 0.001"))
    assert (result.decision, result.promoted, result.exit_code()) == ("REFUSED", False, 4)
    assert "MB (gate.max_model_mb: 1e-06)" in result.headline
    assert any("ms on this machine (gate.max_ms_per_1000_rows: 0.001)" in reason for reason in result.reasons)
    show_train(result, Screen(out := io.StringIO()))
    assert out.getvalue().count("gate.max_model_mb: 1e-06") == 2, "in the headline and, as there are more, among all"
    refused = result.model_copy(update={"reasons": (result.headline, "another")})
    show_train(refused, Screen(out := io.StringIO()))
    assert out.getvalue().count("gate.max_model_mb: 1e-06") == 1


def judged(version: int, decision: str, against: int | None) -> VersionRecord:
    """A version as the gate leaves it in the ledger."""
    texts = dict.fromkeys(("run_id", "headline", "metric", "data_version", "bundle", "digest"), "")
    return VersionRecord(
        pipeline="clinic",
        version=version,
        run_key=f"run {version}",
        decision=decision,
        value=0.9,
        champion_value=0.8,
        against=against,
        result="{}",
        created_at=datetime.now(UTC),
        **texts,
    )


def test_a_version_that_waits_can_be_declined_with_a_reason_and_those_before_it_wait_no_more(home: Path) -> None:
    settings, config = project(home, tumours(), "Malignant", quick=True)
    ledger = stores.open(settings, config.name).ledger
    for version, decision in ((1, "PROMOTE"), (2, "KEEP"), (3, "PROMOTE")):
        ledger.add_version(judged(version, decision, None))
    for version, reason, why in ((1, "too slow", "version 3 is"), (2, "x", "version 3 is"), (3, " ", "a reason")):
        with pytest.raises(UsageError, match=why):
            promote.run_promote(settings, config, version, reason, decline=True)
    said = promote.run_promote(settings, config, 3, "too slow ", decline=True)
    assert (said.declined, said.from_version, said.to, said.reason) == (True, None, 3, "too slow")
    assert promote.run_promote(settings, config, 3, "too slow", decline=True) == said, "as after a kill"
    with pytest.raises(UsageError, match=r"declined already, by .*: too slow"):
        promote.run_promote(settings, config, 3, "too old", decline=True)
    known = history.run_models(settings, config)
    assert known.waiting is None
    assert [bool(one.declined) for one in known.versions] == [True, False, False]
    with pytest.raises(UsageError, match="no version is"):
        promote.run_promote(settings, config, 1, "too slow", decline=True)
    ledger.add_version(judged(4, "PROMOTE", None))
    assert history.run_models(settings, config).waiting == 4
