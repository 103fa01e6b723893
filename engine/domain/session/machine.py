"""The life of one gateway session: login tiers, warm-up, keep-alive, and the submit lane.

Rule 1: the way to READY has one order, and every loss of the brokerage session walks it
again, because priming, question suppression and subscriptions die with it:
auth status, `ssodh/init`, accounts, portfolio accounts, suppression, the cold reads,
the stream with its subscriptions, then the reads that reconcile.

Rule 2: one conversation about an order at a time. The broker voids an open question when
another order request arrives, so a turn lasts from the send to the final answer.

Rule 3: another session of the same user is never fought. With `compete: once`, one
attempt is made to take the session over; after that a person decides.

Rule 4: only READY gives turns. Not ready is not an error: it is said, with its reason.
"""

from collections.abc import Iterator
from typing import TypeAlias, assert_never

from engine.domain.messages import (
    AccountsRead,
    AnnounceSession,
    AuthStatus,
    AuthStatusRead,
    AuthStreamed,
    CallDone,
    CallFailed,
    CallGateway,
    CloseStream,
    DeliverNews,
    DeliverToRisk,
    FailureKind,
    FundsRead,
    GrantTurn,
    OpenStream,
    OrderChanged,
    OrdersRead,
    ParkOrder,
    PositionsRead,
    ReleaseTurn,
    ReportAnomaly,
    RequestLookup,
    RequestTurn,
    SessionCall,
    SessionChanged,
    SessionEffect,
    SessionMessage,
    StartSession,
    StartTimer,
    StopLookup,
    StopTimer,
    StreamLost,
    StreamReady,
    TimerFired,
    TradesRead,
)
from engine.domain.session.orders import OrderRequest, SessionOrders
from engine.domain.session.plan import Plan
from engine.domain.session.settings import (
    ACCOUNT_POLL_MS,
    ACCOUNT_TRIES_MAX,
    AUTH_POLL_MS,
    BACK_OFF_MS,
    LOCKED_OUT_POLL_MS,
    LOGIN_POLL_MS,
    LOGIN_STATES,
    NOT_STARTED,
    POLL_LOOKUP_MS,
    STEP_RETRY_MS,
    SUSPICIOUS_TICKLE_MS,
    TICKLE_FAILURES_MAX,
    TICKLE_MS,
    SessionSettings,
    login_problem,
)
from engine.domain.values import (
    AccountId,
    Reason,
    SessionState,
)

_Effects: TypeAlias = Iterator[SessionEffect]


class Session:
    """Decides what a gateway session does next. `handle` returns it, in order."""

    def __init__(self, settings: SessionSettings) -> None:
        self.settings = settings
        self.state = SessionState.DOWN
        self.reason: Reason | None = NOT_STARTED
        self.accounts: tuple[AccountId, ...] = settings.accounts or ()
        self.epoch = 0
        self._plan = Plan()
        self._stream_ready = False
        self._competed = False
        self._down_tries = 0
        self._tickle_failures = 0
        self._orders = SessionOrders()
        self._polling = False
        self._init_tries = 0

    @property
    def ready(self) -> bool:
        """True when orders may be sent."""
        return self.state is SessionState.READY

    def handle(self, message: SessionMessage, now_ns: int) -> tuple[SessionEffect, ...]:
        """Take one message; `now_ns` is the monotonic clock."""
        before = (self.state, self.reason, self.epoch)
        effects = tuple(self._react(message, now_ns))
        for effect in effects:
            if isinstance(effect, CallGateway):
                self._plan.note_call(effect.call)
        if (self.state, self.reason, self.epoch) != before:
            effects = (*effects, self._announce())
        return (*effects, *self._grant(now_ns))

    def _react(self, message: SessionMessage, now_ns: int) -> _Effects:
        match message:
            case StartSession():
                yield CallGateway(call=SessionCall.AUTH_STATUS)
            case AuthStatusRead():
                yield from self._auth_read(message)
            case CallFailed():
                yield from self._failed(message)
            case AccountsRead():
                yield from self._accounts_read(message)
            case CallDone(call=call):
                yield from self._done(call)
            case OrdersRead():
                yield from self._orders_read(message, now_ns)
            case TradesRead(executions=executions):
                yield DeliverNews(executions=executions, source=self._orders.source)
                yield from self._trades_read()
            case PositionsRead(account=account):
                yield DeliverToRisk(account=account, message=message)
                yield from self._done(SessionCall.POSITIONS, account)
            case FundsRead():
                account = message.funds.account
                yield DeliverToRisk(account=account, message=message)
                yield from self._done(SessionCall.FUNDS, account)
            case StreamReady() | StreamLost() | AuthStreamed():
                yield from self._streamed(message)
            case RequestTurn() | ReleaseTurn() | RequestLookup() | StopLookup() | OrderChanged():
                yield from self._about_order(message)
            case TimerFired(name=name):
                yield from self._timer(name)
            case _:
                assert_never(message)

    # --- login -------------------------------------------------------------------------

    def _auth_read(self, message: AuthStatusRead) -> _Effects:
        status = message.status
        self._plan.note_answer(message.call)
        self._down_tries = 0
        if status.ready:
            self._tickle_failures = self._init_tries = 0
            if self.state in LOGIN_STATES:
                yield from self._warm_up()
            elif message.call is SessionCall.TICKLE:
                if self.state is SessionState.DEGRADED and self._stream_ready:
                    yield from self._reconcile()
                yield StartTimer(name="tickle", delay_ms=TICKLE_MS)
            return
        if self.state not in LOGIN_STATES:
            yield from self._lose_brokerage()
        yield from self._log_in(message, status)

    def _log_in(self, message: AuthStatusRead, status: AuthStatus) -> _Effects:
        if status.competing:
            yield from self._compete(message)
            return
        opening = status.authenticated or message.call is SessionCall.OPEN_BROKERAGE
        self._enter(
            SessionState.BROKERAGE_INIT,
            "BROKERAGE_INIT",
            f"the brokerage session is opening {status.message}".rstrip(),
        )
        if not opening:
            yield CallGateway(call=SessionCall.OPEN_BROKERAGE)
        else:
            delay_ms = AUTH_POLL_MS
            if not status.authenticated:
                # An init that came back unauthenticated failed; do not hammer.
                delay_ms = BACK_OFF_MS[min(self._init_tries, len(BACK_OFF_MS) - 1)]
                self._init_tries += 1
            yield StartTimer(name="auth", delay_ms=delay_ms)

    def _compete(self, message: AuthStatusRead) -> _Effects:
        self._enter(
            SessionState.COMPETING,
            "COMPETING",
            "another session of this user holds the brokerage session",
        )
        may_take = self.settings.compete_once and not self._competed
        if may_take and message.call is not SessionCall.OPEN_BROKERAGE:
            self._competed = True
            yield CallGateway(call=SessionCall.OPEN_BROKERAGE, compete=True)
        else:
            yield StartTimer(name="auth", delay_ms=LOGIN_POLL_MS)

    def _lose_brokerage(self) -> _Effects:
        """Forget all that dies with the brokerage session."""
        self._plan.clear()
        self._polling = False
        self._stream_ready = False
        for name in ("tickle", "poll", "accounts", "step"):
            yield StopTimer(name=name)
        yield CloseStream()

    # --- warm-up -----------------------------------------------------------------------

    def _warm_up(self) -> _Effects:
        self.epoch += 1
        self._stream_ready = False
        self._polling = False
        self._enter(SessionState.WARMING, "WARMING", "the brokerage session is being primed")
        yield StopTimer(name="step")
        yield StartTimer(name="tickle", delay_ms=TICKLE_MS)
        yield self._plan.begin(
            CallGateway(call=SessionCall.ACCOUNTS),
            CallGateway(call=SessionCall.PORTFOLIO_ACCOUNTS),
            CallGateway(call=SessionCall.SUPPRESS, message_ids=self.settings.suppress),
            # The first reads of a brokerage session are cold: they only subscribe.
            CallGateway(call=SessionCall.ORDERS, force=True),
            CallGateway(call=SessionCall.TRADES),
            OpenStream(),
        )

    def _reconcile(self) -> _Effects:
        self._enter(
            SessionState.RECONCILING, "RECONCILING", "orders, trades and positions are being read"
        )
        self._polling = False
        for name in ("poll", "accounts", "step"):
            yield StopTimer(name=name)
        yield self._plan.begin(
            CallGateway(call=SessionCall.ORDERS),
            CallGateway(call=SessionCall.TRADES),
            *self._account_reads(),
        )

    def _account_reads(self) -> Iterator[CallGateway]:
        for account in self.accounts:
            yield CallGateway(call=SessionCall.POSITIONS, account=account)
            yield CallGateway(call=SessionCall.FUNDS, account=account)

    def _done(self, call: SessionCall, account: AccountId | None = None) -> _Effects:
        """An answer is in: go on, if it is of this plan and to the step in hand."""
        if self._plan.note_answer(call) and self._plan.is_in_hand(call, account):
            yield from self._advance()

    def _advance(self) -> _Effects:
        """The step in hand is done; go to the next, or be ready."""
        step = self._plan.finish()
        if step is not None:
            yield step
        elif self.state is SessionState.RECONCILING:
            self.state, self.reason = SessionState.READY, None
            self._competed = False
            yield StartTimer(name="poll", delay_ms=self._orders.poll_ms)
            yield StartTimer(name="accounts", delay_ms=ACCOUNT_POLL_MS)
        elif self.ready:
            yield StartTimer(name="accounts", delay_ms=ACCOUNT_POLL_MS)

    def _accounts_read(self, message: AccountsRead) -> _Effects:
        if not message.accounts:
            # A session that is just opening answers with empty lists, without an error.
            if self._plan.note_answer(SessionCall.ACCOUNTS):
                yield StartTimer(name="step", delay_ms=STEP_RETRY_MS)
            return
        problem = login_problem(self.settings, message)
        if problem is not None:
            self._plan.note_answer(SessionCall.ACCOUNTS)
            yield from self._lose_brokerage()
            self.state, self.reason = SessionState.LOCKED_OUT, problem
            # Nothing is sent; but whoever logs in as somebody else must be noticed.
            yield StartTimer(name="auth", delay_ms=LOCKED_OUT_POLL_MS)
            return
        if self.settings.accounts is None:
            self.accounts = tuple(name for name in message.accounts if name != "All")
        yield from self._done(SessionCall.ACCOUNTS)

    # --- reads -------------------------------------------------------------------------

    def _orders_read(self, message: OrdersRead, now_ns: int) -> _Effects:
        yield DeliverNews(rows=message.rows, source=self._orders.source)
        if not self._plan.note_answer(SessionCall.ORDERS):
            return
        planned = self._plan.call is SessionCall.ORDERS
        if not message.forced and not message.snapshot:
            # The list is still cold; the gateway's pace keeps these reads apart.
            yield StartTimer(name="step" if planned else "poll", delay_ms=POLL_LOOKUP_MS)
            self._polling = False
        elif planned:
            yield from self._advance()
        elif self._polling:
            if not message.forced:
                for order_id, healthy_ms in self._orders.lookups.count_read(
                    now_ns, healthy=self.ready
                ):
                    yield ParkOrder(order_id=order_id, healthy_ms=healthy_ms)
            yield CallGateway(call=SessionCall.TRADES)

    def _trades_read(self) -> _Effects:
        if not self._plan.note_answer(SessionCall.TRADES):
            return
        if self._plan.call is SessionCall.TRADES:
            yield from self._advance()
        elif self._polling:
            self._polling = False
            yield StartTimer(name="poll", delay_ms=self._orders.poll_ms)

    def _poll(self) -> _Effects:
        if self._polling or self.state not in {SessionState.READY, SessionState.DEGRADED}:
            return
        self._polling = True
        yield CallGateway(call=SessionCall.ORDERS, force=self._orders.lookups.force_next_read())

    # --- what goes wrong -----------------------------------------------------------------

    def _failed(self, message: CallFailed) -> _Effects:
        kind, call = message.failure.kind, message.call
        current = self._plan.note_answer(call)
        of_account = call in {SessionCall.POSITIONS, SessionCall.FUNDS}
        if kind is FailureKind.UNAUTHORIZED and not of_account:
            yield from self._drop_to(
                SessionState.LOGIN_REQUIRED, "LOGIN_REQUIRED", message, LOGIN_POLL_MS
            )
        elif kind is FailureKind.RATE_LIMITED:
            yield from self._slow_down(message)
        elif kind is FailureKind.NO_BRIDGE and self.state not in LOGIN_STATES:
            yield from self._drop_to(
                SessionState.GATEWAY_UP, "BROKERAGE_LOST", message, AUTH_POLL_MS
            )
        elif call is SessionCall.TICKLE:
            yield from self._tickle_failed(message)
        elif call in {SessionCall.AUTH_STATUS, SessionCall.OPEN_BROKERAGE}:
            yield from self._login_failed(message)
        elif not current or self.state in LOGIN_STATES:
            return  # An answer to what nobody waits for any more.
        elif kind is FailureKind.NOT_PRIMED and call is not SessionCall.ACCOUNTS:
            yield from self._lose_brokerage()
            yield from self._warm_up()
        elif call is self._plan.call:
            yield from self._step_failed(message, of_account=of_account)
        elif self._polling:
            self._polling = False
            yield StartTimer(name="poll", delay_ms=self._orders.poll_ms)

    def _login_failed(self, message: CallFailed) -> _Effects:
        delay_ms = BACK_OFF_MS[min(self._down_tries, len(BACK_OFF_MS) - 1)]
        self._down_tries += 1
        if message.failure.kind in {FailureKind.UNREACHABLE, FailureKind.TLS_REFUSED}:
            yield from self._drop_to(SessionState.DOWN, "GATEWAY_DOWN", message, delay_ms)
        else:
            yield from self._drop_to(SessionState.GATEWAY_UP, "GATEWAY_FAILED", message, delay_ms)

    def _slow_down(self, message: CallFailed) -> _Effects:
        """Wait: the broker closes the door for minutes on who asks too fast."""
        wait_ms = BACK_OFF_MS[-1]
        if self.state in LOGIN_STATES:
            yield from self._drop_to(SessionState.RATE_LIMITED, "RATE_LIMITED", message, wait_ms)
            return
        if self.ready:
            self.state = SessionState.DEGRADED
            self._plan.clear()
        self._enter(self.state, "RATE_LIMITED", message.failure.message)
        self._polling = False
        for name in ("step", "poll", "tickle"):
            yield StartTimer(name=name, delay_ms=wait_ms)

    def _step_failed(self, message: CallFailed, *, of_account: bool) -> _Effects:
        """Try a step again; one account's figures must not hold up all the others."""
        self._plan.tries += 1
        if not of_account or self._plan.tries < ACCOUNT_TRIES_MAX:
            yield StartTimer(name="step", delay_ms=STEP_RETRY_MS)
            return
        step = self._plan.step
        account = step.account if isinstance(step, CallGateway) else None
        detail = f"{message.call} of {account}: {message.failure.message}"
        yield ReportAnomaly(machine="session", kind="account_unread", detail=detail)
        yield from self._advance()
        if message.failure.kind is FailureKind.UNAUTHORIZED:
            # Unknown accounts are answered like a lost login: ask which it is.
            yield CallGateway(call=SessionCall.AUTH_STATUS)

    def _drop_to(
        self, state: SessionState, code: str, message: CallFailed, delay_ms: int
    ) -> _Effects:
        if self.state not in LOGIN_STATES:
            yield from self._lose_brokerage()
        self._enter(state, code, message.failure.message)
        yield StartTimer(name="auth", delay_ms=delay_ms)

    def _tickle_failed(self, message: CallFailed) -> _Effects:
        self._tickle_failures += 1
        if self._tickle_failures >= TICKLE_FAILURES_MAX:
            yield from self._drop_to(SessionState.DOWN, "GATEWAY_DOWN", message, BACK_OFF_MS[0])
            return
        if self.ready:
            self._enter(SessionState.DEGRADED, "TICKLE_FAILED", message.failure.message)
        yield StartTimer(name="tickle", delay_ms=SUSPICIOUS_TICKLE_MS)

    # --- the stream ----------------------------------------------------------------------

    def _streamed(self, message: StreamReady | StreamLost | AuthStreamed) -> _Effects:
        match message:
            case StreamReady():
                awaited = isinstance(self._plan.step, OpenStream)
                self._stream_ready = awaited or self.state is not SessionState.WARMING
                if awaited or self.state is SessionState.DEGRADED:
                    yield from self._reconcile()
            case StreamLost(reason=reason):
                self._stream_ready = False
                if self.state in {SessionState.READY, SessionState.RECONCILING}:
                    self._plan.clear()
                    self._polling = False
                    self._enter(SessionState.DEGRADED, "STREAM_LOST", reason)
                    yield StartTimer(name="poll", delay_ms=self._orders.poll_ms)
                    yield StopTimer(name="accounts")
            case AuthStreamed(authenticated=authenticated, competing=competing):
                lost = authenticated is False or competing is True
                if lost and self.state not in LOGIN_STATES:
                    yield CallGateway(call=SessionCall.AUTH_STATUS)
            case _:
                assert_never(message)

    # --- orders ----------------------------------------------------------------------------

    def _about_order(self, message: OrderRequest) -> _Effects:
        refusal = None
        if not self.ready:
            reason = self.reason or NOT_STARTED
            refusal = Reason(
                code="SESSION_NOT_READY",
                message=f"session {self.settings.name} is {self.state}: {reason.message}",
            )
        yield from self._orders.react(message, refusal)

    def _grant(self, now_ns: int) -> _Effects:
        granted = self._orders.lane.next_turn(self.epoch, now_ns) if self.ready else None
        if granted is not None:
            yield GrantTurn(granted=granted)

    # --- time ------------------------------------------------------------------------------

    def _timer(self, name: str) -> _Effects:
        if name == "auth" and self.state in LOGIN_STATES:
            yield CallGateway(call=SessionCall.AUTH_STATUS)
        elif name == "tickle" and self.state not in LOGIN_STATES:
            yield CallGateway(call=SessionCall.TICKLE)
        elif name == "step" and self._plan.step is not None:
            yield self._plan.step
        elif name == "poll":
            yield from self._poll()
        elif name == "accounts" and self.ready and not self._plan:
            reads = tuple(self._account_reads())
            if reads:
                self._plan.extend(*reads)
                yield reads[0]
        elif name not in {"auth", "tickle", "step", "accounts"}:
            yield ReportAnomaly(machine="session", kind="unknown_timer", detail=name)

    def _enter(self, state: SessionState, code: str, message: str) -> None:
        self.state, self.reason = state, Reason(code=code, message=message)

    def _announce(self) -> AnnounceSession:
        return AnnounceSession(
            changed=SessionChanged(
                session=self.settings.name,
                state=self.state,
                ready=self.ready,
                epoch=self.epoch,
                reason=self.reason,
            )
        )
