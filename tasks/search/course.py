"""How all trials of a study are fitted and measured: rows binned once, models grown round by round."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from treadle.tasks.dataset.folds import FOLDS
from treadle.tasks.dependence import Dependence

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import numpy as np
    from xgboost import Booster, DMatrix

    from treadle.tasks.booster import MatrixRows, Scalar
    from treadle.tasks.custom_loss import CustomLoss
    from treadle.tasks.objective import Objective
    from treadle.tasks.threshold import ThresholdRule


@dataclass(frozen=True, slots=True)
class LaneRows:
    """Rows to fit on, and rows to measure on; each encoded without a look at the measured rows' labels."""

    fitted: MatrixRows
    measured: MatrixRows


@dataclass(frozen=True, slots=True)
class Lane:
    """The same rows binned; `rows` are the measured ones, with their labels on the target's own scale."""

    fitted: DMatrix
    measured: DMatrix
    rows: MatrixRows


@dataclass(frozen=True, slots=True)
class Course:
    """One lane, or one per fold or window; `fixed` are the parameters that no trial changes.

    `rows` are those that the first lane fits, `repeats` how often each row is measured. `settled` are the names of
    parameters that a person has set. `threshold_rule` gives the threshold by which labels are judged (None: the
    default's).
    """

    lanes: tuple[Lane, ...]
    task: str
    metric: str
    fixed: Mapping[str, Scalar]
    objective: Objective
    rows: int
    repeats: int = 1
    custom: CustomLoss | None = None
    settled: frozenset[str] = frozenset()
    dependence: Dependence = field(default_factory=Dependence)
    threshold_rule: ThresholdRule | None = None

    @property
    def sign(self) -> float:
        """1 where a larger metric is better, else -1."""
        from treadle.tasks.metrics import greater_is_better

        return 1.0 if greater_is_better(self.metric) else -1.0

    @property
    def y(self) -> np.ndarray:
        """Labels of the measured rows, lane after lane."""
        import numpy as np

        return np.concatenate([lane.rows.y for lane in self.lanes])

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
        """Add a round to every model; minus the mean loss on the measured rows, which is watched."""
        from treadle.tasks.device import check_trained_on

        loss = self.custom.as_xgboost() if self.custom else None
        total = 0.0
        for model, lane in zip(models, self.lanes, strict=True):
            model.update(lane.fitted, iteration, fobj=loss)
            if iteration == 0:
                check_trained_on(model, str(self.fixed["device"]))
            total += self._watched(model, lane, iteration)
        return -total / len(self.lanes)

    def _watched(self, model: Booster, lane: Lane, iteration: int) -> float:
        """The loss on a lane's measured rows: XGBoost's, or the mean of a loss of one's own.

        A loss of one's own that gives derivatives only is watched by the metric.
        """
        import numpy as np

        if self.custom is None:
            evaluation = model.eval_set([(lane.measured, "measured")], iteration)
            return float(evaluation.rsplit(":", 1)[1])
        margin = np.asarray(model.predict(lane.measured, output_margin=True))
        if self.custom.loss is not None:
            losses = self.custom.loss(margin, self.objective.encode(lane.rows.y))
            return float(np.average(losses, weights=lane.rows.weight))
        from treadle.tasks import metrics
        from treadle.tasks.booster import from_margins

        answer = self.objective.decode(from_margins(self.objective.name, margin))
        value = metrics.metric_value(self.task, self.metric, lane.rows.y, answer, lane.rows.weight)
        return -self.sign * value

    def margins(self, models: Sequence[Booster], rounds: int) -> list[np.ndarray]:
        """Margins of the first `rounds` rounds for each lane's measured rows, float32 [n] or [n, classes]."""
        import numpy as np

        found = []
        for model, lane in zip(models, self.lanes, strict=True):
            if self.fixed["device"] == "cpu":
                margin = model.inplace_predict(lane.rows.X, iteration_range=(0, rounds), predict_type="margin")
            else:  # the rows are there already
                margin = model.predict(lane.measured, iteration_range=(0, rounds), output_margin=True)
            found.append(np.asarray(margin))
        return found

    def milliseconds(self, models: Sequence[Booster], rounds: int) -> float:
        """How long the first `rounds` rounds of all models take for 1,000 rows: the fastest of three times."""
        import time

        import numpy as np

        taken = []
        for _ in range(3):
            began = time.perf_counter()
            for model, lane in zip(models, self.lanes, strict=True):
                rows = np.resize(lane.rows.X, (1_000, lane.rows.X.shape[1]))
                model.inplace_predict(rows, iteration_range=(0, rounds))
            taken.append(time.perf_counter() - began)
        return 1_000 * min(taken)

    def answers(self, margins: Sequence[np.ndarray], at: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        """What is measured of each lane's margins (of its measured rows `at`): probabilities or values.

        Where the metric depends on a threshold they are 0 and 1, by the rule that gives a model its threshold.
        """
        from treadle.tasks import metrics
        from treadle.tasks.booster import from_margins

        raw = (from_margins(self.objective.name, margin) for margin in margins)
        found = [self._decoded(one, at, lane) for lane, one in enumerate(raw)]
        if self.task == "binary" and self.metric in metrics.AT_THRESHOLD:
            return called(self.labels(at), found, self.weight(at), self.threshold_rule)
        return found

    def score(self, answers: Sequence[np.ndarray], at: Sequence[np.ndarray] | None = None) -> float:
        """The metric, as the mean over the lanes (over their measured rows `at`)."""
        from treadle.tasks import metrics

        values = [
            metrics.metric_value(self.task, self.metric, y, answer, weight)
            for y, answer, weight in zip(self.labels(at), answers, self.weights(at), strict=True)
        ]
        return sum(values) / len(values)

    def _decoded(self, raw: np.ndarray, at: Sequence[np.ndarray] | None, lane: int) -> np.ndarray:
        """A lane's raw output on the target's own scale; how far it is smeared follows the lane's own labels."""
        if not (self.objective.transform or self.objective.offset):
            return raw
        return self.objective.decode(raw, self.objective.smear(self.labels(at)[lane], raw, self.weights(at)[lane]))

    def labels(self, at: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        """Each lane's labels (of its measured rows `at`), on the target's own scale."""
        if at is None:
            return [lane.rows.y for lane in self.lanes]
        return [lane.rows.y[one] for lane, one in zip(self.lanes, at, strict=True)]

    def dependence_of(self, at: Sequence[np.ndarray] | None = None) -> Dependence:
        """Which of the measured rows (of those `at`), lane after lane, depend on each other."""
        import numpy as np

        if at is None:
            return self.dependence
        starts = np.cumsum([0, *(len(lane.rows.y) for lane in self.lanes[:-1])])
        return self.dependence.of(np.concatenate([start + one for start, one in zip(starts, at, strict=True)]))

    def weights(self, at: Sequence[np.ndarray] | None = None) -> list[np.ndarray | None]:
        """The weights of each lane's measured rows (of those `at`); None where all count alike."""
        all_rows = [lane.rows.weight for lane in self.lanes]
        if at is None:
            return all_rows
        return [None if own is None else own[one] for own, one in zip(all_rows, at, strict=True)]

    def weight(self, at: Sequence[np.ndarray] | None = None) -> np.ndarray | None:
        """The weights of all measured rows (of those `at`), lane after lane; None where all count alike."""
        import numpy as np

        known = [one for one in self.weights(at) if one is not None]
        return np.concatenate(known) if known else None


def _bins(matrix: DMatrix) -> int:
    """The bins of all columns; the most that they can have where the rows stay in the host's memory, not binned yet."""
    import xgboost

    most = 256 * matrix.num_col()
    return len(matrix.get_quantile_cut()[1]) if isinstance(matrix, xgboost.QuantileDMatrix) else most


def called(
    labels: Sequence[np.ndarray],
    answers: Sequence[np.ndarray],
    weight: np.ndarray | None = None,
    rule: ThresholdRule | None = None,
) -> list[np.ndarray]:
    """What each lane's measured rows are called, 0 or 1, at a threshold fitted by `rule` on the rows of all lanes.

    `labels` and `answers` (probabilities) are [n] for each lane. The rows are dealt to folds in order, and each fold's
    threshold is fitted on the others, by their `weight` [all n]: a threshold that had seen a row's label would flatter
    it.
    """
    import numpy as np

    from treadle.tasks.threshold import DEFAULT_RULE, choose_threshold

    y, p = np.concatenate(labels), np.concatenate(answers)
    given, fold = np.empty(len(y)), np.arange(len(y)) % FOLDS
    for one in range(FOLDS):
        held = fold == one
        others = None if weight is None else weight[~held]
        given[held] = p[held] >= choose_threshold(rule or DEFAULT_RULE, p[~held], y[~held], others)
    return np.split(given, np.cumsum([len(one) for one in answers])[:-1])


def lay_out(
    rows: Iterable[LaneRows],
    fixed: Mapping[str, Scalar],
    *,
    task: str,
    metric: str,
    names: Sequence[str],
    objective: Objective | None = None,
    custom: CustomLoss | None = None,
    settled: Collection[str] = (),
    dependence: Dependence | None = None,
    repeats: int = 1,
    external: bool = False,
    threshold_rule: ThresholdRule | None = None,
) -> Course:
    """Bin the rows of each lane once for all trials.

    `fixed` are the parameters that no trial changes, complete (`booster.complete_parameters`); labels are on the
    target's own scale and become those of `objective` (None: the task's plain one). What is watched is a smooth loss,
    whatever the metric. With `external` the rows stay in the host's memory. Parameters of `settled` a person has set in
    `fixed`: no trial varies them. `dependence` says which of the measured rows, lane after lane, depend on each other
    (None: none do).
    """
    from treadle.tasks import booster
    from treadle.tasks.objective import plain_objective

    chosen, bins = objective or plain_objective(task), booster.bins_of(fixed)
    lanes, fitted_rows = [], 0
    for one in rows:
        fitted_rows = fitted_rows or len(one.fitted.y)
        fitted, measured = (booster.on_scale(part, chosen) for part in (one.fitted, one.measured))
        matrix = booster.quantile_matrix(fitted, names, max_bin=bins, external=external)
        apart = booster.quantile_matrix(measured, names, matrix, max_bin=bins, external=external)
        lanes.append(Lane(matrix, apart, one.measured))
    complete = {**fixed, "eval_metric": booster.watched(chosen.name), "nthread": booster.threads(fitted_rows)}
    return Course(
        tuple(lanes),
        task,
        metric,
        complete,
        chosen,
        fitted_rows,
        repeats,
        custom,
        frozenset(settled),
        dependence or Dependence(),
        threshold_rule,
    )
