"""Numbers from dates and instants: calendar parts, parts on a circle, days between two columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.features.spec import DatePart

CYCLES: dict[DatePart, tuple[int, int]] = {"dayofyear": (1, 366), "weekday": (0, 7), "hour": (0, 24)}
"""Parts that come round: their smallest value, and how many there are."""

MICROSECONDS_A_DAY = 86_400_000_000


def cycle_tables(part: DatePart) -> dict[str, tuple[float, ...]]:
    """Sine and cosine of each value of a calendar part, from its smallest: 23 o'clock lies beside 0 o'clock.

    They are kept in spec.json, so that a machine with another sine gives the same numbers.
    """
    import math

    _, count = CYCLES[part]
    angles = [2 * math.pi * step / count for step in range(count)]
    return {
        "sin": tuple(round(math.sin(angle), 7) for angle in angles),
        "cos": tuple(round(math.cos(angle), 7) for angle in angles),
    }


def instants(column: pa.ChunkedArray) -> np.ndarray:
    """Dates at midnight, or instants in UTC: datetime64[us], NaT for null and outside Python's calendar.

    Outside the years that Python's calendar knows an instant has no wall-clock time.
    """
    import numpy as np
    import pyarrow as pa

    moments: np.ndarray = column.cast(pa.timestamp("us")).to_numpy().astype("datetime64[us]")
    first, last = np.datetime64("0001-01-02", "us"), np.datetime64("9999-12-30", "us")
    return np.where((moments >= first) & (moments <= last), moments, np.datetime64("NaT", "us"))


def local(moments: np.ndarray, kind: pa.DataType, timezone: str) -> np.ndarray:
    """Dates as they are, instants as wall-clock time of `timezone`: datetime64[us], NaT for NaT."""
    import pandas as pd
    import pyarrow as pa

    if pa.types.is_date(kind) or not timezone:
        return moments
    wall_clock = pd.DatetimeIndex(moments).tz_localize("UTC").tz_convert(timezone).tz_localize(None)
    return wall_clock.to_numpy().astype("datetime64[us]")


def date_part(local: np.ndarray, part: DatePart) -> np.ndarray:
    """One calendar part as float64, NaN for NaT: weekday from Monday = 0, days since 1970-01-01."""
    import numpy as np
    import pandas as pd

    if part == "days":
        days = local.astype("datetime64[D]").astype(np.int64).astype(np.float64)
        return np.where(np.isnat(local), np.nan, days)
    attribute = {"weekday": "day_of_week", "dayofyear": "day_of_year"}.get(part, part)
    return getattr(pd.DatetimeIndex(local), attribute).to_numpy().astype(np.float64)  # type: ignore[no-any-return]


def cycle(parts: np.ndarray, part: DatePart, table: Sequence[float]) -> np.ndarray:
    """The table's number for each value of a calendar part, float64, NaN for NaN."""
    import numpy as np

    first, _ = CYCLES[part]
    place = np.where(np.isnan(parts), len(table), parts - first).astype(np.int64)
    return np.array([*table, np.nan])[place]


def days_between(later: pa.ChunkedArray, earlier: pa.ChunkedArray, timezone: str) -> np.ndarray:
    """Days from `earlier` to `later`, float64, negative where it is after it; NaN where one is missing.

    Two instants are compared as such. A date beside an instant is its midnight by the clock of `timezone`.
    """
    import numpy as np
    import pyarrow as pa

    moments = [instants(later), instants(earlier)]
    if pa.types.is_date(later.type) != pa.types.is_date(earlier.type):
        moments = [local(moments[0], later.type, timezone), local(moments[1], earlier.type, timezone)]
    apart = moments[0] - moments[1]
    return np.where(np.isnat(apart), np.nan, apart.astype(np.int64).astype(np.float64) / MICROSECONDS_A_DAY)
