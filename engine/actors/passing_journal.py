"""A journal that passes everything on to another: what those build on that watch one."""

from collections.abc import AsyncIterator, Callable, Sequence

from engine.domain.ports import Committed, Entry, Journal, NotCommitted, Recorded, Snapshot
from engine.domain.values import AccountId, OrderId
from engine.domain.views import EventView


class PassingJournal:
    """Is the journal `inner`, until a subclass does something of its own."""

    def __init__(self, inner: Journal) -> None:
        self._inner = inner

    @property
    def epoch(self) -> int:
        """The number of this engine's start on this journal."""
        return self._inner.epoch

    @property
    def last_seq(self) -> int:
        """The newest durable entry."""
        return self._inner.last_seq

    def append(self, entry: Entry, done: Callable[[Committed | NotCommitted], None]) -> None:
        """Queue the entry; `done` is called once it is durable, or never will be."""
        self._inner.append(entry, done)

    async def snapshot(self) -> Snapshot | None:
        """Return the newest intact snapshot, None without one."""
        return await self._inner.snapshot()

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot."""
        await self._inner.save_snapshot(snapshot)

    def replay(
        self, *, after_seq: int = 0, until_seq: int | None = None
    ) -> AsyncIterator[Sequence[Recorded]]:
        """Yield durable entries after `after_seq` in pages."""
        return self._inner.replay(after_seq=after_seq, until_seq=until_seq)

    async def read(
        self, *, after_seq: int, limit: int, order_id: OrderId | None = None
    ) -> tuple[EventView, ...]:
        """Return durable entries after `after_seq`, of one order if wanted."""
        return await self._inner.read(after_seq=after_seq, limit=limit, order_id=order_id)

    async def records(
        self, *, account: AccountId | None = None, order_id: OrderId | None = None
    ) -> tuple[Recorded, ...]:
        """Return every durable entry of an account or an order."""
        return await self._inner.records(account=account, order_id=order_id)
