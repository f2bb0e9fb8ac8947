"""A proposal that knows more of time: the order of the file, and columns that only tell time apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from treadle.tasks.dataset.order import FileOrder
    from treadle.tasks.dataset.proposal import Proposal
    from treadle.tasks.dataset.target import Aim
    from treadle.tasks.dataset.time_columns import TimeTelling

MOST_SHOWN = 5


def take_file_order(proposal: Proposal, found: FileOrder, y: np.ndarray) -> None:
    """Propose to split by the order of the file where it is one of time; `y` [n] are its labels in this order.

    A group stays: whether new ones or newer times matter more is for a person to say.
    """
    if not found.in_time or proposal.time:
        return
    if proposal.strategy == "group":
        proposal.remarks.append(
            f"{found.sentence()}: where the rows are in time order and newer times matter more than new ones of "
            f"{proposal.group}, use data.order = 'file' and strategy = 'time'"
        )
        return
    if lacking := _lacks_in_order(proposal.aim, y):
        proposal.remarks.append(f"{found.sentence()}: split by the order of the file it would be fairer, but {lacking}")
        return
    proposal.order, proposal.strategy = "file", "time"
    proposal.why["data.order"] = f"nothing dates the rows, but they are in time order: {found.sentence()}"
    proposal.why["split.strategy"] = "the rows are in time order, and in use a model meets newer ones"


def remark_time_telling(proposal: Proposal, found: Sequence[TimeTelling]) -> None:
    """Add a remark on columns of a time split that tell early rows from late ones."""
    if found and proposal.strategy == "time":
        shown = ", ".join(f"{one.column} (AUC {one.auc:.2f})" for one in found[:MOST_SHOWN])
        more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
        proposal.remarks.append(
            f"tells early from late rows: {shown}{more}; what a model learns from its values may never come back"
        )


def _lacks_in_order(goal: Aim, y: np.ndarray) -> str:
    """What parts of 0.2 and 0.2 would lack, cut in the order of `y`; empty where they are fine."""
    import numpy as np

    ends = [0, int(0.64 * len(y)), int(0.8 * len(y)), len(y)]
    for name, start, end in zip(("oldest", "validation", "newest"), ends[:-1], ends[1:], strict=True):
        wanted = len(goal.classes) if name == "oldest" else 2
        if goal.task != "regression" and len(np.unique(y[start:end])) < wanted:
            return f"the {name} rows lack a class"
    return ""
