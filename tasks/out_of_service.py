"""How a challenger does beside a champion that is out of service, which the gate does not compare it with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.bundle import Model
    from treadle.tasks.evaluation import ComparedChampion
    from treadle.tasks.training import Problem


def beside_champion(problem: Problem, model: Model, champion: ComparedChampion, forbidden: Sequence[str]) -> str:
    """A sentence with both models' metric on the rows that are new to both, or why there is none.

    `forbidden` are the columns for which the champion is out of service.
    """
    from treadle.tasks import gate, metrics, training
    from treadle.tasks.gate.comparable import why_not_comparable

    columns = "column" if len(forbidden) == 1 else "columns"
    who = f"version {champion.version}, which uses the forbidden {columns} {', '.join(map(repr, forbidden))}"
    rows, judged = champion.new, "is out of service, so the challenger is judged like a first model"
    names = [name for name in rows.column_names if name in problem.schema.names]
    if why := why_not_comparable(champion.version, champion.model.spec(), problem, names):
        return f"{who}, {judged}; {why}"
    y = training.encoded_part(problem, model.features, rows).y
    if not gate.enough(problem.task, y):
        return f"{who}, {judged}; only {len(y):,} holdout rows are new to both, too few for a value of its own"
    theirs, ours = (
        metrics.metric_value(problem.task, problem.metric, y, _p(one, rows)) for one in (champion.model, model)
    )
    return (
        f"{who}, {judged}; on the {len(y):,} holdout rows that are new to both, it has {problem.metric} {theirs:.4g}, "
        f"the challenger {ours:.4g}"
    )


def _p(model: Model, rows: pa.Table) -> np.ndarray:
    from treadle.tasks import booster, features, postprocess

    raw = booster.predict_raw(model.booster, features.encode(model.features, rows))
    return postprocess.apply_postprocess(model.post, raw).p
