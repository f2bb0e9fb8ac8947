"""A version whose model is linear is trained, judged, refitted, certified and scored like any other."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.projects import project, tumours
from treadle.flows import train
from treadle.flows.context.workplace import open_workplace
from treadle.flows.project import compare
from treadle.infra.settings import at as open_settings
from treadle.infra.stores import versions
from treadle.tasks import bundle, parity
from treadle.tasks.coefficients import line_of
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import DataError, UsageError

if TYPE_CHECKING:
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


def test_two_versions_are_compared_side_by_side(home: Path) -> None:
    place, first = trained(home, "linear")
    settings, config = place.settings, place.config
    with pytest.raises(UsageError, match="both are version 1"):
        compare.run_compare(settings, config, "1", "v1")
    with pytest.raises(UsageError, match="no run 'no-such'"):
        compare.run_compare(settings, config, "1", "no-such")
    file = home / "pipelines" / "clinic.toml"
    file.write_text(file.read_text().replace('kind = "linear"', 'kind = "trees"\nmax_depth = 3'))
    config = load_config(file)
    second = train.run_train(settings, config, trials=1, budget=60)
    assert isinstance(second, train.TrainResult)
    assert (first.version, second.version) == (1, 2)

    result = compare.run_compare(settings, config, "2", "1")
    assert (result.first, result.second, result.metric) == (2, 1, "roc_auc")
    assert result.rows == second.judged_rows, "both were split alike: the holdout is new to both"
    assert sum(int(one.split()[0].replace(",", "")) for one in result.left_out) == 569 - result.rows
    own = next(one for one in result.scores if one.metric == "roc_auc")
    assert own.first == pytest.approx(second.value)
    assert own.second == pytest.approx(first.value)
    assert own.gain == pytest.approx(own.first - own.second)
    assert own.lower < own.gain < own.upper
    kinds = {one.name: (one.first, one.second) for one in result.settings}
    assert kinds["kind"] == ("trees", "linear")
    assert "seed" not in kinds
    assert sum(one.first or 0 for one in result.columns) == pytest.approx(1)
    apart = [one.apart for one in result.disagreements]
    assert apart == sorted(apart, reverse=True)
    assert result.disagreements[0].row.startswith("T")
    page = Path(result.path).read_text()
    assert "version 2 beside version 1" in page
    assert result.disagreements[0].row in page
    backwards = compare.run_compare(settings, config, "1", "2")
    assert [one.gain for one in backwards.scores] == pytest.approx([-one.gain for one in result.scores])

    file.write_text(file.read_text().replace('positive = "yes"', 'positive = "no"'))
    with pytest.raises(DataError, match="predicts the probability of 'yes', the positive class now is 'no'"):
        compare.run_compare(settings, load_config(file), "2", "1")
