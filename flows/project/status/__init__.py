"""`treadle status`: the servers, the state of every pipeline, and what needs a person, with the command for it.

Changes and starts nothing. Quick, because it reads ledger and tables and asks the servers directly: it does not import
Prefect, MLflow or Great Expectations, which would take seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.flows.project import receivers
from treadle.flows.project.deployment_plans import deployment_differences
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
    """The state of one pipeline; `trouble` says why its file is invalid, and then the other fields are empty.

    `trouble_kind` is the kind of that error (`ConfigError data.target`). `files` wait in the sources, `waiting` is the
    pending version, `unsettled` says why it cannot be compared with the champion (empty where it is better), `declined`
    says who declined which version (`declined_version`) where there is no champion, `refused` is the version that the
    gate refused last, `verdict_page` the run that judged the pending or refused one, `alias` how MLflow's alias
    differs; `stale`: no new rows for too long.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    trouble: str = ""
    trouble_kind: str = ""
    champion: ChampionStatus | None = None
    versions: int = 0
    waiting: int | None = None
    unsettled: str = ""
    declined: str = ""
    declined_version: int | None = None
    refused: Refused | None = None
    verdict_page: str = ""
    alias: str = ""
    quarantine: Quarantine = Quarantine(batches=0, rows=0)
    files: tuple[str, ...] = ()
    unscored: Unscored = Unscored(batches=0, rows=0)
    stale: Stale | None = None
    work: tuple[LastWork, ...] = ()


class StatusResult(BaseModel):
    """The state of the home.

    `differs`: how the deployments differ from the files, `needs`: what a person must do, `alerts`: who is notified.
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
        """Always 0."""
        return 0


def run_status(settings: Settings) -> StatusResult:
    """Read the state of servers, pipelines and deployments."""
    from treadle.infra import supervisor

    server_states, runs = servers.server_status(settings), servers.newest_work(settings)
    pipelines = tuple(pipeline_status(settings, file.stem, runs, waits=True) for file in settings.pipelines)
    locked = settings.login_variable if server_states[0].state == "locked" else ""
    changed = deployment_differences(settings)
    up, exited = servers.is_up(settings), supervisor.exited_unexpectedly(settings)
    return StatusResult(
        home=str(settings.home),
        up=up,
        servers=server_states,
        pipelines=pipelines,
        differs=tuple(one.sentence for one in changed),
        needs=tuple(needs.home_needs(pipelines, changed, up=up, exited=exited, locked=locked)),
        alerts=receivers.configured_receivers(settings),
    )


def pipeline_status(settings: Settings, name: str, runs: Sequence[LastWork] | None, *, waits: bool) -> PipelineStatus:
    """The state of one pipeline. `runs` is None where no server answers.

    Without `waits`, leaves out what takes longest: files and rows that wait, and the alias on an MLflow server.
    """
    from treadle.flows.champion.pending import decline_sentence, pending_version, unsettled_reason
    from treadle.flows.context.workplace import open_workplace
    from treadle.flows.project.status import snapshot

    try:
        place = open_workplace(str(settings.home), name)
    except ConfigError as error:
        return PipelineStatus(pipeline=name, trouble=error.message, trouble_kind=error.kind)
    stores = place.stores
    champion, pending, refused = (
        snapshot.champion_status(place),
        pending_version(stores.ledger, name),
        snapshot.refused_version(place),
    )
    versions, quarantine = stores.ledger.versions(name), snapshot.quarantine_status(place)
    declined = {} if champion else stores.ledger.declined(name)
    judged = pending or refused or (versions[0] if versions and champion is None else None)
    subjects = [batch.batch_id for batch in quarantine.kept] + ([f"version {judged.version}"] if judged else [])
    pages = {} if runs is None else _pages(stores, name, subjects)
    kept = (batch.model_copy(update={"page": pages.get(batch.batch_id, "")}) for batch in quarantine.kept)
    return PipelineStatus(
        pipeline=name,
        champion=champion,
        versions=len(versions),
        waiting=pending.version if pending else None,
        unsettled=unsettled_reason(pending) if pending else "",
        declined=decline_sentence(declined[max(declined)]) if declined else "",
        declined_version=max(declined, default=None),
        refused=refused,
        verdict_page=pages.get(f"version {judged.version}", "") if judged else "",
        alias=_alias(stores, champion.version, waits=waits) if champion else "",
        quarantine=quarantine.model_copy(update={"kept": tuple(kept)}),
        files=snapshot.waiting_files(place) if waits else (),
        unscored=snapshot.unscored_rows(place) if waits else Unscored(batches=0, rows=0),
        stale=snapshot.stale_data(place),
        work=tuple(run for run in runs or () if run.pipeline == name),
    )


def _pages(stores: Stores, pipeline: str, subjects: Sequence[str]) -> dict[str, str]:
    """The page of the run that created each batch or version in `subjects`; left out where the server has none."""
    origins = stores.ledger.origins(pipeline) if subjects else {}
    runs = {subject: origins[subject] for subject in subjects if subject in origins}
    pages = servers.run_pages(stores.settings, runs.values()) if runs else {}
    return {subject: pages[run] for subject, run in runs.items() if run in pages}


def _alias(stores: Stores, champion: int, *, waits: bool) -> str:
    from treadle.flows.champion.history import alias_drift

    if stores.settings.registry.startswith("http") and not waits:  # asking it would import MLflow
        return ""
    try:
        return alias_drift(stores, champion)
    except ServiceError:  # reported with the servers
        return ""
