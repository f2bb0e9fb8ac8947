"""The encoding: which numbers XGBoost sees for a typed row. Declared by a FeatureSpec, fitted on training rows only.

By default categories become integer codes as numbers; target statistics replace them where that is measured to pay.
What a spec says is all that the encoding needs, so that the scorer (infra/tracking/scorer/encoding.py) repeats it from
JSON; a property test keeps the two equal to the bit.
"""

from __future__ import annotations

from treadle.tasks.features.choice import EncodingChoice, choose_encodings
from treadle.tasks.features.encoding import as_text, encode, level_codes, to_float32, unseen
from treadle.tasks.features.fitting import fit_features, xgboost_name
from treadle.tasks.features.linear import category_features
from treadle.tasks.features.measure import EncodingProblem
from treadle.tasks.features.spec import (
    CLOCK_PARTS,
    DATE_PARTS,
    ENCODINGS,
    LEVELLED,
    MAX_LEVELS,
    OTHER,
    RARE_FROM,
    READ_AS_MISSING,
    DatePart,
    Feature,
    FeatureSpec,
    Scale,
)
from treadle.tasks.features.statistics import cross_fitted, fit_statistics, has_statistics, out_of_fold

__all__ = [
    "CLOCK_PARTS",
    "DATE_PARTS",
    "ENCODINGS",
    "LEVELLED",
    "MAX_LEVELS",
    "OTHER",
    "RARE_FROM",
    "READ_AS_MISSING",
    "DatePart",
    "EncodingChoice",
    "EncodingProblem",
    "Feature",
    "FeatureSpec",
    "Scale",
    "as_text",
    "category_features",
    "choose_encodings",
    "cross_fitted",
    "encode",
    "fit_features",
    "fit_statistics",
    "has_statistics",
    "level_codes",
    "out_of_fold",
    "to_float32",
    "unseen",
    "xgboost_name",
]
