"""One shard's rows in the journal's tables: its head, its records, its snapshots.

Rule: whatever adds records is one statement, which moves the head from the one that its
writer knows. So it is whole or not there, and of two writers one finds nothing to move.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from engine.domain.values import AccountId, OrderId
from engine.journal.batch import Found, Row
from engine.journal.errors import JournalCorrupt, JournalError
from engine.journal.postgres_server import Connection, without_password
from engine.journal.snapshot import SNAPSHOTS_KEPT, Sealed, newest_good, seal
from engine.journal.verify import EMPTY, GENESIS, Chain, Head

SNAPSHOT_S_MAX: Final = 120.0
"""So long a snapshot may take to come or go; it is large, and nothing waits for it."""

_CHAIN_PAGE: Final = 5000

# The update finds its row only while the head is the one that the records follow, and while
# the server still keeps what it commits; without it no record is inserted.
_INSERT: Final = """
WITH moved AS (
    UPDATE engine_journal.shards SET head_seq = $4, head_hash = $5
    WHERE shard = $1 AND epoch = $2 AND head_hash = $3
        AND current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'
    RETURNING shard
)
INSERT INTO engine_journal.records (
    shard, seq, at_ns, epoch, type, account, order_id, session, body, prev_hash, hash
)
SELECT moved.shard, row.* FROM moved, unnest(
    $6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[],
    $13::bytea[], $14::bytea[], $15::bytea[]
) AS row
"""

_HEAD: Final = "SELECT head_seq, head_hash, epoch FROM engine_journal.shards WHERE shard = $1"

_SETTLE: Final = """
UPDATE engine_journal.shards SET epoch = epoch WHERE shard = $1
RETURNING head_seq, head_hash, epoch
"""

_CHAINED: Final = """
SELECT seq, at_ns, epoch, type, account, order_id, session, body, prev_hash, hash
FROM engine_journal.records WHERE shard = $1 AND """

_FIND: Final = """
SELECT seq, at_ns, type, account, order_id, session, body
FROM engine_journal.records WHERE shard = $1 AND """


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows of one shard; every method asks them of a connection."""

    url: str
    name: str

    @property
    def where(self) -> str:
        """What it is called in messages; it has no password."""
        return f"{without_password(self.url)}, shard {self.name}"

    async def make(self, connection: Connection) -> None:
        """Begin an empty journal unless there is one."""
        await connection.execute(
            "INSERT INTO engine_journal.shards VALUES ($1, 0, 0, $2) ON CONFLICT DO NOTHING",
            self.name,
            GENESIS,
        )

    async def insert(
        self, connection: Connection, rows: Sequence[Row], head: Head, next_head: Head
    ) -> bool:
        """Add the rows and move the head; False when the head is another one, or unsafe now."""
        status = await connection.execute(
            _INSERT,
            self.name,
            head.epoch,
            head.hash,
            next_head.seq,
            next_head.hash,
            *(list(column) for column in zip(*rows, strict=True)),
        )
        return status == f"INSERT 0 {len(rows)}"

    async def settled_head(self, connection: Connection) -> Head | None:
        """Return the head once no transaction is about to move it, and make it durable.

        The row is written as it is: that waits for whoever holds it, and commits after it.
        None without such a shard.
        """
        row = await connection.fetchrow(_SETTLE, self.name)
        return None if row is None else Head(seq=row[0], hash=row[1], epoch=row[2])

    async def begin_epoch(self, connection: Connection, head: Head) -> Head:
        """Count one epoch up; from then on no writer of an older one adds a record."""
        status = await connection.execute(
            "UPDATE engine_journal.shards SET epoch = epoch + 1"
            " WHERE shard = $1 AND epoch = $2 AND head_hash = $3",
            self.name,
            head.epoch,
            head.hash,
        )
        if status != "UPDATE 1":
            message = f"{self.where}: another writer added records while it was opened"
            raise JournalError(message)
        return Head(seq=head.seq, hash=head.hash, epoch=head.epoch + 1)

    async def verify(self, connection: Connection, start: Head = EMPTY) -> Head:
        """Check every record after `start`; return the head. Raises `JournalCorrupt`."""
        chain = Chain(self.where, start)
        # One moment for all of it: the shard may be written meanwhile.
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            head = await self.head(connection)
            records = connection.cursor(
                f"{_CHAINED} seq > $2 ORDER BY seq", self.name, start.seq, prefetch=_CHAIN_PAGE
            )
            async for record in records:
                chain.follow(_row(record))
        if head is None:
            problem = f"the table engine_journal.shards has no row of the shard {self.name}"
            raise JournalCorrupt(self.where, chain.seq, problem)
        chain.end(head)
        return head

    async def head(self, connection: Connection) -> Head | None:
        """Return the head as it is; None without such a shard."""
        row = await connection.fetchrow(_HEAD, self.name)
        return None if row is None else Head(seq=row[0], hash=row[1], epoch=row[2])

    async def chained(self, connection: Connection, condition: str, *values: object) -> list[Row]:
        """Return whole records; `condition` begins with `$2` and says their order, too."""
        rows = await connection.fetch(_CHAINED + condition, self.name, *values)
        return [_row(row) for row in rows]

    async def head_at(self, connection: Connection, seq: int) -> Head:
        """Return what a record is to the one after it. Raises `JournalCorrupt` without it."""
        if seq == 0:
            return EMPTY
        row = await connection.fetchrow(
            "SELECT seq, hash, epoch FROM engine_journal.records WHERE shard = $1 AND seq = $2",
            self.name,
            seq,
        )
        if row is None:
            raise JournalCorrupt(self.where, seq, "it is missing")
        return Head(seq=row[0], hash=row[1], epoch=row[2])

    async def newest_snapshot(self, connection: Connection) -> Sealed | None:
        """Return the newest snapshot that is good; None without one."""
        rows = await connection.fetch(
            "SELECT seq, sealed, hash FROM engine_journal.snapshots"
            " LEFT JOIN engine_journal.records USING (shard, seq)"
            " WHERE shard = $1 ORDER BY seq DESC",
            self.name,
            timeout=SNAPSHOT_S_MAX,
        )
        hashes = {row["seq"]: row["hash"] for row in rows}
        kept = [(f"of record {row['seq']}", _reading(row["sealed"])) for row in rows]
        return newest_good(kept, hashes.get)

    async def save_snapshot(self, connection: Connection, seq: int, body: bytes) -> None:
        """Keep a snapshot of the records up to `seq`, and one before it.

        Raises `JournalError` when there is no such record.
        """
        record_hash = await connection.fetchval(
            "SELECT hash FROM engine_journal.records WHERE shard = $1 AND seq = $2",
            self.name,
            seq,
        )
        if record_hash is None:
            message = f"{self.where}: has no record {seq} for a snapshot"
            raise JournalError(message)
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO engine_journal.snapshots (shard, seq, sealed) VALUES ($1, $2, $3)"
                " ON CONFLICT (shard, seq) DO UPDATE SET sealed = excluded.sealed",
                self.name,
                seq,
                seal(seq, record_hash, body),
                timeout=SNAPSHOT_S_MAX,
            )
            await connection.execute(
                "DELETE FROM engine_journal.snapshots WHERE shard = $1 AND seq NOT IN ("
                "SELECT seq FROM engine_journal.snapshots WHERE shard = $1"
                " ORDER BY seq DESC LIMIT $2)",
                self.name,
                SNAPSHOTS_KEPT,
            )

    async def page(
        self,
        connection: Connection,
        *,
        after_seq: int,
        until_seq: int,
        limit: int,
        order_id: OrderId | None = None,
    ) -> list[Found]:
        """Return up to `limit` records after one and up to another, of an order if wanted."""
        values = (after_seq, until_seq, limit)
        if order_id is None:
            condition = "seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4"
            return await self._find(connection, condition, *values)
        condition = "order_id = $5 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4"
        return await self._find(connection, condition, *values, order_id)

    async def of_account(self, connection: Connection, account: AccountId) -> list[Found]:
        """Return all records of an account, oldest first."""
        return await self._find(connection, "account = $2 ORDER BY seq", account)

    async def of_order(
        self, connection: Connection, order_id: OrderId, account: AccountId | None
    ) -> list[Found]:
        """Return all records of an order, oldest first; with an account, those at it."""
        if account is None:
            return await self._find(connection, "order_id = $2 ORDER BY seq", order_id)
        condition = "order_id = $2 AND account = $3 ORDER BY seq"
        return await self._find(connection, condition, order_id, account)

    async def _find(self, connection: Connection, condition: str, *values: object) -> list[Found]:
        rows = await connection.fetch(_FIND + condition, self.name, *values)
        return [
            (seq, at_ns, name, account, order_id, session, body)
            for seq, at_ns, name, account, order_id, session, body in rows
        ]


def _row(record: asyncpg.Record) -> Row:
    seq, at_ns, epoch, name, account, order_id, session, body, before, own = record
    return (seq, at_ns, epoch, name, account, order_id, session, body, before, own)


def _reading(kept: bytes) -> Callable[[], bytes]:
    return lambda: kept
