"""Several boosters merged into one: its margin is the weighted mean of theirs."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.tasks import booster, ensemble
from treadle.tasks.booster import MatrixRows
from treadle.tasks.ensemble import Member
from treadle.tasks.features import Feature, FeatureSpec
from treadle.tasks.features.union import unite

ROWS = 400
OBJECTIVES = (
    "binary:logistic",
    "multi:softprob",
    "reg:squarederror",
    "reg:absoluteerror",
    "reg:quantileerror",
    "reg:pseudohubererror",
    "count:poisson",
    "reg:gamma",
    "reg:tweedie",
)
NAMES = tuple(f"f{number}" for number in range(6))


def table(objective: str, seed: int) -> MatrixRows:
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(ROWS, 6)).astype(np.float32)
    X[draw.random(X.shape) < 0.1] = np.nan
    signal = np.nan_to_num(X[:, 0]) + np.nan_to_num(X[:, 1] * X[:, 2]) + draw.normal(size=ROWS)
    y = {"binary": signal > 0.5, "multi": np.digitize(signal, [-1, 1]), "count": np.floor(np.exp(signal))}.get(
        objective.partition(":")[0], 30_000 + 1_000 * signal
    )
    if objective in ("reg:gamma", "reg:tweedie"):
        y = np.exp(signal)
    return MatrixRows(X, y.astype(np.float32))


def member(objective: str, seed: int, columns: tuple[int, ...], share: float, rounds: int = 40) -> Member:
    rows = table(objective, seed)
    rows = MatrixRows(rows.X[:, list(columns)], rows.y)
    extra = {"multi:softprob": {"num_class": 3}, "reg:quantileerror": {"quantile_alpha": 0.7}}.get(objective, {})
    params = {"objective": objective, "max_depth": 5, "eta": 0.1, "seed": seed, "device": "cpu", **extra}
    fitted = booster.fit_booster(params, rows, rounds=rounds, names=[NAMES[at] for at in columns])
    return Member(fitted, share, columns)


def mean_margin(members: list[Member], X: np.ndarray) -> np.ndarray:
    return sum(
        one.share * booster.predict_margin(one.booster, X[:, list(one.columns)]).astype(np.float64) for one in members
    )


def furthest(got: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_margin_is_the_weighted_mean_of_the_members_margins(objective: str) -> None:
    members = [
        member(objective, 1, (0, 1, 2, 3), 0.5),
        member(objective, 2, (5, 1, 2, 4), 0.3, rounds=13),
        member(objective, 3, (2, 0), 0.2, rounds=77),
    ]
    X = table(objective, 9).X
    merged = ensemble.merge(members, NAMES)
    assert furthest(booster.predict_margin(merged, X), mean_margin(members, X)) < 1e-5
    links = booster.from_margins(objective, mean_margin(members, X).astype(np.float32))
    assert booster.predict_raw(merged, X) == pytest.approx(links, rel=1e-4)
    assert merged.feature_names == list(NAMES)


def test_a_forest_of_two_thousand_trees_agrees_as_well() -> None:
    members = [member("binary:logistic", seed, (0, 1, 2, 3, 4, 5), 0.2, rounds=400) for seed in range(5)]
    X = table("binary:logistic", 9).X
    merged = ensemble.merge(members, NAMES)
    assert len(merged.get_dump()) == 2_001
    assert furthest(booster.predict_margin(merged, X), mean_margin(members, X)) < 1e-5


@settings(max_examples=20, deadline=None)
@given(
    shares=st.lists(st.floats(0.05, 1), min_size=1, max_size=4),
    order=st.permutations(range(6)),
    depth=st.integers(0, 6),
)
def test_any_shares_and_any_order_of_columns(shares: list[float], order: list[int], depth: int) -> None:
    rows = table("reg:squarederror", 4)
    params = {"objective": "reg:squarederror", "max_depth": depth, "device": "cpu", "grow_policy": "lossguide"}
    if not depth:
        params |= {"max_leaves": 6}
    members = []
    for number, share in enumerate(shares):
        columns = tuple(order[number:] + order[:number])
        own = MatrixRows(rows.X[:, list(columns)], rows.y)
        names = [NAMES[at] for at in columns]
        fitted = booster.fit_booster({**params, "seed": number}, own, rounds=5, names=names)
        members.append(Member(fitted, share / sum(shares), columns))
    merged = ensemble.merge(members, NAMES)
    assert furthest(booster.predict_margin(merged, rows.X), mean_margin(members, rows.X)) < 1e-5


def test_a_merged_booster_survives_its_file() -> None:
    members = [member("multi:softprob", seed, (0, 1, 2, 3, 4, 5), 0.5) for seed in range(2)]
    merged, X = ensemble.merge(members, NAMES), table("multi:softprob", 9).X
    loaded = xgboost.Booster({"device": "cpu"})
    loaded.load_model(merged.save_raw("ubj"))
    assert np.array_equal(booster.predict_raw(loaded, X), booster.predict_raw(merged, X))
    assert loaded.num_features() == 6


def test_one_member_is_itself() -> None:
    only = member("binary:logistic", 1, (0, 1, 2, 3, 4, 5), 1.0)
    assert ensemble.merge([only], NAMES) is only.booster


def statistic(value: float) -> Feature:
    return Feature(name="user", source="user", kind="statistic", levels=("a", "b"), values=(value, 0.5), fallback=0.4)


def test_equal_features_are_shared_and_others_of_one_name_are_numbered() -> None:
    age = Feature(name="age", source="age", kind="number")
    first, second, third = (FeatureSpec(features=(age, statistic(value))) for value in (0.1, 0.2, 0.1))
    united, columns = unite([first, second, third])
    assert united.names == ("age", "user", "user (2)")
    assert columns == ((0, 1), (0, 2), (0, 1))
    assert [feature.values for feature in united.features[1:]] == [(0.1, 0.5), (0.2, 0.5)]
