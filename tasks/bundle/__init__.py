"""The model artifact: write, verify, load. Fixed formats only, nothing is ever unpickled.

    judged/            the model that the gate judged, which has not seen the holdout
      model.ubj          the booster
      interval.ubj       a second one, for intervals that need it
      spec.json          all that turns a row into the booster's input and its output into predictions
    serving/           the model that answers: the same recipe, fitted on all labelled rows; the same two files
    recipe.json        how both were made
    schema.json        input and output columns, for people and signatures
    golden.parquet     rows with the predictions that any loader of `serving` must give
    reference.parquet  at most 20,000 training rows, to compare later data with
    parity.json        the certificate that MLflow's scorer answers the golden rows alike; no promotion without it
    manifest.json      sha256 and size of every other file, and where the model comes from

XGBoost's parser crashes on damaged files, so every hash is checked before anything is parsed. The manifest's own
sha256 is the model's digest, which identifies every byte.
"""

from __future__ import annotations

from treadle.tasks.bundle.artifact import (
    check_golden,
    digest,
    golden,
    load_bundle,
    model_bytes,
    read_facts,
    read_recipe,
    read_spec,
    reference,
    write_bundle,
)
from treadle.tasks.bundle.certificate import Certificate, certificate, certify
from treadle.tasks.bundle.manifest import BundleFacts, Part
from treadle.tasks.bundle.model import Model, predict_table

__all__ = [
    "BundleFacts",
    "Certificate",
    "Model",
    "Part",
    "certificate",
    "certify",
    "check_golden",
    "digest",
    "golden",
    "load_bundle",
    "model_bytes",
    "predict_table",
    "read_facts",
    "read_recipe",
    "read_spec",
    "reference",
    "write_bundle",
]
