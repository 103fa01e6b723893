"""The journal in a PostgreSQL database, which may hold those of several engines: its shards.

Rule 1: one task writes. Whatever waits when it is free goes into one transaction, and
nothing is called committed before the server has said so.

Rule 2: a connection that is lost at a commit leaves open whether it was one. The head that
the server then has tells: the new one, it was; the old one, it was not and is written again.
Any other head is another writer's, or an older database's, and ends this journal for good.

Rule 3: every transaction asserts its epoch and the head it follows, so that a writer
whose journal was taken over cannot add a record, however late its bytes arrive.
"""

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Final, NoReturn, Self

import asyncpg

from engine import log, metrics
from engine.domain.ports import Entry, NotCommitted, Recorded, Snapshot
from engine.domain.values import AccountId, OrderId
from engine.domain.views import EventView
from engine.journal.batch import (
    BAD_RECORD,
    PAGE_RECORDS,
    READ_RECORDS_MAX,
    Backlog,
    Done,
    Found,
    Result,
    Row,
    Waiting,
    chain_rows,
    committed,
    count_commit,
    deliver,
    prepare,
    recorded,
    refusal,
)
from engine.journal.errors import JournalCorrupt, JournalError
from engine.journal.postgres_server import (
    LOST,
    PATIENCE_S,
    Connection,
    Line,
    Patience,
    ServerNotReady,
    close,
    connect,
    end_others,
    lock_shard,
    prepare_schema,
    refuse_unsafe,
    try_lock,
)
from engine.journal.postgres_shard import Shard
from engine.journal.snapshot import Sealed
from engine.journal.verify import Chain, Head

_LOG: Final = log.get("journal")


class PostgresJournal:
    """An open journal. Made by `open`; `close` it, or what was not committed is lost."""

    def __init__(
        self, shard: Shard, name: str, connection: Connection, head: Head, found: Sealed | None
    ) -> None:
        self._shard = shard
        self._name = name
        self._connection: Connection | None = connection  # the writer's
        self._patience_s = PATIENCE_S
        self._line = Line(shard.url, name=f"{name} reads")
        self._keeper = Line(shard.url, name=f"{name} keeps")  # a snapshot takes its time
        self._epoch = head.epoch
        self._first_head = head.seq
        self._last_seq = head.seq
        self._head = head  # the writer's
        self._found = found
        self._backlog = Backlog()
        self._batch: Sequence[Waiting] = ()  # what is being written and not answered
        self._awake = asyncio.Event()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._writer = self._loop.create_task(self._write(), name="journal-writer")
        self.measure()

    @classmethod
    async def open(cls, url: str, *, shard: str) -> Self:
        """Open the shard's journal, or make it, check it and begin a new epoch.

        Raises `JournalError`: `JournalLocked` when an engine has it open,
        `JournalCorrupt` when a record is not what was written, `JournalUnsupported` when
        the server may lose records or its tables are of another version.
        """
        rows, name = Shard(url, shard), f"engine {shard} {secrets.token_hex(4)}"
        async with AsyncExitStack() as undo:
            try:
                connection = await _arrive(url, name)
                undo.callback(connection.terminate)
                await prepare_schema(connection, rows.where)
                await lock_shard(connection, shard, rows.where)
                await rows.make(connection)
                found = await rows.newest_snapshot(connection)
                start = await rows.head_at(connection, 0 if found is None else found.seq)
                head = await rows.verify(connection, start)
                head = await rows.begin_epoch(connection, head)
            except JournalError:
                raise
            except (*LOST, asyncpg.PostgresError) as error:
                message = f"{rows.where}: cannot be opened as a journal: {error}"
                raise JournalError(message) from error
            undo.pop_all()
        _LOG.info("journal_opened", records=head.seq, epoch=head.epoch, checked_after=start.seq)
        return cls(rows, name, connection, head, found)

    @property
    def epoch(self) -> int:
        """The number of this start on this journal, 1 for the first."""
        return self._epoch

    @property
    def last_seq(self) -> int:
        """The newest durable entry, 0 in an empty journal."""
        return self._last_seq

    def measure(self) -> None:
        """Show that how much room is left on the server's disk is not known here."""
        metrics.JOURNAL_FREE_BYTES.set(math.nan)

    def append(self, entry: Entry, done: Done) -> None:
        """Queue the entry; `done` is called on the loop once it is durable, in order.

        What is refused, and when, is what `engine.journal.batch` says.
        """
        waiting = prepare(entry, done)
        refused = waiting if isinstance(waiting, NotCommitted) else self._offer(waiting)
        if refused is not None:
            self._backlog.remember_refused(entry, refused)
            self._loop.call_soon(self._answer, ((done, refused),))
        self._awake.set()

    async def snapshot(self) -> Snapshot | None:
        """Return the newest intact snapshot, None without one."""
        found, self._found = self._found, None
        if found is None:
            found = await self._keeper.do(self._shard.newest_snapshot)
        return None if found is None else Snapshot(seq=found.seq, body=found.body)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, and the one before it. One that cannot be kept is only logged."""
        self._found = None
        try:
            await self._keeper.do(
                lambda connection: self._shard.save_snapshot(
                    connection, snapshot.seq, snapshot.body
                )
            )
        except JournalError as error:
            _LOG.error("snapshot_not_kept", seq=snapshot.seq, reason=str(error))
            return
        metrics.JOURNAL_SNAPSHOT_TIMESTAMP.set_to_current_time()
        _LOG.info("snapshot_kept", seq=snapshot.seq, size_bytes=len(snapshot.body))

    async def replay(
        self, *, after_seq: int = 0, until_seq: int | None = None
    ) -> AsyncIterator[Sequence[Recorded]]:
        """Yield durable entries after `after_seq`, oldest first, in pages.

        Without `until_seq` they end with the last entry of before this start, whose chain
        was checked then; with it, the chain is followed. Raises `JournalUnsupported` when
        a newer version wrote one of them, `JournalCorrupt` where the chain breaks.
        """
        # Records never change: pages by number need no cursor, which an outage would end.
        if until_seq is None:
            last = self._first_head
            while after_seq < last and (found := await self._page(after_seq, last, PAGE_RECORDS)):
                after_seq = found[-1][0]
                yield [recorded(self._shard.where, row) for row in found]
            return
        last = min(until_seq, self._last_seq)
        start = await self._line.do(lambda connection: self._shard.head_at(connection, after_seq))
        chain = Chain(self._shard.where, start)
        while chain.seq < last:
            for row in (rows := await self._chained(chain.seq, last)):
                chain.follow(row)
            if not rows:
                raise JournalCorrupt(self._shard.where, chain.seq + 1, "it is missing")
            yield [recorded(self._shard.where, _found_in(row)) for row in rows]

    async def read(
        self, *, after_seq: int, limit: int, order_id: OrderId | None = None
    ) -> tuple[EventView, ...]:
        """Return up to `limit` durable entries with `seq > after_seq`, oldest first.

        With `order_id` only those of this order. At most 10,000 at a time.
        """
        last_seq = self._last_seq
        if after_seq >= last_seq:
            return ()
        rows = await self._page(after_seq, last_seq, min(limit, READ_RECORDS_MAX), order_id)
        return tuple(
            EventView(seq=seq, at_ns=at_ns, type=name, account=account, order_id=order, body=body)
            for seq, at_ns, name, account, order, _session, body in rows
        )

    async def records(
        self, *, account: AccountId | None = None, order_id: OrderId | None = None
    ) -> tuple[Recorded, ...]:
        """Return every durable entry of an account or an order, oldest first, while running.

        With both, those of the order at that account. Raises `JournalUnsupported` when a
        newer version wrote one of them.
        """
        assert account is not None or order_id is not None, "records of whom?"

        async def find(connection: Connection) -> list[Found]:
            if order_id is not None:
                return await self._shard.of_order(connection, order_id, account)
            assert account is not None
            return await self._shard.of_account(connection, account)

        found = await self._line.do(find)
        return tuple(recorded(self._shard.where, row) for row in found)

    async def close(self) -> None:
        """Commit what waits, and let the journal go. A second call does nothing."""
        if self._closing:
            return
        self._closing = True
        self._backlog.close()
        self._awake.set()
        await self._writer
        await self._line.close()
        await self._keeper.close()
        if self._connection is not None:
            await close(self._connection)
            self._connection = None

    async def _page(
        self, after_seq: int, until_seq: int, limit: int, order_id: OrderId | None = None
    ) -> list[Found]:
        return await self._line.do(
            lambda connection: self._shard.page(
                connection,
                after_seq=after_seq,
                until_seq=until_seq,
                limit=limit,
                order_id=order_id,
            )
        )

    async def _chained(self, after_seq: int, until_seq: int) -> list[Row]:
        condition = "seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4"
        return await self._line.do(
            lambda connection: self._shard.chained(
                connection, condition, after_seq, until_seq, PAGE_RECORDS
            )
        )

    def _offer(self, waiting: Waiting) -> NotCommitted | None:
        entry = waiting.entry
        for text in (entry.account, entry.order_id, entry.session):
            if text is not None and "\0" in text:
                problem = f"{text!r} has a character that PostgreSQL has no place for"
                return refusal(BAD_RECORD, f"the record cannot be written: {problem}")
        return self._backlog.offer(waiting)

    def _answer(self, results: Sequence[Result]) -> None:
        deliver(self._loop, results, self._advance)

    def _advance(self, seq: int) -> None:
        self._last_seq = seq

    # The writer's task.

    async def _write(self) -> None:
        try:
            while True:
                self._batch = self._backlog.take()
                if self._batch:
                    await self._commit()
                elif self._closing:
                    return
                else:
                    self._awake.clear()
                    await self._awake.wait()
        except Exception as error:  # noqa: BLE001 - dying silently would leave orders waiting
            self._answer(self._backlog.fail(error, self._batch))

    async def _commit(self) -> None:
        """Make the batch durable, or what a full disk leaves of it."""
        patience = Patience(self._patience_s)
        while self._batch:
            rows, next_head = chain_rows(self._batch, self._head)
            started = time.perf_counter()
            try:
                await self._store(rows, next_head)
            except asyncpg.DiskFullError as error:
                if self._backlog.full is None:
                    self._batch, answers = self._backlog.fill_up(error, self._batch)
                    self._answer(answers)
                else:  # what orders do must be written: somebody may make room for it
                    await patience.wait(error)
                continue
            count_commit(self._batch, time.perf_counter() - started)
            results = committed(self._batch, self._head)
            self._head, self._batch = next_head, ()
            self._answer(results)

    async def _store(self, rows: Sequence[Row], next_head: Head) -> None:
        """Write the rows once, however often the connection is lost over it."""
        patience = Patience(self._patience_s)
        while True:
            try:
                if self._connection is None and await self._come_back(next_head):
                    return
                assert self._connection is not None
                if await self._shard.insert(self._connection, rows, self._head, next_head):
                    return
                await self._explain(self._connection)
            except LOST as error:
                self._leave()
                _LOG.warning("journal_connection_lost", reason=str(error) or type(error).__name__)
                await patience.wait(error)

    async def _come_back(self, next_head: Head) -> bool:
        """Connect again; say whether what was written when the connection broke is there.

        Raises `JournalError` when the journal is not as this writer left it.
        """
        async with AsyncExitStack() as undo:
            connection = await connect(self._shard.url, name=self._name)
            undo.callback(connection.terminate)
            await end_others(connection, self._name)
            found = await self._shard.settled_head(connection)
            if found not in {self._head, next_head}:
                self._refuse_head(found)
            if not await try_lock(connection, self._shard.name):
                message = f"{self._shard.where}: the lock is not free yet"
                raise ServerNotReady(message)
            undo.pop_all()
        self._connection = connection
        _LOG.info("journal_connected_again", was_committed=found == next_head)
        return found == next_head

    async def _explain(self, connection: Connection) -> NoReturn:
        """Raise why nothing was inserted."""
        await refuse_unsafe(connection, self._shard.where)
        self._refuse_head(await self._shard.settled_head(connection))

    def _refuse_head(self, found: Head | None) -> NoReturn:
        ours = self._head
        if found is not None and found.epoch > ours.epoch:
            message = f"epoch {ours.epoch} is over, another writer has the journal"
        else:
            ends = "is gone" if found is None else f"ends with record {found.seq}"
            message = (
                f"it {ends}, this engine's ends with record {ours.seq}: the database was "
                "restored from an older copy, or failed over to a standby that lacks the rest"
            )
        raise JournalError(message)

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _found_in(row: Row) -> Found:
    seq, at_ns, _, name, account, order_id, session, body, _, _ = row
    return (seq, at_ns, name, account, order_id, session, body)


async def _arrive(url: str, name: str) -> Connection:
    """Connect, and wait for a server that only just starts."""
    patience = Patience()
    while True:
        try:
            return await connect(url, name=name)
        except (ServerNotReady, asyncpg.CannotConnectNowError) as error:
            await patience.wait(error)
