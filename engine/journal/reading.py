"""A journal for people who look: read only, beside the engine that writes it.

Rule 1: nothing here takes the journal's lock, begins an epoch or upgrades a schema.

Rule 2: what is read was committed. What is committed meanwhile may be missing.
"""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

from engine.domain.values import AccountId, OrderId
from engine.journal.batch import Row
from engine.journal.errors import JournalCorrupt, JournalError
from engine.journal.open import is_postgres, sqlite_file
from engine.journal.postgres_server import Connection, Line, check_schema
from engine.journal.postgres_shard import Shard
from engine.journal.snapshot import Sealed
from engine.journal.snapshot_files import SnapshotFiles
from engine.journal.sqlite_file import check_kind, has_sessions, verify_chain
from engine.journal.verify import Head

_LOCK_TIMEOUT_S: Final = 5.0
_PAGE_RECORDS: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which records are looked for; None stands for any."""

    order_id: OrderId | None = None
    account: AccountId | None = None
    types: tuple[str, ...] = ()
    from_seq: int | None = None
    """The first of them; without it, a limit leaves the newest."""
    limit: int | None = None


class JournalReader(Protocol):
    """An existing journal, whatever it is kept in. `close` it."""

    @property
    def where(self) -> str:
        """What it is called in messages; it has no password."""
        ...

    async def verify(self) -> Head:
        """Check every record; return the head. Raises `JournalCorrupt` at the first wrong one."""
        ...

    async def head(self) -> Head:
        """Return the newest record's place, its hash and the newest epoch, unchecked."""
        ...

    def pages(self, *, after_seq: int, until_seq: int) -> AsyncIterator[Sequence[Row]]:
        """Yield whole records after one and up to another, oldest first, in pages."""
        ...

    async def find(self, wanted: Wanted) -> Sequence[Row]:
        """Return the records that are wanted, oldest first."""
        ...

    async def snapshot(self) -> Sealed | None:
        """Return the newest snapshot that is good; None without one."""
        ...

    async def close(self) -> None:
        """Let go of the file or the connection."""
        ...


async def open_reader(url: str, *, state_dir: Path, shard: str) -> JournalReader:
    """Open the journal that `journal.url` names, to read it.

    Raises `ConfigError` for a URL of another kind, `JournalError` when there is no journal.
    """
    if is_postgres(url):
        return await PostgresReader.open(url, shard=shard)
    return SqliteReader(sqlite_file(url, state_dir=state_dir))


class SqliteReader:
    """The journal in a SQLite file, of this schema or an older one."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            message = f"{path}: there is no journal"
            raise JournalError(message)
        self._path = path
        uri = f"{path.absolute().as_uri()}?mode=ro"
        try:
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=_LOCK_TIMEOUT_S, isolation_level=None
            )
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        try:
            check_kind(self._connection, path)
            session = "session" if has_sessions(self._connection) else "NULL"
        except sqlite3.Error as error:
            self._connection.close()
            raise self._unreadable(error) from error
        except JournalError:
            self._connection.close()
            raise
        self._select = (
            f"SELECT seq, at_ns, epoch, type, account, order_id, {session}, body, prev_hash, hash"  # noqa: S608 - one of two constants
            " FROM records WHERE "
        )

    @property
    def where(self) -> str:
        """The file's path."""
        return str(self._path)

    async def verify(self) -> Head:
        """Check every record; return the head."""
        # One moment for all of it: the engine may write meanwhile.
        self._connection.execute("BEGIN")
        try:
            return verify_chain(self._connection, self._path)
        finally:
            with contextlib.suppress(sqlite3.Error):  # the file may be damaged
                self._connection.execute("ROLLBACK")

    async def head(self) -> Head:
        """Return the head as the file repeats it."""
        rows = self._fetch("SELECT head_seq, head_hash, epoch FROM meta")
        if len(rows) != 1:
            problem = f"the table meta has {len(rows)} rows and needs 1"
            raise JournalCorrupt(self._path, 0, problem)
        seq, record_hash, epoch = rows[0]
        return Head(seq=seq, hash=record_hash, epoch=epoch)

    async def pages(self, *, after_seq: int, until_seq: int) -> AsyncIterator[Sequence[Row]]:
        """Yield whole records, oldest first."""
        select = f"{self._select} seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        while rows := self._rows(select, after_seq, until_seq, _PAGE_RECORDS):
            yield rows
            after_seq = rows[-1][0]

    async def find(self, wanted: Wanted) -> Sequence[Row]:
        """Return the records that are wanted, oldest first."""
        conditions = ["seq >= ?"]
        values: list[object] = [wanted.from_seq or 0, *wanted.types]
        if wanted.types:
            conditions.append(f"type IN ({', '.join('?' * len(wanted.types))})")
        for column, value in (("order_id", wanted.order_id), ("account", wanted.account)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        newest = wanted.from_seq is None
        order = f"ORDER BY seq {'DESC' if newest else 'ASC'} LIMIT ?"
        values.append(-1 if wanted.limit is None else wanted.limit)
        rows = self._rows(f"{self._select} {' AND '.join(conditions)} {order}", *values)
        return rows[::-1] if newest else rows

    async def snapshot(self) -> Sealed | None:
        """Return the newest good snapshot of those beside the file."""
        return SnapshotFiles(self._path, room_bytes=0).settle(self._hash_of)

    async def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _hash_of(self, seq: int) -> object:
        rows = self._fetch("SELECT hash FROM records WHERE seq = ?", seq)
        return rows[0][0] if rows else None

    def _rows(self, statement: str, *values: object) -> list[Row]:
        rows = self._fetch(statement, *values)
        for row in rows:
            if not isinstance(row[7], bytes):  # SQLite keeps any type in any column
                raise JournalCorrupt(self._path, row[0], "its body is not made of bytes")
        return rows

    def _fetch(self, statement: str, *values: object) -> list[Any]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> JournalError:
        return JournalError(f"{self._path}: cannot be read as a journal: {error}")


class PostgresReader:
    """The journal of a shard in a PostgreSQL database, or in a standby of it."""

    def __init__(self, shard: Shard, line: Line) -> None:
        self._shard = shard
        self._line = line

    @classmethod
    async def open(cls, url: str, *, shard: str) -> Self:
        """Connect to an existing journal."""
        rows, line = Shard(url, shard), Line(url, name=f"engine {shard} looks", read_only=True)
        try:
            await line.do(lambda connection: _expect(connection, rows))
        except BaseException:
            await line.close()
            raise
        return cls(rows, line)

    @property
    def where(self) -> str:
        """The database's URL without its password, and the shard."""
        return self._shard.where

    async def verify(self) -> Head:
        """Check every record; return the head."""
        return await self._line.do(self._shard.verify)

    async def head(self) -> Head:
        """Return the head as the shard's row has it."""
        head = await self._line.do(self._shard.head)
        assert head is not None, "the shard was there, and none is ever removed"
        return head

    async def pages(self, *, after_seq: int, until_seq: int) -> AsyncIterator[Sequence[Row]]:
        """Yield whole records, oldest first."""
        condition = "seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4"
        while rows := await self._chained(condition, after_seq, until_seq, _PAGE_RECORDS):
            yield rows
            after_seq = rows[-1][0]

    async def find(self, wanted: Wanted) -> Sequence[Row]:
        """Return the records that are wanted, oldest first."""
        newest = wanted.from_seq is None
        conditions = ["seq >= $2"]
        values: list[object] = [wanted.from_seq or 0, wanted.limit]
        for condition, value in (
            ("type = ANY({})", list(wanted.types) or None),
            ("order_id = {}", wanted.order_id),
            ("account = {}", wanted.account),
        ):
            if value is not None:
                values.append(value)
                conditions.append(condition.format(f"${len(values) + 1}"))
        order = f"ORDER BY seq {'DESC' if newest else 'ASC'} LIMIT $3"
        rows = await self._chained(f"{' AND '.join(conditions)} {order}", *values)
        return rows[::-1] if newest else rows

    async def snapshot(self) -> Sealed | None:
        """Return the newest good snapshot in the database."""
        return await self._line.do(self._shard.newest_snapshot)

    async def close(self) -> None:
        """End the connection."""
        await self._line.close()

    async def _chained(self, condition: str, *values: object) -> list[Row]:
        return await self._line.do(
            lambda connection: self._shard.chained(connection, condition, *values)
        )


async def _expect(connection: Connection, shard: Shard) -> None:
    """Raise `JournalError` when the database has no such shard, and name those that it has."""
    await check_schema(connection, shard.where)
    if await shard.head(connection) is None:
        rows = await connection.fetch("SELECT shard FROM engine_journal.shards ORDER BY shard")
        others = ", ".join(row["shard"] for row in rows) or "none"
        message = f"{shard.where}: there is no such shard, the database has {others}"
        raise JournalError(message)
