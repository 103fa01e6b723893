"""What the broker told of contracts: asked for once at a time, and kept for a day.

Rule 1: those who ask for the same contract at the same time share one request.

Rule 2: what is forgotten while it is read answers those who wait, and nobody else: it may be
the old truth.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, TypeVar

from engine.domain.values import ConId, Reason
from engine.gateway.client import GatewayClient

T = TypeVar("T")

AGE_NS_MAX: Final = 24 * 3_600 * 1_000_000_000
"""Older than a day nothing is used; it is read anew."""

_NS_PER_MS: Final = 1_000_000


@dataclass(slots=True, kw_only=True)
class KeptAnswers(Generic[T]):
    """Answers about contracts, by conid. All of its life is on the loop.

    `read` asks the broker; a `Reason` that it returns is not kept. `what` names a contract's
    answer in messages, and of `kept_max` answers the oldest are forgotten.
    """

    client: GatewayClient
    read: Callable[[ConId], Awaitable[T | Reason]]
    what: Callable[[ConId], str]
    kept_max: int
    _known: dict[ConId, tuple[T, int]] = field(init=False, default_factory=dict)
    _asked: dict[ConId, asyncio.Future[T | Reason]] = field(init=False, default_factory=dict)

    async def of(self, conid: ConId) -> T | Reason:
        """Return what is known of a contract, or why it could not be had."""
        known = self._known.get(conid)
        if known is not None and self.client.clock() - known[1] < AGE_NS_MAX:
            return known[0]
        asked = self._asked.get(conid)
        if asked is None:
            asked = asyncio.get_running_loop().create_future()
            self._asked[conid] = asked
            self.client.answer(
                self.read(conid), partial(self._told, conid, asked), partial(self._failed, conid)
            )
        # Of those who wait, one may give up; the others still get their answer.
        return await asyncio.shield(asked)

    def age_ms(self, conid: ConId) -> int | None:
        """Return how old the answer of a contract is, None without any."""
        known = self._known.get(conid)
        return None if known is None else (self.client.clock() - known[1]) // _NS_PER_MS

    def forget(self, conid: ConId) -> None:
        """Read it anew when it is next asked for."""
        self._known.pop(conid, None)
        self._asked.pop(conid, None)

    def _told(self, conid: ConId, asked: asyncio.Future[T | Reason], answer: T | Reason) -> None:
        is_newest = self._asked.get(conid) is asked
        if is_newest:
            del self._asked[conid]
        if is_newest and not isinstance(answer, Reason):
            self._known.pop(conid, None)  # What is read anew is the newest, and goes last.
            self._known[conid] = (answer, self.client.clock())
            if len(self._known) > self.kept_max:
                del self._known[next(iter(self._known))]
        if not asked.done():
            asked.set_result(answer)

    def _failed(self, conid: ConId, error: Exception) -> T | Reason:
        message = f"{self.what(conid)}: {type(error).__name__}: {error}"
        return Reason(code="INTERNAL_ERROR", message=message)
