"""Numbers in the sentences of a verdict: a difference has a sign, and numbers that are compared have equal decimals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALLEST_WRITTEN_OUT = 1e-6

MOST_MORE = 4
"""So many decimals more than a value has by itself are shown to tell it from another."""


def figure(value: float) -> str:
    """Four significant digits, or a whole number with commas: a price's error is 21,695 and not 2.17e+04."""
    if not math.isfinite(value):
        return "n/a"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def differences(*values: float) -> tuple[str, ...]:
    """Differences with their signs and equal decimals, those that the first one needs: "+0.0371", "-0.0008".

    Zero is "0". One that these decimals would round to zero gets a digit of its own.
    """
    decimals = _decimals(values[0], values[0])
    return tuple(_signed(value, decimals) for value in values)


def difference(value: float) -> str:
    """One difference with its sign; zero is "0"."""
    return differences(value)[0]


def equal_decimals(*values: float, by: float) -> tuple[str, ...]:
    """`values` with as many decimals as the difference `by` needs, so that what differs reads so.

    0.57789 and 0.577 by 0.00089 become "0.57789" and "0.57700".
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    decimals = _decimals(largest, by)
    return tuple(f"{value:,.{decimals}f}" if math.isfinite(value) else "n/a" for value in values)


def beside(values: Sequence[float]) -> tuple[str, ...]:
    """Values of several models with as many decimals as tell the first from the nearest other; NaN is "n/a"."""
    apart = [abs(value - values[0]) for value in values[1:] if math.isfinite(value - values[0]) and value != values[0]]
    return equal_decimals(*values, by=min(apart, default=0.0))


def pair(value: float, other: float, gain: float) -> tuple[str, str, str]:
    """Two values and the gain between them with equal decimals: "0.7249", "0.5000", "+0.2249"; no gain is "0".

    `gain` is positive where the first is better, whichever way the metric runs.
    """
    ours, theirs = equal_decimals(value, other, by=gain)
    return ours, theirs, _signed(gain, len(ours.partition(".")[2]))


def compared(metric: str, value: float, other: float, gain: float) -> str:
    """Two values of `metric` and the gain between them: "roc_auc 0.7249 against 0.5000 (gain +0.2249)"."""
    ours, theirs, between = pair(value, other, gain)
    both = f"{metric} {ours} against {theirs}"
    if not math.isfinite(gain):
        return both
    return f"{both} (gain {between})" if gain else f"{both} (no difference)"


def _signed(value: float, decimals: int) -> str:
    if not math.isfinite(value):
        return "n/a"
    if value == 0:
        return "0"
    if abs(value) < SMALLEST_WRITTEN_OUT:
        return f"{value:+.2g}"
    text = f"{value:+,.{decimals}f}"
    return text if float(text.replace(",", "")) else f"{value:+.1g}"


def _decimals(largest: float, by: float) -> int:
    """Four digits of the largest value, at most four decimals; more where a difference needs them for two digits."""
    size = _size(largest) if largest > 1 else _size(min(largest, 0.9))
    own = max(0, min(4, 3 - size)) if size >= -3 else 1 - size
    fine = 1 - _size(by) if by and math.isfinite(by) else 0
    return max(own, min(fine, own + MOST_MORE))


def _size(value: float) -> int:
    """The power of ten of the first digit: 0 for 1 to 9.99, -2 for 0.057; -1 for zero."""
    return math.floor(math.log10(abs(value))) if value and math.isfinite(value) else -1
