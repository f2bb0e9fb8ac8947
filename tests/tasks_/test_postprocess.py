from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.tasks import calibration_maps, postprocess
from treadle.tasks.errors import TargetError
from treadle.tasks.postprocess import Post

BINARY = {
    "yes is positive": (["yes", "no"], None, ("no", "yes")),
    "so it is in capitals": (["Y", "n"], None, ("n", "Y")),
    "true": ([True, False], None, (False, True)),
    "one": ([0, 1], None, (0, 1)),
    "of two unknown words the greater": (["cat", "dog"], None, ("cat", "dog")),
    "named": (["cat", "dog"], "cat", ("dog", "cat")),
    "named as text": ([0, 1], "0", (1, 0)),
    "a number named as an integer": ([1.0, 2.0], 1, (2.0, 1.0)),
    "a boolean named as text": ([True, False], "false", (True, False)),
    "null is no label": ([None, "a", "b"], None, ("a", "b")),
}


@pytest.mark.parametrize("case", BINARY)
def test_binary_labels_are_negative_then_positive(case):
    labels, positive, expected = BINARY[case]
    assert postprocess.classes("binary", labels, positive, "y") == expected


def test_multiclass_labels_are_sorted_and_regression_has_none():
    assert postprocess.classes("multiclass", [3, 1, 2], None, "y") == (1, 2, 3)
    assert postprocess.classes("regression", [3.5, 1, 2], None, "y") == ()


REFUSED = {
    "no label": ("binary", [None], None, "no label in any row"),
    "single class": ("binary", ["a"], None, "single class, 'a'"),
    "single class of many": ("multiclass", ["a", None], None, "single class"),
    "three for binary": ("binary", ["a", "b", "c"], None, "3 classes .'a', 'b', 'c'.; binary needs two"),
    "unknown positive": ("binary", ["a", "b"], "c", "no label 'c' .it has 'a' and 'b'."),
    "too many classes": ("multiclass", list(range(101)), None, "101 classes .at most 100."),
    "words for regression": ("regression", ["a", "b"], None, "holds 'a', which is no number"),
    "booleans for regression": ("regression", [True, False], None, "holds True, which is no number"),
    "constant regression": ("regression", [2.0], None, "2.0 in every row"),
    "dates": ("multiclass", [date(2013, 1, 1), date(2013, 1, 2)], None, "holds dates"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_labels_that_do_not_make_the_task_are_refused_with_a_fix(case):
    task, labels, positive, says = REFUSED[case]
    with pytest.raises(TargetError, match=says) as error:
        postprocess.classes(task, labels, positive, "y")
    assert error.value.fix
    assert error.value.exit_code == 2


def test_labels_become_codes_and_values():
    column = pa.chunked_array([["b", "a"], ["b"]])
    assert postprocess.encode_target(column, "multiclass", ("a", "b")).tolist() == [1, 0, 1]
    assert postprocess.encode_target(pa.array([True, False]), "binary", (False, True)).tolist() == [1, 0]
    assert postprocess.encode_target(pa.array([1, 2]), "regression", ()).dtype == np.float64


@pytest.mark.parametrize(
    ("column", "says"), [(["a", None], "1 rows have no label"), (["a", "z"], "label 'z' is none of")]
)
def test_a_row_without_a_known_label_is_an_error(column, says):
    with pytest.raises(TargetError, match=says):
        postprocess.encode_target(pa.array(column), "binary", ("a", "b"))


def overconfident(rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    truth = draw.random(rows)
    y = (draw.random(rows) < truth).astype(np.float32)
    odds = np.log(np.clip(truth, 1e-3, 1 - 1e-3) / np.clip(1 - truth, 1e-3, 1))
    return y, (1 / (1 + np.exp(-3 * odds))).astype(np.float32)


def test_calibration_mends_an_overconfident_model_and_keeps_the_ranking():
    y, raw = overconfident()
    post = postprocess.fit_postprocess("binary", (0, 1), y, raw)
    p = postprocess.apply_postprocess(post, raw).p
    assert -np.log(np.where(y == 1, p, 1 - p)).mean() < -np.log(np.clip(np.where(y == 1, raw, 1 - raw), 1e-7, 1)).mean()
    order = np.argsort(raw, kind="stable")
    apart = np.diff(raw[order]) > 0
    assert (np.diff(p[order])[apart] > 0).all()
    assert p.min() > 0
    assert p.max() < 1


def test_a_calibrated_model_is_left_alone():
    draw = np.random.default_rng(0)
    raw = draw.random(2000).astype(np.float32)
    y = (draw.random(2000) < raw).astype(np.float32)
    post = postprocess.fit_postprocess("binary", (0, 1), y, raw)
    assert post.knots_x == ()
    assert np.array_equal(postprocess.apply_postprocess(post, raw).p, raw.astype(np.float64))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=60))
def test_knots_rise_strictly_from_0_to_1_whatever_the_rows(rows):
    raw = np.array([row[0] for row in rows], dtype=np.float64)
    knots_x, knots_y = calibration_maps.isotonic_knots(raw, np.array([row[1] for row in rows], dtype=np.float64))
    assert knots_x[0] == 0
    assert knots_x[-1] == 1
    assert (np.diff(knots_x) > 0).all()
    assert (np.diff(knots_y) > 0).all()


def test_the_threshold_parts_the_classes_where_they_part():
    raw = np.array([0.1, 0.2, 0.3, 0.6, 0.7], dtype=np.float32)
    post = postprocess.fit_postprocess("binary", ("no", "yes"), np.array([0, 0, 0, 1, 1], dtype=np.float32), raw)
    assert post.threshold == pytest.approx(0.45)
    assert postprocess.apply_postprocess(post, raw).columns["prediction"].to_pylist() == [
        "no",
        "no",
        "no",
        "yes",
        "yes",
    ]


def test_nine_tenths_of_new_values_lie_in_the_interval():
    draw = np.random.default_rng(0)
    y, raw = draw.normal(size=1000).astype(np.float32), np.zeros(1000, dtype=np.float32)
    post = postprocess.fit_postprocess("regression", (), y, raw)
    columns = postprocess.apply_postprocess(post, raw).columns
    new = draw.normal(size=20_000)
    inside = (new >= columns["lower"][0].as_py()) & (new <= columns["upper"][0].as_py())
    assert inside.mean() == pytest.approx(0.9, abs=0.02)


LABELS = {
    "text": (("no", "yes"), pa.string()),
    "bool": ((False, True), pa.bool_()),
    "integer": ((0, 1), pa.int64()),
    "number": ((0.5, 1.5), pa.float64()),
}


@pytest.mark.parametrize("case", LABELS)
def test_a_prediction_has_the_labels_own_type(case):
    labels, kind = LABELS[case]
    columns = postprocess.apply_postprocess(
        Post(task="binary", classes=labels), np.array([0.2, 0.7], dtype=np.float32)
    ).columns
    assert columns.schema.field("prediction").type == kind
    assert columns["prediction"].to_pylist() == list(labels)
    assert columns["probability"].to_pylist() == pytest.approx([0.2, 0.7])


def test_multiclass_has_a_probability_for_each_class_under_its_name():
    raw = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]], dtype=np.float32)
    columns = postprocess.apply_postprocess(Post(task="multiclass", classes=(1.0, 2.5, 3.0)), raw).columns
    assert columns.column_names == ["prediction", "probability_1", "probability_2.5", "probability_3"]
    assert columns["prediction"].to_pylist() == [2.5, 1.0]


@pytest.mark.parametrize("classes", [("a", "b"), (False, True), (0, 1), (0.0, 1.0), ("1", "2")])
def test_labels_keep_their_types_through_json(classes):
    back = Post.model_validate_json(Post(task="binary", classes=classes).model_dump_json())
    assert [(type(label), label) for label in back.classes] == [(type(label), label) for label in classes]
