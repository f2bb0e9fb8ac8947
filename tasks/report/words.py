"""Numbers, names and labels as people read them."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING

from treadle.tasks.influence import quantile_of

if TYPE_CHECKING:
    from treadle.tasks.explain import ExplainedColumn

CLEAR = 0.3
"""From this correlation of value and contribution on, a column has one direction."""

METRICS = {
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "brier": "Brier score",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "f1": "F1",
    "f1_macro": "macro F1",
    "balanced_accuracy": "balanced accuracy",
}


MEANINGS = {
    "roc_auc": "how often a positive row gets a higher probability than a negative one; 0.5 is guessing, 1 is best",
    "average_precision": "precision, averaged over all positive rows from the highest probability down; 1 is best",
    "log_loss": "how far probabilities are from what happened; confident mistakes cost most; 0 is best",
    "brier": "mean squared distance between probability and what happened (1 or 0); 0 is best",
    "accuracy": "share of rows that get the right class",
    "balanced_accuracy": "share of right rows, each class counting alike",
    "f1": "balance of precision and recall of the positive class; 1 is best",
    "f1_macro": "balance of precision and recall, each class counting alike; 1 is best",
    "rmse": "typical error in the target's unit, large errors counting most; 0 is best",
    "mae": "mean error in the target's unit; 0 is best",
    "r2": "share of the target's variance that is explained; 0 is the mean's, 1 is best",
}


def metric_meaning(metric: str) -> str:
    """What a metric says, in a few words; empty for one that its name explains."""
    return MEANINGS.get(metric, "")


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign: '+0.512', '−3.10'."""
    text = number(value, digits)
    return f"+{text}" if value > 0 else text


def metric_name(metric: str) -> str:
    """'roc_auc' -> 'ROC AUC'; an unknown name loses its underscores."""
    if (below := quantile_of(metric)) is not None:
        return f"pinball loss of the {below:g} quantile"
    return METRICS.get(metric, metric.replace("_", " "))


def number(value: float | None, digits: int = 4) -> str:
    """`digits` significant digits, thousands parted by commas; None and NaN are 'n/a'.

    Below 0.1 fewer digits stand (two at least), so that columns of shares line up: 0.8123, 0.0812, 0.0081.
    """
    if value is None or math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size >= 15 or size < -6:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    shown = max(min(2, digits), digits + size + 1) if size < -1 else digits
    return f"{value:,.{max(0, shown - 1 - size)}f}".replace("-", "−")


def percent(share: float, digits: int = 0) -> str:
    """0.234 -> '23%'; what is neither none nor all never rounds to 0% or 100%."""
    if math.isnan(share):
        return "n/a"
    text = f"{share:.{digits}%}"
    edge = 10.0**-digits
    if share > 0 and float(text[:-1]) == 0:
        return f"<{edge:g}%"
    if share < 1 and float(text[:-1]) == 100:
        return f">{100 - edge:g}%"
    return text


def clean(text: object) -> str:
    """Text that XML and HTML can hold on one line: control characters and lone surrogates become '�'."""
    return "".join("�" if unicodedata.category(char) in ("Cc", "Cs") else char for char in str(text))


def values_in_words(column: ExplainedColumn) -> str:
    """How a column's values move the prediction; empty where they have no clear direction."""
    if column.direction is not None and abs(column.direction) >= CLEAR:
        return f"{'higher' if column.direction > 0 else 'lower'} values raise the prediction"
    if column.highest:
        return f"highest for {shorten(column.highest, 18)}, lowest for {shorten(column.lowest, 18)}"
    return ""


def shorten(text: object, length: int = 24) -> str:
    """At most `length` characters; the middle goes first, because column names differ at their ends."""
    whole = clean(text)
    if len(whole) <= length:
        return whole
    tail = (length - 1) // 3
    return f"{whole[: length - 1 - tail]}…{whole[len(whole) - tail :]}"


def listing(names: list[str], most: int = 3) -> str:
    """'a', 'a and b', 'a, b and c'; beyond `most` names, how many more there are."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def label(value: object) -> str:
    """A class as it stands in tables and configs: True is 'true', 3.0 is '3'."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else clean(value)
