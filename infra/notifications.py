"""One message to one receiver, by Apprise, in a process of its own that takes the address from the environment.

A receiver that does not answer is given up after `GIVE_UP_SECONDS` whatever it does, Apprise's hundred services are
never loaded where they would stay, and nothing that they print, addresses above all, gets anywhere.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from typing import NamedTuple
from urllib.parse import urlsplit

from treadle.infra import settings

GIVE_UP_SECONDS = 20.0

HOSTED = ("json", "xml", "form", "http", "mailto", "gotify", "mmost", "apprise")
"""Schemes, with s at the end or without, whose address names a host; others have a token in its place."""

UNSET, UNKNOWN = "is not set", "is no address that Apprise knows"


class Message(NamedTuple):
    """An alert: its title, one line, and its text."""

    title: str
    body: str


def address(receiver: str) -> str:
    """Where alerts to the variable `receiver` go, without what may be secret; empty where it is not set here."""
    url = settings.secret(receiver)
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "an address" if url else ""
    if not parts.scheme:
        return "an address" if url else ""
    names_host = parts.scheme.removesuffix("s") in HOSTED and "@" not in url.removeprefix(
        f"{parts.scheme}://{parts.netloc}"
    )
    return f"{parts.scheme}://{host if names_host else '...'}"


def send(receiver: str, message: Message) -> str:
    """Send the message; returns why it did not arrive, for people, and an empty text where it did."""
    try:
        sent = subprocess.run(
            [sys.executable, "-P", "-m", "treadle.infra.notifications", receiver],
            input=json.dumps(message),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=GIVE_UP_SECONDS,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"does not answer within {GIVE_UP_SECONDS:g} seconds"
    return "" if sent.returncode == 0 else sent.stdout.strip() or "could not be notified"


class _Answer(logging.Handler):
    """Keeps the number with which a web server refused, of all that Apprise logs."""

    code = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the number of an error."""
        if found := re.search(r"\berror=(\d{3})\b", record.getMessage()):
            self.code = found[1]


def _deliver(receiver: str, message: Message) -> str:
    """Deliver the message, in the child process; returns why it did not arrive, empty where it did."""
    url = settings.secret(receiver)
    if not url:
        return UNSET
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

    service = Apprise.instantiate(url, asset=AppriseAsset(app_id="treadle", app_desc="treadle", async_mode=False))
    if service is None:
        return UNKNOWN
    service.notify_format = NotifyFormat.TEXT  # mail would be HTML, and lose what is indented
    answer = _Answer()
    logging.getLogger("apprise").addHandler(answer)
    notifier = Apprise()
    notifier.add(service)
    title, body = message
    if notifier.notify(body=body, title=title, notify_type=NotifyType.WARNING, body_format=NotifyFormat.TEXT):
        return ""
    return f"refused it (HTTP {answer.code})" if answer.code else "did not take it"


if __name__ == "__main__":
    trouble = _deliver(sys.argv[1], Message(*json.load(sys.stdin)))
    print(trouble)
    sys.exit(1 if trouble else 0)
