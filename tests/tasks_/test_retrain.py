from __future__ import annotations

from dataclasses import replace

import pytest

from treadle.tasks.performance import MetricBounds, Realised
from treadle.tasks.retrain import RetrainSpec, RetrainState, due, findings

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
PERFORMANCE = [
    ("surely below", "roc_auc", HOLDOUT, realised(0.70, 0.66, 0.74), True),
    ("below, but few rows tell", "roc_auc", HOLDOUT, realised(0.77, 0.70, 0.84), False),
    ("inside", "roc_auc", HOLDOUT, realised(0.785, 0.775, 0.795), False),
    ("above", "roc_auc", HOLDOUT, realised(0.9, 0.88, 0.92), False),
    ("a handful of labels", "roc_auc", HOLDOUT, realised(0.5, 0.4, 0.6, labels=99), False),
    ("an error that grew", "rmse", HOLDOUT, realised(0.9, 0.85, 0.95), True),
    ("an error that fell", "rmse", HOLDOUT, realised(0.5, 0.45, 0.55), False),
    ("no label yet", "roc_auc", HOLDOUT, None, False),
    ("one class so far", "roc_auc", HOLDOUT, realised(None, None, None), False),
    ("a champion of before intervals were kept", "roc_auc", None, realised(0.5, 0.4, 0.6), False),
]


@pytest.mark.parametrize(
    ("case", "metric", "expected", "got", "rings"), PERFORMANCE, ids=[one[0] for one in PERFORMANCE]
)
def test_performance_rings_when_it_is_surely_worse_than_the_holdout_promised(
    case: str, metric: str, expected: MetricBounds | None, got: Realised | None, rings: bool
) -> None:
    known = state(WATCH, metric=metric, expected=expected, realised=got, labelled=1001)
    assert (due(known) is not None) == rings, case
    assert len(findings(known)) == 1
    assert due(replace(known, labelled=1000)) is None, "the same rows were tried already"


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
