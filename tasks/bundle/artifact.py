"""A model to its bundle and back."""

from __future__ import annotations

import dataclasses
from pathlib import Path  # noqa: TC003 - part of a public signature
from typing import TYPE_CHECKING

from pydantic import ValidationError

from treadle.tasks.bundle.golden_rows import choose_golden_rows, evenly_spaced
from treadle.tasks.bundle.manifest import (
    FIX,
    MANIFEST,
    BundleFacts,
    Part,
    canonical_json,
    publish_bundle,
    sha256,
    verified,
)
from treadle.tasks.bundle.model import Model, Spec, predict_table
from treadle.tasks.dataset import Schema
from treadle.tasks.errors import BundleError, DataError
from treadle.tasks.recipe import Recipe

if TYPE_CHECKING:
    import pyarrow as pa
    from xgboost import Booster

REFERENCE_ROWS = 20_000
RECIPE = "recipe.json"
INTERVAL = "interval.ubj"
"""The second booster, of a model whose intervals need one."""

EXPECTED = "expected:"
"""Before the names of golden.parquet's columns that hold predictions."""

TOLERANCE = 1e-6
"""By which another machine's predictions on golden rows may differ, relative and absolute."""


def write_bundle(
    folder: Path,
    serving: Model,
    *,
    judged: Model | None = None,
    golden: pa.Table,
    reference: pa.Table,
    facts: BundleFacts,
    recipe: Recipe | None = None,
) -> str:
    """Write the bundle to `folder`, in the place of an earlier one, and return its digest.

    `serving` is the model that answers, `judged` the one that the gate saw (default: the same). `golden` are typed rows
    (at least one) to choose golden rows from, `reference` typed training rows. Readers never see half a bundle.
    """
    contents: dict[str, bytes] = {}
    boosters: dict[str, bytes] = {}
    for part, model in (("judged", judged or serving), ("serving", serving)):
        boosters[part] = bytes(model.booster.save_raw("ubj"))
        contents |= {f"{part}/model.ubj": boosters[part], f"{part}/spec.json": canonical_json(model.spec())}
        if model.interval is not None:
            contents[f"{part}/{INTERVAL}"] = bytes(model.interval.save_raw("ubj"))
    # expectations come from the booster as it will be loaded, on the CPU, wherever it was trained
    second = contents.get(f"serving/{INTERVAL}")
    as_loaded = dataclasses.replace(
        serving, booster=_booster(boosters["serving"]), interval=None if second is None else _booster(second)
    )
    columns = [name for name in serving.schema.names if name in reference.column_names]
    contents |= {
        "schema.json": _schema_json(serving),
        "golden.parquet": _parquet(_golden_rows(as_loaded, golden)),
        "reference.parquet": _parquet(
            reference.select(columns).take(evenly_spaced(range(reference.num_rows), REFERENCE_ROWS))
        ),
    }
    if recipe is not None:
        contents[RECIPE] = canonical_json(recipe)
    return publish_bundle(folder, contents, facts)


def load_bundle(folder: Path, digest: str | None = None, part: Part = "serving") -> Model:
    """Verify the bundle, then load one of its models; with `digest`, only from the bundle that bears it.

    A bundle of format 1 has one model, which was judged and answers. Raises BundleError where anything is missing,
    extra, changed, no plain file, or not as its formats say.
    """
    manifest, contents = verified(folder, digest)
    spec, schema = _parsed(folder, contents[manifest.name_in(part, "spec.json")])
    booster = _booster(contents[manifest.name_in(part, "model.ubj")])
    second = contents.get(manifest.name_in(part, INTERVAL))
    if (second is not None) != bool(spec.post.bands and spec.post.bands.quantiles):
        raise BundleError(f"{folder}: {INTERVAL} and spec.json disagree on the intervals", FIX)
    if tuple(booster.feature_names or ()) not in {(), spec.features.names} or (
        booster.num_features() != len(spec.features.features)
    ):
        raise BundleError(f"{folder}: booster and spec.json name other features", FIX)
    return Model(
        booster=booster,
        features=spec.features,
        post=spec.post,
        schema=schema,
        key=spec.key,
        target=spec.target,
        time=spec.time,
        timezone=spec.timezone,
        task=spec.task,
        missing=spec.missing,
        interval=None if second is None else _booster(second),
    )


def read_spec(folder: Path, digest: str | None = None) -> Spec:
    """All of the model but its booster, quickly: XGBoost is not imported. Verified like `load_bundle`."""
    manifest, contents = verified(folder, digest)
    return _parsed(folder, contents[manifest.name_in("serving", "spec.json")])[0]


def _parsed(folder: Path, text: bytes) -> tuple[Spec, Schema]:
    try:
        spec = Spec.model_validate_json(text)
        return spec, Schema(columns=spec.columns)
    except ValidationError as error:
        raise BundleError(f"{folder}: spec.json is not ours: {error.errors()[0]['msg']}", FIX) from error


def read_facts(folder: Path) -> BundleFacts:
    """Where the model comes from; verified like `load_bundle`."""
    return verified(folder)[0].facts


def read_recipe(folder: Path) -> Recipe | None:
    """How both models were made; None where the bundle does not say. Verified like `load_bundle`."""
    _, contents = verified(folder)
    if RECIPE not in contents:
        return None
    try:
        return Recipe.model_validate_json(contents[RECIPE])
    except ValidationError as error:
        raise BundleError(f"{folder}: {RECIPE} is not ours: {error.errors()[0]['msg']}", FIX) from error


def model_bytes(folder: Path, part: Part = "serving") -> int:
    """The size of one model's boosters in bytes, of a bundle that was just written."""
    names = ("model.ubj", INTERVAL)
    return sum(path.stat().st_size for name in names if (path := folder / part / name).exists())


def digest(folder: Path) -> str:
    """The sha256 (hex) of the bundle's manifest; verified like `load_bundle`."""
    verified(folder)
    return sha256((folder / MANIFEST).read_bytes())


def golden(folder: Path) -> tuple[pa.Table, pa.Table]:
    """The golden rows, typed, and the prediction columns that they must give; verified like `load_bundle`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(verified(folder)[1]["golden.parquet"]))
    expected = [name for name in table.column_names if name.startswith(EXPECTED)]
    return table.drop_columns(expected), table.select(expected).rename_columns(
        [name.removeprefix(EXPECTED) for name in expected]
    )


def reference(folder: Path) -> pa.Table:
    """The training rows, typed, that later data is compared with; verified like `load_bundle`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(verified(folder)[1]["reference.parquet"]))


def check_golden(model: Model, folder: Path) -> None:
    """Raise BundleError unless `model` gives the bundle's own predictions on its golden rows, within `TOLERANCE`.

    A label may differ only where the numbers beside it do: a probability that moved by a hair can cross the threshold.
    """
    import numpy as np

    rows, expected = golden(folder)
    try:
        answered = predict_table(model, rows)
    except DataError as error:
        raise BundleError(f"{folder}: golden rows do not fit the model: {error.message}", FIX) from error
    near, exact = np.ones(rows.num_rows, dtype=bool), np.ones(rows.num_rows, dtype=bool)
    for name in expected.column_names if model.task == "regression" else expected.column_names[1:]:
        ours, theirs = answered[name].to_numpy(), expected[name].to_numpy()
        near &= np.isclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)
        exact &= ours == theirs
    same_label = (answered["prediction"].to_pandas() == expected["prediction"].to_pandas()).to_numpy()
    if wrong := int((~near | (exact & ~same_label)).sum()):
        raise BundleError(f"{folder}: {wrong} of {rows.num_rows} golden rows give other predictions", FIX)


def _golden_rows(model: Model, candidates: pa.Table) -> pa.Table:
    """Golden rows with the predictions of `model` beside them."""
    inputs = model.schema.without(*(name for name in model.schema.names if name not in model.inputs))
    rows = choose_golden_rows(candidates.select(list(inputs.names)).cast(inputs.arrow()), model.features, model.booster)
    expected = predict_table(model, rows)
    for name in expected.column_names:
        rows = rows.append_column(EXPECTED + name, expected[name])
    return rows


def _schema_json(model: Model) -> bytes:
    """Input columns with kind, date format and whether they must be there; output columns with their kinds."""
    kinds = {bool: "boolean", int: "integer", float: "number", str: "text"}
    label = "number" if model.task == "regression" else kinds[type(model.post.classes[0])]
    columns = (model.schema.column(name) for name in model.inputs)
    described = {
        "inputs": [{**column.model_dump(), "required": column.name in model.required} for column in columns],
        "outputs": [
            {"name": name, "kind": label if name == "prediction" else "number"} for name in model.post.column_names()
        ],
    }
    return canonical_json(described)


def _booster(ubj: bytes) -> Booster:
    """A booster from bytes that are known to be good, to predict on the CPU."""
    from xgboost import Booster

    booster = Booster({"device": "cpu"})
    booster.load_model(bytearray(ubj))
    booster.set_param({"device": "cpu"})
    return booster


def _parquet(table: pa.Table) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(None), sink, write_page_checksum=True)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]
