"""Schedules: cron's five fields, checked without a scheduler."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, in a month that has it",
    "month": "1 to 12 or jan to dec",
    "day-of-week": "0 to 7 or sun to sat",
}
"""Cron's fields and their values, by the names that cronsim's errors use."""

EXTENSIONS = ("l", "#")
"""What cronsim knows for days (the last one, the nth one) and Prefect's scheduler does not."""


def check_cron(text: str) -> str:
    """Return the schedule in lower case with single blanks; empty means never.

    Each field is `*`, a value, a range `a-b`, any of them with a step `/n`, or a list of those with commas; months and
    weekdays may be named by three letters.
    Raises ValueError, which names the wrong field, where the text is no schedule or no month has its day.
    """
    fields = text.lower().split()
    if not fields:
        return ""
    if len(fields) != len(FIELDS):
        raise _refusal(
            f"{text!r} has {len(fields)} fields: minute, hour, day of month, month and day of week are wanted, "
            "as in '0 6 * * *' for every day at six"
        )
    from cronsim import CronSim, CronSimError

    values = dict(zip(FIELDS, fields, strict=True))
    wrong = next((name for name in FIELDS if name[:3] == "day" and any(one in values[name] for one in EXTENSIONS)), "")
    try:
        CronSim(text, datetime(2000, 1, 1))
    except CronSimError as error:
        wrong = str(error).removeprefix("Bad ")
    if wrong:
        raise _refusal(
            f"{wrong.replace('-', ' ')} {values[wrong]!r} is not allowed: a value from {FIELDS[wrong]}, a range a-b, "
            "'*', one of those with a step /n, or a list of those with commas"
        )
    return " ".join(fields)


def _refusal(why: str) -> ValueError:
    return PydanticCustomError("schedule", "{why}", {"why": why})


Cron = Annotated[str, AfterValidator(check_cron)]
"""A schedule that was checked; empty: never."""
