"""Which label a row has: SQL over `rows`, which may bring their own, and `labels`, which come later.

Every label counts from when it was observed: a late one by its `observed_at`, else from its arrival; a row's own from
the row's arrival. The newest counts, then the one that arrived last, then the one further down its file. Nothing is
ever overwritten, so the truth of any pair of versions can be asked for again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.dataset import literal, quote

if TYPE_CHECKING:
    from collections.abc import Sequence

RANK = "(coalesce(observed_at, _ingested_at), _ingested_at, _batch_id, _ordinal)"
OWN = "(_ingested_at, _ingested_at, _batch_id, _ordinal)"


def newest_labels(rows: str, labels: str, target: str, key: Sequence[str]) -> str:
    """SQL for the newest label of every key that has one: the key's columns and `target`.

    `rows` and `labels` are expressions to stand after FROM; empty where there is nothing to read. Keys whose row has
    not come yet are in it. Without a key a label stands in its row: `_batch_id`, `_ordinal` and `target`.
    """
    label = quote(target)
    if not (rows or labels):
        return f"(SELECT {', '.join(f'NULL::VARCHAR AS {quote(name)}' for name in (*key, target))} WHERE false)"
    if not key:
        return f"(SELECT _batch_id, _ordinal, {label} FROM {rows} WHERE {label} IS NOT NULL)"
    names, every = ", ".join(quote(name) for name in key), all_labels(rows, labels, target, key)
    return f"(SELECT {names}, arg_max({label}, rank) AS {label} FROM {every} GROUP BY {names})"


def labelled_rows(came: str, rows: str, labels: str, columns: Sequence[str], target: str, key: Sequence[str]) -> str:
    """SQL for one row of `came` (all its `columns`) for every key that has a label, `target` being the newest.

    It is the row that brought the label. A late label belongs to the key's newest row.
    """
    names, label = ", ".join(quote(name) for name in key), quote(target)
    truth = (
        f"SELECT {names}, arg_max({label}, rank) AS {label}, arg_max(own, rank) AS own "
        f"FROM {all_labels(rows, labels, target, key)} GROUP BY {names}"
    )
    brought = f"(truth.own AND came.{label} IS NOT NULL)" if target in columns else "false"
    chosen = (
        f"SELECT _batch_id, _ordinal, truth.{label} FROM {came} AS came JOIN ({truth}) AS truth USING ({names}) "
        f"QUALIFY row_number() OVER (PARTITION BY {names} "
        f"ORDER BY {brought} DESC, _ingested_at DESC, _batch_id DESC, _ordinal DESC) = 1"
    )
    kept = ", ".join(f"came.{quote(name)}" for name in columns if name != target)
    return f"(SELECT {kept}, chosen.{label} FROM {came} AS came JOIN ({chosen}) AS chosen USING (_batch_id, _ordinal))"


def all_labels(rows: str, labels: str, target: str, key: Sequence[str]) -> str:
    """SQL for every label of every key: the key's columns, `target`, `own` (in a row), and `rank`.

    The newest has the highest `rank`.
    """
    names, label = ", ".join(quote(name) for name in key), quote(target)
    own = f"SELECT {names}, {label}, true AS own, {OWN} AS rank FROM {rows} WHERE {label} IS NOT NULL"
    late = f"SELECT {names}, {label}, false AS own, {RANK} AS rank FROM {labels}"
    return f"({' UNION ALL BY NAME '.join([own] * bool(rows) + [late] * bool(labels))})"


def effect(fresh: str, existing: str, rows: str, target: str, key: Sequence[str], batch_id: str, arrived: str) -> str:
    """SQL that counts the labels of a file by their effect on the existing ones: columns `effect` and `labels`.

    `fresh` selects the key's columns, `target`, `observed_at` and `_ordinal`; `existing` is `all_labels` without this
    file, empty where there are none; `arrived` an SQL timestamp. Effects: `orphan` (no such row yet), `new`, `revised`,
    `repeated` (the label is what it was), `outdated` (another one, older than the newest).
    """
    names, label = ", ".join(quote(name) for name in key), quote(target)
    same = " AND ".join(f"fresh.{quote(name)} = other.{quote(name)}" for name in key)
    rank = f"(coalesce(observed_at, {arrived}), {arrived}, {literal(batch_id)}, _ordinal)"
    before = f"PARTITION BY {names} ORDER BY _ordinal ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    old = (
        f"SELECT {names}, max(rank) AS rank, arg_max({label}, rank) AS {label} FROM {existing} "
        f"SEMI JOIN fresh USING ({names}) GROUP BY {names}"
        if existing
        else f"SELECT {names}, rank, {label} FROM fresh WHERE false"
    )
    return (
        f"WITH fresh AS (SELECT *, {rank} AS rank FROM ({fresh})), old AS ({old}), "
        f"arrived AS (SELECT DISTINCT {names} FROM {rows} SEMI JOIN fresh USING ({names})), "
        f"stepped AS (SELECT *, max(rank) OVER ({before}) AS earlier, arg_max({label}, rank) OVER ({before}) "
        "AS earlier_label FROM fresh), "
        f"latest AS (SELECT fresh.*, other.rank IS NOT NULL AND (earlier IS NULL OR other.rank > earlier) AS outside, "
        f"CASE WHEN outside THEN other.rank ELSE earlier END AS latest_rank, CASE WHEN outside THEN other.{label} ELSE "
        f"earlier_label END AS latest_label FROM stepped AS fresh LEFT JOIN old AS other ON {same}) "
        "SELECT CASE WHEN other.there IS NULL THEN 'orphan' WHEN latest_rank IS NULL THEN 'new' "
        f"WHEN fresh.{label} = latest_label THEN 'repeated' WHEN rank < latest_rank THEN 'outdated' ELSE 'revised' END "
        "AS effect, count(*) AS labels FROM latest AS fresh "
        f"LEFT JOIN (SELECT *, true AS there FROM arrived) AS other ON {same} GROUP BY effect"
    )
