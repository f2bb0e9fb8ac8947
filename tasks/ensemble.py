"""Several boosters merged into one: an average of models that costs one file and one call.

A booster's margin is the sum of its trees' leaves and a starting value. So the weighted mean of several boosters'
margins is the margin of one booster that has all their trees with scaled leaves. Nothing but XGBoost is needed to load
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xgboost import Booster


@dataclass(frozen=True, slots=True)
class Member:
    """A booster of an average: its share of the whole, and where its features stand among those of the merged booster.

    `columns[i]` is the merged booster's position of the member's feature `i`.
    """

    booster: Booster
    share: float
    columns: tuple[int, ...]


def merge(members: Sequence[Member], names: Sequence[str]) -> Booster:
    """One booster whose margin is the mean of the members' margins, weighted by their shares (which sum to 1).

    `names` are its features. All members are tree boosters of one objective and, for multiclass, of as many classes.
    Leaves are scaled in float32, so margins agree with the mean within the rounding of a float32 sum over all trees:
    below 1e-5 of the largest margin (tested up to 2,000 trees).
    """
    import numpy as np

    if len(members) == 1 and members[0].columns == tuple(range(len(names))):
        return members[0].booster
    models = [_as_json(member.booster) for member in members]
    sizes = _learner(models[0])["learner_model_param"]
    outputs = max(1, int(sizes["num_class"]), int(sizes.get("num_target", 1)))
    starts = np.array([_starting_margin(model, outputs) for model in models])
    shift = np.average(starts, axis=0, weights=[member.share for member in members]) - starts[0]
    trees = [_constant_tree(float(value), len(names)) for value in shift]
    groups, rounds = list(range(outputs)), [0, outputs]
    for member, model in zip(members, models, strict=True):
        forest = _learner(model)["gradient_booster"]["model"]
        start = len(trees)
        trees += [_rescaled(tree, member, len(names)) for tree in forest["trees"]]
        groups += forest["tree_info"]
        rounds += [start + end for end in forest["iteration_indptr"][1:]]
    for number, tree in enumerate(trees):
        tree["id"] = number
    learner = _learner(models[0])
    learner |= {"attributes": {}, "feature_names": list(names), "feature_types": _types(members, models, len(names))}
    learner["learner_model_param"]["num_feature"] = str(len(names))
    return _with_trees(models[0], trees, groups, rounds)


def _as_json(booster: Booster) -> dict[str, Any]:
    import orjson

    loaded: dict[str, Any] = orjson.loads(bytes(booster.save_raw("json")))
    return loaded


def _learner(model: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = model["learner"]
    return found


def _starting_margin(model: dict[str, Any], outputs: int) -> list[float]:
    """The margin of a booster whose leaves are all 0, for each output: asked of XGBoost, whose versions store it
    in their own ways (and without any tree it answers with the probability).
    """
    import numpy as np

    features = int(_learner(model)["learner_model_param"]["num_feature"])
    trees = [{**_constant_tree(0.0, features), "id": number} for number in range(outputs)]
    booster = _with_trees(model, trees, list(range(outputs)), [0, outputs])
    margin = booster.inplace_predict(np.zeros((1, features), dtype=np.float32), predict_type="margin")
    return [float(value) for value in np.asarray(margin).ravel()]


def _with_trees(model: dict[str, Any], trees: list[dict[str, Any]], groups: list[int], rounds: list[int]) -> Booster:
    """The model with other trees: the class of each, and where each round ends; it predicts on the CPU."""
    import orjson
    from xgboost import Booster

    learner = model["learner"]
    booster_ = learner["gradient_booster"]
    forest = {
        **booster_["model"],
        "gbtree_model_param": {**booster_["model"]["gbtree_model_param"], "num_trees": str(len(trees))},
        "trees": trees,
        "tree_info": groups,
        "iteration_indptr": rounds,
    }
    changed = {**model, "learner": {**learner, "gradient_booster": {**booster_, "model": forest}}}
    booster = Booster({"device": "cpu"})
    booster.load_model(bytearray(orjson.dumps(changed)))
    booster.set_param({"device": "cpu", "nthread": 0})
    return booster


def _constant_tree(leaf: float, features: int) -> dict[str, Any]:
    """A tree that gives every row the same leaf."""
    import numpy as np

    value = float(np.float32(leaf))
    return {
        "base_weights": [value],
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [0],
        "id": 0,
        "left_children": [-1],
        "loss_changes": [0.0],
        "parents": [2147483647],
        "right_children": [-1],
        "split_conditions": [value],
        "split_indices": [0],
        "split_type": [0],
        "sum_hessian": [1.0],
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(features),
            "num_nodes": "1",
            "size_leaf_vector": "1",
        },
    }


def _rescaled(tree: dict[str, Any], member: Member, features: int) -> dict[str, Any]:
    """The tree with its leaves times the member's share and its features renumbered."""
    import numpy as np

    leaf = np.array(tree["left_children"]) == -1
    columns = np.array(member.columns)
    scaled = {name: np.array(tree[name], dtype=np.float32) for name in ("split_conditions", "base_weights")}
    conditions = np.where(leaf, scaled["split_conditions"] * np.float32(member.share), scaled["split_conditions"])
    return {
        **tree,
        "split_conditions": conditions.astype(np.float64).tolist(),
        "base_weights": (scaled["base_weights"] * np.float32(member.share)).astype(np.float64).tolist(),
        "split_indices": np.where(leaf, 0, columns[np.array(tree["split_indices"])]).tolist(),
        "loss_changes": (np.array(tree["loss_changes"]) * member.share).tolist(),
        "tree_param": {**tree["tree_param"], "num_feature": str(features)},
    }


def _types(members: Sequence[Member], models: Sequence[dict[str, Any]], features: int) -> list[str]:
    """The features' types in the merged booster, empty where the members have none."""
    named = [_learner(model)["feature_types"] for model in models]
    if not any(named):
        return []
    types = ["float"] * features
    for member, own in zip(members, named, strict=True):
        for position, kind in zip(member.columns, own, strict=bool(own)):
            types[position] = kind
    return types
