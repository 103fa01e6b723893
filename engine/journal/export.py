"""A journal as lines of JSON: for auditors, other programs, and to be verified again.

Rule: a line has the record's own bytes for its body, so that whoever has all lines can
check the whole chain without the journal. A line that another program wrote anew may say
the same in other bytes, and is then no proof.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from engine.domain.values import AccountId, OrderId, SessionName
from engine.journal.batch import Row
from engine.journal.errors import JournalCorrupt
from engine.journal.verify import Chain, Head

_S_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ExportedRecord:
    """One line."""

    seq: int
    at: str
    epoch: int
    type: str
    session: SessionName | None
    account: AccountId | None
    order_id: OrderId | None
    body: msgspec.Raw
    hash: str


_ENCODE: Final = msgspec.json.Encoder().encode
_DECODER: Final = msgspec.json.Decoder(ExportedRecord)


def exported(row: Row) -> ExportedRecord:
    """Return a record as its line has it."""
    seq, at_ns, epoch, name, account, order_id, session, body, _, own = row
    return ExportedRecord(
        seq=seq,
        at=time_text(at_ns),
        epoch=epoch,
        type=name,
        session=session,
        account=account,
        order_id=order_id,
        body=msgspec.Raw(body),
        hash=own.hex(),
    )


def line_of(row: Row) -> bytes:
    """Return a record's line, with its end."""
    return _ENCODE(exported(row)) + b"\n"


def export_chain(rows: Iterable[Row], chain: Chain) -> Iterator[bytes]:
    """Yield the lines of the next records, checked. Raises `JournalCorrupt`."""
    for row in rows:
        chain.follow(row)
        yield line_of(row)


def verify_lines(lines: Iterable[bytes], where: object) -> Head:
    """Check all lines of an export; return its last record's place, hash and epoch.

    A line that is missing at the end does not show; compare the hash with the journal's.
    Raises `JournalCorrupt` at the first that is wrong.
    """
    chain = Chain(where)
    for line in lines:
        try:
            read = _DECODER.decode(line)
            at_ns, own = time_ns(read.at), bytes.fromhex(read.hash)
        except (msgspec.DecodeError, ValueError) as error:
            raise JournalCorrupt(where, chain.seq + 1, f"its line is none: {error}") from error
        header = (
            read.seq, at_ns, read.epoch, read.type, read.account, read.order_id, read.session,
        )  # fmt: skip
        chain.follow((*header, bytes(read.body), chain.hash, own))
    return chain.head


def time_text(at_ns: int) -> str:
    """Write epoch nanoseconds as RFC 3339 with all nine digits."""
    seconds, rest = divmod(at_ns, _S_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def time_ns(text: str) -> int:
    """Read what `time_text` wrote. Raises `ValueError` for anything else."""
    whole, point, rest = text.partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    at_ns = seconds * _S_NS + int(rest[:-1])
    if not point or time_text(at_ns) != text:
        message = f"{text!r} is no time like 2026-01-31T09:30:00.000000000Z"
        raise ValueError(message)
    return at_ns
