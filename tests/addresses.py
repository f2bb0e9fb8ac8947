"""Where a process listens, and the addresses of this machine beyond loopback; Linux only."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from pathlib import Path

LISTENS = "0A"
LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


def other_addresses() -> list[str]:
    """This machine's IPv4 addresses that are not loopback's."""
    trie = Path("/proc/net/fib_trie").read_text()
    found = re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", trie)
    return sorted({address for address in found if not address.startswith("127.")})


def listening(pid: int) -> dict[int, bool]:
    """The ports on which the process listens, and whether only loopback reaches it there."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            inodes |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
    found: dict[int, bool] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            address, _, port = local.partition(":")
            if state == LISTENS and rest[5] in inodes:
                found[int(port, 16)] = found.get(int(port, 16), True) and address in LOOPBACK
    return found


def reached(address: str, port: int) -> bool:
    """Whether a connection to the address is taken."""
    with suppress(OSError), socket.create_connection((address, port), timeout=2):
        return True
    return False
