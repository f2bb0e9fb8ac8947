"""`treadle up` obeys data.forbid as soon as a pipeline's file has changed, not only with the next run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from treadle.infra.settings import Settings


class ForbidWatch:
    """Takes champions out of service, or back, where their pipeline's file has changed since the last check."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._checked: dict[str, int] = {}

    def check(self) -> None:
        """Check the files that are new or changed; an invalid one is left to the alerts.

        Raises ServiceError where ledger or registry do not answer; that file is then checked again.
        """
        from treadle.flows.champion.moves import settle_champion
        from treadle.flows.context.workplace import open_workplace

        for file in self._settings.pipelines:
            try:
                changed_at = file.stat().st_mtime_ns
            except FileNotFoundError:
                continue
            if self._checked.get(file.stem) == changed_at:
                continue
            try:
                place = open_workplace(str(self._settings.home), file.stem)
            except ConfigError:
                pass
            else:
                settle_champion(place.stores, place.config)
            self._checked[file.stem] = changed_at
