from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.flows_.alerting import CANARY, CHAT, MAIL
from tests.projects import project, tumours
from tests.receivers import Receiver, hook, mailbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.flows_.alerting import Place


@pytest.fixture
def place(home: Path) -> Place:
    """A pipeline `clinic` that has seen nothing yet."""
    return project(home, tumours(), "Malignant")


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A web hook whose address is a secret."""
    with hook() as receiver:
        monkeypatch.setenv(CHAT, f"json://someone:{CANARY}@127.0.0.1:{receiver.port}/{CANARY}?+Key={CANARY}")
        yield receiver


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with mailbox() as receiver:
        monkeypatch.setenv(MAIL, f"mailto://127.0.0.1:{receiver.port}?from=treadle@example.org&to=someone@example.org")
        yield receiver
