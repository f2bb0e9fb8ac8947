"""A pipeline's file as `init` writes it: every choice with its reason beside it, for a person to check."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from treadle.tasks.config.spec import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.tasks.dataset.profile import ColumnFacts, Profile
    from treadle.tasks.dataset.proposal import Proposal

WIDTH = 110
COLUMN = 34
"""Comments begin here where the setting is short enough."""


def draft(name: str, table: str, sources: Sequence[str], profile: Profile, proposal: Proposal, labels: str = "") -> str:
    """The text of `pipelines/<name>.toml` for the table called `table`; it loads as it stands.

    `labels` is where late labels will arrive; without a key none can.
    """
    rows = f"{profile.rows:,} rows, {len(profile.columns)} columns"
    lines = [
        "#:schema ./pipeline.schema.json",
        _note(f"Written by `treadle init` from {table}: {rows}."),
        f"# {_kinds(proposal)}: types and rules are in expectations/{name}.json.",
        "# Read both, correct them, keep them in git. A key that is not here has its default (docs/config.md).",
        f"name = {value(name)}",
        "",
        "[data]",
        *_data(sources, profile, proposal),
        "",
        *_labels(labels, proposal),
        *_split(proposal),
    ]
    if proposal.remarks:
        lines += ["", "# Worth a look:", *(_note(remark) for remark in proposal.remarks)]
    return "\n".join(lines) + "\n"


def _labels(source: str, proposal: Proposal) -> Iterable[str]:
    named = {name.casefold() for name in (*proposal.key, proposal.aim.target)}
    if source and proposal.key and "observed_at" not in named:
        yield "[labels]"
        yield from _setting("source", source, "labels that come later: files with key and target")
        yield ""


def value(item: object) -> str:
    """A TOML value: text, boolean, number or a list of them."""
    if isinstance(item, list | tuple):
        return "[" + ", ".join(value(one) for one in item) + "]"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int | float):
        return repr(item)
    # JSON's escapes are TOML's, but TOML wants DEL escaped as well
    return json.dumps(str(item), ensure_ascii=False).replace("\x7f", "\\u007f")


def _data(sources: Sequence[str], profile: Profile, proposal: Proposal) -> Iterable[str]:
    goal, why = proposal.aim, proposal.why
    if len(sources) > 1:
        yield from _listed("source", {sources[0]: "the table itself", sources[1]: "where new files arrive"})
    else:
        yield from _setting("source", list(sources), "where files arrive")
    yield from _setting("target", goal.target, goal.why_target)
    yield from _setting("task", goal.task, goal.why_task)
    if goal.positive is not None:
        yield from _setting("positive", goal.positive, f"whose probability is predicted: {goal.why_positive}")
    if proposal.key:
        yield from _setting("key", list(proposal.key), why.get("data.key", ""))
    else:
        yield _note(f"no key: {why.get('data.key', 'no column names the rows')}")
    if proposal.time:
        yield from _setting("time", proposal.time, why["data.time"])
    if proposal.order:
        yield from _setting("order", proposal.order, why["data.order"])
    if proposal.naive:
        yield from _setting("timezone", "UTC", 'times name no zone; if they are local, say e.g. "Europe/Berlin"')
    if proposal.categories:
        yield from _listed("categories", proposal.categories)
    if proposal.drop:
        yield from _listed("drop", proposal.drop)
    marks = {mark: [facts.name for facts in profile.columns if mark in _marks(facts)] for mark in proposal.missing}
    present = {mark: columns for mark, columns in marks.items() if columns}
    occurrences = "; ".join(f"{value(mark)} in {_some(columns)}" for mark, columns in present.items())
    if proposal.missing != MISSING:
        yield from _setting("missing", list(proposal.missing), f"texts that mean no value: {occurrences}")
    elif occurrences:
        yield _note(f"missing is left as it is: blanks, {occurrences}")


def _marks(facts: ColumnFacts) -> tuple[str, ...]:
    return (*facts.inferred.marks, *facts.inferred.strays)


def _kinds(proposal: Proposal) -> str:
    """`6 integer, 9 text columns`."""
    kinds = [column.kind for column in proposal.schema.columns]
    counted = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
    return f"{', '.join(counted)} column{'s' if len(kinds) != 1 else ''}"


def _split(proposal: Proposal) -> Iterable[str]:
    why = proposal.why.get("split.strategy", "no column dates the rows or names who comes back")
    if proposal.strategy == "random":
        yield _note(f"[split] is random: {why}")
        if proposal.duplicates == "apart":
            yield "[split]"
            yield from _setting("duplicates", proposal.duplicates, proposal.why["split.duplicates"])
        return
    yield "[split]"
    yield from _setting("strategy", proposal.strategy, why)
    if proposal.group:
        yield from _setting("group", proposal.group, proposal.why["split.group"])


def _setting(key: str, item: object, why: str) -> Iterable[str]:
    """`key = item`, and the reason beside it, or above it where the line would be too long."""
    yield from _beside(f"{key} = {value(item)}", why)


def _listed(key: str, items: dict[str, str]) -> Iterable[str]:
    """A list with one item a line and its reason beside it."""
    yield f"{key} = ["
    for item, why in items.items():
        yield from (f"  {line}" for line in _beside(f"{value(item)},", why, COLUMN - 2))
    yield "]"


def _beside(setting: str, why: str, column: int = COLUMN) -> Iterable[str]:
    if not why:
        return [setting]
    comment = f"# {_plain(why)}"
    line = f"{setting.ljust(column)} {comment}"
    return [line] if len(line) <= WIDTH else [_note(why), setting]


def _note(sentence: str) -> str:
    """A comment on a line of its own, wrapped."""
    from textwrap import wrap

    return "\n".join(wrap(_plain(sentence), WIDTH, initial_indent="# ", subsequent_indent="#   "))


def _plain(comment: str) -> str:
    """Text that cannot end its comment: control characters and line breaks become spaces."""
    return "".join(letter if letter.isprintable() else " " for letter in comment)


def _some(columns: Sequence[str]) -> str:
    shown = ", ".join(columns[:3])
    return shown + (f" and {len(columns) - 3} more columns" if len(columns) > 3 else "")
