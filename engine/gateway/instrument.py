"""Contracts, looked up at the broker once and remembered."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from engine.domain.messages import FailureKind
from engine.domain.ports import AmbiguousSymbol
from engine.domain.values import ConId, Instrument, Reason
from engine.gateway.client import GatewayClient, Lane, Request
from engine.gateway.session import fetch
from engine.gateway.wire import instrument as wire
from engine.gateway.wire.lenient import BadAnswer
from engine.gateway.wire.session import CallRefused

_UNKNOWN: Final = "INSTRUMENT_UNKNOWN"
_UNSUPPORTED: Final = "SEC_TYPE_UNSUPPORTED"
_NO_SUCH_CONTRACT: Final = (400, 404)


@dataclass(slots=True)
class HttpInstrumentGateway:
    """Looks contracts up. What was found stays known as long as this object lives."""

    client: GatewayClient
    _known: dict[ConId, Instrument] = field(init=False, default_factory=dict)

    async def by_conid(self, conid: ConId) -> Instrument | Reason:
        """Return the contract with its trading rules, or why it could not be had."""
        if (known := self._known.get(conid)) is not None:
            return known
        try:
            document = await fetch(
                self.client,
                Request(
                    method="GET",
                    path=f"/iserver/contract/{conid}/info-and-rules?isBuy=true",
                    endpoint="/iserver/contract/{conid}/info-and-rules",
                    lane=Lane.DATA,
                ),
            )
            found = wire.instrument(conid, document)
        except CallRefused as refused:
            return _reason_of(refused, f"conid {conid}")
        except BadAnswer as error:
            return Reason(code="BAD_ANSWER", message=f"conid {conid}: {error}")
        if found.sec_type not in wire.SEC_TYPES:
            message = f"conid {conid} is of type {found.sec_type}, supported is STK"
            return Reason(code=_UNSUPPORTED, message=message)
        self._known[conid] = found
        return found

    async def by_symbol(
        self, symbol: str, *, exchange: str | None = None
    ) -> Instrument | AmbiguousSymbol | Reason:
        """Return the one stock of that symbol, or why there is not exactly one.

        Without an exchange, a stock with exactly one listing in the United States is that
        listing; every other choice is the client's.
        """
        wanted = symbol.strip().upper()
        try:
            document = await fetch(
                self.client,
                Request(
                    method="GET",
                    path=f"/trsrv/stocks?symbols={quote(wanted, safe='')}",
                    endpoint="/trsrv/stocks",
                    lane=Lane.DATA,
                ),
            )
            listings = wire.listings(wanted, document)
        except CallRefused as refused:
            return _reason_of(refused, f"symbol {wanted}")
        except BadAnswer as error:
            return Reason(code="BAD_ANSWER", message=f"symbol {wanted}: {error}")
        found = _choose(listings, exchange)
        if len(found) == 1:
            return await self.by_conid(found[0].conid)
        if not found:
            where = f" on {exchange}" if exchange else ""
            return Reason(code=_UNKNOWN, message=f"the broker knows no stock {wanted}{where}")
        return AmbiguousSymbol(symbol=wanted, candidates=tuple(map(wire.candidate, found)))


def _choose(
    listings: tuple[wire.StockListing, ...], exchange: str | None
) -> tuple[wire.StockListing, ...]:
    if exchange is not None:
        name = exchange.strip().upper()
        return tuple(listing for listing in listings if listing.exchange.upper() == name)
    in_us = tuple(listing for listing in listings if listing.is_us)
    return in_us if len(in_us) == 1 else listings


def _reason_of(refused: CallRefused, what: str) -> Reason:
    """Return why there is no contract: that there is none, or that nobody could ask."""
    kind = refused.failure.kind
    message = f"{what}: {refused.failure.message}"
    if kind is FailureKind.SERVER_ERROR and refused.status in _NO_SUCH_CONTRACT:
        return Reason(code=_UNKNOWN, message=message)
    return Reason(code=kind.value.upper(), message=message)
