"""The journal in one SQLite file.

Rule 1: one thread writes. Whatever waits when it is free goes into one transaction, and
nothing is called committed before that transaction is on the disk. The thread is woken at
the end of a turn of the loop: what was appended in one turn is on the disk at once.

Rule 2: a write that failed is never tried again. The operating system may have dropped the
bytes and call the next fsync a success, so the journal stays failed until a restart. Only a
full disk is no such failure: SQLite says so before it syncs anything.

Rule 3: the first time that the disk is full, room that was kept for it is given back, and
only the story of orders that exist is written from then on. The second time is the end.

Rule 4: the log is folded into the file after the answers, by the writer itself: an fsync
that fails there is a failed fsync, too.

Rule 5: every transaction asserts its epoch and the head it follows, so that a writer
whose journal was taken over cannot add a record.
"""

import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Self, TypeVar

from engine import log, metrics
from engine.domain.ports import Entry, NotCommitted, Recorded, Snapshot
from engine.domain.values import AccountId, OrderId
from engine.domain.views import EventView
from engine.journal.batch import (
    PAGE_RECORDS,
    READ_RECORDS_MAX,
    Backlog,
    Done,
    Result,
    Row,
    Waiting,
    chain_rows,
    committed,
    count_commit,
    deliver,
    prepare,
    recorded,
)
from engine.journal.errors import JournalCorrupt, JournalError
from engine.journal.files import (
    FileLock,
    Reserve,
    create_private,
    refuse_network_file_system,
    sync_directory,
)
from engine.journal.snapshot_files import SnapshotFiles
from engine.journal.sqlite_file import check, prepare_file
from engine.journal.verify import GENESIS, Chain, Head

RESERVE_BYTES: Final = 16 << 20

LOG_PAGES: Final = 1000
"""After so many pages, about, the log is folded into the file."""
FETCH_RECORDS: Final = 4 * PAGE_RECORDS
"""So many records a replay reads at a time; each way to the reader's thread and back costs."""

_LOCK_TIMEOUT_S: Final = 5.0
_PAGES: Final = 4
"""What a commit writes at least: the head, and the last page of the records and their indexes."""
_HEADER_BYTES: Final = 512

_FOUND: Final = "seq, at_ns, type, account, order_id, session, body"

_T = TypeVar("_T")

_LOG: Final = log.get("journal")


class SqliteJournal:
    """An open journal. Made by `open`; `close` it, or what was not committed is lost."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        lock: FileLock,
        head: Head,
        *,
        snapshots: SnapshotFiles,
        reserve: Reserve,
    ) -> None:
        self._path = path
        self._connection = connection
        self._lock = lock
        self._snapshots = snapshots
        self._reserve = reserve
        self._epoch = head.epoch
        self._first_head = head.seq
        self._last_seq = head.seq
        self._head = head  # the writer's
        self._mutex = threading.Lock()
        self._bell: SimpleQueue[None] = SimpleQueue()  # A condition is slower to wake the writer.
        self._backlog = Backlog()
        self._waking = False  # the loop's
        self._ripe = False  # It rings once for all that is ripe.
        self._closing = False
        self._log_pages = LOG_PAGES  # the writer's; what a crash left of the log comes first
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reading: sqlite3.Connection | None = None
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal-reader")
        self._keeper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal-keeper")
        self._writer = threading.Thread(target=self._write, name="journal-writer", daemon=True)
        self.measure()
        self._writer.start()

    @classmethod
    def open(cls, path: Path, *, reserve_bytes: int = RESERVE_BYTES) -> Self:
        """Open the journal, or make it, check it and begin a new epoch.

        With an intact snapshot, only the records after it are checked. Raises
        `JournalError`: `JournalLocked` when an engine has it open, `JournalCorrupt` when a
        record is not what was written, `JournalUnsupported` when the file is of a newer
        version or on a network file system.
        """
        refuse_network_file_system(path.parent)
        snapshots = SnapshotFiles(path, room_bytes=reserve_bytes)
        reserve = Reserve(path.with_name(path.name + ".reserve"), reserve_bytes)
        with ExitStack() as undo:
            try:
                lock = FileLock(path.with_name(path.name + ".lock"))
                undo.callback(lock.release)
                snapshots.clear_draft()
                create_private(path)
                connection = sqlite3.connect(
                    path, isolation_level=None, timeout=_LOCK_TIMEOUT_S, check_same_thread=False
                )
                undo.callback(connection.close)
                prepare_file(connection, path)
                head = check(connection, path, snapshots)
                connection.execute("UPDATE meta SET epoch = ?", (head.epoch + 1,))
                sync_directory(path.parent)
            # A damaged schema can make SQLite's own message undecodable.
            except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
                message = f"{path}: cannot be opened as a journal: {error}"
                raise JournalError(message) from error
            undo.pop_all()
        head = Head(seq=head.seq, hash=head.hash, epoch=head.epoch + 1)
        if not reserve.make():
            _LOG.error("journal_without_reserve", path=str(path), needed_bytes=reserve_bytes)
        _LOG.info("journal_opened", records=head.seq, epoch=head.epoch)
        return cls(path, connection, lock, head, snapshots=snapshots, reserve=reserve)

    @property
    def epoch(self) -> int:
        """The number of this start on this journal, 1 for the first."""
        return self._epoch

    @property
    def last_seq(self) -> int:
        """The newest durable entry, 0 in an empty journal."""
        return self._last_seq

    def measure(self) -> None:
        """Show how much room is left on the disk."""
        with suppress(OSError):  # A disk that is gone fails the next write, which says so.
            metrics.JOURNAL_FREE_BYTES.set(shutil.disk_usage(self._path.parent).free)

    def append(self, entry: Entry, done: Done) -> None:
        """Queue the entry; `done` is called on the loop once it is durable, in order.

        New orders are refused with JOURNAL_BACKLOG while too many records wait, and with
        JOURNAL_FULL once the disk was full. Records of orders that exist are taken far
        longer; where there is no room for them either, the journal has failed.
        """
        loop = self._loop = asyncio.get_running_loop()
        waiting = prepare(entry, done)
        with self._mutex:
            refused = waiting if isinstance(waiting, NotCommitted) else self._backlog.offer(waiting)
            if refused is not None:
                self._backlog.remember_refused(entry, refused)
        if refused is not None:
            loop.call_soon(self._deliver, ((done, refused),))
        elif not self._waking:
            self._waking = True
            loop.call_soon(self._wake)

    def _wake(self) -> None:
        """Let the writer take all that one turn of the loop has appended."""
        self._waking = False
        with self._mutex:
            self._ripen()

    def _ripen(self) -> None:
        """Ring for what waits, unless that was done already; the lock is held."""
        if len(self._backlog) and not self._ripe:
            self._ripe = True
            self._bell.put(None)

    # --- reading ------------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot | None:
        """Return the newest intact snapshot, None without one."""
        found = await self._in(self._keeper, self._snapshots.take)
        return None if found is None else Snapshot(seq=found.seq, body=found.body)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, and the one before it. One that cannot be kept is only logged."""
        try:
            record_hash = await self._in(self._reader, lambda: self._hash_of(snapshot.seq))
            await self._in(
                self._keeper,
                lambda: self._snapshots.save(snapshot.seq, record_hash, snapshot.body),
            )
        except (JournalError, OSError, sqlite3.Error) as error:
            _LOG.error("snapshot_not_kept", seq=snapshot.seq, reason=str(error))
            return
        metrics.JOURNAL_SNAPSHOT_TIMESTAMP.set_to_current_time()
        _LOG.info("snapshot_kept", seq=snapshot.seq, size_bytes=len(snapshot.body))

    async def replay(
        self, *, after_seq: int = 0, until_seq: int | None = None
    ) -> AsyncIterator[Sequence[Recorded]]:
        """Yield durable entries after `after_seq`, oldest first, in pages.

        Without `until_seq` they end with the last entry of before this start; these were
        checked by `open`. The others are checked as they are read: raises `JournalCorrupt`
        where their chain breaks, and `JournalUnsupported` for one of a newer version.
        """
        last = self._first_head if until_seq is None else min(until_seq, self._last_seq)
        while after_seq < last:
            wanted = (after_seq, last, FETCH_RECORDS)
            read = self._read_page if until_seq is None else self._read_chained
            found = await self._in(self._reader, lambda wanted=wanted, read=read: read(*wanted))  # type: ignore[misc] # the defaults bind it
            if not found:
                return
            for first in range(0, len(found), PAGE_RECORDS):
                yield found[first : first + PAGE_RECORDS]
            after_seq = found[-1].seq

    async def read(
        self, *, after_seq: int, limit: int, order_id: OrderId | None = None
    ) -> tuple[EventView, ...]:
        """Return up to `limit` durable entries with `seq > after_seq`, oldest first.

        With `order_id` only those of this order. At most 10,000 at a time, so that no reader
        keeps the log from being tidied.
        """
        last_seq = self._last_seq
        if after_seq >= last_seq:
            return ()
        limit = min(limit, READ_RECORDS_MAX)
        return await self._in(
            self._reader, lambda: self._read_events(after_seq, last_seq, limit, order_id)
        )

    async def records(
        self, *, account: AccountId | None = None, order_id: OrderId | None = None
    ) -> tuple[Recorded, ...]:
        """Return every durable entry of an account or an order, oldest first, while running.

        With both, those of the order at that account. Raises `JournalUnsupported` when a
        newer version wrote one of them.
        """
        assert account is not None or order_id is not None, "records of whom?"
        return await self._in(self._reader, lambda: self._read_records(account, order_id))

    # --- the end ------------------------------------------------------------------------------

    async def close(self) -> None:
        """Commit what waits, fold the log into the file, and let the journal go.

        A second call does nothing.
        """
        with self._mutex:
            if self._closing:
                return
            self._closing = True
            self._backlog.close()
        self._bell.put(None)
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.join()
        self._keeper.shutdown()
        self._reader.submit(self._close_reading).result()
        self._reader.shutdown()
        self._connection.close()
        self._lock.release()

    def _deliver(self, results: Sequence[Result]) -> None:
        assert self._loop is not None
        deliver(self._loop, results, self._advance)

    def _advance(self, seq: int) -> None:
        self._last_seq = seq

    # --- the reader's thread ------------------------------------------------------------------

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(thread, work)

    def _read_page(self, after_seq: int, last: int, limit: int) -> Sequence[Recorded]:
        rows = self._connected().execute(
            f"SELECT {_FOUND} FROM records WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",  # noqa: S608 - a constant
            (after_seq, last, limit),
        )
        return tuple(recorded(self._path, row) for row in rows.fetchall())

    def _read_chained(self, after_seq: int, last: int, limit: int) -> Sequence[Recorded]:
        """Read a page as above, and follow the chain of its records."""
        before = GENESIS if after_seq == 0 else self._hash_of(after_seq)
        rows = self._connected().execute(
            "SELECT seq, at_ns, epoch, type, account, order_id, session, body, prev_hash, hash"
            " FROM records WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            (after_seq, last, limit),
        )
        chain = Chain(self._path, Head(seq=after_seq, hash=before, epoch=0))
        page = []
        for row in rows.fetchall():
            chain.follow(row)
            seq, at_ns, _, name, account, order_id, session, body, _, _ = row
            found = (seq, at_ns, name, account, order_id, session, body)
            page.append(recorded(self._path, found))
        if not page:
            raise JournalCorrupt(self._path, after_seq + 1, "it is missing")
        return page

    def _read_events(
        self, after_seq: int, last: int, limit: int, order_id: OrderId | None
    ) -> tuple[EventView, ...]:
        of_order = "" if order_id is None else "order_id = ? AND "
        rows = self._connected().execute(
            "SELECT seq, at_ns, type, account, order_id, body FROM records"  # noqa: S608 - one of two constants
            f" WHERE {of_order}seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            (*(() if order_id is None else (order_id,)), after_seq, last, limit),
        )
        return tuple(
            EventView(seq=seq, at_ns=at_ns, type=name, account=account, order_id=order, body=body)
            for seq, at_ns, name, account, order, body in rows.fetchall()
        )

    def _read_records(
        self, account: AccountId | None, order_id: OrderId | None
    ) -> tuple[Recorded, ...]:
        select = f"SELECT {_FOUND} FROM records"  # noqa: S608 - a constant
        if order_id is None:
            rows = self._connected().execute(f"{select} WHERE account = ? ORDER BY seq", (account,))
        else:
            rows = self._connected().execute(
                f"{select} WHERE order_id = ? AND account IS coalesce(?, account) ORDER BY seq",
                (order_id, account),
            )
        return tuple(recorded(self._path, row) for row in rows.fetchall())

    def _hash_of(self, seq: int) -> bytes:
        row = self._connected().execute("SELECT hash FROM records WHERE seq = ?", (seq,)).fetchone()
        if row is None:
            message = f"{self._path}: has no record {seq} to make a snapshot of"
            raise JournalError(message)
        found: bytes = row[0]
        return found

    def _connected(self) -> sqlite3.Connection:
        if self._reading is None:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            self._reading = sqlite3.connect(
                uri, uri=True, timeout=_LOCK_TIMEOUT_S, isolation_level=None
            )
        return self._reading

    def _close_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()

    # --- the writer's thread ------------------------------------------------------------------

    def _write(self) -> None:
        batch: Sequence[Waiting] = ()
        try:
            while batch := self._take():
                while batch and not self._commit(batch):
                    batch = self._make_room(batch)
                batch = ()
                if self._log_pages >= LOG_PAGES:
                    self._fold("PASSIVE")
            self._fold("TRUNCATE")
        except Exception as error:  # noqa: BLE001 - dying silently would leave orders waiting
            with self._mutex:  # later ones are refused after these
                self._tell(self._backlog.fail(error, batch))

    def _take(self) -> Sequence[Waiting]:
        """Wait for entries and take them; none at all means that the journal is closing."""
        while True:
            self._bell.get()
            with self._mutex:
                self._ripe = False
                batch = self._backlog.take()
                self._ripen()  # Only so many fit into a transaction.
                if self._closing:
                    self._bell.put(None)  # Nobody rings any more for what is still to come.
                if batch or self._closing:
                    return batch

    def _commit(self, batch: Sequence[Waiting]) -> bool:
        """Make a batch durable and say so; False when the disk was full for the first time."""
        before = self._head
        rows, after = chain_rows(batch, before)
        started = time.perf_counter()
        try:
            self._transact(rows, before, after)
        except sqlite3.OperationalError as error:
            full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
            if not full or self._backlog.full is not None:
                raise
            return False
        seconds = time.perf_counter() - started
        self._tell(committed(batch, before))
        count_commit(batch, seconds)
        self._log_pages += _PAGES + sum(len(one.body) + _HEADER_BYTES for one in batch) // 2048
        return True

    def _fold(self, mode: str) -> None:
        """Fold the log into the file. Left to itself, SQLite would not tell that this failed."""
        self._log_pages = 0
        try:
            self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.OperationalError as error:
            # The records are safe in the log, which goes on while there is room for it.
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            if self._backlog.full is None and not self._closing:
                self._make_room(())

    def _make_room(self, batch: Sequence[Waiting]) -> Sequence[Waiting]:
        """Give back the reserve, refuse what is new, and return what is left to write."""
        given = self._reserve.give()
        why = "the disk is full" + ("" if given else " and no room was kept")
        with self._mutex:
            kept, answers = self._backlog.fill_up(why, batch)
            self._tell(answers)
        return kept

    def _transact(self, rows: Sequence[Row], head: Head, next_head: Head) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            moved = connection.execute(
                "UPDATE meta SET head_seq = ?, head_hash = ? WHERE epoch = ? AND head_hash = ?",
                (next_head.seq, next_head.hash, head.epoch, head.hash),
            )
            _assert_ours(moved.rowcount, head)
            connection.executemany(
                "INSERT INTO records (seq, at_ns, epoch, type, account, order_id, session, body,"
                " prev_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            connection.execute("COMMIT")
        except Exception:
            with suppress(sqlite3.Error):  # a failed COMMIT may have ended the transaction
                connection.execute("ROLLBACK")
            raise
        self._head = next_head

    def _tell(self, results: Sequence[Result]) -> None:
        if not results:
            return
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._deliver, results)
        except RuntimeError:  # the loop is closed: the engine stopped without waiting
            _LOG.warning("journal_answers_dropped", records=len(results))


def _assert_ours(rows: int, head: Head) -> None:
    if rows != 1:
        message = f"epoch {head.epoch} is over, another writer has the journal"
        raise JournalError(message)
