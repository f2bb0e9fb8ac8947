"""When something is to happen again: cron's five fields, checked without a scheduler."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of week", 0, 7, WEEKDAYS),
)
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
PART = re.compile(r"(\*|[a-z0-9]+(?:-[a-z0-9]+)?)(?:/([0-9]+))?")


def check_cron(text: str) -> str:
    """The schedule as it stands; raises ValueError, with the field that is wrong, where it is none.

    Each field is `*`, a value, a range `a-b`, any of them with a step `/n`, or a list of those with commas; months and
    weekdays may be named by three letters. Empty means: never.
    """
    fields = text.lower().split()
    if not fields:
        return ""
    if len(fields) != len(FIELDS):
        raise _refusal(
            f"{text!r} has {len(fields)} fields: minute, hour, day of month, month and day of week are wanted, "
            "as in '0 6 * * *' for every day at six"
        )
    values = [_values(field, *bounds) for field, bounds in zip(fields, FIELDS, strict=True)]
    days, months = values[2], values[3]
    if fields[4] == "*" and min(days) > max(LONGEST[month - 1] for month in months):
        raise _refusal(f"{text!r} names a day that no such month has")
    return " ".join(fields)


def _values(field: str, name: str, lowest: int, highest: int, names: tuple[str, ...]) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        match = PART.fullmatch(part)
        if match is None:
            raise _refusal(f"{name} {part!r} is no value from {lowest} to {highest}, range, '*' or step of those")
        span, step = match[1], int(match[2] or 1)
        first, _, last = (f"{lowest}-{highest}" if span == "*" else span).partition("-")
        begin = _value(first, name, lowest, highest, names)
        end = _value(last or first, name, lowest, highest, names)
        if match[2] and not last:  # cron reads 5/10 as 5-59/10
            end = highest
        if end < begin or step < 1:
            raise _refusal(f"{name} {part!r} holds no value")
        found.update(range(begin, end + 1, step))
    return found


def _value(text: str, name: str, lowest: int, highest: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + lowest
    if not text.isdigit() or not lowest <= int(text) <= highest:
        raise _refusal(f"{name} {text!r} is not from {lowest} to {highest}")
    return int(text)


def _refusal(why: str) -> ValueError:
    return PydanticCustomError("schedule", "{why}", {"why": why})


Cron = Annotated[str, AfterValidator(check_cron)]
"""A schedule that was checked; empty: never."""
