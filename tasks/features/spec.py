"""What a feature is: the declaration from which rows are encoded, here and by the scorer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

DatePart = Literal["year", "month", "day", "weekday", "dayofyear", "hour", "minute", "days"]

DATE_PARTS: tuple[DatePart, ...] = ("year", "month", "day", "weekday", "dayofyear")
CLOCK_PARTS: tuple[DatePart, ...] = ("hour", "minute")

OTHER = -1.0
"""The code of a category that was not in the training rows, or too rarely."""

MAX_LEVELS = 10_000
"""Levels kept per column, the most frequent; the rest are `OTHER`."""

RARE_FROM = 100
"""In a column of more levels than this, one that only a single row has is `OTHER`: nothing can be learned from it."""

READ_AS_MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
    *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""Text that pandas.read_csv takes for no value, so that we never make a category of it.

Otherwise a row would get another prediction through pandas than through a batch, where 'None' is text.
"""


class Scale(BaseModel):
    """How a number is brought to one scale with others: `fill` for missing, then minus `mean`, over `std`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fill: float
    mean: float
    std: float


class Feature(BaseModel):
    """One input of the booster.

    `name` is what XGBoost calls it: the source's name, less the characters that XGBoost forbids. `kind`: `number`
    (integers and numbers as they are), `boolean` (0, 1), `code` (index into `levels`, `OTHER` for the rest) or
    `date_part`. Missing is NaN in all of them. A linear model has `scaled` (a number, boolean or date part by its
    `scale`), `missing` (1 where there is no value) and `indicator` (1 for the first of `levels`; others are there
    where pandas could take them for the first): none of these is ever NaN.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    kind: Literal["number", "boolean", "code", "date_part", "scaled", "missing", "indicator"]
    levels: tuple[str, ...] = ()
    part: DatePart | None = None
    scale: Scale | None = None


class FeatureSpec(BaseModel):
    """The features in the booster's order; dates are expanded in `timezone` (IANA, empty: UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[Feature, ...]
    timezone: str = ""
    read_as_missing: tuple[str, ...] = READ_AS_MISSING

    @property
    def names(self) -> tuple[str, ...]:
        """What XGBoost calls the features, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def sources(self) -> tuple[str, ...]:
        """The column that each feature is made of, beside `names`: a date that is expanded comes several times."""
        return tuple(feature.source for feature in self.features)
