from __future__ import annotations

from flows import events
from flows.up import _Troubles
from tasks.errors import ServiceError


def test_what_is_wrong_is_said_once_until_it_is_well_and_up_goes_on() -> None:
    troubles, said = _Troubles(), []

    def look(what: str, error: Exception | None = None) -> None:
        with troubles.of(what):
            if error is not None:
                raise error

    with events.listening(lambda event: said.append(event.message)):
        for _ in range(3):
            look("what is owed", ServiceError("the ledger does not answer", "start it"))
            look("inboxes")  # which is well says nothing of the other
            look("runs", ServiceError("the ledger does not answer", "start it"))
        look("runs", OverflowError("too large"))
        look("what is owed")
        look("what is owed", ServiceError("the ledger does not answer", "start it"))
    assert [one.splitlines()[0] for one in said] == [
        "the ledger does not answer",
        "unexpected OverflowError with runs: too large; trying again",
        "the ledger does not answer",
    ]
