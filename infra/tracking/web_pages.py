"""MLflow's pages as people of a home see them: behind a guard, and opened at models instead of at language models."""

from __future__ import annotations

import json
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING

from treadle.infra.processes.http_guard import HERE, Guard
from treadle.infra.settings import set_environment
from treadle.infra.tracking import runs
from treadle.tasks.errors import TreadleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from treadle.infra.settings import Settings

APP = "mlflow.server.fastapi_app:app"
START = "server/js/build/index.html"

ASSISTANT = "/ajax-api/3.0/mlflow/assistant"
"""It runs commands on this machine for local requests, and requests through a proxy look local."""

AT_FIRST = {
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    "mlflow.settings.telemetry.enabled_v1": False,
    "mlflow.telemetry.info.alert.dismissed_v1": True,
    "_mlflow_model_registry_promo_modal_dismissed_v1": True,
}
"""What a browser's local storage gets on its first visit; what a person chooses later stays."""


COLUMNS_KEY = 'MLflowLocalStorage-1.1-ExperimentPage-["%s"]-ReactComponentState'
"""Name under which a browser remembers the columns of an experiment's runs, by the experiment's id."""


def _columns(metric: str) -> dict[str, list[str]]:
    """The columns at first: the metric that decides, verdict, version, champion; all fit on a screen."""
    tags = [f"tags.`{name}`" for name in ("verdict", "version", "champion")]
    return {"selectedColumns": [f"metrics.`holdout_{metric}`", *tags]}


def pipeline_experiments(settings: Settings) -> dict[str, str]:
    """The deciding metric of each pipeline's experiment by its id; empty for experiments of an earlier version.

    MLflow's own experiment 0 is left out.
    """
    with runs.quiet():
        found = runs.client(settings).search_experiments()
        return {one.experiment_id: one.tags.get(runs.METRIC, "") for one in found if one.experiment_id != "0"}


def mlflow_app(settings: Settings) -> ASGIApp:
    """MLflow's app over the home's stores. To be called within `tracking.quiet`.

    MLflow's command gives its app the same names by the environment, so that an address with a password is in no list
    of processes.
    """
    from uvicorn.importer import import_from_string

    artifacts = (settings.mlruns / "artifacts").as_uri()
    set_environment(
        {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_ENABLE_AI_GATEWAY": "false",
            "_MLFLOW_SERVER_FILE_STORE": settings.tracking,
            "_MLFLOW_SERVER_REGISTRY_STORE": settings.registry,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": artifacts,
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifacts,
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "_MLFLOW_SGI_NAME": "uvicorn",
            # the guard is stricter, and checks the host name itself
            "MLFLOW_SERVER_ALLOWED_HOSTS": "*",
            "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "*",
        }
    )
    page = files("mlflow").joinpath(START).read_text()
    app = StartPage(import_from_string(APP), page, partial(pipeline_experiments, settings))
    names = () if settings.login else HERE
    return Guard(app, names=names, login=settings.login, open_paths=("/health",), closed=(ASSISTANT,))


class StartPage:
    """An ASGI app whose page at `/` sets what a browser is to remember at first, before anything else in it runs.

    Without a place in the address it opens the only pipeline's experiment, or the list of experiments. `experiments`
    returns by id the metric that decides, empty where there is none yet.
    """

    def __init__(self, app: ASGIApp, page: str, experiments: Callable[[], Mapping[str, str]]) -> None:
        self._app, self._page, self._experiments = app, page, experiments

    def _content(self) -> str:
        try:
            experiments = self._experiments()
        except (TreadleError, OSError):  # MLflow's own page says what is wrong
            experiments = {}
        # a browser keeps the columns of its first visit, so nothing is set before the metric is known
        columns = {COLUMNS_KEY % number: _columns(metric) for number, metric in experiments.items() if metric}
        first = AT_FIRST | columns
        place = f"#/experiments/{next(iter(experiments))}/runs" if len(experiments) == 1 else "#/experiments"
        script = f"for (const [name, value] of Object.entries({json.dumps(first).replace('<', chr(92) + 'u003c')})) "
        script += "localStorage.getItem(name) ?? localStorage.setItem(name, JSON.stringify(value));"
        if experiments:
            script += f"if (location.hash.length < 3) history.replaceState(null, '', {json.dumps(place)});"
        return self._page.replace("<head>", f"<head><script>{script}</script>", 1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `/` with that page; everything else is the app's."""
        if scope["type"] == "http" and scope["path"] == "/" and scope["method"] in {"GET", "HEAD"}:
            from starlette.concurrency import run_in_threadpool
            from starlette.responses import HTMLResponse

            content = await run_in_threadpool(self._content)
            # the app's scripts bear their content in their names, so an old page would ask for what is gone
            await HTMLResponse(content, headers={"Cache-Control": "no-cache", "X-Frame-Options": "SAMEORIGIN"})(
                scope, receive, send
            )
        else:
            await self._app(scope, receive, send)
