"""A champion that uses a forbidden column: why it is out of service, and how a challenger does beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.bundle import Model
    from treadle.tasks.evaluation import ComparedChampion
    from treadle.tasks.training import Problem


def out_of_service_reason(version: int, forbidden: Iterable[str]) -> str:
    """Why the champion `version` answers nothing: the columns of data.forbid that it uses."""
    return f"version {version} is out of service: it uses {quoted_columns(forbidden)}, which data.forbid names"


def dropped_reason(version: int, dropped: Iterable[str]) -> str:
    """What is wrong with the champion `version`: the columns of data.drop that it uses."""
    return f"version {version} uses {quoted_columns(dropped)}, which data.drop names, and goes on as champion"


def quoted_columns(columns: Iterable[str]) -> str:
    """`column 'a'`, or `columns 'a', 'b'`."""
    names = [repr(name) for name in columns]
    return f"column{'s' if len(names) > 1 else ''} {', '.join(names)}"


def beside_champion(problem: Problem, model: Model, champion: ComparedChampion, forbidden: Sequence[str]) -> str:
    """A sentence with both models' metric on the rows that are new to both, or why there is none.

    `forbidden` are the columns for which the champion is out of service.
    """
    from treadle.tasks import gate, metrics, training
    from treadle.tasks.gate.comparable import why_not_comparable

    who = f"version {champion.version}, which uses the forbidden {quoted_columns(forbidden)}"
    rows, judged = champion.new, "is out of service, so the challenger is judged like a first model"
    names = [name for name in rows.column_names if name in problem.schema.names]
    if why := why_not_comparable(champion.version, champion.model.spec(), problem, names):
        return f"{who}, {judged}; {why}"
    part = training.encoded_part(problem, model.features, rows)
    y = part.y
    if not gate.enough(problem.task, y, part.weight):
        return f"{who}, {judged}; only {len(y):,} holdout rows are new to both, too few for a value of its own"
    theirs, ours = (
        metrics.metric_value(problem.task, problem.metric, y, _p(one, rows), part.weight, threshold=one.post.threshold)
        for one in (champion.model, model)
    )
    return (
        f"{who}, {judged}; on the {len(y):,} holdout rows that are new to both, it has {problem.metric} {theirs:.4g}, "
        f"the challenger {ours:.4g}"
    )


def _p(model: Model, rows: pa.Table) -> np.ndarray:
    from treadle.tasks import booster, features, postprocess

    raw = booster.predict_raw(model.booster, features.encode(model.features, rows))
    return postprocess.apply_postprocess(model.post, raw).p
