"""The ledger: batches and decisions about them, model versions, promotions, reads of holdouts, and leases.

Every write is one transaction and may be repeated; promotions are compare-and-swap. One database for all
pipelines of a home: SQLite (`mlruns/treadle.db`), or PostgreSQL by its URL.
"""

from __future__ import annotations

from treadle.infra.databases.ledger.book import Ledger
from treadle.infra.databases.ledger.records import (
    BatchRecord,
    Declined,
    LabelRecord,
    Lease,
    Promotion,
    QuarantineDecision,
    VersionRecord,
    Withdrawal,
)

__all__ = [
    "BatchRecord",
    "Declined",
    "LabelRecord",
    "Lease",
    "Ledger",
    "Promotion",
    "QuarantineDecision",
    "VersionRecord",
    "Withdrawal",
]
