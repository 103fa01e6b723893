"""The engine as the API sees it: the one place where somebody waits for an actor.

Rule 1: only what is durable is answered; `order_requests.py` says how. How far the search for an
order in doubt has come is from memory.

Rule 2: an `ask` has a time limit, and asks only actors that answer at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final

import pykka

from engine.actors.interventions import Interventions
from engine.actors.journal_health import JournalHealth
from engine.actors.mailbox import LoopRef, MailboxFullError
from engine.actors.markets import Markets
from engine.actors.order_requests import OrderRequests
from engine.actors.replacements import Replacements
from engine.actors.shell import Clock
from engine.actors.supervisor import Supervisor
from engine.actors.switchboard import Switchboard
from engine.domain.messages import (
    CancelOrder,
    HaltScope,
    RequestChange,
    RequestOrder,
    ResumeScope,
    RetryLogin,
)
from engine.domain.ports import (
    AgedInstrument,
    AmbiguousSymbol,
    Committed,
    ContractQuery,
    Entry,
    HistoryQuery,
    JournalUnavailable,
    NotCommitted,
    OrderEncoder,
    OrderFilter,
    ResolveRequest,
    SubmitRequest,
    SubmitResult,
    TermsChange,
    UnknownAccount,
    UnknownSession,
)
from engine.domain.values import (
    TERMINAL,
    WAITING,
    AccountId,
    Bar,
    BrokerOrderId,
    ConId,
    Instrument,
    OrderId,
    OrderState,
    Quote,
    Reason,
    Scope,
    ScopeKind,
    SessionName,
    TradingState,
)
from engine.domain.views import (
    AccountView,
    EventView,
    ExternalOrderView,
    HealthView,
    LimitsView,
    OrderView,
    PositionView,
    SessionView,
)

ASK_S_MAX: Final = 5.0
EVENTS_PAGE: Final = 500


class EngineBridge:
    """Implements `ports.Engine` over the actors."""

    def __init__(
        self,
        *,
        supervisor: Supervisor,
        switchboard: Switchboard,
        clock: Clock,
        shard: str,
        encoder: OrderEncoder,
        gateways: dict[SessionName, str],
        on_drain: Callable[[], None],
        without_market_data: Collection[SessionName] = (),
    ) -> None:
        self._supervisor = supervisor
        self._board = switchboard
        self._clock = clock
        self._gateways = gateways
        self._on_drain = on_drain
        self._markets = Markets(
            supervisor=supervisor,
            switchboard=switchboard,
            clock=clock,
            without_market_data=without_market_data,
        )
        self._journal = JournalHealth()
        self._requests = OrderRequests(
            supervisor=supervisor,
            switchboard=switchboard,
            markets=self._markets,
            encoder=encoder,
            clock=clock,
            shard=shard,
            ask_risk=self._ask_risk,
            health=self._journal,
        )
        self._interventions = Interventions(
            switchboard=switchboard, order=self._requests.order, health=self._journal
        )
        self._replacements = Replacements(
            switchboard=switchboard,
            clock=clock,
            submit=self._requests.submit,
            is_ready=self._requests.is_ready,
        )
        self._committed = asyncio.Event()
        self.started = False
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
        return tuple(map(self._session_view, self._supervisor.sessions))

    def _session_view(self, name: SessionName) -> SessionView:
        actor = self._supervisor.sessions[name]
        session = actor.session
        return SessionView(
            name=name,
            state=session.state,
            reason=session.reason,
            accounts=session.accounts,
            gateway=self._gateways[name],
            epoch=session.epoch,
            since_ns=actor.since_ns,
            socket_connected=self._supervisor.feeds[name].feed.connected,
            last_heartbeat_age_ms=self._board.sessions[name].feed.heartbeat_age_ms(),
            login_by_ns=session.login_by_ns,
            login_failures=session.login_failures,
            no_submit_until_ns=session.no_submit_until_ns,
        )

    def health(self) -> HealthView:
        """Whether the engine is started, alive and ready."""
        problems = list(self._supervisor.problems)
        if self._journal.problem is not None:
            problems.append(self._journal.problem)
        if self._supervisor.file_error is not None:
            problems.append(Reason(code="RISK_FILE_REFUSED", message=self._supervisor.file_error))
        sessions = self.sessions()
        sessions_ready = all(actor.session.ready for actor in self._supervisor.sessions.values())
        failed = bool(self._supervisor.problems) or self._journal.problem is not None
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
        return self._board.views.find(wanted, is_ready=self._requests.is_ready)

    def order(self, order_id: OrderId) -> OrderView:
        """One order, in doubt with what was looked at so far. Raises `UnknownOrder`."""
        view = self._requests.order(order_id)
        session = self._board.session_of.get(view.account)
        if view.state is not OrderState.IN_DOUBT or session is None:
            return view
        now_ns = self._clock.monotonic_ns()
        so_far = self._supervisor.sessions[session].session.evidence(order_id, now_ns)
        return replace(view, evidence=so_far or view.evidence)

    def external_orders(self, account: AccountId) -> tuple[ExternalOrderView, ...]:
        """Orders at the broker that this engine did not send. Raises `UnknownAccount`."""
        self._known(account)
        return self._board.external(account)

    def _known(self, account: AccountId) -> None:
        if account not in self._supervisor.risks:
            raise UnknownAccount(account)

    # --- orders --------------------------------------------------------------------------

    async def submit(self, request: SubmitRequest) -> SubmitResult:
        """Check, journal and send; return once the verdict is durable."""
        self._known(request.ticket.account)
        return await self._requests.submit(request)

    async def modify(self, order_id: OrderId, change: TermsChange, *, by: str) -> OrderView:
        """Ask for new terms; return once the change is durable."""
        return await self._requests.modify(order_id, change, by=by)

    async def cancel(self, order_id: OrderId, *, by: str) -> OrderView:
        """Ask for the order's cancel and return it, durable."""
        return await self._requests.cancel(order_id, by=by)

    async def resolve(self, order_id: OrderId, request: ResolveRequest, *, by: str) -> OrderView:
        """Declare what became of an order in doubt; return it, durable."""
        return await self._interventions.resolve(order_id, request, by=by)

    async def adopt(
        self, account: AccountId, broker_order_id: BrokerOrderId, *, cancel: bool, by: str
    ) -> OrderView:
        """Make somebody else's order one of ours, and cancel it if wanted; return it, durable."""
        self._known(account)
        return await self._interventions.adopt(account, broker_order_id, cancel=cancel, by=by)

    async def story(self, order_id: OrderId) -> tuple[EventView, ...]:
        """Every journal record of an order, oldest first. Raises `UnknownOrder`."""
        return await self._interventions.story(order_id)

    async def wait(self, order_id: OrderId, *, terminal: bool, timeout_ms: int) -> OrderView:
        """Return the order once it is acknowledged (or terminal), or as it is at the timeout."""
        return await self._requests.wait(order_id, terminal=terminal, timeout_ms=timeout_ms)

    async def wait_settled(self, order_id: OrderId, *, timeout_ms: int) -> OrderView:
        """Return the order once no change is pending, or as it is at the timeout."""
        return await self._requests.wait_settled(order_id, timeout_ms=timeout_ms)

    async def _ask_risk(self, account: AccountId, message: RequestOrder | RequestChange) -> object:
        return await self._ask(self._board.risks[account], message, f"the risk of {account}")

    async def _ask(self, ref: LoopRef, message: Any, who: str) -> object:
        answer: object
        try:
            async with asyncio.timeout(ASK_S_MAX):
                answer = await ref.ask(message)
        except (pykka.ActorDeadError, MailboxFullError, TimeoutError) as error:
            msg = f"{who} does not answer: {error}"
            raise JournalUnavailable(msg) from error
        return answer

    # --- sessions ------------------------------------------------------------------------

    async def retry_login(self, session: SessionName, *, reason: str, by: str) -> SessionView:
        """Let a locked session try again; return what it does now. Raises `UnknownSession`."""
        ref = self._board.sessions[session].session_ref if session in self._gateways else None
        if ref is None:
            raise UnknownSession(session)
        message = RetryLogin(session=session, reason=reason, by=by)
        await self._ask(ref, message, f"session {session}")
        return self._session_view(session)

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
            and (cancel_working or (stopped and view.state in WAITING))
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
            raise self._journal.error(result.reason.message)

    # --- market data -------------------------------------------------------------------------

    def quotes(self, conids: Sequence[ConId]) -> tuple[tuple[Quote, int], ...]:
        """The streamed quotes of these contracts, each with its age in milliseconds."""
        return self._markets.quotes(conids)

    def bars(self, conid: ConId, *, interval_ms: int, limit: int) -> tuple[Bar, ...]:
        """The newest closed bars of a contract, oldest first."""
        return self._markets.bars(conid, interval_ms=interval_ms, limit=limit)

    async def subscribe(self, conid: ConId) -> Instrument | Reason:
        """Stream this contract from now on."""
        return await self._markets.subscribe(conid)

    def subscriptions(self) -> tuple[ConId, ...]:
        """The contracts that are streamed."""
        return self._markets.subscriptions()

    async def unsubscribe(self, conid: ConId) -> bool:
        """Stop streaming; False when it was not streamed."""
        return await self._markets.unsubscribe(conid)

    async def instrument(self, query: ContractQuery) -> AgedInstrument | AmbiguousSymbol | Reason:
        """Look a contract up by what a client says of it."""
        return await self._markets.instrument(query)

    async def contract(self, conid: ConId) -> AgedInstrument | Reason:
        """Look a contract up by its id."""
        return await self._markets.contract(conid)

    async def snapshot(self, conids: Sequence[ConId]) -> tuple[tuple[Quote, int], ...] | Reason:
        """Quotes that are not streamed, read from the broker, with their ages in ms."""
        return await self._markets.snapshot(conids)

    async def history(self, query: HistoryQuery) -> tuple[Bar, ...] | Reason:
        """Bars of the past, from the broker."""
        return await self._markets.history(query)

    # --- events ------------------------------------------------------------------------------

    def journal_advanced(self) -> None:
        """Wake those who follow the events; called after each commit."""
        committed, self._committed = self._committed, asyncio.Event()
        committed.set()

    def journal_failed(self, reason: Reason) -> None:
        """Take no new orders from now on: the journal is full, or can keep nothing any more."""
        self._journal.note(reason)

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

    @property
    def draining(self) -> bool:
        """True once no new orders are taken."""
        return self._requests.draining

    @draining.setter
    def draining(self, value: bool) -> None:
        self._requests.draining = value

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
        return not any(view.state in WAITING for view in self._board.views)
