from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING

import pytest

from treadle.infra import settings as settings_
from treadle.tasks.errors import ConfigError, HomeError, UsageError

POSTGRES = "postgresql+asyncpg://me:hunter2@host/db"

if TYPE_CHECKING:
    from pathlib import Path


def test_the_nearest_folder_upwards_with_pipelines_is_the_home(home: Path) -> None:
    deep = home / "a" / "b"
    deep.mkdir(parents=True)
    assert settings_.find_home(deep).home == home


def test_a_home_within_a_home_is_its_own(home: Path) -> None:
    inner = home / "projects" / "inner"
    (inner / "pipelines").mkdir(parents=True)
    assert settings_.find_home(inner / "pipelines").home == inner


def test_the_current_folder_is_where_the_search_begins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home / "pipelines")
    assert settings_.find_home().home == home


def test_treadle_home_wins_over_the_current_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = home / "other"
    (other / "pipelines").mkdir(parents=True)
    monkeypatch.setenv("TREADLE_HOME", str(other))
    assert settings_.find_home(home).home == other


def test_outside_any_home_the_error_names_the_fixes(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="no project here") as caught:
        settings_.find_home(tmp_path)
    assert caught.value.exit_code == 2
    assert "treadle init" in caught.value.fix


def test_a_treadle_home_without_pipelines_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_HOME", str(tmp_path))
    with pytest.raises(HomeError, match=f"TREADLE_HOME={tmp_path}"):
        settings_.find_home()


@pytest.mark.parametrize("named", [True, False])
def test_here_is_the_folder_that_would_become_a_home(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path.resolve() / "new"
    folder.mkdir()
    monkeypatch.chdir(tmp_path if named else folder)
    if named:
        monkeypatch.setenv("TREADLE_HOME", str(folder))
    assert settings_.here().home == folder


def test_a_current_folder_that_is_gone_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(HomeError, match="no longer exists"):
        settings_.find_home()


def test_everything_is_embedded_under_the_home_by_default(home: Path) -> None:
    settings = settings_.at(home)
    assert settings.tables_root == f"{home}/data"
    assert settings.tracking == settings.registry == f"sqlite:///{home}/mlruns/mlflow.db"
    assert settings.ledger == f"sqlite:///{home}/mlruns/treadle.db"
    assert settings.tuning == f"sqlite:///{home}/mlruns/optuna.db"
    assert settings.state == home / ".treadle"


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("s3://bucket/tables/", "s3://bucket/tables"),
        ("/srv/tables", "/srv/tables"),
        ("file:///srv/my%20tables", "/srv/my tables"),
        ("tables", "{home}/tables"),
        ("", "{home}/data"),
    ],
)
def test_tables_stand_where_the_variable_says(url: str, root: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_STORAGE_URL", url)
    assert settings_.at(home).tables_root == root.format(home=home)


@pytest.mark.parametrize(
    ("variable", "value", "read"),
    [
        ("TREADLE_TRACKING_URI", "http://mlflow:5000", "tracking"),
        ("TREADLE_REGISTRY_URI", "http://registry:5000", "registry"),
        ("TREADLE_LEDGER_URL", "postgresql://db/ledger", "ledger"),
        ("TREADLE_TUNING_URL", "postgresql://db/optuna", "tuning"),
        ("PREFECT_API_URL", "http://prefect:4200/api", "prefect_api_url"),
    ],
)
def test_a_service_elsewhere_is_used(
    variable: str, value: str, read: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert getattr(settings_.at(home), read) == value


def test_the_registry_follows_tracking(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_TRACKING_URI", "http://mlflow:5000")
    assert settings_.at(home).registry == "http://mlflow:5000"


def test_a_variable_that_cannot_be_read_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_DEBUG", "maybe")
    with pytest.raises(ConfigError, match="TREADLE_DEBUG='maybe'"):
        settings_.at(home)


@pytest.mark.parametrize(("url", "kept"), [("sqlite+aiosqlite:////home/me/prefect.db", False), (POSTGRES, True)])
def test_prefects_own_server_has_its_file_or_a_postgresql(
    home: Path, monkeypatch: pytest.MonkeyPatch, url: str, kept: bool
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", url)
    assert settings_.at(home).prefect_database_url == (url if kept else "")


def test_a_database_that_prefect_cannot_use_is_refused_without_its_password(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", POSTGRES.replace("+asyncpg", ""))
    with pytest.raises(ConfigError, match=r"CONNECTION_URL: must begin with postgresql\+asyncpg") as caught:
        settings_.at(home)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "login", ["ada", "ada:short", ":correct-horse-battery", "ada:correct horse\n", "ada:pässwörter-12"]
)
def test_a_login_is_a_name_and_a_long_password_and_is_never_shown(
    login: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_LOGIN", login)
    with pytest.raises(ConfigError, match="TREADLE_LOGIN: must be NAME:PASSWORD") as caught:
        settings_.at(home)
    assert login not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_beyond_loopback_nothing_listens_without_a_login(
    host: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_HOST", host)
    with pytest.raises(UsageError, match=f"TREADLE_HOST={host}") as caught:
        _ = settings_.at(home).listen
    assert "TREADLE_LOGIN" in caught.value.fix
    monkeypatch.setenv("TREADLE_LOGIN", "ada:correct-horse-battery")
    assert settings_.at(home).listen == host
    assert "correct-horse" not in repr(settings_.at(home))


def test_a_host_is_an_address(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_.at(home).listen == "127.0.0.1"
    monkeypatch.setenv("TREADLE_HOST", "example.org")
    with pytest.raises(ConfigError, match=r"TREADLE_HOST='example\.org': must be an address"):
        settings_.at(home)


def test_the_login_of_our_own_server_is_not_given_to_another(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_LOGIN", "ada:correct-horse-battery")
    assert settings_.at(home).api_login == "ada:correct-horse-battery"
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect:4200/api")
    assert settings_.at(home).api_login == ""
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "me:theirs")
    assert settings_.at(home).api_login == "me:theirs"


def test_addresses_are_not_in_the_repr(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_LEDGER_URL", "postgresql://me:canary@db/ledger")
    assert "canary" not in repr(settings_.at(home))


def test_who_acts_is_known_even_without_a_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise OSError("no username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert settings_.at(home).who.startswith(f"{os.getuid()}@")


def test_a_child_gets_our_environment_less_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "canary")
    monkeypatch.setenv("KEPT", "yes")
    child = settings_.child_environment({"PREFECT_HOME": "/x"}, without=("PREFECT_",))
    assert child["KEPT"] == "yes"
    assert {name: value for name, value in child.items() if name.startswith("PREFECT_")} == {"PREFECT_HOME": "/x"}


def test_proxies_are_told_of_hosts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "corp.example")
    for _ in range(2):
        settings_.set_environment({}, no_proxy=("127.0.0.1",))
    assert os.environ["NO_PROXY"] == "corp.example,127.0.0.1"
