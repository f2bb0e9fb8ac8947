"""The parity certificate: the batch path and the model as MLflow loads it answered the golden rows alike.

It is a file of the bundle, `parity.json`, and so under the manifest like any other. It names the sha256 of every file
that was compared, so that it is valid for these bytes only, and of the scorer that answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from treadle.tasks.bundle.artifact import golden, load_bundle
from treadle.tasks.bundle.golden_rows import sorts
from treadle.tasks.bundle.manifest import FORMAT, canonical_json, libraries, publish_bundle, sha256, verified
from treadle.tasks.commands import Command
from treadle.tasks.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

CERTIFICATE = "parity.json"
PATHS = ("tasks.bundle.predict", "mlflow.pyfunc.load_model(...).predict")
"""As they stand in every certificate: the first is a name in the format, whatever the module is called today."""
RETRAIN = ("train again, which certifies anew: ", Command("train --again"))


class Certificate(BaseModel):
    """What was compared, on how many golden rows of which sort, and where it disagreed (empty: nowhere).

    `columns` are the prediction columns, equal to the bit; `files` the sha256 of every other file of the bundle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    paths: tuple[str, str] = PATHS
    rows: int
    rows_with_nulls: int
    rows_with_unseen_categories: int
    rows_at_split_edges: int
    columns: tuple[str, ...]
    disagreement: str
    files: dict[str, str]
    scorer: str
    libraries: dict[str, str]


def certify(source: Path, target: Path, *, disagreement: str, scorer: bytes) -> str:
    """Write the bundle `source` with its certificate to `target`, and return the new digest.

    `disagreement` is what `tasks/parity.py` found between the two paths on the golden rows of `source`; `scorer` the
    source code that answered. `target` is absent or whole, whenever a kill comes.
    """
    manifest, contents = verified(source)
    if manifest.format != FORMAT:
        raise BundleError(f"{source}: of format {manifest.format}, which is certified no more", RETRAIN)
    contents.pop(CERTIFICATE, None)
    model, (rows, expected) = load_bundle(source), golden(source)
    nulls, unseen, edges = sorts(rows, model.features, model.booster)
    certificate = Certificate(
        rows=rows.num_rows,
        rows_with_nulls=nulls,
        rows_with_unseen_categories=unseen,
        rows_at_split_edges=edges,
        columns=tuple(expected.column_names),
        disagreement=disagreement,
        files={name: sha256(data) for name, data in sorted(contents.items())},
        scorer=sha256(scorer),
        libraries=libraries("mlflow"),
    )
    return publish_bundle(target, {**contents, CERTIFICATE: canonical_json(certificate)}, manifest.facts)


def certificate(folder: Path) -> Certificate:
    """The bundle's certificate; verified like `load`.

    Raises BundleError where there is none, or where it says that the paths disagree, that nothing was compared, or
    that other files were.
    """
    manifest, contents = verified(folder)
    if CERTIFICATE not in contents:
        raise BundleError(f"{folder}: there is no parity certificate ({CERTIFICATE})", RETRAIN)
    try:
        found = Certificate.model_validate_json(contents[CERTIFICATE])
    except ValidationError as error:
        raise BundleError(f"{folder}: {CERTIFICATE} is not ours: {error.errors()[0]['msg']}", RETRAIN) from error
    if found.disagreement:
        raise BundleError(f"{folder}: {found.disagreement}", RETRAIN)
    if found.rows < 1 or not found.columns or found.paths != PATHS:
        raise BundleError(f"{folder}: {CERTIFICATE} compared nothing", RETRAIN)
    if found.files != {name: entry.sha256 for name, entry in manifest.files.items() if name != CERTIFICATE}:
        raise BundleError(f"{folder}: {CERTIFICATE} is another bundle's", RETRAIN)
    return found
