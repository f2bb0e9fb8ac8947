"""Whether rows are in time order although no column dates them.

A model is asked to tell early rows from late ones, which it cannot where the order means nothing. Its test rows lie in
blocks that it has not seen, so that rows which resemble their neighbours (visits of one patient) are no evidence, and
it must also tell the file's first quarter from the last by the two between, and not the quarters of one half by those
of the other the wrong way round: where blocks of rows (regions, sites) merely stand one after the other, both go by
chance. Then the order must matter for the target: models that know rows from
both sides of a block answer for it better than models that know as many rows from before it. A file that any column
sorts is in the order of that column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.dataset import names

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.booster import MatrixRows

BLOCKS = 10
FEWEST_ROWS = 500
LEAST_ROWS, MOST_CELLS = 2_000, 120_000
MOST_TOLD, MOST_WEIGHED = 5_000, 10_000
"""At most so many rows are told apart, and so many ask what later rows are worth; fewer where they have many features.
"""

LEAST, BY_CHANCE, SURE = 0.03, 4.0, 3.0
"""Early rows differ from late ones where both AUC are above 0.5 by so much; that of the quarters also by so many of the
standard errors that it has by chance, that of the blocks by so many of those over the blocks."""

GOES_ON = 0.47
"""Below this AUC what sets the second quarter apart from the first sets the last from the third the other way round."""

GAIN, GAIN_SURE, GAIN_BLOCKS = 0.005, 2.0, 4
"""Order matters from this share of the loss on, by so many standard errors over the rows, in so many of five blocks."""

CLEAR, GAIN_LIKELY, GAIN_MOST_BLOCKS = 0.97, 1.0, 3
"""From this AUC of the last quarter against the first on the order is certain: less proof that it matters will do."""

SORTED = 0.02
"""A column sorts the file where at most this share of its changes goes the other way."""

ONCE = 1.05
"""A column has blocks of one value each where it has at most so many runs for each of its values."""

EXPECTED_CHANGES = 20
"""Of a column that would change less often than this in a shuffled file nothing is concluded."""

Shape = tuple[int, float, int]
QUICK: Shape = (4, 0.15, 25)
"""Depth, learning rate and rounds of models that look at the order."""


@dataclass(frozen=True, slots=True)
class FileOrder:
    """What the order of a file's rows says.

    `sorted_by`: the column that explains it, and how, empty where none does. `auc` (blocks left out) and `outside`
    (first and last quarter by the two between): of early rows against late ones. `gain`: by which share knowing rows
    from later on as well lowers the loss on the target; 0 where it was not measured.
    """

    sorted_by: str = ""
    auc: float = 0.5
    outside: float = 0.5
    gain: float = 0.0
    drifts: bool = False
    matters: bool = False

    @property
    def in_time(self) -> bool:
        """Whether the rows seem to be in time order, and this matters for the target."""
        return self.drifts and self.matters and not self.sorted_by

    def sentence(self) -> str:
        """What was found, for a person."""
        found = f"a model tells early rows from late ones (AUC {self.auc:.2f})"
        if self.matters:
            found += f", and one that also knows later rows errs {self.gain:.0%} less than one that knows earlier ones"
        return found


def file_order(
    task: str,
    part: MatrixRows,
    rows: pa.Table,
    *,
    target: str,
    codes: Collection[str] = (),
    counters: Collection[str] = (),
) -> FileOrder:
    """What the order of `rows` says, which are encoded in `part` without the target; both in the order of the file.

    `codes` are columns whose numbers are names, `counters` those that count the rows: they sort every file. Below
    `FEWEST_ROWS` rows nothing is concluded.
    """
    if len(part.y) < FEWEST_ROWS:
        return FileOrder()
    if found := sorting_column(rows, target=target, codes=codes, counters=counters):
        return FileOrder(sorted_by=found)
    import numpy as np

    few = _spread(len(part.y), part.X.shape[1], MOST_TOLD)
    both = np.column_stack([part.X[few], part.y[few]])
    if (outside := _last_from_first(both)) - 0.5 < max(LEAST, BY_CHANCE * _error_by_chance(len(few))):
        return FileOrder(outside=outside)
    inside = _late_from_early(both)
    auc = float(inside.mean())
    if auc - 0.5 < LEAST or not surely(inside - 0.5) or _goes_on(both) < GOES_ON:
        return FileOrder(auc=auc, outside=outside)
    few = _spread(len(part.y), part.X.shape[1], MOST_WEIGHED)
    gain, matters = _worth_of_later_rows(task, part.X[few], part.y[few], clear=outside >= CLEAR)
    return FileOrder(auc=auc, outside=outside, gain=gain, drifts=True, matters=matters)


def sorting_column(rows: pa.Table, *, target: str, codes: Collection[str] = (), counters: Collection[str] = ()) -> str:
    """The first column by which `rows` stand sorted, or in blocks of one value each, with how; empty where none is.

    Blocks are looked for in text, ids, `codes`, yes and no, and the target. Columns whose names say time (a year) may
    sort: then the order is one of time. Columns that begin with `_` are ours.
    """
    import pyarrow as pa

    for name in rows.column_names:
        if name.startswith("_") or name in counters or (names.is_clock(name) and name != target):
            continue
        kind = rows.schema.field(name).type
        if pa.types.is_nested(kind) or pa.types.is_null(kind):
            continue
        values = _ranks(rows[name])
        if how := _sorts(values, blocks=name == target or name in codes or names.is_id(name) or _named(kind)):
            return f"{how} {name}"
        if name == target and len(values) >= FEWEST_ROWS and _one_first(values):
            return f"the file has rows of one {name} first"
    return ""


def _named(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind))


def _ranks(column: pa.ChunkedArray) -> np.ndarray:
    """The values as whole numbers in their order, nulls left out."""
    import numpy as np
    import pyarrow as pa

    present = column.combine_chunks().drop_null()
    if pa.types.is_temporal(present.type):
        present = present.cast(pa.int32() if pa.types.is_date32(present.type) else pa.int64())
    values = np.asarray(present.to_pylist(), dtype=object) if _named(present.type) else np.asarray(present)
    return np.unique(values, return_inverse=True)[1]


def _sorts(values: np.ndarray, *, blocks: bool) -> str:
    """How the values' order in the file differs from a shuffled one: sorted, in blocks, or empty."""
    import numpy as np

    if len(values) < FEWEST_ROWS:
        return ""
    counts = np.bincount(values)
    expected = len(values) * (1 - float(((counts / len(values)) ** 2).sum()))
    steps = np.diff(values)
    up, down = int((steps > 0).sum()), int((steps < 0).sum())
    if expected < EXPECTED_CHANGES:
        return ""
    if min(up, down) <= SORTED * (up + down):
        return "the file is sorted by"
    runs = up + down + 1
    if blocks and runs <= ONCE * len(counts) + 1 and runs <= 0.5 * expected:
        return "the file has blocks of one"
    return ""


def _one_first(values: np.ndarray) -> bool:
    """Whether rows of the most frequent value, or of values above the middle, stand on one side of the others."""
    import numpy as np

    for one in (values == np.bincount(values).argmax(), values > np.median(values)):
        changes, share = int((one[1:] != one[:-1]).sum()), float(one.mean())
        if changes == 1 and 2 * share * (1 - share) * len(one) >= EXPECTED_CHANGES:
            return True
    return False


def _spread(rows: int, features: int, most: int) -> np.ndarray:
    """Positions of the rows to look at, evenly over all of them."""
    import numpy as np

    most = min(most, max(LEAST_ROWS, MOST_CELLS // max(1, features)))
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(np.int64))


def blocks_of(rows: int) -> np.ndarray:
    """The block of each of `rows` rows, int64 [rows], from 0 to `BLOCKS` - 1."""
    import numpy as np

    return np.arange(rows) * BLOCKS // rows


def _last_from_first(X: np.ndarray) -> float:
    """AUC of the last quarter of the rows against the first, by a model of the two quarters between."""
    import numpy as np

    quarter = np.arange(len(X)) * 4 // len(X)
    between, late = (quarter == 1) | (quarter == 2), (quarter >= 2).astype(np.float32)
    return _auc(late[~between], quick_answers("binary", X, late, between, ~between))


def _error_by_chance(rows: int) -> float:
    """The standard error of an AUC of two quarters of `rows` where nothing tells them apart (Mann & Whitney 1947)."""
    return float((2 / (3 * rows)) ** 0.5)


def _goes_on(X: np.ndarray) -> float:
    """AUC of the later quarter of a half by a model of the quarters of the other half, the mean of both.

    Time goes on as it began or stands still (0.5); sites one after the other go anywhere.
    """
    import numpy as np

    quarter = np.arange(len(X)) * 4 // len(X)
    late, first = (quarter % 2 == 1).astype(np.float32), quarter < 2
    return float(
        np.mean([_auc(late[~half], quick_answers("binary", X, late, half, ~half)) for half in (first, ~first)])
    )


def _late_from_early(X: np.ndarray) -> np.ndarray:
    """AUC of the second half of the rows against the first, in pairs of blocks by models of the other blocks, [5]."""
    import numpy as np

    block, half = blocks_of(len(X)), BLOCKS // 2
    late = (block >= half).astype(np.float32)
    pairs = [(block == pair) | (block == pair + half) for pair in range(half)]
    return np.array([_auc(late[out], quick_answers("binary", X, late, ~out, out)) for out in pairs])


def _worth_of_later_rows(task: str, X: np.ndarray, y: np.ndarray, *, clear: bool) -> tuple[float, bool]:
    """By which share the loss on a block falls where rows from after it are known too, and whether this is sure.

    For the blocks from the middle to the last but one: a model of all rows before the block, and one of as many rows
    next to it, before and after. `clear`: the rows are in time order for certain.
    """
    import numpy as np

    block, gains, losses, squares = blocks_of(len(X)), [], [], 0.0
    for tested in range(BLOCKS // 2 - 1, BLOCKS - 1):
        out, before = block == tested, block < tested
        nearest = sorted(
            (other for other in range(BLOCKS) if other != tested), key=lambda one: (abs(one - tested), -one)
        )
        around = np.isin(block, nearest[:tested])
        if task != "regression" and min(len(np.unique(y[before])), len(np.unique(y[around]))) < 2:
            return 0.0, False
        old, both = (quick_losses(task, X, y, fitted, out) for fitted in (before, around))
        gains.append(float((old - both).mean()))
        losses.append(float(both.mean()))
        squares += float((old - both).var()) / out.sum()
    gain, loss = float(np.mean(gains)), max(float(np.mean(losses)), 1e-12)
    errors, most = (GAIN_LIKELY, GAIN_MOST_BLOCKS) if clear else (GAIN_SURE, GAIN_BLOCKS)
    sure = gain * len(gains) >= errors * np.sqrt(squares) and sum(one > 0 for one in gains) >= most
    return gain / loss, bool(sure and gain >= GAIN * loss)


def surely(values: np.ndarray) -> bool:
    """Whether the mean is above zero by `SURE` of its standard errors."""
    import numpy as np

    return bool(values.mean() > SURE * values.std(ddof=1) / np.sqrt(len(values)))


def quick_answers(
    task: str, X: np.ndarray, y: np.ndarray, fitted: np.ndarray, asked: np.ndarray, shape: Shape = QUICK
) -> np.ndarray:
    """What a quick booster of the rows `fitted` says of the rows `asked` (masks or positions)."""
    from treadle.tasks import booster
    from treadle.tasks.booster import MatrixRows

    columns = tuple(f"f{index}" for index in range(X.shape[1]))
    classes = int(y.max()) + 1 if task != "regression" else 0
    depth, rate, rounds = shape
    quick = {"max_depth": depth, "eta": rate, "min_child_weight": 5}
    params = booster.complete_parameters(task, quick, classes=classes, device="cpu", seed=0)
    model = booster.fit_booster(params, MatrixRows(X=X[fitted], y=y[fitted]), rounds=rounds, names=columns)
    return booster.predict_raw(model, X[asked])


def quick_losses(
    task: str, X: np.ndarray, y: np.ndarray, fitted: np.ndarray, asked: np.ndarray, shape: Shape = QUICK
) -> np.ndarray:
    """Squared error or log loss of the rows `asked`, float64 [n], by a quick booster of the rows `fitted`."""
    import numpy as np

    from treadle.tasks.centring import centred_target
    from treadle.tasks.influence import row_losses

    y = centred_target(task, y)
    answers = quick_answers(task, X, y, fitted, asked, shape).astype(np.float64)
    # of a number the Brier score is the squared error
    return row_losses("brier" if task == "regression" else "log_loss", y[asked].astype(np.float64), answers)


def _auc(late: np.ndarray, answers: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(late, answers))
