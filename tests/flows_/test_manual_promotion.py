"""A better model waits for a person where the config says so, and one beyond the config's limits is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flows import models, promote, train
from tasks import config as config_
from tests.projects import project, tumours

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings import Settings
    from tasks.config import PipelineConfig

pytestmark = pytest.mark.usefixtures("prefect_server")


def rule(settings: Settings, line: str) -> PipelineConfig:
    """The pipeline with `line` alone in its [gate]."""
    path = settings.home / "pipelines" / "clinic.toml"
    kept, inside = [], False
    for one in path.read_text().splitlines():
        inside = one.startswith("[gate]") or (inside and not one.startswith("["))
        kept += [] if inside else [one]
    path.write_text("\n".join([*kept, "[gate]", line, ""]))
    return config_.load(path)


def trained(settings: Settings, config: PipelineConfig, *, again: bool = False) -> train.TrainResult:
    result = train.run(settings, config, trials=1, again=again)
    assert isinstance(result, train.TrainResult)
    return result


def test_a_better_model_waits_and_takes_the_chair_where_nobody_need_confirm_any_more(home: Path) -> None:
    settings, _ = project(home, tumours(), "Malignant")
    config = rule(settings, 'promote = "manual"\nmax_model_mb = 50\nmax_ms_per_1000_rows = 5000')
    first = trained(settings, config)
    assert (first.decision, first.promoted, first.waits, first.exit_code()) == ("PROMOTE", False, True, 0)
    known = models.run(settings, config)
    assert (known.champion, known.waiting) == (None, first.version)
    repeated = trained(settings, config)
    assert (repeated.already, repeated.waits, repeated.version) == (True, True, first.version)
    taken = trained(settings, rule(settings, 'promote = "automatic"\nmax_model_mb = 50\nmax_ms_per_1000_rows = 5000'))
    assert (taken.version, taken.already, taken.promoted, taken.waits) == (first.version, True, True, False)
    assert models.run(settings, config).waiting is None


@pytest.mark.slow
def test_the_newest_waits_and_another_champion_settles_those_before(home: Path) -> None:
    settings, _ = project(home, tumours(), "Malignant")
    config = rule(settings, 'promote = "manual"')
    first, second = trained(settings, config), trained(settings, config, again=True)
    assert models.run(settings, config).waiting == second.version
    promote.run(settings, config, second.version, "the clinic agreed")
    assert models.run(settings, config).waiting is None
    outdated = trained(settings, config)
    assert (outdated.version, outdated.promoted, outdated.waits) == (first.version, False, False)
    assert models.run(settings, config).champion == second.version


def test_a_model_beyond_the_limits_is_refused_with_the_figures(home: Path) -> None:
    settings, _ = project(home, tumours(), "Malignant")
    result = trained(settings, rule(settings, "max_model_mb = 0.000001\nmax_ms_per_1000_rows = 0.001"))
    assert (result.decision, result.promoted, result.exit_code()) == ("REFUSED", False, 4)
    assert "MB (gate.max_model_mb: 1e-06)" in result.headline
    assert any("ms on this machine (gate.max_ms_per_1000_rows: 0.001)" in reason for reason in result.reasons)
