"""Every route of a server as its own app knows them: `python -m tests.faults.routes prefect|mlflow` prints them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from treadle.infra.settings import set_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

WEBSOCKET = "WEBSOCKET"


def walk(routes: list[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Method and path of each route, also of routers and apps within."""
    for route in routes:
        path = prefix + getattr(route, "path", "")
        included = getattr(route, "original_router", None)
        mounted = getattr(route, "app", None)
        if included is not None:
            yield from walk(included.routes, prefix + route.include_context.prefix)
        elif hasattr(mounted, "routes"):
            yield from walk(mounted.routes, path)
        elif getattr(route, "methods", None):
            yield from ((method, path) for method in route.methods)
        elif "WebSocket" in type(route).__name__:
            yield WEBSOCKET, path


def prefect() -> Iterator[tuple[str, str]]:
    """Those of Prefect's server."""
    from prefect.server.api.server import create_app

    yield from walk(list(create_app().routes))


def mlflow() -> Iterator[tuple[str, str]]:
    """Those of MLflow's server: FastAPI's own, and Flask's behind it."""
    set_environment({"_MLFLOW_SERVER_SERVE_ARTIFACTS": "true", "_MLFLOW_SERVER_FILE_STORE": "sqlite://"})
    from mlflow.server import app as flask
    from mlflow.server.fastapi_app import app

    yield from walk(list(app.routes))
    for rule in flask.url_map.iter_rules():
        yield from ((method, rule.rule) for method in rule.methods or ())


if __name__ == "__main__":
    print(json.dumps(sorted(set({"prefect": prefect, "mlflow": mlflow}[sys.argv[1]]()))))
