"""Finding contracts at the broker: the requests that lead from a client's words to a conid.

Rule 1: every kind of contract has its own way, because the broker has one for each.

Rule 2: what a client asked for is looked for exactly. A currency, an exchange, a day that
nothing fits finds nothing; it is never left out to find something.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote, urlencode

from engine import log
from engine.domain.messages import FailureKind
from engine.domain.ports import ContractQuery
from engine.gateway.client import GatewayClient, Lane, Request
from engine.gateway.session import fetch
from engine.gateway.wire import instrument as wire
from engine.gateway.wire import listing
from engine.gateway.wire.lenient import BadAnswer
from engine.gateway.wire.listing import Listing, Section, Underlying
from engine.gateway.wire.session import CallRefused

_OK: Final = 200
_NO_SUCH_CONTRACT: Final = (400, 404)
_DEFINITIONS_MAX: Final = 200
_UNDERLYINGS_MAX: Final = 5
_SMART: Final = "SMART"
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_EXPIRY: Final = re.compile(r"[0-9]{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])?")
_MONTH_DIGITS: Final = 6
_PAIR: Final = re.compile(r"([A-Z]{3})\.([A-Z]{3})")

_log = log.get("gateway.instrument")


class QueryInvalid(Exception):  # noqa: N818 - says what is so, as the broker's refusals do
    """Nothing can be looked for with these words."""


def normalised(query: ContractQuery) -> ContractQuery:
    """Return the query as the broker writes such words.

    `SMART` is the broker's own routing and no exchange of a share: it asks for nothing.
    Raises `QueryInvalid` when a word has no form that the broker knows, or goes with
    another kind of contract.
    """
    found = replace(
        query,
        symbol=query.symbol.strip().upper(),
        sec_type=query.sec_type.strip().upper(),
        exchange=_word(query.exchange),
        currency=_word(query.currency),
        expiry=_word(query.expiry),
        right=wire.right(query.right) or _word(query.right),
    )
    if found.exchange == _SMART:
        found = replace(found, exchange=None)
    if found.sec_type == wire.CURRENCY_PAIR and (pair := _PAIR.fullmatch(found.symbol)):
        base, currency = pair.groups()
        if found.currency not in (None, currency):
            message = f"the pair {found.symbol} is in {currency}, asked was {found.currency}"
            raise QueryInvalid(message)
        found = replace(found, symbol=base, currency=currency)
    _check(found)
    return found


def _word(text: str | None) -> str | None:
    return (text.strip().upper() or None) if text is not None else None


def _check(query: ContractQuery) -> None:
    wrong: list[str] = []
    if not query.symbol:
        wrong.append("the symbol is empty")
    if query.currency is not None and not _CURRENCY.fullmatch(query.currency):
        wrong.append(f"the currency is {query.currency!r}, expected three letters")
    if query.expiry is not None and not _EXPIRY.fullmatch(query.expiry):
        wrong.append(f"the expiry is {query.expiry!r}, expected YYYYMMDD or YYYYMM")
    if query.right not in (None, "C", "P"):
        wrong.append(f"the right is {query.right!r}, expected C or P")
    if query.strike is not None and not (query.strike.is_finite() and query.strike > 0):
        wrong.append(f"the strike is {query.strike}, expected more than 0")
    if query.sec_type not in (wire.OPTION, wire.FUTURE) and query.expiry is not None:
        wrong.append(f"a {query.sec_type} has no expiry")
    if query.sec_type != wire.OPTION and (query.strike is not None or query.right is not None):
        wrong.append(f"a {query.sec_type} has no strike and no right")
    if wrong:
        raise QueryInvalid("; ".join(wrong))


@dataclass(frozen=True, slots=True)
class ContractSearch:
    """Asks one gateway which contracts a query means. The query is a `normalised` one."""

    client: GatewayClient

    async def find(self, query: ContractQuery) -> tuple[Listing, ...]:
        """Return the contracts that fit, the likeliest first; none when there is none.

        A listing without a conid is a step towards a contract: a month, a strike. Raises
        `CallRefused` or `BadAnswer` when the broker cannot be asked, or `QueryInvalid`.
        """
        ways: Mapping[str, Callable[[ContractQuery], Awaitable[tuple[Listing, ...]]]] = {
            wire.STOCK: self._stocks,
            wire.OPTION: self._options,
            wire.FUTURE: self._futures,
            wire.CURRENCY_PAIR: self._pairs,
            wire.CRYPTO: self._coins,
        }
        return await ways[query.sec_type](query)

    async def _stocks(self, query: ContractQuery) -> tuple[Listing, ...]:
        document = await self._get("/trsrv/stocks", symbols=query.symbol)
        found = _on_exchange(listing.stocks(query.symbol, document), query.exchange)
        if query.currency is None:
            found = _in_us(found) if query.exchange is None else found
            return await self._described(found) if len(found) > 1 else found
        found = await self._in_currency(found, query.currency)
        return _in_us(found) if query.exchange is None else found

    async def _futures(self, query: ContractQuery) -> tuple[Listing, ...]:
        """Return the futures that expire on that day or in that calendar month.

        Of some commodities that is not the month in the contract's name.
        """
        where = {} if query.exchange is None else {"exchange": query.exchange}
        document = await self._get("/trsrv/futures", symbols=query.symbol, **where)
        found = tuple(
            one
            for one in listing.futures(query.symbol, document)
            if query.expiry is None or (one.expiry or "").startswith(query.expiry)
        )
        if query.currency is not None:
            return await self._in_currency(found, query.currency)
        return await self._described(found) if len(found) > 1 else found

    async def _pairs(self, query: ContractQuery) -> tuple[Listing, ...]:
        """Return the pairs of a currency, or the one with the other currency."""
        path = "/iserver/currency/pairs"
        found = listing.pairs(await self._get(path, currency=query.symbol))
        if query.currency is None:
            return tuple(one for one in found if one.symbol.startswith(f"{query.symbol}."))
        name = f"{query.symbol}.{query.currency}"
        if not any(one.symbol == name for one in found):
            found = listing.pairs(await self._get(path, currency=query.currency))
        named = {one.conid: one for one in found if one.symbol == name}
        return tuple(named.values())

    async def _coins(self, query: ContractQuery) -> tuple[Listing, ...]:
        rows = listing.underlyings(query.symbol, await self._search(query.symbol))
        found = _on_exchange(listing.coins(rows), query.exchange)
        distinct = tuple({one.conid: one for one in found}.values())
        if query.currency is not None:
            return await self._in_currency(distinct, query.currency)
        return distinct

    async def _options(self, query: ContractQuery) -> tuple[Listing, ...]:
        rows = await self._with_options(query)
        if query.expiry is None:
            return listing.months(rows)
        month = listing.month_of(query.expiry)
        written = [
            (row, section)
            for row in rows
            if (section := row.section(wire.OPTION)) is not None and month in section.months
        ]
        if len(written) > _UNDERLYINGS_MAX:
            where = ", ".join(row.exchange for row, _ in written)
            message = f"options on {query.symbol} are written on {len(written)} contracts ({where})"
            raise QueryInvalid(message)
        found: list[Listing] = []
        for row, section in written:
            found += await self._chain(query, row, section, month)
        return tuple(found)

    async def _chain(
        self, query: ContractQuery, row: Underlying, section: Section, month: str
    ) -> tuple[Listing, ...]:
        """Return the options on one underlying, or with no strike given its strikes."""
        asked = {"conid": str(row.conid), "sectype": wire.OPTION, "month": month}
        if (exchange := _route(query.exchange, section)) is not None:
            asked["exchange"] = exchange
        if query.strike is None:
            document = await self._get("/iserver/secdef/strikes", **asked)
            steps = listing.strikes(row, month, document)
            return tuple(step for step in steps if query.right in (None, step.right))
        asked["strike"] = f"{query.strike.normalize():f}"
        if query.right is not None:
            asked["right"] = query.right
        document = await self._get("/iserver/secdef/info", **asked)
        return tuple(
            replace(one, underlying_conid=row.conid)
            for one in listing.options(query.symbol, document)
            if (one.expiry or "").startswith(query.expiry or "")
            and one.strike in (None, query.strike)
            and query.right in (None, one.right)
            and query.currency in (None, one.currency)
        )

    async def _with_options(self, query: ContractQuery) -> tuple[Underlying, ...]:
        """Return what options are written on: shares, and if there is none, indices.

        The search is needed for every lookup: without it the broker finds nothing.
        """
        for kind in (wire.STOCK, "IND"):
            rows = listing.underlyings(query.symbol, await self._search(query.symbol, kind))
            found = tuple(
                row
                for row in rows
                if (section := row.section(wire.OPTION)) is not None
                and (query.exchange is None or _route(query.exchange, section) is not None)
            )
            if found:
                return found
        return ()

    async def _search(self, symbol: str, kind: str | None = None) -> object:
        """Return the rows of a search; an error beside HTTP 200 is how some builds say none."""
        asked = {"symbol": symbol} if kind is None else {"symbol": symbol, "secType": kind}
        try:
            return await self._get("/iserver/secdef/search", **asked)
        except CallRefused as refused:
            if is_no_such_contract(refused) or _says_no(refused):
                return []
            raise

    async def _in_currency(self, found: tuple[Listing, ...], currency: str) -> tuple[Listing, ...]:
        described = await self._definitions(found)
        return tuple(one for one in described if one.currency == currency)

    async def _described(self, found: tuple[Listing, ...]) -> tuple[Listing, ...]:
        """Return the listings with currency and exchange, for a person to choose from.

        Without an answer they are shown as they are: each still has its conid.
        """
        try:
            return await self._definitions(found)
        except (CallRefused, BadAnswer) as error:
            _log.info("contracts_not_described", session=self.client.session, reason=str(error))
            return found

    async def _definitions(self, found: tuple[Listing, ...]) -> tuple[Listing, ...]:
        described = found
        for start in range(0, len(found), _DEFINITIONS_MAX):
            part = found[start : start + _DEFINITIONS_MAX]
            conids = ",".join(str(one.conid) for one in part)
            document = await self._get("/trsrv/secdef", conids=conids)
            described = listing.described(described, document)
        return described

    async def _get(self, path: str, **asked: str) -> object:
        query = urlencode(asked, quote_via=quote, safe=",")
        request = Request(method="GET", path=f"{path}?{query}", endpoint=path, lane=Lane.DATA)
        return await fetch(self.client, request)


def is_no_such_contract(refused: CallRefused) -> bool:
    """Tell whether the broker said that there is no such contract, not that nobody could ask."""
    kind = refused.failure.kind
    return kind is FailureKind.SERVER_ERROR and refused.status in _NO_SUCH_CONTRACT


def _says_no(refused: CallRefused) -> bool:
    return refused.failure.kind is FailureKind.SERVER_ERROR and refused.status == _OK


def _on_exchange(found: tuple[Listing, ...], exchange: str | None) -> tuple[Listing, ...]:
    return tuple(one for one in found if exchange in (None, one.exchange.upper()))


def _in_us(found: tuple[Listing, ...]) -> tuple[Listing, ...]:
    """Return the one listing in the United States if there is exactly one, else all."""
    in_us = tuple(one for one in found if one.is_us)
    return in_us if len(in_us) == 1 else found


def _route(exchange: str | None, section: Section) -> str | None:
    """Return where to look for an option; None when that is nowhere, or nobody says."""
    if exchange is not None:
        return exchange if exchange in section.exchanges else None
    return _SMART if _SMART in section.exchanges else next(iter(section.exchanges), None)
