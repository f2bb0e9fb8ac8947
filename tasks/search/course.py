"""How all trials of a study are fitted and measured: rows binned once, models grown round by round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.dataset.folds import FOLDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from xgboost import Booster, QuantileDMatrix

    from treadle.tasks.booster import MatrixRows, Scalar


@dataclass(frozen=True, slots=True)
class LaneRows:
    """Rows to fit on, and rows to measure on; each encoded without a look at the measured rows' labels."""

    fitted: MatrixRows
    measured: MatrixRows


@dataclass(frozen=True, slots=True)
class Lane:
    """The same rows binned; `X` and `y` are the measured rows."""

    fitted: QuantileDMatrix
    measured: QuantileDMatrix
    X: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, slots=True)
class Course:
    """One lane, or one per fold or window; `fixed` are the parameters that no trial changes.

    `rows` are those that the first lane fits, `repeats` how often each row is measured.
    """

    lanes: tuple[Lane, ...]
    task: str
    metric: str
    fixed: Mapping[str, Scalar]
    rows: int
    repeats: int = 1

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
            expected_pace(lane.fitted.num_row(), lane.fitted.num_col(), len(lane.fitted.get_quantile_cut()[1]), trees)
            for lane in self.lanes
        )

    def models(self, params: Mapping[str, Scalar]) -> list[Booster]:
        """An untrained model for each lane, which `grow` trains."""
        import xgboost

        return [xgboost.Booster({**self.fixed, **params}, [lane.fitted, lane.measured]) for lane in self.lanes]

    def grow(self, models: Sequence[Booster], iteration: int) -> float:
        """Add a round to every model; minus the mean loss on the measured rows, which is watched."""
        total = 0.0
        for model, lane in zip(models, self.lanes, strict=True):
            model.update(lane.fitted, iteration)
            evaluation = model.eval_set([(lane.measured, "measured")], iteration)
            total += float(evaluation.rsplit(":", 1)[1])
        return -total / len(self.lanes)

    def margins(self, models: Sequence[Booster], rounds: int) -> list[np.ndarray]:
        """Margins of the first `rounds` rounds for each lane's measured rows, float32 [n] or [n, classes]."""
        import numpy as np

        found = []
        for model, lane in zip(models, self.lanes, strict=True):
            model.set_param({"device": "cpu"})
            found.append(np.asarray(model.inplace_predict(lane.X, iteration_range=(0, rounds), predict_type="margin")))
        return found

    def answers(self, margins: Sequence[np.ndarray], at: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        """What is measured of each lane's margins (of its measured rows `at`): probabilities or values.

        Where the metric depends on a threshold they are 0 and 1, by the rule that gives a model its threshold.
        """
        from treadle.tasks import metrics
        from treadle.tasks.booster import from_margins

        found = [from_margins(str(self.fixed["objective"]), margin) for margin in margins]
        if self.task == "binary" and self.metric in metrics.AT_THRESHOLD:
            return called(self._labels(at), found)
        return found

    def score(self, answers: Sequence[np.ndarray], at: Sequence[np.ndarray] | None = None) -> float:
        """The metric, as the mean over the lanes (over their measured rows `at`)."""
        from treadle.tasks import metrics

        values = [
            metrics.metric_value(self.task, self.metric, y, answer)
            for y, answer in zip(self._labels(at), answers, strict=True)
        ]
        return sum(values) / len(values)

    def _labels(self, at: Sequence[np.ndarray] | None) -> list[np.ndarray]:
        if at is None:
            return [lane.y for lane in self.lanes]
        return [lane.y[one] for lane, one in zip(self.lanes, at, strict=True)]


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
    rows: Iterable[LaneRows],
    *,
    task: str,
    classes: int,
    names: Sequence[str],
    metric: str,
    device: str,
    seed: int,
    monotone: Mapping[str, int],
    repeats: int = 1,
) -> Course:
    """Bin the rows of each lane once for all trials; what is watched is a smooth loss, whatever the metric."""
    from treadle.tasks import booster

    lanes, fitted_rows = [], 0
    for one in rows:
        fitted_rows = fitted_rows or len(one.fitted.y)
        fitted = booster.quantile_matrix(one.fitted.X, one.fitted.y, names)
        measured = booster.quantile_matrix(one.measured.X, one.measured.y, names, fitted)
        lanes.append(Lane(fitted, measured, one.measured.X, one.measured.y))
    fixed = booster.complete_parameters(
        task,
        {"eval_metric": booster.WATCHED[task], "nthread": booster.threads(fitted_rows)},
        classes=classes,
        device=device,
        seed=seed,
        monotone=monotone,
        names=names,
    )
    return Course(tuple(lanes), task, metric, fixed, fitted_rows, repeats)
