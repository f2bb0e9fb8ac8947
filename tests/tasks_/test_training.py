from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from tests import shop
from treadle.tasks import booster, features, fitting, postprocess, training
from treadle.tasks.config.spec import PipelineConfig
from treadle.tasks.dataset import Parts, SplitSpec
from treadle.tasks.errors import TargetError
from treadle.tasks.recipe import make_recipe
from treadle.tasks.search import Found

FOUND = Found({"max_depth": 3, "learning_rate": 0.3}, rounds=12, value=0.8, trials=(), resumed=0, seconds=1.0)


def config(task: str = "binary", group: str = "", **data: object) -> PipelineConfig:
    document = {
        "name": "shop",
        "data": {"source": "orders/*.csv", "target": "y", "task": task, "categories": ["Branch"], **data},
        "split": {"strategy": "group", "group": group} if group else {},
    }
    return PipelineConfig.model_validate_json(json.dumps(document))


@pytest.mark.parametrize(
    ("said", "out"),
    [
        ({}, {"y"}),
        ({"key": ["Order No"]}, {"y", "Order No"}),
        ({"key": ["Branch", "Placed at"]}, {"y"}),
        ({"key": ["Placed at"], "time": "Placed at"}, {"y"}),
        ({"drop": ["Paid", "Zip"]}, {"y", "Paid", "Zip"}),
        ({"group": "Zip"}, {"y", "Zip"}),
    ],
    ids=["target", "key of one column", "parts of a key", "the time as key", "drop", "group"],
)
def test_what_names_a_row_or_comes_after_it_is_no_feature(said: dict, out: set[str]) -> None:
    schema = shop.schema("binary")
    assert set(training.feature_columns(config(**said), schema)) == set(schema.names) - out


def test_without_a_column_there_is_nothing_to_learn_from() -> None:
    names = list(shop.INPUTS.names)
    with pytest.raises(TargetError, match="no column is left"):
        training.feature_columns(config(drop=names), shop.schema("binary"))


def test_a_target_that_no_batch_has_brought_has_no_labels() -> None:
    assert training.labels(shop.rows(5), "y") == []
    assert training.labels(pa.table({"y": ["b", None, "a", "b"]}), "y") == ["b", "a"]


def test_a_category_that_only_validation_rows_have_gets_no_code() -> None:
    problem = training.define(config(), shop.schema("binary"), ["no", "yes"])
    rows = shop.labelled("binary")
    later = rows.set_column(rows.schema.get_field_index("Channel"), "Channel", pa.array(["fax"] * len(rows)))
    spec = training.learn_features(problem, rows)
    assert features.unseen(spec, later) == {"Channel": len(rows)}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_model_is_fitted_on_both_parts_and_calibrated_by_one_that_saw_training_rows_only(task: str) -> None:
    rows = shop.labelled(task, 600)
    problem = training.define(config(task), shop.schema(task), training.labels(rows, "y"))
    parts = Parts(rows.slice(0, 400), rows.slice(400), rows.slice(0, 0), rows.slice(0, 0))
    spec = training.learn_features(problem, rows)
    train, whole = (training.fitted_part(problem, spec, part, 0)[1] for part in (parts.train, rows))
    validation = training.encoded_part(problem, spec, parts.validation)
    recipe = make_recipe(config(task), problem, FOUND, judged_rows=len(rows), rows=len(rows), device="cpu")
    fitted = fitting.fit_judged(problem, recipe, parts.open(), SplitSpec())
    params = booster.complete_parameters(task, FOUND.params, classes=len(problem.classes), device="cpu", seed=0)
    tuned, both = (booster.fit_booster(params, part, rounds=FOUND.rounds, names=spec.names) for part in (train, whole))
    ours, theirs = (booster.predict_raw(model, validation.X) for model in (fitted.model.booster, both))
    assert np.array_equal(ours, theirs)
    assert fitted.model.post == postprocess.fit_postprocess(
        task, problem.classes, validation.y, booster.predict_raw(tuned, validation.X)
    )
    assert len(fitted.curve.validation) == FOUND.rounds
