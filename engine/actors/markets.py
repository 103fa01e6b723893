"""Markets as the API sees them: contracts, quotes and bars, from the session that has them.

Rule: what is streamed comes from memory. What is not is read from the broker, and such a
read never goes through an actor's mailbox, so it delays nobody.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from engine.actors.shell import Clock
from engine.actors.supervisor import Supervisor
from engine.actors.switchboard import SessionLines, Switchboard
from engine.domain.messages import SubscribeQuotes, UnsubscribeQuotes
from engine.domain.ports import (
    AgedInstrument,
    AmbiguousSymbol,
    ContractQuery,
    HistoryQuery,
    InstrumentGateway,
)
from engine.domain.values import Bar, ConId, Instrument, Quote, Reason, SessionName

QUOTE_S_MAX: Final = 2.5
"""A contract that was not streamed yet gets this long to show its first quote."""

SUBSCRIPTIONS_MAX: Final = 90
"""The broker streams 100 contracts to a user by default; some are left for people."""

_LOOK_S: Final = 0.05


class Markets:
    """The market data and the contracts of all sessions.

    `without_market_data` are the sessions that are configured to stream none.
    """

    def __init__(
        self,
        *,
        supervisor: Supervisor,
        switchboard: Switchboard,
        clock: Clock,
        without_market_data: Collection[SessionName] = (),
    ) -> None:
        self._supervisor = supervisor
        self._board = switchboard
        self._clock = clock
        self._without = frozenset(without_market_data)

    # --- what is streamed ------------------------------------------------------------------

    def quotes(self, conids: Sequence[ConId]) -> tuple[tuple[Quote, int], ...]:
        """The streamed quotes of these contracts, each with its age in milliseconds."""
        found = (self._quote(conid) for conid in conids)
        return self._aged(quote for quote in found if quote is not None)

    def _quote(self, conid: ConId) -> Quote | None:
        quotes = (lines.feed.quote(conid) for lines in self._board.sessions.values())
        return next((quote for quote in quotes if quote is not None), None)

    def _aged(self, quotes: Iterable[Quote]) -> tuple[tuple[Quote, int], ...]:
        now_ns = self._clock.monotonic_ns()
        return tuple((quote, max(now_ns - quote.received_ns, 0) // 1_000_000) for quote in quotes)

    def bars(self, conid: ConId, *, interval_ms: int, limit: int) -> tuple[Bar, ...]:
        """The newest closed bars of a contract, oldest first."""
        for lines in self._board.sessions.values():
            bars = lines.feed.bars(conid, interval_ms, limit)
            if bars:
                return bars
        return ()

    async def quote_for(self, session: SessionName, conid: ConId) -> Quote | None:
        """Return the contract's quote, after streaming it if it was not streamed yet.

        It comes from this session alone, as what one login may see of a market says
        nothing about another; one without market data takes another's. Where no more can
        be streamed, it is a snapshot.
        """
        if session in self._without:
            session, _ = self._any_session()
        lines = self._board.sessions[session]
        feed = lines.feed
        quote = feed.quote(conid)
        if quote is not None:
            return quote
        if self._stream(session, conid) is not None:
            read = await lines.data.snapshot([conid])
            return None if isinstance(read, Reason) else next(iter(read), None)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + QUOTE_S_MAX
        while quote is None and loop.time() < deadline:
            # Quotes are pulled, never pushed: a look every few frames costs the feed nothing.
            await asyncio.sleep(_LOOK_S)
            quote = feed.quote(conid)
        return quote

    async def subscribe(self, conid: ConId) -> Instrument | Reason:
        """Stream this contract from now on."""
        session, lines = self._any_session()
        found = await lines.instruments.by_conid(conid)
        if isinstance(found, Instrument):
            problem = self._stream(session, conid)
            if problem is not None:
                return problem
        return found

    def _stream(self, session: SessionName, conid: ConId) -> Reason | None:
        subscriptions = self._supervisor.feeds[session].feed.subscriptions
        if conid in subscriptions:
            return None
        if len(subscriptions) >= SUBSCRIPTIONS_MAX:
            text = f"{len(subscriptions)} contracts are streamed, the limit is {SUBSCRIPTIONS_MAX}"
            return Reason(code="SUBSCRIPTIONS_FULL", message=text)
        self._board.tell_feed(session, SubscribeQuotes(conid=conid))
        return None

    def subscriptions(self) -> tuple[ConId, ...]:
        """The contracts that are streamed."""
        streamed = {
            conid for actor in self._supervisor.feeds.values() for conid in actor.feed.subscriptions
        }
        return tuple(sorted(streamed))

    async def unsubscribe(self, conid: ConId) -> bool:
        """Stop streaming; False when it was not streamed."""
        streaming = [
            name
            for name, actor in self._supervisor.feeds.items()
            if conid in actor.feed.subscriptions
        ]
        for name in streaming:
            self._board.tell_feed(name, UnsubscribeQuotes(conid=conid))
        return bool(streaming)

    # --- what the broker is asked ------------------------------------------------------------

    async def instrument(self, query: ContractQuery) -> AgedInstrument | AmbiguousSymbol | Reason:
        """Look a contract up by what a client says of it."""
        instruments = self._any_session()[1].instruments
        found = await instruments.find(query)
        return _dated(instruments, found) if isinstance(found, Instrument) else found

    async def contract(self, conid: ConId) -> AgedInstrument | Reason:
        """Look a contract up by its id."""
        instruments = self._any_session()[1].instruments
        found = await instruments.by_conid(conid)
        return _dated(instruments, found) if isinstance(found, Instrument) else found

    async def snapshot(self, conids: Sequence[ConId]) -> tuple[tuple[Quote, int], ...] | Reason:
        """Quotes that are not streamed, read from the broker, with their ages in ms."""
        found = await self._any_session()[1].data.snapshot(conids)
        return found if isinstance(found, Reason) else self._aged(found)

    async def history(self, query: HistoryQuery) -> tuple[Bar, ...] | Reason:
        """Bars of the past, from the broker."""
        return await self._any_session()[1].data.history(query)

    def _any_session(self) -> tuple[SessionName, SessionLines]:
        """Return the first session that is ready, rather one with market data."""
        sessions = self._supervisor.sessions
        name = min(
            sessions, key=lambda each: (not sessions[each].session.ready, each in self._without)
        )
        return name, self._board.sessions[name]


def _dated(instruments: InstrumentGateway, found: Instrument) -> AgedInstrument:
    age_ms = instruments.age_ms(found.conid)
    return AgedInstrument(instrument=found, age_ms=age_ms or 0)
