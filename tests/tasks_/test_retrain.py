from __future__ import annotations

from dataclasses import replace

import pytest

from treadle.tasks.performance import MetricBounds, Realised
from treadle.tasks.retrain import RetrainSpec, RetrainState, due, findings
from treadle.tasks.sequential import LossRise

SILENT = RetrainSpec(on_new_share=None, on_performance=False)
HOLDOUT = MetricBounds(value=0.80, lower=0.78, upper=0.82)


def realised(value: float | None, lower: float | None, upper: float | None, labels: int = 1000) -> Realised:
    bounds = MetricBounds(value=value, lower=lower, upper=upper)
    return Realised(
        rows=2000, labelled=labels, unknown=0, coverage=0.5, metric=bounds, scores={}, predicted=None, actual=None
    )


def state(spec: RetrainSpec = SILENT, **changes: object) -> RetrainState:
    known = RetrainState(spec, "roc_auc", 3, 10.0, 3, labelled_then=1000, labelled=1000, expected=HOLDOUT)
    return replace(known, **changes)  # type: ignore[arg-type]


def test_without_a_champion_it_is_always_time() -> None:
    reason = due(state(champion=None, tried=None))
    assert reason is not None
    assert (reason.causes, reason.text) == (("first",), "there is no champion yet")


CASES = [
    # [retrain], labelled rows now, days, what rings
    (SILENT, 9999, 999.0, ()),
    (RetrainSpec(on_new_rows=200, on_new_share=None, on_performance=False), 1199, 0.0, ()),
    (RetrainSpec(on_new_rows=200, on_new_share=None, on_performance=False), 1200, 0.0, ("new_rows",)),
    (RetrainSpec(on_new_share=0.2, on_performance=False), 1199, 0.0, ()),
    (RetrainSpec(on_new_share=0.2, on_performance=False), 1200, 0.0, ("new_share",)),
    (RetrainSpec(on_new_rows=100, on_new_share=0.1, on_performance=False), 1100, 0.0, ("new_rows", "new_share")),
    (RetrainSpec(max_age_days=30, on_new_share=None, on_performance=False), 1001, 30.0, ()),
    (RetrainSpec(max_age_days=30, on_new_share=None, on_performance=False), 1001, 30.1, ("age",)),
    (RetrainSpec(max_age_days=30, on_new_share=None, on_performance=False), 1000, 99.0, ()),
    (RetrainSpec(on_new_rows=1, on_new_share=0.01, max_age_days=1), 900, 99.0, ()),
]


@pytest.mark.parametrize(("spec", "labelled", "days", "rings"), CASES)
def test_rows_and_age_ring_from_their_limits_on(
    spec: RetrainSpec, labelled: int, days: float, rings: tuple[str, ...]
) -> None:
    reason = due(state(spec, labelled=labelled, age_days=days))
    assert (reason.causes if reason else ()) == rings


WATCH = RetrainSpec(on_new_share=None)
RISEN = LossRise(labelled=900, windows=5, loss=0.25, expected=0.2, evidence=31.4, least=0.04)
PERFORMANCE = [
    ("surely risen", HOLDOUT, RISEN, True, True),
    ("risen as far as can be told so far", HOLDOUT, RISEN.model_copy(update={"evidence": 19.9}), True, False),
    ("a handful of labels", HOLDOUT, RISEN.model_copy(update={"labelled": 99}), True, False),
    ("labels that are not complete", HOLDOUT, RISEN, False, False),
    ("no label yet", HOLDOUT, None, True, False),
    ("a champion of before intervals were kept", None, RISEN, True, False),
]


@pytest.mark.parametrize(
    ("case", "expected", "rise", "settled", "rings"), PERFORMANCE, ids=[one[0] for one in PERFORMANCE]
)
def test_performance_rings_when_the_loss_has_surely_risen_since_the_promotion(
    case: str, expected: MetricBounds | None, rise: LossRise | None, settled: bool, rings: bool
) -> None:
    known = state(WATCH, expected=expected, rise=rise, settled=settled, labelled=1001)
    assert (due(known) is not None) == rings, case
    assert len(findings(known)) == 1
    assert due(replace(known, labelled=1000)) is None, "the same rows were tried already"


def test_what_was_found_is_said_with_its_figures() -> None:
    (found,) = findings(state(WATCH, rise=RISEN, realised=realised(0.75, 0.7, 0.79), labelled=1001))
    assert found.sentence == (
        "mean loss (1 - roc_auc) of 900 labels since version 3 is champion 0.25, of its holdout 0.2: at least 4% "
        "higher, evidence 31 (due from 20 on, which a stable model reaches in 1 year of 20 at most); recent roc_auc "
        "0.75 (0.7 to 0.79)"
    )
    (found,) = findings(state(WATCH, rise=RISEN.model_copy(update={"evidence": 0.42, "least": 0.0})))
    assert "0.2: no sure rise, evidence 0.4 (due from 20 on" in found.sentence
    (found,) = findings(state(WATCH, rise=RISEN.model_copy(update={"evidence": 0.0, "least": 0.0})))
    assert "no sure rise, too few windows yet for any evidence (due from 20 on" in found.sentence


def test_a_rule_that_is_off_says_nothing_and_one_that_is_on_always_does() -> None:
    assert findings(state()) == ()
    every = RetrainSpec(on_new_rows=10, on_new_share=0.5, max_age_days=5)
    assert [one.cause for one in findings(state(every))] == ["new_rows", "new_share", "age", "performance"]


def test_rows_count_from_what_was_tried_last() -> None:
    reason = due(state(RetrainSpec(on_new_share=0.5, on_performance=False), tried=4, labelled_then=100, labelled=160))
    assert reason is not None
    assert "60 new labelled rows since version 4 was trained, 60.0% of the 100 before" in reason.text


def test_the_first_labelled_rows_are_a_reason_of_their_own() -> None:
    share = RetrainSpec(on_new_share=0.5, on_performance=False)
    assert due(state(share, labelled_then=0, labelled=0)) is None
    assert due(state(share, labelled_then=0, labelled=1)) is not None
