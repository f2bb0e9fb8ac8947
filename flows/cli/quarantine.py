"""The quarantine: `quarantine list`, `show`, `release`, `drop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.flows.cli.runtime.screen import Screen, plural

if TYPE_CHECKING:
    from treadle.flows.project.quarantine import DropResult, ListResult, ReleaseResult, ShowResult

SCOPES = {"row": "some rows", "batch": "the whole batch", "file": "cannot be read"}
LONGEST = 60


def quarantine_list(result: ListResult, screen: Screen) -> None:
    """Every open batch with its reasons and what to do, then the last decisions."""
    screen.table(
        ("batch", "file", "", "rows", "when"),
        [
            (
                one.batch_id,
                one.file,
                f"{SCOPES[one.scope]}{' of labels' if one.kind == 'labels' else ''}",
                one.rows if one.scope != "file" else None,
                f"{one.at:%Y-%m-%d %H:%M}",
            )
            for one in result.batches
        ],
        title=f"Quarantine of {result.pipeline}",
    )
    for one in result.batches:
        screen.line((f"{one.batch_id}", "bold"), f"  {one.file}")
        if one.reason:
            screen.line(f"  {one.reason}")
        for rule in one.rules:
            example = "" if rule.example is None else f", for example {_short(rule.example)!r}"
            screen.line(f"  {plural(rule.rows, 'row')}: {rule.columns} must be {rule.words}{example}")
        if one.again:
            screen.line(f"  {plural(one.again, 'row')} of it came again later (same key)")
        screen.line(("  way out: ", "bold"), one.advice)
    if result.decisions:
        screen.table(
            ("when", "batch", "decision", "rows", "left", "who", "reason"),
            [
                (f"{one.at:%Y-%m-%d %H:%M}", one.batch_id, one.action, one.rows, one.left, one.who, one.reason)
                for one in result.decisions
            ],
            title="Decisions",
        )
    if result.batches:
        screen.next("the rows of a batch", "quarantine", "show", result.batches[0].batch_id)
    else:
        screen.line("nothing in quarantine waits for a decision")
        screen.next("new files", "ingest")


def quarantine_show(result: ShowResult, screen: Screen) -> None:
    """One line for every rule that a row broke."""
    lines: list[tuple[str | int | None, ...]] = []
    for row in result.rows if result.scope != "file" else ():
        place = row.ordinal + 1 if row.ordinal is not None else None
        if not row.rules:
            lines.append((place, "none of its own", "-", None, "-"))
        for nth, (rule, columns, value, words) in enumerate(
            zip(row.rules, row.columns, row.values, row.words, strict=True)
        ):
            said = "missing" if value is None or not value.strip() else _short(value)
            lines.append((place if nth == 0 else "", rule.removeprefix("expect_"), columns, said, _short(words)))
    screen.table(("row", "rule", "column", "value", "must be"), lines, title=f"{result.file} ({result.batch_id})")
    if result.reason:
        screen.line(result.reason)
    if result.total > len(result.rows):
        screen.line(f"the first {len(result.rows):,} of {plural(result.total, 'row')}; more with --limit N")
    if result.settled:
        screen.line(result.settled)
        screen.next("what is open", "quarantine", "list")
        return
    screen.hint(result.advice)


def quarantine_release(result: ReleaseResult, screen: Screen) -> None:
    """What was taken in, and what stays."""
    noun = "label" if result.kind == "labels" else "row"
    screen.line(
        (f"{plural(result.released, noun)} of {result.file} released", "bold green" if result.released else "bold"),
        f", {result.left:,} stay in quarantine ({result.who}: {result.reason})",
    )
    if result.refused:
        screen.line(("refused again: ", "bold red"), result.refused)
    if result.left:
        screen.next("why the others stay", "quarantine", "show", result.batch_id)
    elif result.kind == "labels":
        screen.next("a model from the labelled rows", "train")
    else:
        screen.next("predictions for rows without a label", "score")


def quarantine_drop(result: DropResult, screen: Screen) -> None:
    """What was given up, and where it still is."""
    screen.line(
        (f"{result.file} is settled", "bold"),
        f": {plural(result.dropped, 'row')} given up ({result.who}: {result.reason})",
    )
    screen.next("what is still open", "quarantine", "list")


def _short(value: str) -> str:
    return value if len(value) <= LONGEST else value[: LONGEST - 3] + "..."
