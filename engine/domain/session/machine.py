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

from collections import deque
from collections.abc import Iterator
from typing import assert_never

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
    RefuseTurn,
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
    TurnRefused,
)
from engine.domain.session.lane import SubmitLane
from engine.domain.session.lookups import Lookups
from engine.domain.session.settings import (
    ACCOUNT_POLL_MS,
    AUTH_POLL_MS,
    BACK_OFF_MS,
    LOGIN_POLL_MS,
    LOGIN_STATES,
    NOT_STARTED,
    POLL_BUSY_MS,
    POLL_IDLE_MS,
    POLL_LOOKUP_MS,
    STEP_RETRY_MS,
    SUSPICIOUS_TICKLE_MS,
    TICKLE_FAILURES_MAX,
    TICKLE_MS,
    SessionSettings,
)
from engine.domain.values import (
    LIVE,
    AccountId,
    Mode,
    OrderId,
    Reason,
    SessionState,
    Source,
)


class Session:
    """Decides what a gateway session does next. `handle` returns it, in order."""

    def __init__(self, settings: SessionSettings) -> None:
        self.settings = settings
        self.state = SessionState.DOWN
        self.reason: Reason | None = NOT_STARTED
        self.accounts: tuple[AccountId, ...] = settings.accounts or ()
        self.epoch = 0
        self._plan: deque[CallGateway | OpenStream] = deque()
        self._stream_ready = False
        self._competed = False
        self._down_tries = 0
        self._tickle_failures = 0
        self._lane = SubmitLane()
        self._working: set[OrderId] = set()
        self._lookups = Lookups()
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
        if (self.state, self.reason, self.epoch) != before:
            effects = (*effects, self._announce())
        return (*effects, *self._grant(now_ns))

    def _react(self, message: SessionMessage, now_ns: int) -> Iterator[SessionEffect]:
        match message:
            case StartSession():
                yield CallGateway(call=SessionCall.AUTH_STATUS)
            case AuthStatusRead():
                yield from self._auth_read(message)
            case CallFailed():
                yield from self._failed(message)
            case AccountsRead():
                yield from self._accounts_read(message)
            case CallDone():
                yield from self._advance()
            case OrdersRead():
                yield from self._orders_read(message, now_ns)
            case TradesRead(executions=executions):
                yield DeliverNews(executions=executions, source=self._source())
                yield from self._read_done()
            case PositionsRead(account=account):
                yield DeliverToRisk(account=account, message=message)
                yield from self._advance()
            case FundsRead():
                yield DeliverToRisk(account=message.funds.account, message=message)
                yield from self._advance()
            case StreamReady() | StreamLost() | AuthStreamed():
                yield from self._streamed(message)
            case RequestTurn() | ReleaseTurn() | RequestLookup() | StopLookup() | OrderChanged():
                yield from self._about_order(message)
            case TimerFired(name=name):
                yield from self._timer(name)
            case _:
                assert_never(message)

    # --- login -------------------------------------------------------------------------

    def _auth_read(self, message: AuthStatusRead) -> Iterator[SessionEffect]:
        status = message.status
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

    def _log_in(self, message: AuthStatusRead, status: AuthStatus) -> Iterator[SessionEffect]:
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

    def _compete(self, message: AuthStatusRead) -> Iterator[SessionEffect]:
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

    def _lose_brokerage(self) -> Iterator[SessionEffect]:
        """Forget all that dies with the brokerage session."""
        self._plan.clear()
        self._polling = False
        self._stream_ready = False
        for name in ("tickle", "poll", "accounts", "step"):
            yield StopTimer(name=name)
        yield CloseStream()

    # --- warm-up -----------------------------------------------------------------------

    def _warm_up(self) -> Iterator[SessionEffect]:
        self.epoch += 1
        self._stream_ready = False
        self._polling = False
        self._enter(SessionState.WARMING, "WARMING", "the brokerage session is being primed")
        self._plan = deque(
            (
                CallGateway(call=SessionCall.ACCOUNTS),
                CallGateway(call=SessionCall.PORTFOLIO_ACCOUNTS),
                CallGateway(call=SessionCall.SUPPRESS, message_ids=self.settings.suppress),
                # The first reads of a brokerage session are cold: they only subscribe.
                CallGateway(call=SessionCall.ORDERS, force=True),
                CallGateway(call=SessionCall.TRADES),
                OpenStream(),
            )
        )
        yield StartTimer(name="tickle", delay_ms=TICKLE_MS)
        yield self._plan[0]

    def _reconcile(self) -> Iterator[SessionEffect]:
        self._enter(
            SessionState.RECONCILING, "RECONCILING", "orders, trades and positions are being read"
        )
        self._polling = False
        self._plan = deque(
            (
                CallGateway(call=SessionCall.ORDERS),
                CallGateway(call=SessionCall.TRADES),
                *self._account_reads(),
            )
        )
        yield StopTimer(name="poll")
        yield StopTimer(name="accounts")
        yield self._plan[0]

    def _account_reads(self) -> Iterator[CallGateway]:
        for account in self.accounts:
            yield CallGateway(call=SessionCall.POSITIONS, account=account)
            yield CallGateway(call=SessionCall.FUNDS, account=account)

    def _advance(self) -> Iterator[SessionEffect]:
        """The step in hand is done; go to the next, or be ready."""
        if not self._plan:
            return
        self._plan.popleft()
        if self._plan:
            yield self._plan[0]
        elif self.state is SessionState.RECONCILING:
            self.state, self.reason = SessionState.READY, None
            self._competed = False
            yield StartTimer(name="poll", delay_ms=self._poll_ms())
            yield StartTimer(name="accounts", delay_ms=ACCOUNT_POLL_MS)
        elif self.ready:
            yield StartTimer(name="accounts", delay_ms=ACCOUNT_POLL_MS)

    def _accounts_read(self, message: AccountsRead) -> Iterator[SessionEffect]:
        problem = self._mismatch(message)
        if problem is not None:
            yield from self._lose_brokerage()
            self.state, self.reason = SessionState.LOCKED_OUT, problem
            return
        if self.settings.accounts is None:
            self.accounts = tuple(name for name in message.accounts if name != "All")
        yield from self._advance()

    def _mismatch(self, message: AccountsRead) -> Reason | None:
        """Say why this login must not be traded with; a person has to change something."""
        wanted = self.settings.mode
        found = Mode.PAPER if message.paper else Mode.LIVE
        if found is not wanted:
            return Reason(
                code="MODE_MISMATCH", message=f"the gateway's login is {found}, mode is {wanted}"
            )
        missing = [name for name in self.settings.accounts or () if name not in message.accounts]
        if missing:
            return Reason(
                code="ACCOUNTS_MISSING",
                message=f"the gateway's login has no {', '.join(missing)}; "
                f"it has {', '.join(message.accounts) or 'no account'}",
            )
        return None

    # --- reads -------------------------------------------------------------------------

    def _orders_read(self, message: OrdersRead, now_ns: int) -> Iterator[SessionEffect]:
        yield DeliverNews(rows=message.rows, source=self._source())
        planned = bool(self._plan) and self._call_in_hand() is SessionCall.ORDERS
        if not message.forced and not message.snapshot:
            # The list is still cold; the gateway's pace keeps these reads apart.
            yield StartTimer(name="step" if planned else "poll", delay_ms=POLL_LOOKUP_MS)
            self._polling = False
        elif planned:
            yield from self._advance()
        elif self._polling:
            if not message.forced:
                for order_id, healthy_ms in self._lookups.count_read(now_ns, healthy=self.ready):
                    yield ParkOrder(order_id=order_id, healthy_ms=healthy_ms)
            yield CallGateway(call=SessionCall.TRADES)

    def _read_done(self) -> Iterator[SessionEffect]:
        if self._call_in_hand() is SessionCall.TRADES:
            yield from self._advance()
        elif self._polling:
            self._polling = False
            yield StartTimer(name="poll", delay_ms=self._poll_ms())

    def _poll(self) -> Iterator[SessionEffect]:
        if self._polling or self.state not in {SessionState.READY, SessionState.DEGRADED}:
            return
        self._polling = True
        yield CallGateway(call=SessionCall.ORDERS, force=self._lookups.force_next_read())

    def _poll_ms(self) -> int:
        if self._lookups:
            return POLL_LOOKUP_MS
        return POLL_BUSY_MS if self._working else POLL_IDLE_MS

    def _source(self) -> Source:
        return Source.LOOKUP if self._lookups else Source.POLL

    def _call_in_hand(self) -> SessionCall | None:
        if not self._plan:
            return None
        step = self._plan[0]
        return step.call if isinstance(step, CallGateway) else None

    # --- what goes wrong -----------------------------------------------------------------

    def _failed(self, message: CallFailed) -> Iterator[SessionEffect]:
        kind = message.failure.kind
        if kind is FailureKind.UNAUTHORIZED:
            yield from self._drop_to(
                SessionState.LOGIN_REQUIRED, "LOGIN_REQUIRED", message, LOGIN_POLL_MS
            )
        elif kind is FailureKind.RATE_LIMITED and message.call is SessionCall.AUTH_STATUS:
            yield from self._drop_to(
                SessionState.RATE_LIMITED, "RATE_LIMITED", message, BACK_OFF_MS[-1]
            )
        elif kind is FailureKind.NO_BRIDGE and self.state not in LOGIN_STATES:
            yield from self._drop_to(
                SessionState.GATEWAY_UP, "BROKERAGE_LOST", message, AUTH_POLL_MS
            )
        elif message.call is SessionCall.TICKLE:
            yield from self._tickle_failed(message)
        elif message.call in {SessionCall.AUTH_STATUS, SessionCall.OPEN_BROKERAGE}:
            delay_ms = BACK_OFF_MS[min(self._down_tries, len(BACK_OFF_MS) - 1)]
            self._down_tries += 1
            unreachable = kind in {FailureKind.UNREACHABLE, FailureKind.TLS_REFUSED}
            state = SessionState.DOWN if unreachable else SessionState.GATEWAY_UP
            code = "GATEWAY_DOWN" if unreachable else "GATEWAY_FAILED"
            yield from self._drop_to(state, code, message, delay_ms)
        elif kind is FailureKind.NOT_PRIMED and self.state not in LOGIN_STATES:
            yield from self._lose_brokerage()
            yield from self._warm_up()
        elif message.call is self._call_in_hand():
            yield StartTimer(name="step", delay_ms=STEP_RETRY_MS)
        elif self._polling:
            self._polling = False
            yield StartTimer(name="poll", delay_ms=self._poll_ms())

    def _drop_to(
        self, state: SessionState, code: str, message: CallFailed, delay_ms: int
    ) -> Iterator[SessionEffect]:
        if self.state not in LOGIN_STATES:
            yield from self._lose_brokerage()
        self._enter(state, code, message.failure.message)
        yield StartTimer(name="auth", delay_ms=delay_ms)

    def _tickle_failed(self, message: CallFailed) -> Iterator[SessionEffect]:
        self._tickle_failures += 1
        if self._tickle_failures >= TICKLE_FAILURES_MAX:
            yield from self._drop_to(SessionState.DOWN, "GATEWAY_DOWN", message, BACK_OFF_MS[0])
            return
        if self.ready:
            self._enter(SessionState.DEGRADED, "TICKLE_FAILED", message.failure.message)
        yield StartTimer(name="tickle", delay_ms=SUSPICIOUS_TICKLE_MS)

    # --- the stream ----------------------------------------------------------------------

    def _streamed(
        self, message: StreamReady | StreamLost | AuthStreamed
    ) -> Iterator[SessionEffect]:
        match message:
            case StreamReady():
                self._stream_ready = True
                if self.state in {SessionState.WARMING, SessionState.DEGRADED}:
                    self._plan.clear()
                    yield from self._reconcile()
            case StreamLost(reason=reason):
                self._stream_ready = False
                if self.state in {SessionState.READY, SessionState.RECONCILING}:
                    self._plan.clear()
                    self._polling = False
                    self._enter(SessionState.DEGRADED, "STREAM_LOST", reason)
                    yield StartTimer(name="poll", delay_ms=self._poll_ms())
                    yield StopTimer(name="accounts")
            case AuthStreamed(authenticated=authenticated, competing=competing):
                lost = authenticated is False or competing is True
                if lost and self.state not in LOGIN_STATES:
                    yield CallGateway(call=SessionCall.AUTH_STATUS)
            case _:
                assert_never(message)

    # --- orders ----------------------------------------------------------------------------

    def _about_order(
        self, message: RequestTurn | ReleaseTurn | RequestLookup | StopLookup | OrderChanged
    ) -> Iterator[SessionEffect]:
        match message:
            case RequestTurn(order_id=order_id):
                if self.ready:
                    self._lane.join(order_id)
                else:
                    reason = self.reason or NOT_STARTED
                    refused = Reason(
                        code="SESSION_NOT_READY",
                        message=f"session {self.settings.name} is {self.state}: {reason.message}",
                    )
                    yield RefuseTurn(refused=TurnRefused(order_id=order_id, reason=refused))
            case ReleaseTurn(order_id=order_id):
                self._lane.leave(order_id)
            case RequestLookup(order_id=order_id):
                self._lookups.add(order_id)
                yield StartTimer(name="poll", delay_ms=POLL_LOOKUP_MS)
            case StopLookup(order_id=order_id):
                self._lookups.remove(order_id)
            case OrderChanged(view=view):
                yield from self._follow(view.order_id, working=view.state in LIVE)
            case _:
                assert_never(message)

    def _follow(self, order_id: OrderId, *, working: bool) -> Iterator[SessionEffect]:
        if not working:
            self._working.discard(order_id)
        elif order_id not in self._working:
            idle = not self._working
            self._working.add(order_id)
            if idle and not self._lookups and self.ready:
                yield StartTimer(name="poll", delay_ms=POLL_BUSY_MS)

    def _grant(self, now_ns: int) -> Iterator[SessionEffect]:
        granted = self._lane.next_turn(self.epoch, now_ns) if self.ready else None
        if granted is not None:
            yield GrantTurn(granted=granted)

    # --- time ------------------------------------------------------------------------------

    def _timer(self, name: str) -> Iterator[SessionEffect]:
        if name == "auth" and self.state in LOGIN_STATES:
            yield CallGateway(call=SessionCall.AUTH_STATUS)
        elif name == "tickle" and self.state not in LOGIN_STATES:
            yield CallGateway(call=SessionCall.TICKLE)
        elif name == "step" and self._plan:
            yield self._plan[0]
        elif name == "poll":
            yield from self._poll()
        elif name == "accounts" and self.ready and not self._plan:
            reads = tuple(self._account_reads())
            self._plan = deque(reads)
            yield from reads[:1]
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
