"""The rows that the champion was fitted on, by its bundle, and the holdout rows that are new to both models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from treadle.tasks.errors import DataError, TargetError

if TYPE_CHECKING:
    import pyarrow as pa

    from treadle.flows.context.workplace import Workplace
    from treadle.tasks.dataset import Parts
    from treadle.tasks.dataset.judging import FittedRows, LeftOut


def new_to_both(place: Workplace, parts: Parts, champion: int) -> tuple[pa.Table, tuple[LeftOut, ...]]:
    """The rows of the challenger's holdout on which neither it nor the champion was fitted, and what was left out.

    Empty where it is no longer known what the champion was fitted on.
    """
    from treadle.tasks.dataset.judging import LeftOut, judging

    fitted = fitted_by(place, champion)
    if isinstance(fitted, str):
        return parts.holdout.slice(0, 0), (LeftOut(fitted, len(parts.holdout)),)
    return judging(parts.holdout, _challenger(place, parts), fitted)


def _challenger(place: Workplace, parts: Parts) -> FittedRows:
    from treadle.tasks import training
    from treadle.tasks.dataset.judging import FittedRows

    data = place.config.data
    fitted = training.together(parts.train, parts.validation)
    return FittedRows(fitted, place.config.split, data.key, data.time, data.target)


def known_to_neither(place: Workplace, parts: Parts, champion: int | None) -> pa.Table:
    """The holdout rows of known entities (`parts.known`) on which neither model was fitted; they do not judge.

    All of them without a champion. Empty where it is no longer known what the champion was fitted on.
    """
    from treadle.tasks.dataset.judging import judging

    assert parts.known is not None
    if champion is None:
        return parts.known
    fitted = fitted_by(place, champion)
    if isinstance(fitted, str):
        return parts.known.slice(0, 0)
    ungrouped = [
        replace(one, split=one.split.model_copy(update={"group": ""})) for one in (_challenger(place, parts), fitted)
    ]
    return judging(parts.known, *ungrouped)[0]


def fitted_by(place: Workplace, version: int) -> FittedRows | str:
    """The rows on which a registered version was fitted and tuned; else a sentence that says why they are unknown.

    Its data version is split again by its own config. A bundle without a split counts as fitted on all of its rows.
    """
    from treadle.infra import stores
    from treadle.infra.tables.labelled import Maturity
    from treadle.tasks import bundle, training
    from treadle.tasks.dataset import SplitSpec, split
    from treadle.tasks.dataset.judging import FittedRows
    from treadle.tasks.horizon import span

    folder = place.stores.bundle_folder(version)
    model, facts = place.model(version), bundle.read_facts(folder)
    tables, (rows_version, labels_version) = place.stores.tables, stores.versions(facts.data_version)
    if rows_version > tables.version("rows") or labels_version > tables.version("labels"):
        return f"the rows that version {version} was fitted on ({facts.data_version}) are not in the tables any more"
    maturity = Maturity(span(facts.mature_after), model.time, model.timezone)
    rows = tables.training(rows_version, model.target, model.key, labels_version, maturity)
    if facts.split is not None:
        try:
            parts = split(rows, facts.split, key=model.key, time=model.time, target=model.target)
        except (DataError, TargetError) as error:
            return f"the rows that version {version} was fitted on are no longer known ({error.message})"
        rows = training.together(parts.train, parts.validation)
    return FittedRows(rows, facts.split or SplitSpec(), model.key, model.time, model.target)
