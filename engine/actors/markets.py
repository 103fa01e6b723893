"""Markets as the API sees them: contracts, quotes and bars, from the session that has them.

Rule: what is streamed comes from memory. What is not is read from the broker, and such a
read never goes through an actor's mailbox, so it delays nobody.

Rule: no session's silence is the engine's. What several sessions stream comes from the one
that streams it best, and a session that lets a reader wait is asked after the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Final, TypeVar

from engine.actors.shell import Clock
from engine.actors.supervisor import Supervisor
from engine.actors.switchboard import SessionLines, Switchboard
from engine.domain.messages import FailureKind, SubscribeQuotes, UnsubscribeQuotes
from engine.domain.ports import (
    AgedInstrument,
    AmbiguousSymbol,
    ContractQuery,
    HistoryQuery,
)
from engine.domain.values import Bar, ConId, Instrument, Quote, Reason, SessionName

QUOTE_S_MAX: Final = 2.5
"""A contract that was not streamed yet gets this long to show its first quote."""

SUBSCRIPTIONS_MAX: Final = 90
"""The broker streams 100 contracts to a user by default; some are left for people."""

ASKED_S_MAX: Final = 3.0
"""So long a session may take to answer while another one could."""

SNAPSHOT_S_MAX: Final = 4.5
"""A snapshot takes three seconds and its requests where its data has to be opened first."""

SILENT_S: Final = 30.0
"""A session that gave no answer in time is asked after the others for so long."""

STREAM_AGE_MS_MAX: Final = 20_000
"""A session whose stream was heard within this is there; the broker sends every 10 s."""

_LOOK_S: Final = 0.05
_NS_PER_S: Final = 1_000_000_000

_NO_ANSWER: Final = frozenset(kind.value.upper() for kind in FailureKind)
"""Codes that say that this session could not be asked, not what the broker answers."""

_Found = TypeVar("_Found")


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
        self._silent_until_ns: dict[SessionName, int] = {}

    # --- what is streamed ------------------------------------------------------------------

    def quotes(self, conids: Sequence[ConId]) -> tuple[tuple[Quote, int], ...]:
        """The newest streamed quotes of these contracts, each with its age in milliseconds."""
        found = (self._quote(conid) for conid in conids)
        return self._aged(quote for quote in found if quote is not None)

    def _quote(self, conid: ConId) -> Quote | None:
        quotes = (lines.feed.quote(conid) for lines in self._board.sessions.values())
        known = (quote for quote in quotes if quote is not None)
        return max(known, key=lambda quote: quote.received_ns, default=None)

    def _aged(self, quotes: Iterable[Quote]) -> tuple[tuple[Quote, int], ...]:
        now_ns = self._clock.monotonic_ns()
        return tuple((quote, max(now_ns - quote.received_ns, 0) // 1_000_000) for quote in quotes)

    def bars(self, conid: ConId, *, interval_ms: int, limit: int) -> tuple[Bar, ...]:
        """The newest closed bars of a contract, oldest first.

        Of the same time the bar of most trades is shown: that session missed the least.
        """
        best: dict[int, Bar] = {}
        for lines in self._board.sessions.values():
            for bar in lines.feed.bars(conid, interval_ms, limit):
                other = best.get(bar.start_ms)
                if other is None or bar.trades > other.trades:
                    best[bar.start_ms] = bar
        return tuple(best[start_ms] for start_ms in sorted(best)[-limit:])

    async def quote_for(self, session: SessionName, conid: ConId) -> Quote | None:
        """Return the contract's quote, after streaming it if it was not streamed yet.

        It comes from this session alone, as what one login may see of a market says
        nothing about another; one without market data takes another's. Where no more can
        be streamed, it is a snapshot.
        """
        if session in self._without:
            session = self._in_turn()[0]
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
        session, found = await self._ask(lambda lines: lines.instruments.by_conid(conid))
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
        found: Instrument | AmbiguousSymbol | Reason
        session, found = await self._ask(lambda lines: lines.instruments.find(query))
        return self._dated(session, found) if isinstance(found, Instrument) else found

    async def contract(self, conid: ConId) -> AgedInstrument | Reason:
        """Look a contract up by its id."""
        session, found = await self._ask(lambda lines: lines.instruments.by_conid(conid))
        return self._dated(session, found) if isinstance(found, Instrument) else found

    async def snapshot(self, conids: Sequence[ConId]) -> tuple[tuple[Quote, int], ...] | Reason:
        """Quotes that are not streamed, read from the broker, with their ages in ms."""
        _, found = await self._ask(
            lambda lines: lines.data.snapshot(conids), timeout_s=SNAPSHOT_S_MAX
        )
        return found if isinstance(found, Reason) else self._aged(found)

    async def history(self, query: HistoryQuery) -> tuple[Bar, ...] | Reason:
        """Bars of the past, from the broker."""
        _, found = await self._ask(lambda lines: lines.data.history(query))
        return found

    async def _ask(
        self,
        ask: Callable[[SessionLines], Awaitable[_Found | Reason]],
        *,
        timeout_s: float = ASKED_S_MAX,
    ) -> tuple[SessionName, _Found | Reason]:
        """Ask the likeliest session, and the next one that is ready when it gives no answer."""
        first, *others = self._in_turn()
        lines = self._board.sessions[first]
        sessions = self._supervisor.sessions
        second = next((name for name in others if sessions[name].session.ready), None)
        if second is None:
            return first, await ask(lines)
        try:
            async with asyncio.timeout(timeout_s):
                found = await ask(lines)
        except TimeoutError:
            silent_ns = int(SILENT_S * _NS_PER_S)
            self._silent_until_ns[first] = self._clock.monotonic_ns() + silent_ns
        else:
            if not isinstance(found, Reason) or found.code not in _NO_ANSWER:
                return first, found
        return second, await ask(self._board.sessions[second])

    def _in_turn(self) -> list[SessionName]:
        """All sessions, those first that are ready, have market data and are heard of."""
        sessions, now_ns = self._supervisor.sessions, self._clock.monotonic_ns()

        def hindrances(name: SessionName) -> tuple[bool, ...]:
            stream_age_ms = self._board.sessions[name].feed.heartbeat_age_ms()
            return (
                not sessions[name].session.ready,
                name in self._without,
                self._silent_until_ns.get(name, now_ns) > now_ns,
                stream_age_ms is None or stream_age_ms > STREAM_AGE_MS_MAX,
            )

        return sorted(sessions, key=hindrances)

    def _dated(self, session: SessionName, found: Instrument) -> AgedInstrument:
        age_ms = self._board.sessions[session].instruments.age_ms(found.conid)
        return AgedInstrument(instrument=found, age_ms=age_ms or 0)
