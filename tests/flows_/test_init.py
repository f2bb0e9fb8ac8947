"""`treadle init` writes what a person can sign and start from, or nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tests.customers import customers, rides, visits
from treadle.expectations.contract import load_suite
from treadle.flows.project import init
from treadle.infra.settings import Settings, at
from treadle.tasks.config import spec
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import DataError, TargetError, TreadleError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    folder = tmp_path / "home"
    folder.mkdir()
    return at(folder)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "Customer Churn 2021.csv"
    customers(600).to_csv(path, index=False)
    return path


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or not any(path.iterdir())}


def test_a_folder_becomes_a_home_with_config_suite_schema_and_inbox(home: Settings, table: Path) -> None:
    result = init.run_init(home, table, "Left?")
    assert everything(home.home) == {
        "pipelines/customer_churn_2021.toml",
        "pipelines/pipeline.schema.json",
        "expectations/customer_churn_2021.json",
        "data/inbox/customer_churn_2021",
        "data/inbox/customer_churn_2021_labels",
    }
    assert result.pipeline == "customer_churn_2021"
    assert (result.task, result.positive, result.key) == ("binary", "Yes", ("Customer ID",))
    loaded = load_config(home.home / "pipelines" / "customer_churn_2021.toml")
    assert loaded.data.source == (str(table), "data/inbox/customer_churn_2021/*")
    suite = load_suite(home.home / "expectations" / "customer_churn_2021.json")
    assert suite.schema.names == tuple(customers(1).columns)
    assert json.loads(result.model_dump_json())["rows"] == 600


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("customers.csv", ("customers.csv", "data/inbox/customers/*")),
        ("data/inbox/customers/one.csv", ("data/inbox/customers/*",)),
        ("data/customers.csv", ("data/customers.csv", "data/inbox/customers/*")),
    ],
)
def test_the_source_is_the_table_and_the_inbox_as_seen_from_home(
    home: Settings, place: str, source: tuple[str, ...]
) -> None:
    path = home.home / place
    path.parent.mkdir(parents=True, exist_ok=True)
    customers(300).to_csv(path, index=False)
    result = init.run_init(home, path, "Left?", name="customers")
    assert load_config(home.home / "pipelines" / "customers.toml").data.source == source
    assert result.inbox == str(home.home / "data" / "inbox" / "customers")


def test_csv_and_parquet_of_one_table_give_the_same_config_and_types(home: Settings, tmp_path: Path) -> None:
    frame = visits(800)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "b.parquet")
    texts, kinds = [], []
    for path in (tmp_path / "a.csv", tmp_path / "b.parquet"):
        result = init.run_init(home, path, "readmitted")
        text = (home.home / "pipelines" / f"{result.pipeline}.toml").read_text()
        texts.append(text.split("target =")[1].replace(f"inbox/{result.pipeline}_labels", "inbox/x_labels"))
        kinds.append(load_suite(home.home / "expectations" / f"{result.pipeline}.json").schema)
    assert texts[0] == texts[1]
    assert kinds[0] == kinds[1]


def test_a_folder_of_files_is_one_table(home: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "rides"
    folder.mkdir()
    frame = rides(2_400)
    frame[:1200].to_parquet(folder / "1.parquet")
    frame[1200:].to_parquet(folder / "2.parquet")
    for data in (folder, folder / "*.parquet"):
        result = init.run_init(home, data, "cnt", name="folder" if data == folder else "glob")
        assert result.rows == 2_400
        assert {one.column for one in result.drop} >= {"instant", "casual", "registered"}


def test_what_is_there_is_never_overwritten(home: Settings, table: Path) -> None:
    result = init.run_init(home, table, "Left?")
    before = {path: path.read_bytes() for path in home.home.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="never overwrites"):
        init.run_init(home, table, "Age")
    assert before == {path: path.read_bytes() for path in home.home.rglob("*") if path.is_file()}
    assert init.run_init(home, table, "Left?", name="again").pipeline == "again"
    assert result.pipeline != "again"


@pytest.mark.parametrize(
    ("target", "options", "error", "message"),
    [
        ("left", {}, TargetError, "no column 'left'"),
        ("Country", {}, TargetError, "holds one value ('US')"),
        ("Remarks", {}, TargetError, "no set of classes"),
        ("Left?", {"time": "Signed up at"}, UsageError, "no column 'Signed up at'"),
        ("Left?", {"key": ("Left?",)}, UsageError, "is the target"),
        ("Left?", {"name": "../x"}, UsageError, "lower-case letters"),
        ("Left?", {"task": "regression"}, TargetError, "needs numbers"),
    ],
)
def test_a_mistake_leaves_nothing_behind(
    home: Settings, table: Path, target: str, options: dict[str, str], error: type[TreadleError], message: str
) -> None:
    with pytest.raises(error) as caught:
        init.run_init(home, table, target, **options)  # type: ignore[arg-type]
    assert message in caught.value.message
    assert caught.value.fix
    assert caught.value.exit_code == 2
    assert everything(home.home) == set()


def test_tables_that_cannot_be_read_are_told_in_one_line(home: Settings, tmp_path: Path) -> None:
    cases = {
        "absent.csv": None,
        "empty.csv": b"",
        "utf16.csv": "a,y\n1,2\n".encode("utf-16"),
        "half.parquet": b"PAR1 and no more",
        "header.csv": b"a,y\n",
    }
    for name, content in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError if content is not None else UsageError) as caught:
            init.run_init(home, tmp_path / name, "y")
        assert "\n" not in caught.value.message
    assert everything(home.home) == set()


def test_half_written_leftovers_of_a_kill_do_not_stand_in_the_way(home: Settings, table: Path) -> None:
    (home.home / "pipelines").mkdir()
    (home.home / "pipelines" / ".customer_churn_2021.toml.part").write_text("half")
    init.run_init(home, table, "Left?")
    assert not list(home.home.rglob("*.part"))


def test_words_for_missing_go_into_the_config(home: Settings, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["1", "-", "3"] * 50, "y": ["yes", "no"] * 75})
    frame.to_csv(tmp_path / "t.csv", index=False)
    init.run_init(home, tmp_path / "t.csv", "y")
    assert load_config(home.home / "pipelines" / "t.toml").data.missing == (*spec.MISSING, "-")


@pytest.mark.parametrize("columns", [{}, {"review_id": range(100)}, {"text": [f"word {n} " * 9 for n in range(100)]}])
def test_a_table_that_tells_nothing_of_its_target_is_refused(
    home: Settings, tmp_path: Path, columns: dict[str, Iterable[object]]
) -> None:
    pd.DataFrame({**columns, "y": ["yes", "no"] * 50}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(TargetError, match="no column can predict 'y'"):
        init.run_init(home, tmp_path / "t.csv", "y")
    assert everything(home.home) == set()


def test_columns_to_question_are_noted_with_figures_in_result_and_config(home: Settings, tmp_path: Path) -> None:
    frame = customers(2_000)
    left = frame["Left?"] == "Yes"
    draw = np.random.default_rng(0)
    frame["close_reason"] = np.where(left & (draw.random(len(frame)) < 0.9), "moved", None)
    path = tmp_path / "leaky.csv"
    frame.to_csv(path, index=False)
    result = init.run_init(home, path, "Left?")
    (note,) = [remark for remark in result.remarks if remark.startswith("close_reason: its gaps")]
    assert "AUC 0.9" in note
    assert "put it into drop" in note
    text = (home.home / "pipelines" / "leaky.toml").read_text(encoding="utf-8")
    assert "# close_reason: its gaps alone tell the target" in text
    assert "close_reason" not in [dropped.column for dropped in result.drop]


def test_honest_customers_are_not_questioned(home: Settings, table: Path) -> None:
    assert [remark for remark in init.run_init(home, table, "Left?").remarks if "put it into drop" in remark] == []


def campaign(rows: int = 4_000) -> pd.DataFrame:
    """Calls in the order in which they were made, while an index falls and what counts turns; nothing dates them."""
    draw, t = np.random.default_rng(0), np.linspace(0, 1, rows)
    age, index = draw.integers(18, 80, rows), 5 - 4 * t + draw.normal(size=rows) * 0.1
    score = 3 * t - 2 + 0.1 * (age - 45) * (t - 0.5)
    said_yes = draw.random(rows) < 1 / (1 + np.exp(-score))
    return pd.DataFrame({"age": age, "index_3m": index.round(3), "subscribed": np.where(said_yes, "yes", "no")})


def test_rows_in_time_order_that_nothing_dates_are_split_by_the_order_of_the_file(
    home: Settings, tmp_path: Path
) -> None:
    campaign().to_csv(tmp_path / "calls.csv", index=False)
    result = init.run_init(home, tmp_path / "calls.csv", "subscribed")
    assert (result.order, result.split, result.time) == ("file", "time", "")
    config = load_config(home.home / "pipelines" / "calls.toml")
    assert (config.data.order, config.split.strategy) == ("file", "time")
    text = (home.home / "pipelines" / "calls.toml").read_text()
    assert "a model tells early rows from late ones" in text
    (remark,) = [one for one in result.remarks if one.startswith("tells early from late rows")]
    assert "index_3m (AUC 0.9" in remark or "index_3m (AUC 1.0" in remark


@pytest.mark.parametrize("by", ["shuffled", "age", "subscribed", "two halves"])
def test_the_same_rows_in_another_order_are_not(home: Settings, tmp_path: Path, by: str) -> None:
    rows = campaign().sample(frac=1, random_state=1)
    if by == "two halves":
        rows = pd.concat([half.sort_values("age") for half in (rows[:2_000], rows[2_000:])])
    elif by != "shuffled":
        rows = rows.sort_values(by, kind="stable")
    rows.to_csv(tmp_path / "calls.csv", index=False)
    result = init.run_init(home, tmp_path / "calls.csv", "subscribed")
    assert (result.order, result.split) == ("", "random")
    assert not any("early from late" in one for one in result.remarks)


def test_a_table_of_patients_keeps_its_groups_and_says_that_it_is_in_time_order(home: Settings, tmp_path: Path) -> None:
    rows = campaign()
    rows.insert(0, "patient_nbr", np.random.default_rng(1).integers(0, 900, len(rows)))
    rows.to_csv(tmp_path / "calls.csv", index=False)
    result = init.run_init(home, tmp_path / "calls.csv", "subscribed")
    assert (result.order, result.split, result.group) == ("", "group", "patient_nbr")
    assert any("use data.order = 'file' and strategy = 'time'" in one for one in result.remarks)
