"""Whether MLflow's server answers at an address, in seconds: MLflow's own client waits for it silently."""

from __future__ import annotations

import urllib.error
import urllib.request

from treadle.infra.settings import LOOPBACK, without_secrets

SECONDS = 2.0
SERVER_ERROR = 500


def mlflow_trouble(address: str) -> str:
    """What is wrong there in a few words; empty where it answers, also where it requires a password."""
    # a proxy of the environment cannot reach a server on this machine
    handlers = [urllib.request.ProxyHandler({})] if LOOPBACK in address or "localhost" in address else []
    try:
        urllib.request.build_opener(*handlers).open(
            f"{without_secrets(address).rstrip('/')}/health", timeout=SECONDS
        ).close()
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}" if error.code >= SERVER_ERROR else ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return ""
