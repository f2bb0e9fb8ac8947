from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, BrokenBarrierError
from typing import TYPE_CHECKING

import pytest

from tests import postgres
from treadle.infra.databases import engines
from treadle.infra.databases.ledger import (
    BatchRecord,
    LabelRecord,
    Ledger,
    Promotion,
    QuarantineDecision,
    VersionRecord,
    records,
    retirements,
)
from treadle.tasks.alerts import Case, News
from treadle.tasks.errors import Conflict, ServiceError, TreadleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import sqlalchemy as sa

NOON = datetime(2013, 9, 1, 12, tzinfo=UTC)
BATCH = BatchRecord(
    pipeline="shop",
    batch_id="a" * 16,
    sha256="a" * 64,
    label="2013-09.csv",
    status="accepted",
    contract="c1",
    rows_in=10,
    accepted=7,
    quarantined=2,
    duplicates=1,
    equal_rows=0,
    labelled=7,
    reason="",
    validation="{}",
    at=NOON,
)
VERSION = VersionRecord(
    pipeline="shop",
    version=1,
    run_key="k1",
    run_id="r1",
    decision="PROMOTE",
    headline="better by 0.1",
    metric="roc_auc",
    value=0.8,
    champion_value=0.5,
    against=None,
    data_version="rows@3",
    bundle="mlruns/artifacts/shop/1",
    digest="d1",
    result="{}",
    created_at=NOON,
)


LABELS = LabelRecord(
    pipeline="shop",
    batch_id="labels-" + "a" * 16,
    sha256="a" * 64,
    label="labels.csv",
    status="accepted",
    contract="c1",
    labels_in=6,
    new=1,
    revised=1,
    repeated=1,
    outdated=1,
    orphan=1,
    empty=0,
    quarantined=1,
    reason="",
    at=NOON,
)
DECISION = QuarantineDecision(
    pipeline="shop",
    seq=0,
    batch_id="a" * 16,
    action="release",
    reason="they are right",
    who="me@here",
    at=NOON,
    rows=0,
    left=0,
    into="b",
    pending=True,
)


@pytest.fixture(params=postgres.BACKENDS)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return Ledger(postgres.url(request, request.param, tmp_path / "mlruns" / "treadle.db"))


def promote(ledger: Ledger, expected: int | None, to: int, pipeline: str = "shop") -> Promotion:
    return ledger.promote(
        pipeline, expected=expected, to=to, verdict="PROMOTE", reason="better", who="me@here", bundle="b", digest="d"
    )


def test_one_content_may_be_rows_and_labels(ledger: Ledger) -> None:
    ledger.record_batch(LABELS)
    assert ledger.find_batch("shop", "a" * 64) is None
    ledger.record_batch(BATCH)
    ledger.record_batch(replace(LABELS, new=2))
    assert ledger.find_label_batch("shop", "a" * 64) == replace(LABELS, new=2)
    assert (ledger.batches("shop"), ledger.label_batches("shop")) == ((BATCH,), (replace(LABELS, new=2),))


def test_decisions_are_numbered_and_a_pending_one_is_completed_once(ledger: Ledger) -> None:
    first = ledger.decide(DECISION)
    second = ledger.decide(replace(DECISION, action="drop", pending=False, rows=3))
    assert (first.seq, second.seq) == (1, 2)
    ledger.decided(replace(first, rows=7, left=2))
    ledger.decided(replace(first, rows=0, left=9))
    ledger.decided(replace(second, rows=0))
    assert ledger.decisions("shop") == (replace(first, rows=7, left=2, pending=False), second)
    assert ledger.decisions("other") == ()


def test_a_batch_is_declared_to_correct_once_and_for_its_pipeline(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.declare_correction("shop", "b1")
    ledger.declare_correction("shop", "b2")
    assert (ledger.corrections("shop"), ledger.corrections("bakery")) == ({"b1", "b2"}, set())


def test_a_ledger_of_an_earlier_version_gets_the_tables_that_it_lacks(ledger: Ledger) -> None:
    ledger.record_batch(BATCH)
    with engines.make_engine(ledger.url).begin() as con:
        con.exec_driver_sql("DROP TABLE decisions")
        con.exec_driver_sql("DROP TABLE label_batches")
        con.exec_driver_sql("DROP TABLE corrections")
    again = Ledger(ledger.url)
    assert again.decide(DECISION).seq == 1
    assert again.label_batches("shop") == ()
    assert again.corrections("shop") == set()
    assert again.batches("shop") == (BATCH,)


@pytest.mark.parametrize("written", ['{"against": 4}', '{"against": null}', '{"decision": "KEEP"}', ""])
def test_versions_of_an_earlier_format_keep_the_champion_that_they_were_judged_against(
    ledger: Ledger, written: str
) -> None:
    ledger.add_version(replace(VERSION, result=written))
    with engines.make_engine(ledger.url).begin() as con:
        con.exec_driver_sql("ALTER TABLE versions DROP COLUMN against")
        con.exec_driver_sql("UPDATE format SET format = 2")
    again = Ledger(ledger.url)
    against = 4 if "4" in written else None
    assert again.versions("shop") == (replace(VERSION, result=written, against=against),)
    later = replace(VERSION, version=2, run_key="k2", against=1)
    assert again.add_version(later) == again.version("shop", 2) == later
    with engines.make_engine(ledger.url).begin() as con:
        assert con.exec_driver_sql("SELECT max(format) FROM format").scalar() == records.FORMAT


def test_what_a_receiver_was_told_is_noted_until_it_is_over(ledger: Ledger) -> None:
    one, other = Case("failed", "train 1"), Case("quarantine", "a" * 64)
    for _ in range(2):
        ledger.note_notified("shop", "MAIL", News(frozenset({one, other}), frozenset()))
    assert ledger.notified("shop", "MAIL") == {one, other}
    assert ledger.notified("shop", "CHAT") == ledger.notified("bakery", "MAIL") == set()
    ledger.note_notified("shop", "MAIL", News(frozenset(), frozenset({one})))
    assert ledger.notified("shop", "MAIL") == {other}
    together = Barrier(4)

    def tell(_: int) -> None:
        together.wait()
        ledger.note_notified("shop", "CHAT", News(frozenset({one}), frozenset()))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tell, range(4)))
    assert ledger.notified("shop", "CHAT") == {one}


def test_an_empty_ledger_answers(ledger: Ledger) -> None:
    assert ledger.find_batch("shop", "a" * 64) is None
    assert ledger.batches("shop") == ledger.versions("shop") == ledger.history("shop") == ledger.pending("shop") == ()
    assert ledger.version("shop", 1) is ledger.by_run("shop", "k1") is ledger.champion("shop") is None


def test_batches_come_back_as_they_were_noted_and_are_replaced_by_their_content(ledger: Ledger) -> None:
    ledger.record_batch(BATCH)
    ledger.record_batch(replace(BATCH, status="refused", reason="too many bad rows"))
    ledger.record_batch(replace(BATCH, sha256="b" * 64, at=NOON - timedelta(days=1)))
    assert ledger.find_batch("shop", "a" * 64) == replace(BATCH, status="refused", reason="too many bad rows")
    assert [batch.sha256[0] for batch in ledger.batches("shop")] == ["b", "a"]


def test_pipelines_do_not_see_each_other(ledger: Ledger) -> None:
    ledger.record_batch(BATCH)
    ledger.add_version(VERSION)
    promote(ledger, None, 1)
    assert ledger.find_batch("other", BATCH.sha256) is ledger.version("other", 1) is ledger.champion("other") is None
    assert promote(ledger, None, 1, "other").seq == 1


def test_a_run_has_one_version_however_often_it_is_noted(ledger: Ledger) -> None:
    assert ledger.add_version(VERSION) == VERSION
    assert ledger.add_version(replace(VERSION, version=2, headline="again")) == VERSION
    assert ledger.versions("shop") == (VERSION,)
    assert ledger.by_run("shop", "k1") == ledger.version("shop", 1) == VERSION


def test_the_run_of_prefects_is_known_in_which_a_batch_was_settled_and_a_version_judged(ledger: Ledger) -> None:
    ledger.record_batch(BATCH, "r1")
    ledger.record_batch(BATCH, "r2")
    ledger.add_version(VERSION, "r3")
    ledger.add_version(VERSION, "r4")
    assert ledger.origins("shop") == {BATCH.batch_id: "r2", "version 1": "r3"}
    ledger.record_batch(BATCH)
    assert ledger.origins("shop") == {"version 1": "r3"}
    assert ledger.origins("other") == {}


def test_a_version_of_another_run_is_a_conflict(ledger: Ledger) -> None:
    ledger.add_version(VERSION)
    with pytest.raises(Conflict, match="version 1 of shop"):
        ledger.add_version(replace(VERSION, run_key="k2"))


def test_versions_are_listed_newest_first(ledger: Ledger) -> None:
    ledger.add_version(VERSION)
    ledger.add_version(replace(VERSION, version=2, run_key="k2"))
    assert [one.version for one in ledger.versions("shop")] == [2, 1]


def test_the_champion_moves_only_from_where_it_was_believed_to_be(ledger: Ledger) -> None:
    promote(ledger, None, 1)
    for expected, to in ((None, 2), (2, 3)):
        with pytest.raises(Conflict, match="version 1 by now"):
            promote(ledger, expected, to)
    promote(ledger, 1, 2)
    promote(ledger, 2, 1)  # and back
    assert [(move.seq, move.version_from, move.version_to) for move in ledger.history("shop")] == [
        (3, 2, 1),
        (2, 1, 2),
        (1, None, 1),
    ]
    champion = ledger.champion("shop")
    assert champion is not None
    assert (champion.version_to, champion.who, champion.pending) == (1, "me@here", True)


@pytest.mark.parametrize("first", [True, False], ids=["nobody yet", "a champion before"])
def test_of_twenty_who_promote_at_once_one_wins(ledger: Ledger, first: bool) -> None:
    expected = None if first else promote(ledger, None, 99).version_to
    together = Barrier(20)

    def attempt(version: int) -> int:
        together.wait()
        try:
            return promote(Ledger(ledger.url), expected, version).version_to
        except Conflict:
            return 0

    with ThreadPoolExecutor(20) as pool:
        won = [version for version in pool.map(attempt, range(1, 21)) if version]
    champion = ledger.champion("shop")
    assert champion is not None
    assert won == [champion.version_to]
    assert len(ledger.history("shop")) == (1 if first else 2)


def test_what_is_promoted_and_retired_at_once_becomes_one_of_both(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have written before either checks, where nothing holds the second one up."""
    together, check = Barrier(2), retirements.check_not_champion

    def late(con: sa.Connection, pipeline: str, version: int) -> None:
        with suppress(BrokenBarrierError):
            together.wait(1)
        check(con, pipeline, version)

    monkeypatch.setattr(retirements, "check_not_champion", late)
    assert ledger.champion("shop") is None

    def attempt(act: Callable[[], object]) -> int:
        try:
            act()
        except Conflict:
            return 0
        return 1

    with ThreadPoolExecutor(2) as pool:
        won = list(pool.map(attempt, (lambda: promote(ledger, None, 1), lambda: ledger.retire("shop", 1))))
    assert sum(won) == 1
    assert (len(ledger.history("shop")), len(ledger.retired("shop"))) == tuple(won)


def test_a_move_is_pending_until_it_is_complete_and_a_later_one_replaces_it(ledger: Ledger) -> None:
    one = promote(ledger, None, 1)
    two = promote(ledger, 1, 2)
    assert ledger.pending("shop") == (two,)
    ledger.complete("shop", two.seq)
    assert ledger.pending("shop") == ()
    assert ledger.history("shop") == (replace(two, pending=False), replace(one, pending=False))


def test_completing_an_old_move_does_not_complete_a_newer_one(ledger: Ledger) -> None:
    one = promote(ledger, None, 1)
    two = promote(ledger, 1, 2)
    ledger.complete("shop", one.seq)
    assert ledger.pending("shop") == (two,)


def test_reads_of_a_holdout_are_counted_once_a_run(ledger: Ledger) -> None:
    reads = [("h1", "k1"), ("h1", "k1"), ("h1", "k2"), ("h2", "k1"), ("h1", "k1")]
    assert [ledger.read_holdout("shop", holdout, key) for holdout, key in reads] == [1, 1, 2, 1, 2]


def test_many_writers_wait_for_each_other(ledger: Ledger) -> None:
    def note(number: int) -> None:
        Ledger(ledger.url).record_batch(replace(BATCH, sha256=f"{number:064}"))

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(note, range(50)))
    assert len(ledger.batches("shop")) == 50


def test_a_reader_is_not_held_up_by_a_writer(ledger: Ledger) -> None:
    ledger.record_batch(BATCH)
    with engines.make_engine(ledger.url).connect() as writer:
        writer.exec_driver_sql("UPDATE batches SET status = 'refused'")
        assert ledger.find_batch("shop", BATCH.sha256) == BATCH
        writer.rollback()


def test_of_many_who_open_a_new_ledger_at_once_each_can_write(ledger: Ledger) -> None:
    together = Barrier(8)

    def note(number: int) -> None:
        together.wait()
        Ledger(ledger.url).record_batch(replace(BATCH, sha256=f"{number:064}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(note, range(8)))
    assert len(ledger.batches("shop")) == 8


def test_a_damaged_ledger_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "treadle.db").write_bytes(b"not a database, but long enough to be taken for one" * 40)
    with pytest.raises(ServiceError, match="the ledger at sqlite"):
        Ledger(f"sqlite:///{tmp_path / 'treadle.db'}").batches("shop")


@pytest.mark.parametrize("url", ["postgresql://me:hunter2@127.0.0.1:1/db", "nosuch://me:hunter2@host/db", "me:hunter2"])
def test_a_url_that_leads_nowhere_is_one_clear_error_without_its_password(url: str) -> None:
    with pytest.raises(TreadleError) as caught:
        Ledger(url).batches("shop")
    assert "hunter2" not in str(caught.value)
