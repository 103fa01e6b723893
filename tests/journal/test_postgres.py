import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from engine import metrics
from engine.domain.messages import NoticeSeen
from engine.domain.ports import Committed, NotCommitted, Snapshot
from engine.domain.values import AccountId, SessionName, make_order_id
from engine.journal import (
    JournalCorrupt,
    JournalError,
    JournalLocked,
    JournalUnsupported,
    PostgresJournal,
)
from engine.journal import postgres_server as server_module
from engine.journal.batch import chain_rows, prepare
from engine.journal.postgres_server import connect
from engine.journal.postgres_shard import Shard
from engine.journal.reading import open_reader
from tests.journal.contract import JournalContract
from tests.journal.postgres import PostgresServer, running_server
from tests.journal.proxy import Proxy, proxy_to
from tests.journal.samples import append, attempt, entry, submit

SHARD = "0001"


@asynccontextmanager
async def opened(url: str, *, shard: str = SHARD) -> AsyncIterator[PostgresJournal]:
    journal = await PostgresJournal.open(url, shard=shard)
    try:
        yield journal
    finally:
        await journal.close()


async def fill(url: str, records: int) -> None:
    async with opened(url) as journal:
        await append(journal, *(entry(attempt(number)) for number in range(1, records + 1)))


async def seqs(server: PostgresServer, database: str) -> list[int]:
    rows = await server.run(
        "SELECT seq FROM engine_journal.records ORDER BY seq", database=database
    )
    return [row["seq"] for row in rows]


def refused_with(answers: list[Committed | NotCommitted]) -> list[tuple[str, str]]:
    reasons = [answer.reason for answer in answers if isinstance(answer, NotCommitted)]
    assert len(reasons) == len(answers)
    return [(reason.code, reason.message) for reason in reasons]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what has no event."""
    while not condition():  # noqa: ASYNC110 - as the docstring says
        await asyncio.sleep(0.001)


class PlaceInDatabase:
    """Where the contract's tests find a journal."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self._server = server
        self._database = database

    async def open(self) -> PostgresJournal:
        return await PostgresJournal.open(self._server.url(self._database), shard=SHARD)

    def change(self, seq: int, column: str, value: object) -> None:
        shown = f"'\\x{value.hex()}'" if isinstance(value, bytes) else f"'{value}'"
        self._run(f"UPDATE engine_journal.records SET {column} = {shown} WHERE seq = {seq}")

    def remove(self, seq: int) -> None:
        self._run(f"DELETE FROM engine_journal.records WHERE seq = {seq}")

    def spoil_snapshot(self) -> None:
        self._run(
            "UPDATE engine_journal.snapshots SET sealed ="
            " set_byte(sealed, length(sealed) - 1, get_byte(sealed, length(sealed) - 1) # 1)"
            " WHERE seq = (SELECT max(seq) FROM engine_journal.snapshots)"
        )

    def snapshots(self) -> int:
        [row] = self._run("SELECT count(*) FROM engine_journal.snapshots")
        return int(row[0])

    def _run(self, statement: str) -> list[asyncpg.Record]:
        def run() -> list[asyncpg.Record]:
            return asyncio.run(self._server.run(statement, database=self._database))

        with ThreadPoolExecutor(1) as elsewhere:  # a loop may run here already
            return elsewhere.submit(run).result()


class TestPostgres(JournalContract):
    @pytest.fixture
    def place(self, postgres: PostgresServer, database: str) -> PlaceInDatabase:
        return PlaceInDatabase(postgres, database)

    @pytest.fixture(autouse=True)
    def _lock_is_not_waited_for_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server_module, "_LOCK_S_MAX", 0.5)


# --- what server is good enough ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        ("fsync", "off", "on"),
        ("full_page_writes", "off", "on"),
        ("synchronous_commit", "off", "on or remote_apply"),
        ("synchronous_commit", "local", "on or remote_apply"),
        ("synchronous_commit", "remote_write", "on or remote_apply"),
    ],
)
def test_a_server_that_may_lose_what_it_committed_is_refused(
    postgres: PostgresServer, database: str, name: str, value: str, needed: str
) -> None:
    url = postgres.url(database)

    async def run() -> None:
        await postgres.reload(**{name: value})
        try:
            with pytest.raises(JournalUnsupported) as caught:
                await PostgresJournal.open(url, shard=SHARD)
        finally:
            await postgres.reload(**{name: None})
        assert str(caught.value) == f"{url}: has {name} = {value}, the journal needs {needed}"
        await fill(url, 1)

    asyncio.run(run())


def test_a_database_whose_sessions_commit_without_waiting_is_refused(
    postgres: PostgresServer, database: str
) -> None:
    async def run() -> None:
        await postgres.run(f"ALTER DATABASE {database} SET synchronous_commit = off")
        with pytest.raises(JournalUnsupported, match="has synchronous_commit = off, the journal"):
            await PostgresJournal.open(postgres.url(database), shard=SHARD)

    asyncio.run(run())


def test_a_database_that_cannot_hold_every_text_is_refused(postgres: PostgresServer) -> None:
    async def run() -> None:
        await postgres.run(
            "CREATE DATABASE western ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
        )
        with pytest.raises(JournalUnsupported, match="has server_encoding = LATIN1, the journal"):
            await PostgresJournal.open(postgres.url("western"), shard=SHARD)

    asyncio.run(run())


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_a_server_that_is_weakened_later_gets_no_record_any_more(
    postgres: PostgresServer, database: str, name: str
) -> None:
    async def run() -> None:
        async with opened(postgres.url(database)) as journal:
            await append(journal, entry(attempt(1)))
            await postgres.reload(**{name: "off"})
            try:
                answers = await append(journal, entry(attempt(2)))
            finally:
                await postgres.reload(**{name: None})
            later = await append(journal, entry(attempt(3)))

        [(code, message)] = refused_with(answers)
        assert code == "JOURNAL_UNAVAILABLE"
        assert f"has {name} = off, the journal needs on" in message
        assert refused_with(later) == [(code, message)]  # for good
        assert await seqs(postgres, database) == [1]

    asyncio.run(run())


def test_commits_wait_for_the_disk_whatever_the_server_is_told_later(
    postgres: PostgresServer, database: str
) -> None:
    async def run() -> None:
        async with opened(postgres.url(database)) as journal:
            assert journal._connection is not None
            await postgres.reload(synchronous_commit="off")
            try:
                in_force = await journal._connection.fetchval("SHOW synchronous_commit")
            finally:
                await postgres.reload(synchronous_commit=None)
            assert in_force == "on"

    asyncio.run(run())


def test_a_server_that_is_weakened_is_refused_when_the_connection_is_made_again(
    postgres: PostgresServer, database: str
) -> None:
    async def run() -> None:
        async with through_proxy(postgres, database) as (journal, proxy):
            proxy.cut_requests = 1
            await postgres.run(f"ALTER DATABASE {database} SET synchronous_commit = off")
            [(code, message)] = refused_with(await append(journal, entry(attempt(2))))

        assert code == "JOURNAL_UNAVAILABLE"
        assert "has synchronous_commit = off, the journal needs on or remote_apply" in message

    asyncio.run(run())


def test_a_connection_pooler_is_refused(postgres: PostgresServer, database: str) -> None:
    async def run() -> None:
        async with proxy_to(postgres.socket) as proxy:
            proxy.process_id = b"\0\0\0\x01"
            with pytest.raises(JournalUnsupported, match="is behind a connection pooler, which"):
                await PostgresJournal.open(proxied(proxy, database), shard=SHARD)

    asyncio.run(run())


def make_standby(server: PostgresServer) -> None:
    server.stop()
    (server.folder / "data" / "standby.signal").touch()
    server.start(ready="database system is ready to accept read-only connections")


def test_a_standby_is_waited_for_until_it_is_promoted_and_can_be_read() -> None:
    with running_server() as server:
        make_standby(server)

        async def run() -> None:
            opening = asyncio.create_task(PostgresJournal.open(server.url(), shard=SHARD))
            await asyncio.sleep(0.2)  # it finds the standby; with less it only proves less
            assert not opening.done()
            await server.run("SELECT pg_promote()")
            journal = await opening
            assert await append(journal, entry(attempt(1))) == [Committed(seq=1)]
            await journal.close()

        async def look() -> None:
            reader = await open_reader(server.url(), state_dir=server.folder, shard=SHARD)
            assert (await reader.verify()).seq == 1
            await reader.close()

        asyncio.run(run())
        make_standby(server)
        asyncio.run(look())


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE engine_journal.about SET version = 2", "has the schema 2, this version of the"),
        ("DROP TABLE engine_journal.about", "has no journal of this engine"),
    ],
)
def test_tables_of_another_version_or_program_are_refused(
    postgres: PostgresServer, database: str, statement: str, problem: str
) -> None:
    async def run() -> None:
        await fill(postgres.url(database), 1)
        await postgres.run(statement, database=database)
        with pytest.raises(JournalUnsupported, match=problem):
            await PostgresJournal.open(postgres.url(database), shard=SHARD)

    asyncio.run(run())


def test_engines_that_start_at_once_on_a_new_database_make_the_tables_once(
    postgres: PostgresServer, database: str
) -> None:
    async def run() -> None:
        journals = await asyncio.gather(
            *(
                PostgresJournal.open(postgres.url(database), shard=shard)
                for shard in ("0001", "0002", "ZZZZ", "a long name")
            )
        )
        assert [journal.epoch for journal in journals] == [1, 1, 1, 1]
        for journal in journals:
            assert await append(journal, entry(attempt(1))) == [Committed(seq=1)]
            await journal.close()

    asyncio.run(run())


# --- who may write -------------------------------------------------------------------------


def test_two_engines_cannot_open_one_shard(
    postgres: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_LOCK_S_MAX", 0.0)
    url = postgres.url(database)

    async def run() -> None:
        async with opened(url) as journal:
            assert journal._connection is not None
            process_id = journal._connection.get_server_pid()
            with pytest.raises(JournalLocked) as caught:
                await PostgresJournal.open(url, shard=SHARD)
            assert str(caught.value) == (
                f"{url}, shard 0001: is locked by connection {process_id} from this machine; "
                "one journal serves one engine"
            )
            assert await append(journal, entry(attempt(1))) == [Committed(seq=1)]
        async with opened(url) as journal:
            assert (journal.epoch, journal.last_seq) == (2, 1)

    asyncio.run(run())


def test_an_engine_whose_lock_was_lost_is_kept_out_by_the_next_ones_epoch(
    postgres: PostgresServer, database: str
) -> None:
    url = postgres.url(database)

    async def run() -> None:
        async with opened(url) as old:
            await append(old, entry(attempt(1)))
            assert old._connection is not None
            await old._connection.execute("SELECT pg_advisory_unlock_all()")
            async with opened(url) as new:
                assert new.epoch == 2
                assert await append(new, entry(attempt(2))) == [Committed(seq=2)]
                answers = await append(old, entry(submit(3)), entry(attempt(3)))
                assert await append(new, entry(attempt(4))) == [Committed(seq=3)]

        problem = "the journal cannot be written: epoch 1 is over, another writer has the journal"
        assert refused_with(answers) == [("JOURNAL_UNAVAILABLE", problem)] * 2
        assert await seqs(postgres, database) == [1, 2, 3]

    asyncio.run(run())


def test_bytes_that_arrive_twice_or_late_add_nothing(
    postgres: PostgresServer, database: str
) -> None:
    async def run() -> None:
        url = postgres.url(database)
        await fill(url, 2)
        shard = Shard(url, SHARD)
        one, two = await connect(url, name="one"), await connect(url, name="two")
        try:
            head = await shard.settled_head(one)
            assert head is not None
            waiting = prepare(entry(attempt(3)), lambda _answer: None)
            assert not isinstance(waiting, NotCommitted)
            rows, next_head = chain_rows([waiting], head)

            both = await asyncio.gather(
                shard.insert(one, rows, head, next_head), shard.insert(two, rows, head, next_head)
            )
            late = await shard.insert(one, rows, head, next_head)

            assert (sorted(both), late) == ([False, True], False)
            assert await shard.settled_head(two) == next_head
            assert await shard.verify(one) == next_head
        finally:
            await one.close()
            await two.close()

    asyncio.run(run())


# --- lost connections ----------------------------------------------------------------------


def proxied(proxy: Proxy, database: str) -> str:
    return f"postgresql://engine@127.0.0.1:{proxy.port}/{database}?sslmode=disable"


@asynccontextmanager
async def through_proxy(
    server: PostgresServer, database: str
) -> AsyncIterator[tuple[PostgresJournal, Proxy]]:
    """A journal with its first record, so that the next request is the next commit."""
    async with proxy_to(server.socket) as proxy, opened(proxied(proxy, database)) as journal:
        await append(journal, entry(attempt(1)))
        yield journal, proxy


@pytest.mark.parametrize("lost", ["cut_requests", "cut_answers"])
def test_a_connection_that_is_cut_at_the_commit_loses_and_doubles_nothing(
    postgres: PostgresServer, database: str, lost: str
) -> None:
    async def run() -> None:
        async with through_proxy(postgres, database) as (journal, proxy):
            for round_number in range(3):
                setattr(proxy, lost, 1)
                answers = await append(journal, entry(submit(round_number)), entry(attempt(2)))
                first = 2 * round_number + 2
                assert answers == [Committed(seq=first), Committed(seq=first + 1)]
            assert proxy.connections == 4
            assert await append(journal, entry(attempt(9))) == [Committed(seq=8)]
            found = await journal.read(after_seq=0, limit=100)

        assert [event.seq for event in found] == list(range(1, 9))
        async with opened(postgres.url(database)) as again:  # the chain holds
            assert again.last_seq == 8

    asyncio.run(run())


def test_what_waits_meanwhile_is_committed_after_it_and_in_order(
    postgres: PostgresServer, database: str
) -> None:
    async def run() -> None:
        async with through_proxy(postgres, database) as (journal, proxy):
            proxy.cut_answers = 1
            proxy.refuses = True
            first = asyncio.create_task(append(journal, entry(attempt(2))))
            await until(lambda: proxy.connections == 3)  # it has tried again, in vain
            rest = asyncio.create_task(append(journal, entry(attempt(3)), entry(submit(4))))
            proxy.refuses = False

            assert await first == [Committed(seq=2)]
            assert await rest == [Committed(seq=3), Committed(seq=4)]

    asyncio.run(run())


def test_a_server_out_of_reach_for_too_long_ends_the_journal_for_good(
    postgres: PostgresServer, database: str
) -> None:
    async def run() -> None:
        async with through_proxy(postgres, database) as (journal, proxy):
            journal._patience_s = 0.3
            proxy.cut_requests = 1
            proxy.refuses = True
            answers = await append(journal, entry(submit(2)), entry(attempt(2)))
            proxy.refuses = False
            later = await append(journal, entry(attempt(3)))
            read = await journal.read(after_seq=0, limit=10)

        (code, message), second = refused_with(answers)
        assert code == "JOURNAL_UNAVAILABLE"
        assert message.startswith("the journal cannot be written: nothing helped for 0.3 s: ")
        assert second == (code, message)
        assert refused_with(later) == [(code, message)]
        assert [event.seq for event in read] == [1]
        assert metrics.REGISTRY.get_sample_value("engine_journal_failed") == 1

    asyncio.run(run())


def test_a_server_that_hangs_in_a_commit_is_left_and_asked_again(
    postgres: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_COMMAND_S_MAX", 0.2)

    async def run() -> None:
        async with opened(postgres.url(database)) as journal:
            await append(journal, entry(attempt(1)))
            assert journal._connection is not None
            process_id = journal._connection.get_server_pid()
            os.kill(process_id, signal.SIGSTOP)
            writing = asyncio.create_task(append(journal, entry(attempt(2))))
            await until(lambda: journal._connection is None)  # it gives up on that one
            os.kill(process_id, signal.SIGCONT)

            assert await writing == [Committed(seq=2)]
            assert await append(journal, entry(attempt(3))) == [Committed(seq=3)]
        assert await seqs(postgres, database) == [1, 2, 3]

    asyncio.run(run())


def test_what_was_acknowledged_survives_sigkill_of_the_server() -> None:
    with running_server() as server:

        async def run() -> None:
            acknowledged: list[int] = []
            async with opened(server.url()) as journal:
                for kills in (1, 2, 3, 4):
                    writing = asyncio.create_task(write(journal, acknowledged, until=kills * 120))
                    await until(lambda: len(acknowledged) >= kills * 120 - 60)  # noqa: B023 - awaited here
                    if kills % 2:
                        await asyncio.to_thread(server.kill)
                        await asyncio.to_thread(server.start)
                    else:  # the process that serves us, in the midst of it; the rest recovers
                        assert journal._connection is not None
                        os.kill(journal._connection.get_server_pid(), signal.SIGKILL)
                    await writing

            assert acknowledged == list(range(1, 481))
            async with opened(server.url()) as again:
                assert again.last_seq == 480
            assert await seqs(server, "postgres") == acknowledged

        asyncio.run(run())


async def write(journal: PostgresJournal, acknowledged: list[int], *, until: int) -> None:
    """Append one by one, and take down what is acknowledged."""
    while len(acknowledged) < until:
        for answer in await append(journal, entry(attempt(len(acknowledged) + 1))):
            assert isinstance(answer, Committed), answer
            acknowledged.append(answer.seq)


RESTORE = """
DELETE FROM engine_journal.records WHERE seq > 2;
UPDATE engine_journal.shards SET head_seq = 2,
    head_hash = (SELECT hash FROM engine_journal.records WHERE seq = 2)
"""


@pytest.mark.parametrize("cut", [True, False])
def test_a_database_that_was_restored_from_an_older_copy_is_not_written_to(
    postgres: PostgresServer,
    database: str,
    cut: bool,  # noqa: FBT001 - both ways to find out
) -> None:
    async def run() -> None:
        async with through_proxy(postgres, database) as (journal, proxy):
            await append(journal, entry(attempt(2)), entry(attempt(3)))
            for statement in RESTORE.split(";"):
                await postgres.run(statement, database=database)
            proxy.cut_requests = int(cut)
            answers = await append(journal, entry(submit(4)))

        problem = (
            "the journal cannot be written: it ends with record 2, this engine's ends with "
            "record 3: the database was restored from an older copy, or failed over to a "
            "standby that lacks the rest"
        )
        assert refused_with(answers) == [("JOURNAL_UNAVAILABLE", problem)]
        assert await seqs(postgres, database) == [1, 2]

    asyncio.run(run())


def test_a_shard_that_is_gone_is_not_made_again(postgres: PostgresServer, database: str) -> None:
    async def run() -> None:
        async with through_proxy(postgres, database) as (journal, _proxy):
            await postgres.run("DELETE FROM engine_journal.shards", database=database)
            [(code, message)] = refused_with(await append(journal, entry(attempt(2))))

        assert code == "JOURNAL_UNAVAILABLE"
        assert "it is gone, this engine's ends with record 1" in message

    asyncio.run(run())


def test_a_read_goes_on_after_its_connection_was_lost(
    postgres: PostgresServer, database: str
) -> None:
    async def run() -> None:
        async with through_proxy(postgres, database) as (journal, proxy):
            await append(journal, entry(submit(1)))
            before = await journal.read(after_seq=0, limit=10)
            proxy.cut_requests = 1
            after = await journal.read(after_seq=0, limit=10)
            proxy.cut_answers = 1
            of_order = await journal.records(order_id=make_order_id(1, 1))

        assert [event.seq for event in before] == [1, 2]
        assert after == before
        assert [one.entry for one in of_order] == [entry(attempt(1)), entry(submit(1))]

    asyncio.run(run())


# --- a full disk ---------------------------------------------------------------------------

FULL = """
CREATE FUNCTION engine_journal.no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON engine_journal.records EXECUTE FUNCTION
    engine_journal.no_room()
"""
ROOM = "DROP TRIGGER full_disk ON engine_journal.records"


async def fill_disk(server: PostgresServer, database: str) -> None:
    function, trigger = FULL.split(";\nCREATE TRIGGER")
    await server.run(function, database=database)
    await server.run(f"CREATE TRIGGER {trigger}", database=database)


def test_a_full_disk_refuses_new_orders_and_waits_for_room_for_the_story_of_the_others(
    postgres: PostgresServer, database: str
) -> None:
    async def run() -> None:
        async with opened(postgres.url(database)) as journal:
            await append(journal, entry(submit(1)))
            await fill_disk(postgres, database)
            story = asyncio.create_task(append(journal, entry(attempt(1))))
            new = await append(journal, entry(submit(2)))
            notice = NoticeSeen(
                session=SessionName("main"), kind="notice", notice_id="7", text="Hi"
            )
            other = await append(journal, entry(notice))
            await postgres.run(ROOM, database=database)

            full = (
                "JOURNAL_FULL",
                "the journal takes no new orders: could not extend file: No space left on device",
            )
            assert refused_with([*new, *other]) == [full, full]
            assert await story == [Committed(seq=2)]

    asyncio.run(run())


def test_a_disk_that_stays_full_ends_the_journal_for_good(
    postgres: PostgresServer, database: str
) -> None:
    async def run() -> None:
        async with opened(postgres.url(database)) as journal:
            journal._patience_s = 0.2
            await fill_disk(postgres, database)
            [(code, message)] = refused_with(await append(journal, entry(attempt(1))))

        assert code == "JOURNAL_UNAVAILABLE"
        assert message.endswith(
            "nothing helped for 0.2 s: could not extend file: No space left on device"
        )

    asyncio.run(run())


def test_a_record_that_was_refused_for_room_is_not_answered_again_at_the_end(
    postgres: PostgresServer, database: str
) -> None:
    async def run() -> None:
        async with opened(postgres.url(database)) as journal:
            journal._patience_s = 0.2
            await append(journal, entry(submit(1)))
            await fill_disk(postgres, database)
            answers: list[tuple[str, str]] = []

            def noting(name: str) -> Callable[[Committed | NotCommitted], None]:
                return lambda answer: answers.append((name, refused_with([answer])[0][0]))

            journal.append(entry(submit(2)), noting("new"))
            journal.append(entry(attempt(1)), noting("story"))
            await journal._writer

        assert answers == [("new", "JOURNAL_FULL"), ("story", "JOURNAL_UNAVAILABLE")]

    asyncio.run(run())


# --- what cannot be written, or was damaged --------------------------------------------------


def test_a_text_that_the_database_has_no_place_for_is_refused_alone(
    postgres: PostgresServer, database: str
) -> None:
    bad = replace(entry(attempt(1)), account=AccountId("DU\0"))

    async def run() -> None:
        async with opened(postgres.url(database)) as journal:
            [refusal, good] = await append(journal, bad, entry(attempt(1)))

        problem = (
            "the record cannot be written: 'DU\\x00' has a character that PostgreSQL has no "
            "place for"
        )
        assert refused_with([refusal]) == [("JOURNAL_BAD_RECORD", problem)]
        assert good == Committed(seq=1)

    asyncio.run(run())


DAMAGES = [
    ("UPDATE engine_journal.records SET body = body || '\\x00' WHERE seq = 3", 3,
     "its hash does not match its content"),
    ("UPDATE engine_journal.records SET session = 'other' WHERE seq = 2", 2,
     "its hash does not match its content"),
    ("DELETE FROM engine_journal.records WHERE seq = 4", 4, "it is missing, the next is 5"),
    ("DELETE FROM engine_journal.records WHERE seq = 5", 5,
     "the journal ended with record 5 when it was last written"),
    ("UPDATE engine_journal.shards SET epoch = 0", 5, "its epoch 1 is newer than the journal's"),
    ("DELETE FROM engine_journal.shards", 1,
     "the journal ended with record 0 when it was last written"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "seq", "problem"), DAMAGES)
def test_damage_is_refused_by_the_first_wrong_record(
    postgres: PostgresServer, database: str, damage: str, seq: int, problem: str
) -> None:
    async def run() -> None:
        url = postgres.url(database)
        await fill(url, 5)
        await postgres.run(damage, database=database)

        with pytest.raises(JournalCorrupt) as caught:
            await PostgresJournal.open(url, shard=SHARD)

        assert str(caught.value).startswith(
            f"{url}, shard 0001: record {seq} is damaged: {problem}. "
        )

    asyncio.run(run())


def test_a_snapshot_of_records_that_are_gone_is_refused(
    postgres: PostgresServer, database: str
) -> None:
    async def run() -> None:
        url = postgres.url(database)
        async with opened(url) as journal:
            await append(journal, *(entry(attempt(number)) for number in range(1, 4)))
            await journal.save_snapshot(Snapshot(seq=3, body=b"three"))
        for statement in RESTORE.split(";"):
            await postgres.run(statement, database=database)

        with pytest.raises(JournalCorrupt) as caught:
            await PostgresJournal.open(url, shard=SHARD)

        assert caught.value.seq == 3
        assert "it is missing, and the snapshot of record 3 was made with it" in str(caught.value)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("damage", "seq"),
    [
        ("UPDATE engine_journal.records SET body = '{}' WHERE seq = 3", 3),
        ("DELETE FROM engine_journal.records WHERE seq = 4", 4),
        ("DELETE FROM engine_journal.records WHERE seq >= 4", 4),
    ],
)
def test_what_is_replayed_for_a_snapshot_is_checked(
    postgres: PostgresServer, database: str, damage: str, seq: int
) -> None:
    async def run() -> None:
        async with opened(postgres.url(database)) as journal:
            await append(journal, *(entry(attempt(number)) for number in range(1, 6)))
            whole = [page async for page in journal.replay(after_seq=2, until_seq=5)]
            await postgres.run(damage, database=database)

            with pytest.raises(JournalCorrupt) as caught:
                [page async for page in journal.replay(after_seq=2, until_seq=5)]

        assert [one.seq for page in whole for one in page] == [3, 4, 5]
        assert caught.value.seq == seq

    asyncio.run(run())


# --- who may read ----------------------------------------------------------------------------


def test_a_role_that_may_only_select_can_verify(postgres: PostgresServer, database: str) -> None:
    url = postgres.url(database)

    async def run() -> None:
        await fill(url, 3)
        for statement in (
            "CREATE ROLE auditor LOGIN",
            "GRANT USAGE ON SCHEMA engine_journal TO auditor",
            "GRANT SELECT ON ALL TABLES IN SCHEMA engine_journal TO auditor",
        ):
            await postgres.run(statement, database=database)
        auditors = url.replace("engine@", "auditor@")
        reader = await open_reader(auditors, state_dir=postgres.folder, shard=SHARD)
        assert (await reader.verify()).seq == 3
        await reader.close()

    asyncio.run(run())


# --- the password ----------------------------------------------------------------------------


@pytest.fixture
def login(postgres: PostgresServer, database: str) -> str:
    """A URL whose user must show a password, which is `open sesame`."""
    role = f"role_{uuid4().hex[:8]}"
    rules = postgres.folder / "data" / "pg_hba.conf"
    rules.write_text(f"local all {role} scram-sha-256\n" + rules.read_text())

    async def run() -> None:
        await postgres.run(f"CREATE ROLE {role} LOGIN PASSWORD 'open sesame'")
        await postgres.run(f"GRANT CREATE ON DATABASE {database} TO {role}")
        await postgres.reload()

    asyncio.run(run())
    return postgres.url(database).replace("engine@", f"{role}@")


def write_nothing(_folder: Path, _url: str, _patch: pytest.MonkeyPatch) -> None:
    pass


def in_environment(_folder: Path, _url: str, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PGPASSWORD", "open sesame")


def in_file(folder: Path, _url: str, patch: pytest.MonkeyPatch) -> None:
    file = folder / "passwords"
    file.write_text("*:*:*:*:open sesame\n")
    file.chmod(0o600)
    patch.setenv("PGPASSFILE", str(file))


@pytest.mark.parametrize("given", [in_environment, in_file])
def test_the_password_may_come_from_the_environment_or_a_file(
    login: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: Callable[[Path, str, pytest.MonkeyPatch], None],
) -> None:
    given(tmp_path, login, monkeypatch)

    asyncio.run(fill(login, 1))


def test_a_wrong_password_is_not_told(login: str) -> None:
    url = login.replace("@/", ":open%20pepper@/")

    with pytest.raises(JournalError) as caught:
        asyncio.run(fill(url, 1))

    assert str(caught.value).startswith(f"{login}, shard 0001: cannot be opened as a journal: ")
    assert "pepper" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgresql://engine:pep/per@host/db", "postgresql://engine:pepper@host:x/db"]
)
def test_a_url_that_cannot_be_read_does_not_tell_its_password(url: str) -> None:
    with pytest.raises(JournalUnsupported) as caught:
        asyncio.run(fill(url, 1))

    assert "per" not in str(caught.value).partition(": cannot be read")[0]
    assert caught.value.__suppress_context__
    assert "special characters in a name or password are written like %40" in str(caught.value)


def test_a_database_that_is_not_there_is_named(postgres: PostgresServer) -> None:
    with pytest.raises(JournalError) as caught:
        asyncio.run(fill(postgres.url("nowhere"), 1))

    assert str(caught.value) == (
        f"{postgres.url('nowhere')}, shard 0001: cannot be opened as a journal: "
        'database "nowhere" does not exist'
    )
