"""`treadle quarantine`: refused rows with their reasons, and a person's decision to release or drop them.

Nothing leaves the quarantine without a decision. The ledger records who decided, when and why.
"""

from __future__ import annotations

from treadle.flows.project.quarantine.decisions import DropResult, ReleaseResult, run_drop, run_release
from treadle.flows.project.quarantine.listing import ListResult, ShowResult, run_list, run_show

__all__ = ["DropResult", "ListResult", "ReleaseResult", "ShowResult", "run_drop", "run_list", "run_release", "run_show"]
