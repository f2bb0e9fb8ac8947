"""`treadle check` compares config, suite and data: its arguments and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from treadle.flows.cli.runtime.formatting import plural
from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json, Pipeline
from treadle.flows.cli.runtime.pipeline_choice import open_pipeline
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.project.check import CheckResult

EXAMPLES = example_lines(
    "treadle check",
    "treadle check -p customers --json",
)


def check_command(context: typer.Context, *, pipeline: Pipeline = "", as_json: Json = False) -> int:
    """Say whether config, suite and data fit together."""

    def action() -> CheckResult:
        from treadle.flows.project import check

        return check.run_check(*open_pipeline(pipeline))

    return carry_out(context.obj, "check", action, show_check, as_json=as_json, pipeline=pipeline)


def show_check(result: CheckResult, screen: Screen) -> None:
    """Print what was compared, and every finding with its fix."""
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
        if finding.fix:
            screen.line(("  fix: ", "bold"), finding.fix)
    if result.exit_code():
        screen.next("mend what does not fit, then", "check")
        return
    screen.line(("config, suite and data fit together", "bold green"))
    screen.next("a model", "train")
