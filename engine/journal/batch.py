"""What every journal does with a record before its database has it, and once it has.

Rule 1: a record that cannot be written is refused alone, before it is queued.

Rule 2: when too much waits, or when the disk is full, what begins something new is refused
and the story of what exists goes on. A refusal for good is for everything.

Rule 3: an order may write its attempt before its intent is durable. Where the intent is
refused, whatever the order still writes is refused like it: no order without an intent.

Rule 4: a batch is one transaction; its rows are chained to the head that it follows.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from engine import log, metrics
from engine.domain.messages import (
    AdoptOrder,
    DenyOrder,
    ExternalOrderSeen,
    JournalMessage,
    NoticeSeen,
    SubmitOrder,
)
from engine.domain.ports import Committed, Entry, NotCommitted, Recorded
from engine.domain.values import AccountId, OrderId, Reason, SessionName
from engine.journal import codec
from engine.journal.errors import JournalUnsupported
from engine.journal.verify import GENESIS, Head, Header, chain_hash

QUEUE_RECORDS_MAX: Final = 10_000
TRANSACTION_RECORDS_MAX: Final = 1000
READ_RECORDS_MAX: Final = 10_000
PAGE_RECORDS: Final = 250
"""So many records a replay reads at a time: what is made of them holds up the loop."""

UNAVAILABLE: Final = "JOURNAL_UNAVAILABLE"
FULL: Final = "JOURNAL_FULL"
BACKLOG: Final = "JOURNAL_BACKLOG"
BAD_RECORD: Final = "JOURNAL_BAD_RECORD"

_RESERVE: Final = 10
_REFUSED_ORDERS_MAX: Final = 1000
"""Of so many refused orders it is known; what they wrote meanwhile is refused long before."""
_DISPENSABLE: Final = (AdoptOrder, DenyOrder, NoticeSeen, ExternalOrderSeen)

Done: TypeAlias = Callable[[Committed | NotCommitted], None]
Result: TypeAlias = tuple[Done, Committed | NotCommitted]

Row: TypeAlias = tuple[
    int, int, int, str, AccountId | None, OrderId | None, SessionName | None, bytes, bytes, bytes
]
"""A record as a database keeps it: its header, its body, the hash before it and its own."""

Found: TypeAlias = tuple[int, int, str, AccountId | None, OrderId | None, SessionName | None, bytes]
"""A record as it is read back: seq, at_ns, type, account, order_id, session, body."""

_LOG: Final = log.get("journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An entry that can be written, and who hears of it."""

    entry: Entry
    type: str
    body: bytes
    done: Done


def refusal(code: str, message: str) -> NotCommitted:
    """Make an answer to an entry that is not taken."""
    return NotCommitted(reason=Reason(code=code, message=message))


def prepare(entry: Entry, done: Done) -> Waiting | NotCommitted:
    """Make the entry's bytes; one that has none is refused with JOURNAL_BAD_RECORD."""
    try:
        name, body = codec.record_type(entry.message), codec.encode(entry.message)
        waiting = Waiting(entry=entry, type=name, body=body, done=done)
        chain_hash(GENESIS, _header(0, 0, waiting), b"")  # Its texts must be writable as well.
    except (UnicodeEncodeError, NotImplementedError) as error:
        return refusal(BAD_RECORD, f"the record cannot be written: {error}")
    return waiting


def is_dispensable(message: JournalMessage) -> bool:
    """Say whether this begins something, which can be refused, or only tells of others.

    What orders do must be written. The intent of a group's follower is promised by its
    leader's.
    """
    if isinstance(message, SubmitOrder):
        group = message.approved.ticket.group
        return group is None or group.leads
    return isinstance(message, _DISPENSABLE)


def chain_rows(batch: Sequence[Waiting], head: Head) -> tuple[list[Row], Head]:
    """Return the rows of a batch that follows `head`, and the head after them.

    The rows are of `head.epoch`.
    """
    seq, before, rows = head.seq, head.hash, []
    for one in batch:
        seq += 1
        header = _header(seq, head.epoch, one)
        after = chain_hash(before, header, one.body)
        rows.append((*header, one.body, before, after))
        before = after
    return rows, Head(seq=seq, hash=before, epoch=head.epoch)


def committed(batch: Sequence[Waiting], head: Head) -> list[Result]:
    """Return the answers to a batch that is durable; `head` is the one it followed."""
    return [(one.done, Committed(seq=seq)) for seq, one in enumerate(batch, start=head.seq + 1)]


def count_commit(batch: Sequence[Waiting], seconds: float) -> None:
    """Count a batch that is durable."""
    metrics.JOURNAL_COMMIT_SECONDS.observe(seconds)
    metrics.JOURNAL_RECORDS.inc(len(batch))
    metrics.JOURNAL_BYTES.inc(sum(len(one.body) for one in batch))


def deliver(
    loop: asyncio.AbstractEventLoop, results: Iterable[Result], on_seq: Callable[[int], None]
) -> None:
    """Answer entries, on the loop and in order; `on_seq` hears of each that is durable first."""
    for done, result in results:
        if isinstance(result, Committed):
            on_seq(result.seq)
        try:
            done(result)
        except Exception as error:  # noqa: BLE001 - the next one must hear of its own
            loop.call_exception_handler(
                {"message": "journal entry's callback failed", "exception": error}
            )


def recorded(where: object, row: Found) -> Recorded:
    """Make an entry of what was read back. Raises `JournalUnsupported`, and names the record."""
    seq, at_ns, name, account, order_id, session, body = row
    try:
        message = codec.decode(name, body)
    except JournalUnsupported as error:
        problem = f"{where}: record {seq} is {error}"
        raise JournalUnsupported(problem) from error
    entry = Entry(at_ns=at_ns, account=account, order_id=order_id, message=message, session=session)
    return Recorded(seq=seq, entry=entry)


class Backlog:
    """What waits for the database, and what is refused meanwhile. It holds no lock."""

    def __init__(self) -> None:
        self.records_max = QUEUE_RECORDS_MAX
        self.refused: NotCommitted | None = None
        """Why nothing is taken any more; None while something is."""
        self.full: NotCommitted | None = None
        """Why nothing new is taken; None while the disk has room."""
        self._queue: list[Waiting] = []
        self._refused_orders: dict[OrderId, NotCommitted] = {}
        metrics.JOURNAL_FAILED.set(0)
        metrics.JOURNAL_FULL.set(0)
        metrics.JOURNAL_QUEUE.set(0)

    def __len__(self) -> int:
        return len(self._queue)

    def offer(self, waiting: Waiting) -> NotCommitted | None:
        """Queue an entry; return why not, None when it is queued."""
        refused = self.refused or self._without_intent(waiting.entry)
        refused = refused or self._too_full(waiting) or self._too_many(waiting)
        if refused is None:
            self._queue.append(waiting)
            metrics.JOURNAL_QUEUE.set(len(self._queue))
        return refused

    def remember_refused(self, entry: Entry, refused: NotCommitted) -> None:
        """Hear of every entry that is not taken; of an order's intent, take nothing after it."""
        if not isinstance(entry.message, SubmitOrder) or entry.order_id is None:
            return
        self._refused_orders[entry.order_id] = refused
        if len(self._refused_orders) > _REFUSED_ORDERS_MAX:
            del self._refused_orders[next(iter(self._refused_orders))]

    def _without_intent(self, entry: Entry) -> NotCommitted | None:
        return None if entry.order_id is None else self._refused_orders.get(entry.order_id)

    def take(self) -> list[Waiting]:
        """Take the next batch out of the queue, oldest first; it may be empty."""
        batch = self._queue[:TRANSACTION_RECORDS_MAX]
        del self._queue[:TRANSACTION_RECORDS_MAX]
        metrics.JOURNAL_QUEUE.set(len(self._queue))
        return batch

    def close(self) -> None:
        """Take nothing any more; what waits is still to be written."""
        self.refused = self.refused or refusal(UNAVAILABLE, "the journal is closed")

    def fill_up(self, why: object, batch: Sequence[Waiting]) -> tuple[list[Waiting], list[Result]]:
        """Take nothing new from now on; return what of a batch is still to be written.

        The second part are the answers to all the rest.
        """
        self.full = refusal(FULL, f"the journal takes no new orders: {why}")
        metrics.JOURNAL_FULL.set(1)
        _LOG.critical("journal_full", reason=self.full.reason.message)
        kept: list[Waiting] = []
        waiting: list[Waiting] = []
        answers: list[Result] = []
        for source, rest in ((batch, kept), (self._queue, waiting)):
            for one in source:
                refused = self._without_intent(one.entry) or self._too_full(one)
                if refused is None:
                    rest.append(one)
                else:
                    self.remember_refused(one.entry, refused)
                    answers.append((one.done, refused))
        self._queue = waiting
        metrics.JOURNAL_QUEUE.set(len(self._queue))
        return kept, answers

    def fail(self, why: object, batch: Sequence[Waiting] = ()) -> list[Result]:
        """Take nothing any more, for good; return the answers to the batch and all that waits."""
        refused = refusal(UNAVAILABLE, f"the journal cannot be written: {why}")
        self._fail(refused)
        waiting, self._queue = [*batch, *self._queue], []
        metrics.JOURNAL_QUEUE.set(0)
        return [(one.done, refused) for one in waiting]

    def _fail(self, refused: NotCommitted) -> None:
        self.refused = refused
        metrics.JOURNAL_FAILED.set(1)
        _LOG.critical("journal_failed", reason=refused.reason.message)

    def _too_full(self, waiting: Waiting) -> NotCommitted | None:
        return self.full if is_dispensable(waiting.entry.message) else None

    def _too_many(self, waiting: Waiting) -> NotCommitted | None:
        records = len(self._queue)
        if records < self.records_max:
            return None
        message = f"{records} records wait for the disk, the limit is {self.records_max}"
        if is_dispensable(waiting.entry.message):
            return refusal(BACKLOG, message)
        if records < self.records_max * _RESERVE:
            return None
        self._fail(refusal(UNAVAILABLE, message))
        return self.refused


def _header(seq: int, epoch: int, one: Waiting) -> Header:
    entry = one.entry
    return (seq, entry.at_ns, epoch, one.type, entry.account, entry.order_id, entry.session)
