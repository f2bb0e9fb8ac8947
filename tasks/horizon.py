"""A span of time in a config, such as "90d" or "12h"."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

FORM = re.compile(r"(0|[1-9][0-9]{0,5})([dh])")
DAY = timedelta(days=1)


def check_horizon(text: str) -> str:
    """The span as it stands; raises ValueError where it is none. Empty means: none is set."""
    if text and FORM.fullmatch(text) is None:
        raise PydanticCustomError("horizon", "{why}", {"why": 'a number of days or hours, as in "30d" or "12h"'})
    return text


def span(text: str) -> timedelta:
    """How long a checked span is; empty is no time."""
    found = FORM.fullmatch(text)
    if found is None:
        return timedelta(0)
    return timedelta(days=int(found[1])) if found[2] == "d" else timedelta(hours=int(found[1]))


def in_words(length: timedelta) -> str:
    """The shortest span that is at least so long, as a config has it: in days, or below one day in hours."""
    unit, letter = (DAY, "d") if length > timedelta(hours=23) else (timedelta(hours=1), "h")
    return f"{-(-length // unit)}{letter}"


Horizon = Annotated[str, AfterValidator(check_horizon)]
"""A span that was checked; empty: none is set."""
