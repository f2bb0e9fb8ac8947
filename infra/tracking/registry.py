"""MLflow's registry: the model of a pipeline, its versions, and the alias `champion`."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING

import sqlalchemy as sa

from treadle.infra import failpoint
from treadle.infra.databases import engines, sqlite
from treadle.infra.tracking.runs import RUN_KEY, Tracking, client, fetch, local_path, mlflow_lock, quiet, unreachable
from treadle.infra.tracking.scorer.join import shipped_source
from treadle.tasks.commands import Command
from treadle.tasks.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import Model, ModelSignature

    from treadle.infra.settings import Settings

ALIAS = "champion"
DIGEST = "treadle.digest"
SCORER_FILE = "scorer.py"
"""The scorer's name inside a model, to which the MLmodel file refers."""
PINNED = ("xgboost", "numpy", "pandas", "mlflow")


class Registry:
    """The versions of one pipeline's model, which bears the pipeline's name in the registry."""

    def __init__(self, settings: Settings, pipeline: str) -> None:
        self.settings = settings
        self.pipeline = pipeline

    def log_model(self, run_id: str, bundle_folder: Path) -> str:
        """Put the bundle with its scorer into MLflow as a model of the run; return its URI, `models:/m-...`.

        The same bundle twice gives the same model; what a killed attempt left is completed. Any MLflow client
        can load the model without treadle.
        """
        from mlflow.entities import LoggedModelOutput

        with quiet(), mlflow_lock(self.settings):
            digest, columns = _digest(bundle_folder), signature(bundle_folder)
            model = self._own_model(run_id, digest)
            if model is None:
                with failpoint.around("mlflow.model"):
                    model = self._client.create_logged_model(
                        self._experiment_id, self.pipeline, run_id, {DIGEST: digest}, model_type="treadle"
                    )
                model = self._own_model(run_id, digest) or model
            if model.status != "READY":
                with _aside(bundle_folder) as folder, failpoint.around("mlflow.artifacts"):
                    saved = _save(folder, _described(model, run_id), bundle_folder, columns, self.scorer())
                    self._client.log_model_artifacts(model.model_id, str(saved))
                with failpoint.around("mlflow.ready"):
                    self._client.finalize_logged_model(model.model_id, "READY")
            outputs = self._client.get_run(run_id).outputs
            if model.model_id not in [one.model_id for one in (outputs.model_outputs if outputs else [])]:
                self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
            return str(model.model_uri)

    def _own_model(self, run_id: str, digest: str) -> LoggedModel | None:
        """The run's model with this bundle, whole or half logged; what else the run began and left is removed."""
        found = [*self._client.search_logged_models([self._experiment_id], f"source_run_id = '{run_id}'")]
        fitting = [model for model in found if model.tags.get(DIGEST) == digest]
        fitting.sort(key=lambda model: (model.status != "READY", model.creation_timestamp, model.model_id))
        kept = fitting[0] if fitting else None
        for model in found:
            if model.status != "READY" and model is not kept:
                self._client.delete_logged_model(model.model_id)
                if folder := local_path(model.artifact_location):
                    shutil.rmtree(folder, ignore_errors=True)
        return kept

    def scores(self, model_uri: str, frame: pd.DataFrame) -> pd.DataFrame:
        """What the model behind `model_uri` answers to raw rows, loaded as any MLflow client would."""
        with quiet():
            import mlflow

            model_id = model_uri.rpartition("/")[2]
            location = self._client.get_logged_model(model_id).artifact_location
            model = mlflow.pyfunc.load_model(str(fetch(self.settings, location, model_id)))
            answer: pd.DataFrame = model.predict(frame)
            return answer

    def answers(self, bundle_folder: Path, frame: pd.DataFrame) -> pd.DataFrame:
        """What MLflow's loader answers to raw rows from this bundle, before it is logged anywhere."""
        with quiet(), _aside(bundle_folder) as folder:
            import mlflow
            from mlflow.models import Model

            saved = _save(folder, Model(), bundle_folder, signature(bundle_folder), self.scorer())
            answer: pd.DataFrame = mlflow.pyfunc.load_model(str(saved)).predict(frame)
            return answer

    def scorer(self) -> bytes:
        """The source code that MLflow's loader runs."""
        return shipped_source()

    def register(self, run_id: str, model_uri: str, run_key: str, tags: Mapping[str, str], description: str) -> int:
        """Make the model a version and return its number; the same run key again gives the same version."""
        from mlflow.exceptions import MlflowException

        with quiet(), mlflow_lock(self.settings):
            if known := self._of_run(run_key):
                return known[0]
            if not self._client.search_registered_models(f"name = '{self.pipeline}'"):
                try:
                    self._client.create_registered_model(self.pipeline, description=f"Model of {self.pipeline}")
                except MlflowException as error:
                    if error.error_code != "RESOURCE_ALREADY_EXISTS":
                        raise
            with failpoint.around("mlflow.version"):
                self._client.create_model_version(
                    self.pipeline,
                    self._client.get_logged_model(model_uri.rpartition("/")[2]).artifact_location,
                    run_id,
                    {**tags, RUN_KEY: run_key},
                    description=description,
                    model_id=model_uri.rpartition("/")[2],
                )
            first, *doubled = self._of_run(run_key)
            for version in doubled:  # the reply to the first request was lost, and the client asked again
                self._client.delete_model_version(self.pipeline, str(version))
            return first

    def bundle(self, version: int) -> Path:
        """The bundle of a version as a local folder: the store's own, or for a remote store a copy made once.

        Nothing is verified here: `bundle.load_bundle` does. Raises BundleError where there is no such version
        or no bundle in it.
        """
        with quiet():
            model = fetch(self.settings, self._version(version).source, f"{self.pipeline}-{version}")
            folder = model / "artifacts"
            bundles = [path.parent for path in folder.glob("*/manifest.json")]
            if len(bundles) != 1:
                raise BundleError(
                    f"version {version} of {self.pipeline}: no bundle under {folder}",
                    ("restore mlruns/artifacts from a backup, or train again: ", Command("train --again")),
                )
            return bundles[0]

    def address(self, version: int) -> str:
        """Where the bundle of a version is, for the ledger: its folder seen from the home, which may move.

        For a store elsewhere: the version's URI.
        """
        folder = self.bundle(version)
        home = self.settings.home
        if folder.is_relative_to(home) and not folder.is_relative_to(self.settings.state):
            return folder.relative_to(home).as_posix()
        return f"models:/{self.pipeline}/{version}"

    def champion_alias(self) -> int | None:
        """The version that the alias `champion` points at; None where there is no alias.

        A database is asked directly: MLflow takes seconds to import.
        """
        if not self.settings.registry.startswith("http"):
            return self._alias_in(self.settings.registry)
        with quiet():
            found = self._client.search_registered_models(f"name = '{self.pipeline}'")
            versions = [int(version) for model in found for alias, version in model.aliases.items() if alias == ALIAS]
            return versions[0] if versions else None

    def _alias_in(self, url: str) -> int | None:
        if (file := sqlite.file_of(url)) is not None and not file.exists():
            return None
        query = sa.text("SELECT version FROM registered_model_aliases WHERE name = :name AND alias = :alias")
        try:
            with engines.make_engine(url).connect() as con:
                found = con.execute(query, {"name": self.pipeline, "alias": ALIAS}).scalar()
        except sa.exc.ProgrammingError:  # PostgreSQL's word for: no such table yet
            return None
        except (sa.exc.ArgumentError, sa.exc.DBAPIError) as error:
            raise unreachable(error) from error
        return None if found is None else int(found)

    @failpoint.around("mlflow.alias")
    def set_champion(self, version: int) -> None:
        """Let the alias `champion` point at `version`, and tag its run, which MLflow's pages list."""
        with quiet():
            self._client.set_registered_model_alias(self.pipeline, ALIAS, str(version))
            self._tag_champion(self._version(version).run_id)

    @failpoint.around("mlflow.alias_removed")
    def remove_champion(self) -> None:
        """Remove the alias `champion`; nothing changes where there is none."""
        with quiet():
            self._tag_champion(None)  # first: once the alias is gone, a removal that was cut short is not repeated
            self._client.delete_registered_model_alias(self.pipeline, ALIAS)

    def _tag_champion(self, champion: str | None) -> None:
        """Tag the run of the champion, and no other; nothing where a person deleted that run on MLflow's pages."""
        from mlflow.exceptions import MlflowException

        tagged = self._client.search_runs([self._experiment_id], f"tags.{ALIAS} = 'yes'")
        for run in {one.info.run_id for one in tagged} - {champion}:
            self._client.delete_tag(run, ALIAS)
        if champion:
            with suppress(MlflowException):
                self._client.set_tag(champion, ALIAS, "yes")

    def _of_run(self, run_key: str) -> list[int]:
        """The versions that a run made, oldest first."""
        found = self._client.search_model_versions(f"name = '{self.pipeline}' and tags.`{RUN_KEY}` = '{run_key}'")
        return sorted(int(version.version) for version in found)

    def _version(self, version: int) -> ModelVersion:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_model_version(self.pipeline, str(version))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise BundleError(
                f"MLflow has no version {version} of {self.pipeline}", ("see: ", Command("models"))
            ) from error

    @cached_property
    def _client(self) -> MlflowClient:
        return client(self.settings)

    @cached_property
    def _experiment_id(self) -> str:
        return Tracking(self.settings, self.pipeline).experiment_id


def _digest(bundle_folder: Path) -> str:
    """The bundle's digest: the sha256 of its manifest."""
    try:
        return hashlib.sha256((bundle_folder / "manifest.json").read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise BundleError(f"{bundle_folder}: no bundle, it has no manifest.json", "train again") from error


@contextmanager
def _aside(bundle_folder: Path) -> Iterator[Path]:
    """A new folder beside the bundle, for the block; one that a kill has left is removed by the next attempt."""
    folder = bundle_folder.with_name(f".{bundle_folder.name}.mlflow")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _described(model: LoggedModel, run_id: str) -> Model:
    """What the MLmodel file says of a logged model."""
    from mlflow.models import Model

    return Model(
        artifact_path=model.artifact_location,
        model_uuid=model.model_id,
        run_id=run_id,
        model_id=model.model_id,
    )


def _save(folder: Path, described: Model, bundle_folder: Path, columns: ModelSignature, scorer: bytes) -> Path:
    """Write the MLflow model, `scorer` as its code and the bundle as its artifact, under `folder`; return its path.

    MLflow reads the code from a file, which is written to `folder` beside the model.
    """
    import mlflow

    model, code = folder / "model", folder / SCORER_FILE
    code.write_bytes(scorer)
    mlflow.pyfunc.save_model(
        model,
        mlflow_model=described,
        python_model=str(code),
        artifacts={"bundle": str(bundle_folder)},
        signature=columns,
        pip_requirements=[f"{name}=={metadata.version(name)}" for name in PINNED],
    )
    return model


def signature(bundle_folder: Path) -> ModelSignature:
    """The columns that the bundle's `schema.json` names, of any type: the scorer itself checks and casts.

    MLflow's own types reject what people's frames hold: integers with gaps, booleans, dates, categories.
    Raises BundleError where the schema cannot be read.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    try:
        described = json.loads((bundle_folder / "schema.json").read_text("utf-8"))
        inputs = [ColSpec(AnyType(), one["name"], required=one["required"]) for one in described["inputs"]]
        outputs = [ColSpec(AnyType(), one["name"]) for one in described["outputs"]]
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(f"{bundle_folder / 'schema.json'}: not a bundle's schema", "train again") from error
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))
