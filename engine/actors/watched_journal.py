"""A journal that says when it advanced, or that it can keep nothing any more."""

from collections.abc import Callable, Sequence
from typing import Final

from engine.domain.ports import Committed, Entry, Journal, NotCommitted, Recorded
from engine.domain.values import AccountId, OrderId, Reason
from engine.domain.views import EventView

UNAVAILABLE: Final = "JOURNAL_UNAVAILABLE"
"""The one refusal that is for good; a backlog passes, and a bad record is its own fault."""


class WatchedJournal:
    """Passes everything on to `inner`, and tells about each result."""

    def __init__(self, inner: Journal) -> None:
        self._inner = inner
        self.on_commit: Callable[[], None] = lambda: None
        self.on_failure: Callable[[Reason], None] = lambda _reason: None

    @property
    def epoch(self) -> int:
        """The number of this engine's start on this journal."""
        return self._inner.epoch

    @property
    def last_seq(self) -> int:
        """The newest durable entry."""
        return self._inner.last_seq

    def append(self, entry: Entry, done: Callable[[Committed | NotCommitted], None]) -> None:
        """Queue the entry; `done` is called first, then who watches."""

        def tell(result: Committed | NotCommitted) -> None:
            done(result)
            if isinstance(result, Committed):
                self.on_commit()
            elif result.reason.code == UNAVAILABLE:
                self.on_failure(result.reason)

        self._inner.append(entry, tell)

    def replay(self) -> Sequence[Recorded]:
        """Return every entry of before this start."""
        return self._inner.replay()

    async def read(self, *, after_seq: int, limit: int) -> tuple[EventView, ...]:
        """Return durable entries after `after_seq`."""
        return await self._inner.read(after_seq=after_seq, limit=limit)

    async def records(
        self, *, account: AccountId | None = None, order_id: OrderId | None = None
    ) -> tuple[Recorded, ...]:
        """Return every durable entry of an account or an order."""
        return await self._inner.records(account=account, order_id=order_id)
