import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from engine.config.strict_yaml import ConfigError
from engine.domain.messages import EngineStarted
from engine.domain.ports import Journal, Snapshot
from engine.domain.values import AccountId, SessionName
from engine.journal import JournalCorrupt, JournalError, JournalUnsupported, open_journal
from engine.journal.batch import Row
from engine.journal.codec import encode
from engine.journal.reading import JournalReader, Wanted, open_reader
from engine.journal.verify import Chain, Head
from tests.journal.postgres import PostgresServer
from tests.journal.samples import ACCOUNT, acknowledged, append, attempt, entry, submit

SHARD = "0001"
OTHER = AccountId("DU2222222")
ENTRIES = [
    entry(EngineStarted(version="1.0", mode="paper")),
    replace(entry(submit(1)), session=SessionName("main")),
    entry(attempt(1)),
    replace(entry(submit(2)), account=OTHER),
    entry(acknowledged(1)),
    replace(entry(attempt(2)), account=OTHER),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A journal of `ENTRIES`, and how to damage it."""

    url: str
    folder: Path
    where: str
    execute: Callable[[str], None]


async def fill(url: str, folder: Path) -> None:
    journal = await open_journal(url, state_dir=folder, shard=SHARD)
    try:
        await append(journal, *ENTRIES)
    finally:
        await journal.close()


@pytest.fixture(params=["sqlite", "postgres"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    if request.param == "sqlite":
        file = tmp_path / "journal.db"

        def execute(statement: str) -> None:
            with closing(sqlite3.connect(file, isolation_level=None)) as connection:
                connection.execute(statement.replace("engine_journal.", ""))

        url, where = "sqlite:///journal.db", str(file)
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        database: str = request.getfixturevalue("database")

        def execute(statement: str) -> None:
            asyncio.run(server.run(statement, database=database))

        url = server.url(database)
        where = f"{url}, shard {SHARD}"
    asyncio.run(fill(url, tmp_path))
    return Made(url=url, folder=tmp_path, where=where, execute=execute)


def reading(made: Made, work: Callable[[JournalReader], Awaitable[None]]) -> None:
    async def run() -> None:
        reader = await open_reader(made.url, state_dir=made.folder, shard=SHARD)
        try:
            await work(reader)
        finally:
            await reader.close()

    asyncio.run(run())


def seqs(rows: object) -> list[int]:
    assert isinstance(rows, list)
    return [row[0] for row in rows]


async def everything(reader: JournalReader, *, until_seq: int = 6) -> list[Row]:
    return [row async for rows in reader.pages(after_seq=0, until_seq=until_seq) for row in rows]


def test_all_records_are_read_whole_and_their_chain_holds(made: Made) -> None:
    async def work(reader: JournalReader) -> None:
        chain = Chain(reader.where)
        for row in await everything(reader):
            chain.follow(row)

        assert reader.where == made.where
        assert chain.head == await reader.head() == await reader.verify()
        assert [row[7] for row in await everything(reader)] == [
            encode(one.message) for one in ENTRIES
        ]
        assert seqs(await everything(reader, until_seq=3)) == [1, 2, 3]

    reading(made, work)


def test_records_are_found_by_order_account_type_and_place(made: Made) -> None:
    order, account = ENTRIES[1].order_id, OTHER

    async def work(reader: JournalReader) -> None:
        async def found(**wanted: object) -> list[int]:
            return seqs(await reader.find(Wanted(**wanted)))  # type: ignore[arg-type]  # a table

        assert await found() == [1, 2, 3, 4, 5, 6]
        assert await found(order_id=order) == [2, 3, 5]
        assert await found(account=account) == [4, 6]
        assert await found(account=ACCOUNT, types=("ATTEMPT",)) == [3]
        assert await found(types=("INTENT", "ATTEMPT")) == [2, 3, 4, 6]
        assert await found(limit=2) == [5, 6]
        assert await found(from_seq=2, limit=2) == [2, 3]
        assert await found(order_id=order, from_seq=3) == [3, 5]
        assert await found(order_id="none") == []

    reading(made, work)


def test_a_session_is_read_where_there_is_one(made: Made) -> None:
    async def work(reader: JournalReader) -> None:
        assert [row[6] for row in await everything(reader, until_seq=3)] == [None, "main", None]

    reading(made, work)


def test_a_journal_is_read_beside_the_engine_that_writes_it(made: Made) -> None:
    async def run() -> None:
        journal = await open_journal(made.url, state_dir=made.folder, shard=SHARD)
        reader = await open_reader(made.url, state_dir=made.folder, shard=SHARD)
        try:
            before = await reader.verify()
            writing = asyncio.create_task(
                append(journal, *(entry(attempt(number)) for number in range(1, 501)))
            )
            while not writing.done():
                found = await reader.verify()
                assert 6 <= found.seq <= 506
                await asyncio.sleep(0)
            after = await reader.verify()
        finally:
            await reader.close()
            await journal.close()

        assert (before.seq, before.epoch) == (6, 2)
        assert (after.seq, after.epoch) == (506, 2)
        assert journal.epoch == 2

    asyncio.run(run())


DAMAGES = [
    ("UPDATE engine_journal.records SET account = 'DU9' WHERE seq = 3", 3,
     "its hash does not match its content"),
    ("DELETE FROM engine_journal.records WHERE seq = 2", 2, "it is missing, the next is 3"),
    ("DELETE FROM engine_journal.records WHERE seq = 6", 6,
     "the journal ended with record 6 when it was last written"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "seq", "problem"), DAMAGES)
def test_verifying_names_the_first_damaged_record(
    made: Made, damage: str, seq: int, problem: str
) -> None:
    made.execute(damage)

    async def work(reader: JournalReader) -> None:
        with pytest.raises(JournalCorrupt) as caught:
            await reader.verify()
        assert str(caught.value).startswith(f"{made.where}: record {seq} is damaged: {problem}. ")

    reading(made, work)


def test_the_newest_snapshot_is_found(made: Made) -> None:
    async def save() -> None:
        journal: Journal = await open_journal(made.url, state_dir=made.folder, shard=SHARD)
        await journal.save_snapshot(Snapshot(seq=4, body=b"four"))
        await journal.close()  # type: ignore[attr-defined]  # the port leaves that to its maker

    async def none(reader: JournalReader) -> None:
        assert await reader.snapshot() is None

    async def one(reader: JournalReader) -> None:
        found = await reader.snapshot()
        assert found is not None
        assert (found.seq, found.body) == (4, b"four")

    reading(made, none)
    asyncio.run(save())
    reading(made, one)


def test_what_is_no_journal_is_refused_by_name(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    empty = tmp_path / "other.db"
    with closing(sqlite3.connect(empty)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    (tmp_path / "text.db").write_text("no database at all, but long enough to be looked at" * 20)
    url = postgres.url(database)

    def problem(place: str, kind: type[Exception]) -> str:
        with pytest.raises(kind) as caught:
            asyncio.run(open_reader(place, state_dir=tmp_path, shard="0002"))
        return str(caught.value)

    assert problem("sqlite:///none.db", JournalError) == f"{tmp_path}/none.db: there is no journal"
    assert not (tmp_path / "none.db").exists()
    assert "is a database, but no journal" in problem("sqlite:///other.db", JournalUnsupported)
    assert "file is not a database" in problem("sqlite:///text.db", JournalError)
    assert "has no journal of this engine" in problem(url, JournalUnsupported)
    asyncio.run(fill(url, tmp_path))
    assert problem(url, JournalError) == (
        f"{url}, shard 0002: there is no such shard, the database has 0001"
    )
    assert "needs sqlite:/// and a path" in problem("file.db", ConfigError)


def test_reading_changes_nothing_in_the_database(made: Made) -> None:
    async def look(reader: JournalReader) -> None:
        heads.append(await reader.verify())

    heads: list[Head] = []
    reading(made, look)
    reading(made, look)

    assert heads[0] == heads[1]
    assert heads[0].epoch == 1
