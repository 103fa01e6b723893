"""The broker's algorithms for contracts, read once a day and remembered.

Rule: an empty list may only mean that the broker had not looked yet, as its first answers
often do; so it is asked a second time before a contract is said to have none.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from engine.domain.ports import AlgoRule
from engine.domain.values import ConId, Reason
from engine.gateway.client import GatewayClient, Lane, Request
from engine.gateway.kept_answers import KeptAnswers
from engine.gateway.session import fetch
from engine.gateway.wire import algo as wire
from engine.gateway.wire.lenient import BadAnswer
from engine.gateway.wire.session import CallRefused

KEPT_MAX: Final = 1_000
_SECOND_READ_MS: Final = 1_000

Found: TypeAlias = tuple[AlgoRule, ...] | Reason


@dataclass(slots=True)
class AlgoBook:
    """Knows the algorithms of contracts. All of its life is on the loop."""

    client: GatewayClient
    second_read_ms: int = _SECOND_READ_MS
    _answers: KeptAnswers[tuple[AlgoRule, ...]] = field(init=False)

    def __post_init__(self) -> None:
        """Keep what is read."""
        self._answers = KeptAnswers(
            client=self.client, read=self._read, what=_what, kept_max=KEPT_MAX
        )

    async def of(self, conid: ConId) -> Found:
        """Return a contract's algorithms, or why they could not be had."""
        return await self._answers.of(conid)

    def forget(self, conid: ConId) -> None:
        """Read a contract's algorithms anew when they are next asked for."""
        self._answers.forget(conid)

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
            message = f"{_what(conid)}: {refused.failure.message}"
            return Reason(code=refused.failure.kind.value.upper(), message=message)
        except BadAnswer as error:
            return Reason(code="BAD_ANSWER", message=f"{_what(conid)}: {error}")
        return found


def _what(conid: ConId) -> str:
    return f"the algos of conid {conid}"
