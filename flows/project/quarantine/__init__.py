"""`treadle quarantine`: what was refused and why, and what a person makes of it: released or dropped.

Nothing leaves the quarantine by itself. A decision stands in the ledger with who, when and why.
"""

from __future__ import annotations

from treadle.flows.project.quarantine.decisions import DropResult, ReleaseResult, drop, release
from treadle.flows.project.quarantine.listing import ListResult, ShowResult, list_open, show

__all__ = ["DropResult", "ListResult", "ReleaseResult", "ShowResult", "drop", "list_open", "release", "show"]
