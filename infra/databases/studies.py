"""Optuna's studies of a pipeline: which there are, when each was last used, and their deletion."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from treadle.infra import failpoint

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

NEVER = datetime.min.replace(tzinfo=UTC)


def touched(storage: BaseStorage, pipeline: str) -> dict[str, datetime]:
    """When a trial of each study began or ended last, by the study's name without the pipeline."""
    found = {}
    for study in storage.get_all_studies():
        of, _, work = study.study_name.partition("/")
        if of == pipeline:
            trials = storage.get_all_trials(study._study_id, deepcopy=False)
            moments = [at for one in trials for at in (one.datetime_start, one.datetime_complete) if at is not None]
            found[work] = max((at.astimezone(UTC) for at in moments), default=NEVER)  # Optuna's are local wall clock
    return found


def delete(storage: BaseStorage, pipeline: str, work: str) -> None:
    """Delete a study with its trials."""
    with failpoint.around("maintain.study"):
        storage.delete_study(storage.get_study_id_from_name(f"{pipeline}/{work}"))
