"""Contracts, looked up at the broker once a day and remembered.

Rule 1: nobody trades by rules that are older than a day. When they cannot be read anew, the
order is refused with the reason.

Rule 2: a refusal that speaks of the rules makes them forgotten: the next order reads them.
"""

from dataclasses import dataclass, field
from typing import Final

from engine import log, metrics
from engine.domain.ports import AlgoRule, AmbiguousSymbol, ContractQuery
from engine.domain.values import ConId, Instrument, Reason
from engine.gateway.algo import AlgoBook
from engine.gateway.client import GatewayClient, Lane, Request
from engine.gateway.contract_search import (
    ContractSearch,
    QueryInvalid,
    is_no_such_contract,
    normalised,
)
from engine.gateway.kept_answers import AGE_NS_MAX, KeptAnswers
from engine.gateway.session import fetch
from engine.gateway.wire import instrument as wire
from engine.gateway.wire import listing
from engine.gateway.wire.lenient import BadAnswer
from engine.gateway.wire.session import CallRefused

CANDIDATES_MAX: Final = 50
KEPT_MAX: Final = 10_000
_DAY_DIGITS: Final = len("YYYYMMDD")
_MONTH_DIGITS: Final = len("YYYYMM")

_UNKNOWN: Final = "INSTRUMENT_UNKNOWN"
_UNSUPPORTED: Final = "SEC_TYPE_UNSUPPORTED"
_SUPPORTED: Final = ", ".join(wire.SEC_TYPES)

_log = log.get("gateway.instrument")


@dataclass(slots=True)
class HttpInstrumentGateway:
    """Looks contracts up at one gateway. All of its life is on the loop."""

    client: GatewayClient
    _contracts: KeptAnswers[Instrument] = field(init=False)
    _found: dict[ContractQuery, tuple[ConId, int]] = field(init=False, default_factory=dict)
    _unknown_words: set[str] = field(init=False, default_factory=set)
    _search: ContractSearch = field(init=False)
    _algos: AlgoBook = field(init=False)

    def __post_init__(self) -> None:
        """Search where the contracts are read, and keep what is read."""
        self._contracts = KeptAnswers(
            client=self.client, read=self._read, what=_what, kept_max=KEPT_MAX
        )
        self._search = ContractSearch(self.client)
        self._algos = AlgoBook(self.client)

    async def by_conid(self, conid: ConId) -> Instrument | Reason:
        """Return the contract with its trading rules, or why it could not be had.

        Those who ask for the same contract at the same time share one request.
        """
        return await self._contracts.of(conid)

    async def find(self, query: ContractQuery) -> Instrument | AmbiguousSymbol | Reason:
        """Return the one contract that fits, or why there is not exactly one.

        A share needs no more than its symbol when it has exactly one listing in the United
        States. A future needs the day of its expiry. A candidate whose conid is 0 is a step:
        an option's month, or its strike.
        """
        sec_type = query.sec_type.strip().upper()
        if sec_type not in wire.SEC_TYPES:
            return _unsupported(f"{query.symbol.strip().upper()} is asked for as", sec_type)
        try:
            wanted = normalised(query)
            conid = self._found_before(wanted)
            if conid is None:
                found = await self._search.find(wanted)
                named = _is_named(wanted)
                if not named or len(found) != 1 or found[0].conid == listing.NO_CONID:
                    return _choice(wanted, found)
                conid = found[0].conid
        except QueryInvalid as invalid:
            return Reason(code="QUERY_INVALID", message=str(invalid))
        except CallRefused as refused:
            return _reason_of(refused, f"symbol {query.symbol.strip().upper()}")
        except BadAnswer as error:
            message = f"symbol {query.symbol.strip().upper()}: {error}"
            return Reason(code="BAD_ANSWER", message=message)
        instrument = await self.by_conid(conid)
        if isinstance(instrument, Reason):
            return instrument
        if (other := _difference(wanted, instrument)) is not None:
            return Reason(code=_UNKNOWN, message=f"{_shown(wanted)}: conid {conid} {other}")
        self._keep_found(wanted, conid)
        return instrument

    async def algos(self, conid: ConId) -> tuple[AlgoRule, ...] | Reason:
        """Return the broker's algorithms for a contract, or why they could not be had.

        The contract comes first: asked for the algorithms of one that it does not know, the
        broker answers 503, as it does when it cannot answer at all.
        """
        contract = await self.by_conid(conid)
        return contract if isinstance(contract, Reason) else await self._algos.of(conid)

    def age_ms(self, conid: ConId) -> int | None:
        """Return how old our knowledge of a contract is, None without any."""
        return self._contracts.age_ms(conid)

    def forget(self, conid: ConId) -> None:
        """Read the contract anew when it is next asked for: the broker goes by other rules.

        A read under way may bring the old ones; it answers those who wait, and nobody else.
        """
        self._contracts.forget(conid)
        self._algos.forget(conid)

    async def _read(self, conid: ConId) -> Instrument | Reason:
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
            read = wire.instrument(conid, document)
        except CallRefused as refused:
            return _reason_of(refused, _what(conid))
        except BadAnswer as error:
            return Reason(code="BAD_ANSWER", message=f"{_what(conid)}: {error}")
        self._count_unknown(conid, read.unknown)
        if read.instrument.sec_type not in wire.SEC_TYPES:
            return _unsupported(f"conid {conid} is of type", read.instrument.sec_type)
        return read.instrument

    def _found_before(self, query: ContractQuery) -> ConId | None:
        found = self._found.get(query)
        if found is None or self.client.clock() - found[1] >= AGE_NS_MAX:
            return None
        return found[0]

    def _keep_found(self, query: ContractQuery, conid: ConId) -> None:
        if self._found_before(query) is not None:
            return
        self._found.pop(query, None)
        self._found[query] = (conid, self.client.clock())
        if len(self._found) > KEPT_MAX:
            del self._found[next(iter(self._found))]

    def _count_unknown(self, conid: ConId, words: tuple[str, ...]) -> None:
        """Count each word of the rules that nobody here knows, once."""
        for word in words:
            if word not in self._unknown_words and len(self._unknown_words) < KEPT_MAX:
                self._unknown_words.add(word)
                metrics.ANOMALIES.labels("instrument", "rule_unknown").inc()
                _log.info(
                    "trading_rule_unknown", session=self.client.session, conid=conid, word=word
                )


def _what(conid: ConId) -> str:
    return f"conid {conid}"


def _unsupported(what: str, sec_type: str) -> Reason:
    message = f"{what} {sec_type}, supported are {_SUPPORTED}"
    return Reason(code=_UNSUPPORTED, message=message)


def _choice(query: ContractQuery, found: tuple[listing.Listing, ...]) -> AmbiguousSymbol | Reason:
    """Return what there is to choose from, or that there is nothing."""
    if not found:
        return Reason(code=_UNKNOWN, message=f"the broker knows no {_shown(query)}")
    # Of a month's strikes those in the middle are the likely ones: the market is there.
    first = max(0, (len(found) - CANDIDATES_MAX) // 2) if query.sec_type == wire.OPTION else 0
    shown = found[first : first + CANDIDATES_MAX]
    return AmbiguousSymbol(
        symbol=query.symbol, candidates=tuple(map(listing.candidate, shown)), count=len(found)
    )


def _difference(query: ContractQuery, found: Instrument) -> str | None:
    """Say what the contract itself has otherwise than it was asked for, None for nothing."""
    if found.sec_type != query.sec_type:
        return f"is of type {found.sec_type}"
    if query.currency is not None and found.currency != query.currency:
        return f"is traded in {found.currency}"
    if query.strike is not None and found.strike != query.strike:
        return f"has the strike {found.strike}"
    if query.right is not None and found.right != query.right:
        return f"has the right {found.right}"
    if query.sec_type != wire.STOCK and found.symbol.upper() != query.symbol:
        return f"is called {found.symbol}"
    if not _expires(query, found):
        return f"expires on {found.expiry}"
    exchanges = {found.exchange, *found.valid_exchanges}
    if query.sec_type == wire.FUTURE and query.exchange not in {None, *exchanges}:
        return f"is traded at {', '.join(sorted(exchanges))}"
    return None


def _expires(query: ContractQuery, found: Instrument) -> bool:
    """Tell whether the contract ends when it was asked for.

    Of a future a list and the contract may name other days, the last one to trade or that of
    the settlement, but in the same month.
    """
    if query.expiry is None or found.expiry is None:
        return True
    digits = _MONTH_DIGITS if query.sec_type == wire.FUTURE else len(query.expiry)
    return found.expiry[:digits] == query.expiry[:digits]


def _is_named(query: ContractQuery) -> bool:
    """Tell whether all is said that makes one contract; what is left out is never guessed."""
    match query.sec_type:
        case wire.OPTION:
            return None not in (query.expiry, query.strike, query.right)
        case wire.FUTURE:
            # Of some commodities the month of the last day is not the one in the name: of oil
            # for January it is December. So only a day names a future.
            return query.expiry is not None and len(query.expiry) == _DAY_DIGITS
        case wire.CURRENCY_PAIR:
            return query.currency is not None
        case _:
            return True


def _shown(query: ContractQuery) -> str:
    """Return a query in words."""
    if query.sec_type == wire.CURRENCY_PAIR and query.currency is not None:
        return f"{query.sec_type} {query.symbol}.{query.currency}"
    words = [query.sec_type, query.symbol]
    for before, value in (
        ("", query.expiry),
        ("strike ", query.strike),
        ("", query.right),
        ("on ", query.exchange),
        ("in ", query.currency),
    ):
        if value is not None:
            words.append(f"{before}{value}")
    return " ".join(words)


def _reason_of(refused: CallRefused, what: str) -> Reason:
    """Return why there is no contract: that there is none, or that nobody could ask."""
    message = f"{what}: {refused.failure.message}"
    code = _UNKNOWN if is_no_such_contract(refused) else refused.failure.kind.value.upper()
    return Reason(code=code, message=message)
