"""Both servers behind nginx with TLS, as docs/security.md puts it in front of them."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from tests.browser.conftest import Home, brought_up, until
from tests.projects import prefect_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.browser.conftest import Seen
    from treadle.infra.settings import Settings

    Browser = Callable[..., Seen]

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
NAME, PASSWORD = "ada", "correct-horse-battery"
PREFECT, MLFLOW = "prefect.example.org", "mlflow.example.org"
FRAME = """daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {servers}
}}
"""


@contextmanager
def nginx(folder: Path, inner: dict[str, str]) -> Iterator[int]:
    """The port of the page's nginx before the addresses of `inner`, by name."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.fail("these tests need nginx (Debian: apt-get install nginx-light)")
    certificate(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    ((block),) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)
    servers = ""
    for name, address in inner.items():
        here = block.replace(PREFECT, name).replace("127.0.0.1:4200", urlsplit(address).netloc)
        here = here.replace("listen 443", f"listen 127.0.0.1:{port}")
        servers += re.sub(r"/etc/ssl/prefect\.(pem|key)", rf"{folder}/\1", here)
    (folder / "nginx.conf").write_text(FRAME.format(folder=folder, servers=servers))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-c", str(folder / "nginx.conf")], stdout=log, stderr=log)
    try:
        until(lambda: _listens(port) or process.poll() is not None, 30)
        assert process.poll() is None, (folder / "log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(30)


def certificate(folder: Path) -> None:
    """One that it signs itself."""
    asked = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=example.org"]
    asked += ["-addext", f"subjectAltName=DNS:{PREFECT},DNS:{MLFLOW}"]
    asked += ["-keyout", str(folder / "key"), "-out", str(folder / "pem")]
    subprocess.run(asked, check=True, capture_output=True)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, server_home: Settings) -> Iterator[tuple[Home, dict[str, str]]]:
    """A home with a login, and its servers' addresses at the proxy."""
    folder = tmp_path_factory.mktemp("behind")
    home = folder / "home"
    (home / "pipelines").mkdir(parents=True)
    prefect_database(home, server_home)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("TREADLE_LOGIN", f"{NAME}:{PASSWORD}")
        place = brought_up(home)
        stack.callback(place.treadle, "down")
        port = stack.enter_context(nginx(folder, {PREFECT: place.prefect, MLFLOW: place.mlflow}))
        yield place, {name: f"https://{name}:{port}" for name in (PREFECT, MLFLOW)}


def test_prefects_pages_work_behind_the_proxy(behind: tuple[Home, dict[str, str]], browser: Browser) -> None:
    address = behind[1][PREFECT]
    seen = browser(f"{address}/deployments", ignore_https_errors=True)
    field = seen.page.locator("input").first
    field.fill(f"{NAME}:{PASSWORD}")
    field.press("Enter")
    seen.page.get_by_text("Work Pools").first.wait_for()
    seen.picture("proxy-prefect")
    assert {urlsplit(url).hostname for url in seen.asked if not url.startswith(("data:", "blob:"))} == {PREFECT}


def test_mlflows_pages_work_behind_the_proxy(behind: tuple[Home, dict[str, str]], browser: Browser) -> None:
    address = behind[1][MLFLOW]
    known = {"username": NAME, "password": PASSWORD}
    seen = browser(f"{address}/#/models", ignore_https_errors=True, http_credentials=known)
    seen.page.get_by_text("Registered Models").first.wait_for()
    seen.picture("proxy-mlflow")


@pytest.mark.parametrize("name", [PREFECT, MLFLOW])
def test_what_is_refused_without_the_proxy_is_refused_behind_it(name: str, behind: tuple[Home, dict[str, str]]) -> None:
    address = behind[1][name]
    path = {PREFECT: "/api/flow_runs/filter", MLFLOW: "/api/2.0/mlflow/experiments/search"}[name]
    asked = {"max_results": 5} if name == MLFLOW else {}
    port = urlsplit(address).port
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {"Host": f"{name}:{port}"}
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", trust_env=False, verify=context, headers=headers) as client:

        def status(login: tuple[str, str] | None, origin: str) -> int:
            return client.post(path, json=asked, auth=login, headers={"Origin": origin}).status_code

        assert status((NAME, PASSWORD), address) == 200
        assert status((NAME, "wrong"), address) == 401
        assert status(None, address) == 401
        assert status((NAME, PASSWORD), "https://evil.example") == 403
