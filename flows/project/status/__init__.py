"""`treadle status`: what is at work, how every pipeline stands, and what needs a person, with the command for it.

Looks and starts nothing. Quick, because it asks ledger, tables and servers directly: Prefect, MLflow and Great
Expectations, which take seconds to import, are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.flows.project import receivers
from treadle.flows.project.deployment_plans import differs
from treadle.flows.project.receivers import Receiver
from treadle.flows.project.status import needs, servers
from treadle.flows.project.status.needs import Need
from treadle.flows.project.status.servers import LastWork, Server
from treadle.flows.project.status.snapshot import ChampionStatus, Quarantine, Refused, Stale, Unscored
from treadle.tasks.errors import ConfigError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.infra.settings import Settings
    from treadle.infra.stores import Stores


class PipelineStatus(BaseModel):
    """One pipeline; `trouble` says why its file cannot be obeyed, and then nothing else is known.

    `files` wait in the sources, `waiting` is the version that waits for a person, `declined` says who declined which
    where nobody is champion, `refused` is the one that the gate refused last, `verdict_page` the run that judged such a
    one, `alias` what is wrong with MLflow's; `stale`: no rows.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    trouble: str = ""
    champion: ChampionStatus | None = None
    versions: int = 0
    waiting: int | None = None
    declined: str = ""
    refused: Refused | None = None
    verdict_page: str = ""
    alias: str = ""
    quarantine: Quarantine = Quarantine(batches=0, rows=0)
    files: tuple[str, ...] = ()
    unscored: Unscored = Unscored(batches=0, rows=0)
    stale: Stale | None = None
    work: tuple[LastWork, ...] = ()


class StatusResult(BaseModel):
    """The home as it stands.

    `differs`: deployments that are not what the files say, `needs`: what a person must do, `alerts`: who is told of it.
    """

    model_config = ConfigDict(frozen=True)

    home: str
    up: bool
    servers: tuple[Server, ...]
    pipelines: tuple[PipelineStatus, ...]
    differs: tuple[str, ...]
    needs: tuple[Need, ...]
    alerts: tuple[Receiver, ...]

    def exit_code(self) -> int:
        """Always 0: looking cannot fail."""
        return 0


def run_status(settings: Settings) -> StatusResult:
    """Look at everything once."""
    from treadle.infra import supervisor

    found, runs = servers.server_status(settings), servers.newest_work(settings)
    pipelines = tuple(pipeline_status(settings, file.stem, runs, waits=True) for file in settings.pipelines)
    locked = settings.login_variable if found[0].state == "locked" else ""
    changed, up = differs(settings), servers.is_up(settings)
    return StatusResult(
        home=str(settings.home),
        up=up,
        servers=found,
        pipelines=pipelines,
        differs=changed,
        needs=tuple(
            needs.home_needs(pipelines, changed, up=up, fell=supervisor.exited_unexpectedly(settings), locked=locked)
        ),
        alerts=receivers.configured_receivers(settings),
    )


def pipeline_status(settings: Settings, name: str, runs: Sequence[LastWork] | None, *, waits: bool) -> PipelineStatus:
    """One pipeline, and its `runs`; None where no server can be asked for any.

    What `waits` in sources and tables takes longest, and can be left out, with the alias on an MLflow server.
    """
    from treadle.flows.champion.pending import decline_sentence, pending_version
    from treadle.flows.context.workplace import open_workplace
    from treadle.flows.project.status import snapshot

    try:
        place = open_workplace(str(settings.home), name)
    except ConfigError as error:
        return PipelineStatus(pipeline=name, trouble=error.message)
    stores = place.stores
    champion, better, refused = (
        snapshot.champion_status(place),
        pending_version(stores.ledger, name),
        snapshot.refused_version(place),
    )
    versions, quarantine = stores.ledger.versions(name), snapshot.quarantine_status(place)
    declined = {} if champion else stores.ledger.declined(name)
    judged = better or refused or (versions[0] if versions and champion is None else None)
    about = [kept.batch_id for kept in quarantine.kept] + ([f"version {judged.version}"] if judged else [])
    pages = {} if runs is None else _pages(stores, name, about)
    kept = (one.model_copy(update={"page": pages.get(one.batch_id, "")}) for one in quarantine.kept)
    return PipelineStatus(
        pipeline=name,
        champion=champion,
        versions=len(versions),
        waiting=better.version if better else None,
        declined=decline_sentence(declined[max(declined)]) if declined else "",
        refused=refused,
        verdict_page=pages.get(f"version {judged.version}", "") if judged else "",
        alias=_alias(stores, champion.version, waits=waits) if champion else "",
        quarantine=quarantine.model_copy(update={"kept": tuple(kept)}),
        files=snapshot.waiting_files(place) if waits else (),
        unscored=snapshot.unscored_rows(place) if waits else Unscored(batches=0, rows=0),
        stale=snapshot.stale_data(place),
        work=tuple(one for one in runs or () if one.pipeline == name),
    )


def _pages(stores: Stores, pipeline: str, about: Sequence[str]) -> dict[str, str]:
    """Of batches and versions the page of the run in which each came about, where the server knows it."""
    known = stores.ledger.origins(pipeline) if about else {}
    runs = {one: known[one] for one in about if one in known}
    found = servers.run_pages(stores.settings, runs.values()) if runs else {}
    return {one: found[run] for one, run in runs.items() if run in found}


def _alias(stores: Stores, champion: int, *, waits: bool) -> str:
    from treadle.flows.champion.history import alias_drift

    if stores.settings.registry.startswith("http") and not waits:  # to ask it, MLflow must be imported
        return ""
    try:
        return alias_drift(stores, champion)
    except ServiceError:  # it is said of the server
        return ""
