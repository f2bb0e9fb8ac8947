"""The scorer's arithmetic, from typed values to prediction columns, is that of the batch path, to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from treadle.tasks import features, parity
from treadle.tasks.coefficients import Coefficients, linear_booster
from treadle.tasks.features import dates, encoding
from treadle.tasks.features.linear import linear_input
from treadle.tasks.interval import Bands, own_quantiles
from treadle.tasks.linear import levels_alike
from treadle.tasks.postprocess import Post, apply_postprocess

if TYPE_CHECKING:
    from types import ModuleType

LARGEST = float(np.finfo(np.float32).max)
FLOATS = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, LARGEST, -LARGEST, LARGEST * 1.5, 1e300, 1e-300]))
CHANCES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=12)


@example(values=[np.inf, -np.inf, np.nan, 1e39, -1e39, LARGEST])
@given(values=st.lists(FLOATS))
def test_numbers_become_the_same_float32(scorer: ModuleType, values: list[float]) -> None:
    raw = np.array(values, dtype=np.float64)
    ours, theirs = encoding.to_float32(raw), scorer.to_float32(raw)
    assert theirs.dtype == np.float32
    assert ours.tobytes() == theirs.tobytes()


@given(levels=st.sets(st.integers(-20, 20), max_size=8), values=st.lists(st.one_of(st.none(), st.integers(-25, 25))))
def test_integers_become_the_same_codes(scorer: ModuleType, levels: set[int], values: list[int | None]) -> None:
    known = [str(level) for level in sorted(levels)]
    feature = features.Feature(name="c", source="c", kind="code", levels=tuple(known))
    ours = features.encode(features.FeatureSpec(features=(feature,)), pa.table({"c": pa.array(values, pa.int64())}))
    series = pd.Series(values, dtype="Int64")
    theirs = scorer.integer_codes(scorer.Reader((), ""), series, known)
    assert np.array_equal(ours[:, 0], theirs.astype(np.float32), equal_nan=True)


@pytest.mark.parametrize("part", get_args(features.DatePart))
@given(moments=st.lists(st.one_of(st.none(), st.datetimes())))
def test_a_moment_has_the_same_parts(scorer: ModuleType, part: features.DatePart, moments: list[object]) -> None:
    local = np.array(moments, dtype="datetime64[us]")
    ours, theirs = dates.date_part(local, part), scorer.date_part(local, part)
    assert ours.dtype == theirs.dtype == np.float64
    assert np.array_equal(ours, theirs, equal_nan=True)


SCALES = st.builds(features.Scale, fill=st.floats(-1e6, 1e6), mean=st.floats(-1e6, 1e6), std=st.floats(1e-300, 1e6))


@settings(deadline=None)
@given(values=st.lists(FLOATS), scale=SCALES, kind=st.sampled_from(["number", "missing", "indicator"]))
def test_inputs_of_a_line_become_the_same_float32(
    scorer: ModuleType, values: list[float], scale: features.Scale, kind: str
) -> None:
    feature = features.Feature(name="x", source="x", kind=kind, scale=scale if kind == "number" else None)
    raw = np.array(values, dtype=np.float64)
    ours = encoding.to_float32(linear_input(feature, raw))
    theirs = scorer.to_float32(scorer.linear_input(feature.model_dump(mode="json"), raw))
    assert ours.tobytes() == theirs.tobytes()
    assert np.isfinite(ours).all()


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.floats(width=32, allow_infinity=False)] * 2), max_size=6),
    weights=st.lists(st.tuples(*[st.floats(-1e9, 1e9)] * 2), min_size=1, max_size=3),
)
def test_a_line_has_the_same_margins(
    scorer: ModuleType, rows: list[tuple[float, ...]], weights: list[tuple[float, ...]]
) -> None:
    by_feature = tuple(zip(*weights, strict=True))
    line = Coefficients(weights=by_feature, intercept=tuple(range(len(weights))), spread=(1.0, 1.0))
    objective = "reg:squarederror" if len(weights) == 1 else "multi:softprob"
    X = np.array(rows, dtype=np.float32).reshape(-1, 2)
    theirs = scorer.linear_margins(linear_booster(line, objective=objective, names=["a", "b"]), X)
    assert line.margins(X).tobytes() == theirs.tobytes()
    one_by_one = [line.margins(X[index : index + 1]) for index in range(len(X))]
    assert np.concatenate([theirs[:0], *one_by_one]).tobytes() == theirs.tobytes()


@settings(deadline=None)
@given(
    levels=st.sets(st.sampled_from(["7", "007", "7.0", "TRUE", "true", "web", " 7", "1e3", "1000"]), min_size=1),
    values=st.lists(st.sampled_from(["7", "007", 7, 7.0, 1000, True, "true", "web", "new", None]), min_size=1),
)
def test_a_level_has_its_input_where_it_has_its_code(
    scorer: ModuleType, levels: set[str], values: list[object]
) -> None:
    feature = features.Feature(name="c", source="c", kind="code", levels=tuple(sorted(levels)))
    reader, series = scorer.Reader((), ""), pd.Series(values, dtype=object)
    codes = scorer.text_codes(reader, series, feature.levels, features.READ_AS_MISSING)
    for code, level in enumerate(feature.levels):
        own = scorer.text_codes(reader, series, levels_alike(level, feature.levels), features.READ_AS_MISSING)
        assert ((own == 0) == (codes == code)).all()


def assert_same_columns(scorer: ModuleType, post: Post, raw: np.ndarray) -> None:
    expected = apply_postprocess(post, raw).columns
    answered = scorer.postprocess(post.model_dump(mode="json"), raw, pd.RangeIndex(len(raw)))
    assert list(answered.columns) == expected.column_names
    assert parity.disagreement(expected, answered) == ""


@settings(deadline=None)
@given(
    chances=CHANCES,
    position=st.integers(0, 11),
    classes=st.sampled_from([("no", "yes"), (0, 1), (False, True), (0.0, 2.5)]),
    inner=st.sets(st.floats(0.01, 0.99), max_size=4).map(sorted),
)
def test_chances_become_the_same_columns(
    scorer: ModuleType, chances: list[float], position: int, classes: tuple[object, ...], inner: list[float]
) -> None:
    raw = np.array(chances, dtype=np.float32)
    knots = (0.0, *inner, 1.0) if inner else ()
    post = Post(task="binary", classes=classes, knots_x=knots, knots_y=tuple(np.sqrt(knots).tolist()))
    threshold = float(apply_postprocess(post, raw).columns["probability"][position % len(raw)].as_py())
    assert_same_columns(scorer, post.model_copy(update={"threshold": threshold}), raw)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 3), min_size=1, max_size=8))
@pytest.mark.parametrize("classes", [("a", "b", "c"), (1, 2, 3), (1.0, 2.5, 3.0)], ids=str)
def test_scores_of_classes_become_the_same_columns(
    scorer: ModuleType, classes: tuple[object, ...], rows: list[tuple[float, ...]]
) -> None:
    assert_same_columns(scorer, Post(task="multiclass", classes=classes), np.array(rows, dtype=np.float32))


SLOPES, SHIFTS = st.floats(0.02, 5), st.floats(-10, 10)


@settings(deadline=None)
@given(chances=CHANCES, slopes=st.tuples(SLOPES, SLOPES), shift=SHIFTS)
def test_chances_that_slopes_calibrate_become_the_same_columns(
    scorer: ModuleType, chances: list[float], slopes: tuple[float, float], shift: float
) -> None:
    post = Post(task="binary", classes=("no", "yes"), slopes=slopes, intercepts=(shift,))
    raw = np.array(chances, dtype=np.float32)
    assert_same_columns(scorer, post, raw)
    answered = scorer.postprocess(post.model_dump(mode="json"), raw, pd.RangeIndex(len(raw)))
    assert answered["probability"].to_numpy().tobytes() == apply_postprocess(post, raw).p.tobytes()


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 3), min_size=1, max_size=8),
    slopes=st.one_of(st.tuples(SLOPES), st.tuples(SLOPES, SLOPES, SLOPES)),
    shifts=st.tuples(SHIFTS, SHIFTS, SHIFTS),
)
def test_scores_of_classes_that_slopes_calibrate_become_the_same_columns(
    scorer: ModuleType, rows: list[tuple[float, ...]], slopes: tuple[float, ...], shifts: tuple[float, ...]
) -> None:
    post = Post(task="multiclass", classes=("a", "b", "c"), slopes=slopes, intercepts=shifts)
    raw = np.array(rows, dtype=np.float32)
    assert_same_columns(scorer, post, raw)
    answered = scorer.postprocess(post.model_dump(mode="json"), raw, pd.RangeIndex(len(raw)))
    assert np.array_equal(answered.iloc[:, 1:].to_numpy(dtype=np.float64), apply_postprocess(post, raw).p)


def test_a_bundle_of_an_earlier_treadle_names_no_slopes(scorer: ModuleType) -> None:
    raw, post = np.array([0.25, 0.5], dtype=np.float32), Post(task="binary", classes=("no", "yes"))
    earlier = {key: value for key, value in post.model_dump().items() if key not in ("slopes", "intercepts")}
    assert Post.model_validate(earlier) == post
    assert scorer.postprocess(earlier, raw, pd.RangeIndex(2))["probability"].tolist() == [0.25, 0.5]


@settings(deadline=None)
@given(
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1),
    width=st.floats(0, 1e6),
    offset=st.one_of(st.just(0.0), st.floats(-1e18, 1e18)),
)
def test_amounts_become_the_same_columns(scorer: ModuleType, values: list[float], width: float, offset: float) -> None:
    post = Post(task="regression", half_width=width, offset=offset)
    assert_same_columns(scorer, post, np.array(values, dtype=np.float32))


@settings(deadline=None)
@given(
    values=st.lists(st.floats(-5, 40, width=32), min_size=1),
    width=st.floats(0, 50),
    smear=st.floats(0.5, 20),
    scale=st.sampled_from([("log1p", "log1p"), ("", "log1p")]),
    offset=st.sampled_from([0.0, 21.25, -3.0]),
)
@example(values=[800.0, -800.0], width=1.0, smear=1.0, scale=("log1p", "log1p"), offset=0.0)
def test_amounts_learned_as_logarithms_become_the_same_columns(
    scorer: ModuleType, values: list[float], width: float, smear: float, scale: tuple[str, str], offset: float
) -> None:
    transform, spread = scale
    raw = np.array(values, dtype=np.float32)
    post = Post(
        task="regression",
        half_width=width,
        transform=transform,  # type: ignore[arg-type]
        smear=smear,
        spread=spread,  # type: ignore[arg-type]
        offset=offset if transform else 0.0,
    )
    assert_same_columns(scorer, post, raw if transform else np.abs(raw))


OFFSETS = st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2).map(sorted), min_size=1, max_size=6)


@settings(deadline=None)
@given(
    values=st.lists(st.floats(-5, 40, width=32), min_size=1),
    offsets=OFFSETS,
    widen=st.floats(0, 10),
    scale=st.sampled_from(["", "log1p"]),
    transform=st.sampled_from(["", "log1p"]),
    bounds=st.sampled_from([(None, None), (0.0, None), (0.0, 1.0), (None, 0.0)]),
)
@example(values=[800.0, -0.0], offsets=[[-1.0, 1e3]], widen=1, scale="log1p", transform="log1p", bounds=(0.0, None))
def test_bands_become_the_same_columns(
    scorer: ModuleType,
    values: list[float],
    offsets: list[list[float]],
    widen: float,
    scale: str,
    transform: str,
    bounds: tuple[float | None, float | None],
) -> None:
    lower, upper = zip(*offsets, strict=True)
    knots = tuple(float(knot) for knot in range(len(offsets)))
    bands = Bands(
        scale=scale,  # type: ignore[arg-type]
        knots=knots,
        lower=lower,
        upper=upper,
        widen=widen,
        floor=bounds[0],
        ceiling=bounds[1],
    )
    post = Post(task="regression", transform=transform, smear=1.5, bands=bands)  # type: ignore[arg-type]
    assert_same_columns(scorer, post, np.array(values, dtype=np.float32))


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.floats(-5, 40, width=32)] * 3), min_size=1, max_size=20),
    offsets=OFFSETS,
    quantiles=st.sampled_from(["own", "log1p"]),
    scale=st.sampled_from(["", "log1p"]),
)
def test_intervals_of_a_second_booster_become_the_same_columns(
    scorer: ModuleType, rows: list[tuple[float, ...]], offsets: list[list[float]], quantiles: str, scale: str
) -> None:
    raw = np.array(rows, dtype=np.float32)
    lower, upper = zip(*offsets, strict=True)
    bands = Bands(
        scale=scale,  # type: ignore[arg-type]
        knots=tuple(float(knot) for knot in range(len(offsets))),
        lower=lower,
        upper=upper,
        widen=1.1,
        floor=0.0 if scale else None,
        quantiles=quantiles,  # type: ignore[arg-type]
    )
    post = Post(task="regression", bands=bands)
    expected = apply_postprocess(post, raw[:, 0], own_quantiles(bands.quantiles, raw[:, 1:])).columns
    answered = scorer.postprocess(post.model_dump(mode="json"), raw[:, 0], pd.RangeIndex(len(raw)), raw[:, 1:])
    assert parity.disagreement(expected, answered) == ""
    assert np.isfinite(expected["lower"].to_numpy()).all()


def test_a_bundle_of_an_earlier_treadle_names_no_transform(scorer: ModuleType) -> None:
    raw, post = np.array([1.0, 2.0], dtype=np.float32), Post(task="regression", half_width=3.0)
    newer = ("transform", "smear", "spread", "bands")
    earlier = {key: value for key, value in post.model_dump().items() if key not in newer}
    assert Post.model_validate(earlier) == post
    answered = scorer.postprocess(earlier, raw, pd.RangeIndex(2))
    assert answered["upper"].tolist() == [4.0, 5.0]
