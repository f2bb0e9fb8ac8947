"""How all trials of a study are fitted and measured: rows binned once, models grown round by round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.dataset.folds import FOLDS, deal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from xgboost import Booster, DMatrix

    from treadle.tasks.booster import MatrixRows, Scalar

CROSS_VALIDATED = 5_000
"""Below this many rows outside the holdout, exchangeable rows are cross-validated."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Rows to fit on and rows to measure on; `X` and `y` are the measured rows."""

    fitted: DMatrix
    measured: DMatrix
    X: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, slots=True)
class Course:
    """One lane, or one per fold; `fixed` are the parameters that no trial changes, `rows` the training rows."""

    lanes: tuple[Lane, ...]
    task: str
    metric: str
    fixed: Mapping[str, Scalar]
    rows: int

    @property
    def sign(self) -> float:
        """1 where a larger metric is better, else -1."""
        from treadle.tasks.metrics import greater_is_better

        return 1.0 if greater_is_better(self.metric) else -1.0

    @property
    def y(self) -> np.ndarray:
        """Labels of the measured rows, lane after lane."""
        import numpy as np

        return np.concatenate([lane.y for lane in self.lanes])

    def expected_pace(self) -> float:
        """Seconds that a round on all lanes takes on an ordinary machine."""
        from treadle.tasks.search.space import expected_pace

        trees = int(self.fixed.get("num_class", 1))
        return sum(
            expected_pace(lane.fitted.num_row(), lane.fitted.num_col(), _bins(lane.fitted), trees)
            for lane in self.lanes
        )

    def models(self, params: Mapping[str, Scalar]) -> list[Booster]:
        """An untrained model for each lane, which `grow` trains."""
        import xgboost

        return [xgboost.Booster({**self.fixed, **params}, [lane.fitted, lane.measured]) for lane in self.lanes]

    def grow(self, models: Sequence[Booster], iteration: int) -> float:
        """Add a round to every model; what is watched on the measured rows, in the direction of the metric's gain."""
        from treadle.tasks.device import check_trained_on

        total = 0.0
        for model, lane in zip(models, self.lanes, strict=True):
            model.update(lane.fitted, iteration)
            if iteration == 0:
                check_trained_on(model, str(self.fixed["device"]))
            evaluation = model.eval_set([(lane.measured, "measured")], iteration)
            total += float(evaluation.rsplit(":", 1)[1])
        better = 1.0 if self.fixed["eval_metric"] in ("auc", "aucpr") else -1.0
        return better * total / len(self.lanes)

    def answers(self, models: Sequence[Booster], rounds: int) -> list[np.ndarray]:
        """Predictions of the first `rounds` rounds for each lane's measured rows.

        Where the metric depends on a threshold they are 0 and 1, by the rule that gives a model its threshold.
        """
        from treadle.tasks import booster, metrics

        found = []
        for model, lane in zip(models, self.lanes, strict=True):
            if self.fixed["device"] == "cpu":
                found.append(booster.predict_raw(model[:rounds], lane.X))
            else:  # the rows are there already
                found.append(booster.predict_matrix(model, lane.measured, rounds))
        if self.task != "binary" or self.metric not in metrics.AT_THRESHOLD:
            return found
        return called([lane.y for lane in self.lanes], found)

    def score(self, answers: Sequence[np.ndarray]) -> float:
        """The metric on the measured rows, averaged over the lanes."""
        from treadle.tasks import metrics

        values = [
            metrics.metric_value(self.task, self.metric, lane.y, answer)
            for lane, answer in zip(self.lanes, answers, strict=True)
        ]
        return sum(values) / len(values)


def _bins(matrix: DMatrix) -> int:
    """The bins of all columns; the most that they can have where the rows stay in the host's memory, not binned yet."""
    import xgboost

    most = 256 * matrix.num_col()
    return len(matrix.get_quantile_cut()[1]) if isinstance(matrix, xgboost.QuantileDMatrix) else most


def called(labels: Sequence[np.ndarray], answers: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What each lane's measured rows are called, 0 or 1, at a threshold fitted on the rows of all lanes.

    `labels` and `answers` (probabilities) are [n] for each lane. The rows are dealt to folds in order, and each fold's
    threshold is fitted on the others: a threshold that had seen a row's label would flatter it.
    """
    import numpy as np

    from treadle.tasks.postprocess import best_threshold

    y, p = np.concatenate(labels), np.concatenate(answers)
    given, fold = np.empty(len(y)), np.arange(len(y)) % FOLDS
    for one in range(FOLDS):
        held = fold == one
        given[held] = p[held] >= best_threshold(p[~held], y[~held])
    return np.split(given, np.cumsum([len(one) for one in answers])[:-1])


def lay_out(
    train: MatrixRows,
    validation: MatrixRows,
    *,
    task: str,
    classes: int,
    names: Sequence[str],
    metric: str,
    device: str,
    seed: int,
    monotone: Mapping[str, int],
    exchangeable: bool,
    external: bool = False,
) -> Course:
    """Bin the rows once for all trials.

    Few rows that are `exchangeable` (a random split made them) are cross-validated: training and validation rows
    are dealt out to folds, and each row is measured by a model of the other folds. That distinguishes trials and
    numbers of rounds far better than a few validation rows can. With `external` the rows stay in the host's memory.
    """
    import numpy as np

    from treadle.tasks import booster

    rows = len(train.y)
    fixed = booster.complete_parameters(
        task,
        {"eval_metric": booster.watched(task, metric), "nthread": booster.threads(rows)},
        classes=classes,
        device=device,
        seed=seed,
        monotone=monotone,
        names=names,
    )
    X, y = np.concatenate([train.X, validation.X]), np.concatenate([train.y, validation.y])
    sides = [np.arange(len(y)) >= rows]
    if exchangeable and _can_be_dealt(task, y):
        dealt = deal(y, seed)
        sides = [dealt == fold for fold in range(FOLDS)]
    lanes = []
    for side in sides:
        fitted = booster.quantile_matrix(X[~side], y[~side], names, external=external)
        measured = booster.quantile_matrix(X[side], y[side], names, fitted, external=external)
        lanes.append(Lane(fitted, measured, X[side], y[side]))
    return Course(tuple(lanes), task, metric, fixed, rows)


def _can_be_dealt(task: str, y: np.ndarray) -> bool:
    """Few rows, and of a binary target enough of both classes that every fold gets one."""
    import numpy as np

    if len(y) >= CROSS_VALIDATED:
        return False
    return task != "binary" or bool(np.bincount(y.astype(np.int64)).min() >= FOLDS)
