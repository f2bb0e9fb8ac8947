"""A champion that uses a forbidden column answers nothing until another one does without; a dropped column is named."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.projects import inbox, project, tumours
from treadle.flows import monitor, score, train
from treadle.flows.champion import forbidden, history, moves, promote, rollback
from treadle.flows.project import check, doctor, status
from treadle.flows.service.withdrawals import ForbidWatch
from treadle.infra import settings as settings_
from treadle.infra import stores
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import ForbiddenColumn

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

pytestmark = pytest.mark.usefixtures("prefect_server")

COLUMN = "worst perimeter"
COLUMNS = ["Tumour ID", "Malignant", COLUMN, "mean texture", "mean smoothness", "worst area"]


SETTLE = """
import sys
from pathlib import Path
from treadle.flows.champion import moves
from treadle.flows.context.workplace import open_workplace
place = open_workplace(sys.argv[1], "clinic")
moves.settle_champion(place.stores, place.config)
"""


def configured(settings: Settings, line: str = "") -> PipelineConfig:
    """The pipeline with `line` in its [data], in the place of what is dropped or forbidden there."""
    path = settings.home / "pipelines" / "clinic.toml"
    kept = [one for one in path.read_text().splitlines() if not one.startswith(("drop =", "forbid ="))]
    at = kept.index("[data]") + 1
    path.write_text("\n".join([*kept[:at], *([line] if line else []), *kept[at:], ""]))
    return load_config(path)


def trained(settings: Settings, config: PipelineConfig) -> train.TrainResult:
    result = train.run_train(settings, config, trials=1)
    assert isinstance(result, train.TrainResult)
    return result


def needs(settings: Settings) -> list[tuple[str, str]]:
    """What `status` says that a person must do about the champion."""
    return [(one.what, one.command) for one in status.run_status(settings).needs if one.kind == "promotion"]


def test_a_champion_that_uses_a_forbidden_column_is_out_of_service_until_another_does_without(home: Path) -> None:
    settings, config = project(home, tumours()[COLUMNS], "Malignant")
    opened = stores.open(settings, config.name)
    first = trained(settings, config)
    assert first.promoted
    assert check.run_check(settings, config).findings == ()

    config = configured(settings, f"drop = [{COLUMN!r}]")
    second = trained(settings, config)
    assert (second.decision in ("KEEP", "NOT_COMPARABLE"), second.promoted) == (True, False)
    used = f"version 1 uses column {COLUMN!r}, which data.drop names, and goes on as champion"
    assert second.reasons[-1] == f"{used}; this one does without: treadle promote 2 --reason '...' -p clinic"
    assert (f"{used}; version 2 does without", "treadle promote 2 --reason '...' -p clinic") in needs(settings)
    (finding,) = check.run_check(settings, config).findings
    assert (finding.level, finding.where, finding.message) == ("warning", "data.drop", used)
    assert "version 2 does without: treadle promote 2 --reason '...' -p clinic" in finding.way_out

    config = configured(settings, f"forbid = [{COLUMN!r}]")
    out = f"version 1 is out of service: it uses column {COLUMN!r}, which data.forbid names"
    rows = tumours()[COLUMNS].drop(columns="Malignant")
    rows.assign(**{"Tumour ID": "new " + rows["Tumour ID"]}).to_csv(inbox(home) / "new.csv", index=False)
    with pytest.raises(ForbiddenColumn) as refused:
        score.run_score(settings, config)
    assert refused.value.message == f"nothing is scored: {out}"
    assert refused.value.way_out.startswith("version 2 does without: treadle promote 2")
    with pytest.raises(ForbiddenColumn):
        score.run_score(settings, config, input=inbox(home) / "new.csv", output=home / "answers.csv")
    assert opened.registry.champion_alias() is None
    withdrawn = opened.ledger.withdrawn(config.name)
    assert withdrawn is not None
    assert (json.loads(withdrawn.columns), withdrawn.until) == ([COLUMN], None)
    shown = history.run_models(settings, config)
    assert (shown.champion, shown.alias, shown.out_of_service.startswith(out)) == (1, "", True)
    assert (f"{out}; nothing is scored; version 2 does without", "treadle promote 2 --reason '...' -p clinic") in needs(
        settings
    )
    assert [one.message for one in check.run_check(settings, config).findings] == [out]
    assert (doctor.champions(settings).status, out in doctor.champions(settings).found) == ("broken", True)
    with pytest.raises(ForbiddenColumn, match="version 1 of clinic cannot be champion"):
        promote.run_promote(settings, config, 1, "I want it back")
    assert monitor.run_monitor(settings, config).reason == out

    third = trained(settings, config)
    assert (third.promoted, third.against, third.champion_value) == (True, 1, None), "judged like a first model"
    note = f"version 1, which uses the forbidden column {COLUMN!r}, is out of service, so the challenger is judged like"
    assert any(reason.startswith(note) and "it has roc_auc 0.9" in reason for reason in third.reasons)
    assert opened.registry.champion_alias() == third.version
    assert score.run_score(settings, config).version == third.version
    with pytest.raises(ForbiddenColumn, match="version 1 of clinic cannot be champion"):
        rollback.run_rollback(settings, config)

    back = rollback.run_rollback(settings, configured(settings))
    assert (back.to, opened.registry.champion_alias()) == (1, 1)
    config = configured(settings, f"forbid = [{COLUMN!r}]")
    monitor.run_monitor(settings, config)
    assert opened.registry.champion_alias() is None
    assert score.run_score(settings, configured(settings)).version == 1
    assert opened.registry.champion_alias() == 1, "allowed again, it is in service again"


@pytest.mark.parametrize(
    ("place", "back"),
    [
        ("ledger.withdrawal:after", False),
        ("mlflow.alias_removed:after", False),
        ("ledger.withdrawal:after", True),
        ("mlflow.alias:after", True),
    ],
)
def test_a_kill_between_ledger_and_alias_is_made_up_for_by_the_next_command(
    clinic: tuple[Settings, PipelineConfig], place: str, back: bool
) -> None:
    settings, _ = clinic
    config = configured(settings, f"forbid = [{COLUMN!r}]")
    opened = stores.open(settings, config.name)
    if back:
        assert moves.settle_champion(opened, config) == (COLUMN,)
        config = configured(settings)
    environment = settings_.child_environment({settings_.FAILPOINT: place})
    command = [sys.executable, "-c", SETTLE, str(settings.home)]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    for _ in range(2):
        assert moves.settle_champion(opened, config) == (() if back else (COLUMN,))
        assert opened.registry.champion_alias() == (2 if back else None)
        assert (opened.ledger.withdrawn(config.name) is None) is back
        assert opened.ledger.pending(config.name) == ()
    if not back:
        opened.registry.set_champion(2)
        moves.settle_champion(opened, config)
        assert opened.registry.champion_alias() is None, "set by hand, and removed again"
        promote.run_promote(settings, configured(settings), 1, "the older one")
        assert opened.registry.champion_alias() == 1


def test_up_takes_a_champion_out_of_service_when_the_file_is_saved(clinic: tuple[Settings, PipelineConfig]) -> None:
    settings, config = clinic
    opened, watch = stores.open(settings, config.name), ForbidWatch(settings)
    watch.check()
    assert opened.registry.champion_alias() == 2
    file = settings.home / "pipelines" / "clinic.toml"
    sound = file.read_text()
    file.write_text("not TOML")
    watch.check()
    file.write_text(sound)
    configured(settings, f"forbid = [{COLUMN!r}]")
    watch.check()
    assert opened.registry.champion_alias() is None
    opened.registry.set_champion(2)
    watch.check()
    assert opened.registry.champion_alias() == 2, "a file that has not changed is not read again"


def test_the_version_to_promote_instead_is_the_newest_that_may_be_and_does_without(
    clinic: tuple[Settings, PipelineConfig],
) -> None:
    settings, config = clinic
    opened = stores.open(settings, config.name)
    assert forbidden.champion_use(opened, config) is None
    assert forbidden.version_without(opened, config) == 1, "it uses none that is forbidden, as there is none"
    use = forbidden.champion_use(opened, configured(settings, f"drop = [{COLUMN!r}]"))
    assert use is not None
    assert (use.forbidden, use.dropped, use.instead) == ((), (COLUMN,), None)
    assert use.way_out() == "train a model without: treadle train"
    both = forbidden.champion_use(opened, configured(settings, f"drop = [{COLUMN!r}]\nforbid = [{COLUMN!r}]"))
    assert both is not None
    assert (both.forbidden, both.dropped) == ((COLUMN,), ())
    other = config.model_copy(update={"data": config.data.model_copy(update={"target": "another"})})
    assert forbidden.version_without(opened, other) is None, "it answers another question"
