"""A record made durable: the engine's journal against a plain SQLite table.

The record is the one that an order waits for: the intent with its whole request body. Both
databases have the same durability (`journal_mode=WAL`, `synchronous=FULL`) and lie in the same
folder. Ours also keeps a chain of hashes, and asserts its epoch in every transaction. Below
both of them lies what the disk itself takes: a write and an fsync for every record.
"""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from benchmarks.contest import Clock, Contender, Contest, Digest, Work, timed
from engine.domain.messages import SubmitOrder
from engine.domain.ports import Committed, Entry, NotCommitted
from engine.domain.values import (
    AccountId,
    Answer,
    ApprovedTicket,
    ClientOrderId,
    ConId,
    MessageId,
    OrderType,
    QuestionPolicy,
    SessionName,
    Side,
    Ticket,
    TimeInForce,
    make_coid,
    make_order_id,
)
from engine.journal import codec
from engine.journal.sqlite import SqliteJournal

SINGLES: Final = 50
BURSTS: Final = 3
BURST: Final = 100

_ACCOUNT: Final = AccountId("DU1111111")
_AT_NS: Final = 1_750_000_000_000_000_000
_TABLE: Final = """
CREATE TABLE records (
    seq INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, type TEXT NOT NULL, account TEXT,
    order_id TEXT, body BLOB NOT NULL
)
"""


def contests(
    folder: Path, *, singles: int = SINGLES, bursts: int = BURSTS, burst: int = BURST
) -> tuple[Contest, ...]:
    """Return the contests: records one after the other, and many at once.

    The files are made in `folder` and removed; its disk is what is measured.
    """
    return (
        _contest(
            folder,
            "journal/one-by-one",
            "each record waits for the one before it",
            [[intent(number)] for number in range(1, singles + 1)],
        ),
        _contest(
            folder,
            f"journal/{burst}-at-once",
            f"{burst} records arrive together",
            [
                [intent(batch * burst + number) for number in range(1, burst + 1)]
                for batch in range(bursts)
            ],
        ),
    )


def _contest(folder: Path, name: str, what: str, batches: Sequence[Sequence[Entry]]) -> Contest:
    makers: Mapping[str, Callable[[], Work]] = {
        "engine SqliteJournal": lambda: Journal(folder, batches),
        "sqlite3, commit per record": lambda: Plain(folder, batches),
        "write and fsync (the disk)": lambda: Disk(folder, batches),
    }
    return Contest(
        name=name,
        what=f"a record of {len(codec.encode(batches[0][0].message))} bytes made durable: {what}",
        operation="record",
        operations=sum(len(batch) for batch in batches),
        clock=Clock.WALL,
        contenders=tuple(
            Contender(name=title, lap=timed(make, Clock.WALL)) for title, make in makers.items()
        ),
    )


def intent(number: int) -> Entry:
    """Make the record that must be durable before an order is sent."""
    order_id = make_order_id(1, number)
    coid = make_coid("0001", 1, number)
    body = (
        f'{{"orders":[{{"acctId":"{_ACCOUNT}","conid":265598,"cOID":"{coid}","orderType":"LMT",'
        '"price":189.5,"quantity":100,"side":"BUY","tif":"DAY","outsideRTH":false}]}'
    )
    approved = ApprovedTicket(
        ticket=Ticket(
            account=_ACCOUNT,
            client_order_id=ClientOrderId(f"benchmark-{number}"),
            conid=ConId(265598),
            symbol="AAPL",
            side=Side.BUY,
            type=OrderType.LMT,
            quantity=Decimal(100),
            limit_price=Decimal("189.50"),
            tif=TimeInForce.DAY,
        ),
        order_id=order_id,
        coid=coid,
        session=SessionName("main"),
        questions=QuestionPolicy(answers={MessageId("o354"): Answer.ACCEPT}),
        policy_hash="0" * 64,
        request_sha256="0" * 64,
    )
    message = SubmitOrder(approved=approved, body=body.encode())
    return Entry(at_ns=_AT_NS + number, account=_ACCOUNT, order_id=order_id, message=message)


class Files:
    """A folder of its own, and what the databases in it hold."""

    def __init__(self, folder: Path, batches: Sequence[Sequence[Entry]]) -> None:
        self.batches = batches
        self._folder = tempfile.TemporaryDirectory(prefix="benchmark-", dir=folder)
        self.path = Path(self._folder.name) / "journal"

    def digest(self) -> Digest:
        """Read back what is durable."""
        connection = sqlite3.connect(self.path)
        try:
            row = connection.execute(
                "SELECT count(*), sum(seq), sum(length(body)) FROM records"
            ).fetchone()
        finally:
            connection.close()
        return dict(zip(("records", "seqs", "bytes"), row, strict=True))

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()


class Journal(Files):
    """The engine's journal: whatever waits is committed together."""

    def __init__(self, folder: Path, batches: Sequence[Sequence[Entry]]) -> None:
        super().__init__(folder, batches)
        self._runner = asyncio.Runner()
        self._journal = SqliteJournal.open(self.path)

    def run(self) -> None:
        """Append every batch, and wait until the last of its records is durable."""
        self._runner.run(self._append())

    async def _append(self) -> None:
        for batch in self.batches:
            answers: list[Committed | NotCommitted] = []
            durable = asyncio.Event()

            def done(
                answer: Committed | NotCommitted,
                wanted: int = len(batch),
                answers: list[Committed | NotCommitted] = answers,
                durable: asyncio.Event = durable,
            ) -> None:
                answers.append(answer)
                if len(answers) == wanted:
                    durable.set()

            for entry in batch:
                self._journal.append(entry, done)
            await durable.wait()
            refused = [answer for answer in answers if isinstance(answer, NotCommitted)]
            assert not refused, refused[0].reason.message

    def close(self) -> None:
        """Close the journal, then remove the folder."""
        self._runner.run(self._journal.close())
        self._runner.close()
        super().close()


class Plain(Files):
    """A table, and a commit for every record."""

    def __init__(self, folder: Path, batches: Sequence[Sequence[Entry]]) -> None:
        super().__init__(folder, batches)
        self._connection = sqlite3.connect(self.path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(_TABLE)

    def run(self) -> None:
        """Insert the records; without a BEGIN each statement is committed at once."""
        for batch in self.batches:
            for entry in batch:
                message = entry.message
                row = (
                    entry.at_ns,
                    codec.record_type(message),
                    entry.account,
                    entry.order_id,
                    codec.encode(message),
                )
                self._connection.execute(
                    "INSERT INTO records (at_ns, type, account, order_id, body)"
                    " VALUES (?, ?, ?, ?, ?)",
                    row,
                )

    def close(self) -> None:
        """Close the database, then remove the folder."""
        self._connection.close()
        super().close()


class Disk(Files):
    """Bytes at the end of a file."""

    def __init__(self, folder: Path, batches: Sequence[Sequence[Entry]]) -> None:
        super().__init__(folder, batches)
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def run(self) -> None:
        """Write and fsync every record."""
        for batch in self.batches:
            for entry in batch:
                os.write(self._descriptor, codec.encode(entry.message) + b"\n")
                os.fsync(self._descriptor)

    def digest(self) -> Digest:
        """Read back what is durable, a line each."""
        lines = self.path.read_bytes().splitlines()
        return {
            "records": len(lines),
            "seqs": sum(range(1, len(lines) + 1)),
            "bytes": sum(len(line) for line in lines),
        }

    def close(self) -> None:
        """Close the file, then remove the folder."""
        os.close(self._descriptor)
        super().close()
