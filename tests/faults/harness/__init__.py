"""Kill real `treadle` commands in the middle of their work, run them again, and compare with a home left alone.

A `Workshop` is a process that has imported everything and forks for each command, so that a kill costs no import.

`home` is what its life begins with and is made of, `commands` runs the commands, `kills` ends them at random moments,
`traces` is what they left behind, and `stages` is a home left alone, before and after each of them.
"""

from __future__ import annotations

from tests.faults.harness.commands import FINE, Command, Workshop
from tests.faults.harness.home import INIT, LIFE, NAME, bare, parcels
from tests.faults.harness.kills import killed_at_random, server_killed_at_random
from tests.faults.harness.stages import Stages
from tests.faults.harness.traces import difference, litter, open_runs, snapshot

__all__ = [
    "FINE",
    "INIT",
    "LIFE",
    "NAME",
    "Command",
    "Stages",
    "Workshop",
    "bare",
    "difference",
    "killed_at_random",
    "litter",
    "open_runs",
    "parcels",
    "server_killed_at_random",
    "snapshot",
]
