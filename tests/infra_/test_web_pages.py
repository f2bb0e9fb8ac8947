"""Where MLflow's pages open, and which columns they show at first."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette

from treadle.infra.tracking.web_pages import StartPage


@pytest.mark.parametrize(
    ("experiments", "place"),
    [
        ({}, None),
        ({"1": "roc_auc"}, '"#/experiments/1/runs"'),
        ({"1": "roc_auc", "2": ""}, '"#/experiments"'),
    ],
)
def test_the_first_page_opens_at_the_pipelines_experiment(experiments: dict[str, str], place: str | None) -> None:
    app = StartPage(Starlette(), "<head></head>", lambda: experiments)

    async def first_page() -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return (await client.get("/")).text

    page = asyncio.run(first_page())
    assert ("location.hash" in page) is (place is not None)
    assert place is None or f"replaceState(null, '', {place})" in page
    assert ("metrics.`holdout_roc_auc`" in page) is ("1" in experiments)
    for number, metric in experiments.items():  # a browser keeps the columns that it is given first
        assert (f'ExperimentPage-[\\"{number}\\"]-ReactComponentState' in page) is bool(metric)
