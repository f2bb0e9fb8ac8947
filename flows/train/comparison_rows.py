"""What the champion was fitted on, told again from its bundle, and which holdout rows are therefore new to both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.errors import DataError, TargetError

if TYPE_CHECKING:
    import pyarrow as pa

    from treadle.flows.context.workplace import Workplace
    from treadle.tasks.dataset import Parts
    from treadle.tasks.dataset.judging import FittedRows, LeftOut


def new_to_both(place: Workplace, parts: Parts, champion: int) -> tuple[pa.Table, tuple[LeftOut, ...]]:
    """The rows of the challenger's holdout on which neither it nor the champion was fitted, and what was left out.

    Where nobody can tell any more what the champion was fitted on, there are none.
    """
    from treadle.tasks import training
    from treadle.tasks.dataset.judging import FittedRows, LeftOut, judging

    config = place.config
    challenger = FittedRows(
        training.together(parts.train, parts.validation),
        config.split,
        config.data.key,
        config.data.time,
        config.data.target,
    )
    known = fitted_by(place, champion)
    if isinstance(known, str):
        return parts.holdout.slice(0, 0), (LeftOut(known, len(parts.holdout)),)
    return judging(parts.holdout, challenger, known)


def fitted_by(place: Workplace, version: int) -> FittedRows | str:
    """The rows on which a registered version was fitted and tuned; a sentence where they cannot be had any more.

    They are parted again as its own config said, from its own data version. A bundle that does not say how counts as
    fitted on all of its rows.
    """
    from treadle.infra import stores
    from treadle.tasks import bundle, training
    from treadle.tasks.dataset import SplitSpec, split
    from treadle.tasks.dataset.judging import FittedRows

    folder = place.stores.bundle_folder(version)
    model, facts = place.model(version), bundle.read_facts(folder)
    tables, (rows_version, labels_version) = place.stores.tables, stores.versions(facts.data_version)
    if rows_version > tables.version("rows") or labels_version > tables.version("labels"):
        return f"the rows that version {version} was fitted on ({facts.data_version}) are not in the tables any more"
    rows = tables.training(rows_version, model.target, model.key, labels_version)
    if facts.split is not None:
        try:
            parts = split(rows, facts.split, key=model.key, time=model.time, target=model.target)
        except (DataError, TargetError) as error:
            return f"the rows that version {version} was fitted on cannot be told any more ({error.message})"
        rows = training.together(parts.train, parts.validation)
    return FittedRows(rows, facts.split or SplitSpec(), model.key, model.time, model.target)
