"""A champion that uses a forbidden column answers nothing until another one does without; a dropped column is named."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.projects import inbox, tumours
from treadle.flows import monitor, score, train
from treadle.flows.champion import forbidden, history, moves, promote, rollback
from treadle.flows.project import check, doctor, status
from treadle.flows.service.withdrawals import ForbidWatch
from treadle.flows.train import steps
from treadle.flows.train.champion_notes import person_decides
from treadle.infra import settings as settings_
from treadle.infra import stores
from treadle.tasks import gate
from treadle.tasks.commands import advice_line
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import ForbiddenColumn

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

    Clinic = tuple[Settings, PipelineConfig]

pytestmark = pytest.mark.usefixtures("prefect_server")

COLUMN = "worst perimeter"


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


def needs(settings: Settings) -> list[tuple[str, str]]:
    """What `status` says that a person must do about the champion."""
    return [(one.what, one.command) for one in status.run_status(settings).needs if one.kind == "promotion"]


def test_a_champion_that_uses_a_forbidden_column_is_out_of_service_until_another_does_without(clinic: Clinic) -> None:
    settings, _ = clinic
    config, home = configured(settings, f"forbid = [{COLUMN!r}]"), settings.home
    opened = stores.open(settings, config.name)
    out = f"version 2 is out of service: it uses column {COLUMN!r}, which data.forbid names"
    assert (f"{out}; nothing is scored", "treadle train -p clinic") in needs(settings)
    assert [one.message for one in check.run_check(settings, config).findings] == [out]
    assert (doctor.champions(settings).status, out in doctor.champions(settings).found) == ("broken", True)

    rows = tumours().drop(columns="Malignant")
    rows.assign(**{"Tumour ID": "new " + rows["Tumour ID"]}).to_csv(inbox(home) / "new.csv", index=False)
    with pytest.raises(ForbiddenColumn) as refused:
        score.run_score(settings, config)
    assert refused.value.message == f"nothing is scored: {out}"
    assert refused.value.fix == "train a model without: treadle train -p clinic"
    with pytest.raises(ForbiddenColumn):
        score.run_score(settings, config, input=inbox(home) / "new.csv", output=home / "answers.csv")
    assert opened.registry.champion_alias() is None
    withdrawn = opened.ledger.withdrawn(config.name)
    assert withdrawn is not None
    assert (json.loads(withdrawn.columns), withdrawn.until) == ([COLUMN], None)
    shown = history.run_models(settings, config)
    assert (shown.champion, shown.alias, shown.out_of_service.startswith(out)) == (2, "", True)
    for act in (
        lambda: promote.run_promote(settings, config, 2, "I want it back"),
        lambda: promote.run_promote(settings, config, 1, "the older one"),
        lambda: rollback.run_rollback(settings, config),
    ):
        with pytest.raises(ForbiddenColumn, match=r"version [12] of clinic cannot be champion: it uses column"):
            act()
    assert monitor.run_monitor(settings, config).reason == out

    third = train.run_train(settings, config, trials=1, if_due=True)
    assert isinstance(third, train.TrainResult)
    assert third.reason == out
    assert (third.promoted, third.against, third.champion_value) == (True, 2, None), "judged like a first model"
    note = f"version 2, which uses the forbidden column {COLUMN!r}, is out of service, so the challenger is judged like"
    assert any(reason.startswith(note) and "it has roc_auc 0.9" in reason for reason in third.reasons)
    assert opened.registry.champion_alias() == third.version
    assert (opened.ledger.withdrawn(config.name), doctor.champions(settings).status) == (None, "ok")
    assert score.run_score(settings, config).version == third.version


def test_a_champion_that_uses_a_dropped_column_goes_on_and_is_named(clinic: Clinic) -> None:
    settings, _ = clinic
    config = configured(settings, f"drop = [{COLUMN!r}]")
    used = f"version 2 uses column {COLUMN!r}, which data.drop names, and goes on as champion"
    assert (used, "treadle train -p clinic") in needs(settings)
    (finding,) = check.run_check(settings, config).findings
    assert (finding.level, finding.where, finding.message) == ("warning", "data.drop", used)
    ref = steps.plan.fn(str(settings.home), config.name, 1, None, "cpu", again=False)
    assert (ref.champion, ref.dropped, ref.forbidden) == (2, (COLUMN,), ())
    verdict = gate.Verdict.model_construct(decision="KEEP", unsettled="")
    says = [f"{used}; this one does without: treadle promote 3 --reason '...' -p clinic"]
    assert [*person_decides(ref, verdict, 3)] == says
    assert [*person_decides(ref, verdict.model_copy(update={"decision": "NOT_COMPARABLE"}), 3)] == says
    for decision in ("PROMOTE", "REFUSED"):
        assert [*person_decides(ref, verdict.model_copy(update={"decision": decision}), 3)] == []
    opened = stores.open(settings, config.name)
    assert moves.settle_champion(opened, config) == ()
    assert opened.registry.champion_alias() == 2


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
    clinic: Clinic, place: str, back: bool
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


def test_up_takes_a_champion_out_of_service_when_the_file_is_saved(clinic: Clinic) -> None:
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
    clinic: Clinic,
) -> None:
    settings, config = clinic
    opened = stores.open(settings, config.name)
    assert forbidden.champion_use(opened, config) is None
    assert forbidden.version_without(opened, config) == 1, "it uses none that is forbidden, as there is none"
    use = forbidden.champion_use(opened, configured(settings, f"drop = [{COLUMN!r}]"))
    assert use is not None
    assert (use.forbidden, use.dropped, use.instead) == ((), (COLUMN,), None)
    assert advice_line(use.advice()) == "train a model without: treadle train"
    both = forbidden.champion_use(opened, configured(settings, f"drop = [{COLUMN!r}]\nforbid = [{COLUMN!r}]"))
    assert both is not None
    assert (both.forbidden, both.dropped) == ((COLUMN,), ())
    other = config.model_copy(update={"data": config.data.model_copy(update={"target": "another"})})
    assert forbidden.version_without(opened, other) is None, "it answers another question"
