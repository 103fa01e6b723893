"""The engine as the API sees it: the one place where somebody waits for an actor.

Rule 1: only what is durable is answered. A submit returns once its intent or its refusal
is in the journal.

Rule 2: an `ask` has a time limit, and asks only actors that answer at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Final

import pykka

from engine.actors.mailbox import MailboxFullError
from engine.actors.shell import Clock
from engine.actors.supervisor import Supervisor
from engine.actors.switchboard import SessionLines, Switchboard
from engine.actors.views import shown
from engine.domain.messages import (
    CancelOrder,
    HaltScope,
    RequestAnswer,
    RequestOrder,
    RequestVerdict,
    ResumeScope,
    SubscribeQuotes,
    UnsubscribeQuotes,
)
from engine.domain.ports import (
    AmbiguousSymbol,
    Committed,
    EngineDraining,
    Entry,
    JournalUnavailable,
    NotCommitted,
    OrderFilter,
    SubmitRequest,
    SubmitResult,
    Submitted,
    UnknownAccount,
    UnknownOrder,
)
from engine.domain.values import (
    TERMINAL,
    AccountId,
    Bar,
    ConId,
    Instrument,
    OrderId,
    OrderState,
    Pending,
    Quote,
    Reason,
    Scope,
    ScopeKind,
    SessionName,
    Ticket,
    TradingState,
    make_coid,
    make_order_id,
)
from engine.domain.views import (
    AccountView,
    EventView,
    HealthView,
    LimitsView,
    OrderView,
    PositionView,
    SessionView,
)

ASK_S_MAX: Final = 5.0
DURABLE_S_MAX: Final = 10.0
QUOTE_S_MAX: Final = 2.5
"""A contract that was not streamed yet gets this long to show its first quote."""

EVENTS_PAGE: Final = 500
SUBSCRIPTIONS_MAX: Final = 90
"""The broker streams 100 contracts to a user by default; some are left for people."""

_WAITING: Final = frozenset({OrderState.SUBMITTING, OrderState.AWAITING_REPLY})


class EngineBridge:
    """Implements `ports.Engine` over the actors."""

    def __init__(
        self,
        *,
        supervisor: Supervisor,
        switchboard: Switchboard,
        clock: Clock,
        shard: str,
        gateways: dict[SessionName, str],
        on_drain: Callable[[], None],
    ) -> None:
        self._supervisor = supervisor
        self._board = switchboard
        self._clock = clock
        self._shard = shard
        self._gateways = gateways
        self._on_drain = on_drain
        self._sequence = 0
        self._journal_failed: Reason | None = None
        self._committed = asyncio.Event()
        self.started = False
        self.draining = False
        self.loop_alive = True

    # --- what is -------------------------------------------------------------------------

    def accounts(self) -> tuple[AccountView, ...]:
        """Every account, in order of configuration."""
        now_ns = self._clock.monotonic_ns()
        return tuple(actor.risk.account_view(now_ns) for actor in self._supervisor.risks.values())

    def account(self, account: AccountId) -> AccountView:
        """One account. Raises `UnknownAccount`."""
        self._known(account)
        return self._supervisor.risks[account].risk.account_view(self._clock.monotonic_ns())

    def positions(self, account: AccountId) -> tuple[PositionView, ...]:
        """What the account holds. Raises `UnknownAccount`."""
        self._known(account)
        return self._supervisor.risks[account].risk.position_views(self._clock.monotonic_ns())

    def limits(self, account: AccountId) -> LimitsView:
        """The limits in force. Raises `UnknownAccount`."""
        self._known(account)
        return self._supervisor.risks[account].risk.limits_view()

    def sessions(self) -> tuple[SessionView, ...]:
        """Every configured session."""
        return tuple(
            SessionView(
                name=name,
                state=actor.session.state,
                reason=actor.session.reason,
                accounts=actor.session.accounts,
                gateway=self._gateways[name],
                epoch=actor.session.epoch,
                since_ns=actor.since_ns,
                socket_connected=self._supervisor.feeds[name].feed.connected,
                last_heartbeat_age_ms=self._board.sessions[name].feed.heartbeat_age_ms(),
            )
            for name, actor in self._supervisor.sessions.items()
        )

    def health(self) -> HealthView:
        """Whether the engine is started, alive and ready."""
        problems = list(self._supervisor.problems)
        if self._journal_failed is not None:
            problems.append(self._journal_failed)
        if self._supervisor.file_error is not None:
            problems.append(Reason(code="RISK_FILE_REFUSED", message=self._supervisor.file_error))
        sessions = self.sessions()
        sessions_ready = all(actor.session.ready for actor in self._supervisor.sessions.values())
        failed = bool(self._supervisor.problems) or self._journal_failed is not None
        return HealthView(
            started=self.started,
            alive=self.loop_alive,
            ready=self.started and sessions_ready and not self.draining and not failed,
            draining=self.draining,
            sessions=sessions,
            problems=tuple(problems),
        )

    def orders(self, wanted: OrderFilter) -> tuple[OrderView, ...]:
        """The orders that pass the filter, newest first."""
        return self._board.views.find(wanted, is_ready=self._is_ready)

    def order(self, order_id: OrderId) -> OrderView:
        """One order. Raises `UnknownOrder`."""
        view = self._board.views.get(order_id)
        if view is None:
            raise UnknownOrder(order_id)
        return shown(view, ready=self._is_ready(view.account))

    def _is_ready(self, account: AccountId) -> bool:
        session = self._board.session_of.get(account)
        return session is not None and self._supervisor.sessions[session].session.ready

    def _known(self, account: AccountId) -> None:
        if account not in self._supervisor.risks:
            raise UnknownAccount(account)

    # --- orders --------------------------------------------------------------------------

    async def submit(self, request: SubmitRequest) -> SubmitResult:
        """Check, journal and send; return once the verdict is durable."""
        account = request.ticket.account
        self._known(account)
        self._refuse_if_closed()
        lines = self._lines_of(account)
        found = await self._resolve(request, lines)
        if isinstance(found, AmbiguousSymbol):
            return found
        ticket, instrument = found
        quote = await self._quote_for(lines, account, instrument)
        self._refuse_if_closed()  # It may have closed while the broker was asked.
        answer = await self._ask_risk(request, ticket, instrument, quote)
        views = self._board.views
        view = await views.wait_for(
            answer.order_id,
            lambda durable: durable is not None or views.is_forgotten(answer.order_id),
            timeout_s=DURABLE_S_MAX,
        )
        if view is None:
            if answer.verdict is RequestVerdict.APPROVED:
                # Its client hears that nothing was sent: see that nothing will be.
                cancel = CancelOrder(order_id=answer.order_id, cause="not durable in time")
                self._board.tell_order(answer.order_id, cancel)
            text = f"order {answer.order_id} could not be made durable; nothing was sent"
            raise JournalUnavailable(text)
        return Submitted(answer=answer, order=self.order(answer.order_id))

    def _refuse_if_closed(self) -> None:
        if self.draining:
            msg = "the engine is stopping and takes no new orders"
            raise EngineDraining(msg)
        if self._journal_failed is not None:
            raise JournalUnavailable(self._journal_failed.message)

    def _lines_of(self, account: AccountId) -> SessionLines:
        return self._board.sessions[self._board.session_of[account]]

    async def _resolve(
        self, request: SubmitRequest, lines: SessionLines
    ) -> tuple[Ticket, Instrument | None] | AmbiguousSymbol:
        """Find the contract; a ticket without one goes on, and risk refuses it."""
        ticket = request.ticket
        if not self._is_ready(ticket.account):
            return ticket, None  # Risk says why; asking the broker would only take time.
        found: Instrument | AmbiguousSymbol | Reason
        if ticket.conid:
            found = await lines.instruments.by_conid(ticket.conid)
        else:
            found = await lines.instruments.by_symbol(ticket.symbol, exchange=request.exchange)
        match found:
            case AmbiguousSymbol():
                return found
            case Reason():
                return ticket, None
            case instrument:
                resolved = replace(ticket, conid=instrument.conid, symbol=instrument.symbol)
                return resolved, instrument

    async def _quote_for(
        self, lines: SessionLines, account: AccountId, instrument: Instrument | None
    ) -> Quote | None:
        """Return the contract's quote, after streaming it if it was not streamed yet."""
        if instrument is None:
            return None
        quote = lines.feed.quote(instrument.conid)
        if quote is not None:
            return quote
        session = self._board.session_of[account]
        if instrument.conid not in self._supervisor.feeds[session].feed.subscriptions:
            self._subscribe(session, instrument.conid)
        deadline = asyncio.get_running_loop().time() + QUOTE_S_MAX
        while quote is None and asyncio.get_running_loop().time() < deadline:
            # Quotes are pulled, never pushed: a look every few frames costs the feed nothing.
            await asyncio.sleep(0.05)
            quote = lines.feed.quote(instrument.conid)
        return quote

    async def _ask_risk(
        self,
        request: SubmitRequest,
        ticket: Ticket,
        instrument: Instrument | None,
        quote: Quote | None,
    ) -> RequestAnswer:
        self._sequence += 1
        epoch = self._board.journal.epoch
        message = RequestOrder(
            ticket=ticket,
            order_id=make_order_id(epoch, self._sequence),
            coid=make_coid(self._shard, epoch, self._sequence),
            request_sha256=request.request_sha256,
            instrument=instrument,
            quote=quote,
            now_ns=self._clock.monotonic_ns(),
        )
        try:
            async with asyncio.timeout(ASK_S_MAX):
                answer = await self._board.risks[ticket.account].ask(message)
        except (pykka.ActorDeadError, MailboxFullError, TimeoutError) as error:
            msg = f"the risk of {ticket.account} does not answer: {error}"
            raise JournalUnavailable(msg) from error
        assert isinstance(answer, RequestAnswer)
        return answer

    async def cancel(self, order_id: OrderId, *, by: str) -> OrderView:
        """Ask for the order's cancel and return it, durable."""
        view = self.order(order_id)
        if view.state in TERMINAL:
            return view
        self._board.tell_order(order_id, CancelOrder(order_id=order_id, cause=by))

        def asked(now: OrderView | None) -> bool:
            return now is not None and (now.pending is not Pending.NONE or now.state in TERMINAL)

        after = await self._board.views.wait_for(order_id, asked, timeout_s=ASK_S_MAX)
        if not asked(after) and self._journal_failed is not None:
            # The cancel itself is still tried from memory; only its record is missing.
            raise JournalUnavailable(self._journal_failed.message)
        return self.order(order_id)

    async def wait(self, order_id: OrderId, *, terminal: bool, timeout_ms: int) -> OrderView:
        """Return the order once it is acknowledged (or terminal), or as it is at the timeout."""

        def done(view: OrderView | None) -> bool:
            if view is None:
                return False
            return view.state in TERMINAL if terminal else view.state not in _WAITING

        await self._board.views.wait_for(order_id, done, timeout_s=timeout_ms / 1_000)
        return self.order(order_id)

    # --- halts -----------------------------------------------------------------------------

    async def halt(self, halt: HaltScope, *, cancel_working: bool) -> int:
        """Restrict the scope, durably; return how many cancels were asked for."""
        self._supervisor.halt(halt)  # At once; that it is durable is told afterwards.
        try:
            await self._write(halt)
        finally:
            cancels = self._end_orders(halt, cancel_working=cancel_working)
        return cancels

    def _end_orders(self, halt: HaltScope, *, cancel_working: bool) -> int:
        # What waits for its turn or for our reply must not be sent under a halt: an unsent
        # order ends, an open question is declined.
        stopped = halt.level in {TradingState.CANCEL_ONLY, TradingState.HALT}
        ended = [
            view.order_id
            for view in self._board.views
            if view.state not in TERMINAL
            and self._covers(halt.scope, view)
            and (cancel_working or (stopped and view.state in _WAITING))
        ]
        cause = f"halt of {halt.scope} by {halt.by}: {halt.reason}"
        for order_id in ended:
            self._board.tell_order(order_id, CancelOrder(order_id=order_id, cause=cause))
        return len(ended)

    def _covers(self, scope: Scope, view: OrderView) -> bool:
        match scope.kind:
            case ScopeKind.FIRM:
                return True
            case ScopeKind.GROUP:
                actor = self._supervisor.risks.get(view.account)
                return actor is not None and scope.key in actor.risk.limits.groups
            case ScopeKind.ACCOUNT:
                return view.account == scope.key
            case ScopeKind.STRATEGY:
                return view.strategy == scope.key
            case ScopeKind.INSTRUMENT:
                return str(view.conid) == scope.key

    async def resume(self, resume: ResumeScope) -> bool:
        """Lift the scope's halt, durably; False when there was none."""
        if resume.scope not in self._supervisor.halts:
            known = any(
                actor.risk.is_halted(resume.scope) for actor in self._supervisor.risks.values()
            )
            if not known:
                return False
        await self._write(resume)  # First durable, then in force: a restart must not undo it.
        self._supervisor.resume(resume)
        return True

    async def _write(self, message: HaltScope | ResumeScope) -> None:
        done: asyncio.Future[Committed | NotCommitted] = asyncio.get_running_loop().create_future()
        account = AccountId(message.scope.key)
        entry = Entry(
            at_ns=self._clock.wall_ns(),
            account=account if message.scope.kind is ScopeKind.ACCOUNT else None,
            order_id=None,
            message=message,
        )
        self._board.journal.append(entry, done.set_result)
        result = await done
        if isinstance(result, NotCommitted):
            raise JournalUnavailable(result.reason.message)

    # --- market data -------------------------------------------------------------------------

    def quotes(self, conids: Sequence[ConId]) -> tuple[tuple[Quote, int], ...]:
        """The known quotes of these contracts, each with its age in milliseconds."""
        now_ns = self._clock.monotonic_ns()
        found = (self._quote(conid) for conid in conids)
        return tuple(
            (quote, max(now_ns - quote.received_ns, 0) // 1_000_000)
            for quote in found
            if quote is not None
        )

    def _quote(self, conid: ConId) -> Quote | None:
        quotes = (lines.feed.quote(conid) for lines in self._board.sessions.values())
        return next((quote for quote in quotes if quote is not None), None)

    def bars(self, conid: ConId, *, interval_ms: int, limit: int) -> tuple[Bar, ...]:
        """The newest closed bars of a contract, oldest first."""
        for lines in self._board.sessions.values():
            bars = lines.feed.bars(conid, interval_ms, limit)
            if bars:
                return bars
        return ()

    async def subscribe(self, conid: ConId) -> Instrument | Reason:
        """Stream this contract from now on."""
        session, lines = self._any_session()
        found = await lines.instruments.by_conid(conid)
        if isinstance(found, Instrument):
            problem = self._subscribe(session, conid)
            if problem is not None:
                return problem
        return found

    def _subscribe(self, session: SessionName, conid: ConId) -> Reason | None:
        subscriptions = self._supervisor.feeds[session].feed.subscriptions
        if conid not in subscriptions and len(subscriptions) >= SUBSCRIPTIONS_MAX:
            text = f"{len(subscriptions)} contracts are streamed, the limit is {SUBSCRIPTIONS_MAX}"
            return Reason(code="SUBSCRIPTIONS_FULL", message=text)
        self._board.tell_feed(session, SubscribeQuotes(conid=conid))
        return None

    def _any_session(self) -> tuple[SessionName, SessionLines]:
        """Return a session that is ready, or the first one."""
        ready = (name for name, actor in self._supervisor.sessions.items() if actor.session.ready)
        name = next(ready, next(iter(self._supervisor.sessions)))
        return name, self._board.sessions[name]

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

    async def instrument(
        self, symbol: str, *, exchange: str | None
    ) -> Instrument | AmbiguousSymbol | Reason:
        """Look a symbol up."""
        return await self._any_session()[1].instruments.by_symbol(symbol, exchange=exchange)

    # --- events ------------------------------------------------------------------------------

    def journal_advanced(self) -> None:
        """Wake those who follow the events; called after each commit."""
        committed, self._committed = self._committed, asyncio.Event()
        committed.set()

    def journal_failed(self, reason: Reason) -> None:
        """Take no new orders from now on; the journal can keep nothing any more."""
        self._journal_failed = reason

    async def events(self, after_seq: int) -> AsyncIterator[EventView]:
        """Every journal record after `after_seq`, then those to come, without a gap."""
        while True:
            committed = self._committed
            page = await self._board.journal.read(after_seq=after_seq, limit=EVENTS_PAGE)
            for event in page:
                yield event
                after_seq = event.seq
            if not page:
                await committed.wait()

    # --- the end -----------------------------------------------------------------------------

    def drain(self) -> None:
        """Take no new orders, finish what is under way, then stop."""
        if not self.draining:
            self.draining = True
            self._on_drain()

    async def settle(self) -> None:
        """Return once no order waits for its turn or for the broker's answer."""
        while not self.settled:
            await self._committed.wait()

    @property
    def settled(self) -> bool:
        """True when no order waits for its turn or for the broker's answer."""
        return not any(view.state in _WAITING for view in self._board.views)
