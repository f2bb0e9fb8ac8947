"""Each command's result for people, ending with the sensible next command; the files follow the help's groups."""

from treadle.flows.cli.demo import check, demo, init
from treadle.flows.cli.doctor import alerts, doctor, down, up
from treadle.flows.cli.maintain import backup, maintain, restore
from treadle.flows.cli.models import models, promote, report, rollback
from treadle.flows.cli.monitor import monitor
from treadle.flows.cli.quarantine import quarantine_drop, quarantine_list, quarantine_release, quarantine_show
from treadle.flows.cli.status import status
from treadle.flows.cli.train import ingest, notify, score, train

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
