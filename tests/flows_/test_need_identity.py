"""A case that receivers of alerts are notified of is recognised by values; a reworded sentence is not another case."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.flows.project.status import PipelineStatus, needs
from treadle.flows.project.status.servers import LastWork
from treadle.flows.project.status.snapshot import ChampionStatus, Quarantine, QuarantinedBatch, Refused
from treadle.infra.orchestrator.failures import error_kind
from treadle.tasks import errors
from treadle.tasks.alerts import Case
from treadle.tasks.errors import ConfigError, TreadleError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, TreadleError)
    and kind not in (errors.NewerFormat, errors.UnreadableFile)
]
CHAMPION = ChampionStatus(
    version=1,
    since=datetime(2026, 11, 25, tzinfo=UTC),
    age_days=1.0,
    metric="roc_auc",
    value=0.9,
    realised=None,
    labels=0,
    monitored_at=None,
    due="",
)


def cases(status: PipelineStatus) -> list[Case]:
    return [Case(need.kind, item.id) for need in needs.pipeline_needs(status) for item in need.items]


def said(text: str) -> list[PipelineStatus]:
    """Every state of a pipeline that needs a person, with `text` for each sentence in it."""
    batch = QuarantinedBatch(batch_id="b1", file="june.csv", rows=3, reason=text)
    return [
        PipelineStatus(pipeline="shop", trouble=f"!{text}", trouble_kind="ConfigError data.target"),
        PipelineStatus(pipeline="shop", versions=2, declined=f"!{text}", declined_version=2),
        PipelineStatus(pipeline="shop", champion=CHAMPION, alias=f"!{text}"),
        PipelineStatus(pipeline="shop", champion=CHAMPION, refused=Refused(version=2, headline=text)),
        PipelineStatus(pipeline="shop", champion=CHAMPION, waiting=2, unsettled=text),
        PipelineStatus(pipeline="shop", quarantine=Quarantine(batches=1, rows=3, kept=(batch,))),
        *(
            PipelineStatus(
                pipeline="shop", work=(LastWork(pipeline="shop", work="train", state=state, message=text, error=error),)
            )
            for state, error in (("FAILED", "DataError"), ("FAILED", "ServiceError"), ("CRASHED", ""))
        ),
    ]


@given(st.text(), st.text())
def test_another_wording_is_the_same_case_and_each_state_is_a_case_of_its_own(one: str, other: str) -> None:
    found = [cases(status) for status in said(one)]
    assert found == [cases(status) for status in said(other)]
    assert all(len(each) == 1 for each in found)
    assert len({case for each in found for case in each}) == len(found)


@pytest.mark.parametrize("kind", KINDS)
@given(one=st.text(), other=st.text())
def test_an_errors_kind_does_not_come_from_its_message(kind: type[TreadleError], one: str, other: str) -> None:
    assert error_kind(kind(one)) == error_kind(kind(other)) == kind.__name__


def test_another_key_of_the_config_is_another_kind() -> None:
    assert error_kind(ConfigError("x", key="data.target")) == "ConfigError data.target"
    assert error_kind(OSError("no space left")) == "OSError"
