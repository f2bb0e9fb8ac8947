"""FAULTS 31: what a spreadsheet would run is neutralised in exported predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests.projects import tumours
from treadle.flows import score

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

CELLS = {
    "=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0",
    "+1+cmd|x": "'+1+cmd|x",
    "-2+3": "'-2+3",
    "@SUM(A1)": "'@SUM(A1)",
    "\t=1": "'\t=1",
    "-12.5": "-12.5",
    "T0001": "T0001",
}


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_formulas_become_text_in_csv_and_stay_in_parquet(
    clinic: tuple[Settings, PipelineConfig], tmp_path: Path, ending: str
) -> None:
    settings, config = clinic
    asked = tumours()[: len(CELLS)].drop(columns="Malignant").assign(**{"Tumour ID": list(CELLS)})
    asked.to_parquet(tmp_path / "asked.parquet")
    answer = tmp_path / f"answer.{ending}"
    score.run_score(settings, config, input=tmp_path / "asked.parquet", output=answer)
    if ending == "parquet":
        assert pd.read_parquet(answer)["Tumour ID"].tolist() == list(CELLS)
        return
    came = pd.read_csv(answer, sep="\t" if ending == "tsv" else ",", dtype=str)
    assert came["Tumour ID"].tolist() == list(CELLS.values())
