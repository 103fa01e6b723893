"""The journal's SQLite file: made, brought up to this version, and checked.

Rule 1: a file of an older schema is upgraded in one transaction, after a copy of it is
durable. There is no way back: a file of a newer schema is refused.

Rule 2: a start that finds an intact snapshot checks the records after it; without one, all.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from engine import log
from engine.journal.errors import JournalCorrupt, JournalUnsupported
from engine.journal.files import sync_directory, sync_file
from engine.journal.snapshot_files import SnapshotFiles
from engine.journal.verify import EMPTY, Chain, Chained, Head

SCHEMA_VERSION: Final = 2

_APPLICATION_ID: Final = 0x45584A4C  # "EXJL", so that no other program's file is taken for ours

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
    hash BLOB NOT NULL,
    session TEXT
);
INSERT INTO meta VALUES (1, 0, 0, zeroblob(32));
"""

# Made when they are missing: a journal that older versions wrote has none.
_INDEXES: Final = """
CREATE INDEX IF NOT EXISTS records_of_order ON records (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS records_of_account ON records (account) WHERE account IS NOT NULL;
"""

_LOG: Final = log.get("journal")


def prepare_file(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is not ours, make the tables of a new one, and ask for durability."""

    def pragma(text: str) -> object:
        row = connection.execute(f"PRAGMA {text}").fetchone()
        return row[0] if row else None

    version, application = pragma("user_version"), pragma("application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    is_new = version == 0 and application == 0 and tables == 0
    if not is_new:
        check_kind(connection, path)
    # In WAL mode, FULL is what fsyncs every commit.
    if pragma("journal_mode = WAL") != "wal":
        message = f"{path}: cannot be put into WAL mode on this file system"
        raise JournalUnsupported(message)
    pragma("synchronous = FULL")
    assert pragma("synchronous") == 2  # noqa: PLR2004 - what SQLite calls FULL
    pragma("fullfsync = ON")  # macOS leaves data in the drive's cache without these two
    pragma("checkpoint_fullfsync = ON")
    pragma("journal_size_limit = 67108864")
    pragma("wal_autocheckpoint = 0")  # The journal does it, and hears of what fails.
    if is_new:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    elif version != SCHEMA_VERSION:
        _upgrade(connection, path)
    connection.executescript(_INDEXES)


def check_kind(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema of a journal's file. Raises `JournalUnsupported` for any other file."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        message = f"{path}: is a database, but no journal of this engine"
        raise JournalUnsupported(message)
    if not 1 <= version <= SCHEMA_VERSION:
        message = f"{path}: has the schema {version}, this version of the engine reads 1 to "
        raise JournalUnsupported(message + str(SCHEMA_VERSION))
    return version


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Give the records of schema 1 a session; those that are there have none."""
    copy = path.with_name(path.name + ".v1")
    draft = path.with_name(path.name + ".v1.draft")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(draft, isolation_level=None)) as target:
        connection.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")  # One file, whole without another.
    sync_file(draft)
    draft.replace(copy)
    sync_directory(path.parent)
    connection.executescript(
        "BEGIN IMMEDIATE; ALTER TABLE records ADD COLUMN session TEXT;"
        f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )
    _LOG.info("journal_upgraded", before=1, schema=SCHEMA_VERSION, copy=str(copy))


def check(connection: sqlite3.Connection, path: Path, snapshots: SnapshotFiles) -> Head:
    """Check the chain from the newest good snapshot on; return the head of the journal.

    Raises `JournalCorrupt` at the first wrong record.
    """
    start = snapshots.settle(lambda seq: _hash_of(connection, seq))
    if start is None:
        return verify_chain(connection, path)
    epoch = connection.execute("SELECT epoch FROM records WHERE seq = ?", (start.seq,)).fetchone()
    return verify_chain(connection, path, Head(seq=start.seq, hash=start.hash, epoch=epoch[0]))


def verify_chain(connection: sqlite3.Connection, path: Path, start: Head = EMPTY) -> Head:
    """Check every record after `start`; return the head. Raises `JournalCorrupt`."""
    chain = Chain(path, start)
    try:
        for row in _rows(connection, start.seq):
            chain.follow(row)
        meta = connection.execute("SELECT head_seq, head_hash, epoch FROM meta").fetchall()
    except sqlite3.DatabaseError as error:
        problem = f"the database cannot be read: {error}"
        raise JournalCorrupt(path, chain.seq + 1, problem) from error
    if len(meta) != 1:
        raise JournalCorrupt(path, chain.seq, f"the table meta has {len(meta)} rows and needs 1")
    head = Head(seq=meta[0][0], hash=meta[0][1], epoch=meta[0][2])
    chain.end(head)
    return head


def _rows(connection: sqlite3.Connection, after_seq: int) -> Iterator[Chained]:
    session = "session" if has_sessions(connection) else "NULL"
    # The cursor is closed even when the chain breaks: an open one keeps the file in use.
    with closing(
        connection.execute(
            f"SELECT seq, at_ns, epoch, type, account, order_id, {session}, body, prev_hash, hash"  # noqa: S608 - one of two constants
            " FROM records WHERE seq > ? ORDER BY seq",
            (after_seq,),
        )
    ) as rows:
        yield from rows


def has_sessions(connection: sqlite3.Connection) -> bool:
    """Say whether the records have a session; those of schema 1 have none."""
    columns = connection.execute("SELECT name FROM pragma_table_info('records')")
    return ("session",) in columns.fetchall()


def _hash_of(connection: sqlite3.Connection, seq: int) -> object:
    row = connection.execute("SELECT hash FROM records WHERE seq = ?", (seq,)).fetchone()
    return None if row is None else row[0]
