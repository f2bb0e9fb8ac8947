"""What later commands read of a recorded result is a part of `TrainResult`, and sentences in it decide nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.flows.champion.pending import waits_for_person
from treadle.flows.champion.recorded import RecordedResult, recorded_result
from treadle.flows.train.run import TrainResult
from treadle.infra.databases.ledger import VersionRecord

VERSION = VersionRecord(
    pipeline="shop",
    version=2,
    run_key="k2",
    run_id="r2",
    decision="PROMOTE",
    headline="",
    metric="roc_auc",
    value=0.8,
    champion_value=0.5,
    against=1,
    data_version="rows@3",
    bundle="mlruns/2",
    digest="d",
    result="",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)


@pytest.mark.parametrize("name", RecordedResult.model_fields)
def test_a_field_of_the_recorded_result_is_one_of_the_training_runs(name: str) -> None:
    ours, theirs = RecordedResult.model_fields[name], TrainResult.model_fields[name]
    assert ours.annotation == theirs.annotation
    assert theirs.is_required() or ours.default == theirs.default


@pytest.mark.parametrize("written", ["", "{}", '{"against": 7, "headline": "of an earlier version"}'])
def test_a_result_without_these_fields_has_their_defaults(written: str) -> None:
    assert recorded_result(replace(VERSION, result=written)) == RecordedResult()


@given(st.text())
def test_whether_a_version_waits_does_not_come_from_its_headline(headline: str) -> None:
    for decision, against, waits in (("PROMOTE", 1, True), ("PROMOTE", 3, False), ("KEEP", 1, False)):
        record = replace(VERSION, decision=decision, against=against, headline=headline)
        assert waits_for_person(record, 1) is waits


def test_a_version_that_cannot_be_compared_waits_for_a_person() -> None:
    record = replace(VERSION, decision="NOT_COMPARABLE", result='{"unsettled": "another target"}')
    assert waits_for_person(record, 1)
