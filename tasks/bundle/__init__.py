"""The model artifact: write, verify, load. Fixed formats only, nothing is ever unpickled.

    model.ubj          the booster
    spec.json          all that turns a row into the booster's input and its output into predictions
    schema.json        input and output columns, for people and signatures
    golden.parquet     rows with the predictions that any loader must give
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
    read_facts,
    read_spec,
    reference,
    write_bundle,
)
from treadle.tasks.bundle.certificate import Certificate, certificate, certify
from treadle.tasks.bundle.manifest import BundleFacts
from treadle.tasks.bundle.model import Model, predict_table

__all__ = [
    "BundleFacts",
    "Certificate",
    "Model",
    "certificate",
    "certify",
    "check_golden",
    "digest",
    "golden",
    "load_bundle",
    "predict_table",
    "read_facts",
    "read_spec",
    "reference",
    "write_bundle",
]
