"""A disk that keeps journals, and loses what was not committed when the engine dies.

Rule 1: records are the engine's own bytes, under its own chain of hashes: what a restart
reads back went through the real codec twice.

Rule 2: what waits goes into one commit, as a whole or not at all. A commit that was under
way when the engine died may be on the disk or not: the engine never heard.

Rule 3: a disk that failed once fails until the engine is started anew.

Rule 4: a snapshot is a file of its own. One that was being written when the engine died may
be there whole, in part, or not at all.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from engine.domain.messages import DenyOrder, JournalMessage, SubmitOrder
from engine.domain.ports import Committed, Entry, NotCommitted, Recorded, Snapshot
from engine.domain.values import AccountId, OrderId, Reason, SessionName
from engine.domain.views import EventView
from engine.journal import codec
from engine.journal.snapshot import SNAPSHOTS_KEPT, newest_good, seal
from engine.journal.verify import GENESIS, Header, chain_hash
from tests.simulation.loop import VirtualLoop, running_process

Done = Callable[[Committed | NotCommitted], None]

QUEUE_RECORDS_MAX: Final = 10_000
PAGE_RECORDS: Final = 250
READ_MS: Final = (0.2, 30.0)
"""How long it takes to read records back while the engine runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One durable record. `moment` is its place in the day's history."""

    seq: int
    at_ns: int
    epoch: int
    type: str
    account: AccountId | None
    order_id: OrderId | None
    session: SessionName | None
    body: bytes
    hash: bytes
    moment: int

    @property
    def message(self) -> JournalMessage:
        """What the record says."""
        return codec.decode(self.type, self.body)


@dataclass(slots=True, kw_only=True)
class DiskConditions:
    """How the disk behaves just now. `commit_ms` is how long a commit takes."""

    commit_ms: tuple[float, float] = (0.2, 3.0)
    told_ms: tuple[float, float] = (0.0, 0.5)
    full: bool = False


class Disk:
    """Survives every engine; each engine opens a journal on it."""

    def __init__(self, loop: VirtualLoop, seed: int, on_commit: Callable[[Written], int]) -> None:
        self.loop = loop
        self.chance = random.Random(f"disk:{seed}")
        self.conditions = DiskConditions()
        self.records: list[Written] = []
        self.snapshots: list[bytes] = []
        """The newest first."""
        self.struck: Counter[str] = Counter()
        self.epoch = 0
        self._on_commit = on_commit

    def open(self) -> "SimulatedJournal":
        """Check the chain and begin a new epoch, as an engine does when it starts."""
        before = GENESIS
        for number, record in enumerate(self.records, start=1):
            before = chain_hash(before, _header(record), record.body)
            assert (record.seq, record.hash) == (number, before), f"record {number} is damaged"
        self.epoch += 1
        return SimulatedJournal(self)

    def write(self, entries: Sequence[tuple[Entry, str, bytes]], epoch: int) -> None:
        """Make all of these durable, at once."""
        for entry, name, body in entries:
            before = self.records[-1].hash if self.records else GENESIS
            header = (len(self.records) + 1, entry.at_ns, epoch, name, entry.account,
                      entry.order_id, entry.session)  # fmt: skip
            written = Written(
                seq=header[0],
                at_ns=entry.at_ns,
                epoch=epoch,
                type=name,
                account=entry.account,
                order_id=entry.order_id,
                session=entry.session,
                body=body,
                hash=chain_hash(before, header, body),
                moment=0,
            )
            object.__setattr__(written, "moment", self._on_commit(written))
            self.records.append(written)

    def keep(self, snapshot: bytes) -> None:
        """Keep a snapshot and the one before it."""
        self.snapshots = [snapshot, *self.snapshots][:SNAPSHOTS_KEPT]

    def hash_of(self, seq: int) -> bytes | None:
        """Return the hash of a record, None when there is none."""
        return self.records[seq - 1].hash if 0 < seq <= len(self.records) else None


def _header(record: Written) -> Header:
    return (record.seq, record.at_ns, record.epoch, record.type, record.account,
            record.order_id, record.session)  # fmt: skip


class SimulatedJournal:
    """An open journal, until its engine dies."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._epoch = disk.epoch
        self._process = running_process()
        self._before = len(disk.records)
        self._started = False
        self._saving: bytes | None = None
        self._last_seq = len(disk.records)
        self._queue: list[tuple[Entry, str, bytes, Done]] = []
        self._under_way: list[tuple[Entry, str, bytes, Done]] = []
        self._refusal: NotCommitted | None = None

    @property
    def epoch(self) -> int:
        """The number of this start on this disk."""
        return self._epoch

    @property
    def last_seq(self) -> int:
        """The newest record that the engine knows to be durable."""
        return self._last_seq

    @property
    def failed(self) -> bool:
        """True once it takes no more; only another start helps."""
        return self._refusal is not None

    @property
    def is_writing(self) -> bool:
        """True until all that was appended is durable, and the engine was told so."""
        return bool(self._queue or self._under_way)

    def append(self, entry: Entry, done: Done) -> None:
        """Queue the entry for the next commit."""
        if self._process is not None and self._process.killed:
            return
        name, body = codec.record_type(entry.message), codec.encode(entry.message)
        refusal = self._refusal
        if len(self._queue) >= QUEUE_RECORDS_MAX and isinstance(
            entry.message, SubmitOrder | DenyOrder
        ):
            refusal = _refused("JOURNAL_BACKLOG", "too many records wait for the disk")
        if refusal is not None:
            self._disk.loop.call_soon(done, refusal)
            return
        self._queue.append((entry, name, body, done))
        if not self._under_way:
            self._begin_commit()

    def _begin_commit(self) -> None:
        self._under_way, self._queue = self._queue, []
        delay_ms = self._disk.chance.uniform(*self._disk.conditions.commit_ms)
        self._disk.loop.call_later(delay_ms / 1000, self._commit)

    def _commit(self) -> None:
        if self._disk.conditions.full:
            self._fail("the disk is full")
            return
        batch, disk = self._under_way, self._disk
        disk.write([(entry, name, body) for entry, name, body, _ in batch], self._epoch)
        first = len(disk.records) - len(batch) + 1
        delay_ms = disk.chance.uniform(*disk.conditions.told_ms)
        disk.loop.call_later(delay_ms / 1000, self._tell, batch, first)

    def _tell(self, batch: list[tuple[Entry, str, bytes, Done]], first: int) -> None:
        self._under_way = []
        if self._queue:
            self._begin_commit()
        for seq, (*_, done) in enumerate(batch, start=first):
            self._last_seq = seq
            done(Committed(seq=seq))

    def _fail(self, why: str) -> None:
        self._refusal = _refused("JOURNAL_UNAVAILABLE", why)
        waiting, self._under_way, self._queue = self._under_way + self._queue, [], []
        for *_, done in waiting:
            done(self._refusal)

    def die(self) -> None:
        """End with the engine: what was being committed may be durable, or not."""
        on_disk = bool(self._under_way) and self._under_way[0][0] is not None
        if on_disk and not self._committed(self._under_way) and self._disk.chance.random() < 0.5:
            batch = [(entry, name, body) for entry, name, body, _ in self._under_way]
            self._disk.write(batch, self._epoch)
        if self._saving is not None and self._disk.chance.random() < 0.5:
            torn = self._disk.chance.randint(0, len(self._saving))
            self._disk.keep(self._saving[:torn])
            self._disk.struck["snapshot torn"] += 1

    def _committed(self, batch: list[tuple[Entry, str, bytes, Done]]) -> bool:
        """Tell whether the batch is durable already and only its engine does not know."""
        durable = len(self._disk.records) - self._last_seq
        return durable >= len(batch)

    async def replay(
        self, *, after_seq: int = 0, until_seq: int | None = None
    ) -> AsyncIterator[Sequence[Recorded]]:
        """Yield durable records in pages; a reader has to wait for each."""
        last = self._before if until_seq is None else until_seq
        while after_seq < last:
            await asyncio.sleep(0)
            page = self._disk.records[after_seq : min(after_seq + PAGE_RECORDS, last)]
            after_seq += len(page)
            yield tuple(map(_recorded, page))

    async def snapshot(self) -> Snapshot | None:
        """Return the newest snapshot that is whole and belongs to these records."""
        await asyncio.sleep(0)
        kept = [(number, lambda one=one: one) for number, one in enumerate(self._disk.snapshots)]
        found = newest_good(kept, self._disk.hash_of)
        if found is not None and not self._started:
            self._disk.struck["snapshot used at a start"] += 1
        self._started = True
        return None if found is None else Snapshot(seq=found.seq, body=found.body)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Write a snapshot; it is there once that has ended."""
        record_hash = self._disk.hash_of(snapshot.seq)
        assert record_hash is not None, "a snapshot of what is durable"
        self._saving = seal(snapshot.seq, record_hash, snapshot.body)
        await asyncio.sleep(self._disk.chance.uniform(*READ_MS) / 1000)
        self._disk.keep(self._saving)
        self._saving = None

    async def records(
        self, *, account: AccountId | None = None, order_id: OrderId | None = None
    ) -> tuple[Recorded, ...]:
        """Return every durable record of an account or an order, after a while of reading."""
        await asyncio.sleep(self._disk.chance.uniform(*READ_MS) / 1000)
        return tuple(
            _recorded(one)
            for one in self._disk.records
            if account in {None, one.account} and order_id in {None, one.order_id}
        )

    async def read(
        self, *, after_seq: int, limit: int, order_id: OrderId | None = None
    ) -> tuple[EventView, ...]:
        """Return durable records after `after_seq`, of one order if wanted; more may come."""
        places = range(after_seq, self._last_seq)
        await asyncio.sleep(0)
        records = (self._disk.records[place] for place in places)
        return tuple(
            EventView(
                seq=one.seq,
                at_ns=one.at_ns,
                type=one.type,
                account=one.account,
                order_id=one.order_id,
                body=one.body,
            )
            for one in islice((one for one in records if order_id in {None, one.order_id}), limit)
        )


def _recorded(one: Written) -> Recorded:
    entry = Entry(
        at_ns=one.at_ns,
        account=one.account,
        order_id=one.order_id,
        message=one.message,
        session=one.session,
    )
    return Recorded(seq=one.seq, entry=entry)


def _refused(code: str, message: str) -> NotCommitted:
    return NotCommitted(reason=Reason(code=code, message=message))
