"""Write a small real table to try treadle on: 569 tumours, measured, with the diagnosis (UCI, by scikit-learn).

    python docs/sample.py FOLDER

writes FOLDER/tumours.csv (the first 469, with the diagnosis) and FOLDER/new.csv (100 more, without it).
"""

from __future__ import annotations

import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer


def main(folder: Path) -> None:
    """Write both files; whatever stood there is replaced."""
    table = load_breast_cancer(as_frame=True)
    rows = table.data.rename(columns=lambda name: name.replace(" ", "_"))
    rows.insert(0, "tumour_id", [f"T{number:04d}" for number in range(len(rows))])
    rows["diagnosis"] = table.target.map({0: "malignant", 1: "benign"})
    folder.mkdir(parents=True, exist_ok=True)
    rows[:469].to_csv(folder / "tumours.csv", index=False)
    rows[469:].drop(columns="diagnosis").to_csv(folder / "new.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
