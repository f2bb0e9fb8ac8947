"""A pipeline's file: what it may say, and how it is told where it is wrong."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.tasks.config import spec
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import ConfigError

PIPELINES = Path(__file__).parents[2] / "pipelines"
LEAST = """name = "sales"

[data]
source = ["sales.csv", "data/inbox/sales/*"]
target = "left"
task = "binary"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "pipelines" / "sales.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_the_least_file_takes_every_default(tmp_path: Path) -> None:
    loaded = load_config(write(tmp_path, LEAST))
    assert loaded.data.source == ("sales.csv", "data/inbox/sales/*")
    assert (loaded.split.strategy, loaded.tune.trials, loaded.model.device) == ("random", 40, "auto")
    assert loaded.data.missing == spec.MISSING


WRONG = [
    ("data.drp", 7, "drp = []", "unknown key 'drp'", "nearest known key: drop"),
    ("data.drop", 7, 'drop = "a"', '"a" is not allowed', "a list"),
    ("data.drop", 7, 'drop = ["a", "left"]', "holds the target 'left'", "other than the target"),
    ("data.forbid", 7, 'forbid = ["a", "left"]', "holds the target 'left'", "other than the target"),
    ("data.forbid", 7, 'forbid = ["a", "a"]', "names 'a' twice", "each column once"),
    ("data.forbid", 8, 'key = ["a"]\nforbid = ["a"]', "'a' is the key, so no feature", "other than the key"),
    ("data.key", 7, 'key = ["a", "a"]', "names 'a' twice", "each column once"),
    ("data.weight", 7, 'weight = "left"', "'left' is the target", "no other role"),
    ("data.weight", 7, 'weight = "a"\ntime = "a"', "'a' is the time", "no other role"),
    ("data.weight", 8, 'key = ["a", "b"]\nweight = "a"', "'a' is part of the key", "no other role"),
    ("data.weight", 8, 'forbid = ["a"]\nweight = "a"', "'a' is in data.forbid", "no other role"),
    ("data.weight", 7, 'weight = "a"\n\n[split]\nstrategy = "group"\ngroup = "a"', "'a' is the group", "no other role"),
    ("model.monotone.a", 10, 'weight = "a"\n\n[model]\nmonotone = { a = 1 }', "'a' is the weight", "features"),
    ("data.max_bad_rows", 7, "max_bad_rows = 2", "2 is not allowed", "less than or equal to 1"),
    ("data.positive", 7, "positive = [1]", "[1] is not allowed", "text in quotes or true or false"),
    ("data.positive", 7, "positive = 1979-05-27", '"1979-05-27" is not allowed', "nothing here is a date"),
    ("data.positive", 7, "positive = nan", '"nan" is not allowed', "a finite number"),
    ("data.time", 7, 'time = "left"', "is the target 'left'", "other than the target"),
    ("data.timezone", 7, 'timezone = "Europe/Berln"', "no time zone is called 'Europe/Berln'", "Europe/Berlin"),
    ("split.strategy", 9, '\n[split]\nstrategy = "time"', "'time' needs data.time", "set data.time, or 'random'"),
    ("split.strategy", 9, '\n[split]\nstrategy = "group"', "'group' needs split.group", "set split.group"),
    ("split.strategy", 9, '\n[split]\nstrategy = "times"', '"times" is not allowed', "'time', 'random' or 'group'"),
    ("split.group", 9, '\n[split]\ngroup = "a"', "does not obey it", "strategy = 'group' or 'time'"),
    ("split.gap", 9, '\n[split]\ngap = "30d"', "a random split has no order in time", "strategy = 'time'"),
    ("labels.mature_after", 9, '\n[labels]\nmature_after = "3 months"', "is not allowed", "days or hours"),
    ("tune.metric", 9, '\n[tune]\nmetric = "rmse"', "'rmse' does not fit task = 'binary'", "roc_auc"),
    ("tune.metric", 9, '\n[tune]\nmetric = "rocauc"', "'rocauc' does not fit", "nearest: roc_auc"),
    ("tune.trials", 9, "\n[tune]\ntrials = 0", "0 is not allowed", "greater than or equal to 1"),
    ("tune.trials", 9, '\n[tune]\ntrials = "9"\nseed = -1', '"9" is not allowed', "also wrong: tune.seed"),
    ("gate.trials", 9, "\n[gate]\ntrials = 3", "unknown key 'trials'", "it belongs under [tune]"),
    ("model.monotone.left", 9, "\n[model]\nmonotone = { left = 1 }", "'left' is the target", "features"),
    ("model.monotone.a", 10, 'forbid = ["a"]\n\n[model]\nmonotone = { a = 1 }', "'a' is in data.forbid", "features"),
    ("model.monotone.a", 10, 'key = ["a"]\n\n[model]\nmonotone = { a = 1 }', "'a' is the key", "features"),
    ("model.monotone.a", 9, "\n[model]\nmonotone = { a = 3 }", "3 is not allowed", "-1, 0 or 1"),
    ("model.kind", 9, '\n[model]\nkind = "linear"\nmonotone = { a = 1 }', "a linear model does not obey", "'trees'"),
    ("score.flag", 9, "\n[score]\nflag = 1.5", "1.5 is not allowed", "less than 1"),
    ("score.threshold", 9, '\n[score]\nthreshold = "f2"', '"f2" is not allowed', "'f1', 'f1_macro'"),
    ("score.threshold", 9, "\n[score]\nthreshold = 1.0", "1.0 is not allowed", "less than 1"),
    ("score.cost.alarm", 9, "\n[score]\ncost = { miss = 5, alarm = 0 }", "0 is not allowed", "greater than 0"),
    ("score.cost.alarm", 9, "\n[score]\ncost = { miss = 5 }", "is missing", "under [score.cost]"),
    ("score.cost.mis", 9, "\n[score]\ncost = { mis = 5, alarm = 1 }", "unknown key 'mis'", "nearest known key: miss"),
    ("score.cost", 9, "\n[score]\ncost = 5", "5 is not allowed", ""),
    ("score.cost", 9, "\n[score]\ncost = { miss = 5, alarm = 1 }\nflag = 0.1", "set a threshold too", "one of cost"),
    ("score.flag", 9, "\n[score]\nflag = 0.1\nthreshold = 0.5", "score.threshold set", "one of cost"),
    ("model.max_depth", 9, "\n[model]\nmax_depth = 0", "0 is not allowed", "greater than or equal to 1"),
    ("model.interactions", 9, '\n[model]\ninteractions = [["a", "left"]]', "'left' is the target", "features"),
    ("model.objective", 9, '\n[model]\nobjective = "reg:gamma"', "does not fit task = 'binary'", "binary:logistic"),
    ("model.objective", 9, '\n[model]\nobjective = "my loss"', "is not allowed", ""),
    ("model.target_transform", 9, '\n[model]\ntarget_transform = "log1p"', "no amount", "regression"),
    ("model.huber_slope", 9, "\n[model]\nhuber_slope = 1.0", "parameter of 'reg:pseudohubererror'", "only with"),
    ("kennels", 8, "\n[kennels]", "unknown key 'kennels'", "known here: name, data"),
    ("tunes", 8, "\n[tunes]", "unknown key 'tunes'", "nearest known key: tune"),
]


@pytest.mark.parametrize(("key", "line", "added", "message", "allowed"), WRONG)
def test_a_mistake_is_told_with_line_key_value_and_what_is_allowed(
    tmp_path: Path, key: str, line: int, added: str, message: str, allowed: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, LEAST + added + "\n"))
    assert caught.value.message.startswith(f"pipelines/sales.toml:{line}: {key}: ")
    assert message in caught.value.message
    assert allowed in caught.value.fix
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LEAST + "drop = \n", "pipelines/sales.toml:7: is not TOML"),
        (LEAST + "[data]\n", "pipelines/sales.toml:7: is not TOML"),
        (LEAST + 'drop = ["a"', "pipelines/sales.toml:7: is not TOML"),
        (LEAST.replace("sales", "other"), "pipelines/sales.toml:1: name: "),
        (LEAST.replace('"sales"', '"Sales 1"'), "pipelines/sales.toml:1: name: "),
        ("", "pipelines/sales.toml:1: name: is missing"),
        (LEAST.replace('task = "binary"', ""), "pipelines/sales.toml:3: data.task: is missing"),
        (LEAST.replace("target", "targt"), "pipelines/sales.toml:5: data.targt: unknown key 'targt'"),
        (LEAST.replace('"binary"', '"multiclass"\npositive = "a"'), "pipelines/sales.toml:7: data.positive: "),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused_where_it_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    assert caught.value.message.startswith(message)


def test_files_that_cannot_be_read_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "absent.toml")
    path = write(tmp_path, "")
    path.write_bytes("name = 'ü'".encode("utf-16"))
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_config(path)


def test_the_digest_changes_with_what_training_obeys_and_with_nothing_else(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        return load_config(write(tmp_path, text)).digest()

    same = [LEAST, LEAST + "max_bad_rows = 0.5\n", LEAST.replace("sales.csv", "b.csv"), LEAST + "[tune]\ntrials = 40\n"]
    same.append(LEAST + '[gate]\npromote = "manual"\n')
    other = [LEAST + "[tune]\nseed = 1\n", LEAST + 'drop = ["a"]\n', LEAST + "[gate]\nalpha = 0.1\n"]
    timed = 'time = "a"\n[split]\nstrategy = "time"\n'
    other += [LEAST + '[labels]\nmature_after = "9d"\n', LEAST + timed, LEAST + timed + 'gap = "9d"\n']
    same.append(LEAST + '[score]\noutput = "out"\n')
    other += [LEAST + f"[score]\n{line}\n" for line in ("flag = 0.1", "flag = 0.2", "cost = { miss = 5, alarm = 1 }")]
    other += [LEAST + f"[score]\nthreshold = {value}\n" for value in ('"f1"', '"accuracy"', "0.3")]
    assert len({digest(text) for text in same}) == 1
    assert len({digest(text) for text in [LEAST, *other]}) == 1 + len(other)


def test_a_key_that_is_added_leaves_the_digest_of_a_file_without_it_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(more: str) -> str:
        return load_config(write(tmp_path, LEAST + more)).digest()

    assert digest("") == digest("forbid = []\n") == digest('weight = ""\n')
    assert digest('weight = "a"\n') != digest("")
    assert digest('forbid = ["a"]\n') != digest("")
    dumped = load_config(write(tmp_path, LEAST)).model_dump(mode="json")
    for section, key in spec.ADDED:
        assert key in dumped[section]
    left_out = digest("")
    monkeypatch.setattr(spec, "ADDED", ())
    assert digest("") != left_out, "the key with its default is in the dump, and not in the digest"


@pytest.mark.parametrize(
    ("task", "model", "key"),
    [
        ("multiclass", "monotone = { a = 1 }", "model.monotone.a"),
        ("multiclass", "scale_pos_weight = 2.0", "model.scale_pos_weight"),
        ("regression", 'monotone = { a = 1 }\nobjective = "reg:absoluteerror"', "model.objective"),
        ("regression", 'monotone = { a = 1 }\nobjective = "reg:quantileerror"', "model.objective"),
        ("regression", 'objective = "binary:logistic"', "model.objective"),
        ("regression", 'monotone = { a = 1 }\n[tune]\nmetric = "pinball_0.9"', "tune.metric"),
        ("regression", 'objective = "reg:quantileerror"\n[tune]\nmetric = "pinball_0.9"', "tune.metric"),
        ("regression", '[tune]\nmetric = "pinball_1.5"', "tune.metric"),
        ("binary", '[tune]\nmetric = "pinball_0.9"', "tune.metric"),
    ],
)
def test_what_a_task_or_objective_cannot_keep_is_refused(tmp_path: Path, task: str, model: str, key: str) -> None:
    text = LEAST.replace('task = "binary"', f'task = "{task}"')
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, f"{text}\n[model]\n{model}\n"))
    assert caught.value.key == key


def test_objective_and_fixed_parameters_are_obeyed_and_count_for_the_digest(tmp_path: Path) -> None:
    def read(model: str) -> spec.PipelineConfig:
        text = LEAST.replace('task = "binary"', 'task = "regression"')
        return load_config(write(tmp_path, f"{text}\n[model]\n{model}\n"))

    asked = read('objective = "reg:tweedie"\ntweedie_variance_power = 1.2\nmax_leaves = 31\ngrow_policy = "lossguide"')
    assert asked.model.fixed == {"max_leaves": 31, "grow_policy": "lossguide"}
    assert asked.model.wanted.objective == "reg:tweedie"
    assert asked.model.wanted.parameters == {"tweedie_variance_power": 1.2}
    assert read('[tune]\nmetric = "pinball_0.9"').tune.metric == "pinball_0.9"
    assert read('objective = "losses:own"').model.wanted.objective == "losses:own"
    each = ["", 'objective = "reg:gamma"', 'target_transform = "none"', "max_bin = 64", 'interactions = [["a", "b"]]']
    assert len({read(model).digest() for model in each}) == len(each)


def test_a_forbidden_column_may_be_dropped_a_category_a_slice_and_a_part_of_the_key(tmp_path: Path) -> None:
    roles = 'key = ["a", "b"]\ncategories = ["a"]\ndrop = ["a"]\nforbid = ["a"]\n[gate]\nslices = ["a"]\n'
    assert load_config(write(tmp_path, LEAST + roles)).data.forbid == ("a",)


@given(st.text(max_size=40))
def test_any_text_is_a_config_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "sales.toml"
    path.write_text(LEAST + text, encoding="utf-8", errors="surrogatepass", newline="\n")
    with suppress(ConfigError):
        load_config(path)


def test_the_json_schema_is_current() -> None:
    written = (PIPELINES / "pipeline.schema.json").read_text()
    assert written == spec.schema_text(), "renew it: python -m treadle.tasks.config.spec > ..."


def test_the_json_schema_describes_every_key_and_refuses_others() -> None:
    schema = spec.json_schema()
    sections = [schema, *schema["$defs"].values()]
    assert all(section["additionalProperties"] is False for section in sections)
    for section in schema["$defs"].values():
        assert all(setting.get("description") for setting in section["properties"].values())
    json.dumps(schema)


def test_the_worked_example_is_short_and_loads() -> None:
    path = PIPELINES / "flights.toml"
    assert len(path.read_text().splitlines()) <= 40
    loaded = load_config(path)
    assert loaded.split.strategy == "time"
    assert loaded.gate.slices == ("carrier", "origin")
