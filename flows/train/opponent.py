"""Which of the champion's boosters a challenger is compared with, and on which rows of the challenger's holdout.

Random and group splits: judged booster against judged booster, on the rows that are new to both. Time splits: the
serving booster, which has learned from all rows of its day, where enough rows are newer than those; else the champion's
recipe fitted on the challenger's training rows, so that both know the same; without a recipe the judged booster.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from treadle.flows.context.loss_module import load_loss
from treadle.tasks.errors import BundleError, ConfigError, DataError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from treadle.flows.context.workplace import Workplace
    from treadle.flows.train.run import RunRef
    from treadle.tasks.bundle import BundleFacts, Part
    from treadle.tasks.dataset import Parts
    from treadle.tasks.dataset.judging import Comparison, FittedRows, LeftOut
    from treadle.tasks.training import Problem

ENOUGH_NEWER = 0.5
"""The share of the usual holdout that newer rows must reach before they take its place."""


@dataclass(frozen=True, slots=True)
class Opponent:
    """The challenger's parts, the rows of its holdout that judge, and whom it is compared with."""

    parts: Parts
    new: pa.Table
    comparison: Comparison


def choose_opponent(ref: RunRef, place: Workplace, problem: Problem, rows: pa.Table, parts: Parts) -> Opponent:
    """The challenger's parts, its holdout rows that judge (none: nothing can be compared), and who answers for them.

    The parts stay as they are, unless the cut of a time split is moved to where the champion's rows end. The recipe of
    a champion that is out of service is not followed: it would learn from a forbidden column again.
    """
    from treadle.tasks import bundle
    from treadle.tasks.dataset.judging import Comparison, LeftOut

    assert ref.champion is not None
    version, dated = ref.champion, place.config.split.strategy == "time"
    try:
        facts = bundle.read_facts(place.stores.bundle_folder(version))
        model = place.model(version)
    except BundleError as error:
        if not ref.forbidden:
            raise
        unread = LeftOut(f"the model of version {version} cannot be read ({error.message})", len(parts.holdout))
        return Opponent(parts, parts.holdout.slice(0, 0), Comparison((unread,)))
    newer = is_newer(place, problem, parts, ref.data_version, model.time, facts)
    if dated and model.time == place.config.data.time:
        whole = fitted_by(place, version, "serving")
        until = f", trained until {facts.trained_until}"
        for candidate, moved in () if isinstance(whole, str) else _cuts(place, problem, rows, parts, facts):
            new, left_out = new_to_both(place, candidate, whole)
            if _suffices(problem, new, len(parts.holdout)):
                return Opponent(candidate, new, Comparison(left_out, "serving", until, newer, moved))
    if dated and not ref.forbidden and has_usable_recipe(place, problem, parts, version):
        note = ", fitted on the challenger's training rows"
        return Opponent(parts, parts.holdout, Comparison((), "recipe", note, newer))
    new, left_out = new_to_both(place, parts, fitted_by(place, version, "judged"))
    return Opponent(parts, new, Comparison(left_out, "judged", "", newer))


def is_newer(
    place: Workplace, problem: Problem, parts: Parts, data_version: str, time: str, facts: BundleFacts
) -> bool:
    """Whether the challenger's serving booster will learn from newer data than that of the champion with `facts`.

    Some table has a newer version, and where both have the same time column, `time` being the champion's, there is a
    later row.
    """
    from treadle.infra.stores import versions
    from treadle.tasks import training

    pairs = zip(versions(data_version), versions(facts.data_version), strict=True)
    if not any(now > then for now, then in pairs):
        return False
    whole = place.config.model.refit == "all"
    last = training.last_time(problem, parts.every_row() if whole else training.together(parts.train, parts.validation))
    if last is None or facts.trained_until is None or time != problem.time:
        return True
    try:
        return bool(last > facts.trained_until)  # type: ignore[operator]
    except TypeError:  # a time that was a date and is a timestamp
        return True


def new_to_both(place: Workplace, parts: Parts, fitted: FittedRows | str) -> tuple[pa.Table, tuple[LeftOut, ...]]:
    """The rows of the challenger's holdout on which neither it nor the champion was fitted, and what was left out.

    Empty where it is no longer known what the champion was fitted on: `fitted` is then the reason.
    """
    from treadle.tasks.dataset.judging import LeftOut, judging

    if isinstance(fitted, str):
        return parts.holdout.slice(0, 0), (LeftOut(fitted, len(parts.holdout)),)
    return judging(parts.holdout, _challenger(place, parts), fitted)


def known_to_neither(place: Workplace, parts: Parts, comparison: Comparison | None, champion: int | None) -> pa.Table:
    """The holdout rows of known entities (`parts.known`) on which neither model was fitted; they do not judge.

    All of them without a champion, or where its recipe was fitted on the challenger's rows. Empty where it is no longer
    known what the champion was fitted on.
    """
    from treadle.tasks.dataset.judging import judging

    assert parts.known is not None
    if champion is None or comparison is None or comparison.booster == "recipe":
        return parts.known
    fitted = fitted_by(place, champion, comparison.booster)
    if isinstance(fitted, str):
        return parts.known.slice(0, 0)
    ungrouped = [
        replace(one, split=one.split.model_copy(update={"group": ""})) for one in (_challenger(place, parts), fitted)
    ]
    return judging(parts.known, *ungrouped)[0]


def _challenger(place: Workplace, parts: Parts) -> FittedRows:
    from treadle.tasks import training
    from treadle.tasks.dataset.judging import FittedRows

    data = place.config.data
    fitted = training.together(parts.train, parts.validation)
    return FittedRows(fitted, place.config.split, data.key, data.time, data.target)


def fitted_by(place: Workplace, version: int, part: Part) -> FittedRows | str:
    """The rows on which a registered version's booster was fitted and tuned; else why they are unknown, in a sentence.

    The judged booster's are found by splitting its data version again by its own config, or are all of them where its
    bundle names no split. The serving one's are all, unless it is the judged one.
    """
    from treadle.infra import stores
    from treadle.infra.tables.labelled import Maturity
    from treadle.tasks import bundle, training
    from treadle.tasks.dataset import SplitSpec, split
    from treadle.tasks.dataset.judging import FittedRows
    from treadle.tasks.horizon import span

    folder = place.stores.bundle_folder(version)
    model, facts, recipe = place.model(version, part=part), bundle.read_facts(folder), bundle.read_recipe(folder)
    tables, (rows_version, labels_version) = place.stores.tables, stores.versions(facts.data_version)
    if rows_version > tables.version("rows") or labels_version > tables.version("labels"):
        return f"the rows that version {version} was fitted on ({facts.data_version}) are not in the tables any more"
    maturity = Maturity(span(facts.mature_after), model.time, model.timezone)
    rows = tables.training(rows_version, model.target, model.key, labels_version, maturity)
    on_all = part == "serving" and recipe is not None and recipe.refit == "all"
    if facts.split is not None and not on_all:
        try:
            parts = split(rows, facts.split, key=model.key, time=model.time, target=model.target, after=facts.cut_after)
        except (DataError, TargetError) as error:
            return f"the rows that version {version} was fitted on are no longer known ({error.message})"
        rows = training.together(parts.train, parts.validation)
    return FittedRows(rows, facts.split or SplitSpec(), model.key, model.time, model.target)


def has_usable_recipe(place: Workplace, problem: Problem, parts: Parts, version: int) -> bool:
    """Whether a version's recipe is recorded, is one for the same question, and can be followed on these rows."""
    from treadle.tasks import bundle, training
    from treadle.tasks.gate import why_not_comparable
    from treadle.tasks.objective import check_target
    from treadle.tasks.recipe import by_recipe

    recipe = bundle.read_recipe(place.stores.bundle_folder(version))
    spec = place.model(version).spec()
    if recipe is None or why_not_comparable(version, spec, problem, problem.schema.names):
        return False
    try:
        training.learn_features(by_recipe(problem, recipe), parts.train)
        if recipe.objective is not None:
            check_target(recipe.objective, training.labels_as_numbers(problem, parts.every_row()), problem.target)
            load_loss(place.settings.home, recipe.objective.custom)
    except (ConfigError, DataError, TargetError):
        return False
    return True


def _cuts(
    place: Workplace, problem: Problem, rows: pa.Table, parts: Parts, facts: BundleFacts
) -> Iterator[tuple[Parts, bool]]:
    """The usual parts; or, where their holdout begins before the champion's rows end, parts cut there and so moved."""
    from treadle.tasks import training
    from treadle.tasks.dataset import split
    from treadle.tasks.weights import counting_parts

    until, first = facts.trained_until, training.first_time(problem, parts.holdout)
    data = place.config.data
    try:
        if until is not None and first is not None and first <= until:  # type: ignore[operator]
            moved = split(rows, place.config.split, key=data.key, time=data.time, target=data.target, after=until)
            yield counting_parts(moved, data.weight), True
            return
    except TypeError:  # a time that was a date and is a timestamp
        pass
    except (DataError, TargetError):  # no row is newer, or they hold one label only
        return
    yield parts, False


def _suffices(problem: Problem, new: pa.Table, usual: int) -> bool:
    from treadle.tasks import gate, postprocess
    from treadle.tasks.weights import row_weights

    try:
        y = postprocess.encode_target(new[problem.target], problem.task, problem.classes)
    except TargetError:
        return False
    return len(new) >= ENOUGH_NEWER * usual and gate.enough(problem.task, y, row_weights(new, problem.weight))
