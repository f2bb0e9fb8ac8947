"""A version whose model is linear is trained, judged, refitted, certified and scored like any other."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

from tests.projects import project, tumours
from treadle.flows import train
from treadle.flows.context.workplace import open_workplace
from treadle.infra.settings import at as open_settings
from treadle.infra.stores import versions
from treadle.tasks import bundle, parity
from treadle.tasks.coefficients import line_of
from treadle.tasks.config.load import load_config

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.flows.context.workplace import Workplace

pytestmark = pytest.mark.usefixtures("prefect_server")


def trained(home: Path, kind: str) -> tuple[Workplace, train.TrainResult]:
    settings, _ = project(home, tumours(), "Malignant")
    file = settings.home / "pipelines" / "clinic.toml"
    file.write_text(f'{file.read_text()}\n[model]\nkind = "{kind}"\n')
    result = train.run_train(settings, load_config(file), trials=1, budget=60)
    assert isinstance(result, train.TrainResult)
    return open_workplace(str(settings.home), "clinic"), result


def test_a_linear_version_goes_the_way_of_every_version(home: Path) -> None:
    import mlflow

    place, result = trained(home, "linear")
    assert (result.decision, result.promoted, result.trials) == ("PROMOTE", True, 0)
    assert result.value > 0.97, "ROC AUC of tumours"
    assert result.linear_value is None, "no second linear model is scored beside it"
    folder = place.stores.bundle_folder(result.version)
    recipe = bundle.read_recipe(folder)
    assert recipe is not None
    assert recipe.kind == "linear"
    for part in ("judged", "serving"):
        model = place.model(result.version, part=part)
        line = line_of(model.booster)
        assert line is not None
        assert len(line.weights) == len(model.features.features)
    assert bundle.certificate(folder).disagreement == ""
    served = place.model(result.version)
    rows = place.stores.tables.training(versions(result.data_version)[0], "Malignant", ("Tumour ID",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlflow warns about its own type hints
        mlflow.set_tracking_uri(open_settings(home).tracking)
        answered = mlflow.pyfunc.load_model("models:/clinic@champion").predict(rows.to_pandas())
    assert len(rows) == 569
    assert parity.disagreement(bundle.predict_table(served, rows), answered) == ""
