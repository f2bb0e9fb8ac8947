"""A process that has imported what commands import, and forks one for each order that it reads."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

HEAVY = (
    "deltalake,duckdb,jinja2,matplotlib.pyplot,mlflow,mlflow.pyfunc,optuna,pandas,prefect,prefect.artifacts,pyarrow.csv,"
    "pyarrow.parquet,sklearn.metrics,sklearn.linear_model,sqlalchemy,xgboost,great_expectations,typer,rich.console,"
    "mlflow.store.tracking.sqlalchemy_store,prefect.client.orchestration,"
    "treadle.flows.cli.app,treadle.flows.cli.runtime.screen,treadle.flows.cli.runtime.progress,treadle.flows.train,treadle.flows.score,treadle.flows.ingest,"
    "treadle.flows.champion.promote,treadle.flows.champion.rollback,treadle.flows.monitor,"
    "treadle.infra.tracking.runs,treadle.infra.tracking.registry,treadle.infra.stores,"
    "treadle.expectations.contract,treadle.tasks.training"
)


def main() -> None:
    os.environ["GOMP_SPINCOUNT"] = "1000"
    from treadle.infra import settings
    from treadle.infra.orchestrator import prepare_client
    from treadle.infra.tracking.runs import quiet

    prepare_client(settings.at(Path(os.environ["PREFECT_HOME"])))
    with quiet():
        for name in HEAVY.split(","):
            __import__(name)
    print("ready", flush=True)
    while line := sys.stdin.readline():
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            work(order)
        threading.Thread(target=collect, args=(pid, Path(order["out"])), daemon=True).start()
        print(pid, flush=True)
    os._exit(0)  # some library's thread would keep us


def collect(pid: int, out: Path) -> None:
    _, status = os.waitpid(pid, 0)
    out.with_suffix(".status").write_text(str(os.waitstatus_to_exitcode(status)))


def work(order: dict) -> None:
    """Be the command."""
    os.setsid()
    os.chdir(order["home"])
    os.environ["TREADLE_HOME"] = order["home"]
    os.environ.update(order["environment"])
    for descriptor, name in ((0, os.devnull), (1, order["out"]), (2, order["err"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_APPEND), descriptor)
    sys.argv = ["treadle", *order["arguments"]]
    from treadle.flows.cli import main as treadle

    code = treadle()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
