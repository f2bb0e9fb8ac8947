"""One value of a raw column as text, as a number or as a moment in time.

Repeats what tasks/dataset/typing.py says of a value in SQL, for the values that pandas holds.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

SPACE = " \t\r\n"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z| UTC|[+-]\d{2}(:?\d{2})?)?)?", re.ASCII)
WIDTHS = {"%Y": 4, "%y": 2, "%m": 2, "%d": 2, "%j": 3, "%H": 2, "%M": 2, "%S": 2}


def text_of(value: object) -> str:
    """A value as text: a whole float as an integer, booleans in small letters."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def is_number(text: str) -> bool:
    """Whether the text is a decimal number, with or without an exponent; space around it is ignored."""
    return NUMBER.fullmatch(text.strip(SPACE)) is not None


def number_of(value: object) -> float:
    """A number, a boolean or a number's text as float; NaN for anything else."""
    if isinstance(value, str):
        return float_or_nan(value) if is_number(value) else math.nan
    return math.nan if isinstance(value, date) else float_or_nan(value)


def float_or_nan(value: Any) -> float:
    """What `float` makes of a value; NaN where it raises."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def moment_of(value: object, form: str) -> datetime:
    """A moment written as text, or as a whole number such as 20130905; raises ValueError if it is none.

    `form` is the column's strptime format ("": ISO 8601).
    """
    if isinstance(value, str):
        text = value.strip(SPACE)
    else:  # leading zeros are lost where pandas took digits for a number
        number, width = number_of(value), sum(WIDTHS.get(code, 0) for code in re.findall("%.", form))
        text = str(int(number)).zfill(width) if number.is_integer() else ""
    if form:
        return datetime.strptime(text, form)
    if not INSTANT.fullmatch(text):
        raise ValueError(text)
    hour = text[11:13]
    moment = datetime.fromisoformat((text[:11] + hour.replace("24", "00") + text[13:]).replace(" UTC", "Z"))
    if hour == "24" and (moment.minute, moment.second, moment.microsecond) != (0, 0, 0):
        raise ValueError(text)
    return moment + timedelta(days=1) if hour == "24" else moment


def only_once(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """A dictionary of the keys that come once."""
    known = list(pairs)
    times = Counter(key for key, _ in known)
    return {key: value for key, value in known if times[key] == 1}
