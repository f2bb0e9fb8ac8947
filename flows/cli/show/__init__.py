"""Each command's result for people, ending with the sensible next command; the files follow the help's groups."""

from flows.cli.show.begin import check, demo, init
from flows.cli.show.keep import backup, maintain, restore
from flows.cli.show.look import models, promote, report, rollback
from flows.cli.show.machine import alerts, doctor, down, up
from flows.cli.show.quarantine import quarantine_drop, quarantine_list, quarantine_release, quarantine_show
from flows.cli.show.status import status
from flows.cli.show.watch import monitor
from flows.cli.show.work import ingest, notify, score, train

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
