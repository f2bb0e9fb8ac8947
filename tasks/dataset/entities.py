"""Who or what rows are about, where the same ones come back: users, films, shops, patients.

Such a column is a feature where the same ones are met again in use, and a group where new ones are: all rows of one
then stay in one part of the split, and the model may not see the column. Where rows cross two of them (who rates which
film) they come back, and so will those to predict. One alone (the patient of a visit) is a group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.dataset import names
from treadle.tasks.dataset.schema import Schema, quote
from treadle.tasks.dataset.typing import typed_relation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from treadle.tasks.dataset.profile import ColumnFacts, Profile

ROWS_EACH = 2
"""From so many rows each on average an entity is worth learning about."""
FEWEST_ENTITIES = 10
MOST_ROWS_EACH = 200
"""An id with more rows than this each is a fixed circle (stores, sensors), not a sample of people or things."""
CROSSED = 0.5
"""Two columns cross where at least this share of their rows is a pair of its own."""


def come_back(facts: ColumnFacts) -> bool:
    """Whether a column names entities of which each has two rows or more, on average."""
    whole = facts.kind == "text" or (facts.numeric and facts.whole)
    return whole and names.is_thing(facts.name) and 3 <= facts.distinct <= facts.values / ROWS_EACH


def possible_groups(columns: Sequence[ColumnFacts]) -> list[ColumnFacts]:
    """Those of `columns` that name people or things of which some have several rows, the fewest levels first."""
    fitting = [
        facts
        for facts in columns
        if facts.kind in ("integer", "text")
        and facts.distinct >= FEWEST_ENTITIES
        and 1.01 * facts.distinct < facts.values <= MOST_ROWS_EACH * facts.distinct
        and facts.gaps + facts.bad <= 0.01 * facts.rows
        and names.comes_back(facts.name)
    ]
    return sorted(fitting, key=lambda facts: facts.distinct)


def crossed_with(
    con: duckdb.DuckDBPyConnection, profile: Profile, group: ColumnFacts, columns: Sequence[ColumnFacts]
) -> ColumnFacts | None:
    """The first of `columns` whose entities `group`'s meet in ever other pairs; None where there is none.

    Both have two rows each or more. A patient's visits are to one hospital, so those two do not cross.
    """
    if not come_back(group):
        return None
    for other in columns:
        if other.name == group.name or other.distinct < FEWEST_ENTITIES or not come_back(other):
            continue
        schema = Schema(columns=(profile.schema.column(group.name), profile.schema.column(other.name)))
        typed = typed_relation(profile.raw, schema, profile.missing, "")
        both = f"SELECT {quote(group.name)}, {quote(other.name)} FROM ({typed})"
        (pairs,) = con.execute(f"SELECT count(*) FROM (SELECT DISTINCT * FROM ({both}))").fetchone()
        if pairs >= CROSSED * profile.rows:
            return other
    return None
