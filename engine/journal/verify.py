"""The chain: every record's hash covers the record and the hash of the one before.

Rule 1: changing, swapping, inserting or removing a record breaks the chain there. The head
that `meta` repeats makes a missing end visible, too.
"""

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from engine.journal.errors import JournalCorrupt

GENESIS: Final = bytes(32)
"""What the first record has for the hash of the one before."""

_HEADER: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of a chain: the newest record and its hash. `seq` is 0 in an empty one."""

    seq: int
    hash: bytes
    epoch: int


def chain_hash(
    before: bytes,
    header: tuple[int, int, int, str, str | None, str | None],
    body: bytes,
) -> bytes:
    """Return the hash of a record; `header` is seq, at_ns, epoch, type, account, order_id."""
    return hashlib.sha256(before + _HEADER.encode(header) + body).digest()


def verify_chain(connection: sqlite3.Connection, path: Path) -> Head:
    """Check every record, and return the head. Raises `JournalCorrupt` at the first wrong one."""
    end = Head(seq=0, hash=GENESIS, epoch=0)
    try:
        # The cursor is closed even when the chain breaks: an open one keeps the file in use.
        with closing(
            connection.execute(
                "SELECT seq, at_ns, epoch, type, account, order_id, body, prev_hash, hash"
                " FROM records ORDER BY seq"
            )
        ) as rows:
            for row in rows:
                end = _follow(end, row, path)
        meta = connection.execute("SELECT head_seq, head_hash, epoch FROM meta").fetchall()
    except sqlite3.DatabaseError as error:
        raise JournalCorrupt(path, end.seq + 1, f"the database cannot be read: {error}") from error
    if len(meta) != 1:
        raise JournalCorrupt(path, end.seq, f"the table meta has {len(meta)} rows and needs 1")
    head = Head(seq=meta[0][0], hash=meta[0][1], epoch=meta[0][2])
    if (head.seq, head.hash) != (end.seq, end.hash):
        problem = f"the journal ended with record {head.seq} when it was last written"
        raise JournalCorrupt(path, min(end.seq, head.seq) + 1, problem)
    if head.epoch < end.epoch:
        raise JournalCorrupt(path, end.seq, f"its epoch {end.epoch} is newer than the journal's")
    return head


def _follow(
    before: Head,
    row: tuple[int, int, int, str, str | None, str | None, object, bytes, bytes],
    path: Path,
) -> Head:
    seq, at_ns, epoch, name, account, order_id, body, before_hash, row_hash = row
    if seq != before.seq + 1:
        raise JournalCorrupt(path, before.seq + 1, f"it is missing, the next is {seq}")
    if before_hash != before.hash:
        raise JournalCorrupt(path, seq, "it does not follow the record before")
    header = (seq, at_ns, epoch, name, account, order_id)
    # SQLite keeps any type in any column: what should be bytes may be text in a damaged file.
    if not isinstance(body, bytes) or row_hash != chain_hash(before.hash, header, body):
        raise JournalCorrupt(path, seq, "its hash does not match its content")
    if epoch < before.epoch:
        raise JournalCorrupt(path, seq, f"its epoch {epoch} is older than {before.epoch}")
    return Head(seq=seq, hash=row_hash, epoch=epoch)
