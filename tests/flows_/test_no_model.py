"""Where there is no model yet, or can be none, a command says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.projects import inbox, project, tumours
from treadle.flows import ingest, score, train
from treadle.tasks.errors import NothingPromoted, TargetError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_scoring_needs_a_champion(home: Path) -> None:
    settings, config = project(home, tumours()[:50], "Malignant")
    with pytest.raises(NothingPromoted, match="no champion yet"):
        score.run_score(settings, config)


def test_one_class_cannot_be_learned(home: Path) -> None:
    settings, config = project(home, tumours()[:200], "Malignant")
    only = tumours()[:200]
    only[only["Malignant"] == "yes"].to_csv(inbox(home) / "only.csv", index=False)
    document = (home / "pipelines" / "clinic.toml").read_text()
    assert str(home.parent / "clinic.csv") in document
    ingest.run_ingest(settings, config, [inbox(home)])
    (home.parent / "clinic.csv").unlink()
    with pytest.raises(TargetError, match="yes"):
        train.run_train(settings, config, trials=2)
