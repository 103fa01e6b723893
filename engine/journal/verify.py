"""The chain: every record's hash covers the record and the hash of the one before.

Rule 1: changing, swapping, inserting or removing a record breaks the chain there. The head
that the journal repeats elsewhere makes a missing end visible, too.

Rule 2: a record of a session covers its name; one of none is hashed as it was before
records had sessions, so that old chains hold.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from engine.domain.values import AccountId, OrderId, SessionName
from engine.journal.errors import JournalCorrupt

GENESIS: Final = bytes(32)
"""What the first record has for the hash of the one before."""

_ENCODE: Final = msgspec.json.Encoder().encode
_SHA256: Final = hashlib.sha256

Header: TypeAlias = tuple[int, int, int, str, AccountId | None, OrderId | None, SessionName | None]
"""Seq, at_ns, epoch, type, account, order_id and session of a record."""

Chained: TypeAlias = tuple[
    int,
    int,
    int,
    str,
    AccountId | None,
    OrderId | None,
    SessionName | None,
    object,
    object,
    object,
]
"""A row as a database gives it: a header, the body, the hash before and its own.

In a damaged one, what should be bytes may be anything.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of a chain: the newest record and its hash. `seq` is 0 in an empty one."""

    seq: int
    hash: bytes
    epoch: int


EMPTY: Final = Head(seq=0, hash=GENESIS, epoch=0)


def chain_hash(before: bytes, header: Header, body: bytes) -> bytes:
    """Return the hash of a record."""
    covered = header if header[6] is not None else header[:6]
    return _SHA256(before + _ENCODE(covered) + body).digest()


class Chain:
    """Follows a chain record by record. Each method raises `JournalCorrupt` where it breaks.

    `where` names the journal in what is raised. A chain may be followed from a place in
    the middle whose hash is known from elsewhere.
    """

    __slots__ = ("_where", "epoch", "hash", "seq")

    def __init__(self, where: object, start: Head = EMPTY) -> None:
        self._where = where
        self.seq, self.hash, self.epoch = start.seq, start.hash, start.epoch

    @property
    def head(self) -> Head:
        """The last record that was followed."""
        return Head(seq=self.seq, hash=self.hash, epoch=self.epoch)

    def follow(self, row: Chained) -> None:
        """Check the next record."""
        seq, _, epoch, _, _, _, _, body, before_hash, row_hash = row
        if seq != self.seq + 1:
            raise JournalCorrupt(self._where, self.seq + 1, f"it is missing, the next is {seq}")
        if before_hash != self.hash:
            raise JournalCorrupt(self._where, seq, "it does not follow the record before")
        # SQLite keeps any type in any column: what should be bytes may be text in a damaged file.
        if not isinstance(body, bytes) or row_hash != chain_hash(self.hash, row[:7], body):
            raise JournalCorrupt(self._where, seq, "its hash does not match its content")
        if epoch < self.epoch:
            raise JournalCorrupt(self._where, seq, f"its epoch {epoch} is older than {self.epoch}")
        self.seq, self.hash, self.epoch = seq, row_hash, epoch

    def end(self, head: Head) -> None:
        """Check that the chain ends where the journal says that it was last written."""
        if (head.seq, head.hash) != (self.seq, self.hash):
            problem = f"the journal ended with record {head.seq} when it was last written"
            raise JournalCorrupt(self._where, min(self.seq, head.seq) + 1, problem)
        if head.epoch < self.epoch:
            raise JournalCorrupt(
                self._where, self.seq, f"its epoch {self.epoch} is newer than the journal's"
            )
