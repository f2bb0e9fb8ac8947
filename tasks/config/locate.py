"""Where in a pipeline file a mistake stands, and what would be right there.

`tomllib` keeps no positions, so a key's line is found again in the text: section headers and `key =` at the
beginning of a line are enough for the files that people write here.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path  # noqa: TC003 - a field's type
from typing import TYPE_CHECKING, Any

from treadle.tasks.dataset.schema import nearest
from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

TYPES = {
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list, e.g. [\"a\", \"b\"]",
    "dict_type": "a table, e.g. { column = 1 }",
    "model_type": "a [section]",
    "model_attributes_type": "a [section]",
}  # fmt: skip
BARE = re.compile(r'^\s*(?:"(?P<quoted>[^"]*)"|\'(?P<literal>[^\']*)\'|(?P<bare>[A-Za-z0-9_.-]+))\s*=')
HEADER = re.compile(r"^\s*\[\s*(?P<section>[A-Za-z0-9_.\"'-]+)\s*\]\s*(?:#.*)?$")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A pipeline file as text and as TOML."""

    path: Path
    text: str
    document: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> ConfigFile:
        """Raises ConfigError where the file cannot be read or is not TOML."""
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ConfigError("is not UTF-8 text", "save it as UTF-8", where=_shown(path)) from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(f"cannot be read: {reason}", "check its name and rights", where=_shown(path)) from None
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise _syntax(path, error) from None
        return cls(path, text, document)

    def as_json(self) -> str:
        """The document as JSON; raises ConfigError for what JSON cannot hold (dates, inf, nan)."""
        for keys, value in _leaves(self.document):
            if isinstance(value, date | datetime | time):
                raise self.refuse(".".join(keys), str(value), "text in quotes; nothing here is a date")
            if isinstance(value, float) and not math.isfinite(value):
                raise self.refuse(".".join(keys), str(value), "a finite number")
        return json.dumps(self.document)

    def line(self, keys: tuple[str, ...]) -> int:
        """The line on which the key, or the longest part of it that the file holds, is set; 1 when none is."""
        found = 1
        depth = 0
        section: tuple[str, ...] = ()
        for number, line in enumerate(self.text.splitlines(), start=1):
            if header := HEADER.match(line):
                section = _parts(header["section"])
                here = section
            elif assignment := BARE.match(line):
                quoted = assignment["quoted"] or assignment["literal"]
                here = (*section, *((quoted,) if quoted else _parts(assignment["bare"])))
            else:
                continue
            if len(here) > depth and keys[: len(here)] == here:
                found, depth = number, len(here)
        return found

    def refuse(self, key: str, value: object, allowed: str) -> ConfigError:
        """The error for a value that is not allowed under `key`."""
        return self.error(tuple(key.split(".")), f"{_shown_value(value)} is not allowed", f"allowed: {allowed}")

    def explain(self, error: ValidationError) -> ConfigError:
        """The first thing that pydantic found wrong, in the file's words; other keys are named in the fix."""
        found = _by_cause(error.errors(include_url=False))
        first = _key(found[0])
        # a union reports every branch that it tried: one mistake, reported once
        message, fix = self._message_and_fix(first, [one for one in found if _key(one) == first])
        if more := sorted({".".join(_key(one)) for one in found} - {".".join(first)}):
            fix = f"{fix}; also wrong: {', '.join(more)}"
        return self.error(first, message, fix)

    def _message_and_fix(self, keys: tuple[str, ...], found: list[ErrorDetails]) -> tuple[str, str]:
        """What is wrong with a key, and the fix."""
        kind, context = found[0]["type"], found[0].get("ctx", {})
        if kind == "clash":
            return str(context["message"]), f"allowed: {context['allowed']}"
        if kind == "missing":
            section = ".".join(keys[:-1])
            return (
                "is missing",
                f"write it under [{section}]" if section else "write it at the top of the file",
            )
        if kind == "extra_forbidden":
            return f"unknown key '{keys[-1]}'", _suggestion(keys)
        allowed = " or ".join(dict.fromkeys(_allowed(one) for one in found))
        return f"{_shown_value(found[0]['input'])} is not allowed", f"allowed: {allowed}"

    def error(self, keys: tuple[str, ...], message: str, fix: str) -> ConfigError:
        """The error for what is wrong with a key."""
        return ConfigError(message, fix, where=f"{_shown(self.path)}:{self.line(keys)}", key=".".join(keys))


def _by_cause(found: list[ErrorDetails]) -> list[ErrorDetails]:
    """Keys that are missing last, and not at all where another of the section is their name misspelt."""
    sections = _sections()
    unknown = [_key(one) for one in found if one["type"] == "extra_forbidden"]
    meant = {(*keys[:-1], nearest(keys[-1], sections[".".join(keys[:-1])])) for keys in unknown}
    others = [one for one in found if one["type"] != "missing"]
    return others + [one for one in found if one["type"] == "missing" and _key(one) not in meant]


def _key(error: ErrorDetails) -> tuple[str, ...]:
    """The dotted key that an error speaks of, without list positions and the names of union branches."""
    if error["type"] == "clash":
        return tuple(str(error["ctx"]["key"]).split(".", 2))
    loc = [part for part in error["loc"] if isinstance(part, str)]
    depth = 3 if loc[:2] in (["model", "monotone"], ["score", "cost"]) else 2
    return tuple(loc[: depth if loc and loc[0] in _sections() else 1])


def _allowed(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in TYPES:
        return TYPES[kind]
    if kind == "literal_error":
        return str(context["expected"])
    if kind == "string_pattern_mismatch":
        return "lower-case letters, digits, - and _, beginning with a letter or digit"
    if kind == "string_too_short":
        return "a name; it is empty"
    return str(error["msg"]).removeprefix("Input should be ").removeprefix("a valid ")


def _sections() -> dict[str, tuple[str, ...]]:
    """Every section with the keys that it knows; the top of the file is ''."""
    from pydantic import BaseModel

    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.threshold import MistakeCosts

    sections: dict[str, tuple[str, ...]] = {"": tuple(PipelineConfig.model_fields)}
    for name, field in PipelineConfig.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections[name] = tuple(field.annotation.model_fields)
    return sections | {"score.cost": tuple(MistakeCosts.model_fields)}


def _suggestion(keys: tuple[str, ...]) -> str:
    """What to write instead of an unknown key: the nearest of its section, or the section that knows it."""
    sections, name = _sections(), keys[-1]
    section = ".".join(keys[:-1])
    here = sections[section]
    if close := nearest(name, here):
        return f"nearest known key: {close}; known here: {', '.join(here)}"
    for other, names in sections.items():
        if name in names and other != section:
            return f"it belongs under [{other}]; known here: {', '.join(here)}" if other else "it belongs at the top"
    return f"known here: {', '.join(here)}"


def _leaves(value: object, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*keys, name))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, keys)
    else:
        yield keys, value


def _syntax(path: Path, error: tomllib.TOMLDecodeError) -> ConfigError:
    message = str(error)
    where = re.search(r"\(at line (\d+), column (\d+)\)", message)
    text = message[: where.start()].strip() if where else message.replace("(at end of document)", "").strip()
    line = where[1] if where else len(path.read_bytes().splitlines()) or 1
    return ConfigError(f"is not TOML: {text}", "correct the line", where=f"{_shown(path)}:{line}")


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}" if path.parent.name else path.name


def _shown_value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
