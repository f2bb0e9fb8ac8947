"""A home of parcels: what waits in it, and the commands of its life."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

NAME = "parcels"
LABELS = "parcels_labels"
BUDGET = "600"  # seconds: the trials bind


def parcels(count: int, seed: int = 0, first: int = 0) -> pd.DataFrame:
    """Parcels with a key, a yes/no target that two columns explain, and gaps."""
    draw = np.random.default_rng(seed)
    weight = np.round(draw.gamma(2.0, 3.0, count), 2)
    distance = draw.integers(5, 900, count)
    carrier = draw.choice(["Alpha", "Beta", "Gamma"], count)
    late = (weight / 9 + distance / 500 + (carrier == "Beta") + draw.normal(0, 0.6, count)) > 2.4
    table = pd.DataFrame(
        {
            "Parcel No": np.arange(first, first + count),
            "Weight kg": weight,
            "Distance": distance,
            "Carrier": carrier,
            "Late": np.where(late, "yes", "no"),
        }
    )
    table.loc[::17, "Weight kg"] = None
    return table


def bare(folder: Path) -> Path:
    """A folder that is to become a home, with a table in it."""
    home = folder / "home"
    (home / "pipelines").mkdir(parents=True)
    parcels(400).to_csv(home / "parcels.csv", index=False)
    return home


def fill(home: Path) -> None:
    """What waits: a month with bad rows, a file that cannot be read, a month without labels; files go out as well."""
    inbox = home / "data" / "inbox" / NAME
    bad = parcels(100, seed=1, first=1000).astype({"Distance": object})
    bad.loc[3, "Distance"] = "far"
    bad.loc[7, "Parcel No"] = None
    bad.to_csv(inbox / "may.csv", index=False)
    (inbox / "broken.parquet").write_bytes(b"PAR1 and no more")
    parcels(150, seed=2, first=2000).drop(columns="Late").to_csv(inbox / "new.csv", index=False)
    config = home / "pipelines" / f"{NAME}.toml"
    config.write_text(config.read_text() + '\n[score]\noutput = "data/outbox/parcels"\n')
    assert (home / "data" / "inbox" / LABELS).is_dir(), "init's own place for late labels"


INIT = ("init", "parcels.csv", "--target", "Late", "--name", NAME)
LIFE: dict[str, tuple[str, ...]] = {
    "ingest": ("ingest",),
    "train": ("train", "--trials", "2", "--budget", BUDGET),
    "score": ("score",),
    "labels": ("ingest",),
    "monitor": ("monitor",),
    "train again": ("train", "--trials", "1", "--budget", BUDGET),
    "promote": ("promote", "2", "--reason", "the depot asked for it"),
    "rollback": ("rollback",),
}
"""Commands that make something, in order, from a home with a pipeline and files that wait."""


def labels_arrive(home: Path) -> None:
    """Late labels of the month that was scored, and one of a parcel that nobody knows."""
    late = parcels(150, seed=2, first=2000)[["Parcel No", "Late"]]
    late.loc[149, "Parcel No"] = 9_999
    late.to_csv(home / "data" / "inbox" / LABELS / "new.csv", index=False)
