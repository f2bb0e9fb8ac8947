"""Who is told: a web hook and a mailbox on this machine, which keep what they get."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiosmtpd.smtp import SMTP, Envelope, Session


class Received(NamedTuple):
    """A message as it arrived."""

    title: str
    body: str


@dataclass
class Receiver:
    """What came, and the answer to whatever comes."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answer: int = 200


@contextmanager
def hook(port: int = 0) -> Iterator[Receiver]:
    """A server for `json://`."""
    receiver = Receiver()

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if receiver.answer == 200:
                receiver.received.append(Received(told["title"], told["message"]))
            self.send_response(receiver.answer)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Hook) as server:
        receiver.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield receiver
        server.shutdown()


@contextmanager
def mailbox() -> Iterator[Receiver]:
    """A server for `mailto://`."""
    from aiosmtpd.controller import Controller

    with socket.create_server(("127.0.0.1", 0)) as free:
        receiver = Receiver(free.getsockname()[1])

    class Box:
        async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
            mail = message_from_bytes(envelope.content or b"", policy=policy.default)  # type: ignore[arg-type]
            part = mail.get_body(("plain",))
            receiver.received.append(Received(str(mail["subject"]), part.get_content() if part else ""))
            return "250 kept"

    controller = Controller(Box(), hostname="127.0.0.1", port=receiver.port)
    controller.start()
    try:
        yield receiver
    finally:
        controller.stop()
