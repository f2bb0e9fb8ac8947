"""Models that use a column which the config forbids or drops, and the version that does without.

A champion that uses a column of data.forbid is out of service: it scores nothing, and MLflow's alias is removed
(`moves.settle_champion`). One that uses a column of data.drop goes on, and is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.tasks.commands import Command
from treadle.tasks.errors import BundleError, ConfigError, ForbiddenColumn, ServiceError
from treadle.tasks.out_of_service import dropped_reason, out_of_service_reason, quoted_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from treadle.infra.settings import Settings
    from treadle.infra.stores import Stores
    from treadle.tasks.bundle.model import Spec
    from treadle.tasks.commands import Advice
    from treadle.tasks.config.spec import PipelineConfig


class ColumnUse(BaseModel):
    """The columns of data.forbid and of data.drop that the champion `version` uses.

    `instead` is the newest version that uses none of them and may be promoted; None where there is none.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    forbidden: tuple[str, ...]
    dropped: tuple[str, ...]
    instead: int | None

    def sentence(self) -> str:
        """What is wrong; the forbidden columns first, as they are the reason that it does not score."""
        if self.forbidden:
            return out_of_service_reason(self.version, self.forbidden)
        return dropped_reason(self.version, self.dropped)

    def command(self) -> Command:
        """The command that settles it."""
        return Command("train" if self.instead is None else f"promote {self.instead} --reason '...'")

    def advice(self) -> Advice:
        """The same with what it does."""
        if self.instead is None:
            return "train a model without: ", self.command()
        return f"version {self.instead} does without: ", self.command(), "; or train another: ", Command("train")


def champion_use(stores: Stores, config: PipelineConfig) -> ColumnUse | None:
    """The champion's use of forbidden and dropped columns.

    None without a champion, where it uses none of them, or where its bundle cannot be read: it does not score then.
    """
    champion = stores.ledger.champion(stores.pipeline) if config.data.forbid or config.data.drop else None
    if champion is None:
        return None
    try:
        spec = _spec(stores, champion.version_to)
    except BundleError:
        return None
    forbidden = used(spec, config.data.forbid)
    dropped = tuple(name for name in used(spec, config.data.drop) if name not in forbidden)
    if not forbidden and not dropped:
        return None
    instead = version_without(stores, config)
    return ColumnUse(version=champion.version_to, forbidden=forbidden, dropped=dropped, instead=instead)


def out_of_service(settings: Settings) -> Iterator[tuple[str, ColumnUse]]:
    """Every pipeline of the home whose champion uses a column of data.forbid.

    Leaves out a pipeline whose file is invalid, or whose ledger does not answer.
    """
    from treadle.infra import stores
    from treadle.tasks.config.load import load_config

    for file in settings.pipelines:
        try:
            config = load_config(file)
            use = champion_use(stores.open(settings, config.name), config) if config.data.forbid else None
        except (ConfigError, ServiceError):
            continue
        if use is not None and use.forbidden:
            yield config.name, use


def forbidden_columns(stores: Stores, config: PipelineConfig, version: int) -> tuple[str, ...]:
    """The columns of data.forbid that a version uses; raises BundleError where its bundle cannot be read."""
    return used(_spec(stores, version), config.data.forbid) if config.data.forbid else ()


def check_in_service(stores: Stores, config: PipelineConfig) -> None:
    """Raise ForbiddenColumn where the champion uses a column of data.forbid."""
    use = champion_use(stores, config) if config.data.forbid else None
    if use is not None and use.forbidden:
        raise ForbiddenColumn(f"nothing is scored: {use.sentence()}", use.advice())


def check_allowed(stores: Stores, config: PipelineConfig, version: int) -> None:
    """Raise ForbiddenColumn where a version uses a column of data.forbid, BundleError where its bundle is damaged."""
    if columns := forbidden_columns(stores, config, version):
        instead = version_without(stores, config)
        raise ForbiddenColumn(
            f"version {version} of {stores.pipeline} cannot be champion: it uses {quoted_columns(columns)}, "
            "which data.forbid names",
            ColumnUse(version=version, forbidden=columns, dropped=(), instead=instead).advice(),
        )


def version_without(stores: Stores, config: PipelineConfig) -> int | None:
    """The newest version that answers the config's question without its forbidden and dropped columns; else None.

    It is not the champion, was not refused by the gate or declined by a person, and its model is there.
    """
    ledger, pipeline, data = stores.ledger, stores.pipeline, config.data
    champion = ledger.champion(pipeline)
    excluded = {*ledger.retired(pipeline), *ledger.declined(pipeline), champion.version_to if champion else 0}
    for record in ledger.versions(pipeline):
        if record.version in excluded or record.decision == "REFUSED":
            continue
        try:
            spec = _spec(stores, record.version)
        except BundleError:
            continue
        if (spec.target, spec.task) == (data.target, data.task) and not used(spec, (*data.forbid, *data.drop)):
            return record.version
    return None


def used(spec: Spec, columns: Iterable[str]) -> tuple[str, ...]:
    """Those of `columns` that a model's features are made of, each once."""
    sources = set(spec.features.sources)
    return tuple(name for name in dict.fromkeys(columns) if name in sources)


def _spec(stores: Stores, version: int) -> Spec:
    from treadle.tasks import bundle

    record = stores.ledger.version(stores.pipeline, version)
    return bundle.read_spec(stores.bundle_folder(version), digest=record.digest if record else None)
