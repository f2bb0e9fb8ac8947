"""The gate: is the challenger better than the champion on rows that neither has seen?"""

from __future__ import annotations

from treadle.tasks.gate.chain import GivenAway, PastVerdict, given_away
from treadle.tasks.gate.comparable import leave_to_person, why_not_comparable
from treadle.tasks.gate.decide import FEWEST_OF_A_CLASS, FEWEST_ROWS, LUCK, decide_verdict, enough
from treadle.tasks.gate.grouped import gap_metrics
from treadle.tasks.gate.limits import Cost, over_limits
from treadle.tasks.gate.measure import POWER, SURE, WORTH, measure_gain
from treadle.tasks.gate.resample import gain_draws, gain_spread
from treadle.tasks.gate.slicing import slice_values
from treadle.tasks.gate.values import DETECT_SHARE, Basis, Decision, GateSpec, Judged, SliceVerdict, Verdict

__all__ = [
    "DETECT_SHARE",
    "FEWEST_OF_A_CLASS",
    "FEWEST_ROWS",
    "LUCK",
    "POWER",
    "SURE",
    "WORTH",
    "Basis",
    "Cost",
    "Decision",
    "GateSpec",
    "GivenAway",
    "Judged",
    "PastVerdict",
    "SliceVerdict",
    "Verdict",
    "decide_verdict",
    "enough",
    "gain_draws",
    "gain_spread",
    "gap_metrics",
    "given_away",
    "leave_to_person",
    "measure_gain",
    "over_limits",
    "slice_values",
    "why_not_comparable",
]
