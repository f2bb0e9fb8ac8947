"""Numbers in the sentences of a verdict: a difference has a sign, and numbers that are compared have equal decimals."""

from __future__ import annotations

import math

MOST_DECIMALS = 8


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


def alike(*values: float, by: float) -> tuple[str, ...]:
    """`values` with as many decimals as the difference `by` needs, so that what differs reads so.

    0.57789 and 0.577 by 0.00089 become "0.57789" and "0.57700".
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    decimals = _decimals(largest, by)
    return tuple(f"{value:,.{decimals}f}" if math.isfinite(value) else "n/a" for value in values)


def compared(metric: str, value: float, other: float, gain: float) -> str:
    """Two values of `metric` and what lies between them: "roc_auc 0.7249 against 0.5000, a gain of +0.2249".

    `gain` is positive where the first is better, whichever way the metric runs.
    """
    ours, theirs = alike(value, other, by=gain)
    both = f"{metric} {ours} against {theirs}"
    if not math.isfinite(gain):
        return both
    if gain == 0:
        return f"{both}, no difference"
    return f"{both}, a {'gain' if gain > 0 else 'loss'} of {_signed(gain, len(ours.partition('.')[2]))}"


def _signed(value: float, decimals: int) -> str:
    if not math.isfinite(value):
        return "n/a"
    if value == 0:
        return "0"
    text = f"{value:+,.{decimals}f}"
    return text if float(text.replace(",", "")) else f"{value:+.1g}"


def _decimals(largest: float, by: float) -> int:
    """Four digits of the largest value, at most four decimals; more where a difference needs them for two digits."""
    fine = 1 - _size(by) if by and math.isfinite(by) else 0
    return min(MOST_DECIMALS, max(0, min(4, 3 - _size(largest)), fine))


def _size(value: float) -> int:
    """The power of ten of the first digit: 0 for 1 to 9.99, -2 for 0.057; -1 for zero."""
    return math.floor(math.log10(abs(value))) if value and math.isfinite(value) else -1
