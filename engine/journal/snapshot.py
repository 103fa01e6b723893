"""A snapshot as it is kept: sealed, and bound to the record of the journal that it stands for.

Rule 1: a snapshot is used only when its own digest is right and this version can read it.
Otherwise it is passed over: the journal has everything that it has.

Rule 2: a snapshot that is whole says what the journal once had. A journal without that very
record is an older copy, or another one: with it, ids would be used a second time, and orders
would be forgotten that are at the broker. It is refused.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from engine import log
from engine.journal.errors import JournalCorrupt, JournalUnsupported
from engine.journal.snapshot_body import SHAPE

SNAPSHOTS_KEPT: Final = 2

_MAGIC: Final = b"EXSNAP"
_HEAD: Final = struct.Struct(">6s8sQ32s32s")
"""Magic, shape, seq, the record's hash, and the digest of all that follows it."""

_LOG: Final = log.get("journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What a snapshot says, once its seal was found unbroken."""

    seq: int
    hash: bytes
    body: bytes


def seal(seq: int, record_hash: bytes, body: bytes) -> bytes:
    """Return the bytes to keep of a snapshot of the records up to `seq`."""
    digest = _digest(seq, record_hash, body)
    return _HEAD.pack(_MAGIC, SHAPE, seq, record_hash, digest) + body


def unseal(kept: bytes) -> Sealed:
    """Return what was sealed. Raises `JournalUnsupported` with the reason if it is broken."""
    shape, sealed = _opened(kept)
    if shape != SHAPE:
        problem = "another version of the engine made it"
        raise JournalUnsupported(problem)
    return sealed


def _opened(kept: bytes) -> tuple[bytes, Sealed]:
    """Return what a whole snapshot says, whichever version made it, and its shape."""
    if len(kept) < _HEAD.size:
        problem = f"it has {len(kept)} bytes, its head alone needs {_HEAD.size}"
        raise JournalUnsupported(problem)
    magic, shape, seq, record_hash, digest = _HEAD.unpack_from(kept)
    if magic != _MAGIC:
        problem = "it is no snapshot"
        raise JournalUnsupported(problem)
    body = kept[_HEAD.size :]
    if _digest(seq, record_hash, body) != digest:
        problem = "its digest does not match its content"
        raise JournalUnsupported(problem)
    return shape, Sealed(seq=seq, hash=record_hash, body=body)


def newest_good(
    kept: Iterable[tuple[object, Callable[[], bytes]]],
    hash_of: Callable[[int], object],
    *,
    where: object = "the journal",
) -> Sealed | None:
    """Return the first snapshot that can be read, None without one.

    `kept` are names and ways to read them, the newest first; `hash_of` returns the hash of
    a record of the journal, None when there is none. Raises `JournalCorrupt` for a journal
    that a whole snapshot was not made of.
    """
    for name, read in kept:
        try:
            shape, found = _opened(read())
        except (JournalUnsupported, OSError) as error:
            pass_over(name, error)
            continue
        _check_ours(name, found, hash_of(found.seq), where)
        if shape == SHAPE:
            return found
        pass_over(name, "another version of the engine made it")
    return None


def _check_ours(name: object, found: Sealed, record_hash: object, where: object) -> None:
    if record_hash == found.hash:
        return
    what = "it is missing" if record_hash is None else "it is another one"
    problem = (
        f"{what}, and the snapshot {name} was made with it: this is an older copy of the "
        "journal, or a new one. If that is meant, move its snapshots away"
    )
    raise JournalCorrupt(where, found.seq, problem)


def pass_over(name: object, why: object) -> None:
    """Say that a snapshot is not used."""
    _LOG.error("snapshot_passed_over", snapshot=str(name), reason=str(why))


def _digest(seq: int, record_hash: bytes, body: bytes) -> bytes:
    digest = hashlib.sha256(struct.pack(">Q", seq) + record_hash)
    digest.update(body)
    return digest.digest()
