"""How far the base rate of a month may be off: mean probability less observed rate, at rolling origins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from treadle.tasks.influence import Floats

COVERAGE = 0.9

FEWEST_WINDOWS = 4
"""With fewer no interval is stated."""


class WindowRate(BaseModel):
    """A window's mean probability and observed rate, both weighted, and how many rows they are of.

    `held_out`: its rows are the holdout's, answered for by the judged model. Others overlap by half.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    predicted: float
    observed: float
    held_out: bool = False

    @property
    def error(self) -> float:
        """Predicted less observed."""
        return self.predicted - self.observed


class BaseRate(BaseModel):
    """The errors of one class's base rate in windows of `length` (words), oldest first.

    `windows` are of rolling origins: each is answered for by a model of the same recipe that was fitted on what is
    older, and calibrated by the windows before it. `lower` and `upper` are the ends of the interval that holds the next
    window's error with probability `COVERAGE`; None below `FEWEST_WINDOWS`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    length: str
    windows: tuple[WindowRate, ...]
    lower: float | None = None
    upper: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The ends of the interval, None where there is none."""
        return None if self.lower is None or self.upper is None else (self.lower, self.upper)

    def sentences(self) -> tuple[str, ...]:
        """How far the next window may be off, and what that is taken from."""
        found = self.interval
        if found is None:
            few = f"{len(self.windows)} windows of {self.length}"
            return (f"How far a month's mean probability may be off is not known: there are {few}.",)
        lower, upper = found
        shown = ", ".join(f"{one.error:+.3f}" for one in self.windows)
        held = sum(one.held_out for one in self.windows)
        return (
            f"The mean probability of {self.label} in the next {self.length} may be off by {lower:+.3f} to "
            f"{upper:+.3f} (90% interval; above 0: too high).",
            f"It is taken from {len(self.windows)} windows of {self.length} that overlap by half, each answered for by "
            f"a model of what is older, the last {held} of them in the holdout. Their errors: {shown}.",
        )


def month_interval(windows: Sequence[WindowRate]) -> tuple[float, float] | None:
    """The interval of the next window's error, from those of `windows`; None below `FEWEST_WINDOWS`.

    Student's prediction interval: mean ± t s sqrt(1 + 1/n), for errors that scatter normally about one mean. Of windows
    that overlap by half, half as many count in n and in t's degrees of freedom.
    """
    import numpy as np
    from scipy.special import stdtrit

    errors, held = np.array([one.error for one in windows]), sum(one.held_out for one in windows)
    count = held + (len(windows) - held + 1) / 2 if len(windows) > held else float(held)
    if count < FEWEST_WINDOWS:
        return None
    mean = float(errors.mean())
    half = float(stdtrit(count - 1, (1 + COVERAGE) / 2) * errors.std(ddof=1)) * math.sqrt(1 + 1 / count)
    return mean - half, mean + half


def with_interval(label: str, length: str, windows: Sequence[WindowRate]) -> BaseRate:
    """The class's windows with the interval that follows from them."""
    lower, upper = month_interval(windows) or (None, None)
    return BaseRate(label=label, length=length, windows=tuple(windows), lower=lower, upper=upper)


def window_rates(
    codes: np.ndarray, y: np.ndarray, p: Floats, weight: np.ndarray | None = None, *, held_out: bool = False
) -> tuple[WindowRate, ...]:
    """The windows of `codes` [n] (those below 0 are none), in their order: `y` [n] is 0 or 1, `p` [n] probabilities."""
    import numpy as np

    weights = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    found = []
    for code in np.unique(codes[codes >= 0]):
        at = codes == code
        whole = float(weights[at].sum())
        if whole > 0:
            predicted, observed = (float(weights[at] @ of[at]) / whole for of in (p, y))
            found.append(WindowRate(rows=int(at.sum()), predicted=predicted, observed=observed, held_out=held_out))
    return tuple(found)


def base_rates(
    labels: Sequence[str],
    length: str,
    codes: np.ndarray,
    y: np.ndarray,
    p: Floats,
    weight: np.ndarray | None = None,
    *,
    held_out: bool = False,
) -> tuple[BaseRate, ...]:
    """Of a binary task the positive class's, of more classes each class's: `p` [n], or [n, classes] for `labels`.

    `labels` are the classes in the order of their codes, `y` [n] codes.
    """
    if p.ndim == 1:
        windows = window_rates(codes, y, p, weight, held_out=held_out)
        return (with_interval(labels[-1], length, windows),)
    return tuple(
        with_interval(
            label,
            length,
            window_rates(codes, (y == code).astype("float64"), p[:, code], weight, held_out=held_out),
        )
        for code, label in enumerate(labels)
    )


def joined_windows(older: Sequence[BaseRate], newer: Sequence[BaseRate]) -> tuple[BaseRate, ...]:
    """The windows of both, class by class; `newer` alone where there are no older ones."""
    if len(older) != len(newer):
        return tuple(newer)
    return tuple(
        with_interval(after.label, after.length, (*before.windows, *after.windows))
        for before, after in zip(older, newer, strict=True)
    )


def widest(rates: Sequence[BaseRate]) -> BaseRate | None:
    """The class whose month may be off the furthest; None where there is none."""

    def reach(one: BaseRate) -> float:
        return max(map(abs, one.interval or (0.0,)))

    return max(rates, key=reach, default=None)
