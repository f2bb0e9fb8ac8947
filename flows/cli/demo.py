"""The first steps: `demo`, `init`, `check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.flows.cli.runtime.screen import Screen, duration, plural

if TYPE_CHECKING:
    from treadle.flows.demo import DemoResult
    from treadle.flows.project.check import CheckResult
    from treadle.flows.project.init import InitResult


def demo(result: DemoResult, screen: Screen) -> None:
    """What happened, where to look, and the commands for one's own table."""
    screen.line("")
    screen.table(
        ("step", "seconds", ""),
        [
            (
                step.step,
                f"{step.seconds:.1f}",
                f"exit code {step.exit_code}" if step.exit_code else step.skipped or "done",
            )
            for step in result.steps
        ],
        title=f"The demo, {duration(result.seconds)}",
    )
    if result.outcome is None:
        screen.hint("mend what the message above names, then: treadle demo")
        return
    screen.table(
        ("file", "rows in", "accepted", "quarantined", "labelled", "scored", "predicted true"),
        [
            (
                month.batch,
                month.rows_in,
                month.accepted,
                month.quarantined,
                month.labelled,
                month.scored or None,
                None if month.predicted is None else f"{month.predicted:.1%}",
            )
            for month in result.outcome.months
        ],
        title="What came of it",
    )
    if result.outcome.champion is not None:
        screen.line((f"champion: version {result.outcome.champion}", "bold green"), f"  {result.outcome.reason}")
    screen.line(("\nWhere to look", "bold"))
    screen.facts(
        (
            ("report", result.report),
            ("MLflow", f"{result.mlflow}"),
            ("", f"then open {result.mlflow_address}"),
            ("Prefect", result.prefect),
            ("predictions", result.tables),
            ("home", result.home),
        )
    )
    screen.line(("\nYour own table, in a folder of yours", "bold"))
    for command in result.own_table:
        screen.line(("  " + command, "bold cyan"))
    screen.hint(f"the three commands above; `treadle down` in {result.program} ends the demo's Prefect server")


def init(result: InitResult, screen: Screen) -> None:
    """What was decided, and the files to read before one signs."""
    screen.line(
        (f"{result.pipeline}: ", "bold"),
        f"{plural(result.rows, 'row')}, {plural(result.columns, 'column')}; {len(result.telling)} of them may tell ",
        (result.target, "bold"),
    )
    positive = f", the probability is that of {result.positive!r}" if result.positive is not None else ""
    group = f" by {result.group}" if result.group else ""
    screen.facts(
        (
            ("task", f"{result.task}{positive}"),
            ("key", ", ".join(result.key) or "none: a row is known by its file and place"),
            ("time", result.time or "none"),
            ("split", f"{result.split}{group}"),
            ("categories", ", ".join(result.categories)),
        )
    )
    for dropped in result.drop:
        screen.line(("  not used  ", "dim"), (dropped.column, "bold"), f": {dropped.why}")
    for remark in result.remarks:
        screen.line(("  note  ", "yellow"), remark)
    screen.facts(
        (
            ("config", result.config),
            ("suite", f"{result.suite} ({plural(result.expectations, 'expectation')})"),
            ("new files", f"go to {result.inbox}"),
        )
    )
    screen.next("read the two files, then", "train", "-p", result.pipeline)


def check(result: CheckResult, screen: Screen) -> None:
    """What was compared, every finding with its way out."""
    screen.facts(
        (
            ("config", result.config),
            ("suite", f"{result.suite} ({plural(result.columns, 'column')}, {result.expectations:,} expectations)"),
            ("data", f"{plural(result.files, 'file')}; looked at {result.looked_at or 'none'}"),
        )
    )
    for finding in result.findings:
        style = "bold red" if finding.level == "problem" else "bold yellow"
        screen.line((f"{finding.level}: ", style), f"{finding.where}: {finding.message}")
        if finding.way_out:
            screen.line(("  way out: ", "bold"), finding.way_out)
    if result.exit_code():
        screen.next("mend what does not fit, then", "check")
        return
    screen.line(("config, suite and data fit together", "bold green"))
    screen.next("a model", "train")
