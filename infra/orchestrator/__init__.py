"""The Prefect server that flows report to: `PREFECT_API_URL`, else the home's own, started when it is needed.

    with flow_context(settings):
        train(...)

`flow_context` is all that a command needs; `server_state`, `ui_url` and `stop_servers` are for people. `server` finds,
starts and ends a home's server, `serve` is the process that it runs in, `client` sets up Prefect in our process, and
`dead_runs` says what is done about runs whose process died.
"""

from __future__ import annotations

from treadle.infra.orchestrator.client import connected, flow_context, prepare_client, present_command, run_environment
from treadle.infra.orchestrator.server import ServerPhase, ServerState, homes, server_state, stop_servers, ui_url

__all__ = [
    "ServerPhase",
    "ServerState",
    "connected",
    "flow_context",
    "homes",
    "prepare_client",
    "present_command",
    "run_environment",
    "server_state",
    "stop_servers",
    "ui_url",
]
