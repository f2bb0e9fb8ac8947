"""A champion out of service: one withdrawal at a time, ended by the config or by another champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import postgres
from treadle.infra.databases.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.databases.ledger import Promotion


@pytest.fixture(params=postgres.BACKENDS)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return Ledger(postgres.url(request, request.param, tmp_path / "mlruns" / "treadle.db"))


def champion(ledger: Ledger, expected: int | None, to: int) -> Promotion:
    """A champion whose move is complete."""
    texts = {"verdict": "PROMOTE", "reason": "better", "who": "me@here", "bundle": "b", "digest": "d"}
    move = ledger.promote("shop", expected=expected, to=to, **texts)
    ledger.complete("shop", move.seq)
    return move


def columns(ledger: Ledger) -> str | None:
    withdrawal = ledger.withdrawn("shop")
    return None if withdrawal is None else withdrawal.columns


def test_a_withdrawal_lasts_until_its_columns_are_allowed_again(ledger: Ledger) -> None:
    assert columns(ledger) is None
    move = champion(ledger, None, 1)
    ledger.withdraw("shop", move.seq, '["x"]', "me@here")
    first = ledger.withdrawn("shop")
    ledger.withdraw("shop", move.seq, '["x"]', "you@there")
    assert ledger.withdrawn("shop") == first, "the same again changes nothing"
    ledger.withdraw("shop", move.seq, '["x", "y"]', "me@here")
    assert columns(ledger) == '["x", "y"]'
    assert ledger.pending("shop") == ()
    for _ in range(2):
        ledger.withdraw("shop", move.seq, "", "me@here")
        assert columns(ledger) is None
    assert [one.seq for one in ledger.pending("shop")] == [move.seq], "MLflow's alias has to follow"
    ledger.withdraw("shop", move.seq, '["x"]', "me@here")
    assert columns(ledger) == '["x"]'


def test_another_champion_is_in_service_and_a_late_withdrawal_of_the_former_changes_nothing(ledger: Ledger) -> None:
    first = champion(ledger, None, 1)
    ledger.withdraw("shop", first.seq, '["x"]', "me@here")
    second = champion(ledger, 1, 2)
    assert columns(ledger) is None
    for late in ('["x"]', '["y"]', ""):
        ledger.withdraw("shop", first.seq, late, "me@here")
        assert (columns(ledger), ledger.pending("shop")) == (None, ())
    ledger.withdraw("shop", second.seq + 1, '["x"]', "me@here")  # of a move that has not been made
    back = champion(ledger, 2, 1)
    assert (columns(ledger), back.seq) == (None, second.seq + 1)
