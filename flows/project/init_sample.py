"""What `init` finds out with models, on a sample of the table: columns to question, and whether its order is time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.errors import TargetError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from treadle.tasks.booster import MatrixRows
    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.dataset.order import FileOrder
    from treadle.tasks.dataset.profile import Profile
    from treadle.tasks.dataset.proposal import Proposal
    from treadle.tasks.dataset.time_columns import TimeTelling
    from treadle.tasks.suspects import Suspect
    from treadle.tasks.training import Problem

SAMPLED = 20_000
RARE = 1_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Up to `SAMPLED` rows from all over the table, in its order, and those with a label encoded (`part`).

    `columns` maps each source column to its features' indices.
    """

    problem: Problem
    rows: pa.Table
    labelled: np.ndarray
    part: MatrixRows
    columns: dict[str, list[int]]

    @property
    def known(self) -> pa.Table:
        """The rows of `part`."""
        return self.rows.filter(self.labelled)


def take_sample(con: DuckDBPyConnection, table: Profile, proposal: Proposal, config: PipelineConfig) -> Sample | None:
    """Rows to look at with models, by the drafted `config`; rows of rare classes are all among them.

    None where no column varies in them.
    """
    from treadle.tasks import training
    from treadle.tasks.dataset import quote
    from treadle.tasks.dataset.typing import typed_relation

    step = -(-table.rows // SAMPLED)
    typed = typed_relation(table.raw, proposal.schema, proposal.missing, config.data.timezone)
    chosen = f"_ordinal % {step} = 0"
    if proposal.aim.task != "regression":
        target = quote(proposal.aim.target)
        chosen += f" OR {target} IN (SELECT {target} FROM ({typed}) GROUP BY ALL HAVING count(*) < {RARE})"
    every = f"SELECT * EXCLUDE (_ordinal) FROM ({typed}) WHERE {chosen} ORDER BY _ordinal"
    # fetchall ends the result, without which DuckDB takes no relation
    con.execute(f"CREATE OR REPLACE TEMP TABLE questioned AS {every}").fetchall()
    rows = con.sql("SELECT * FROM questioned").to_arrow_table()
    labelled = rows[config.data.target].is_valid().to_numpy()
    known = rows.filter(labelled)
    # the sample may lack a class
    labels = proposal.aim.classes or training.labels(known, config.data.target)
    problem = training.define(config, proposal.schema, labels)
    try:
        spec = training.learn_features(problem, known)
    except TargetError:
        return None  # no column varies in the sample
    return Sample(problem, rows, labelled, training.encoded_part(problem, spec, known), spec.positions)


def suspects_of(sample: Sample) -> tuple[Suspect, ...]:
    """The columns to question."""
    from treadle.tasks import suspects

    problem = sample.problem
    return (
        *suspects.question_columns(problem.task, sample.part, columns=sample.columns, classes=problem.classes, seed=0),
        *suspects.filled_later(sample.rows, problem.columns, time=problem.time, labelled=sample.labelled),
    )


def order_of(sample: Sample, table: Profile, proposal: Proposal) -> FileOrder:
    """What the order of the file says; of dated rows nothing is asked."""
    from treadle.tasks.dataset.order import FileOrder, file_order

    if proposal.time:
        return FileOrder()
    return file_order(
        sample.problem.task,
        sample.part,
        sample.known,
        target=sample.problem.target,
        codes=proposal.categories,
        counters=[facts.name for facts in table.columns if facts.rises],
    )


def time_telling(sample: Sample, proposal: Proposal) -> tuple[TimeTelling, ...]:
    """The columns that tell early rows from late ones, where the split is one of time."""
    import numpy as np

    from treadle.tasks.dataset.split import moments
    from treadle.tasks.dataset.time_columns import time_telling_columns

    if proposal.strategy != "time":
        return ()
    order = np.argsort(moments(sample.known, proposal.time)[0], kind="stable")
    others = {name: indices for name, indices in sample.columns.items() if name != proposal.time}
    return time_telling_columns(sample.part.X[order], others)
