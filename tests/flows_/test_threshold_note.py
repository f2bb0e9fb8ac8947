"""A version whose threshold follows another rule than the champion's says so, and how it is promoted."""

from __future__ import annotations

import tomllib
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from treadle.flows.train.champion_notes import person_decides
from treadle.tasks.config.spec import PipelineConfig

if TYPE_CHECKING:
    from treadle.flows.train.run import RunRef
    from treadle.tasks.gate import Verdict

BY_COST = "[score]\ncost = { miss = 5, alarm = 1 }\n"
BY_F1 = '[tune]\nmetric = "f1"\n'


def sentences(before: str, keys: str, decision: str = "KEEP", champion: int | None = 3) -> list[str]:
    """What a run says whose champion's spec names the rule `before`, and whose file has `keys`."""
    text = f'name = "sales"\n[data]\nsource = "a.csv"\ntarget = "left"\ntask = "binary"\n{keys}'
    config = PipelineConfig.model_validate(tomllib.loads(text), strict=False)
    model = SimpleNamespace(post=SimpleNamespace(threshold_by=before))
    ref = SimpleNamespace(
        pipeline="sales",
        champion=champion,
        dropped=(),
        open=lambda: SimpleNamespace(config=config, model=lambda _version: model),
    )
    verdict = SimpleNamespace(unsettled="", decision=decision)
    return list(person_decides(cast("RunRef", ref), cast("Verdict", verdict), 4))


def test_another_rule_is_named_with_the_command_that_serves_it() -> None:
    (one,) = sentences("as many as are positive", BY_COST)
    assert "cost: miss 5, alarm 1; version 3: as many as are positive" in one
    assert "treadle promote 4 --reason '...' -p sales" in one
    (one,) = sentences("", BY_COST)
    assert "version 3: threshold: f1_macro" in one, "a version of before there was a choice"
    (one,) = sentences("flag: 0.1", "")
    assert "as many as are positive; version 3: flag: 0.1" in one, "the key was taken out again"


@pytest.mark.parametrize(
    ("before", "keys", "decision", "champion"),
    [
        ("cost: miss 5, alarm 1", BY_COST, "KEEP", 3),
        ("", "", "KEEP", 3),
        ("as many as are positive", BY_COST, "PROMOTE", 3),
        ("as many as are positive", BY_COST, "REFUSED", 3),
        ("as many as are positive", BY_COST, "KEEP", None),
        ("as many as are positive", BY_F1, "KEEP", 3),
    ],
)
def test_nothing_is_said_where_a_person_declared_nothing_new_or_the_gate_promotes(
    before: str, keys: str, decision: str, champion: int | None
) -> None:
    assert sentences(before, keys, decision, champion) == []
