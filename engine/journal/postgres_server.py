"""A PostgreSQL server as the journal needs it: durable, writable, ours alone, of a known schema.

Rule 1: a server that may lose or tear what it called committed is refused, at every connection.

Rule 2: nothing that is said of a server tells its password.
"""

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar

import asyncpg

from engine.journal.errors import JournalError, JournalLocked, JournalUnsupported

SCHEMA_VERSION: Final = 1
PATIENCE_S: Final = 30.0
"""So long a server may be out of reach; then the journal has failed, for good."""

_SERVER_VERSION_MIN: Final = 13
_CONNECT_S_MAX: Final = 10.0
_COMMAND_S_MAX: Final = 10.0
_LOCK_S_MAX: Final = 3.0
_DELAY_S_FIRST: Final = 0.05
_DELAY_S_MAX: Final = 0.5

_LOCKS: Final = 0x45584A4C  # "EXJL", so that no other program's advisory lock is taken for ours
_SCHEMA_LOCK: Final = -1

# What a session needs whatever its role or database has for defaults. A statement that waits
# for a row sees the row's newest state, which is what the assertion of the head relies on.
# The keep-alives let the server notice an engine's machine that is gone, and free its lock.
_SETTINGS: Final = {
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "0",
    "statement_timeout": "0",
    "search_path": "pg_catalog",
    "tcp_keepalives_count": "3",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
}

_DURABLE: Final = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply"),
    "server_encoding": ("UTF8",),
}

_TABLES: Final = """
CREATE SCHEMA engine_journal;
CREATE TABLE engine_journal.about (
    id integer PRIMARY KEY CHECK (id = 1),
    version integer NOT NULL
);
CREATE TABLE engine_journal.shards (
    shard text COLLATE "C" PRIMARY KEY,
    epoch bigint NOT NULL,
    head_seq bigint NOT NULL,
    head_hash bytea NOT NULL
) WITH (fillfactor = 20);
CREATE TABLE engine_journal.records (
    shard text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    at_ns bigint NOT NULL,
    epoch bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    account text COLLATE "C",
    order_id text COLLATE "C",
    session text COLLATE "C",
    body bytea NOT NULL,
    prev_hash bytea NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (shard, seq)
);
CREATE INDEX records_of_order ON engine_journal.records (shard, order_id, seq)
    WHERE order_id IS NOT NULL;
CREATE INDEX records_of_account ON engine_journal.records (shard, account, seq)
    WHERE account IS NOT NULL;
CREATE TABLE engine_journal.snapshots (
    shard text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    sealed bytea NOT NULL,
    PRIMARY KEY (shard, seq)
);
INSERT INTO engine_journal.about VALUES (1, 1);
"""

T = TypeVar("T")

# In quotes: it takes its type argument in its stubs only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class ServerNotReady(JournalError):  # noqa: N818 - says what is so
    """The server cannot be used yet, but soon may be: it recovers, or frees our lock."""


LOST: Final = (
    OSError,  # a timeout is one, too
    ServerNotReady,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidAuthorizationSpecificationError,  # a password that is being changed
)
"""What a connection ends with that another one may do better."""


def without_password(url: str) -> str:
    """Return the URL as it may be shown: without its password, wherever it is in it."""
    scheme, separator, rest = url.partition("://")
    address, question, query = rest.partition("?")
    login, at, place = address.rpartition("@")
    user = login.partition(":")[0]
    options = "&".join(
        option for option in query.split("&") if "password" not in option.partition("=")[0].lower()
    )
    return f"{scheme}{separator}{user}{at}{place}{question if options else ''}{options}"


class Patience:
    """Waits longer and longer between tries, and ends with an error when it is worn out."""

    def __init__(self, seconds: float = PATIENCE_S) -> None:
        self._ends_at = time.monotonic() + seconds
        self._seconds = seconds
        self._delay_s = _DELAY_S_FIRST

    async def wait(self, error: Exception) -> None:
        """Let some time pass after a failed try. Raises `JournalError` when there is no more."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            message = f"nothing helped for {self._seconds:g} s: {_told(error)}"
            raise JournalError(message) from error
        await asyncio.sleep(min(self._delay_s, left))
        self._delay_s = min(self._delay_s * 2, _DELAY_S_MAX)


async def connect(url: str, *, name: str, read_only: bool = False) -> Connection:
    """Connect, and refuse a server that the journal cannot trust.

    The password may be in the URL, in PGPASSWORD or in the file that PGPASSFILE names.
    Raises `JournalUnsupported` for such a server, one of `LOST` when it is out of reach.
    """
    try:
        connection: Connection = await asyncpg.connect(
            url,
            timeout=_CONNECT_S_MAX,
            command_timeout=_COMMAND_S_MAX,
            server_settings={
                **_SETTINGS,
                "application_name": name,
                "default_transaction_read_only": "on" if read_only else "off",
            },
        )
    except (asyncpg.ClientConfigurationError, ValueError):
        # The error's own text may hold a part of the password, so it is not chained.
        message = (
            f"{without_password(url)}: cannot be read as postgresql://user@host:port/database; "
            "special characters in a name or password are written like %40"
        )
        raise JournalUnsupported(message) from None
    try:
        if not read_only:
            await refuse_unsafe(connection, without_password(url))
    except BaseException:
        connection.terminate()
        raise
    return connection


async def close(connection: Connection) -> None:
    """Say goodbye, or just leave when the server does not answer."""
    with contextlib.suppress(*LOST, asyncpg.PostgresError):
        await connection.close(timeout=_COMMAND_S_MAX)


class Line:
    """A connection that is made when it is needed, and anew when it was lost.

    What is done with it is done one after the other, and again after a loss: so it must be
    something that may be done twice.
    """

    def __init__(self, url: str, *, name: str, read_only: bool = False) -> None:
        self.patience_s = PATIENCE_S
        self._url = url
        self._name = name
        self._read_only = read_only
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def do(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Return what `work` returns. Raises `JournalError` when the server does not do it."""
        patience = Patience(self.patience_s)
        async with self._turn:
            while True:
                try:
                    return await work(await self._connected())
                except LOST as error:
                    self._leave()
                    await patience.wait(error)
                except asyncpg.PostgresError as error:
                    message = f"{without_password(self._url)}: the database refuses: {error}"
                    raise JournalError(message) from error

    async def close(self) -> None:
        """End the connection after what is being done with it."""
        async with self._turn:
            if self._connection is not None:
                await close(self._connection)
                self._connection = None

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._leave()
            self._connection = await connect(self._url, name=self._name, read_only=self._read_only)
        return self._connection

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def prepare_schema(connection: Connection, where: str) -> None:
    """Make the tables when they are missing. Raises `JournalUnsupported` if they are not ours."""
    async with connection.transaction():
        # Two engines that start on a new database make the tables once.
        await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCKS}, {_SCHEMA_LOCK})")
        if not await connection.fetchval("SELECT to_regnamespace('engine_journal') IS NOT NULL"):
            await connection.execute(_TABLES)
    await check_schema(connection, where)


async def check_schema(connection: Connection, where: str) -> None:
    """Raise `JournalUnsupported` without tables of the version that this engine reads."""
    try:
        version = await connection.fetchval("SELECT version FROM engine_journal.about")
    except (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedTableError) as error:
        message = f"{where}: has no journal of this engine"
        raise JournalUnsupported(message) from error
    if version != SCHEMA_VERSION:
        message = f"{where}: has the schema {version}, this version of the engine reads "
        raise JournalUnsupported(message + str(SCHEMA_VERSION))


async def lock_shard(connection: Connection, shard: str, where: str) -> None:
    """Take the shard's lock until the connection ends. Raises `JournalLocked` if it is taken.

    It keeps a second engine from starting by mistake. What keeps its records out is the
    epoch, which every transaction asserts.
    """
    ends_at = time.monotonic() + _LOCK_S_MAX  # what was killed just now may still have it
    while not await try_lock(connection, shard):
        if time.monotonic() >= ends_at:
            owner = await connection.fetchrow(
                "SELECT pid, coalesce(client_addr::text, 'this machine') AS place"
                " FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE locktype = 'advisory' AND granted AND classid = $1 AND objid = $2"
                " AND pg_locks.database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())",
                _LOCKS,
                _lock_number(shard),
            )
            who = "another" if owner is None else f"{owner['pid']} from {owner['place']}"
            message = f"{where}: is locked by connection {who}; one journal serves one engine"
            raise JournalLocked(message)
        await asyncio.sleep(_DELAY_S_FIRST)


async def try_lock(connection: Connection, shard: str) -> bool:
    """Take the shard's lock; False when another connection has it."""
    return bool(
        await connection.fetchval(
            "SELECT pg_try_advisory_lock($1, $2)", _LOCKS, _lock_number(shard)
        )
    )


async def end_others(connection: Connection, name: str) -> None:
    """End the connections of this name that the server has not yet missed."""
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
        " AND pid <> pg_backend_pid() AND usename = current_user AND datname = current_database()",
        name,
    )


async def refuse_unsafe(connection: Connection, where: str) -> None:
    """Raise `JournalUnsupported` when the server may lose records, `ServerNotReady` to wait."""
    major = connection.get_server_version().major
    if major < _SERVER_VERSION_MIN:
        message = f"{where}: is PostgreSQL {major}, needs {_SERVER_VERSION_MIN} or newer"
        raise JournalUnsupported(message)
    columns = ", ".join(f"current_setting('{name}') AS {name}" for name in _DURABLE)
    row = await connection.fetchrow(
        f"SELECT {columns}, pg_is_in_recovery() AS recovers, pg_backend_pid() AS pid"
    )
    assert row is not None
    for name, allowed in _DURABLE.items():
        if row[name] not in allowed:
            needed = " or ".join(allowed)
            message = f"{where}: has {name} = {row[name]}, the journal needs {needed}"
            raise JournalUnsupported(message)
    if row["pid"] != connection.get_server_pid():
        message = (
            f"{where}: is behind a connection pooler, which shares connections and their locks; "
            "the journal needs the server itself"
        )
        raise JournalUnsupported(message)
    if row["recovers"]:
        message = f"{where}: is a standby or still recovers, and takes no records"
        raise ServerNotReady(message)
    # From here on, a reload of the server's configuration does not weaken this session.
    await connection.execute(
        "SELECT set_config('synchronous_commit', $1, false)", row["synchronous_commit"]
    )


def _lock_number(shard: str) -> int:
    """Return a number of 31 bits: four letters and digits in base 36, a digest of all else."""
    if re.fullmatch(r"[0-9A-Z]{1,5}", shard):
        return int(shard, 36)
    return int.from_bytes(hashlib.sha256(shard.encode()).digest()[:4]) >> 1


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__
