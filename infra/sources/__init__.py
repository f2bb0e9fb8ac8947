"""Where rows and labels come from: what waits in a source, known by its content, and opened as a DuckDB relation."""

from __future__ import annotations

from treadle.infra.sources.files import covers, find_files, fingerprint, open_raw

__all__ = ["covers", "find_files", "fingerprint", "open_raw"]
