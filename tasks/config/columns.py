"""Whether the columns that a config names fit its schema: what neither config nor schema can check alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from treadle.tasks.dataset.schema import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.dataset.schema import ColumnKind, Schema

TEMPORAL: tuple[ColumnKind, ...] = ("date", "timestamp")
NUMERIC: tuple[ColumnKind, ...] = ("integer", "number")


class Misfit(NamedTuple):
    """A setting that does not fit the columns: its dotted key, what is wrong, and the fix."""

    key: str
    message: str
    fix: str


def misfits(config: PipelineConfig, schema: Schema) -> Iterator[Misfit]:
    """Every column that the config names must be in the schema, of a kind that fits its role."""
    data = config.data
    roles = [("data.target", data.target), ("data.time", data.time), ("split.group", config.split.group)]
    roles += [("data.weight", data.weight)]
    roles += [("data.key", name) for name in data.key]
    roles += [("data.categories", name) for name in data.categories]
    roles += [("data.drop", name) for name in data.drop]
    roles += [("data.forbid", name) for name in data.forbid]
    roles += [("model.monotone", name) for name in config.model.monotone]
    roles += [("model.interactions", name) for group in config.model.interactions for name in group]
    roles += [("gate.slices", name) for name in config.gate.slices]
    roles += [("gate.groups", name) for name in config.gate.groups]
    if config.labels.observed_at in schema.names:  # it may as well be a column of label files alone
        roles.append(("labels.observed_at", config.labels.observed_at))
    wanted: dict[str, tuple[ColumnKind, ...]] = {
        "labels.observed_at": TEMPORAL,
        "data.time": (*TEMPORAL, *NUMERIC),
        "data.weight": NUMERIC,
        "data.categories": ("integer", "text"),
    }
    if data.task == "regression":
        wanted["data.target"] = NUMERIC
    if config.split.gap:  # a span of days or hours
        roles.append(("split.gap", data.time))
        wanted["split.gap"] = TEMPORAL
    for key, name in roles:
        if not name:
            continue
        if name not in schema.names:
            close = nearest(name, schema.names)
            fix = f"did you mean {close!r}?" if close else f"its columns: {', '.join(schema.names)}"
            yield Misfit(key, f"the suite has no column {name!r}", fix)
        elif key in wanted and schema.column(name).kind not in wanted[key]:
            kind = schema.column(name).kind
            yield Misfit(key, f"column {name!r} holds {kind}", f"allowed here: {', '.join(wanted[key])}")
        elif key == "model.monotone":
            yield from _without_direction(name, schema.column(name).kind, categories=data.categories)
    yield from _positive(config, schema)


def _without_direction(name: str, kind: ColumnKind, *, categories: Sequence[str]) -> Iterator[Misfit]:
    """A column that the encoding turns into something with no one order, so that no direction can be kept."""
    key = "model.monotone"
    if kind == "text" or name in categories:
        reason = f"{name!r} is a category: its codes have no order that could be kept"
        amounts = "; if its values are amounts, take it out of data.categories instead" if kind != "text" else ""
        yield Misfit(key, reason, f"take {name!r} out of model.monotone{amounts}")
    elif kind in TEMPORAL:
        parts = "year, month, day, weekday and so on"
        yield Misfit(
            key,
            f"{name!r} is a {kind}: the model sees its parts ({parts}), which have no one direction",
            f"take {name!r} out of model.monotone; allowed here: {', '.join(NUMERIC)}, boolean",
        )


def _positive(config: PipelineConfig, schema: Schema) -> Iterator[Misfit]:
    """The positive class must be written as the target's kind has it: true is not 'true', nor 1."""
    data = config.data
    if data.positive is None or data.target not in schema.names:
        return
    fitting = {"boolean": bool, "text": str, "integer": int, "number": int | float}
    kind = schema.column(data.target).kind
    fits = isinstance(data.positive, fitting.get(kind, object))
    if not fits or (kind in NUMERIC and isinstance(data.positive, bool)):
        yield Misfit(
            "data.positive", f"{data.positive!r} is no {kind}, as {data.target!r} is", f"write it as a {kind} value"
        )
