import asyncio
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from engine import metrics
from engine.domain.messages import CancelOrder, NoticeSeen
from engine.domain.ports import Committed, Entry, NotCommitted, Snapshot
from engine.domain.values import OrderId, SessionName
from engine.journal import JournalCorrupt, JournalError, JournalLocked, JournalUnsupported, sqlite
from engine.journal.sqlite import SqliteJournal
from tests.journal.contract import JournalContract, replayed
from tests.journal.samples import append, attempt, entry, submit

REPOSITORY = Path(__file__).parents[2]
ROOM: Final = 4096
"""What the tests keep of the disk: a real reserve takes its time to be written."""


def using(path: Path, work: Callable[[SqliteJournal], Awaitable[None]]) -> None:
    """Open the journal, work with it on a loop, and close it."""

    async def run() -> None:
        journal = SqliteJournal.open(path, reserve_bytes=ROOM)
        try:
            await work(journal)
        finally:
            await journal.close()

    asyncio.run(run())


def fill(path: Path, records: int) -> None:
    async def work(journal: SqliteJournal) -> None:
        await append(journal, *(entry(attempt(number)) for number in range(1, records + 1)))

    using(path, work)


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def sample(name: str) -> float:
    value = metrics.REGISTRY.get_sample_value(name)
    assert value is not None
    return value


class SqlitePlace:
    """A journal in a file of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def open(self) -> SqliteJournal:
        return SqliteJournal.open(self.path, reserve_bytes=ROOM)

    def change(self, seq: int, column: str, value: object) -> None:
        with database(self.path) as connection:
            connection.execute(f"UPDATE records SET {column} = ? WHERE seq = ?", (value, seq))

    def remove(self, seq: int) -> None:
        with database(self.path) as connection:
            connection.execute("DELETE FROM records WHERE seq = ?", (seq,))

    def spoil_snapshot(self) -> None:
        newest = self._snapshots()[-1]
        content = bytearray(newest.read_bytes())
        content[-1] ^= 1
        newest.write_bytes(content)

    def snapshots(self) -> int:
        return len(self._snapshots())

    def _snapshots(self) -> list[Path]:
        return sorted(self.path.parent.glob("journal.db.snapshot*"))


class TestSqlite(JournalContract):
    """What every journal keeps."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> SqlitePlace:
        return SqlitePlace(tmp_path / "journal.db")


def test_a_start_removes_the_half_of_a_snapshot_that_a_crash_left(tmp_path: Path) -> None:
    draft = tmp_path / "journal.db.snapshot.draft"
    draft.write_bytes(b"half")

    fill(tmp_path / "journal.db", 1)

    assert not draft.exists()


def test_a_journal_of_an_older_version_gets_the_indexes_that_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path, 1)
    with database(path) as connection:
        connection.execute("DROP INDEX records_of_order")
        connection.execute("DROP INDEX records_of_account")

    fill(path, 1)

    with database(path) as connection:
        plans = [
            connection.execute(
                f"EXPLAIN QUERY PLAN SELECT * FROM records WHERE {column} = 'x'"
            ).fetchone()[3]
            for column in ("order_id", "account")
        ]
    assert [plan.split("INDEX ")[1].split()[0] for plan in plans] == [
        "records_of_order",
        "records_of_account",
    ]


def test_what_waits_is_committed_in_one_transaction(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    statements: list[str] = []
    began = threading.Event()

    def trace(statement: str) -> None:
        statements.append(statement.split(" ", maxsplit=1)[0])
        began.set()

    async def work(journal: SqliteJournal) -> None:
        journal._connection.set_trace_callback(trace)
        with database(path) as other:
            other.execute("BEGIN IMMEDIATE")  # the writer waits here with the first entry
            first = asyncio.create_task(append(journal, entry(attempt(1))))
            await asyncio.to_thread(began.wait)
            rest = asyncio.create_task(
                append(journal, *(entry(attempt(number)) for number in range(2, 101)))
            )
            await asyncio.sleep(0)
            assert sample("engine_journal_queue_records") == 99
            other.execute("ROLLBACK")
            assert await first == [Committed(seq=1)]
            assert await rest == [Committed(seq=seq) for seq in range(2, 101)]
        journal._connection.set_trace_callback(None)

    commits = sample("engine_journal_commit_seconds_count")
    records = sample("engine_journal_records_total")
    using(path, work)

    assert statements.count("BEGIN") == statements.count("COMMIT") == 2
    assert sample("engine_journal_commit_seconds_count") == commits + 2
    assert sample("engine_journal_records_total") == records + 100


def test_what_one_turn_of_the_loop_appended_is_one_transaction(tmp_path: Path) -> None:
    """The writer waits for nothing and could begin with the first entry alone."""

    async def work(journal: SqliteJournal) -> None:
        for turn in range(20):
            loop = asyncio.get_running_loop()
            done = loop.create_future()
            journal.append(entry(submit(turn)), lambda _answer: None)
            time.sleep(0.001)  # noqa: ASYNC251 - the writer must have the time to wake up
            journal.append(entry(attempt(turn)), done.set_result)
            await done

    commits = sample("engine_journal_commit_seconds_count")
    using(tmp_path / "journal.db", work)

    assert sample("engine_journal_commit_seconds_count") == commits + 20


def test_every_commit_is_synced(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        def pragma(name: str) -> object:
            return journal._connection.execute(f"PRAGMA {name}").fetchone()[0]

        assert (pragma("journal_mode"), pragma("synchronous")) == ("wal", 2)

    using(tmp_path / "journal.db", work)


CHILD = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from engine import log
    from engine.journal.sqlite import SqliteJournal
    from tests.journal.samples import append, attempt, entry

    log.configure()

    async def run():
        journal = SqliteJournal.open(Path(sys.argv[1]), reserve_bytes=4096)
        def done(answer):
            sys.stdout.write(f"{answer.seq}\\n")
            sys.stdout.flush()
        number = 0
        while True:
            for _ in range(3):
                number += 1
                journal.append(entry(attempt(number)), done)
            await append(journal, entry(attempt(number := number + 1)))

    asyncio.run(run())
    """
)


def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    acknowledgements: list[list[int]] = []

    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, cwd=REPOSITORY
        ) as child:
            assert child.stdout is not None
            try:
                seen = [int(child.stdout.readline()) for _ in range(60)]
                with pytest.raises(JournalLocked, match=f"is locked by process {child.pid}; one"):
                    SqliteJournal.open(path)
            finally:
                os.kill(child.pid, signal.SIGKILL)
            rest = child.stdout.read().splitlines(keepends=True)
            acknowledgements.append(seen + [int(line) for line in rest if line.endswith(b"\n")])

    async def work(journal: SqliteJournal) -> None:
        records = await replayed(journal)
        assert journal.epoch == 4
        assert [one.seq for one in records] == list(range(1, len(records) + 1))
        found = {one.seq for one in records}
        for acknowledged_seqs in acknowledgements:
            assert len(acknowledged_seqs) >= 60
            assert found.issuperset(acknowledged_seqs)

    using(path, work)


def test_a_journal_is_open_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def work(_journal: SqliteJournal) -> None:
        with pytest.raises(JournalLocked) as caught:
            SqliteJournal.open(path)
        assert str(caught.value) == (
            f"{path}.lock: is locked by process {os.getpid()}; one journal serves one engine"
        )

    using(path, work)
    fill(path, 1)  # closed, it can be opened again


def test_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    names = (
        "journal.db",
        "journal.db-shm",
        "journal.db-wal",
        "journal.db.lock",
        "journal.db.reserve",
    )
    modes: dict[str, int] = {}

    async def work(journal: SqliteJournal) -> None:
        await append(journal, entry(attempt(1)))
        modes.update((name, stat.S_IMODE((tmp_path / name).stat().st_mode)) for name in names)

    before = os.umask(0o022)
    try:
        using(path, work)
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(names, 0o600)


DAMAGES = [
    ("UPDATE records SET body = cast(replace(body, '3', '4') AS BLOB) WHERE seq = 3", 3,
     "its hash does not match its content"),
    ("UPDATE records SET order_id = 'other' WHERE seq = 2", 2,
     "its hash does not match its content"),
    ("UPDATE records SET at_ns = at_ns + 1 WHERE seq = 5", 5,
     "its hash does not match its content"),
    ("UPDATE records SET body = 'text' WHERE seq = 1", 1, "its hash does not match its content"),
    ("DELETE FROM records WHERE seq = 1", 1, "it is missing, the next is 2"),
    ("DELETE FROM records WHERE seq = 4", 4, "it is missing, the next is 5"),
    ("DELETE FROM records WHERE seq >= 4", 4,
     "the journal ended with record 5 when it was last written"),
    ("UPDATE records SET prev_hash = zeroblob(32) WHERE seq = 4", 4,
     "it does not follow the record before"),
    ("DELETE FROM meta", 5, "the table meta has 0 rows and needs 1"),
    ("UPDATE meta SET epoch = 0", 5, "its epoch 1 is newer than the journal's"),
    ("DROP TABLE meta", 6, "the database cannot be read: no such table: meta"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "seq", "problem"), DAMAGES)
def test_damage_is_refused_by_the_first_wrong_record(
    tmp_path: Path, damage: str, seq: int, problem: str
) -> None:
    path = tmp_path / "journal.db"
    fill(path, 5)
    with database(path) as connection:
        connection.execute(damage)

    with pytest.raises(JournalCorrupt) as caught:
        SqliteJournal.open(path)

    assert str(caught.value).startswith(f"{path}: record {seq} is damaged: {problem}. ")
    assert caught.value.seq == seq


def test_one_flipped_byte_of_a_body_on_the_disk_is_found(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path, 50)
    content = bytearray(path.read_bytes())
    place = content.index(b'{"number":1,"order_id":"1-Z"')  # base 32, so number 31
    content[place + 10] ^= 1
    path.write_bytes(content)

    with pytest.raises(JournalCorrupt, match="record 31 is damaged: its hash does not match"):
        SqliteJournal.open(path)


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path, 20)
    good = path.read_bytes()
    draw = random.Random(1)
    outcomes: Counter[str] = Counter()

    async def work(journal: SqliteJournal) -> None:
        assert [one.entry for one in await replayed(journal)] == [
            entry(attempt(number)) for number in range(1, 21)
        ]

    for place in draw.sample(range(len(good)), 80):
        content = bytearray(good)
        content[place] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        try:
            using(path, work)
        except JournalError:
            outcomes["refused"] += 1
        else:
            outcomes["unused space"] += 1

    assert outcomes.total() == 80
    assert outcomes["refused"] > 10


def test_a_damaged_journal_can_be_opened_again_once_restored(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path, 5)
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"number":1', b'"number":2', 1))
    with pytest.raises(JournalCorrupt):
        SqliteJournal.open(path)

    path.write_bytes(good)

    async def work(journal: SqliteJournal) -> None:
        assert journal.last_seq == 5

    using(path, work)


def test_a_writer_whose_epoch_is_over_cannot_commit(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def work(journal: SqliteJournal) -> None:
        await append(journal, entry(attempt(1)))
        with database(path) as other:
            other.execute("UPDATE meta SET epoch = 2")

        (answer,) = await append(journal, entry(attempt(2)))

        assert isinstance(answer, NotCommitted)
        assert answer.reason.message == (
            "the journal cannot be written: epoch 1 is over, another writer has the journal"
        )

    using(path, work)

    with database(path) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (1,)


def test_a_backlog_refuses_new_orders_and_keeps_the_story_of_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    began = threading.Event()

    async def work(journal: SqliteJournal) -> None:
        journal._backlog.records_max = 4
        journal._connection.set_trace_callback(lambda _statement: began.set())
        with database(path) as other:
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(append(journal, entry(attempt(1))))
            await asyncio.to_thread(began.wait)
            full = asyncio.create_task(
                append(journal, *(entry(submit(number)) for number in range(2, 6)))
            )
            await asyncio.sleep(0)
            refused = await append(journal, entry(submit(6)))
            cancel = CancelOrder(order_id=OrderId("1-1"), cause="client")
            taken = asyncio.create_task(append(journal, entry(cancel)))
            await asyncio.sleep(0)
            other.execute("ROLLBACK")

            assert [one.reason.code for one in refused if isinstance(one, NotCommitted)] == [
                "JOURNAL_BACKLOG"
            ]
            assert await first + await full + await taken == [
                Committed(seq=seq) for seq in range(1, 7)
            ]
        journal._connection.set_trace_callback(None)
        assert await append(journal, entry(submit(7))) == [Committed(seq=7)]

    using(path, work)


def test_a_backlog_leaves_out_what_was_only_observed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    began = threading.Event()
    notice = NoticeSeen(session=SessionName("main"), kind="bulletin", notice_id="7", text="Closed")

    async def work(journal: SqliteJournal) -> None:
        journal._backlog.records_max = 2
        journal._connection.set_trace_callback(lambda _statement: began.set())
        with database(path) as other:
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(append(journal, entry(attempt(1))))
            await asyncio.to_thread(began.wait)
            full = asyncio.create_task(append(journal, entry(attempt(2)), entry(attempt(3))))
            await asyncio.sleep(0)
            observed = Entry(at_ns=1, account=None, order_id=None, message=notice)
            left_out = await append(journal, *[observed] * 100)
            taken = asyncio.create_task(append(journal, entry(attempt(4))))
            await asyncio.sleep(0)
            other.execute("ROLLBACK")

            codes = {one.reason.code for one in left_out if isinstance(one, NotCommitted)}
            assert (codes, len(left_out)) == ({"JOURNAL_BACKLOG"}, 100)
            assert await first + await full + await taken == [
                Committed(seq=seq) for seq in range(1, 5)
            ]
        journal._connection.set_trace_callback(None)

    using(path, work)


def test_a_backlog_without_end_fails_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    began = threading.Event()

    async def work(journal: SqliteJournal) -> None:
        journal._backlog.records_max = 2
        journal._connection.set_trace_callback(lambda _statement: began.set())
        with database(path) as other:
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(append(journal, entry(attempt(1))))
            await asyncio.to_thread(began.wait)
            queued = asyncio.create_task(
                append(journal, *(entry(attempt(number)) for number in range(2, 22)))
            )
            await asyncio.sleep(0)
            refused = await append(journal, entry(attempt(22)), entry(attempt(23)))
            other.execute("ROLLBACK")
            await first
            await queued

        assert refused == [refused[0]] * 2
        assert isinstance(refused[0], NotCommitted)
        assert refused[0].reason.message == "20 records wait for the disk, the limit is 2"
        journal._connection.set_trace_callback(None)
        assert await append(journal, entry(attempt(24))) == [refused[0]]

    using(path, work)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("PRAGMA user_version = 3", "has the schema 3, this version of the engine reads 1 to 2"),
        ("PRAGMA application_id = 7", "is a database, but no journal of this engine"),
    ],
)
def test_a_file_of_another_version_or_program_is_refused(
    tmp_path: Path, statement: str, problem: str
) -> None:
    path = tmp_path / "journal.db"
    fill(path, 1)
    with database(path) as connection:
        connection.execute(statement)

    with pytest.raises(JournalUnsupported) as caught:
        SqliteJournal.open(path)

    assert str(caught.value) == f"{path}: {problem}"


def test_a_file_that_is_no_database_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_text("not a database " * 100, encoding="utf-8")

    with pytest.raises(JournalError, match=r"cannot be opened as a journal: file is not a data"):
        SqliteJournal.open(path)
    with pytest.raises(JournalError, match="No such file or directory"):
        SqliteJournal.open(tmp_path / "none" / "journal.db")

    assert path.read_text(encoding="utf-8") == "not a database " * 100


def test_a_record_of_a_newer_version_is_named_at_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    with monkeypatch.context() as newer:
        newer.setattr("engine.journal.codec.record_type", lambda _message: "SPLIT")
        fill(path, 2)

    async def work(journal: SqliteJournal) -> None:
        with pytest.raises(JournalUnsupported) as caught:
            await replayed(journal)
        assert str(caught.value).startswith(
            f"{path}: record 1 is a record of the type 'SPLIT', this version knows INTENT, "
        )

    using(path, work)


def test_a_closed_journal_leaves_its_file_its_lock_and_its_reserve(tmp_path: Path) -> None:
    fill(tmp_path / "journal.db", 3)

    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "journal.db",
        "journal.db.lock",
        "journal.db.reserve",
    ]


@pytest.mark.parametrize("loss", ["removed", "emptied", "an older copy"])
def test_a_snapshot_without_the_records_that_it_was_made_of_is_the_sign_of_a_lost_journal(
    tmp_path: Path, loss: str
) -> None:
    path, older = tmp_path / "journal.db", tmp_path / "older"

    async def more(journal: SqliteJournal) -> None:
        await append(journal, entry(attempt(1)), entry(attempt(2)))
        seq = journal.last_seq
        await journal.save_snapshot(Snapshot(seq=seq, body=b"%d" % seq))

    using(path, more)
    shutil.copy(path, older)
    using(path, more)
    path.unlink()
    if loss == "emptied":
        path.touch()
    elif loss == "an older copy":
        shutil.copy(older, path)

    with pytest.raises(JournalCorrupt, match="record 4 is damaged: it is missing, and the snapsho"):
        SqliteJournal.open(path, reserve_bytes=ROOM)
    for snapshot in tmp_path.glob("journal.db.snapshot-*"):
        snapshot.unlink()

    fill(path, 1)  # That was meant.


class FailingSync:
    """A connection whose next fsync fails, as SQLite says it; there is no disk that does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.broken = True

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        if self.broken and statement == "COMMIT":
            self.broken = False
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return self._connection.execute(statement, *arguments)

    def executemany(self, statement: str, rows: Any) -> sqlite3.Cursor:
        return self._connection.executemany(statement, rows)

    def close(self) -> None:
        self._connection.close()


def test_a_failed_fsync_is_the_end_and_is_never_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def work(journal: SqliteJournal) -> None:
        await append(journal, entry(attempt(1)))
        failing: Any = FailingSync(journal._connection)
        journal._connection = failing

        (refused,) = await append(journal, entry(attempt(2)))
        (later,) = await append(journal, entry(attempt(3)))

        assert isinstance(refused, NotCommitted)
        assert refused.reason.code == "JOURNAL_UNAVAILABLE"
        assert refused.reason.message == "the journal cannot be written: disk I/O error"
        assert later == refused
        assert not failing.broken
        assert sample("engine_journal_failed") == 1

    async def after(journal: SqliteJournal) -> None:
        assert sample("engine_journal_failed") == 0
        assert journal.last_seq == 1

    using(path, work)
    using(path, after)


class Folding:
    """A connection whose checkpoints fail while the journal is used."""

    def __init__(self, inner: sqlite3.Connection, code: int) -> None:
        self._inner = inner
        self._code = code
        self.folded = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, statement: str, *values: Any) -> Any:
        if "wal_checkpoint(PASSIVE)" in statement:
            self.folded += 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = self._code
            raise error
        return self._inner.execute(statement, *values)


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        (sqlite3.SQLITE_IOERR_FSYNC, "JOURNAL_UNAVAILABLE"),
        (sqlite3.SQLITE_FULL, "JOURNAL_FULL"),
    ],
)
def test_a_log_that_cannot_be_folded_into_the_file_is_noticed(
    tmp_path: Path, code: int, refused: str
) -> None:
    async def scene() -> None:
        journal = SqliteJournal.open(tmp_path / "journal.db", reserve_bytes=4096)
        journal._connection = Folding(journal._connection, code)  # type: ignore[assignment] # a disk that fails

        (first,) = await append(journal, entry(submit(1)))
        (second,) = await append(journal, entry(submit(2)))
        await journal.close()

        assert first == Committed(seq=1)
        assert isinstance(second, NotCommitted)
        assert second.reason.code == refused

    asyncio.run(scene())


def test_the_log_is_folded_after_so_many_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOG_PAGES", 200)
    file = tmp_path / "journal.db"

    async def scene() -> None:
        journal = SqliteJournal.open(file, reserve_bytes=4096)
        for number in range(1, 101):
            await append(journal, entry(submit(number, body=b"x" * 10_000)))

        assert file.stat().st_size > 500_000
        assert (tmp_path / "journal.db-wal").stat().st_size < 2_000_000
        await journal.close()

    asyncio.run(scene())
