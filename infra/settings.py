"""Where things live: the only reader of environment variables (`TREADLE_*`, `PREFECT_API_URL`).

Everything is optional. Without a variable everything is embedded under the home: tables in `data/`, MLflow,
ledger and studies in `mlruns/`, and what can be thrown away in `.treadle/`.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from treadle.tasks.errors import ConfigError, HomeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREFIX = "TREADLE_"
FAILPOINT = f"{PREFIX}FAILPOINT"
LOOPBACK = "127.0.0.1"
MLFLOW_PORT = 5001
"""Where MLflow's pages are looked for while no `up` has said where it put them: docs/operation.md starts them so."""
PASSWORD_LENGTH = 12


class Settings(BaseSettings):
    """One home and what it uses. An empty URL means: embedded under the home.

    Addresses may hold passwords, so none of them is part of the `repr`.
    """

    model_config = SettingsConfigDict(frozen=True, env_prefix=PREFIX, env_ignore_empty=True, populate_by_name=True)

    home: Path
    storage_url: str = Field(default="", repr=False)
    tracking_uri: str = Field(default="", repr=False)
    registry_uri: str = Field(default="", repr=False)
    ledger_url: str = Field(default="", repr=False)
    tuning_url: str = Field(default="", repr=False)
    prefect_api_url: str = Field(default="", repr=False, validation_alias="PREFECT_API_URL")
    prefect_database_url: str = Field(default="", repr=False, validation_alias="PREFECT_SERVER_DATABASE_CONNECTION_URL")
    prefect_login: str = Field(default="", repr=False, validation_alias="PREFECT_API_AUTH_STRING")
    prefect_key: str = Field(default="", repr=False, validation_alias="PREFECT_API_KEY")
    host: str = LOOPBACK
    login: str = Field(default="", repr=False)
    debug: bool = False

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @field_validator("prefect_database_url")
    @classmethod
    def _asked_by_asyncpg(cls, url: str) -> str:
        if url.startswith("sqlite"):  # of a Prefect of the person's own: ours has a file of its own
            return ""
        if url and not url.startswith("postgresql+asyncpg://"):
            raise ValueError("must begin with postgresql+asyncpg://")
        return url

    @field_validator("host")
    @classmethod
    def _address(cls, host: str) -> str:
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            raise ValueError("must be an address of this machine, or 0.0.0.0 for all that it has") from None

    @field_validator("login")
    @classmethod
    def _name_and_password(cls, login: str) -> str:
        name, _, password = login.partition(":")
        if login and not (name and len(password) >= PASSWORD_LENGTH and login.isascii() and login.isprintable()):
            raise ValueError(f"must be NAME:PASSWORD in ASCII, with a password of {PASSWORD_LENGTH} characters or more")
        return login

    @property
    def listen(self) -> str:
        """The address that the home's servers listen on; raises UsageError for one beyond loopback without a login."""
        if not ipaddress.ip_address(self.host).is_loopback and not self.login:
            raise UsageError(
                f"TREADLE_HOST={self.host} would let other machines in without a password",
                "set a login: export TREADLE_LOGIN=NAME:PASSWORD, or unset TREADLE_HOST",
            )
        return self.host

    @property
    def api_login(self) -> str:
        """`name:password`, or a key, for the Prefect server that flows of this home use; empty: it asks for none."""
        return (self.prefect_login or self.prefect_key) if self.prefect_api_url else self.login

    @property
    def login_variable(self) -> str:
        """The variable that holds the login for that server."""
        return "PREFECT_API_AUTH_STRING" if self.prefect_api_url else f"{PREFIX}LOGIN"

    @property
    def pipelines(self) -> tuple[Path, ...]:
        """The files of the home's pipelines, sorted by their names, which are the pipelines'."""
        return tuple(sorted((self.home / "pipelines").glob("[!.]*.toml")))

    @property
    def state(self) -> Path:
        """What can be thrown away: the Prefect server, scratch databases, the demo's home."""
        return self.home / ".treadle"

    @property
    def tables_root(self) -> str:
        """Where `<pipeline>/{rows,labels,quarantine,predictions}` stand: a folder or an object store.

        A relative folder is one of the home, whatever the current folder.
        """
        url = urlsplit(self.storage_url)
        if url.scheme == "file":
            return unquote(url.path)
        if "://" in self.storage_url:
            return self.storage_url.rstrip("/")
        return str(self.home / (Path(self.storage_url).expanduser() if self.storage_url else "data"))

    @property
    def mlruns(self) -> Path:
        """The folder of the embedded stores: MLflow's database and artifacts, the ledger, the studies."""
        return self.home / "mlruns"

    @property
    def tracking(self) -> str:
        """MLflow's tracking URI."""
        return self.tracking_uri or _sqlite(self.mlruns / "mlflow.db")

    @property
    def registry(self) -> str:
        """MLflow's registry URI; the tracking URI unless another is named."""
        return self.registry_uri or self.tracking

    @property
    def ledger(self) -> str:
        """The ledger's SQLAlchemy URL."""
        return self.ledger_url or _sqlite(self.mlruns / "treadle.db")

    @property
    def tuning(self) -> str:
        """The SQLAlchemy URL of Optuna's storage."""
        return self.tuning_url or _sqlite(self.mlruns / "optuna.db")

    @property
    def who(self) -> str:
        """Who acts, as the ledger writes it: `user@host`."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            user = str(os.getuid())
        return f"{user}@{socket.gethostname()}"


def find_home(start: Path | None = None) -> Settings:
    """The settings of `TREADLE_HOME`, else of the nearest folder from `start` upwards with `pipelines/`.

    `start` is the current folder unless given. Raises HomeError where there is none.
    """
    named = _named_home()
    if named is not None:
        if not (named / "pipelines").is_dir():
            raise HomeError(
                f"TREADLE_HOME={named}: there is no folder pipelines/ in it",
                "let it name a project, or make one there: treadle init DATA --target COLUMN",
            )
        return at(named)
    begin = _current() if start is None else start.expanduser().resolve()
    for folder in (begin, *begin.parents):
        if (folder / "pipelines").is_dir():
            return at(folder)
    raise HomeError(
        f"no project here: neither {begin} nor a folder above it has pipelines/",
        "go to one, set TREADLE_HOME, or begin one here: treadle init DATA --target COLUMN",
    )


def here(start: Path | None = None) -> Settings:
    """Like `find_home`, but where there is no project: the settings of the folder that would become one.

    That is `TREADLE_HOME`, else `start` (current folder). For `init`, `doctor` and `down`.
    """
    try:
        return find_home(start)
    except HomeError:
        return at(_named_home() or start or _current())


def at(home: Path) -> Settings:
    """The settings of the project at `home`, whatever `TREADLE_HOME` says.

    Raises ConfigError for a variable that cannot be read.
    """
    try:
        return Settings(home=home)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        variable = name if name.isupper() else f"{PREFIX}{name.upper()}"
        secret = any(name in (key, one.validation_alias) and not one.repr for key, one in Settings.model_fields.items())
        shown = variable if secret else f"{variable}={first['input']!r}"
        raise ConfigError(
            f"{shown}: {first['msg'].removeprefix('Value error, ')}", f"correct the variable {variable} or unset it"
        ) from None


def without_secrets(text: str) -> str:
    """A text, or an address, without the names and passwords of the addresses in it."""
    return re.sub(r"//[^/\s]*@", "//", text)


def secret(name: str) -> str:
    """The value of a variable that a pipeline's file names as `env:NAME`; empty where it is not set."""
    return os.environ.get(name, "").strip()


def failpoint() -> str:
    """Where a test wants the process to die; see `treadle.infra.failpoint`."""
    return os.environ.get(FAILPOINT, "")


def child_environment(extra: Mapping[str, str], without: Sequence[str] = ()) -> dict[str, str]:
    """This process's environment for a child, without variables that begin so, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(tuple(without))}
    return {**kept, **extra}


def set_environment(
    values: Mapping[str, str], *, keep: bool = False, unset: Sequence[str] = (), no_proxy: Sequence[str] = ()
) -> None:
    """Set and unset variables for libraries that read them; hosts of `no_proxy` need no proxy.

    With `keep` what a person has set stays.
    """
    for name in unset:
        os.environ.pop(name, None)
    os.environ.update({name: value for name, value in values.items() if not (keep and name in os.environ)})
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join([*hosts, *(host for host in no_proxy if host not in hosts)])


def _named_home() -> Path | None:
    named = os.environ.get(f"{PREFIX}HOME", "")
    return Path(named).expanduser().resolve() if named else None


def _current() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise HomeError("the current folder no longer exists", "go to a folder that does: cd") from error


def _sqlite(path: Path) -> str:
    return f"sqlite:///{path}"
