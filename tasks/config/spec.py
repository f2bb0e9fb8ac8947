"""A pipeline's one file, `pipelines/<name>.toml`: read into frozen values, or refused by line.

Each section is a spec that lives beside its consumer. Here they are composed, and what no section can see alone
is checked: a target in `drop`, a time split without a time column, a metric that does not fit the task.

`python -m treadle.tasks.config.spec > pipelines/pipeline.schema.json` renews the JSON schema for editors.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from treadle.tasks.alerts import AlertsSpec
from treadle.tasks.booster import BoosterSpec
from treadle.tasks.dataset.schema import nearest
from treadle.tasks.dataset.split import SplitSpec
from treadle.tasks.fairness import CRITERIA
from treadle.tasks.gate import GateSpec
from treadle.tasks.horizon import Horizon
from treadle.tasks.influence import quantile_of
from treadle.tasks.model_keys import ModelKeys
from treadle.tasks.objective import LEAVES_RESET, PARAMETER_OF, TASK_OBJECTIVES, XGBOOST_KINDS
from treadle.tasks.performance import MonitorSpec
from treadle.tasks.retention import RetentionSpec
from treadle.tasks.retrain import RetrainSpec
from treadle.tasks.schedule import Cron  # noqa: TC001 - a field's type
from treadle.tasks.search import TuneSpec
from treadle.tasks.threshold import ThresholdKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

Task = Literal["binary", "multiclass", "regression"]
Name = Annotated[str, Field(min_length=1)]

MISSING = ("", "?", "NA", "N/A", "NaN", "nan", "null", "NULL")

ADDED = (
    *(("data", key) for key in ("forbid", "weight", "order")),
    *(("split", "gap"), ("split", "duplicates"), ("gate", "detect_share"), ("gate", "fresh")),
    *(("tune", key) for key in ("folds", "ensemble")),
    ("model", "kind"),
    *(("gate", key) for key in ("groups", "group_criterion", "group_margin")),
    *(("model", key) for key in ModelKeys.model_fields),
)
"""Keys that an earlier treadle did not have: with their default they leave the digest of a file as it was."""

PREDICTED = ("prediction", "probability", "lower", "upper", "purpose", "model_version", "model_digest", "data_version")
"""Names that stand beside the key's own in the predictions table, which knows no case."""


class DataSpec(BaseModel):
    """Where the rows are, which column is to be predicted, and what the other columns are for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: Name | tuple[Name, ...] = Field(
        description="file, folder or glob, or a list of them; relative paths start at the project's folder"
    )
    target: Name = Field(description="column to predict")
    task: Task = Field(description="binary: two classes; multiclass: more; regression: a number")
    key: tuple[Name, ...] = Field((), description="columns that together name a row; empty: none do")
    time: str = Field(default="", description="column with the row's date or timestamp; needed by time splits")
    order: Literal["", "file"] = Field(
        default="",
        description="file: rows are in time order although no column dates them, file after file; a time split goes "
        "by it",
    )
    timezone: str = Field(default="", description="IANA zone of timestamps that name none; empty: UTC")
    positive: str | bool | int | float | None = Field(
        None, description="the class whose probability is predicted (binary only)"
    )
    categories: tuple[Name, ...] = Field((), description="integer columns whose values are names, not amounts")
    drop: tuple[Name, ...] = Field(default=(), description="columns that the model may not see")
    forbid: tuple[Name, ...] = Field(
        default=(),
        description="columns that no model may use, for legal reasons or as leaks: no features, and a champion that "
        "uses one is out of service",
    )
    weight: str = Field(
        default="",
        description="column of row weights, for fits, scores and calibration; rows of weight 0 neither train nor "
        "judge; empty: all rows count alike",
    )
    missing: tuple[str, ...] = Field(default=MISSING, description="text that means: no value")
    max_bad_rows: float = Field(0.05, ge=0, le=1, description="above this share of bad rows a batch is refused whole")


class LabelsSpec(BaseModel):
    """Where labels that come after their rows arrive: files with the key, the target and perhaps a time."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: str | tuple[Name, ...] = Field(
        default="", description="file, folder or glob of late labels, or a list of them; empty: none come late"
    )
    observed_at: str = Field(
        default="", description="column that says when a label was observed, the newest counts; empty: by arrival"
    )
    mature_after: Horizon = Field(
        default="",
        description="age from which on the labels of rows are complete, such as '90d': younger rows neither train nor "
        "judge; empty: every labelled row does",
    )


class ScoreSpec(ThresholdKeys):
    """Where predictions go besides the table, when they are made, and which rows are called positive."""

    output: str = Field(default="", description="folder for prediction files besides the table; empty: none")
    schedule: Cron = Field(default="", description="when the server scores by itself, as cron has it; empty: never")


class PipelineConfig(BaseModel):
    """One pipeline."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, title="treadle pipeline")

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        description="the file's name without .toml: lower-case letters, digits, - and _",
    )
    data: DataSpec
    labels: LabelsSpec = LabelsSpec()
    split: SplitSpec = SplitSpec()
    tune: TuneSpec = TuneSpec()
    model: BoosterSpec = BoosterSpec()
    gate: GateSpec = GateSpec()
    score: ScoreSpec = ScoreSpec()
    monitor: MonitorSpec = MonitorSpec()
    retrain: RetrainSpec = RetrainSpec()
    alerts: AlertsSpec = AlertsSpec()
    retention: RetentionSpec = RetentionSpec()

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        for clash in _clashes(self):
            raise PydanticCustomError("clash", "{message}", clash._asdict())
        return self

    def digest(self) -> str:
        """Sha256 (hex) of what training obeys: the same digest on the same data version is the same run.

        Left out is what cannot change a model or its verdict: the name, where files come from and go to, how many
        bad rows a batch may have, what happens after training, and a key of `ADDED` with its default.
        """
        after = dict.fromkeys(("labels", "score", "monitor", "retrain", "alerts", "retention"), True)
        partly = {"data": {"source", "max_bad_rows"}, "gate": {"promote"}}
        obeyed = self.model_dump(mode="json", exclude={"name": True, **after, **partly})
        for section, key in ADDED:
            if getattr(getattr(self, section), key) == type(getattr(self, section)).model_fields[key].default:
                del obeyed[section][key]
        if self.labels.mature_after:
            obeyed["labels"] = {"mature_after": self.labels.mature_after}
        if self.score.declared:
            obeyed["score"] = self.score.declared
        if self.gate.detect is None:
            obeyed["gate"]["detect"] = 0.02  # what it was by default
        text = json.dumps(obeyed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


class Clash(NamedTuple):
    """Two settings that cannot both hold: the dotted key to correct, what is wrong and what is allowed."""

    key: str
    message: str
    allowed: str


def _clashes(config: PipelineConfig) -> Iterator[Clash]:
    yield from _column_clashes(config)
    yield from _label_clashes(config)
    yield from _task_clashes(config)
    yield from _split_clashes(config)
    yield from _group_clashes(config)
    if config.data.timezone and not _is_timezone(config.data.timezone):
        near = nearest(config.data.timezone, _timezones())
        yield Clash(
            "data.timezone",
            f"no time zone is called {config.data.timezone!r}",
            f"an IANA name such as {near or 'Europe/Berlin'}",
        )


def _column_clashes(config: PipelineConfig) -> Iterator[Clash]:
    """The target may have no second role, and no column is named twice."""
    data = config.data
    roles = {
        "data.drop": data.drop,
        "data.forbid": data.forbid,
        "data.key": data.key,
        "data.categories": data.categories,
    }
    for key, columns in roles.items():
        if data.target in columns:
            yield Clash(key, f"holds the target {data.target!r}", "columns other than the target")
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            yield Clash(key, f"names {twice[0]!r} twice", "each column once")
    for name in data.key:
        if name.casefold() in PREDICTED or name.casefold().startswith("probability_"):
            yield Clash("data.key", f"{name!r} is the name of a column of predictions", "rename the column, or no key")
    if data.target == data.time:
        yield Clash("data.time", f"is the target {data.target!r}", "a column other than the target")
    yield from _weight_clashes(config)
    yield from _linear_clashes(config)
    named = data.key[0] if len(data.key) == 1 and data.key[0] != data.time else ""
    if named and named in data.forbid:
        yield Clash("data.forbid", f"{named!r} is the key, so no feature of any model", "columns other than the key")
    no_features = dict.fromkeys(data.drop, "in data.drop") | dict.fromkeys(data.forbid, "in data.forbid")
    no_features |= {data.target: "the target", config.split.group: "the group", named: "the key"}
    no_features |= {data.weight: "the weight"}
    for name in config.model.monotone:
        if name and name in no_features:
            message = f"{name!r} is {no_features[name]}, so no feature"
            yield Clash(f"model.monotone.{name}", message, "columns that are features")
    for name in dict.fromkeys(name for group in config.model.interactions for name in group):
        if name in no_features:
            message = f"{name!r} is {no_features[name]}, so no feature"
            yield Clash("model.interactions", message, "columns that are features")


def _linear_clashes(config: PipelineConfig) -> Iterator[Clash]:
    """A linear model obeys nothing that is said of trees."""
    model = config.model
    if model.kind != "linear":
        return
    if any(model.monotone.values()):
        yield Clash("model.kind", "a linear model does not obey model.monotone", "'trees', or no model.monotone")
    own = {"interactions": model.interactions, "objective": model.objective != "auto"}
    own |= {"target_transform": model.target_transform != "auto", **dict.fromkeys(model.fixed, True)}
    for key, wanted in own.items():
        if wanted:
            yield Clash(f"model.{key}", "a linear model does not obey it", 'kind = "trees", or leave it out')


def _weight_clashes(config: PipelineConfig) -> Iterator[Clash]:
    """A weight says how much a row counts, so it names, dates, parts and describes none."""
    data = config.data
    if not data.weight:
        return
    roles = {data.target: "the target", data.time: "the time", config.split.group: "the group"}
    roles |= dict.fromkeys(data.categories, "in data.categories") | dict.fromkeys(data.forbid, "in data.forbid")
    roles |= dict.fromkeys(data.key, "the key" if len(data.key) == 1 else "part of the key")
    if role := roles.get(data.weight):
        yield Clash("data.weight", f"{data.weight!r} is {role}", "a column that has no other role")


def _label_clashes(config: PipelineConfig) -> Iterator[Clash]:
    """A late label finds its row by the key."""
    labels, data = config.labels, config.data
    if labels.source and not data.key:
        yield Clash("labels.source", "late labels find their rows by data.key, which names no column", "set data.key")
    if labels.observed_at == data.target:
        yield Clash("labels.observed_at", f"is the target {data.target!r}", "a column other than the target")
    if labels.source and "observed_at" in (name.casefold() for name in (*data.key, data.target)):
        yield Clash("labels.source", "observed_at is a column of key or target, and our name for a time", "rename it")


def _task_clashes(config: PipelineConfig) -> Iterator[Clash]:
    data, metric = config.data, config.tune.metric
    if data.positive is not None and data.task != "binary":
        yield Clash("data.positive", f"a {data.task} task has no positive class", "only with task = 'binary'")
    if metric:
        from treadle.tasks.metrics import METRICS

        fitting = METRICS[data.task]
        named = (*fitting, "pinball_0.5 and other quantiles") if data.task == "regression" else fitting
        if metric not in fitting and not (data.task == "regression" and quantile_of(metric)):
            yield Clash("tune.metric", f"{metric!r} does not fit task = {data.task!r}", _choices(metric, named))
    yield from _threshold_clashes(config)
    yield from _model_clashes(config.model, data.task)
    wanted = config.model.wanted.metric
    if wanted and quantile_of(metric) and metric != wanted:
        yield Clash("tune.metric", f"{metric!r} is not the quantile of the objective", f"{wanted}, or no metric")
    if quantile_of(metric) and any(config.model.monotone.values()):
        yield Clash("tune.metric", f"XGBoost keeps no direction of model.monotone with {metric!r}", "no model.monotone")


def _threshold_clashes(config: PipelineConfig) -> Iterator[Clash]:
    """One rule says which rows are called positive, and only where there is a positive class."""
    declared = list(config.score.declared)
    if len(declared) > 1:
        others = " and ".join(f"score.{key}" for key in declared[1:])
        yield Clash(f"score.{declared[0]}", f"{others} set a threshold too", "one of cost, flag and threshold")
    if declared and config.data.task != "binary":
        message = f"a {config.data.task} task has no positive class"
        yield Clash(f"score.{declared[0]}", message, "only with task = 'binary'")


def _model_clashes(model: BoosterSpec, task: Task) -> Iterator[Clash]:
    """What the task, the objective or another key of [model] rules out."""
    bound, objective = [name for name, way in model.monotone.items() if way], model.objective
    if objective.partition(":")[0] in XGBOOST_KINDS and objective not in TASK_OBJECTIVES[task]:
        allowed = ("auto", *TASK_OBJECTIVES[task])
        message = f"{objective!r} does not fit task = {task!r}"
        yield Clash("model.objective", message, f"{_choices(objective, allowed)}, module:function")
    if bound and task == "multiclass":
        message = "no direction can be kept by all classes: their probabilities sum to 1"
        yield Clash(f"model.monotone.{bound[0]}", message, "only with task = 'binary' or 'regression'")
    if bound and objective in LEAVES_RESET:
        message = f"XGBoost keeps no direction of model.monotone with {objective!r}"
        yield Clash("model.objective", message, "'reg:pseudohubererror' or 'auto', or no model.monotone")
    if task != "regression" and model.target_transform == "log1p":
        yield Clash("model.target_transform", f"a {task} target is no amount", "only with task = 'regression'")
    if task != "binary" and model.scale_pos_weight is not None:
        yield Clash("model.scale_pos_weight", f"a {task} task has no positive class", "only with task = 'binary'")
    for key, name in PARAMETER_OF.items():
        if getattr(model, key) is not None and objective != name:
            yield Clash(f"model.{key}", f"is a parameter of {name!r}", f"only with objective = {name!r}")


def _group_clashes(config: PipelineConfig) -> Iterator[Clash]:
    """A margin between groups needs columns and a criterion of the task."""
    gate, target, task = config.gate, config.data.target, config.data.task
    if target in gate.groups:
        yield Clash("gate.groups", f"holds the target {target!r}", "columns other than the target")
    if twice := [name for name in gate.groups if gate.groups.count(name) > 1]:
        yield Clash("gate.groups", f"names {twice[0]!r} twice", "each column once")
    criterion, allowed = gate.group_criterion, CRITERIA[task]
    if criterion and criterion not in allowed:
        message = f"{criterion!r} does not fit task = {task!r}"
        yield Clash("gate.group_criterion", message, _choices(criterion, allowed))
    if gate.group_margin is not None and not criterion:
        message = "says how large a difference may be, but gate.group_criterion does not say of what"
        yield Clash("gate.group_margin", message, f"set gate.group_criterion: {', '.join(allowed)}")
    if criterion and gate.group_margin is None:
        yield Clash("gate.group_criterion", "refuses nothing without gate.group_margin", "set gate.group_margin too")
    if gate.group_margin is not None and not gate.groups:
        yield Clash("gate.group_margin", "gate.groups names no column", "set gate.groups, or no group_margin")


def _split_clashes(config: PipelineConfig) -> Iterator[Clash]:
    data, split = config.data, config.split
    if split.strategy == "time" and not (data.time or data.order):
        yield Clash(
            "split.strategy",
            "'time' needs data.time, which names no column",
            "set data.time, or 'random' or 'group', or data.order = 'file' where the rows are in time order",
        )
    if data.order and data.time:
        yield Clash("data.order", f"data.time = {data.time!r} dates the rows already", "only without data.time")
    if data.order and split.strategy == "time" and split.gap:
        yield Clash("split.gap", "a gap is a span of time, and no column dates the rows", "only with data.time")
    if split.strategy == "group" and not split.group:
        yield Clash(
            "split.strategy",
            "'group' needs split.group, which names no column",
            "set split.group, or 'random'",
        )
    if split.strategy == "random" and split.group:
        yield Clash("split.group", "a random split does not obey it", "only with strategy = 'group' or 'time'")
    if split.strategy != "time" and split.gap:
        yield Clash("split.gap", f"a {split.strategy} split has no order in time", "only with strategy = 'time'")
    if split.duplicates == "apart" and (split.strategy != "random" or data.key):
        by = f"data.key = {list(data.key)} tells the rows apart" if data.key else f"a {split.strategy} split ignores it"
        yield Clash("split.duplicates", f"{by} already" if data.key else by, "only with strategy = 'random' and no key")
    if split.group and split.group == data.target:
        yield Clash("split.group", f"is the target {split.group!r}", "a column other than the target")


def json_schema() -> dict[str, Any]:
    """The JSON schema of a pipeline file (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **PipelineConfig.model_json_schema()}


def schema_text() -> str:
    """`json_schema()` as it stands in `pipelines/pipeline.schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _is_timezone(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        # a machine without zone data cannot tell
        return not _timezones()
    return True


def _timezones() -> tuple[str, ...]:
    from zoneinfo import available_timezones

    return tuple(sorted(available_timezones()))


def _choices(value: str, allowed: tuple[str, ...]) -> str:
    near = nearest(value, allowed)
    return ", ".join(allowed) + (f" (nearest: {near})" if near else "")


if __name__ == "__main__":
    print(schema_text(), end="")
