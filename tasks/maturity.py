"""How long labels take: the age from which on those of a row are complete, as far as past delays can tell.

Outcomes of different kinds may become known at different speeds. The labels of young rows are then mostly of the quick
kind, and any figure on them is biased (right truncation of reporting delays: Kalbfleisch and Lawless 1989, Inference
based on retrospective ascertainment, JASA 84). So only rows that were followed well beyond a delay can show that no
longer one is common.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

COMPLETE = 0.95
"""Where this share of rows has a label, those that lack one cannot move a figure far."""

WITHIN = 0.99
"""The share of labels that must come within a delay for it to count as the longest."""

FOLLOWED, FOLLOWED_LONG = 2, 4
"""How many times a delay rows must have been followed: where nearly all of them have a label, and where they do not."""

MOSTLY = 0.9
LEAST = 100
"""So many labels must be seen in full."""


def settled_after(ages: np.ndarray, delays: np.ndarray) -> timedelta | None:
    """The shortest number of whole days within which 99% of the late labels came; None where the past shows none.

    `ages` [n] are the days from each row to the newest data, `delays` [n] those to its late label, NaN while it has
    none. To try a delay of d days, only rows count that are 2 d days old or older, if 90% of them have a label, else
    4 d: among younger ones the slow labels are not there yet. 100 labels or more must have been seen so.
    """
    import numpy as np

    labelled = ~np.isnan(delays)
    known = np.maximum(delays[labelled], 0.0)
    if len(known) < LEAST:
        return None
    longest = int(min(np.ceil(known.max()), ages.max() // FOLLOWED))
    candidates = np.unique(np.ceil(known[known <= longest]).clip(1)) if longest >= 1 else np.empty(0)
    for days in candidates:
        followed = ages >= FOLLOWED * days
        if labelled[followed].mean() < MOSTLY:
            followed = ages >= FOLLOWED_LONG * days
        seen = delays[followed & labelled]
        if len(seen) < LEAST:
            break  # longer delays are followed by fewer rows still
        if (seen <= days).mean() >= WITHIN:
            return timedelta(days=int(days))
    return None
