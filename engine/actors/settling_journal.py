"""A journal that can be read back while it is written: by an actor that is rebuilt."""

import asyncio
from collections.abc import Callable
from typing import Final

from engine.actors.passing_journal import PassingJournal
from engine.domain.history import History
from engine.domain.messages import AccountReconciled, ExternalOrderSeen, LoginGuarded
from engine.domain.ports import Committed, Entry, Journal, NotCommitted, Recorded
from engine.domain.values import AccountId, OrderId, SessionName

_KEPT: Final = (AccountReconciled, ExternalOrderSeen)


class SettlingJournal(PassingJournal):
    """Knows what the journal has not answered yet, and what was written last of some things."""

    def __init__(self, inner: Journal) -> None:
        super().__init__(inner)
        self._appended = 0
        self._open: dict[int, None] = {}
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self.guards: dict[SessionName, LoginGuarded] = {}
        """How the last logins of each session went, as far as it was written here."""
        self.kept = History()
        """What is durable of comparisons and of others' orders."""

    def append(self, entry: Entry, done: Callable[[Committed | NotCommitted], None]) -> None:
        """Queue the entry; `done` is called once it is durable, or never will be."""
        self._appended += 1
        number = self._appended
        self._open[number] = None
        if isinstance(entry.message, LoginGuarded):
            self.guards[entry.message.session] = entry.message

        def settle(result: Committed | NotCommitted) -> None:
            if isinstance(result, Committed) and isinstance(entry.message, _KEPT):
                self.kept.apply(Recorded(seq=result.seq, entry=entry))
            try:
                done(result)
            finally:
                self._close(number)

        try:
            super().append(entry, settle)
        except Exception:
            self._close(number)  # It was not taken; nobody must wait for it.
            raise

    async def records(
        self, *, account: AccountId | None = None, order_id: OrderId | None = None
    ) -> tuple[Recorded, ...]:
        """Return the entries of an account or an order, those under way included.

        Whatever was appended before the call is durable by then, or refused.
        """
        await self.settled()
        return await super().records(account=account, order_id=order_id)

    async def settled(self) -> None:
        """Return once all that was appended before is durable, or refused."""
        if self._open:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((self._appended, waiter))
            await waiter

    def _close(self, number: int) -> None:
        del self._open[number]
        if not self._waiters:
            return
        oldest = next(iter(self._open), self._appended + 1)
        waiters, self._waiters = self._waiters, []
        for last, waiter in waiters:
            if last >= oldest:
                self._waiters.append((last, waiter))
            elif not waiter.done():
                waiter.set_result(None)
