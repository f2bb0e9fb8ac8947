"""The content of a run's report, put together from its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.tasks.booster import Curve
    from treadle.tasks.bundle import Model
    from treadle.tasks.evaluation import Evidence
    from treadle.tasks.explain import Explanation
    from treadle.tasks.gate import Verdict
    from treadle.tasks.report import Finding, Story
    from treadle.tasks.search import Found
    from treadle.tasks.training import Problem


def story_of(
    pipeline: str,
    problem: Problem,
    model: Model,
    evidence: Evidence,
    verdict: Verdict,
    found: Found,
    curve: Curve,
    facts: Mapping[str, str],
    reads: int,
    explanation: Explanation | None = None,
) -> Story:
    """The content of the report."""
    from treadle.tasks.evaluation import column_importance
    from treadle.tasks.report import Story, group_findings
    from treadle.tasks.uses import judged_span, model_uses

    table = evidence.predictions.columns
    regression = problem.task == "regression"
    return Story(
        pipeline=pipeline,
        version=None,
        verdict=verdict,
        task=problem.task,
        metric=problem.metric,
        target=problem.target,
        classes=problem.classes,
        scores=evidence.scores,
        train_scores=evidence.train_scores,
        curve=curve,
        y=evidence.y,
        p=evidence.predictions.p,
        threshold=model.post.threshold if problem.task == "binary" else None,
        importance=column_importance(model),
        trials=found.finished,
        facts=facts,
        holdout_reads=reads,
        lower=table["lower"].to_numpy() if regression else None,
        upper=table["upper"].to_numpy() if regression else None,
        leaks=evidence.leaks,
        suspects=evidence.suspects,
        weight=evidence.judged.weight,
        findings=(
            *model_uses(problem, evidence, verdict, explanation),
            *_findings(problem, model, evidence),
            *group_findings(verdict),
        ),
        explanation=explanation,
        span=judged_span(problem, evidence),
    )


def _findings(problem: Problem, model: Model, evidence: Evidence) -> tuple[Finding, ...]:
    """What the first screen of the report says beside the verdict."""
    from treadle.tasks.dependence import Dependence
    from treadle.tasks.flagging import flag_finding
    from treadle.tasks.reliability import calibration_findings
    from treadle.tasks.report.intervals import interval_finding

    found: list[Finding] = []
    found.extend(calibration_findings(evidence.reliability, evidence.base_rates))
    if evidence.flag is not None:
        found.append(flag_finding(evidence.flag, problem.threshold_rule, problem.target, problem.classes))
    if problem.task == "regression":
        table, judged = evidence.predictions.columns, evidence.judged
        intervals = interval_finding(
            evidence.y,
            evidence.predictions.p,
            table["lower"].to_numpy(),
            table["upper"].to_numpy(),
            weight=judged.weight,
            dependence=Dependence(judged.groups, judged.times),
        )
        found += [intervals] if intervals else []
    return tuple(found)
