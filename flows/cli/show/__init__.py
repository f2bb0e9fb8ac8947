"""Each command's result for people, ending with the sensible next command; the files follow the help's groups."""

from treadle.flows.cli.show.begin import check, demo, init
from treadle.flows.cli.show.keep import backup, maintain, restore
from treadle.flows.cli.show.look import models, promote, report, rollback
from treadle.flows.cli.show.machine import alerts, doctor, down, up
from treadle.flows.cli.show.quarantine import quarantine_drop, quarantine_list, quarantine_release, quarantine_show
from treadle.flows.cli.show.status import status
from treadle.flows.cli.show.watch import monitor
from treadle.flows.cli.show.work import ingest, notify, score, train

__all__ = [
    "alerts",
    "backup",
    "check",
    "demo",
    "doctor",
    "down",
    "ingest",
    "init",
    "maintain",
    "models",
    "monitor",
    "notify",
    "promote",
    "quarantine_drop",
    "quarantine_list",
    "quarantine_release",
    "quarantine_show",
    "report",
    "restore",
    "rollback",
    "score",
    "status",
    "train",
    "up",
]
