"""List a pipeline's runs in MLflow, and delete some for good.

`mlflow gc` deletes whatever is marked as deleted, in a process of its own; here one run is deleted, artifacts first, so
that a kill leaves runs that are found again. A tracking server only lets a client mark runs as deleted.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from treadle.infra import failpoint
from treadle.infra.databases import sqlite
from treadle.infra.tracking.runs import PARENT, REPORT, RUN_KEY, TRIAL, client, local_path, quiet

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities import Run as MlflowRun
    from mlflow.entities.model_registry import ModelVersion

    from treadle.infra.settings import Settings

MOST = 1000


@dataclass(frozen=True, slots=True)
class RunWithTrials:
    """A run of ours with the runs of its trials; `work` is its key, `monitor` whether that made it.

    `data_version` is what it was about, empty where it does not say; `finished` whether it came to its end.
    """

    id: str
    work: str
    monitor: bool
    began: datetime
    data_version: str
    artifacts: str
    trials: tuple[str, ...]
    finished: bool


class Cleanup:
    """The runs of one pipeline, those that are marked as deleted too, and nothing that a person logged beside them."""

    def __init__(self, settings: Settings, pipeline: str) -> None:
        self.settings = settings
        self.pipeline = pipeline

    def runs(self) -> tuple[RunWithTrials, ...]:
        """All that there are, oldest first."""
        file = sqlite.file_of(self.settings.tracking) if self.settings.tracking.startswith("sqlite:") else None
        if file is not None and not file.exists():
            return ()
        with quiet():
            found = self._everything()
        trials: dict[str, list[str]] = {}
        for run in found:
            if TRIAL in run.data.tags:
                trials.setdefault(run.data.tags.get(PARENT, ""), []).append(run.info.run_id)
        return tuple(
            RunWithTrials(
                id=run.info.run_id,
                work=run.data.tags[RUN_KEY],
                monitor=run.data.tags.get("kind") == "monitor",
                began=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
                data_version=run.data.tags.get("data_version", ""),
                artifacts=run.info.artifact_uri,
                trials=tuple(trials.get(run.info.run_id, ())),
                finished=run.info.status == "FINISHED",
            )
            for run in found
            if RUN_KEY in run.data.tags and TRIAL not in run.data.tags
        )

    def named(self) -> frozenset[str]:
        """Runs whose model bears an alias, or is registered under another name than the pipeline's."""
        with quiet():
            ours = self._client.search_registered_models(f"name = '{self.pipeline}'")
            aliased = {str(version) for model in ours for version in model.aliases.values()}
            found: set[str] = set()
            token: str | None = None
            while True:
                page = self._client.search_model_versions(max_results=MOST, page_token=token)
                found.update(
                    str(one.run_id) for one in page if one.name != self.pipeline or str(one.version) in aliased
                )
                token = page.token
                if not token:
                    return frozenset(found)

    def size(self, run: RunWithTrials) -> int:
        """Bytes of its files on this machine: artifacts, models, or copies of them where they are elsewhere."""
        with quiet():
            places = [run.artifacts, *(model.artifact_location for model in self._models(run))]
            folders = [*filter(None, map(local_path, places)), *self._copies(run)]
        files = (path for folder in folders for path in (folder, *folder.rglob("*")) if path.is_file())
        return sum(path.stat().st_size for path in files)

    def delete_run(self, run: RunWithTrials) -> None:
        """Delete a run with its trials, its models and their versions; what is deleted already is ignored."""
        with quiet():
            for copy in self._copies(run):
                shutil.rmtree(copy) if copy.is_dir() else copy.unlink()
            for version in self._versions(run):
                self._client.delete_model_version(version.name, version.version)
            for model in self._models(run):
                self._empty(model.artifact_location)
                self._forget_model(model.model_id)
            self._empty(run.artifacts)
            for name in (*run.trials, run.id):  # itself last: it is what a killed attempt is found by
                with failpoint.around("maintain.run"):
                    self._forget_run(name)

    def _empty(self, uri: str) -> None:
        """Delete what is at an artifact address, and the folder above it if that is empty then."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with failpoint.around("maintain.artifacts"):
            folder = local_path(uri)
            if folder is not None and not self._is_ours(folder):
                return
            if folder is None or folder.exists():
                get_artifact_repository(uri, tracking_uri=self.settings.tracking).delete_artifacts()
            if folder is not None and folder.parent.is_dir() and not any(folder.parent.iterdir()):
                folder.parent.rmdir()

    def _is_ours(self, folder: Path) -> bool:
        """Whether the folder is the home's: a copy that could not be relocated has addresses in the original."""
        root = self.settings.mlruns / "artifacts"
        return bool(self.settings.tracking_uri) or folder.resolve().is_relative_to(root.resolve())

    def _forget_run(self, name: str) -> None:
        forget = getattr(self._store, "_hard_delete_run", self._client.delete_run)
        forget(name)

    def _forget_model(self, name: str) -> None:
        forget = getattr(self._store, "_hard_delete_logged_model", self._client.delete_logged_model)
        forget(name)

    def _copies(self, run: RunWithTrials) -> list[Path]:
        """What `treadle.infra.tracking.runs.fetch` made on this machine of a run that is elsewhere."""
        names = [f"{run.id}-{REPORT}", *(model.model_id for model in self._models(run))]
        names += [f"{self.pipeline}-{version.version}" for version in self._versions(run)]
        return [path for path in (self.settings.state / "cache" / name for name in names) if path.exists()]

    def _versions(self, run: RunWithTrials) -> list[ModelVersion]:
        return list(self._client.search_model_versions(f"run_id = '{run.id}'"))

    def _models(self, run: RunWithTrials) -> list[LoggedModel]:
        return list(self._client.search_logged_models([self._experiment], f"source_run_id = '{run.id}'"))

    def _everything(self) -> list[MlflowRun]:
        from mlflow.entities import ViewType

        if self._experiment is None:
            return []
        # a server cannot delete more than it has marked
        view = ViewType.ALL if hasattr(self._store, "_hard_delete_run") else ViewType.ACTIVE_ONLY
        found: list[MlflowRun] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment], "", view, MOST, ["attributes.start_time ASC"], page_token=token
            )
            found.extend(page)
            token = page.token
            if not token:
                return found

    @property
    def _store(self) -> object:
        return self._client._tracking_client.store

    @cached_property
    def _experiment(self) -> str | None:
        experiment = self._client.get_experiment_by_name(self.pipeline)
        return None if experiment is None else str(experiment.experiment_id)

    @cached_property
    def _client(self) -> MlflowClient:
        return client(self.settings)
