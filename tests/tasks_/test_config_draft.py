"""What `init` writes loads as it stands, whatever columns and values are called, and says why."""

from __future__ import annotations

import json
import tomllib

import duckdb
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.customers import customers, look, rides, visits
from treadle.tasks.config.draft import draft, value
from treadle.tasks.config.spec import MISSING, PipelineConfig
from treadle.tasks.dataset.kinds import ALWAYS_MISSING, STRAYS
from treadle.tasks.dataset.proposal import Wanted


def written(frame: pd.DataFrame, target: str, table: str = "table.csv") -> tuple[str, PipelineConfig]:
    with duckdb.connect() as con:
        facts, proposal = look(con, frame, target)
    text = draft("sales", table, [table, "data/inbox/sales/*"], facts, proposal, "data/inbox/sales_labels/*")
    return text, PipelineConfig.model_validate_json(json.dumps(tomllib.loads(text)))


def test_each_choice_stands_in_the_file() -> None:
    _, config = written(customers(), "Left?")
    assert config.data.source == ("table.csv", "data/inbox/sales/*")
    assert (config.data.target, config.data.task, config.data.positive) == ("Left?", "binary", "Yes")
    assert (config.data.key, config.data.time, config.split.strategy) == (("Customer ID",), "Signed Up", "time")
    assert config.labels.source == "data/inbox/sales_labels/*"
    _, config = written(visits(), "readmitted")
    assert (config.split.strategy, config.split.group, config.tune.metric) == ("group", "patient_nbr", "")
    _, config = written(rides(), "cnt")
    assert config.data.positive is None
    assert bool(config.labels.source) == bool(config.data.key)


def test_what_has_its_default_is_not_written() -> None:
    """Each key that stands in a drafted file changes what the file says."""
    for frame, target in ((customers(), "Left?"), (visits(), "readmitted"), (rides(), "cnt"), (plain(), "y")):
        text, config = written(frame, target)
        document = tomllib.loads(text)
        for section, keys in document.items():
            for key in keys if isinstance(keys, dict) else ():
                field = type(getattr(config, section)).model_fields[key]
                assert field.is_required() or getattr(getattr(config, section), key) != field.default, (section, key)
    assert "[split]" not in text.splitlines()
    assert "# [split] is random: no column dates the rows or names who comes back" in text
    assert "# no key: no column names the rows" in text


def plain() -> pd.DataFrame:
    """Nothing names or dates these rows."""
    return pd.DataFrame({"x": [n * 37 % 307 / 7 for n in range(300)], "y": ["a", "b", "b"] * 100})


def test_every_setting_has_its_reason_and_no_line_is_absurdly_long() -> None:
    for frame, target in ((customers(), "Left?"), (visits(), "readmitted"), (rides(), "cnt")):
        lines = written(frame, target)[0].splitlines()
        assert max(map(len, lines)) <= 120
        settings = [number for number, line in enumerate(lines) if " = " in line and not line.startswith(("#", "name"))]
        for number in settings:
            beside = "#" in lines[number] or lines[number].endswith("[")
            assert beside or lines[number - 1].startswith("#"), lines[number]


PRINTABLE = st.text(min_size=1, max_size=12).filter(lambda name: name.isprintable() and not name.startswith("_"))
LABELS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=9).filter(
    lambda label: label.strip() not in (*MISSING, *ALWAYS_MISSING) and label.strip().lower() not in STRAYS
)


@settings(max_examples=25, deadline=None)
@given(PRINTABLE, st.lists(LABELS, min_size=2, max_size=2, unique=True))
def test_any_names_and_labels_load_again(name: str, classes: list[str]) -> None:
    frame = pd.DataFrame({name: classes * 30, "other column": list(range(60))}, dtype=object).astype(str)
    with duckdb.connect() as con:
        facts, proposal = look(con, frame, name, Wanted(task="binary"))
    text = draft("sales", "a\nb.csv", ["x"], facts, proposal)
    config = PipelineConfig.model_validate_json(json.dumps(tomllib.loads(text)))
    assert config.data.target == name
    assert config.data.positive == proposal.aim.positive


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_a_toml_value(text: str) -> None:
    assert tomllib.loads(f"a = {value(text)}")["a"] == text
