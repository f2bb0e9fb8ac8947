"""Ask a Prefect API without importing Prefect, which takes a second.

An API's address may hold a name and password, or a key alone, as `with_login` gives it; such a one is never shown.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from treadle.infra.settings import LOOPBACK, without_secrets

if TYPE_CHECKING:
    from treadle.infra.settings import Settings

REQUEST_SECONDS = 3.0


def prefect_trouble(api: str) -> str:
    """What is wrong with the API in a few words; empty where it reports that it is healthy."""
    try:
        return "" if _ask(api, "/health").strip() == b"true" else "what answers there is not a Prefect API"
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def ask(api: str, path: str, question: object = None) -> bytes:
    """The API's answer; a `question` is posted as JSON.

    Raises OSError, which names the server, or ValueError where there is none.
    """
    try:
        return _ask(api, path, question)
    except urllib.error.HTTPError as error:
        error.msg = f"{error.msg}, says {without_secrets(api)}"
        raise
    except OSError as error:
        why = getattr(error, "reason", error)
        raise ConnectionError(f"the Prefect server at {without_secrets(api)} does not answer: {why}") from error


def _ask(api: str, path: str, question: object = None) -> bytes:
    # a proxy of the environment cannot reach a server on this machine
    handlers = [urllib.request.ProxyHandler({})] if LOOPBACK in api or "localhost" in api else []
    body = None if question is None else json.dumps(question).encode()
    headers = {"Content-Type": "application/json", **_login(api)}
    request = urllib.request.Request(f"{without_secrets(api).rstrip('/')}{path}", body, headers)  # noqa: S310 - an http address of ours or of PREFECT_API_URL
    with urllib.request.build_opener(*handlers).open(request, timeout=REQUEST_SECONDS) as answer:
        return bytes(answer.read())


def with_login(settings: Settings, api: str) -> str:
    """The address of the API that flows of this home use with the login in it, which `ask` gives; never to be shown."""
    return _address_with_login(api, settings.api_login)


def requires_login(address: str, login: str) -> bool:
    """Whether the server at the address requires this login and accepts it; without one, whether it requires none."""
    return is_unauthorized(address) is bool(login) and not is_unauthorized(_address_with_login(address, login))


def is_unauthorized(address: str) -> bool:
    """Whether the server answers 401 to the login in the address, or to none."""
    try:
        _ask(address, "")
    except urllib.error.HTTPError as error:
        return error.code == 401
    except (OSError, ValueError):
        pass
    return False


def _address_with_login(address: str, login: str) -> str:
    scheme, _, rest = address.partition("://")
    complete = not login or "@" in urlsplit(address).netloc
    return address if complete else f"{scheme}://{quote(login, safe=':')}@{rest}"


def _login(api: str) -> dict[str, str]:
    """The header for what an address holds: a name and password, or a key, which has no colon."""
    login = unquote(urlsplit(api).netloc.rpartition("@")[0])
    if not login:
        return {}
    return {"Authorization": f"Basic {b64encode(login.encode()).decode()}" if ":" in login else f"Bearer {login}"}
