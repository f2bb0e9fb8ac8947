"""The ledger: batches seen, versions, who is champion since when, and who read which holdout.

Every write is one transaction and may be repeated; promotions are compare-and-swap. One database for all
pipelines of a home: SQLite (`mlruns/treadle.db`), or PostgreSQL by its URL.
"""

from __future__ import annotations

from infra.ledger.book import Ledger
from infra.ledger.records import BatchRecord, Promotion, VersionRecord

__all__ = ["BatchRecord", "Ledger", "Promotion", "VersionRecord"]
