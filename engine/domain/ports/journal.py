"""The journal: what is written, and what is read back."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.domain.messages import (
    JournalMessage,
)
from engine.domain.values import (
    AccountId,
    OrderId,
    Reason,
    SessionName,
)
from engine.domain.views import (
    EventView,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is to be journaled. `at_ns` is wall time, epoch nanoseconds."""

    at_ns: int
    account: AccountId | None
    order_id: OrderId | None
    message: JournalMessage
    session: SessionName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The entry is durable; `seq` is its place in the journal, 1 for the first."""

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCommitted:
    """The entry is not durable.

    With `JOURNAL_UNAVAILABLE` the journal takes no more, for good; every other code
    refuses this entry only.
    """

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An entry as it was read back."""

    seq: int
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the records up to `seq` make, as bytes; a start reads it instead of them."""

    seq: int
    body: bytes


class Journal(Protocol):
    """The append-only log that orders are rebuilt from. Everything here is on the loop."""

    @property
    def epoch(self) -> int:
        """The number of this engine's start on this journal; it names its orders."""
        ...

    def append(self, entry: Entry, done: Callable[[Committed | NotCommitted], None]) -> None:
        """Queue the entry; `done` is called on the loop once it is durable, in order."""
        ...

    async def snapshot(self) -> Snapshot | None:
        """Return the newest intact snapshot, None without one."""
        ...

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, and the one before it. One that cannot be kept is only logged."""
        ...

    def replay(
        self, *, after_seq: int = 0, until_seq: int | None = None
    ) -> AsyncIterator[Sequence[Recorded]]:
        """Yield durable entries after `after_seq`, oldest first, in pages.

        Without `until_seq` they end with the last entry of before this start.
        """
        ...

    async def read(
        self, *, after_seq: int, limit: int, order_id: OrderId | None = None
    ) -> tuple[EventView, ...]:
        """Return up to `limit` durable entries with `seq > after_seq`, oldest first.

        With `order_id` only those of this order. A page may be shorter than it could be; the
        last is empty.
        """
        ...

    @property
    def last_seq(self) -> int:
        """The newest durable entry, 0 in an empty journal."""
        ...

    async def records(
        self, *, account: AccountId | None = None, order_id: OrderId | None = None
    ) -> tuple[Recorded, ...]:
        """Return every durable entry of an account or an order, oldest first, while running."""
        ...
