"""A champion that answers another question is not compared: a person decides, and the verdict says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.faults import planted
from treadle.tasks import evaluation, gate, out_of_service
from treadle.tasks.leakage import Leak

if TYPE_CHECKING:
    from treadle.tasks.bundle.model import Spec
    from treadle.tasks.training import Problem

END = "the two cannot be compared"
MULTICLASS = {"task": "multiclass", "classes": ("a", "b", "c")}


@pytest.fixture(scope="module")
def champion() -> planted.Trained:
    return planted.train(planted.world(600, 1), seed=1)


@pytest.fixture(scope="module")
def challenger() -> planted.Trained:
    return planted.train(planted.world(600, 2), seed=2, drop=("x0",))


def asked(champion: planted.Trained, task: str, classes: tuple[object, ...]) -> tuple[Spec, Problem]:
    """The champion's spec and the problem, as if both were about these classes."""
    spec = champion.model.spec()
    post = spec.post.model_copy(update={"classes": classes})
    return spec.model_copy(update={"task": task, "post": post}), replace(champion.problem, task=task, classes=classes)


@pytest.mark.parametrize(
    ("before", "now", "why"),
    [
        (("binary", (False, True)), ("binary", (False, True)), None),
        (("multiclass", ("a", "b", "c")), ("multiclass", ("a", "b", "c")), None),
        (("regression", ()), ("regression", ()), None),
        (("binary", ("a", "b")), ("multiclass", ("a", "b", "c")), "answers 'a', 'b'; the target now has 'a', 'b', 'c'"),
        (("multiclass", ("a", "b", "c")), ("binary", ("a", "b")), "answers 'a', 'b', 'c'; the target now has 'a', 'b'"),
        (("binary", ("a", "b")), ("binary", ("b", "a")), "the probability of 'b', the positive class now is 'a'"),
        (("binary", (0, 1)), ("regression", ()), "is a binary model, the task now is regression"),
        (("regression", ()), ("multiclass", (0, 1, 2)), "is a regression model, the task now is multiclass"),
    ],
)
def test_task_classes_and_positive_class_must_be_the_same(
    champion: planted.Trained,
    before: tuple[str, tuple[object, ...]],
    now: tuple[str, tuple[object, ...]],
    why: str | None,
) -> None:
    spec, _ = asked(champion, *before)
    _, problem = asked(champion, *now)
    found = gate.why_not_comparable(3, spec, problem, planted.SCHEMA.names)
    assert (found is None) == (why is None)
    assert found is None or (found.startswith("version 3 ") and why in found and found.endswith(END))


def test_another_target_or_a_column_that_is_gone_cannot_be_compared(champion: planted.Trained) -> None:
    spec = champion.model.spec()
    other = replace(champion.problem, target="z")
    assert gate.why_not_comparable(3, spec, other, ()) == f"version 3 predicts 'y', the target now is 'z': {END}"
    left = [name for name in planted.SCHEMA.names if name not in ("x3", "place")]
    gone = "needs columns 'x3', 'place', which the rows do not have any more"
    assert gate.why_not_comparable(3, spec, champion.problem, left) == f"version 3 {gone}: {END}"


def test_a_column_that_left_the_suite_is_gone_although_old_rows_have_it(
    champion: planted.Trained, challenger: planted.Trained
) -> None:
    compared = evaluation.ComparedChampion(3, champion.model, challenger.holdout)
    schema = challenger.problem.schema.without("x0")
    problem = replace(challenger.problem, schema=schema)
    evidence = evaluation.evaluate_models(
        problem, challenger.model, compared, challenger.fitted.rows, challenger.holdout, (), 0
    )
    assert evidence.incomparable == f"version 3 needs column 'x0', which the rows do not have any more: {END}"
    assert "champion" not in evidence.scores
    assert evidence.judged.first


def test_what_cannot_be_compared_is_left_to_a_person_and_a_refusal_stays_one(challenger: planted.Trained) -> None:
    judged, against_dummy = planted.judged(challenger, None, challenger.holdout, 0)
    verdict = gate.leave_to_person(against_dummy, "version 3 answers 'a'")
    assert (verdict.decision, verdict.unsettled) == ("NOT_COMPARABLE", "version 3 answers 'a'")
    assert verdict.headline.startswith("version 3 answers 'a'; ")
    assert "person decides" in verdict.headline
    assert verdict.reasons == ("version 3 answers 'a'", *against_dummy.reasons)
    assert verdict.value == against_dummy.value
    assert np.isnan([verdict.champion_value, verdict.gain, verdict.lower, verdict.upper]).all()
    refused = gate.decide_verdict(gate.GateSpec(), judged, leaks=[Leak(("x1",), 1.0, "AUC")])
    kept = gate.leave_to_person(refused, "version 3 answers 'a'")
    assert (kept.decision, kept.headline, kept.unsettled) == ("REFUSED", refused.headline, "")
    assert kept.reasons[-1] == "version 3 answers 'a'"


def test_beside_a_champion_out_of_service_both_have_a_value_on_the_same_rows(
    champion: planted.Trained, challenger: planted.Trained
) -> None:
    compared = evaluation.ComparedChampion(3, champion.model, challenger.holdout)
    said = out_of_service.beside_champion(challenger.problem, challenger.model, compared, ["x0"])
    assert said.startswith("version 3, which uses the forbidden column 'x0', is out of service, ")
    assert f"on the {len(challenger.holdout):,} holdout rows that are new to both, it has roc_auc 0." in said
    few = replace(compared, new=challenger.holdout.slice(0, 20))
    said = out_of_service.beside_champion(challenger.problem, challenger.model, few, ["x0"])
    assert said.endswith("only 20 holdout rows are new to both, too few for a value of its own")
    problem = replace(challenger.problem, target="z")
    assert out_of_service.beside_champion(problem, challenger.model, compared, ["x0"]).endswith(END)
