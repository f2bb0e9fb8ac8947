"""A model's rows in the space of their source columns: values as numbers and text, columns replaced, associations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.features import as_text, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.bundle import Model

STRONG = 0.8
"""Columns that are associated this strongly or more are a group: one can stand for the other."""

BINS = 10
LEVELS = 20
ASSOCIATION_ROWS = 2_000


@dataclass(frozen=True)
class SourceRows:
    """Holdout rows: `table` typed, `X` [n, features] encoded, `y` [n], `weight` [n] (None: all alike)."""

    model: Model
    table: pa.Table
    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None = None

    @staticmethod
    def of(model: Model, table: pa.Table, y: np.ndarray, weight: np.ndarray | None, at: np.ndarray) -> SourceRows:
        """The rows of `table` at the positions `at`, encoded."""
        rows = table.take(at)
        return SourceRows(model, rows, encode(model.features, rows), y[at], None if weight is None else weight[at])

    def take(self, at: np.ndarray) -> SourceRows:
        """The rows at the positions `at`."""
        weight = None if self.weight is None else self.weight[at]
        return SourceRows(self.model, self.table.take(at), self.X[at], self.y[at], weight)

    def answers(self, X: np.ndarray) -> np.ndarray:
        """The delivered predictions of encoded rows: float64 [n], or [n, classes]."""
        from treadle.tasks import booster, postprocess

        return postprocess.apply_postprocess(self.model.post, booster.predict_raw(self.model.booster, X)).p

    def permuted(self, columns: Sequence[str], order: np.ndarray) -> np.ndarray:
        """`X` with `columns` taken from the rows `order` [n]: all that is made of them moves together."""
        return self._replaced(columns, {name: self.table[name].take(order) for name in columns}, order)

    def with_values(self, column: str, values: pa.Array) -> np.ndarray:
        """`X` with the `values` [n] in `column`."""
        return self._replaced([column], {column: values}, None)

    def _replaced(
        self, columns: Sequence[str], values: dict[str, pa.Array | pa.ChunkedArray], order: np.ndarray | None
    ) -> np.ndarray:
        """Features of these columns alone are moved with `order` where it is given; others are encoded again."""
        spec, X = self.model.features, self.X.copy()
        touched = [at for at, one in enumerate(spec.features) if set(one.sources) & set(columns)]
        again = [at for at in touched if order is None or not set(spec.features[at].sources) <= set(columns)]
        if order is not None:
            moved = [at for at in touched if at not in again]
            X[:, moved] = self.X[_grid(order, moved)]
        if again:
            part = spec.model_copy(update={"features": tuple(spec.features[at] for at in again)})
            rows = self.table.select(list(part.sources))
            for name, replacement in values.items():
                if name in rows.column_names:
                    rows = rows.set_column(rows.column_names.index(name), name, replacement)
            X[:, again] = encode(part, rows)
        return X


def _grid(rows: np.ndarray, columns: Sequence[int]) -> tuple[np.ndarray, ...]:
    """NumPy's index of all `rows` by all `columns`."""
    import numpy as np

    return np.ix_(rows, np.asarray(columns, dtype=np.int64))


def shown_as(model: Model, table: pa.Table, name: str) -> str:
    """'levels' for categories and booleans, 'moment' for dates, 'number', or 'text' for what is read word by word."""
    import pyarrow as pa

    kind = table.schema.field(name).type
    if any(one.kind in ("gram", "entry") for one in model.features.features if one.source == name):
        return "text"
    if name in model.features.levelled or pa.types.is_boolean(kind):
        return "levels"
    if pa.types.is_temporal(kind):
        return "moment"
    return "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "levels"


def values_as_numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers, and moments as seconds since 1970, as float64 [n]; NaN for null and for infinite values."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_temporal(column.type):
        zone = column.type.tz if pa.types.is_timestamp(column.type) else None
        moments = column.cast(pa.timestamp("us", zone)).cast(pa.int64())
        values = moments.cast(pa.float64(), safe=False).to_numpy() / 1e6
    else:
        values = column.cast(pa.float64(), safe=False).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def level_texts(column: pa.ChunkedArray) -> np.ndarray:
    """Values as text [n], null as '(missing)', booleans as 'true' and 'false'."""
    return as_text(column)


def value_text(column: pa.ChunkedArray, at: int) -> str:
    """One value as a person wrote it: numbers with at most six digits, moments without a time of 0."""
    value = column[at].as_py()
    if value is None:
        return "(missing)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
    text = str(value)
    if hasattr(value, "hour"):
        text = text.removesuffix("+00:00").removesuffix(":00")
        return text.removesuffix(" 00:00")
    return text


def associations(model: Model, table: pa.Table, names: Sequence[str], seed: int) -> np.ndarray:
    """How strongly each two columns are associated, [columns, columns] from 0 to 1.

    Of two numbers |Spearman's rank correlation|, else Cramer's V with its bias taken away (Bergsma 2013), of
    numbers in `BINS` bins and the `LEVELS` most frequent levels.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    if table.num_rows > ASSOCIATION_ROWS:
        table = table.take(np.sort(rng.choice(table.num_rows, ASSOCIATION_ROWS, replace=False)))
    numbers: list[np.ndarray | None] = []
    codes: list[np.ndarray] = []
    for name in names:
        ordered = shown_as(model, table, name) in ("number", "moment")
        values = values_as_numbers(table[name]) if ordered else None
        numbers.append(None if values is None else _ranks(values))
        codes.append(_level_codes(table[name]) if values is None else _bin_codes(values))
    found = np.eye(len(names))
    for one in range(len(names)):
        for other in range(one):
            a, b = numbers[one], numbers[other]
            strength = cramers_v(codes[one], codes[other]) if a is None or b is None else _correlation(a, b)
            found[one, other] = found[other, one] = strength
    return found


def strong_groups(names: Sequence[str], strength: np.ndarray) -> list[tuple[tuple[str, ...], float]]:
    """Columns that chains of strong associations join, and the weakest of the associations that join them."""
    import numpy as np
    from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

    joined = np.where(strength >= STRONG, strength, 0.0)
    np.fill_diagonal(joined, 0.0)
    count, which = connected_components(joined > 0, directed=False)
    groups = []
    for one in range(count):
        members = np.flatnonzero(which == one).tolist()
        if len(members) < 2:
            continue
        tree = minimum_spanning_tree(np.where(joined > 0, 2 - joined, 0.0)[np.ix_(members, members)])
        groups.append((tuple(names[at] for at in members), float(2 - tree.data.max())))
    return groups


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of the values that are there, equal ones sharing their mean; NaN stays."""
    import numpy as np
    from scipy.stats import rankdata

    return np.asarray(rankdata(values, nan_policy="omit"))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    import numpy as np

    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 10 or not np.ptp(a[both]) or not np.ptp(b[both]):
        return 0.0
    return abs(float(np.corrcoef(a[both], b[both])[0, 1]))


def _bin_codes(values: np.ndarray) -> np.ndarray:
    """Bins of about equally many rows, [n]; missing is a bin of its own."""
    import numpy as np

    here = values[np.isfinite(values)]
    edges = np.unique(np.quantile(here, np.linspace(0, 1, BINS + 1)[1:-1])) if len(here) else np.empty(0)
    return np.where(np.isfinite(values), np.searchsorted(edges, values, side="right"), len(edges) + 1)


def _level_codes(column: pa.ChunkedArray) -> np.ndarray:
    """The `LEVELS` most frequent levels, [n]; all others are one."""
    import numpy as np

    _, which, rows = np.unique(level_texts(column).astype(str), return_inverse=True, return_counts=True)
    place = np.empty(len(rows), dtype=np.int64)
    place[np.argsort(-rows, kind="stable")] = np.arange(len(rows))
    return np.minimum(place, LEVELS)[which]


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """Cramer's V of two code columns [n], with its bias taken away (Bergsma 2013): 0 to 1."""
    import numpy as np

    a, b = (np.unique(one, return_inverse=True)[1] for one in (a, b))
    rows, high, wide = len(a), int(a.max(initial=0)) + 1, int(b.max(initial=0)) + 1
    if rows < 2 or min(high, wide) < 2:
        return 0.0
    table = np.bincount(a * wide + b, minlength=high * wide).reshape(high, wide)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / rows
    phi = max(0.0, float(((table - expected) ** 2 / expected).sum()) / rows - (high - 1) * (wide - 1) / (rows - 1))
    high_, wide_ = (one - (one - 1) ** 2 / (rows - 1) for one in (high, wide))
    least = min(high_, wide_) - 1
    return float(np.sqrt(min(1.0, phi / least))) if least > 0 else 0.0
