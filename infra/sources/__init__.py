"""Where rows and labels come from: the files of a source, their fingerprints, and their DuckDB relations."""

from __future__ import annotations

from treadle.infra.sources.files import covers, find_files, fingerprint
from treadle.infra.sources.reading import open_raw

__all__ = ["covers", "find_files", "fingerprint", "open_raw"]
