"""`treadle quarantine`: what was refused and why, and what a person makes of it: released or dropped.

Nothing leaves the quarantine by itself. A decision stands in the ledger with who, when and why.
"""

from __future__ import annotations

from treadle.flows.project.quarantine.decisions import DropResult, ReleaseResult, run_drop, run_release
from treadle.flows.project.quarantine.listing import ListResult, ShowResult, run_list, run_show

__all__ = ["DropResult", "ListResult", "ReleaseResult", "ShowResult", "run_drop", "run_list", "run_release", "run_show"]
