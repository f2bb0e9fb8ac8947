"""What a table makes of a config: each case is a choice that a person would make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd
import pytest

from tests.customers import customers, look, rides, visits
from treadle.tasks.dataset import names
from treadle.tasks.dataset.proposal import Proposal, Wanted
from treadle.tasks.errors import TargetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def propose(frame: pd.DataFrame, target: str, wanted: Wanted | None = None) -> Proposal:
    with duckdb.connect() as con:
        return look(con, frame, target, wanted)[1]


def labels(values: Sequence[object], **more: Sequence[object]) -> pd.DataFrame:
    return pd.DataFrame({"y": values, "x": np.arange(len(values)) % 7, **more})


def test_customers_are_understood() -> None:
    found = propose(customers(), "Left?")
    assert (found.aim.task, found.aim.positive) == ("binary", "Yes")
    assert (found.key, found.time, found.strategy) == (("Customer ID",), "Signed Up", "time")
    assert found.schema.column("Signed Up").format == "%m/%d/%Y"
    assert set(found.categories) == {"Plan Type"}
    assert set(found.drop) == {"Remarks", "Country"}
    assert found.schema.column("Zip Code").kind == "text"
    assert found.schema.column("Age").kind == "integer"
    assert found.schema.column("Uses App").kind == "boolean"


def test_rides_lose_their_row_number_and_the_parts_of_their_sum() -> None:
    found = propose(rides(12_000), "cnt")
    assert found.aim.task == "regression"
    assert (found.key, found.time, found.strategy) == (("dteday", "hr"), "dteday", "time")
    assert set(found.drop) == {"instant", "casual", "registered"}
    assert "casual + registered = cnt" in found.drop["casual"]
    assert set(found.categories) == {"season"}


def test_patients_who_come_back_stay_in_one_part() -> None:
    found = propose(visits(), "readmitted")
    assert (found.aim.task, found.key) == ("multiclass", ("encounter_id",))
    assert (found.strategy, found.group) == ("group", "patient_nbr")
    assert set(found.categories) == {"admission_type_id"}
    assert set(found.drop) == {"drug"}
    assert found.missing[:8] == ("", "?", "NA", "N/A", "NaN", "nan", "null", "NULL")


@pytest.mark.parametrize(
    ("values", "task", "positive"),
    [
        (["yes", "no"] * 50, "binary", "yes"),
        (["<=50K", ">50K"] * 50, "binary", ">50K"),
        (["No", "Perhaps"] * 50, "binary", "Perhaps"),
        (["non-fraud", "scam"] * 50, "binary", "scam"),
        (["a", "b", "b"] * 50, "binary", "a"),
        ([0, 1] * 50, "binary", 1),
        ([0.0, 1.0, np.nan] * 50, "binary", 1),
        ([1, 2, 1] * 50, "binary", 2),
        ([True, False] * 50, "binary", True),
        (["a", "b", "c"] * 50, "multiclass", None),
        ([0, 1, 2] * 50, "multiclass", None),
        ([0.0, 1.0, 2.0] * 50, "multiclass", None),
        (list(range(100)), "regression", None),
        ([1.5, 2.5, 3.5] * 50, "regression", None),
    ],
)
def test_the_target_tells_its_task(values: list[object], task: str, positive: object) -> None:
    found = propose(labels(values), "y")
    assert (found.aim.task, found.aim.positive) == (task, positive)
    if task != "regression":
        assert found.schema.column("y").kind in ("text", "integer", "boolean")
        assert type(found.aim.positive) is type(positive)


def test_whole_numbers_that_measure_are_not_classes() -> None:
    frame = pd.DataFrame({"quality": [3, 4, 5, 6, 7, 8] * 50, "x": range(300)})
    assert propose(frame, "quality").aim.task == "regression"
    assert propose(frame, "quality", Wanted(task="multiclass")).aim.task == "multiclass"


@pytest.mark.parametrize(
    ("frame", "target", "wanted", "message"),
    [
        (labels(["a"] * 9), "y", Wanted(), "holds one value ('a')"),
        (labels([None] * 9), "y", Wanted(), "holds no value"),
        (labels([f"word {number}" for number in range(300)]), "y", Wanted(), "no set of classes"),
        (labels(pd.date_range("2020", periods=9)), "y", Wanted(), "holds dates"),
        (labels(["a", "b"] * 9), "Y ", Wanted(), "there is no column 'Y '"),
        (labels(["a", "b", "c"] * 9), "y", Wanted(task="binary"), "binary needs two values"),
        (labels(["a", "b", "c"] * 9), "y", Wanted(task="regression"), "regression needs numbers"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(
    frame: pd.DataFrame, target: str, wanted: Wanted, message: str
) -> None:
    with pytest.raises(TargetError, match=r".*") as caught:
        propose(frame, target, wanted)
    assert message.replace("dates", "timestamps") in caught.value.message or message in caught.value.message
    assert caught.value.fix


def test_a_person_s_word_stands_if_it_can() -> None:
    frame = rides()
    found = propose(frame, "cnt", Wanted(key=("instant",), time="dteday"))
    assert found.key == ("instant",)
    assert "instant" not in found.drop
    with pytest.raises(UsageError, match="no column 'instnt'"):
        propose(frame, "cnt", Wanted(key=("instnt",)))
    with pytest.raises(UsageError, match="no order in time"):
        propose(customers(200), "Left?", Wanted(time="Gender"))


def test_a_key_that_names_many_rows_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="share"):
        propose(visits(), "readmitted", Wanted(key=("patient_nbr",)))


def test_a_unique_number_without_an_id_s_name_is_no_key() -> None:
    draw = np.random.default_rng(0)
    found = propose(labels(["a", "b"] * 50, population=draw.permutation(100) * 37), "y")
    assert found.key == ()
    assert "population" not in found.drop


@pytest.mark.parametrize(
    ("when", "key", "why"),
    [
        (pd.date_range("2020-01-01", periods=100).strftime("%Y-%m-%d"), ("when",), "a row a day"),
        (pd.date_range("2001-01-01", periods=400, freq="MS").strftime("%Y-%m-%d"), ("when",), "a row a day"),
        (pd.date_range("1950-01-01", periods=100, freq="271D").strftime("%Y-%m-%d"), (), "when differs in each"),
        (pd.date_range("2020-01-01", periods=100, freq="53min").strftime("%Y-%m-%d %H:%M"), (), "when differs in each"),
    ],
    ids=["days", "months", "days that may differ by chance", "moments"],
)
def test_days_name_the_rows_of_a_daily_table(when: pd.Index, key: tuple[str, ...], why: str) -> None:
    found = propose(labels(np.arange(len(when)) * 1.5 % 31, when=list(when)), "y")
    assert (found.key, found.time) == (key, "when")
    assert why in found.why["data.key"]
    assert "when" in found.informative_columns, "its season may tell"


@pytest.mark.parametrize(("shops", "key"), [(6, ("day", "Store")), (60, ())], ids=["each day each", "now and then"])
def test_the_day_and_the_shop_name_a_row_where_each_shop_has_one_a_day(shops: int, key: tuple[str, ...]) -> None:
    days = pd.date_range("2020-01-01", periods=600).strftime("%Y-%m-%d")
    cells = [(day, f"S{shop}") for day in days for shop in range(shops)]
    picked = np.random.default_rng(0).choice(len(cells), 200 if shops > 6 else len(cells), replace=False)
    told = {"day": [cells[one][0] for one in picked], "Store": [cells[one][1] for one in picked]}
    assert propose(labels(np.arange(len(picked)) * 1.5 % 31, **told), "y").key == key


@pytest.mark.parametrize(("nests", "kept"), [(120, True), (160, False)], ids=["two rows each", "fewer"])
def test_an_id_is_a_feature_from_two_rows_each_on_also_in_a_compound_key(nests: int, kept: bool) -> None:
    frame = labels(
        ["a", "b"] * 120,
        **{
            "Date Egg": [f"2020-{1 + i % 12:02}-{1 + i // 2 % 28:02}" for i in range(240)],
            "Individual ID": [f"N{i * nests // 240}A" for i in range(240)],
        },
    )
    found = propose(frame, "y")
    assert found.key == ("Date Egg", "Individual ID")
    assert ("Individual ID" in found.informative_columns) == kept
    if not kept:
        assert found.drop["Individual ID"] == "an id: 160 different ones in 240 rows; it stays in the key"


def test_a_time_split_is_not_proposed_where_the_newest_rows_lack_a_class() -> None:
    days = pd.date_range("2020-01-01", periods=200).strftime("%Y-%m-%d")
    found = propose(labels(["a", "b"] * 75 + ["a"] * 50, day=list(days)), "y")
    assert (found.time, found.strategy) == ("day", "random")
    assert "lack a class" in found.why["split.strategy"]


def test_a_birth_date_is_no_time_to_split_by() -> None:
    days = pd.date_range("1960-01-01", periods=200).strftime("%Y-%m-%d")
    found = propose(labels(["a", "b"] * 100, date_of_birth=list(days)), "y")
    assert (found.time, found.strategy) == ("", "random")


def test_columns_that_know_the_target_are_dropped_and_only_those() -> None:
    draw = np.random.default_rng(0)
    y = draw.integers(0, 2, 1_000)
    frame = pd.DataFrame(
        {
            "alive": np.where(y == 1, "yes", "no"),
            "probability": y * 0.5 + draw.random(1_000) * 0.4,
            "good": y + draw.normal(0, 0.5, 1_000),
            "y": y,
        }
    )
    assert set(propose(frame, "y").drop) == {"alive", "probability"}
    prices = pd.DataFrame({"sqm": draw.integers(20, 200, 1_000)})
    prices["price"] = prices.sqm * 3_000 + draw.normal(0, 10_000, 1_000)
    prices["log_price"] = np.log(prices.price + 100_000)
    assert set(propose(prices, "price").drop) == {"log_price"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("customerID", ("customer", "id")),
        ("customerid", ("customer", "id")),
        ("patient_nbr", ("patient", "nbr")),
        ("Unnamed: 0", ("unnamed", "0")),
        ("Monthly Spend ($)", ("monthly", "spend")),
        ("A1Cresult", ("a", "1", "cresult")),
        ("", ()),
    ],
)
def test_names_fall_into_words(name: str, words: tuple[str, ...]) -> None:
    assert names.words(name) == words


@pytest.mark.parametrize(
    ("text", "name"),
    [("Customer Churn 2021", "customer_churn_2021"), ("Ümsätze", "ms_tze"), ("__", "pipeline"), ("a" * 99, "a" * 60)],
)
def test_a_pipeline_s_name_is_safe(text: str, name: str) -> None:
    assert names.safe(text) == name


def ratings(rows: int, users: int, films: int, seed: int = 0) -> pd.DataFrame:
    """Each user rates each film once at most."""
    draw = np.random.default_rng(seed)
    cells = draw.choice(users * films, rows, replace=False)
    stars = draw.integers(1, 6, rows)
    return pd.DataFrame({"user_id": cells // films + 700, "film": cells % films, "stars": stars})


def test_users_and_films_that_cross_are_features_and_neither_is_a_group() -> None:
    found = propose(ratings(6_000, 200, 300), "stars", Wanted(task="regression"))
    assert (found.strategy, found.group) == ("random", "")
    assert set(found.categories) == {"user_id", "film"}
    assert {"user_id", "film"} <= set(found.informative_columns)
    assert any("group = 'user_id'" in remark for remark in found.remarks)
    as_text = ratings(6_000, 200, 300).astype({"user_id": str, "film": str}).add_prefix("a ")
    found = propose(as_text.rename(columns=lambda name: name[2:]).assign(film=lambda t: "f" + t.film), "stars")
    assert (found.strategy, "film" in found.informative_columns) == ("random", True)


def test_a_patient_stays_a_group_beside_the_hospital_that_treats_them() -> None:
    """A patient's visits are to one hospital, so the two do not cross; how to make the patient a feature is said."""
    draw = np.random.default_rng(0)
    patient = np.repeat(np.arange(400), 5)
    frame = pd.DataFrame(
        {
            "patient_nbr": patient * 3,
            "hospital_id": patient % 40,
            "dose": draw.normal(size=2_000),
            "better": draw.integers(0, 2, 2_000),
        }
    )
    found = propose(frame, "better")
    assert (found.strategy, found.group) == ("group", "patient_nbr")
    assert "patient_nbr" not in found.informative_columns
    assert set(found.categories) == {"hospital_id"}
    (remark,) = [remark for remark in found.remarks if "keeps the parts apart" in remark]
    assert "set strategy = 'random'" in remark
    assert "add 'patient_nbr' to data.categories" in remark


@pytest.mark.parametrize(
    ("name", "levels", "kept", "category"),
    [
        ("sku", 400, True, True),
        ("shop_id", 1_000, True, True),
        ("shop_id", 1_100, False, False),
        ("movie", 900, True, True),
        ("order_no", 2_000, False, False),
        ("population", 900, True, False),
        ("distance_m", 900, True, False),
    ],
)
def test_integers_that_name_who_comes_back_are_categories_however_many_there_are(
    name: str, levels: int, kept: bool, category: bool
) -> None:
    values = np.arange(2_000) * levels // 2_000
    found = propose(labels(["a", "b"] * 1_000, **{name: values[np.random.default_rng(0).permutation(2_000)]}), "y")
    assert (name in found.informative_columns) == kept
    assert (name in found.categories) == category


def test_names_of_things_come_back_and_kinds_of_things_do_not() -> None:
    assert all(names.is_thing(name) for name in ("film", "movieId", "SKU", "user", "customer_id", "store_nbr"))
    assert not any(names.is_thing(name) for name in ("admission_type_id", "film_length", "status_id", "age", "rating"))


@pytest.mark.parametrize(("name", "clock"), [("year", True), ("Month", True), ("yr_built", False), ("age", False)])
def test_a_clock_is_a_time_and_nothing_else(name: str, clock: bool) -> None:
    assert names.is_clock(name) == clock
