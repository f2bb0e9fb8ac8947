"""`open(settings, pipeline)`: all that a pipeline keeps, behind the adapters that the settings choose."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from treadle.infra import failpoint
from treadle.infra.databases import engines, sqlite
from treadle.infra.databases.ledger import Ledger
from treadle.infra.tables import Tables
from treadle.infra.tracking import relocation
from treadle.tasks.commands import Command
from treadle.tasks.errors import BundleError, ServiceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optuna.storages import BaseStorage, RDBStorage

    from treadle.infra.settings import Settings
    from treadle.infra.tracking.registry import Registry
    from treadle.infra.tracking.runs import Tracking

RESTORE = ("restore mlruns/artifacts from a backup, or train again: ", Command("train --again"))
MODEL_FILES = {"MLmodel", "artifacts", "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta"}
MODEL_FILES |= {"scorer.py", "__pycache__"}
"""What a model's folder may hold; a test keeps it equal to what the scorer allows."""


@dataclass(frozen=True)
class Stores:
    """One pipeline's stores.

    MLflow, which takes seconds to import, is touched only where it is asked something.
    """

    settings: Settings
    pipeline: str
    tables: Tables
    ledger: Ledger

    @cached_property
    def tracking(self) -> Tracking:
        """MLflow's runs."""
        from treadle.infra.tracking.runs import Tracking

        return Tracking(self.settings, self.pipeline)

    @cached_property
    def registry(self) -> Registry:
        """MLflow's model versions."""
        from treadle.infra.tracking.registry import Registry

        return Registry(self.settings, self.pipeline)

    def data_version(self) -> str:
        """The newest data by name: `rows@12`, with late labels `rows@12,labels@3`; `rows@-1` before the first batch."""
        rows, labels = self.tables.version("rows"), self.tables.version("labels")
        return f"rows@{rows}" + (f",labels@{labels}" if labels >= 0 else "")

    def bundle_folder(self, version: int) -> Path:
        """The local folder of a version's bundle, by the ledger's address where it is under the home.

        Raises BundleError for a version that does not exist, or whose model was deleted.
        """
        record = self.ledger.version(self.pipeline, version)
        if record is None or "://" in record.bundle or record.bundle.startswith("models:/"):
            folder = self.registry.bundle(version)
            alone_in_its_model(folder)
            return folder
        folder = self.settings.home / record.bundle
        if not folder.is_dir():
            if gone := self.ledger.retired(self.pipeline).get(version):
                raise BundleError(
                    f"version {version} of {self.pipeline} was cleared away on {gone:%Y-%m-%d}: its model is gone",
                    ("train another: ", Command("train --again")),
                )
            raise BundleError(
                f"version {version} of {self.pipeline}: its bundle is not at {folder}",
                RESTORE,
            )
        alone_in_its_model(folder)
        return folder

    def check_scorer(self, version: int, sha256: str) -> None:
        """Raise BundleError unless the scorer that MLflow runs for this version is the one that was certified."""
        folder = self.bundle_folder(version)
        scorer = folder.parents[1] / "scorer.py"
        if not scorer.is_file() or hashlib.sha256(scorer.read_bytes()).hexdigest() != sha256:
            raise BundleError(f"{scorer}: not the scorer that was compared with the batch path", RESTORE)

    def bundle_address(self, version: int) -> str:
        """What the ledger keeps of where a registered version's bundle is; see `Registry.address`."""
        return self.registry.address(version)

    @contextmanager
    def studies(self) -> Iterator[BaseStorage]:
        """Optuna's storage, in which a study outlives its process, for the block.

        Raises ServiceError where its database does not answer, UsageError where it cannot be reached by this URL.
        """
        import optuna
        import sqlalchemy as sa

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            storage = self._studies()
            try:
                yield _with_failpoint(storage)
            finally:
                storage.remove_session()
                storage.engine.dispose()
        except (ImportError, sa.exc.ArgumentError) as error:
            raise UsageError(
                f"the tuning URL cannot be used: {str(error).splitlines()[0]}",
                "TREADLE_TUNING_URL is a SQLAlchemy URL whose driver is installed; unset, the studies are in mlruns/",
            ) from error
        except (sa.exc.DBAPIError, optuna.exceptions.StorageInternalError) as error:
            cause = str(getattr(error.__cause__ or error, "orig", None) or error.__cause__ or error).splitlines()[0]
            url = engines.masked_url(self.settings.tuning)
            raise ServiceError(
                f"the tuning studies at {url} do not answer: {cause}",
                "look at TREADLE_TUNING_URL and the server, or at the file's rights and disk; "
                "the same command goes on where this one stopped",
            ) from error

    def _studies(self) -> RDBStorage:
        import optuna
        from sqlalchemy.pool import NullPool

        url, file = self.settings.tuning, sqlite.file_of(self.settings.tuning)
        if file is None:
            with engines.table_creation_lock(url):
                return optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
        options = {"connect_args": {"timeout": 60}, "poolclass": NullPool}

        def build(aside: Path) -> None:
            storage = optuna.storages.RDBStorage(sqlite.url_of(aside), engine_kwargs=options)
            storage.engine.dispose()

        sqlite.make(file, build)
        return optuna.storages.RDBStorage(url, engine_kwargs=options)


def _with_failpoint(storage: BaseStorage) -> BaseStorage:
    storage.set_trial_state_values = failpoint.around("study.trial")(storage.set_trial_state_values)
    return storage


def alone_in_its_model(bundle: Path) -> None:
    """Raise BundleError where anything stands beside a bundle that MLflow did not put there, such as a pickle.

    Nothing of ours would read it, but the folder is handed to others whole.
    """
    model = bundle.parents[1]
    allowed = {model: MODEL_FILES, bundle.parent: {bundle.name}}
    for folder, names in allowed.items() if (model / "MLmodel").exists() else ():
        for path in sorted(folder.iterdir()):
            if path.name not in names or path.is_symlink():
                raise BundleError(f"{path}: does not belong beside a model bundle", RESTORE)


def versions(data_version: str) -> tuple[int, int]:
    """The versions of rows and labels that a data version names (`rows@12`, `rows@12,labels@3`); -1 for none."""
    named = dict(part.split("@", 1) for part in data_version.split(","))
    return int(named["rows"]), int(named.get("labels", -1))


def open(settings: Settings, pipeline: str) -> Stores:
    """The stores of `pipeline` as the settings place them; nothing is made before its first use.

    Where the home was relocated or copied, MLflow's addresses are updated first.
    """
    relocation.relocate(settings)
    tables = Tables(f"{settings.tables_root}/{pipeline}", settings.state / "duckdb")
    return Stores(settings, pipeline, tables, Ledger(settings.ledger))
