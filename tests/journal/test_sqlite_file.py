import asyncio
import json
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from engine.domain.history import History
from engine.domain.ports import Committed, Recorded
from engine.domain.values import OrderState, SessionName
from engine.journal import JournalCorrupt, JournalUnsupported
from engine.journal.sqlite import SqliteJournal
from engine.journal.sqlite_file import check_kind, has_sessions, verify_chain
from engine.journal.verify import Head
from tests.journal.contract import replayed
from tests.journal.samples import append, attempt, entry

GOLDEN: Final = Path(__file__).with_name("golden") / "schema1.jsonl"
"""The records of a journal that the version before sessions wrote, a line each."""

SCHEMA_1: Final = """
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    head_seq INTEGER NOT NULL,
    head_hash BLOB NOT NULL
);
CREATE TABLE records (
    seq INTEGER PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    type TEXT NOT NULL,
    account TEXT,
    order_id TEXT,
    body BLOB NOT NULL,
    prev_hash BLOB NOT NULL,
    hash BLOB NOT NULL
);
PRAGMA application_id = 1163414092;
PRAGMA user_version = 1;
"""


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def golden() -> list[dict[str, Any]]:
    return [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]


def schema_1(path: Path) -> Path:
    """Make a journal as the version before sessions left it."""
    rows = [
        (
            one["seq"],
            one["at_ns"],
            one["epoch"],
            one["type"],
            one["account"],
            one["order_id"],
            one["body"].encode(),
            bytes.fromhex(one["prev_hash"]),
            bytes.fromhex(one["hash"]),
        )
        for one in golden()
    ]
    with database(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA_1)
        connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("INSERT INTO meta VALUES (1, 2, ?, ?)", (rows[-1][0], rows[-1][-1]))
    return path


def opened(path: Path) -> SqliteJournal:
    return SqliteJournal.open(path, reserve_bytes=4096)


async def read_all(path: Path) -> list[Recorded]:
    journal = opened(path)
    try:
        return await replayed(journal)
    finally:
        await journal.close()


def test_a_journal_of_the_schema_before_is_upgraded_and_a_copy_is_kept(tmp_path: Path) -> None:
    path, copy = schema_1(tmp_path / "journal.db"), tmp_path / "journal.db.v1"

    async def work() -> None:
        journal = opened(path)
        assert journal.epoch == 3
        one = replace(entry(attempt(9)), session=SessionName("main"))
        assert await append(journal, one, entry(attempt(9))) == [
            Committed(seq=len(golden()) + 1),
            Committed(seq=len(golden()) + 2),
        ]
        await journal.close()

    asyncio.run(work())
    records = asyncio.run(read_all(path))

    assert [one.entry.session for one in records] == [None] * len(golden()) + ["main", None]
    with database(path) as connection, database(copy) as before:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert before.execute("PRAGMA user_version").fetchone() == (1,)
        assert (
            before.execute("SELECT hash FROM records ORDER BY seq").fetchall()
            == (connection.execute("SELECT hash FROM records ORDER BY seq").fetchall()[:-2])
        )
        assert verify_chain(before, copy).epoch == 2
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(file.name for file in tmp_path.glob("journal.db.v1*")) == ["journal.db.v1"]


def test_the_records_of_the_schema_before_make_the_same_orders_as_ever(tmp_path: Path) -> None:
    history = History()

    for recorded in asyncio.run(read_all(schema_1(tmp_path / "journal.db"))):
        history.apply(recorded)

    views = [order.view(seq) for order, seq in history.live()]
    assert [(view.order_id, view.state, view.seq) for view in views] == [
        ("1-1", OrderState.FILLED, 9),
        ("1-2", OrderState.REJECTED, 14),
        ("1-3", OrderState.DENIED, 15),
        ("1-4", OrderState.PARKED, 25),
        ("1-5", OrderState.ACCEPTED, 31),
    ]
    assert (views[0].filled_quantity, views[4].quantity) == (Decimal(100), Decimal(50))
    assert views[4].limit_price == Decimal(189)
    assert views[3].pending == "cancel"
    assert (history.halts, list(history.guards)) == ({}, ["main"])
    assert len(history.externals) == 1


def test_an_upgrade_that_was_cut_off_before_it_was_done_begins_again(tmp_path: Path) -> None:
    path = schema_1(tmp_path / "journal.db")
    (tmp_path / "journal.db.v1.draft").write_bytes(b"half of a copy")
    (tmp_path / "journal.db.v1").write_bytes(b"of an earlier try")

    records = asyncio.run(read_all(path))

    assert len(records) == len(golden())
    with database(tmp_path / "journal.db.v1") as copy:
        assert check_kind(copy, path) == 1
        assert not has_sessions(copy)


def test_what_is_damaged_stays_damaged_when_it_is_upgraded(tmp_path: Path) -> None:
    path = schema_1(tmp_path / "journal.db")
    with database(path) as connection:
        connection.execute("UPDATE records SET account = 'DU9' WHERE seq = 4")

    with pytest.raises(JournalCorrupt, match="record 4 is damaged"):
        opened(path)
    with pytest.raises(JournalCorrupt, match="record 4 is damaged"):
        opened(path)


def test_a_session_can_neither_be_added_to_a_record_nor_taken_away(tmp_path: Path) -> None:
    path = schema_1(tmp_path / "journal.db")
    asyncio.run(read_all(path))
    with database(path) as connection:
        connection.execute("UPDATE records SET session = 'main' WHERE seq = 5")

    with pytest.raises(JournalCorrupt, match="record 5 is damaged: its hash does not match"):
        opened(path)


def test_a_chain_can_be_checked_from_a_known_record_on(tmp_path: Path) -> None:
    path = schema_1(tmp_path / "journal.db")
    seven = golden()[6]
    start = Head(seq=7, hash=bytes.fromhex(seven["hash"]), epoch=1)

    with database(path) as connection:
        head = verify_chain(connection, path, start)
        connection.execute("UPDATE records SET body = x'00' WHERE seq = 3")
        again = verify_chain(connection, path, start)

    assert head == again
    assert (head.seq, head.hash.hex(), head.epoch) == (31, golden()[-1]["hash"], 2)


def test_only_the_schemas_that_this_version_reads_are_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with database(path) as connection:
        connection.executescript("PRAGMA application_id = 1163414092; PRAGMA user_version = 3;")

        with pytest.raises(JournalUnsupported) as caught:
            check_kind(connection, path)

    assert str(caught.value) == (
        f"{path}: has the schema 3, this version of the engine reads 1 to 2"
    )
