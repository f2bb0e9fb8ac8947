"""Rows whose inputs are all equal: copies of one row, or observations of their own?

Copies must stay in one part of a split: a model that has seen one knows the other. Where a few columns of few levels
describe a row, many rows are equal by nature, and rows to predict will be equal to them too: left out together, they
would teach the search that nothing is gained from what it saw before. The labels distinguish the two cases: those of
copies agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.dataset.schema import quote
from treadle.tasks.dataset.typing import typed_relation

if TYPE_CHECKING:
    import duckdb

    from treadle.tasks.dataset.profile import Profile
    from treadle.tasks.dataset.proposal import Proposal

FEWEST_REPEATED, LEAST_REPEATED = 20, 0.01
"""Rows, and the share of all rows, that have to repeat an earlier one before anything is proposed."""

FEWEST_MIXED = 10
"""Fewest contents with different labels."""

FEWEST_PAIRS = 20
"""Contents of exactly two rows, from which on their labels have to disagree as well: copies are pairs most often."""

LEAST_DISAGREEMENT = 0.2
"""Rows of one content differ in the label at least this often, relative to any two rows."""


def propose_duplicates(con: duckdb.DuckDBPyConnection, profile: Profile, proposal: Proposal) -> None:
    """Propose that rows of equal inputs are parted one by one in a random split, where their labels show that they may.

    Two rows of one content, drawn from all that repeat an earlier row, differ in the label with some probability; any
    two rows differ with another one (the Gini index of the target). The first is compared with the second. Rows without
    a label do not count. With a key nothing is proposed, because then the key parts the rows.
    """
    if proposal.key or proposal.strategy != "random":
        return
    target = quote(proposal.aim.target)
    names = [name for name in proposal.schema.names if name not in (proposal.aim.target, *proposal.drop)]
    if not names:
        return
    inputs = ", ".join(quote(name) for name in names)
    typed = typed_relation(profile.raw, proposal.schema, profile.missing, "")
    labels = f"SELECT hash({inputs}) AS content, {target} AS label FROM ({typed}) WHERE {target} IS NOT NULL"
    counted = f"SELECT content, label, count(*) AS n FROM ({labels}) GROUP BY ALL"
    each = "SELECT sum(n)::DOUBLE AS n, sum(n * n)::DOUBLE AS agreeing, count(*) AS labels FROM cells GROUP BY content"
    shares = "SELECT sum(n)::DOUBLE AS n FROM cells GROUP BY label"
    row = con.execute(
        f"WITH cells AS ({counted}), each AS ({each}), shares AS ({shares}) "
        "SELECT sum(n), sum(n - 1), sum((n * n - agreeing) / n), count(*) FILTER (labels > 1), "
        "count(*) FILTER (n = 2), count(*) FILTER (n = 2 AND labels = 2), "
        "(SELECT 1 - sum(n * n) / (sum(n) * sum(n)) FROM shares) FROM each"
    ).fetchone()
    rows, repeated, differing, mixed, pairs, differing_pairs, gini = (float(value or 0) for value in row)
    if repeated < max(FEWEST_REPEATED, LEAST_REPEATED * rows) or mixed < FEWEST_MIXED:
        return
    if differing < LEAST_DISAGREEMENT * repeated * gini:
        return
    if pairs >= FEWEST_PAIRS and differing_pairs < LEAST_DISAGREEMENT * pairs * gini:
        return
    proposal.duplicates = "apart"
    proposal.why["split.duplicates"] = (
        f"{repeated:,.0f} of {rows:,.0f} rows have the inputs of an earlier row, and their labels differ: "
        "they are observations of their own, not copies"
    )
