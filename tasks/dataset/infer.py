"""From a table's profile to what a pipeline's config should say, each choice with its reason.

Values decide; names count where the values allow it (`names`). What is not certain is left out: no key rather than a
wrong one, a number rather than a category. A person's own choice (`wanted`) always holds, if the values allow it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from treadle.tasks.dataset import entities, hindsight, names
from treadle.tasks.dataset import key as key_
from treadle.tasks.dataset.duplicates import propose_duplicates
from treadle.tasks.dataset.proposal import Proposal
from treadle.tasks.dataset.schema import Schema, nearest, quote
from treadle.tasks.dataset.target import aim
from treadle.tasks.dataset.typing import typed_relation
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from treadle.tasks.dataset.profile import ColumnFacts, Profile
    from treadle.tasks.dataset.proposal import Wanted

FEWEST_TIMES = 10
"""A time split needs so many different times."""
MOST_TWICE = 0.05
"""A key by which more rows than this collide is not the key."""
FREE_TEXT = 40
"""Text of so many characters on average, mostly different, was written by people and not chosen from a list."""
MOST_LEVELS = 1_000
ROWS_PER_CODE = 20
"""A code is a category where each value has so many rows on average."""


def infer(con: duckdb.DuckDBPyConnection, profile: Profile, target: str, wanted: Wanted) -> Proposal:
    """Decide target, key, time, split, drop and categories, in this order.

    Raises TargetError where the target cannot be learned, UsageError where `wanted` does not fit the table.
    """
    goal = aim(profile, target, wanted.task)
    proposal = Proposal(aim=goal, schema=profile.schema, missing=profile.missing)
    others = [facts for facts in profile.columns if facts.name != target]
    _set_aside(proposal, others)
    _choose_key(con, profile, proposal, others, wanted)
    _choose_time(con, profile, proposal, others, wanted)
    _choose_group(con, profile, proposal, others)
    _set_ids_aside(proposal, others)
    _choose_categories(proposal, others)
    _drop_leaks(con, profile, proposal, others)
    _settle_kinds(proposal, profile)
    propose_duplicates(con, profile, proposal)
    _remark(proposal, profile)
    return proposal


def _set_aside(proposal: Proposal, others: Sequence[ColumnFacts]) -> None:
    """Drop columns that are empty or constant, count rows, or hold free text."""
    for facts in others:
        if facts.values == 0:
            proposal.drop[facts.name] = "never holds a value"
        elif facts.distinct == 1 and facts.gaps == 0:
            level = f" ({facts.levels[0][0]})" if facts.levels else ""
            proposal.drop[facts.name] = f"the same value in every row{level}"
        elif _counts_rows(facts):
            proposal.drop[facts.name] = "counts the rows of this file; the next file starts over"
        elif facts.kind == "text" and facts.length >= FREE_TEXT and facts.distinct > facts.values / 5:
            proposal.drop[facts.name] = f"free text, {facts.length:.0f} characters on average"


def _counts_rows(facts: ColumnFacts) -> bool:
    if not (facts.numeric and facts.unique and facts.whole):
        return False
    return names.is_counter(facts.name) or (facts.rises and not names.is_id(facts.name))


def _choose_key(
    con: duckdb.DuckDBPyConnection, profile: Profile, proposal: Proposal, others: Sequence[ColumnFacts], wanted: Wanted
) -> None:
    """Set the key to the person's choice, or to what the values show."""
    if wanted.key:
        _check_columns(profile, wanted.key, "--key", proposal.aim.target)
        proposal.key = tuple(dict.fromkeys(wanted.key))
        twice = key_.not_unique(con, profile, proposal.key)
        if twice > MOST_TWICE * profile.rows:
            raise UsageError(
                f"--key {', '.join(wanted.key)}: {twice:,} of {profile.rows:,} rows share it with another or lack it",
                "name more columns, or leave --key out",
            )
        proposal.why["data.key"] = "as you said" + (f"; {twice:,} rows share or lack it" if twice else "; unique")
        for name in wanted.key:
            proposal.drop.pop(name, None)
        return
    open_ = [facts for facts in others if facts.name not in proposal.drop and facts.bad == 0]
    proposal.key, proposal.why["data.key"] = key_.choose_key(con, profile, open_)


def _choose_time(
    con: duckdb.DuckDBPyConnection, profile: Profile, proposal: Proposal, others: Sequence[ColumnFacts], wanted: Wanted
) -> None:
    """The date or timestamp that says when a row came to be; then the newest rows are the ones to judge on."""
    if wanted.time:
        _check_columns(profile, (wanted.time,), "--time", proposal.aim.target)
        chosen = profile[wanted.time]
        if chosen.kind not in ("date", "timestamp", "integer", "number"):
            raise UsageError(
                f"--time {wanted.time!r} holds {chosen.kind}, which has no order in time ({chosen.inferred.why})",
                "name a column of dates or timestamps",
            )
        proposal.drop.pop(wanted.time, None)
    else:
        fitting = [
            facts
            for facts in others
            if facts.kind in ("date", "timestamp")
            and facts.gaps == facts.bad == 0
            and facts.distinct >= FEWEST_TIMES
            and names.event_time(facts.name)
        ]
        if not fitting:
            return
        chosen = max(fitting, key=lambda facts: names.event_time(facts.name))
    proposal.time = chosen.name
    proposal.naive = chosen.kind == "timestamp" and "TIME ZONE" not in chosen.inferred.raw_type
    span = f"{str(chosen.low)[:10]} to {str(chosen.high)[:10]}"
    read = f", written {chosen.column.format}" if chosen.column.format else ""
    proposal.why["data.time"] = f"when the row came to be: {span}{read}"
    if lacking := _lacks(con, profile, proposal):
        proposal.why["split.strategy"] = f"by time would be fairer, but {lacking}"
    else:
        proposal.strategy = "time"
        proposal.why["split.strategy"] = "the rows are dated, and in use a model meets newer ones"


def _lacks(con: duckdb.DuckDBPyConnection, profile: Profile, proposal: Proposal) -> str:
    """What a time split of 0.2 and 0.2 would lack; empty where it is fine."""
    goal = proposal.aim
    columns = (profile.schema.column(proposal.time), profile.schema.column(goal.target))
    typed = typed_relation(profile.raw, Schema(columns=columns), profile.missing, "")
    t, y = quote(proposal.time), quote(goal.target)
    rows = f"(SELECT {t} AS t, {y} AS y FROM ({typed}) WHERE {t} IS NOT NULL AND {y} IS NOT NULL)"
    cuts = f"(SELECT quantile_disc(t, 0.8) AS late, quantile_disc(t, 0.64) AS middle FROM {rows})"
    parts = ("t >= late", "t >= middle AND t < late", "t < middle")
    counts = ", ".join(f"count(*) FILTER ({part}), count(DISTINCT y) FILTER ({part})" for part in parts)
    row = con.execute(f"SELECT {counts} FROM {rows}, {cuts}").fetchone()
    for name, rows_there, labels in zip(("newest", "validation", "oldest"), row[::2], row[1::2], strict=True):
        if rows_there < 20:
            return f"the {name} part would have {rows_there} rows"
        if goal.task != "regression" and labels < (len(goal.classes) if name == "oldest" else 2):
            return f"the {name} rows lack a class"
    return ""


def _choose_group(
    con: duckdb.DuckDBPyConnection, profile: Profile, proposal: Proposal, others: Sequence[ColumnFacts]
) -> None:
    """Choose the id of entities with several rows: all rows of one stay in one part, so that none is in two.

    Where rows cross two kinds of entities neither is the group.
    """
    named = proposal.key if len(proposal.key) == 1 else ()
    open_ = [facts for facts in others if facts.name not in (*proposal.drop, *named)]
    fitting = entities.possible_groups(open_)
    if not fitting:
        return
    chosen = fitting[0]
    each = f"{chosen.distinct:,} of them in {chosen.values:,} rows"
    if proposal.strategy == "time":
        proposal.remarks.append(
            f"{chosen.name} comes back ({each}): where new ones matter more than new times, "
            f"use strategy = 'group' and group = {chosen.name!r}"
        )
        return
    if other := entities.crossed_with(con, profile, chosen, open_):
        proposal.why["split.strategy"] = f"{chosen.name} and {other.name} both come back, so both are features"
        proposal.remarks.append(
            f"{chosen.name} ({each}) and {other.name} ({other.distinct:,}) are features: where the rows to predict are "
            f"of new ones, use strategy = 'group' and group = {chosen.name!r}"
        )
        return
    proposal.strategy, proposal.group = "group", chosen.name
    proposal.why["split.strategy"] = "an id comes back in several rows, which stay in one part"
    proposal.why["split.group"] = f"{each}; it is no feature itself"
    code = f" and add {chosen.name!r} to data.categories" if chosen.kind == "integer" else ""
    proposal.remarks.append(
        f"{chosen.name} keeps the parts apart, so it is no feature: where the same ones come back in the rows to "
        f"predict, set strategy = 'random', take group out{code}"
    )


def _set_ids_aside(proposal: Proposal, others: Sequence[ColumnFacts]) -> None:
    """Drop ids of rows, and of things with less than two rows each: a tree would memorise them."""
    settled = {*proposal.drop, *(proposal.key if len(proposal.key) == 1 else ()), proposal.group, proposal.time}
    for facts in others:
        if facts.name in settled or facts.kind not in ("integer", "text"):
            continue
        stays = "; it stays in the key" if facts.name in proposal.key else ""
        rare = facts.values < entities.ROWS_EACH * facts.distinct and facts.distinct > ROWS_PER_CODE
        if names.is_id(facts.name) and facts.unique:
            proposal.drop[facts.name] = "an id, different in every row"
        elif names.is_thing(facts.name) and rare:
            proposal.drop[facts.name] = f"an id: {facts.distinct:,} different ones in {facts.values:,} rows{stays}"
        elif facts.name in proposal.key:
            continue
        elif facts.kind == "text" and facts.distinct > max(50, facts.values / 2):
            proposal.drop[facts.name] = f"mostly different: {facts.distinct:,} values in {facts.values:,} rows"


def _choose_categories(proposal: Proposal, others: Sequence[ColumnFacts]) -> None:
    """Whole numbers that are names: ids that come back, or codes, few and often; 0 and 1 need no such care."""
    taken = {*proposal.drop, proposal.group, proposal.time, *(proposal.key if len(proposal.key) == 1 else ())}
    for facts in others:
        if facts.name in taken or not facts.numeric or not facts.whole or facts.bad or facts.distinct < 3:
            continue
        few = facts.distinct <= min(MOST_LEVELS, facts.values / ROWS_PER_CODE)
        if names.is_code(facts.name) and few:
            proposal.categories[facts.name] = f"{facts.distinct} codes, not amounts"
        elif entities.come_back(facts):
            each = facts.values / facts.distinct
            proposal.categories[facts.name] = f"{facts.distinct:,} ids that come back, {each:,.3g} rows each"


def _drop_leaks(
    con: duckdb.DuckDBPyConnection, profile: Profile, proposal: Proposal, others: Sequence[ColumnFacts]
) -> None:
    """Drop what is known only after the fact."""
    taken = {*proposal.drop, *proposal.key, proposal.group, proposal.time}
    open_ = [facts for facts in others if facts.name not in taken]
    goal = profile[proposal.aim.target]
    for proof in hindsight.columns_giving_target(con, profile, open_, goal, proposal.aim.task):
        for name in proof.columns:
            proposal.categories.pop(name, None)
            proposal.drop[name] = f"known only with the target: {proof.how}"


def _settle_kinds(proposal: Proposal, profile: Profile) -> None:
    """Whole floats become whole numbers where they are labels, codes or flags (a file with gaps writes 1 as 1.0)."""

    def settled(facts: ColumnFacts) -> bool:
        flag = facts.distinct <= 2 and facts.low == 0 and facts.high == 1
        named = facts.name in proposal.categories or facts.name in proposal.key
        label = facts.name == proposal.aim.target and proposal.aim.task != "regression"
        return facts.kind == "number" and facts.whole and facts.bad == 0 and (flag or named or label)

    proposal.schema = Schema(
        columns=tuple(
            facts.column.model_copy(update={"kind": "integer"}) if settled(facts) else facts.column
            for facts in profile.columns
        )
    )
    if settled(goal := profile[proposal.aim.target]):
        whole = tuple(int(label) for label in proposal.aim.classes)
        positive = None if proposal.aim.positive is None else int(proposal.aim.positive)
        proposal.aim = replace(proposal.aim, classes=whole, positive=positive)
        assert goal.whole


def _remark(proposal: Proposal, profile: Profile) -> None:
    """Add remarks on what a person should look at."""
    for facts in profile.columns:
        if facts.bad:
            examples = ", ".join(repr(text) for text in facts.inferred.examples) or "infinity"
            many = "1 value is" if facts.bad == 1 else f"{facts.bad:,} values are"
            proposal.remarks.append(f"{facts.name}: {many} no {facts.kind} ({examples}); such rows go to quarantine")
        if facts.inferred.also:
            proposal.remarks.append(f"{facts.name}: {facts.inferred.why} (meta.format in the suite)")
        if facts.values == 0:
            continue
        if facts.gaps > 0.5 * facts.rows and facts.name not in proposal.drop and facts.name != proposal.aim.target:
            proposal.remarks.append(f"{facts.name}: {facts.gaps / facts.rows:.0%} of the rows have no value")


def _check_columns(profile: Profile, columns: Sequence[str], option: str, target: str) -> None:
    for name in columns:
        if name == target:
            raise UsageError(f"{option}: {name!r} is the target", "name another column")
        if name not in profile.names:
            close = nearest(name, profile.names)
            raise UsageError(
                f"{option}: there is no column {name!r}",
                f"did you mean {close!r}?" if close else f"columns: {', '.join(profile.names)}",
            )
