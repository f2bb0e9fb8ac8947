"""The ledger's database: made where there is none, brought up to date, and its errors as ours."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from treadle.infra.databases import engines, sqlite
from treadle.infra.databases.ledger import records
from treadle.tasks.errors import NewerFormat, ServiceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RENAMED = {"told": "notified"}
"""Tables by their names in format 1."""

AGAINST_SINCE = 3
"""The format since which versions have the column `against`."""


def ledger_engine(url: str) -> sa.Engine:
    """The ledger behind the URL, ready; raises NewerFormat for one of a newer treadle."""
    if (file := sqlite.file_of(url)) is not None:
        sqlite.make(file, _build)
    made = engines.make_engine(url)
    with made.begin() as con:
        _bring_up_to_date(con, url)
    return made


@contextmanager
def ledger_errors(url: str) -> Iterator[None]:
    """Translate errors of the ledger's database into ours; IntegrityError passes through for the caller."""
    try:
        yield
    except IntegrityError:
        raise
    except (ImportError, sa.exc.ArgumentError) as error:
        raise UsageError(
            f"the ledger's URL cannot be used: {str(error).splitlines()[0]}",
            "TREADLE_LEDGER_URL is a SQLAlchemy URL whose driver is installed; unset, the ledger is in mlruns/",
        ) from error
    except (DBAPIError, OSError) as error:
        shown = engines.masked_url(url)
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        if "readonly" in cause:
            raise UsageError(f"the ledger at {shown}: no right to write it", "make the file writable") from error
        raise ServiceError(
            f"the ledger at {shown} does not answer: {cause}",
            "look at TREADLE_LEDGER_URL and the server, or at the file's rights and disk",
        ) from error


def _bring_up_to_date(con: sa.Connection, url: str) -> None:
    """Add what a ledger of an earlier treadle lacks; raises NewerFormat for one of a later, which stays as it is."""
    engines.exclusive_transaction(con)  # of two that make the same table one would fail
    con.execute(sa.schema.CreateTable(records.formats, if_not_exists=True))
    found = con.execute(sa.select(sa.func.max(records.formats.c.format))).scalar()
    if found is not None and found > records.FORMAT:
        shown = engines.masked_url(url)
        raise NewerFormat(f"the ledger at {shown}", found, records.FORMAT)
    _rename_tables(con)
    for table in records.metadata.sorted_tables:  # the first ones had fewer
        con.execute(sa.schema.CreateTable(table, if_not_exists=True))
    if found is None or found < AGAINST_SINCE:
        _add_against(con)
    if found is None:
        mine = sa.select(sa.literal(records.FORMAT)).where(~sa.exists(sa.select(records.formats.c.format)))
        con.execute(sa.insert(records.formats).from_select(["format"], mine))
    elif found < records.FORMAT:
        con.execute(sa.update(records.formats).values(format=records.FORMAT))


def _rename_tables(con: sa.Connection) -> None:
    """Give tables of format 1 the names that they have since format 2."""
    names = set(sa.inspect(con).get_table_names())
    for before, now in RENAMED.items():
        if before in names and now not in names:
            con.exec_driver_sql(f"ALTER TABLE {before} RENAME TO {now}")


def _add_against(con: sa.Connection) -> None:
    """Give the versions of an earlier format their column `against`, from the results that they recorded as JSON."""
    if "against" in {column["name"] for column in sa.inspect(con).get_columns(records.versions.name)}:
        return
    con.exec_driver_sql(f"ALTER TABLE {records.versions.name} ADD COLUMN against INTEGER")
    table = records.versions.c
    for pipeline, version, result in con.execute(sa.select(table.pipeline, table.version, table.result)).all():
        row = (table.pipeline == pipeline, table.version == version)
        against = json.loads(result or "{}").get("against")
        con.execute(sa.update(records.versions).where(*row).values(against=against))


def _build(aside: Path) -> None:
    engine = engines.make_engine(sqlite.url_of(aside))
    with engine.connect() as con:
        con.exec_driver_sql("PRAGMA journal_mode = WAL")
    records.metadata.create_all(engine)
    engine.dispose()
