import hashlib
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from engine.journal import JournalCorrupt, JournalUnsupported
from engine.journal.snapshot import Sealed, newest_good, seal, unseal

HASH = hashlib.sha256(b"record").digest()
KEPT = seal(7, HASH, b"body")
ELSE = KEPT[:6] + bytes(8) + KEPT[14:]
"""The same, as another version of the engine would have sealed it."""


def test_what_is_sealed_is_what_is_found() -> None:
    assert unseal(KEPT) == Sealed(seq=7, hash=HASH, body=b"body")
    assert unseal(seal(7, HASH, b"")) == Sealed(seq=7, hash=HASH, body=b"")


@pytest.mark.parametrize("place", range(len(KEPT)))
def test_no_bit_of_it_can_change(place: int) -> None:
    spoilt = bytearray(KEPT)
    spoilt[place] ^= 4

    with pytest.raises(JournalUnsupported):
        unseal(bytes(spoilt))


@pytest.mark.parametrize(
    ("kept", "problem"),
    [
        (KEPT[:20], "it has 20 bytes, its head alone needs 86"),
        (b"?" + KEPT[1:], "it is no snapshot"),
        (ELSE, "another version of the engine made it"),
        (KEPT + b"more", "its digest does not match its content"),
    ],
)
def test_what_is_wrong_is_said(kept: bytes, problem: str) -> None:
    with pytest.raises(JournalUnsupported, match=problem):
        unseal(kept)


def test_the_newest_that_can_be_read_is_taken() -> None:
    def missing() -> bytes:
        raise FileNotFoundError

    kept: list[tuple[object, Callable[[], bytes]]] = [
        ("gone", missing),
        ("spoilt", lambda: KEPT + b"!"),
        ("of another version", lambda: ELSE),
        ("good", lambda: KEPT),
        ("older", lambda: seal(3, HASH, b"older")),
    ]

    with capture_logs() as logs:
        found = newest_good(kept, lambda _seq: HASH)

    assert found == Sealed(seq=7, hash=HASH, body=b"body")
    assert [(line["event"], line["snapshot"]) for line in logs] == [
        ("snapshot_passed_over", "gone"),
        ("snapshot_passed_over", "spoilt"),
        ("snapshot_passed_over", "of another version"),
    ]
    assert newest_good([], lambda _seq: HASH) is None


@pytest.mark.parametrize(("record_hash", "what"), [(None, "missing"), (bytes(32), "another one")])
@pytest.mark.parametrize("kept", [KEPT, ELSE])
def test_a_journal_without_the_record_of_a_whole_snapshot_is_refused(
    kept: bytes, record_hash: bytes | None, what: str
) -> None:
    with pytest.raises(JournalCorrupt, match=f"here: record 7 is damaged: it is {what}, and the "):
        newest_good([("whole", lambda: kept)], lambda _seq: record_hash, where="here")
