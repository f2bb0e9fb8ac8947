from __future__ import annotations

import runpy
import xml.etree.ElementTree as ET
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_picture_of_the_flow_is_what_its_script_draws() -> None:
    drawn: str = runpy.run_path(str(DOCS / "flow.py"))["draw"]()
    assert (DOCS / "flow.svg").read_text(encoding="utf-8") == drawn, "run: python docs/flow.py"
    ET.fromstring(drawn)
