from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import shop
from treadle.tasks import bundle
from treadle.tasks.bundle.golden_rows import _thresholds, evenly_spaced
from treadle.tasks.errors import BundleError, DataError
from treadle.tasks.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def model(request: pytest.FixtureRequest) -> bundle.Model:
    return shop.model(request.param)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "bundle"
    shop.write(folder, shop.model("binary"))
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return shutil.copytree(written, tmp_path / "bundle")


def test_a_loaded_model_predicts_what_the_written_one_did(model, tmp_path):
    digest = shop.write(tmp_path / "bundle", model)
    loaded, rows = bundle.load_bundle(tmp_path / "bundle", digest), shop.rows(200, seed=3)
    assert bundle.predict_table(loaded, rows).equals(bundle.predict_table(model, rows))
    assert (loaded.features, loaded.post, loaded.schema) == (model.features, model.post, model.schema)
    assert (loaded.key, loaded.missing, loaded.timezone) == (model.key, model.missing, model.timezone)
    bundle.check_golden(loaded, tmp_path / "bundle")


def test_the_same_model_gives_the_same_digest(tmp_path):
    first, second = (shop.write(tmp_path / name, shop.model("binary")) for name in ("a", "b"))
    assert first == second == bundle.digest(tmp_path / "a")
    assert first == hashlib.sha256((tmp_path / "a" / "manifest.json").read_bytes()).hexdigest()


def test_every_file_is_in_the_manifest_with_hash_and_size(written):
    files = json.loads((written / "manifest.json").read_text())["files"]
    there = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    assert set(files) == there - {"manifest.json"}
    for name, entry in files.items():
        data = (written / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


@pytest.mark.parametrize("until", [None, 7, 2.5, date(2013, 8, 31), datetime(2013, 8, 31, tzinfo=UTC)])
def test_facts_come_back_as_they_went(tmp_path, until):
    model, facts = shop.model("regression"), shop.FACTS.model_copy(update={"trained_until": until})
    table = shop.labelled("regression", 50)
    bundle.write_bundle(tmp_path / "bundle", model, golden=table, reference=table, facts=facts)
    assert bundle.read_facts(tmp_path / "bundle") == facts
    assert type(bundle.read_facts(tmp_path / "bundle").trained_until) is type(until)


def test_writing_again_takes_the_earlier_ones_place(folder):
    before = bundle.digest(folder)
    after = shop.write(folder, shop.model("regression"))
    assert bundle.digest(folder) == after != before
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_what_a_killed_write_left_is_no_hindrance(folder):
    aside = folder.with_name(".bundle.part")
    aside.mkdir()
    (aside / "half").write_text("")
    shop.write(folder, shop.model("regression"))
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


FILES = [
    *(f"{part}/{name}" for part in ("judged", "serving") for name in ("model.ubj", "spec.json")),
    *("schema.json", "golden.parquet", "reference.parquet", "manifest.json"),
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("what", ["flipped", "truncated", "gone", "link"])
def test_a_damaged_file_is_refused(folder, tmp_path, name, what):
    path, digest = folder / name, bundle.digest(folder)
    data = path.read_bytes()
    if what == "flipped":
        path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    elif what == "truncated":
        path.write_bytes(data[:-1])
    else:
        path.rename(tmp_path / path.name)
        if what == "link":
            path.symlink_to(tmp_path / path.name)
    with pytest.raises(BundleError) as error:
        bundle.load_bundle(folder, digest)
    assert error.value.fix


@pytest.mark.parametrize("name", ["extra.txt", "loader.py", ".hidden", "model.pkl"])
def test_an_extra_file_is_refused(folder, name):
    (folder / name).write_text("import this")
    with pytest.raises(BundleError, match="does not belong here"):
        bundle.load_bundle(folder)


@pytest.mark.parametrize("name", ["code", "serving/code", "judged/judged"])
def test_an_extra_folder_is_refused(folder, name):
    (folder / name).mkdir()
    with pytest.raises(BundleError, match=f"'{name}' is no plain file"):
        bundle.load_bundle(folder)


@pytest.mark.parametrize("name", ["serving/loader.py", "judged/model.pkl"])
def test_an_extra_file_beside_a_booster_is_refused(folder, name):
    (folder / name).write_text("import this")
    with pytest.raises(BundleError, match=f"'{name}' does not belong here"):
        bundle.load_bundle(folder)


@pytest.mark.parametrize("part", ["judged", "serving"])
def test_a_linked_folder_of_a_booster_is_refused(folder, tmp_path, part):
    (folder / part).rename(tmp_path / part)
    (folder / part).symlink_to(tmp_path / part)
    with pytest.raises(BundleError, match=f"'{part}' is no plain file"):
        bundle.load_bundle(folder)


def test_the_judged_and_the_serving_model_are_kept_apart_and_the_serving_one_answers(tmp_path):
    judged, serving, table = shop.model("binary"), shop.model("binary", count=300), shop.labelled("binary")
    bundle.write_bundle(tmp_path / "bundle", serving, judged=judged, golden=table, reference=table, facts=shop.FACTS)
    rows = shop.rows(200, seed=3)
    answers = {
        part: bundle.predict_table(bundle.load_bundle(tmp_path / "bundle", part=part), rows)
        for part in ("judged", "serving")
    }
    assert answers["judged"].equals(bundle.predict_table(judged, rows))
    assert answers["serving"].equals(bundle.predict_table(serving, rows))
    assert not answers["judged"].equals(answers["serving"])
    default = bundle.load_bundle(tmp_path / "bundle")
    assert bundle.predict_table(default, rows).equals(answers["serving"])
    bundle.check_golden(default, tmp_path / "bundle")
    with pytest.raises(BundleError, match="golden rows give other predictions"):
        bundle.check_golden(judged, tmp_path / "bundle")


def test_a_recipe_is_read_as_it_was_written_and_may_be_missing(tmp_path, folder):
    recipe = Recipe(
        task="binary",
        metric="roc_auc",
        columns=("Items",),
        categories=(),
        monotone={"Items": 1},
        params={"eta": 0.1, "max_depth": 3},
        rounds=10,
        serving_rounds=11,
        seed=1,
        device="cpu",
        threads=1,
        refit="all",
    )
    table = shop.labelled("binary")
    model = shop.model("binary")
    bundle.write_bundle(tmp_path / "made", model, golden=table, reference=table, facts=shop.FACTS, recipe=recipe)
    assert bundle.read_recipe(tmp_path / "made") == recipe
    assert bundle.read_recipe(folder) is None


def test_another_digest_is_refused(folder):
    with pytest.raises(BundleError, match="digest is"):
        bundle.load_bundle(folder, "0" * 64)


def test_no_folder_is_an_error_of_ours(tmp_path):
    with pytest.raises(BundleError, match="there is no model bundle"):
        bundle.load_bundle(tmp_path / "nowhere")


def test_nothing_is_parsed_before_everything_is_verified(folder, monkeypatch):
    import xgboost

    def never(*_: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(xgboost.Booster, "load_model", never)
    (folder / "reference.parquet").write_bytes(b"")
    with pytest.raises(BundleError, match=r"'reference.parquet' is damaged"):
        bundle.load_bundle(folder)


def test_a_manifest_that_forgets_a_file_is_refused(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["golden.parquet"]
    (folder / "golden.parquet").unlink()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"'golden.parquet' is missing"):
        bundle.load_bundle(folder)


def test_another_model_does_not_give_the_golden_rows(folder):
    model = bundle.load_bundle(folder)
    moved = model.post.model_copy(update={"threshold": 2.0})
    other = bundle.Model(**{name: getattr(model, name) for name in model.__slots__} | {"post": moved})
    with pytest.raises(BundleError, match="golden rows give other predictions"):
        bundle.check_golden(other, folder)


def test_golden_rows_hold_nulls_unseen_categories_and_split_edges(folder):
    model, (rows, expected) = bundle.load_bundle(folder), bundle.golden(folder)
    assert rows.num_rows == expected.num_rows == 200
    assert rows.schema.names == list(model.inputs)
    assert expected.schema.names == ["prediction", "probability"]
    for source in model.features.sources:
        assert rows[source].null_count
    assert any(str(value).startswith("never seen") for value in rows["Channel"].to_pylist())
    assert 102 in rows["Branch"].to_pylist()
    prices = set(rows["Price [EUR]"].to_pylist())
    thresholds = _thresholds(model.booster)[model.features.names.index("Price (EUR)")]
    below = {one: float(np.nextafter(np.float32(one), np.float32(-np.inf))) for one in thresholds}
    assert any({one, below[one]} <= prices for one in thresholds)


def test_values_at_a_threshold_and_next_to_it_really_part(folder):
    from xgboost import DMatrix

    model = bundle.load_bundle(folder)
    index = model.features.names.index("Price (EUR)")
    threshold = max(_thresholds(model.booster)[index])
    row = np.zeros((2, len(model.features.names)), dtype=np.float32)
    row[:, index] = [np.float32(threshold), np.nextafter(np.float32(threshold), np.float32(-np.inf))]
    leaves = model.booster.predict(DMatrix(row, feature_names=list(model.features.names)), pred_leaf=True)
    assert (leaves[0] != leaves[1]).any()


def test_the_reference_is_training_rows_and_not_too_many(tmp_path, monkeypatch):
    from treadle.tasks.bundle import artifact

    monkeypatch.setattr(artifact, "REFERENCE_ROWS", 30)
    model, table = shop.model("regression"), shop.labelled("regression", 100)
    table = table.append_column("_batch_id", pa.array(["b"] * 100))
    bundle.write_bundle(tmp_path / "bundle", model, golden=table, reference=table, facts=shop.FACTS)
    reference = pq.read_table(tmp_path / "bundle" / "reference.parquet")
    assert reference.num_rows == 30
    assert reference.column_names == list(model.schema.names)


def test_schema_json_says_what_goes_in_and_what_comes_out(folder):
    schema = json.loads((folder / "schema.json").read_text())
    required = {one["name"]: one["required"] for one in schema["inputs"]}
    assert required.pop("Order No")
    assert all(required.values())
    assert "Always 1" not in required
    assert schema["outputs"] == [{"kind": "text", "name": "prediction"}, {"kind": "number", "name": "probability"}]


def test_inputs_are_the_key_and_the_features_or_without_a_key_everything_but_the_target():
    keyed, keyless = shop.model("regression"), shop.model("regression", key=())
    assert keyed.identity == ("Order No",)
    assert set(keyed.inputs) == {"Order No", *keyed.features.sources}
    assert keyless.identity == keyless.inputs == shop.INPUTS.names
    assert "Always 1" not in keyless.required


def test_no_rows_give_no_predictions_with_all_columns(model):
    empty = bundle.predict_table(model, shop.rows(0))
    assert empty.num_rows == 0
    assert empty.schema == bundle.predict_table(model, shop.rows(5)).schema


def test_a_batch_predicts_like_its_table(model):
    rows = shop.rows(50).combine_chunks()
    assert bundle.predict_table(model, rows.to_batches()[0]).equals(bundle.predict_table(model, rows))


def test_a_missing_column_is_named(model):
    with pytest.raises(DataError, match="column 'Channel' is missing"):
        bundle.predict_table(model, shop.rows(5).drop_columns("Channel"))


@pytest.mark.parametrize(("size", "count"), [(0, 3), (1, 3), (3, 3), (10, 3), (1000, 7)])
def test_a_spread_is_even_and_holds_both_ends(size, count):
    chosen = evenly_spaced(range(size), count)
    assert len(chosen) == min(size, count)
    assert len(set(chosen)) == len(chosen)
    if size:
        assert chosen[0] == 0
    if size >= 3:
        assert chosen[-1] == size - 1
