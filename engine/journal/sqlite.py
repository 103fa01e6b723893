"""The journal in one SQLite file.

Rule 1: one thread writes. Whatever waits when it is free goes into one transaction, and
nothing is called committed before that transaction is on the disk.

Rule 2: a write that failed is never tried again. The operating system may have dropped the
bytes and call the next fsync a success, so the journal stays failed until a restart.

Rule 3: every transaction asserts its epoch and the head it follows, so that a writer
whose journal was taken over cannot add a record.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias

from engine import log, metrics
from engine.domain.messages import DenyOrder, ExternalOrderSeen, NoticeSeen, SubmitOrder
from engine.domain.ports import Committed, Entry, NotCommitted, Recorded
from engine.domain.values import AccountId, OrderId, Reason
from engine.domain.views import EventView
from engine.journal import codec
from engine.journal.errors import JournalError, JournalUnsupported
from engine.journal.files import (
    FileLock,
    create_private,
    refuse_network_file_system,
    sync_directory,
)
from engine.journal.verify import GENESIS, Head, chain_hash, verify_chain

SCHEMA_VERSION: Final = 1
QUEUE_RECORDS_MAX: Final = 10_000
TRANSACTION_RECORDS_MAX: Final = 1000
READ_RECORDS_MAX: Final = 10_000

_APPLICATION_ID: Final = 0x45584A4C  # "EXJL", so that no other program's file is taken for ours
_RESERVE: Final = 10
_DISPENSABLE: Final = (SubmitOrder, DenyOrder, NoticeSeen, ExternalOrderSeen)
_LOCK_TIMEOUT_S: Final = 5.0

_SCHEMA: Final = """
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
INSERT INTO meta VALUES (1, 0, 0, zeroblob(32));
"""

# Made when they are missing: a journal that older versions wrote has none.
_INDEXES: Final = """
CREATE INDEX IF NOT EXISTS records_of_order ON records (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS records_of_account ON records (account) WHERE account IS NOT NULL;
"""

UNAVAILABLE: Final = "JOURNAL_UNAVAILABLE"

Done: TypeAlias = Callable[[Committed | NotCommitted], None]

_LOG: Final = log.get("journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    entry: Entry
    type: str
    body: bytes
    done: Done


class SqliteJournal:
    """An open journal. Made by `open`; `close` it, or what was not committed is lost."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, lock: FileLock, head: Head
    ) -> None:
        self._path = path
        self._connection = connection
        self._lock = lock
        self._epoch = head.epoch
        self._first_head = head.seq
        self._last_seq = head.seq
        self._head = head  # the writer's
        self._queue_records_max = QUEUE_RECORDS_MAX
        self._condition = threading.Condition()
        self._queue: list[_Waiting] = []
        self._refusal: NotCommitted | None = None
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reading: sqlite3.Connection | None = None
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal-reader")
        self._writer = threading.Thread(target=self._write, name="journal-writer", daemon=True)
        metrics.JOURNAL_FAILED.set(0)
        metrics.JOURNAL_QUEUE.set(0)
        self._writer.start()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the journal, or make it, check all of it and begin a new epoch.

        Raises `JournalError`: `JournalLocked` when an engine has it open,
        `JournalCorrupt` when a record is not what was written, `JournalUnsupported` when
        the file is of a newer version or on a network file system.
        """
        refuse_network_file_system(path.parent)
        with ExitStack() as undo:
            try:
                lock = FileLock(path.with_name(path.name + ".lock"))
                undo.callback(lock.release)
                create_private(path)
                connection = sqlite3.connect(
                    path, isolation_level=None, timeout=_LOCK_TIMEOUT_S, check_same_thread=False
                )
                undo.callback(connection.close)
                _prepare(connection, path)
                head = verify_chain(connection, path)
                epoch = head.epoch + 1
                connection.execute("UPDATE meta SET epoch = ?", (epoch,))
                sync_directory(path.parent)
            # A damaged schema can make SQLite's own message undecodable.
            except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
                message = f"{path}: cannot be opened as a journal: {error}"
                raise JournalError(message) from error
            undo.pop_all()
        head = Head(seq=head.seq, hash=head.hash, epoch=epoch)
        _LOG.info("journal_opened", records=head.seq, epoch=head.epoch)
        return cls(path, connection, lock, head)

    @property
    def epoch(self) -> int:
        """The number of this start on this journal, 1 for the first."""
        return self._epoch

    @property
    def last_seq(self) -> int:
        """The newest durable entry, 0 in an empty journal."""
        return self._last_seq

    def append(self, entry: Entry, done: Done) -> None:
        """Queue the entry; `done` is called on the loop once it is durable, in order.

        New orders are refused with JOURNAL_BACKLOG while too many records wait. Records of
        orders that exist already are still taken then: one of them left out, and the
        journal would tell another story than the broker.
        """
        loop = self._loop = asyncio.get_running_loop()
        try:
            waiting = _Waiting(
                entry=entry,
                type=codec.record_type(entry.message),
                body=codec.encode(entry.message),
                done=done,
            )
            # The header's texts must be writable as well.
            chain_hash(GENESIS, _header(0, self._epoch, waiting), b"")
        except (UnicodeEncodeError, NotImplementedError) as error:
            refusal = _refusal("JOURNAL_BAD_RECORD", f"the record cannot be written: {error}")
            loop.call_soon(self._deliver, ((done, refusal),))
            return
        with self._condition:
            refused = self._refusal or self._backlog(waiting)
            if refused is None:
                self._queue.append(waiting)
                metrics.JOURNAL_QUEUE.set(len(self._queue))
                self._condition.notify()
                return
        loop.call_soon(self._deliver, ((done, refused),))

    def replay(self) -> Sequence[Recorded]:
        """Return every entry of before this start, oldest first.

        Raises `JournalUnsupported` when a newer version wrote one of them.
        """
        with (
            closing(self._connect_for_reading()) as connection,
            closing(
                connection.execute(
                    "SELECT seq, at_ns, type, account, order_id, body FROM records"
                    " WHERE seq <= ? ORDER BY seq",
                    (self._first_head,),
                )
            ) as rows,
        ):
            return tuple(_recorded(self._path, row) for row in rows)

    async def read(self, *, after_seq: int, limit: int) -> tuple[EventView, ...]:
        """Return up to `limit` durable entries with `seq > after_seq`, oldest first.

        At most 10,000 at a time, so that no reader keeps the log from being tidied.
        """
        loop = asyncio.get_running_loop()
        last_seq = self._last_seq
        if after_seq >= last_seq:
            return ()
        wanted = (after_seq, last_seq, min(limit, READ_RECORDS_MAX))
        return await loop.run_in_executor(self._reader, self._read, wanted)

    async def records(
        self, *, account: AccountId | None = None, order_id: OrderId | None = None
    ) -> tuple[Recorded, ...]:
        """Return every durable entry of an account or an order, oldest first, while running.

        With both, those of the order at that account. Raises `JournalUnsupported` when a
        newer version wrote one of them.
        """
        assert account is not None or order_id is not None, "records of whom?"
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, self._read_records, account, order_id)

    async def close(self) -> None:
        """Commit what waits, fold the log into the file, and let the journal go.

        A second call does nothing.
        """
        with self._condition:
            if self._closing:
                return
            self._closing = True
            self._refusal = self._refusal or _refusal(UNAVAILABLE, "the journal is closed")
            self._condition.notify()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.join()
        self._reader.submit(self._close_reading).result()
        self._reader.shutdown()
        self._connection.close()
        self._lock.release()

    def _backlog(self, waiting: _Waiting) -> NotCommitted | None:
        records = len(self._queue)
        if records < self._queue_records_max:
            return None
        message = f"{records} records wait for the disk, the limit is {self._queue_records_max}"
        # New orders can be refused, and what others do need not be written; what orders do must.
        if isinstance(waiting.entry.message, _DISPENSABLE):
            return _refusal("JOURNAL_BACKLOG", message)
        if records < self._queue_records_max * _RESERVE:
            return None
        self._refusal = _refusal(UNAVAILABLE, message)
        metrics.JOURNAL_FAILED.set(1)
        _LOG.critical("journal_failed", reason=message)
        return self._refusal

    def _deliver(self, results: Sequence[tuple[Done, Committed | NotCommitted]]) -> None:
        for done, result in results:
            if isinstance(result, Committed):
                self._last_seq = result.seq
            try:
                done(result)
            except Exception as error:  # noqa: BLE001 - the next one must hear of its own
                assert self._loop is not None
                self._loop.call_exception_handler(
                    {"message": "journal entry's callback failed", "exception": error}
                )

    # The reader's thread.

    def _read(self, wanted: tuple[int, int, int]) -> tuple[EventView, ...]:
        rows = (
            self._connected()
            .execute(
                "SELECT seq, at_ns, type, account, order_id, body FROM records"
                " WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                wanted,
            )
            .fetchall()
        )
        return tuple(
            EventView(seq=seq, at_ns=at_ns, type=name, account=account, order_id=order, body=body)
            for seq, at_ns, name, account, order, body in rows
        )

    def _read_records(
        self, account: AccountId | None, order_id: OrderId | None
    ) -> tuple[Recorded, ...]:
        select = "SELECT seq, at_ns, type, account, order_id, body FROM records"
        if order_id is None:
            rows = self._connected().execute(f"{select} WHERE account = ? ORDER BY seq", (account,))
        else:
            rows = self._connected().execute(
                f"{select} WHERE order_id = ? AND account IS coalesce(?, account) ORDER BY seq",
                (order_id, account),
            )
        return tuple(_recorded(self._path, row) for row in rows.fetchall())

    def _connected(self) -> sqlite3.Connection:
        if self._reading is None:
            self._reading = self._connect_for_reading()
        return self._reading

    def _close_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()

    def _connect_for_reading(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=_LOCK_TIMEOUT_S)

    # The writer's thread.

    def _write(self) -> None:
        batch: Sequence[_Waiting] = ()
        try:
            while batch := self._take():
                committed = self._commit(batch)
                self._tell(
                    [(one.done, result) for one, result in zip(batch, committed, strict=True)]
                )
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except Exception as error:  # noqa: BLE001 - dying silently would leave orders waiting
            self._fail(error, batch)

    def _take(self) -> Sequence[_Waiting]:
        """Wait for entries and take them; none at all means that the journal is closing."""
        with self._condition:
            self._condition.wait_for(lambda: self._queue or self._closing)
            batch = self._queue[:TRANSACTION_RECORDS_MAX]
            del self._queue[:TRANSACTION_RECORDS_MAX]
            metrics.JOURNAL_QUEUE.set(len(self._queue))
        return batch

    def _commit(self, batch: Sequence[_Waiting]) -> Sequence[Committed]:
        head = self._head
        seq, before = head.seq, head.hash
        rows = []
        for one in batch:
            seq += 1
            header = _header(seq, self._epoch, one)
            after = chain_hash(before, header, one.body)
            rows.append((*header, one.body, before, after))
            before = after
        started = time.perf_counter()
        self._transact(rows, head, Head(seq=seq, hash=before, epoch=self._epoch))
        metrics.JOURNAL_COMMIT_SECONDS.observe(time.perf_counter() - started)
        metrics.JOURNAL_RECORDS.inc(len(batch))
        metrics.JOURNAL_BYTES.inc(sum(len(one.body) for one in batch))
        return [Committed(seq=row[0]) for row in rows]

    def _transact(self, rows: Sequence[tuple[object, ...]], head: Head, next_head: Head) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            moved = connection.execute(
                "UPDATE meta SET head_seq = ?, head_hash = ? WHERE epoch = ? AND head_hash = ?",
                (next_head.seq, next_head.hash, head.epoch, head.hash),
            )
            _assert_ours(moved.rowcount, head)
            connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
        except Exception:
            with suppress(sqlite3.Error):  # a failed COMMIT may have ended the transaction
                connection.execute("ROLLBACK")
            raise
        self._head = next_head

    def _tell(self, results: Sequence[tuple[Done, Committed | NotCommitted]]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._deliver, results)
        except RuntimeError:  # the loop is closed: the engine stopped without waiting
            _LOG.warning("journal_answers_dropped", records=len(results))

    def _fail(self, error: Exception, batch: Sequence[_Waiting]) -> None:
        refusal = _refusal(UNAVAILABLE, f"the journal cannot be written: {error}")
        metrics.JOURNAL_FAILED.set(1)
        _LOG.critical("journal_failed", reason=refusal.reason.message)
        with self._condition:  # later ones are refused after these
            waiting = [*batch, *self._queue]
            self._queue.clear()
            self._refusal = refusal
            if waiting:
                self._tell([(one.done, refusal) for one in waiting])
        metrics.JOURNAL_QUEUE.set(0)


def _refusal(code: str, message: str) -> NotCommitted:
    return NotCommitted(reason=Reason(code=code, message=message))


def _header(
    seq: int, epoch: int, one: _Waiting
) -> tuple[int, int, int, str, AccountId | None, OrderId | None]:
    entry = one.entry
    return (seq, entry.at_ns, epoch, one.type, entry.account, entry.order_id)


def _assert_ours(rows: int, head: Head) -> None:
    if rows != 1:
        message = f"epoch {head.epoch} is over, another writer has the journal"
        raise JournalError(message)


def _recorded(
    path: Path,
    row: tuple[int, int, str, AccountId | None, OrderId | None, bytes],
) -> Recorded:
    seq, at_ns, name, account, order_id, body = row
    try:
        message = codec.decode(name, body)
    except JournalUnsupported as error:
        problem = f"{path}: record {seq} is {error}"
        raise JournalUnsupported(problem) from error
    entry = Entry(at_ns=at_ns, account=account, order_id=order_id, message=message)
    return Recorded(seq=seq, entry=entry)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is not ours, make the tables of a new one, and ask for durability."""

    def pragma(text: str) -> object:
        row = connection.execute(f"PRAGMA {text}").fetchone()
        return row[0] if row else None

    version, application = pragma("user_version"), pragma("application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    is_new = version == 0 and application == 0 and tables == 0
    if not is_new and application != _APPLICATION_ID:
        message = f"{path}: is a database, but no journal of this engine"
        raise JournalUnsupported(message)
    if not is_new and version != SCHEMA_VERSION:
        message = f"{path}: has the schema {version}, this version of the engine reads "
        raise JournalUnsupported(message + str(SCHEMA_VERSION))
    # In WAL mode, FULL is what fsyncs every commit.
    if pragma("journal_mode = WAL") != "wal":
        message = f"{path}: cannot be put into WAL mode on this file system"
        raise JournalUnsupported(message)
    pragma("synchronous = FULL")
    assert pragma("synchronous") == 2  # noqa: PLR2004 - what SQLite calls FULL
    pragma("fullfsync = ON")  # macOS leaves data in the drive's cache without these two
    pragma("checkpoint_fullfsync = ON")
    pragma("journal_size_limit = 67108864")
    if is_new:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    connection.executescript(_INDEXES)
