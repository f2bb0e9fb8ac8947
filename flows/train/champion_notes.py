"""What a verdict says about a champion that it is not compared with, or that uses a column which the config drops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.out_of_service import dropped_reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.flows.train.run import RunRef
    from treadle.tasks.bundle import Model
    from treadle.tasks.evaluation import ComparedChampion
    from treadle.tasks.gate import Verdict
    from treadle.tasks.training import Problem


def with_champion(
    ref: RunRef,
    problem: Problem,
    model: Model,
    champion: ComparedChampion | None,
    incomparable: str,
    verdict: Verdict,
) -> Verdict:
    """The verdict, changed where the `champion` cannot be compared, and with a reason where it is out of service."""
    from treadle.tasks import gate
    from treadle.tasks.out_of_service import beside_champion

    if incomparable:
        return gate.leave_to_person(verdict, incomparable)
    if champion is not None and ref.forbidden:
        note = beside_champion(problem, model, champion, ref.forbidden)
        return verdict.model_copy(update={"reasons": (*verdict.reasons, note)})
    return verdict


def person_decides(ref: RunRef, verdict: Verdict, version: int) -> Iterator[str]:
    """What a person can do where the gate does not settle it: the command that promotes the new `version`."""
    command = f"treadle promote {version} --reason '...' -p {ref.pipeline}"
    if verdict.unsettled:
        yield f"look at the report, then promote it, or add --decline: {command}"
    elif ref.dropped and verdict.decision in ("KEEP", "NOT_COMPARABLE"):
        yield f"{dropped_reason(ref.champion or 0, ref.dropped)}; this one does without: {command}"
    if verdict.decision in ("KEEP", "NOT_COMPARABLE") and (other := _other_threshold_rule(ref)):
        yield f"{other}, which the gate does not weigh; to serve it: {command}"


def _other_threshold_rule(ref: RunRef) -> str:
    """What differs where `[score]` declares another threshold now than when the champion was made; else empty."""
    from treadle.tasks.errors import BundleError
    from treadle.tasks.threshold import threshold_rule

    place = ref.open()
    if not ref.champion or place.config.data.task != "binary":
        return ""
    try:
        before = place.model(ref.champion).post.threshold_by
    except BundleError:  # of a champion that is out of service
        return ""
    now = threshold_rule(place.config.score, place.config.tune.metric)
    declared = now.declared or before.partition(":")[0] in ("cost", "flag", "threshold")
    if before == now.words() or not declared:
        return ""
    was = before or "threshold: f1_macro"
    return f"it predicts positive by another rule ({now.words()}; version {ref.champion}: {was})"
