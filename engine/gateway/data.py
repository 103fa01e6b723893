"""Market data over REST: quotes of contracts that are not streamed, and bars of the past."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.domain.messages import FailureKind
from engine.domain.ports import HistoryQuery
from engine.domain.values import Bar, ConId, Quote, Reason
from engine.gateway.client import GatewayClient, Lane, Request
from engine.gateway.session import fetch
from engine.gateway.wire import data as wire
from engine.gateway.wire.lenient import BadAnswer, Row
from engine.gateway.wire.session import CallRefused

_SNAPSHOTS: Final = 7
_SNAPSHOT_INTERVAL_S: Final = 0.5
"""The first call only opens the data; it comes within three seconds, or not at all."""
_BRIDGE_OPENS_S: Final = 1
_BRIDGE_CLOSED: Final = (500, 503)
_NO_SUCH_CONTRACT: Final = (400, 404)


@dataclass(frozen=True, slots=True)
class HttpDataGateway:
    """Reads market data at one gateway.

    A contract's data is never closed here: its line is the stream's, too, and one that
    nobody reads closes by itself after half a minute. `wall_clock` tells the time of day in
    nanoseconds, for the age of what the broker says that it last changed then.
    """

    client: GatewayClient
    wall_clock: Callable[[], int] = time.time_ns

    async def snapshot(self, conids: Sequence[ConId]) -> tuple[Quote, ...] | Reason:
        """Return the quotes of up to 100 contracts; one without any data is left out.

        It takes up to three seconds when data has to be opened first.
        """
        wanted = tuple(dict.fromkeys(conids))
        if len(wanted) > wire.CONIDS_MAX:
            message = f"{len(wanted)} conids, at most {wire.CONIDS_MAX}"
            return Reason(code="TOO_MANY_CONIDS", message=message)
        try:
            found = await self._snapshot(wanted)
        except CallRefused as refused:
            return _reason_of(refused, "the snapshot")
        except BadAnswer as error:
            return Reason(code="BAD_ANSWER", message=f"the snapshot: {error}")
        return tuple(found[conid] for conid in wanted if conid in found)

    async def history(self, query: HistoryQuery) -> tuple[Bar, ...] | Reason:
        """Return up to 1,000 bars, oldest first, with real volumes.

        A period and a bar that do not go together are refused with `BAD_PERIOD` and the
        bars that do; then nothing is sent.
        """
        refusal = wire.refused_bar(query.period, query.bar)
        if refusal is not None:
            return Reason(code="BAD_PERIOD", message=refusal)
        what = f"the history of conid {query.conid}"
        try:
            return wire.bars(query.conid, query.bar, await self._history(query))
        except CallRefused as refused:
            return _reason_of(refused, what)
        except BadAnswer as error:
            return Reason(code="BAD_ANSWER", message=f"{what}: {error}")

    async def _snapshot(self, wanted: tuple[ConId, ...]) -> dict[ConId, Quote]:
        quotes: dict[ConId, Quote] = {}
        rows: dict[ConId, Row] = {}
        open_ = list(wanted)
        for attempt in range(_SNAPSHOTS if wanted else 0):
            if attempt:
                await asyncio.sleep(_SNAPSHOT_INTERVAL_S)
            path = wire.snapshot_path(open_)
            answer = wire.snapshot(await self._get(path))
            now_ns, wall_ns = self.client.clock(), self.wall_clock()
            for conid, row in answer.items():
                before = rows.get(conid, {})
                rows[conid] = {**before, **row}
                age_ns = wire.age_ns(rows[conid], wall_ns)
                quote = wire.quote(conid, rows[conid], now_ns - age_ns)
                if quote is not None:
                    quotes[conid] = quote
                if conid in open_ and wire.is_settled(before, rows[conid]):
                    open_.remove(conid)
            if not open_:
                break
        return quotes

    async def _history(self, query: HistoryQuery) -> object:
        path = wire.history_path(
            query.conid, period=query.period, bar=query.bar, outside_rth=query.outside_rth
        )
        try:
            return await self._get(path)
        except CallRefused as refused:
            if refused.status not in _BRIDGE_CLOSED:
                raise
        # The first call of a session opens the way to the broker's historical data.
        await asyncio.sleep(_BRIDGE_OPENS_S)
        return await self._get(path)

    async def _get(self, path: str) -> object:
        endpoint = path.partition("?")[0]
        return await fetch(
            self.client, Request(method="GET", path=path, endpoint=endpoint, lane=Lane.DATA)
        )


def _reason_of(refused: CallRefused, what: str) -> Reason:
    """Return why there is no data: that there is no such contract, or that nobody could ask."""
    kind = refused.failure.kind
    message = f"{what}: {refused.failure.message}"
    if kind is FailureKind.SERVER_ERROR and refused.status in _NO_SUCH_CONTRACT:
        return Reason(code="INSTRUMENT_UNKNOWN", message=message)
    return Reason(code=kind.value.upper(), message=message)
