"""A first suite from a table's profile: the rules that its rows must meet.

The severities balance false and missed alarms. `critical` (refuses rows) is only what cannot be otherwise in
good rows: a type, a missing key, a negative amount, a word outside a closed set. What could merely surprise us is a
`warning`: it reports, with margins that other months and smaller files of the same table stay within.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from treadle.tasks.dataset import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import JsonValue

    from treadle.tasks.dataset.profile import ColumnFacts, Profile
    from treadle.tasks.dataset.proposal import Proposal

    Document = dict[str, JsonValue]

ENOUGH_ROWS = 2_000
"""Where none of so many rows misses a value, a miss is an error (the true share is below 0.15% with 95% confidence)."""
SMALL_BATCH = 500
"""A batch of so many rows must pass, so shares get the margin of its chance (four standard errors)."""
CLOSED_LEVELS = 8
CLOSED_ROWS = 1_000
CLOSED_EACH = 20
WATCHED_LEVELS = 30
WITHIN = 0.99
HUGE_TEXT = 1_000
BAND = 100


def starter(name: str, profile: Profile, proposal: Proposal) -> Document:
    """The suite `name` as GX's own JSON: a type for every column in order, then what else is expected of it.

    Keys, ids, times, dropped columns and the target get no ranges; the target may be missing (rows to be scored).
    """
    expectations = []
    for facts in profile.columns:
        expectations += list(_column(facts, proposal))
    if len(proposal.key) == 1:
        expectations.append(
            _expect("column_values_to_be_unique", "critical", "the key names a row", column=proposal.key[0])
        )
    elif proposal.key:
        note = "the key names a row; the same row twice counts as a duplicate"
        listed: list[JsonValue] = [*proposal.key]
        expectations.append(_expect("compound_columns_to_be_unique", "critical", note, column_list=listed))
    expectations.append(
        _expect(
            "table_row_count_to_be_between",
            "warning",
            f"this table had {profile.rows:,} rows; a hundredth or a hundred times as many is worth a look",
            min_value=max(1, profile.rows // BAND),
            max_value=profile.rows * BAND,
        )
    )
    return {"name": name, "expectations": [*expectations], "meta": {"rows": profile.rows}}


def suite_text(suite: Document) -> str:
    """The suite as it stands in its file: one expectation a line, so that a change is one line of a diff."""
    listed = suite["expectations"]
    assert isinstance(listed, list)
    lines = ",\n    ".join(json.dumps(one, ensure_ascii=False) for one in listed)
    head, meta = json.dumps(suite["name"], ensure_ascii=False), json.dumps(suite["meta"])
    return f'{{\n  "name": {head},\n  "expectations": [\n    {lines}\n  ],\n  "meta": {meta}\n}}\n'


def _expect(kind: str, severity: str, notes: str, **kwargs: JsonValue) -> JsonValue:
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity, "notes": notes}


def _column(facts: ColumnFacts, proposal: Proposal) -> Iterator[JsonValue]:
    """Everything that is expected of one column."""
    yield _type(facts, proposal)
    yield from _presence(facts, proposal)
    name, goal = facts.name, proposal.aim
    if facts.values == 0:
        return
    if name == goal.target:
        if goal.task != "regression" and facts.kind != "boolean" and goal.classes:
            classes: list[JsonValue] = sorted(goal.classes, key=str)
            note = "the classes that can be learned; another label is a mistake"
            yield _expect("column_values_to_be_in_set", "critical", note, column=name, value_set=classes)
        return
    nameless = name in proposal.drop or name in (*proposal.key, proposal.time, proposal.group)
    if facts.kind == "text":
        yield from (_texts(facts) if nameless else _levels(facts))
    elif facts.numeric and not nameless:
        # 0 and 1 are yes and no, unless they count: a second year or child may come
        flag = facts.whole and facts.low == 0 and facts.high == 1 and not names.is_amount(name)
        coded = name in proposal.categories
        if flag or coded:
            yield from _levels(facts)
        if not ((flag or coded) and _closed(facts)):
            yield from _amounts(facts, coded)


def _type(facts: ColumnFacts, proposal: Proposal) -> JsonValue:
    column = proposal.schema.column(facts.name)
    whole = " (whole numbers, written with gaps as 1.0)" if column.kind != facts.kind else ""
    expectation: Document = {
        "type": "expect_column_values_to_be_of_type",
        "kwargs": {"column": column.name, "type_": column.duckdb_type},
        "severity": "critical",
        "notes": facts.inferred.why + whole,
    }
    if column.format:
        expectation["meta"] = {"format": column.format}
    return expectation


def _presence(facts: ColumnFacts, proposal: Proposal) -> Iterator[JsonValue]:
    """Whether values may be missing: never in key and time; else as often as they were, with a margin."""
    kind, name = "column_values_to_not_be_null", facts.name
    missing = facts.gaps / facts.rows if facts.rows else 1.0
    if name in proposal.key:
        yield _expect(kind, "critical", "part of the key: without it the row has no name", column=name)
    elif name == proposal.time and proposal.strategy == "time":
        yield _expect(kind, "critical", "the split goes by it: without it the row has no place", column=name)
    elif name == proposal.aim.target or name in proposal.drop:
        return
    elif facts.gaps == 0 and facts.rows >= ENOUGH_ROWS:
        yield _expect(kind, "critical", f"never missing in {facts.rows:,} rows", column=name)
    elif missing < 0.9:
        chance = 4 * math.sqrt(missing * (1 - missing) / SMALL_BATCH)
        mostly = math.floor(100 * (1 - missing - max(0.05, missing / 2, chance))) / 100
        note = (
            f"missing in {missing:.1%} of {facts.rows:,} rows" if facts.gaps else f"few rows ({facts.rows:,}) to tell"
        )
        if mostly > 0:
            yield _expect(kind, "warning", f"{note}; much more would be news", column=name, mostly=mostly)


def _levels(facts: ColumnFacts) -> Iterator[JsonValue]:
    """The set of values: critical where it is closed, a warning where it may grow, none where it is long."""
    levels: list[JsonValue] = sorted((level for level, _, _ in facts.levels), key=str)
    if facts.inferred.column.kind == "number":
        levels = [int(level) for level in levels if isinstance(level, float)]
    note = _closed(facts)
    kind = "column_values_to_be_in_set"
    if note:
        yield _expect(kind, "critical", note, column=facts.name, value_set=levels)
    elif levels and len(levels) <= WATCHED_LEVELS and facts.rows >= CLOSED_ROWS:
        why = f"{len(levels)} values so far; new ones are welcome, but not in more than 5% of the rows"
        yield _expect(kind, "warning", why, column=facts.name, value_set=levels, mostly=0.95)
    if facts.kind == "text" and not note:
        yield from _texts(facts)


def _closed(facts: ColumnFacts) -> str:
    """Why no new value is expected, empty where one is: few values, all frequent and early, no open name."""
    if not facts.levels or len(facts.levels) > CLOSED_LEVELS or facts.rows < CLOSED_ROWS or names.is_open(facts.name):
        return ""
    least = min(count for _, count, _ in facts.levels)
    latest = max(first for _, _, first in facts.levels)
    if len(facts.levels) < 2 or least < CLOSED_EACH or latest > facts.rows / 2:
        return ""
    return (
        f"a closed set: {len(facts.levels)} values, each at least {least:,} times in {facts.rows:,} rows; "
        "if a new one is right, add it here"
    )


def _texts(facts: ColumnFacts) -> Iterator[JsonValue]:
    longest = max(HUGE_TEXT, 4 * facts.longest)
    note = f"a guard against damaged files; the longest had {facts.longest:,} characters"
    yield _expect("column_value_lengths_to_be_between", "critical", note, column=facts.name, max_value=longest)


def _amounts(facts: ColumnFacts, code: bool) -> Iterator[JsonValue]:
    """Ranges: nothing below zero where nothing was; the rest as wide warnings."""
    low, high = facts.low, facts.high
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    kind = "column_values_to_be_between"
    span = max(high - low, 0.1 * max(abs(low), abs(high)))
    signed = names.may_be_negative(facts.name) and high > 1
    if low >= 0 and not signed:
        yield _expect(kind, "critical", f"never negative in {facts.values:,} values", column=facts.name, min_value=0)
    if code or names.is_year(facts.name):
        return
    top = _round(high + span, up=True)
    note = f"from {low:,.6g} to {high:,.6g} so far; where 1% are far beyond, a unit or a sensor may have changed"
    floor = _round(low - span, up=False)
    least: Document = {} if low >= 0 >= floor and not signed else {"min_value": floor}
    yield _expect(kind, "warning", note, column=facts.name, **least, max_value=top, mostly=WITHIN)
    if facts.mean is not None and facts.spread and facts.values >= CLOSED_ROWS:
        ends = (_round(facts.mean - 2 * facts.spread, up=False), _round(facts.mean + 2 * facts.spread, up=True))
        note = f"the mean was {facts.mean:,.4g}; two standard deviations away it is another quantity"
        # a mean below zero is impossible where no value is: that end would say nothing
        least = {} if low >= 0 >= ends[0] else {"min_value": ends[0]}
        yield _expect("column_mean_to_be_between", "warning", note, column=facts.name, **least, max_value=ends[1])


def _round(value: float, up: bool) -> float | int:
    """`value` to two digits, outwards: 8,684.8 -> 8,700."""
    if value == 0:
        return 0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    rounded = (math.ceil if up else math.floor)(value / unit) * unit
    short = float(f"{rounded:.3g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
