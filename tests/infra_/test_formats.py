"""What an earlier treadle left is gone on with; what a newer one made is refused and left as it is."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
from deltalake import DeltaTable

from treadle.flows import score
from treadle.flows.project import backup
from treadle.infra import settings as settings_
from treadle.infra import stores
from treadle.infra.databases.ledger import Ledger
from treadle.infra.databases.ledger.records import FORMAT
from treadle.infra.tracking.runs import quiet
from treadle.tasks import bundle, parity
from treadle.tasks.alerts import Case, News
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import NewerFormat

if TYPE_CHECKING:
    from treadle.infra.stores import Stores

KEPT = sorted((Path(__file__).parents[1] / "formats").glob("*.tar.xz"))
NAME = "parcels"


def revived(kept: Path, folder: Path) -> Stores:
    with tarfile.open(kept) as tar:
        tar.extractall(folder, filter="data")
    backup.run_restore(folder / "backup", folder / "home")
    return stores.open(settings_.at(folder / "home"), NAME)


@pytest.fixture
def home(tmp_path: Path) -> Stores:
    return revived(KEPT[-1], tmp_path)


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.name.partition(".")[0])
def test_a_project_of_every_format_is_gone_on_with(kept: Path, tmp_path: Path) -> None:
    opened = revived(kept, tmp_path)
    place = opened.settings.home
    champion = opened.ledger.champion(NAME)
    assert champion is not None
    folder = opened.bundle_folder(champion.version_to)
    bundle.check_golden(bundle.load_bundle(folder, digest=champion.digest), folder)
    opened.check_scorer(champion.version_to, bundle.certificate(folder).scorer)
    rows, expected = bundle.golden(folder)
    with quiet():
        import mlflow

        answered = mlflow.pyfunc.load_model(str(folder.parents[1])).predict(rows.to_pandas())
    assert parity.disagreement(expected, answered) == ""
    with duckdb.connect() as con:
        assert con.sql(f"SELECT count(*) FROM {opened.tables.relation('predictions')}").fetchall() == [(20,)]
    shutil.copy(place / "data" / "inbox" / NAME / "new.csv", place / "again.csv")
    text = (place / "again.csv").read_text().replace("\n2", "\n7")
    (place / "data" / "inbox" / NAME / "newer.csv").write_text(text)
    result = score.run_score(opened.settings, load_config(place / "pipelines" / f"{NAME}.toml"))
    assert [one.rows for one in result.batches] == [20]


def test_a_ledger_without_a_format_gets_what_it_lacks(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'treadle.db'}")
    assert ledger.lease("shop", "train") is None
    with closing(sqlite3.connect(tmp_path / "treadle.db")) as con:
        con.executescript("DROP TABLE format; DROP TABLE leases")
    assert Ledger(ledger.url).lease("shop", "train") is None
    with closing(sqlite3.connect(tmp_path / "treadle.db")) as con:
        assert con.execute("SELECT format FROM format").fetchall() == [(FORMAT,)]


def test_what_receivers_were_notified_of_is_remembered_from_format_1(tmp_path: Path) -> None:
    ledger, case = Ledger(f"sqlite:///{tmp_path / 'treadle.db'}"), Case("failed", "train")
    ledger.note_notified("shop", "MAIL", News(frozenset({case}), frozenset()))
    with closing(sqlite3.connect(tmp_path / "treadle.db")) as con:
        con.executescript("ALTER TABLE notified RENAME TO told; UPDATE format SET format = 1")
    assert Ledger(ledger.url).notified("shop", "MAIL") == {case}
    with closing(sqlite3.connect(tmp_path / "treadle.db")) as con:
        assert con.execute("SELECT format FROM format").fetchall() == [(FORMAT,)]


def test_a_newer_ledger_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "treadle.db"
    Ledger(f"sqlite:///{file}").history("shop")
    with closing(sqlite3.connect(file)) as con:
        con.executescript(f"UPDATE format SET format = {FORMAT + 1}; DROP TABLE leases")
    refusal = rf"treadle.db is of format {FORMAT + 1}, made by a newer treadle; .* knows format {FORMAT}"
    with pytest.raises(NewerFormat, match=refusal):
        Ledger(f"sqlite:///{file}").history("shop")
    with closing(sqlite3.connect(file)) as con:
        assert con.execute("SELECT count(*) FROM sqlite_master WHERE name = 'leases'").fetchone() == (0,)


def test_a_newer_table_is_refused(home: Stores) -> None:
    assert home.tables.version("rows") >= 0
    table = DeltaTable(f"{home.settings.tables_root}/{NAME}/rows")
    assert table.metadata().configuration == {"treadle.format": "1"}
    table.alter.set_table_properties({"treadle.format": "2"}, raise_if_not_exists=False)
    with pytest.raises(NewerFormat, match="rows is of format 2"):
        home.tables.version("rows")


def test_a_newer_bundle_is_refused_whatever_else_it_holds(home: Stores) -> None:
    folder = home.bundle_folder(1)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 3, "signature": "abc"}))
    with pytest.raises(NewerFormat, match="bundle is of format 3") as refused:
        bundle.load_bundle(folder)
    assert refused.value.exit_code == 2
