"""`treadle score`: champion + rows not yet scored -> predictions.

The champion is resolved once and pinned by version and digest. A batch's predictions are one atomic overwrite, so
repeating it changes nothing and a reader sees all of them or none.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow
from prefect.artifacts import create_table_artifact
from pydantic import BaseModel, ConfigDict

from treadle.flows.context import events
from treadle.flows.context.locking import one_at_a_time
from treadle.flows.context.named_pipeline import naming_pipeline
from treadle.flows.context.workplace import open_workplace
from treadle.flows.ingest import IngestResult, ingest_first
from treadle.flows.score.steps import (
    ScoredBatch,
    resolve_champion,
    score_batch,
    score_rows_of_file,
    unscored_batches,
    unseen_beside_training,
)
from treadle.tasks.errors import UsageError
from treadle.tasks.health import UnseenLevels

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig


class ScoreResult(BaseModel):
    """The scored rows and batches, and the model that scored them.

    `unseen` has each column of categories, with the rows whose level the model does not know.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    version: int
    digest: str
    rows: int
    batches: tuple[ScoredBatch, ...]
    skipped: int
    output: str | None
    warnings: tuple[str, ...]
    ingest: IngestResult | None
    unseen: tuple[UnseenLevels, ...] = ()

    def exit_code(self) -> int:
        """3 when a batch that waited was refused whole, else 0."""
        return self.ingest.exit_code() if self.ingest else 0


def run_score(
    settings: Settings,
    config: PipelineConfig,
    *,
    rescore: bool = False,
    input: Path | None = None,
    output: Path | None = None,
) -> ScoreResult:
    """Score the rows without label or prediction; or, with `input` and `output`, all rows of one file.

    Raises NothingPromoted without a champion, ForbiddenColumn for one that is out of service, DataError for a file that
    cannot be read, UsageError where `input` does not exist or `output` would overwrite the input or a source file.
    """
    from treadle.infra.orchestrator import flow_context

    if input is not None and output is not None:
        _check_apart(settings, config, input, output)
        events.emit("score", f"looking up the champion of {config.name}")
    with flow_context(settings):
        if input is not None and output is not None:
            return score_file(str(settings.home), config.name, str(input.resolve()), str(output.resolve()))
        return score(str(settings.home), config.name, rescore=rescore)


def _check_apart(settings: Settings, config: PipelineConfig, input: Path, output: Path) -> None:
    """Raise UsageError where `input` cannot be read, or `output` cannot be written or is among the source files."""
    from treadle.infra import sources
    from treadle.infra.files import outbox

    if not input.is_file():
        what = "is a folder" if input.is_dir() else "there is no such file"
        raise UsageError(f"--input {input}: {what}", "name a CSV or Parquet file")
    if not os.access(input, os.R_OK):
        raise UsageError(f"--input {input}: no right to read it", "change its rights")
    outbox.check_output(output)
    if output.exists() and output.samefile(input):
        raise UsageError(f"--output {output} is the input itself", "name another file")
    for key, source in (("data.source", config.data.source), ("labels.source", config.labels.source)):
        if source and sources.covers(settings.home, source, output):
            raise UsageError(
                f"--output {output} is among the files of {key}: it would be ingested as data", "name another place"
            )


@flow(name="score", flow_run_name="score {pipeline}")
@naming_pipeline
@one_at_a_time("score")
def score(home: str, pipeline: str, rescore: bool = False) -> ScoreResult:
    """Ingest new files, then predict the unlabelled rows of every batch that has no predictions yet."""
    champion = resolve_champion(home, pipeline, "rescore" if rescore else "champion")
    arrived = ingest_first(home, pipeline)
    waiting, skipped = unscored_batches(home, pipeline, champion)
    done = []
    for number, batch in enumerate(waiting):
        events.emit("score", batch.label, done=number, total=len(waiting))
        step = score_batch.with_options(task_run_name=f"score {batch.label}")
        done.append(step(home, pipeline, champion, batch))
        events.emit("score", f"{batch.label}: {done[-1].rows:,} rows scored", done=number + 1, total=len(waiting))
    if done:
        create_table_artifact(
            key=f"score-{pipeline}".lower().replace("_", "-"),
            table=[{**batch.model_dump(exclude={"unseen"}), "model_version": champion.version} for batch in done],
            description=f"Batches of {pipeline} scored by version {champion.version}",
        )
    totals: Counter[str] = Counter()
    for one in done:
        totals.update(one.unseen)
    rows = sum(batch.rows for batch in done)
    unseen = unseen_beside_training(home, pipeline, champion, dict(totals), rows)
    return ScoreResult(
        pipeline=pipeline,
        version=champion.version,
        digest=champion.digest,
        rows=rows,
        batches=tuple(done),
        skipped=skipped,
        output=open_workplace(home, pipeline).config.score.output or None,
        warnings=_warnings(unseen),
        ingest=arrived,
        unseen=unseen,
    )


@flow(name="score a file", flow_run_name="score a file for {pipeline}")
@naming_pipeline
def score_file(home: str, pipeline: str, input: str, output: str) -> ScoreResult:
    """Predict every row of `input` and write the predictions to `output` in the same order; no table is changed."""
    champion = resolve_champion(home, pipeline, "champion")
    events.emit("score", f"predicting the rows of {Path(input).name} with version {champion.version}")
    rows, warned, counts = score_rows_of_file(home, pipeline, champion, input, output)
    unseen = unseen_beside_training(home, pipeline, champion, counts, rows)
    broken = f"{warned:,} of {rows:,} rows break the contract; column _warning names the rules"
    return ScoreResult(
        pipeline=pipeline,
        version=champion.version,
        digest=champion.digest,
        rows=rows,
        batches=(),
        skipped=0,
        output=output,
        warnings=(*((broken,) if warned else ()), *_warnings(unseen)),
        ingest=None,
        unseen=unseen,
    )


def _warnings(unseen: tuple[UnseenLevels, ...]) -> tuple[str, ...]:
    return tuple(warning for one in unseen if (warning := one.warning()))
