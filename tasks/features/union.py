"""Several encodings as one, for models of their own encodings that become one booster."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.tasks.features.spec import Feature, FeatureSpec


def unite(specs: Sequence[FeatureSpec]) -> tuple[FeatureSpec, tuple[tuple[int, ...], ...]]:
    """One spec with the features of all `specs`, and for each of them where its features stand in it.

    Features that are equal in all but their name's number become one; of one name that mean different things (target
    statistics of other rows) the later ones are numbered: `user`, `user (2)`. The specs agree in everything but their
    features.
    """
    features: dict[str, Feature] = {}
    known: dict[Feature, int] = {}
    columns = []
    for spec in specs:
        own = []
        for feature in spec.features:
            if feature not in known:
                name = _numbered(feature.name, features)
                known[feature] = len(features)
                features[name] = feature.model_copy(update={"name": name})
            own.append(known[feature])
        columns.append(tuple(own))
    return specs[0].model_copy(update={"features": tuple(features.values())}), tuple(columns)


def _numbered(name: str, taken: dict[str, Feature]) -> str:
    unique, count = name, 1
    while unique in taken:
        count += 1
        unique = f"{name} ({count})"
    return unique
