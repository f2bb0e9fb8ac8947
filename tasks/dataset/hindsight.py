"""Columns that give the target away: their values exist only once the target is known.

Suspects are found on a sample and confirmed on all rows. The checks are certain and cheap: a column whose every value
goes with one class, a number that parts two classes at one threshold, a number that rises or falls with the target
without exception, two numbers whose sum or difference is the target. The gate looks for more, with models.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from treadle.tasks.dataset.schema import Schema, quote
from treadle.tasks.dataset.typing import typed_relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

    from treadle.tasks.dataset.profile import ColumnFacts, Profile

SAMPLE_ROWS = 20_000
PAIR_ROWS = 2_000
PAIRED = 40
"""Sums are tried among at most so many numeric columns."""
FEWEST_ROWS = 100
FEWEST_TO_PART = 500
"""So many rows it takes before a perfect threshold is no luck."""
ROWS = "{rows}"


@dataclass(frozen=True, slots=True)
class TargetProof:
    """Columns that together give the target, and how; `proof` is SQL with one boolean, over a relation ROWS."""

    columns: tuple[str, ...]
    how: str
    proof: str


def columns_giving_target(
    con: duckdb.DuckDBPyConnection, profile: Profile, columns: Sequence[ColumnFacts], target: ColumnFacts, task: str
) -> tuple[TargetProof, ...]:
    """Those of `columns` that give the target in every row that has one."""
    if target.values < FEWEST_ROWS:
        return ()
    step = max(1, profile.rows // SAMPLE_ROWS)
    values = ", ".join(_roughly(facts) for facts in (*columns, target))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE suspects AS SELECT * FROM (SELECT {values} FROM {quote(profile.raw.view)} "
        f"WHERE _ordinal % {step} = 0) WHERE {quote(target.name)} IS NOT NULL"
    )
    suspects = [one for one in _suspects(columns, target, task) if _holds(con, one, "suspects")]
    if task == "regression":
        suspects += _sums(con, columns, target)
    found: list[TargetProof] = []
    for one in suspects:
        named = {name for other in found for name in other.columns}
        if named.isdisjoint(one.columns) and _holds(con, one, _typed(profile, (*one.columns, target.name))):
            found.append(one)
    return tuple(found)


def _roughly(facts: ColumnFacts) -> str:
    """A column as a number where it is one, else as it came: good enough to suspect, and far cheaper than typing."""
    c = quote(facts.name)
    return f"TRY_CAST({c} AS DOUBLE) AS {c}" if facts.numeric else c


def _typed(profile: Profile, names: Sequence[str]) -> str:
    """All rows that have a target (the last of `names`), typed as the suite types them."""
    schema = Schema(columns=tuple(profile.schema.column(name) for name in names))
    typed = typed_relation(profile.raw, schema, profile.missing, "")
    return f"(SELECT * FROM ({typed}) WHERE {quote(names[-1])} IS NOT NULL)"


def _holds(con: duckdb.DuckDBPyConnection, suspect: TargetProof, rows: str) -> bool:
    return bool(con.execute(suspect.proof.replace(ROWS, rows)).fetchone() == (True,))


def _suspects(columns: Sequence[ColumnFacts], target: ColumnFacts, task: str) -> Iterator[TargetProof]:
    for facts in columns:
        if task == "regression" and facts.numeric and facts.distinct > target.distinct / 2 > 10:
            for order, how in (("ASC", "rises"), ("DESC", "falls")):
                yield TargetProof((facts.name,), f"{how} with it in every row", _monotone(facts, target, order))
        if task != "regression" and 2 <= facts.distinct <= facts.rows / 10:
            yield TargetProof((facts.name,), "each of its values goes with one class only", _decides(facts, target))
        if task == "binary" and facts.numeric and facts.values >= max(FEWEST_TO_PART, facts.rows / 2):
            yield TargetProof(
                (facts.name,), "one threshold on it parts the classes in every row", _parts(facts, target)
            )


def _decides(facts: ColumnFacts, target: ColumnFacts) -> str:
    c, y = quote(facts.name), quote(target.name)
    pairs, singles = (f"(SELECT count(*) FROM (SELECT DISTINCT {what} FROM {ROWS}))" for what in (f"{c}, {y}", c))
    return f"SELECT {pairs} = {singles}"


def _parts(facts: ColumnFacts, target: ColumnFacts) -> str:
    c, y = quote(facts.name), quote(target.name)
    one, other = (f"{y} = (SELECT {end}({y}) FROM {ROWS})" for end in ("min", "max"))
    return (
        f"SELECT max({c}) FILTER ({one}) < min({c}) FILTER ({other}) "
        f"OR max({c}) FILTER ({other}) < min({c}) FILTER ({one}) FROM {ROWS}"
    )


def _monotone(facts: ColumnFacts, target: ColumnFacts, order: str) -> str:
    c, y = quote(facts.name), quote(target.name)
    ordered = f"lag({y}) OVER (ORDER BY {c} {order}, {y}) AS before FROM {ROWS} WHERE {c} IS NOT NULL"
    return f"SELECT bool_and(coalesce(y >= before, true)) FROM (SELECT {y} AS y, {ordered})"


def _sums(con: duckdb.DuckDBPyConnection, columns: Sequence[ColumnFacts], target: ColumnFacts) -> list[TargetProof]:
    """Pairs of numbers whose sum or difference is the target, tried all at once on few rows."""
    names = [facts.name for facts in columns if facts.numeric and facts.distinct > 10][:PAIRED]
    if target.distinct <= 10 or len(names) < 2:
        return []
    tries = [
        TargetProof(
            (a, b),
            f"{left} {sign} {right} = {target.name} in every row",
            _adds_up(f"{quote(left)} {sign} {quote(right)}", target),
        )
        for a, b in combinations(names, 2)
        for left, sign, right in ((a, "+", b), (a, "-", b), (b, "-", a))
    ]
    few = f"(SELECT * FROM suspects LIMIT {PAIR_ROWS})"
    tests = ", ".join(one.proof.removeprefix("SELECT ").removesuffix(f" FROM {ROWS}") for one in tries)
    held = con.execute(f"SELECT {tests} FROM {few}").fetchone()
    return [one for one, holds in zip(tries, held, strict=True) if holds]


def _adds_up(formula: str, target: ColumnFacts) -> str:
    y = quote(target.name)
    return f"SELECT coalesce(bool_and(abs({formula} - {y}) <= 1e-9 * (1 + abs({y}))), false) FROM {ROWS}"
