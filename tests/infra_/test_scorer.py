"""The model as MLflow loads it gives the predictions of the batch path, whatever holds the rows."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import shop
from treadle.tasks import booster, bundle, features, parity
from treadle.tasks.interval import Bands

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

NEW_ROWS = 300


MODELS = [*(f"{kind} {task}" for kind in ("trees", "linear") for task in shop.LABELS), "quantiles regression"]


def model_of(name: str) -> bundle.Model:
    kind, task = name.split()
    if kind == "quantiles":
        return with_second_booster(shop.model(task))
    return shop.linear_model(task) if kind == "linear" else shop.model(task)


def with_second_booster(model: bundle.Model) -> bundle.Model:
    """The model with intervals around the quantiles of another booster."""
    rows = shop.labelled("regression", 300)
    part = booster.MatrixRows(features.encode(model.features, rows), rows[model.target].to_numpy().astype("float32"))
    params = {"objective": "reg:quantileerror", "quantile_alpha": "[0.05,0.95]", "max_depth": 3, "device": "cpu"}
    second = booster.fit_booster(params, part, rounds=5, names=model.features.names)
    bands = Bands(knots=(0.0, 9.0), lower=(-1.0, 0.5), upper=(1.0, 3.0), widen=1.1, quantiles="own")
    return dataclasses.replace(model, interval=second, post=model.post.model_copy(update={"bands": bands}))


@pytest.fixture(scope="module", params=MODELS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bundle.Model, Path]:
    model, folder = model_of(request.param), tmp_path_factory.mktemp("made") / "bundle"
    shop.write(folder, model)
    return bundle.load_bundle(folder), folder


@pytest.fixture(scope="module")
def load(scorer: ModuleType) -> Callable[[Path], Any]:
    """The shipped scorer of a bundle."""

    def load(folder: Path) -> Any:
        loaded = scorer.Scorer()
        loaded.load_context(SimpleNamespace(artifacts={"bundle": str(folder)}))
        return loaded

    return load


def as_people_write(rows: pa.Table) -> pd.DataFrame:
    """The rows as text: dates in their columns' formats, missing tokens of several sorts, local times."""
    frame = rows.to_pandas()
    local = frame["Placed at"].dt.tz_convert(shop.ZONE).dt.strftime("%Y-%m-%d %H:%M:%S")
    text = pd.DataFrame(
        {
            "Order No": frame["Order No"].astype(str),
            "Price [EUR]": frame["Price [EUR]"].map(repr),
            "Items": rows["Items"].cast(pa.string()).to_pandas(),
            "Gift": frame["Gift"].map({True: "True", False: "False"}),
            "Channel": frame["Channel"],
            "Size": frame["Size"],
            "Zip": frame["Zip"],
            "Branch": rows["Branch"].cast(pa.string()).to_pandas(),
            "Born": frame["Born"].map(lambda day: day.strftime("%Y%m%d") if day else None),
            "Due": frame["Due"].map(lambda day: day.isoformat() if day else None),
            "Placed at": local,
            "Paid": frame["Paid"].dt.tz_convert(shop.ZONE).dt.strftime("%d.%m.%Y %H:%M"),
            "Always 1": "1",
        }
    )
    for index, token in enumerate(["?", "", "NA", "-999"]):
        text[text.columns[2 + index]] = text[text.columns[2 + index]].where(
            frame.notna().to_numpy()[:, 2 + index], token
        )
    return text.where(text.notna(), None)


def assert_same_answers(model: bundle.Model, loaded: Any, rows: pa.Table, frame: pd.DataFrame) -> None:
    assert parity.disagreement(bundle.predict_table(model, rows), loaded.predict(None, frame)) == ""


def test_csv_through_pandas_gives_the_predictions_of_the_batch(made, duck, load):
    model, folder = made
    text = as_people_write(shop.rows(NEW_ROWS, seed=7))
    rows = shop.typed(duck, pa.Table.from_pandas(text, preserve_index=False), model.schema.without("y"))
    frame = pd.read_csv(io.StringIO(text.to_csv(index=False)))
    assert frame["Zip"].dtype == np.float64, "pandas took the texts for numbers, or this tests nothing"
    assert rows["Zip"].to_pylist()[0] in {"02134", "10001", "00501"}
    assert_same_answers(model, load(folder), rows, frame)


def test_parquet_through_pandas_gives_the_predictions_of_the_batch(made, tmp_path, load):
    model, folder = made
    rows = shop.rows(NEW_ROWS, seed=8)
    pq.write_table(rows, tmp_path / "rows.parquet")
    assert_same_answers(model, load(folder), rows, pd.read_parquet(tmp_path / "rows.parquet"))


FRAMES = {
    "nullable": lambda frame: frame.convert_dtypes(),
    "arrow": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "category": lambda frame: frame.astype(
        {"Channel": "category", "Size": "category", "Items": "category", "Branch": "category"}
    ),
    "object": lambda frame: frame.astype(object),
    "pd.NA in objects": lambda frame: frame.astype(object).where(frame.notna(), pd.NA),
    "numbers as text": lambda frame: frame.assign(Items=frame["Items"].map(lambda v: f" {v} ", na_action="ignore")),
    "integers for text": lambda frame: frame.assign(
        Size=frame["Size"].astype("Int64"), Zip=frame["Zip"].astype("float")
    ),
    "reordered, with extras": lambda frame: frame.assign(extra=1)[["extra", *reversed(frame.columns)]],
    "another index": lambda frame: frame.set_index(pd.Index(range(900, 900 - len(frame), -1))),
    "date as datetime64": lambda frame: frame.assign(
        Due=pd.to_datetime(frame["Due"]), Born=pd.to_datetime(frame["Born"])
    ),
    "date as integer": lambda frame: frame.assign(
        Born=pd.to_datetime(frame["Born"]).dt.strftime("%Y%m%d").astype("float")
    ),
    "naive local time": lambda frame: frame.assign(
        **{"Placed at": frame["Placed at"].dt.tz_convert(shop.ZONE).dt.tz_localize(None)}
    ),
    "nanoseconds": lambda frame: frame.assign(**{"Placed at": frame["Placed at"].dt.as_unit("ns")}),
    "another zone": lambda frame: frame.assign(Paid=frame["Paid"].dt.tz_convert("Asia/Tokyo")),
    "float32 flags": lambda frame: frame.assign(Gift=frame["Gift"].astype("float32")),
}


@pytest.mark.parametrize("shape", FRAMES)
def test_however_pandas_holds_a_column_the_prediction_is_the_same(made, shape, load):
    model, folder = made
    rows = shop.rows(120, seed=9)
    assert_same_answers(model, load(folder), rows, FRAMES[shape](rows.to_pandas()))


def test_golden_rows_agree_in_both_paths(made, load):
    folder = made[1]
    rows, expected = bundle.golden(folder)
    assert parity.disagreement(expected, load(folder).predict(None, rows.to_pandas())) == ""
    assert rows.num_rows == 200


def test_a_missing_column_is_named(made, load):
    folder = made[1]
    frame = shop.rows(5).to_pandas().drop(columns=["Channel", "Order No"])
    with pytest.raises(ValueError, match="missing columns: 'Order No', 'Channel'; the model needs"):
        load(folder).predict(None, frame)


def test_a_column_that_no_feature_is_made_of_may_be_missing(made, load):
    model, folder = made
    assert "Always 1" not in model.features.sources
    rows = shop.rows(20)
    assert_same_answers(model, load(folder), rows, rows.to_pandas().drop(columns="Always 1"))


def test_no_rows_give_no_predictions_with_all_columns(made, load):
    model, folder = made
    answer = load(folder).predict(None, shop.rows(3).to_pandas().head(0))
    assert list(answer.columns) == ["Order No", *model.post.column_names()]
    assert len(answer) == 0


def test_without_a_key_all_inputs_stand_beside_the_predictions(tmp_path, load):
    model = shop.model("regression", key=())
    shop.write(tmp_path / "bundle", model)
    answer = load(tmp_path / "bundle").predict(None, shop.labelled("regression", 10).to_pandas())
    assert list(answer.columns) == [*shop.INPUTS.names, "prediction", "lower", "upper"]
    assert list(model.identity) == list(shop.INPUTS.names)


def test_infinite_and_untypable_values_count_as_missing(scorer, made, load):
    _, folder = made
    frame = shop.rows(4).to_pandas().astype(object)
    frame.loc[0, ["Price [EUR]", "Items", "Gift"]] = [np.inf, 3.5, "maybe"]
    frame.loc[0, ["Born", "Due", "Placed at"]] = ["20131399", "yesterday", "2013-02-30"]
    blank = frame.copy()
    blank.loc[0, ["Price [EUR]", "Items", "Gift", "Born", "Due", "Placed at"]] = None
    loaded = load(folder)
    typed, missing = (scorer.encode(loaded.features, loaded.columns, loaded.reader, rows) for rows in (frame, blank))
    assert np.array_equal(typed, missing, equal_nan=True)


@pytest.mark.parametrize("what", ["changed", "extra", "gone", "link"])
def test_a_bundle_that_differs_from_its_manifest_is_refused(tmp_path, what, load):
    folder = tmp_path / "bundle"
    shop.write(folder, shop.model("regression"))
    data = (folder / "serving" / "model.ubj").read_bytes()
    if what == "changed":
        (folder / "serving" / "model.ubj").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif what == "extra":
        (folder / "loader.py").write_text("raise SystemExit")
    else:
        (folder / "serving" / "model.ubj").rename(tmp_path / "model.ubj")
        if what == "link":
            (folder / "serving" / "model.ubj").symlink_to(tmp_path / "model.ubj")
    with pytest.raises(ValueError, match="model bundle: "):
        load(folder)


STRANGER = """
import json, sys
sys.modules["treadle"] = None
import pandas as pd
import mlflow
for folder in sys.argv[1:]:
    frame = pd.read_csv(f"{folder}/rows.csv")
    mlflow.pyfunc.load_model(f"{folder}/model").predict(frame).to_parquet(f"{folder}/out.parquet")
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules} & {"tasks", "infra", "flows"})))
"""


def save_as_mlflow_model(scorer_file: Path, folder: Path, to: Path) -> None:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec
    from mlflow.types.schema import Schema as Signature

    inputs = json.loads((folder / "schema.json").read_text())["inputs"]
    signature = ModelSignature(
        inputs=Signature([ColSpec(AnyType(), one["name"], required=one["required"]) for one in inputs])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks for an input example, which would be a person's row
        mlflow.pyfunc.save_model(
            str(to),
            python_model=str(scorer_file),
            artifacts={"bundle": str(folder)},
            signature=signature,
            pip_requirements=["mlflow", "numpy", "pandas", "xgboost"],
        )


def test_a_process_that_cannot_import_treadle_loads_and_scores_every_kind(scorer_file, tmp_path, duck):
    text = as_people_write(shop.rows(NEW_ROWS, seed=11))
    models = {tmp_path / name.replace(" ", "-"): model_of(name) for name in MODELS}
    for place, model in models.items():
        shop.write(place / "bundle", model)
        save_as_mlflow_model(scorer_file, place / "bundle", place / "model")
        text.to_csv(place / "rows.csv", index=False)
    ran = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, *models], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == []
    for place, model in models.items():
        rows = shop.typed(duck, pa.Table.from_pandas(text, preserve_index=False), model.schema.without("y"))
        assert parity.disagreement(bundle.predict_table(model, rows), pd.read_parquet(place / "out.parquet")) == ""
