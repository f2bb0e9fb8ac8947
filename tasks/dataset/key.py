"""Which columns name the rows of a table: no key rather than a wrong one."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from treadle.tasks.dataset import names
from treadle.tasks.dataset.schema import Schema, quote
from treadle.tasks.dataset.typing import typed_relation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from treadle.tasks.dataset.profile import ColumnFacts, Profile

MOST_PAIRS = 12


def choose_key(
    con: duckdb.DuckDBPyConnection, profile: Profile, columns: Sequence[ColumnFacts]
) -> tuple[tuple[str, ...], str]:
    """One unique id, an id (or an hour) and a time that are unique together, or the day of daily rows; and why.

    The key is empty where none of these is there.
    """
    ids = [facts for facts in columns if facts.unique and names.is_id(facts.name) and facts.kind in ("integer", "text")]
    if ids:
        restarts = "; if the next file starts over, drop it instead" if ids[0].rises else ""
        return (ids[0].name,), f"an id, different in every row; kept out of the features{restarts}"
    whole = [facts for facts in columns if facts.gaps == 0 and not facts.unique]
    times = [facts for facts in whole if facts.kind in ("date", "timestamp") and names.event_time(facts.name)]
    parts = [facts for facts in whole if _may_complete(facts)]
    pairs = [(time.name, part.name) for time in times for part in parts]
    pairs += [(time.name, place.name) for time in times for place in whole if _may_have_a_row_each(time, place)]
    for pair in pairs[:MOST_PAIRS]:
        if not_unique(con, profile, pair) == 0:
            return pair, "no two rows share both"
    moments = [facts for facts in columns if facts.unique and facts.kind in ("date", "timestamp")]
    for facts in moments:
        if facts.kind == "date" and names.event_time(facts.name) and _regular(facts):
            return (facts.name,), "a row a day (or a week, a month): no two have the same"
    if moments:
        return (), f"no id names the rows; {moments[0].name} differs in each: name it if it always will"
    return (), "no column names the rows"


def not_unique(con: duckdb.DuckDBPyConnection, profile: Profile, columns: Sequence[str]) -> int:
    """How many rows share their values in `columns` with an earlier row, or lack one of them."""
    schema = Schema(columns=tuple(profile.schema.column(name) for name in columns))
    typed = typed_relation(profile.raw, schema, profile.missing, "")
    parts = ", ".join(quote(name) for name in columns)
    whole = " AND ".join(f"{quote(name)} IS NOT NULL" for name in columns)
    row = con.execute(f"SELECT count(*) FROM (SELECT DISTINCT {parts} FROM ({typed}) WHERE {whole})").fetchone()
    return profile.rows - int(row[0])


def _may_complete(facts: ColumnFacts) -> bool:
    """Whether a column can name a row of one time: an id that comes back, or the hour of a day."""
    if set(names.words(facts.name)) & names.HOURS:
        return facts.kind == "integer" and facts.low == 0 and facts.high == 23
    return facts.kind in ("integer", "text") and (names.is_id(facts.name) or names.comes_back(facts.name))


def _may_have_a_row_each(time: ColumnFacts, place: ColumnFacts) -> bool:
    """Whether a column names places or things (shops, cities) of which each has a row a time, and not by chance."""
    if place.kind not in ("integer", "text") or not (names.is_open(place.name) or names.is_code(place.name)):
        return False
    return _never_by_chance(time.rows, time.distinct * place.distinct)


def _regular(facts: ColumnFacts) -> bool:
    """Whether dates are a row a day, week or month, and not of any days."""
    days = (date.fromisoformat(str(facts.high)[:10]) - date.fromisoformat(str(facts.low)[:10])).days + 1
    return _never_by_chance(facts.rows, days)


def _never_by_chance(rows: int, cells: int) -> bool:
    """Whether rows that fell at random would not be all apart: n in d cells are with exp(-n^2 / 2d) at most, here e^-5.

    The birthday problem.
    """
    return rows**2 >= 10 * cells
