"""The gate's input and output, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from treadle.tasks.fairness import Criterion
from treadle.tasks.gate.chain import GivenAway
from treadle.tasks.gate.grouped import GroupedColumn

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from treadle.tasks.dependence import StandardError

DETECT_SHARE = 0.05
"""Twice what another seed changes: of the error that is left, 0.1 to 2% on four public tables (docs/gate.md)."""

Basis = Literal["", "better", "fresh"]
Decision = Literal["PROMOTE", "KEEP", "NOT_COMPARABLE", "REFUSED"]


class GateSpec(BaseModel):
    """What a challenger must show before it is promoted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    min_gain: float = Field(0.0, ge=0, description="the gain's lower bound must exceed this, and a quarter of detect")
    alpha: float = Field(
        0.05, gt=0, lt=0.5, description="one-sided error level of the bound, shared by all looks at the same rows"
    )
    detect_share: float = Field(
        DETECT_SHARE,
        gt=0,
        lt=1,
        description="a gain that the rows must be able to show, as a share of what can still be gained "
        "(the error itself, or what is missing to 1); half of it is the least that promotes",
    )
    detect: float | None = Field(
        None,
        gt=0,
        description="the same in units of the metric (for errors: a share of the champion's), in place of detect_share",
    )
    fresh: bool | None = Field(
        None,
        description="promote a model trained on newer rows that is surely not worse by more than detect; "
        "default: with time splits",
    )
    slices: tuple[str, ...] = Field((), description="columns whose slices are watched")
    slice_margin: float | None = Field(
        None,
        ge=0,
        exclude_if=lambda margin: margin is None,
        description="a loss in a slice refuses where it is sure and at least this; half of detect where unset "
        "(for errors: a share of the champion's)",
    )
    max_model_mb: float | None = Field(None, gt=0, description="a model whose file is larger, in MB, is refused")
    max_ms_per_1000_rows: float | None = Field(
        None, gt=0, description="a model that takes longer to predict 1,000 rows, in ms, is refused"
    )
    promote: Literal["automatic", "manual"] = Field(
        "automatic", description="manual: a better model waits until a person promotes it"
    )
    groups: tuple[str, ...] = Field((), description="columns between whose groups the answers are compared")
    group_criterion: Criterion = Field(
        "",
        description="what may not differ between the groups of a column by more than group_margin; empty: differences "
        "are only shown",
    )
    group_margin: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="a difference between groups refuses where it is surely above this; for amounts of a regression "
        "a share of the mean absolute error",
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """Two models on the same n holdout rows.

    `y` [n] class codes or values; `challenger` and `champion` calibrated probabilities or values, [n] or
    [n, classes]; `champion_name` is 'dummy' or 'version 3'; `slices` maps columns to their values [n], as
    `slicing.slice_values` gives them; `beside` has the predictions of 'linear' and 'dummy', shaped as the challenger's.
    `unseen` is how many of the n rows are new to both models, None where all are. `why_left_out` says why
    the others are not. `groups` [n] are codes of the group of each row where rows of one group depend on each other
    (None: there are no groups), `times` [n] numbers where rows that are near in time do (None: they do not).
    `challenger_threshold` and `champion_threshold` are the least probabilities that each model calls positive.
    `newer` says whether the challenger was trained on newer rows than the champion, `spent` what versions promoted as
    `fresh` have given away since the last one that was promoted as `better`. `boosters` names what is compared, the
    challenger's first; empty for the dummy. `weight` [n] weighs the rows in every score (None: all alike), all above 0;
    `weighted_by` names its column. `beside_thresholds` are the least probabilities that the models of `beside` call
    positive, 0.5 where none is named. `by_group` maps the columns of `[gate] groups` to their values [n], as
    `slicing.slice_values` gives them; `inside` [n] says whether a regression's interval holds the value, `classes` are
    the names of a multiclass task's, in code order.
    """

    task: str
    metric: str
    y: np.ndarray
    challenger: np.ndarray
    champion: np.ndarray
    champion_name: str
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)
    unseen: int | None = None
    why_left_out: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    challenger_threshold: float = 0.5
    champion_threshold: float = 0.5
    newer: bool = False
    spent: GivenAway = field(default_factory=GivenAway)
    boosters: str = ""
    weight: np.ndarray | None = None
    weighted_by: str = ""
    beside_thresholds: Mapping[str, float] = field(default_factory=dict)
    by_group: Mapping[str, np.ndarray] = field(default_factory=dict)
    inside: np.ndarray | None = None
    classes: tuple[str, ...] = ()

    @property
    def first(self) -> bool:
        """Whether there is no champion yet: the challenger is compared with the dummy."""
        return self.champion_name == "dummy"


class SliceVerdict(BaseModel):
    """The gain within the rows where `column` is `value`, with Holm-corrected one-sided bounds, in `metric`.

    `score` is the challenger's value there, `margin` the smallest loss that refuses; `refuses` where this one is sure
    and as large.
    """

    model_config = ConfigDict(frozen=True)

    column: str
    value: str
    rows: int
    metric: str
    gain: float
    lower: float
    upper: float
    score: float = float("nan")
    margin: float = 0.0
    refuses: bool = False


class Verdict(BaseModel):
    """The gate's decision, with a sentence, reasons and numbers.

    `basis` says why a model is promoted: it is `better`, or `fresh` (surely not worse by more than `may_lose` than the
    last better one, and trained on newer rows); empty where it is not promoted, and in verdicts of earlier versions.
    `gain` is positive where the challenger is better, whichever way the metric runs; `error` is its standard error,
    `lower` and `upper` are its one-sided bounds at alpha. To be better, `lower` must exceed `margin`, `gain` reach
    `least`, and `charged_lower`, the bound for the `looks`-th comparison on (nearly) these rows, exceed `min_gain`.
    `power` is the chance that such rows would show a gain of `detect`, and `rows_needed` how many would with power 0.8
    (None where these do). `units` of `unit` (rows, groups, blocks of time) are independent of each other. `luck` is the
    probability that predictions which say nothing score as well, computed where it decides. `boosters` names the two
    that were compared, empty with the dummy. `notes` are sentences to know that decide nothing: what slices show, and
    by which scores the linear model or the dummy is better. `unsettled` says why the champion cannot be compared with
    any challenger, so that a person decides; else it is empty. `weighted_by` is the column that weighs the rows in
    every score, empty where all count alike. `groups` has the figures by group of each column of `[gate] groups`.
    A number that could not be computed is NaN.
    """

    # JSON knows no NaN, and null would not be read back
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    decision: Decision
    headline: str
    reasons: tuple[str, ...]
    metric: str
    value: float
    champion_value: float
    gain: float
    lower: float
    upper: float
    power: float
    rows: int
    rows_needed: int | None
    slices: tuple[SliceVerdict, ...] = ()
    margin: float = 0.0
    least: float = 0.0
    luck: float = 0.0
    basis: Basis = ""
    detect: float = float("nan")
    error: float = float("nan")
    charged_lower: float = float("nan")
    may_lose: float = float("nan")
    looks: int = 1
    units: float = float("nan")
    unit: str = "rows"
    notes: tuple[str, ...] = ()
    boosters: str = ""
    unsettled: str = ""
    weighted_by: str = ""
    groups: tuple[GroupedColumn, ...] = ()


@dataclass(frozen=True, slots=True)
class GainBounds:
    """The measured gain and how sure it is, all in units of the metric; NaN where nothing can be said.

    `lower` and `upper` at alpha, `charged_lower` at `charged`, the level that this look at the rows may spend.
    `fresh_lower` is that bound of the gain over the last version promoted as better; `may_lose` the margin for it.
    """

    value: float
    champion_value: float
    gain: float
    lower: float
    upper: float
    power: float
    detect: float
    margin: float
    least: float
    rows_needed: int | None
    standard: StandardError
    charged: float
    charged_lower: float
    fresh_lower: float
    may_lose: float
