"""Engines for SQLite and PostgreSQL, SQLite files that are created atomically, the ledger, Optuna's studies."""
