"""The broker's algorithms for contracts, read once a day and remembered.

Rule: an empty list may only mean that the broker had not looked yet, as its first answers
often do; so it is asked a second time before a contract is said to have none.
"""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

from engine.domain.ports import AlgoRule
from engine.domain.values import ConId, Reason
from engine.gateway.client import GatewayClient, Lane, Request
from engine.gateway.session import fetch
from engine.gateway.wire import algo as wire
from engine.gateway.wire.lenient import BadAnswer
from engine.gateway.wire.session import CallRefused

KEPT_MAX: Final = 1_000
_AGE_NS_MAX: Final = 24 * 3_600 * 1_000_000_000
_SECOND_READ_MS: Final = 1_000

Found: TypeAlias = tuple[AlgoRule, ...] | Reason


@dataclass(slots=True)
class AlgoBook:
    """Knows the algorithms of contracts. All of its life is on the loop."""

    client: GatewayClient
    second_read_ms: int = _SECOND_READ_MS
    _known: dict[ConId, tuple[tuple[AlgoRule, ...], int]] = field(init=False, default_factory=dict)
    _asked: dict[ConId, asyncio.Future[Found]] = field(init=False, default_factory=dict)

    async def of(self, conid: ConId) -> Found:
        """Return a contract's algorithms, or why they could not be had.

        Those who ask for the same contract at the same time share one request.
        """
        known = self._known.get(conid)
        if known is not None and self.client.clock() - known[1] < _AGE_NS_MAX:
            return known[0]
        asked = self._asked.get(conid)
        if asked is None:
            asked = asyncio.get_running_loop().create_future()
            self._asked[conid] = asked
            self.client.answer(
                self._read(conid), partial(self._told, conid, asked), partial(_failed, conid)
            )
        # Of those who wait, one may give up; the others still get their answer.
        return await asyncio.shield(asked)

    def forget(self, conid: ConId) -> None:
        """Read a contract's algorithms anew when they are next asked for."""
        self._known.pop(conid, None)
        self._asked.pop(conid, None)

    async def _read(self, conid: ConId) -> Found:
        request = Request(
            method="GET",
            path=f"/iserver/contract/{conid}/algos?addDescription=1&addParams=1",
            endpoint="/iserver/contract/{conid}/algos",
            lane=Lane.DATA,
        )
        try:
            found = wire.algos(await fetch(self.client, request))
            if not found:
                await asyncio.sleep(self.second_read_ms / 1000)
                found = wire.algos(await fetch(self.client, request))
        except CallRefused as refused:
            message = f"the algos of conid {conid}: {refused.failure.message}"
            return Reason(code=refused.failure.kind.value.upper(), message=message)
        except BadAnswer as error:
            return Reason(code="BAD_ANSWER", message=f"the algos of conid {conid}: {error}")
        return found

    def _told(self, conid: ConId, asked: asyncio.Future[Found], answer: Found) -> None:
        is_newest = self._asked.get(conid) is asked
        if is_newest:
            del self._asked[conid]
        if is_newest and not isinstance(answer, Reason):
            self._known.pop(conid, None)  # What is read anew is the newest, and goes last.
            self._known[conid] = (answer, self.client.clock())
            if len(self._known) > KEPT_MAX:
                del self._known[next(iter(self._known))]
        if not asked.done():
            asked.set_result(answer)


def _failed(conid: ConId, error: Exception) -> Found:
    message = f"the algos of conid {conid}: {type(error).__name__}: {error}"
    return Reason(code="INTERNAL_ERROR", message=message)
