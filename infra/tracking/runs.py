"""MLflow's runs: one for each training run, found again by its run key, with a child run for each trial.

Everything here may be repeated: what is logged already is not logged twice.
"""

from __future__ import annotations

import logging
import shutil
import time
import warnings
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from treadle.infra import failpoint
from treadle.infra.databases import sqlite
from treadle.infra.processes import process
from treadle.infra.settings import LOOPBACK, MLFLOW_PORT, set_environment, without_secrets
from treadle.infra.tracking.health_check import mlflow_trouble
from treadle.tasks.errors import ServiceError, TreadleError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlflow import MlflowClient
    from mlflow.entities import Run

    from treadle.infra.settings import Settings
    from treadle.tasks.search import Trial

log = logging.getLogger("treadle.tracking")

RUN_KEY = "treadle.run_key"
TRIAL = "treadle.trial"
PARENT = "mlflow.parentRunId"
REPORT = "report.html"
METRIC = "metric"
"""Tag of an experiment, and of its runs: the metric that decides."""

MOST_AT_ONCE = 1000  # entries that MLflow takes in one batch
MOST_PARAMS = 100
LONGEST_PARAM = 6000
LONGEST_ERROR = 300
SWITCHES = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5"}
"""A minute for a server that is away; MLflow's own seven take four, and the steps of a flow ask three times."""

ENDINGS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


@contextmanager
def quiet() -> Iterator[None]:
    """A block in which MLflow may be imported and used: no telemetry, no log lines, no warnings of its own.

    Its errors and those of the server or disk behind it come out as ours.
    """
    set_environment(RETRIES, keep=True)
    set_environment(SWITCHES)  # MLflow looks at them once, at import, and has no other switch by then
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow  # noqa: F401 - its import sets up the loggers that we lower
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import DBAPIError

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        except TreadleError:
            raise
        except PermissionError as error:
            raise UsageError(f"{error.filename}: no right to write here", "make the folder writable") from error
        except (MlflowException, RequestException, DBAPIError, OSError) as error:
            raise unreachable(error) from error


def unreachable(error: Exception) -> ServiceError:
    """The error for a request that MLflow's server, its database or disk did not serve."""
    return ServiceError(
        f"MLflow: {_in_one_line(error)}",
        "look at TREADLE_TRACKING_URI and its server, or at the folder mlruns/ and its disk",
    )


def _in_one_line(error: Exception) -> str:
    """An error's text; the end of a long one, where MLflow names the cause."""
    line = without_secrets(" ".join(str(error).split())) or type(error).__name__
    return line if len(line) <= LONGEST_ERROR else f"... {line[-LONGEST_ERROR:]}"


def client(settings: Settings) -> MlflowClient:
    """A client of the tracking and registry stores; the embedded one is made first where it is missing.

    To be called, and its answer used, within `quiet`.
    """
    from mlflow import MlflowClient

    for uri in {settings.tracking, settings.registry}:
        file = sqlite.file_of(uri) if uri.startswith("sqlite:") else None
        if file is not None:
            sqlite.make(file, _build)
        elif uri.startswith("http") and (trouble := mlflow_trouble(uri)):
            log.warning("MLflow's server at %s does not answer (%s); waiting for it", without_secrets(uri), trouble)
    return MlflowClient(settings.tracking, settings.registry)


def _build(aside: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(sqlite.url_of(aside), (aside.parent / "artifacts").as_uri())
    with store.engine.connect() as con:
        con.exec_driver_sql("PRAGMA journal_mode = WAL")  # the UI may read while a run writes
    store.engine.dispose()


def local_path(uri: str) -> Path | None:
    """The folder that an artifact URI names; None for one in another place than this machine's disk."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(uri) if parts.scheme == "" else None


def fetch(settings: Settings, uri: str, name: str) -> Path:
    """The folder or file behind an artifact URI: itself on this disk, else a copy that is made once.

    Copies are kept under the state folder by `name`, one for each content. To be called within `quiet`.
    """
    import mlflow

    here = local_path(uri)
    if here is not None:
        return here
    cache = settings.state / "cache"
    kept, aside = cache / name, cache / f".{name}.part"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f".{name}.lock"):
        if not kept.exists():
            shutil.rmtree(aside, ignore_errors=True)  # of a fetch that was killed
            aside.mkdir()
            got = mlflow.artifacts.download_artifacts(
                artifact_uri=uri, dst_path=str(aside), tracking_uri=settings.tracking
            )
            Path(got).replace(kept)
            shutil.rmtree(aside, ignore_errors=True)
    return kept


class Tracking:
    """The runs of one pipeline, which are the MLflow experiment of its name."""

    def __init__(self, settings: Settings, pipeline: str) -> None:
        self.settings = settings
        self.pipeline = pipeline

    @failpoint.around("mlflow.run")
    def open_run(self, run_key: str, name: str, tags: Mapping[str, str]) -> str:
        """The id of the run with this key, begun now unless it was before.

        `name` and `tags` are for people.
        """
        with quiet(), self._alone():
            for run in self._search(f"tags.`{RUN_KEY}` = '{run_key}'"):
                if run.info.status != "FINISHED":
                    self._client.update_run(run.info.run_id, status="RUNNING")
                return str(run.info.run_id)
            self._client.create_run(
                self.experiment_id,
                run_name=name,
                tags={**tags, RUN_KEY: run_key, "mlflow.source.name": "treadle"},
            )
            run, *doubled = self._search(f"tags.`{RUN_KEY}` = '{run_key}'")
            for other in doubled:  # the reply to the first request was lost, and the client asked again
                self._client.delete_run(other.info.run_id)
            return str(run.info.run_id)

    @failpoint.around("mlflow.params")
    def log_params(self, run_id: str, params: Mapping[str, object]) -> None:
        """Log parameters; those that the run has keep their values, very long ones are cut."""
        from mlflow.entities import Param

        with quiet():
            logged = self._client.get_run(run_id).data.params
            new = [Param(key, str(value)[:LONGEST_PARAM]) for key, value in params.items() if key not in logged]
            for start in range(0, len(new), MOST_PARAMS):
                self._client.log_batch(run_id, params=new[start : start + MOST_PARAMS])

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Log final values, one each."""
        self.log_curves(run_id, {name: [value] for name, value in metrics.items()})

    @failpoint.around("mlflow.curves")
    def log_curves(self, run_id: str, curves: Mapping[str, Sequence[float]]) -> None:
        """Log a value per step from 0, at the run's beginning plus a millisecond a step.

        So a repetition adds nothing: MLflow identifies a point by its value, step and time.
        """
        from mlflow.entities import Metric

        with quiet():
            begun = self._client.get_run(run_id).info.start_time
            points = [
                Metric(name, float(value), begun + step, step)
                for name, values in curves.items()
                for step, value in enumerate(values)
            ]
            for start in range(0, len(points), MOST_AT_ONCE):
                self._client.log_batch(run_id, metrics=points[start : start + MOST_AT_ONCE])

    def log_trials(self, run_id: str, metric: str, trials: Sequence[Trial]) -> None:
        """A child run for each trial: its parameters, its value of `metric`, rounds and seconds.

        Only what is missing is logged; a child whose writing was killed is completed.
        """
        with quiet():
            children = {
                int(run.data.tags[TRIAL]): run
                for run in self._search(f"tags.`{PARENT}` = '{run_id}'")
                if TRIAL in run.data.tags
            }
            for trial in trials:
                child = children.get(trial.number)
                if child is None or child.info.status == "RUNNING":
                    self._log_trial(run_id, metric, trial, child)

    @failpoint.around("mlflow.dataset")
    def log_dataset(self, run_id: str, name: str, source: str, digest: str) -> None:
        """Say on which data the run was trained; `digest` is our data version, not one of MLflow's."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        with quiet():
            inputs = self._client.get_run(run_id).inputs
            if any(one.dataset.digest == digest for one in (inputs.dataset_inputs if inputs else [])):
                return
            dataset = Dataset(name=name, digest=digest, source_type="local", source=source)
            self._client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])

    @failpoint.around("mlflow.folder")
    def log_folder(self, run_id: str, folder: Path) -> None:
        """Log the files under `folder` as the run's artifacts; those of the same names are replaced."""
        with quiet():
            self._client.log_artifacts(run_id, str(folder))

    @failpoint.around("mlflow.finish")
    def finish(self, run_id: str, tags: Mapping[str, str], description: str = "") -> None:
        """Mark the run as finished and tag it with how it ended; `description` (Markdown) is for its page."""
        from mlflow.entities import RunTag

        with quiet():
            tags = {**tags, **({"mlflow.note.content": description} if description else {})}
            self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
            if self._client.get_run(run_id).info.status != "FINISHED":
                self._client.set_terminated(run_id, "FINISHED")

    def name_metric(self, metric: str) -> None:
        """Tag the experiment with the metric that decides, which MLflow's pages then show as a column."""
        with quiet():
            self._client.set_experiment_tag(self.experiment_id, METRIC, metric)

    def report_file(self, run_id: str) -> Path | None:
        """The run's HTML report as a local file; None where it has none (or there is no such run)."""
        with quiet():
            from mlflow.exceptions import MlflowException

            try:
                uri = f"{self._client.get_run(run_id).info.artifact_uri}/{REPORT}"
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return None
            if local_path(uri) is None and REPORT not in [one.path for one in self._client.list_artifacts(run_id)]:
                return None
            file = fetch(self.settings, uri, f"{run_id}-{REPORT}")
            return file if file.exists() else None

    def run_url(self, run_id: str) -> str:
        """Where MLflow's UI shows the run: by `up` now or at last; else where docs/operation.md starts its pages."""
        record = process.last_record(process.locks_folder(self.settings) / "mlflow.lock")
        kept = record.url or f"http://{LOOPBACK}:{MLFLOW_PORT}"
        base = self.settings.tracking if self.settings.tracking.startswith("http") else kept
        with quiet():
            return f"{without_secrets(base).rstrip('/')}/#/experiments/{self.experiment_id}/runs/{run_id}"

    @cached_property
    def experiment_id(self) -> str:
        """The experiment of the pipeline, created or, where a person deleted it in the UI, restored."""
        served = self.settings.tracking.startswith("http")  # then MLflow's server decides where they are
        artifacts = None if served else (self.settings.mlruns / "artifacts" / self.pipeline).as_uri()
        with quiet(), self._alone():
            experiment = self._client.get_experiment_by_name(self.pipeline)
            if experiment is None:
                with failpoint.around("mlflow.experiment"):
                    return str(self._client.create_experiment(self.pipeline, artifacts))
            if experiment.lifecycle_stage == "deleted":
                self._client.restore_experiment(experiment.experiment_id)
            return str(experiment.experiment_id)

    @cached_property
    def _client(self) -> MlflowClient:
        return client(self.settings)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with mlflow_lock(self.settings):
            yield

    def _search(self, condition: str) -> list[Run]:
        """All runs that fit, oldest first."""
        found: list[Run] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id], condition, order_by=["attributes.start_time ASC"], page_token=token
            )
            found.extend(page)
            token = page.token
            if not token:
                return found

    @failpoint.around("mlflow.trial")
    def _log_trial(self, run_id: str, metric: str, trial: Trial, child: Run | None) -> None:
        from mlflow.entities import Metric, Param

        ended = int(time.time() * 1000)
        if child is None:
            child = self._client.create_run(
                self.experiment_id,
                start_time=ended - int(trial.seconds * 1000),
                run_name=f"trial {trial.number}",
                tags={
                    PARENT: run_id,
                    TRIAL: str(trial.number),
                    "treadle.state": trial.state,
                    "treadle.ended": trial.ended,
                },
            )
        values = {metric: trial.value, "rounds": trial.rounds, "seconds": trial.seconds}
        begun = child.info.start_time
        self._client.log_batch(
            child.info.run_id,
            metrics=[Metric(key, float(value), begun, 0) for key, value in values.items() if value is not None],
            params=[Param(key, str(value)) for key, value in trial.params.items()],
        )
        self._client.set_terminated(child.info.run_id, ENDINGS[trial.state], ended)


@contextmanager
def mlflow_lock(settings: Settings) -> Iterator[None]:
    """A block for one process of a home at a time: to look for something in MLflow and else to make it."""
    settings.state.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.state / "mlflow.lock", is_singleton=True):
        yield
