"""One opened pipeline of a home: its settings, config and stores, from the home's path and the pipeline's name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.expectations.contract import Suite
    from treadle.infra.settings import Settings
    from treadle.infra.stores import Stores
    from treadle.infra.tables.labelled import DataVersion
    from treadle.tasks.bundle import Model, Part
    from treadle.tasks.config.spec import PipelineConfig


@dataclass(frozen=True, slots=True)
class Workplace:
    """One opened pipeline of a home: what a step needs to load, decide and store."""

    settings: Settings
    config: PipelineConfig
    stores: Stores

    def suite(self) -> Suite:
        """The pipeline's suite file.

        Raises DataError where the file is missing or is not a suite, ConfigError where the config names columns that
        it does not have or that cannot play their part.
        """
        from treadle.expectations.contract import load_suite
        from treadle.tasks.config.columns import misfits
        from treadle.tasks.config.locate import ConfigFile

        suite = load_suite(self.settings.home / "expectations" / f"{self.config.name}.json")
        for key, message, fix in misfits(self.config, suite.schema):
            file = ConfigFile.read(self.settings.home / "pipelines" / f"{self.config.name}.toml")
            raise file.error(tuple(key.split(".")), message, fix)
        return suite

    def contract(self) -> str:
        """Digest of all settings that decide whether a batch is accepted: the suite, and the config's part in it."""
        data = self.config.data
        settings = [self.suite().digest, data.key, data.target, data.timezone, data.missing, data.max_bad_rows]
        settings.append(self.config.labels.observed_at)
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def labelled(self, data_version: str) -> DataVersion:
        """Which rows have a label that counts at a data version, as the config has it."""
        from treadle.infra import stores
        from treadle.infra.tables.labelled import DataVersion, Maturity
        from treadle.tasks.horizon import span

        data = self.config.data
        maturity = Maturity(span(self.config.labels.mature_after), data.time, data.timezone)
        return DataVersion(data.target, data.key, *stores.versions(data_version), maturity)

    def model(self, version: int, digest: str | None = None, part: Part = "serving") -> Model:
        """A registered model, the one that answers or the one that was judged; verified before anything is parsed.

        Raises BundleError where it is damaged, or is not the one that `digest` (else the ledger) names.
        """
        from treadle.tasks import bundle

        record = self.stores.ledger.version(self.config.name, version)
        return bundle.load_bundle(
            self.stores.bundle_folder(version), digest=digest or (record.digest if record else None), part=part
        )


def open_workplace(home: str, pipeline: str) -> Workplace:
    """Open `pipeline` of the home at `home`; flows and steps take these two strings as arguments, never open stores."""
    from treadle.infra import settings as settings_
    from treadle.infra import stores
    from treadle.tasks.config.load import load_config

    settings = settings_.at(Path(home))
    config = load_config(settings.home / "pipelines" / f"{pipeline}.toml")
    return Workplace(settings, config, stores.open(settings, pipeline))


def this_run() -> str:
    """The id of the current flow run; empty outside of one."""
    from prefect import runtime

    return str(runtime.flow_run.id or "")
