"""The gate: is the challenger better than the champion on rows that neither has seen?"""

from __future__ import annotations

from tasks.gate.decide import FEWEST_OF_A_CLASS, FEWEST_ROWS, LUCK, decide, enough
from tasks.gate.limits import Cost, over_limits
from tasks.gate.measure import POWER, SURE, WORTH, measure
from tasks.gate.values import Decision, GateSpec, Judged, SliceVerdict, Verdict

__all__ = [
    "FEWEST_OF_A_CLASS",
    "FEWEST_ROWS",
    "LUCK",
    "POWER",
    "SURE",
    "WORTH",
    "Cost",
    "Decision",
    "GateSpec",
    "Judged",
    "SliceVerdict",
    "Verdict",
    "decide",
    "enough",
    "measure",
    "over_limits",
]
