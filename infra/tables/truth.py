"""Which label a row has: SQL over `rows`, which may bring their own, and `labels`, which come later.

Every label counts from when it was observed: a late one by its `observed_at`, else from its arrival; a row's own from
the row's arrival. The newest counts, then the one that arrived last, then the one further down its file. Nothing is
ever overwritten, so the truth of any pair of versions can be asked for again.

Which version of its row a label belongs to: `labelled_rows`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.dataset import literal, quote

if TYPE_CHECKING:
    from collections.abc import Sequence

RANK = "(coalesce(observed_at, _ingested_at), _ingested_at, _batch_id, _ordinal)"
CORRECTS = "_corrects"
"""True in rows of batches that were declared to correct; null in others, and no column before the first of them."""

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


def labelled_rows(
    came: str,
    rows: str,
    labels: str,
    columns: Sequence[str],
    target: str,
    key: Sequence[str],
    *,
    scored: str = "",
) -> str:
    """SQL for one row of `came` (all its `columns`) for every key that has a label, `target` being the newest.

    A label that stands in a row belongs to that row. A late label belongs to the row version whose prediction was the
    first that a champion made before the label was observed: these are the features that were used while the outcome
    was unknown, and the prediction that was made first is the one that could still change something. Where no version
    was scored in time, it belongs to the newest that had arrived when the label was observed, else to the oldest. A row
    of a batch that corrects (`_corrects`) takes the place of every version that arrived before it.

    A label was observed at its `observed_at`. Without one it was observed when it arrived; if it only repeats the label
    that the key had, when that one was. `scored` selects `_batch_id`, `_ordinal` and `_first_scored` of the row
    versions that a champion scored; empty where none was.
    """
    names, label = ", ".join(quote(name) for name in key), quote(target)
    brought = f"(truth.own AND came.{label} IS NOT NULL)" if target in columns else "false"
    first = f"LEFT JOIN {scored} AS scored USING (_batch_id, _ordinal)" if scored else ""
    in_time = "CASE WHEN scored._first_scored < truth.observed THEN scored._first_scored END" if scored else "NULL"
    there = "(came._ingested_at <= truth.observed)"
    corrects = "coalesce(came._corrects, false)" if CORRECTS in columns else "false"
    versions = (
        f"SELECT {names}, _batch_id, _ordinal, came._ingested_at, truth.{label}, {brought} AS brought, {corrects} AS "
        f"corrects, {in_time} AS first_scored, {there} AS there, (came._ingested_at, _batch_id, _ordinal) AS place "
        f"FROM {came} AS came JOIN ({last_words(rows, labels, target, key)}) AS truth USING ({names}) {first}"
    )
    by_rule = (
        f"row_number() OVER (PARTITION BY {names} ORDER BY brought DESC, CASE WHEN brought THEN place END DESC, "
        "first_scored ASC NULLS LAST, there DESC, CASE WHEN there THEN place END DESC, place ASC) = 1"
    )
    chosen = f"SELECT *, {by_rule} AS by_rule FROM ({versions})"
    if CORRECTS in columns:
        chosen = (
            f"SELECT * FROM (SELECT *, max(place) FILTER (by_rule) OVER (PARTITION BY {names}) AS replaced "
            f"FROM ({chosen})) WHERE by_rule OR (corrects AND place > replaced) "
            f"QUALIFY row_number() OVER (PARTITION BY {names} ORDER BY place DESC) = 1"
        )
    else:
        chosen = f"SELECT * FROM ({chosen}) WHERE by_rule"
    kept = ", ".join(f"came.{quote(name)}" for name in columns if name != target)
    return f"(SELECT {kept}, chosen.{label} FROM {came} AS came JOIN ({chosen}) AS chosen USING (_batch_id, _ordinal))"


def last_words(rows: str, labels: str, target: str, key: Sequence[str]) -> str:
    """SQL for the newest label of every key: the key's columns, `target`, `own` and when it was `observed`."""
    names, label = ", ".join(quote(name) for name in key), quote(target)
    every = all_labels(rows, labels, target, key)
    if not labels:
        return (
            f"SELECT {names}, arg_max({label}, rank) AS {label}, true AS own, arg_max(since, rank) AS observed "
            f"FROM {every} GROUP BY {names}"
        )
    newest = f"PARTITION BY {names} ORDER BY rank DESC"
    stepped = f"SELECT *, first_value({label}) OVER ({newest}) AS newest FROM {every}"
    unchanged = f"SELECT *, bool_and({label} = newest) OVER ({newest}) AS unchanged FROM ({stepped})"
    observed = "CASE WHEN arg_max(dated, rank) THEN arg_max(since, rank) ELSE min(since) FILTER (unchanged) END"
    return (
        f"SELECT {names}, any_value(newest) AS {label}, arg_max(own, rank) AS own, {observed} AS observed "
        f"FROM ({unchanged}) GROUP BY {names}"
    )


def all_labels(rows: str, labels: str, target: str, key: Sequence[str]) -> str:
    """SQL for every label of every key: the key's columns, `target`, `own` (in a row), `since`, `dated` and `rank`.

    The newest has the highest `rank`. `since` is when it was observed, or where it does not say (not `dated`) arrived.
    """
    names, label = ", ".join(quote(name) for name in key), quote(target)
    own = (
        f"SELECT {names}, {label}, true AS own, _ingested_at AS since, false AS dated, {OWN} AS rank "
        f"FROM {rows} WHERE {label} IS NOT NULL"
    )
    late = (
        f"SELECT {names}, {label}, false AS own, coalesce(observed_at, _ingested_at) AS since, "
        f"observed_at IS NOT NULL AS dated, {RANK} AS rank FROM {labels}"
    )
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
