"""What a feature is: the declaration from which rows are encoded, here and by the scorer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

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


def _is_none(value: object) -> bool:
    """Whether a field is left out of spec.json, which says of a feature what its kind needs."""
    return value is None


def _is_empty(value: str | tuple[float, ...]) -> bool:
    return not value


FeatureKind = Literal[
    "number",
    "boolean",
    "code",
    "date_part",
    "statistic",
    "count",
    "cycle",
    "since",
    "gram",
    "entry",
    "missing",
    "indicator",
]

LEVEL_ENCODINGS = ("codes", "statistics", "counts")
STATISTICS = ("statistics", "counts")
TEXT_ENCODINGS = ("ngrams", "list")
DATE_ENCODINGS = ("parts", "days", "season")
ENCODINGS = (*LEVEL_ENCODINGS, *TEXT_ENCODINGS, *DATE_ENCODINGS)
"""What a column can become, besides the number that it is. The first of each sort is what it becomes by default."""

MOMENTS = frozenset(("date", "timestamp"))
"""Kinds of columns that hold moments in time."""

LEVELLED = ("code", "statistic", "count", "indicator")
"""Kinds whose number depends on which of the feature's levels a value is."""


class Feature(BaseModel):
    """One input of the booster.

    `name` is what XGBoost calls it: the source's name, less the characters that XGBoost forbids, and for some kinds a
    suffix. What `kind` says of a value of the column `source`:

    - `number`: integers and numbers as they are; `boolean`: 0, 1. Missing is NaN.
    - `code`: index into `levels`, `OTHER` for the rest; missing is NaN.
    - `statistic`: the target's shrunk mean (of the share of class `class_code`, if given) in the training rows of the
      level, from `values`; `fallback` for a value that is no level, `missing` for null. Without a fallback it is open:
      declared, and not yet fitted.
    - `count`: the logarithm of 1 + the training rows of the level; the same fields.
    - `date_part`: a calendar part; missing is NaN.
    - `cycle`: a calendar part on a circle: `values` has its sine or cosine for each value of the part from its
      smallest; missing is NaN.
    - `since`: days from the moment in the column `origin` to that in `source`; NaN where one is missing.
    - `gram`: how often the text has a word or a part of a word whose hash is `bucket` (see text.py); missing is NaN.
    - `entry`: 1 where the list that the cell holds, parted by `separator`, has the entry `levels[0]`, else 0; without
      levels its length; missing is NaN.
    - `missing`: 1 where the value is missing, else 0. `indicator`: 1 for the first of `levels`, else 0, also for
      missing; other levels are there where pandas could take them for the first.

    A linear model knows no NaN: its numbers have a `scale`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    kind: FeatureKind
    levels: tuple[str, ...] = ()
    part: DatePart | None = None
    values: tuple[float, ...] = Field((), exclude_if=_is_empty)
    fallback: float | None = Field(None, exclude_if=_is_none)
    missing: float | None = Field(None, exclude_if=_is_none)
    class_code: int | None = Field(None, exclude_if=_is_none)
    origin: str = Field("", exclude_if=_is_empty)
    separator: str = Field("", exclude_if=_is_empty)
    bucket: int | None = Field(None, exclude_if=_is_none)
    scale: Scale | None = Field(None, exclude_if=_is_none)

    @property
    def is_open(self) -> bool:
        """Whether it is a statistic or a count without values."""
        return self.kind in ("statistic", "count") and self.fallback is None

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns that it is made of."""
        return (self.source, self.origin) if self.origin else (self.source,)


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
        """The columns that the features are made of, each once, in the order of the features."""
        return tuple(self.positions)

    @property
    def owners(self) -> tuple[str, ...]:
        """The column that each feature belongs to, beside `names`; one of two columns belongs to itself."""
        return tuple(one.source if len(one.sources) == 1 else one.name for one in self.features)

    @property
    def positions(self) -> dict[str, list[int]]:
        """The positions of the features that are made of a column, for every column of `sources`."""
        found: dict[str, list[int]] = {}
        for index, feature in enumerate(self.features):
            for source in feature.sources:
                found.setdefault(source, []).append(index)
        return found

    @property
    def levelled(self) -> frozenset[str]:
        """The columns whose values are levels."""
        return frozenset(feature.source for feature in self.features if feature.kind in LEVELLED)
