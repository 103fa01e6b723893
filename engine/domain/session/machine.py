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

Rule 5: around the broker's own resets and maintenance the session is in MAINTENANCE,
whatever becomes of it: nothing is sent, it is lost and comes back calmly, and everything
is read again before it is READY.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias, assert_never

from engine.domain.messages import (
    AccountsRead,
    AnnounceSession,
    AuthStatusRead,
    AuthStreamed,
    CallDone,
    CallFailed,
    CallGateway,
    CloseStream,
    FailureKind,
    FundsRead,
    GrantTurn,
    LedgerRead,
    OpenStream,
    OrderChanged,
    OrderRequestEnded,
    OrdersRead,
    PositionsRead,
    ProfitRead,
    ReadAccount,
    ReleaseTurn,
    ReportAnomaly,
    RequestLookup,
    RequestTurn,
    RetryLogin,
    RowsStreamed,
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
from engine.domain.session.accounts import AccountReads
from engine.domain.session.login import Login
from engine.domain.session.orders import SessionOrders
from engine.domain.session.plan import Plan
from engine.domain.session.polls import Polls
from engine.domain.session.pulse import Pulse
from engine.domain.session.rounds import ACCOUNT_CALLS
from engine.domain.session.settings import (
    AUTH_POLL_MS,
    BACK_OFF_MS,
    LOGIN_POLL_MS,
    LOGIN_STATES,
    PROBE_MS,
    STEP_RETRY_MS,
    STREAM_MS_MAX,
    TICKLE_MS,
    SessionSettings,
    login_problem,
)
from engine.domain.session.standing import Standing, Turn
from engine.domain.values import AccountId, Reason, SessionState

_Effects: TypeAlias = Iterator[SessionEffect]

_HURRIED: Final = frozenset(
    {SessionState.DOWN, SessionState.GATEWAY_UP, SessionState.BROKERAGE_INIT}
)
"""States that were waited in calmly, and need not be any more once a window closes."""


class Session:
    """Decides what a gateway session does next. `handle` returns it, in order."""

    def __init__(self, settings: SessionSettings) -> None:
        self.settings = settings
        self.accounts: tuple[AccountId, ...] = settings.accounts or ()
        self.epoch = 0
        self._standing = Standing(settings)
        self._plan = Plan()
        self._login = Login(settings, self._standing, self._plan)
        self._orders = SessionOrders()
        self._reads = AccountReads(self._plan, self._login)
        self._polls = Polls(self._standing, self._plan, self._orders)
        self._pulse = Pulse(self._standing, self._plan, self._orders)
        self._now_ns = 0
        self._wall_ns = 0

    @property
    def ready(self) -> bool:
        """True when orders may be sent."""
        return self._standing.ready

    @property
    def state(self) -> SessionState:
        """The state that is shown; MAINTENANCE in the broker's own windows."""
        return self._standing.state

    @property
    def reason(self) -> Reason | None:
        """Why the session is not ready; None when it is."""
        return self._standing.reason

    @property
    def login_by_ns(self) -> int | None:
        """Wall time: when the login ends or, while one is needed, by when it should be made."""
        return self._login.deadline.by_ns

    @property
    def login_overdue(self) -> bool:
        """True once a login was needed for longer than a person may take."""
        return self._standing.overdue

    @property
    def login_failures(self) -> int:
        """How many logins were refused in a row."""
        return self._login.guard.failures

    @property
    def no_submit_until_ns(self) -> int | None:
        """Wall time until which the broker's calendar lets no order be sent; None outside."""
        hours = self._standing.hours
        return None if hours is None or hours.window is None else hours.window.ends_ns

    @property
    def tier(self) -> SessionState:
        """How far the login got, also while MAINTENANCE is shown."""
        return self._standing.tier

    def fail(self, reason: Reason) -> SessionChanged:
        """Be down for good: whoever drives this machine cannot go on."""
        self._standing.hours = None
        self._standing.enter(SessionState.DOWN, reason.code, reason.message)
        return self._changed()

    def handle(
        self, message: SessionMessage, now_ns: int, wall_ns: int
    ) -> tuple[SessionEffect, ...]:
        """Take one message; `now_ns` is the monotonic clock, `wall_ns` the calendar's."""
        self._now_ns, self._wall_ns = now_ns, wall_ns
        before = self._changed()
        heard = self._pulse.listen(message, now_ns)
        effects = (*self._pass_time(), *heard, *self._react(message))
        for effect in effects:
            if isinstance(effect, CallGateway):
                self._plan.note_call(effect.call)
                effects = (*effects, *self._pulse.watch(effect.call))
        effects = (*effects, *self._conclude())
        after = self._changed()
        if after != before:
            effects = (*effects, AnnounceSession(changed=after))
        return (*effects, *self._grant())

    def _react(self, message: SessionMessage) -> _Effects:
        match message:
            case StartSession() | RetryLogin():
                yield from self._ask_login(message)
            case ReadAccount(account=account):
                if account in self.accounts:
                    yield from self._reads.read_soon(account)
            case AuthStatusRead():
                yield from self._auth_read(message)
            case CallFailed():
                yield from self._failed(message)
            case OrderRequestEnded():
                return  # All that counts here is whether it was answered.
            case AccountsRead():
                yield from self._accounts_read(message)
            case CallDone(call=call):
                yield from self._done(call)
            case OrdersRead() | TradesRead():
                if (yield from self._polls.read(message, self._now_ns)):
                    yield from self._advance()
            case PositionsRead() | FundsRead() | LedgerRead() | ProfitRead():
                yield from self._reads.answered(message, self._now_ns)
            case StreamReady() | StreamLost() | AuthStreamed() | RowsStreamed():
                yield from self._streamed(message)
            case RequestTurn() | ReleaseTurn() | RequestLookup() | StopLookup() | OrderChanged():
                yield from self._orders.react(message, self._standing.refusal)
            case TimerFired(name=name):
                yield from self._timer(name)
            case _:
                assert_never(message)

    # --- login -------------------------------------------------------------------------

    def _ask_login(self, message: StartSession | RetryLogin) -> _Effects:
        if isinstance(message, RetryLogin):
            yield from self._login.retry(message)
            return
        self.epoch = max(self.epoch, message.epoch)
        self._orders.adopt(message)
        if message.guard is not None:
            self._login.guard.restore(message.guard)
        yield from self._login.begin()

    def _auth_read(self, message: AuthStatusRead) -> _Effects:
        tier = self._standing.tier
        self._plan.note_answer(message.call)
        self._login.deadline.tell_expiry(self._wall_ns, message.sso_expires_ms)
        if self._login.guard.latched and tier in LOGIN_STATES:
            return
        if not message.status.ready:
            if tier not in LOGIN_STATES:
                yield from self._lose_brokerage()
            yield from self._login.go_on(message)
            return
        self._pulse.be_steady()
        yield from self._login.succeed()
        if tier in LOGIN_STATES:
            yield from self._warm_up()
            return
        if tier is SessionState.DEGRADED and self._polls.stream_ready:
            yield from self._reconcile()
        if message.call is SessionCall.TICKLE:
            yield StartTimer(name="tickle", delay_ms=TICKLE_MS)

    def _conclude(self) -> _Effects:
        """See whether the session is ready now, and whether a person has to log in."""
        deadline, standing = self._login.deadline, self._standing
        # A keep-alive that failed makes all of it doubtful, until one is answered.
        reconciling = standing.tier is SessionState.RECONCILING and self._pulse.steady
        if reconciling and self._reads.read_enough(self._now_ns):
            standing.be_ready()
            yield from self._polls.wait()
        yield from deadline.follow(standing.tier, standing.hours, self._wall_ns)
        standing.overdue = deadline.overdue

    def _lose_brokerage(self) -> _Effects:
        """Forget all that dies with the brokerage session."""
        self._plan.clear()
        self._reads.stop()
        self._polls.stop()
        for name in ("tickle", "poll", "accounts", "step"):
            yield StopTimer(name=name)
        yield CloseStream()

    # --- warm-up -----------------------------------------------------------------------

    def _warm_up(self) -> _Effects:
        self.epoch += 1
        self._pulse.be_steady()
        self._login.deadline.begin_login()
        self._polls.stop()
        self._standing.enter(
            SessionState.WARMING, "WARMING", "the brokerage session is being primed"
        )
        for name in ("auth", "step"):
            yield StopTimer(name=name)
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
        self._standing.enter(
            SessionState.RECONCILING, "RECONCILING", "orders, trades and positions are being read"
        )
        self._polls.begin()
        self._reads.stop()
        for name in ("poll", "accounts", "step"):
            yield StopTimer(name=name)
        yield self._plan.begin(
            CallGateway(call=SessionCall.ORDERS), CallGateway(call=SessionCall.TRADES)
        )

    def _done(self, call: SessionCall) -> _Effects:
        """An answer is in: go on, if it is of this plan and to the step in hand."""
        if self._plan.note_answer(call) and self._plan.call is call:
            yield from self._advance()

    def _advance(self) -> _Effects:
        """The step in hand is done; go to the next, or read the accounts."""
        step = self._plan.finish()
        if isinstance(step, OpenStream):
            yield StartTimer(name="step", delay_ms=STREAM_MS_MAX)
        if step is not None:
            yield step
        elif self._standing.tier is SessionState.RECONCILING:
            yield from self._reads.begin(self.accounts, self._now_ns)

    def _accounts_read(self, message: AccountsRead) -> _Effects:
        if not self._plan.note_answer(SessionCall.ACCOUNTS):
            return
        if not message.accounts:
            # A session that is just opening answers with empty lists, without an error.
            yield StartTimer(name="step", delay_ms=STEP_RETRY_MS)
            return
        problem = login_problem(self.settings, message)
        if problem is not None:
            yield from self._lose_brokerage()
            yield from self._login.lock_out(problem)
            return
        if self.settings.accounts is None:
            self.accounts = tuple(name for name in message.accounts if name != "All")
        if self._plan.call is SessionCall.ACCOUNTS:
            yield from self._advance()

    # --- what goes wrong -----------------------------------------------------------------

    def _failed(self, message: CallFailed) -> _Effects:
        kind, call = message.failure.kind, message.call
        current, tier = self._plan.note_answer(call), self._standing.tier
        logging_in = tier in LOGIN_STATES
        if logging_in and self._login.guard.latched:
            return
        if kind is FailureKind.UNAUTHORIZED and call not in ACCOUNT_CALLS:
            yield from self._drop_to(
                SessionState.LOGIN_REQUIRED, "LOGIN_REQUIRED", message, LOGIN_POLL_MS
            )
        elif kind is FailureKind.RATE_LIMITED:
            yield from self._slow_down(message)
        elif kind is FailureKind.NO_BRIDGE and not logging_in:
            yield from self._drop_to(
                SessionState.GATEWAY_UP, "BROKERAGE_LOST", message, AUTH_POLL_MS
            )
        elif call is SessionCall.TICKLE:
            if (yield from self._pulse.miss(message)):
                yield from self._drop_to(SessionState.DOWN, "GATEWAY_DOWN", message, BACK_OFF_MS[0])
        elif call in {SessionCall.AUTH_STATUS, SessionCall.OPEN_BROKERAGE}:
            if not logging_in:
                if self._pulse.is_outlived(message):
                    return
                yield from self._lose_brokerage()
            yield from self._login.fail(message)
        elif not current or logging_in:
            return  # An answer to what nobody waits for any more.
        elif kind is FailureKind.NOT_PRIMED and call is not SessionCall.ACCOUNTS:
            yield from self._lose_brokerage()
            yield from self._warm_up()
        elif call in ACCOUNT_CALLS:
            yield from self._reads.failed(message)
        elif call is self._plan.call:
            yield StartTimer(name="step", delay_ms=STEP_RETRY_MS)
        else:
            yield from self._polls.failed()

    def _slow_down(self, message: CallFailed) -> _Effects:
        """Wait: the broker closes the door for minutes on who asks too fast."""
        wait_ms = BACK_OFF_MS[-1]
        tier = self._standing.tier
        if tier in LOGIN_STATES:
            yield from self._login.wait(SessionState.RATE_LIMITED, "RATE_LIMITED", message, wait_ms)
            return
        if tier in {SessionState.READY, SessionState.RECONCILING}:
            # With the next good keep-alive all is read again.
            tier = SessionState.DEGRADED
            self._plan.clear()
        self._standing.enter(tier, "RATE_LIMITED", message.failure.message)
        yield from self._polls.wait()
        self._reads.put_back()
        for name in ("step", "poll", "tickle", "accounts"):
            yield StartTimer(name=name, delay_ms=wait_ms)

    def _drop_to(
        self, state: SessionState, code: str, message: CallFailed, delay_ms: int
    ) -> _Effects:
        if self._standing.tier not in LOGIN_STATES:
            yield from self._lose_brokerage()
        yield from self._login.wait(state, code, message, delay_ms)

    # --- the stream ----------------------------------------------------------------------

    def _streamed(
        self, message: StreamReady | StreamLost | AuthStreamed | RowsStreamed
    ) -> _Effects:
        tier = self._standing.tier
        match message:
            case StreamReady():
                awaited = isinstance(self._plan.step, OpenStream)
                self._polls.stream_ready = awaited or tier is not SessionState.WARMING
                if awaited or tier is SessionState.DEGRADED:
                    yield from self._reconcile()
            case StreamLost(reason=reason):
                self._polls.stream_ready = False
                if tier in {SessionState.READY, SessionState.RECONCILING}:
                    yield from self._polls.degrade("STREAM_LOST", reason)
            case AuthStreamed(authenticated=authenticated, competing=competing):
                lost = authenticated is False or competing is True
                if lost and tier not in LOGIN_STATES:
                    yield from self._doubt_login()
            case RowsStreamed():
                self._polls.streams.tell(message, self._now_ns)
            case _:
                assert_never(message)

    def _doubt_login(self) -> _Effects:
        """Give no turns until the gateway has said how the login is."""
        if self._standing.tier in {SessionState.READY, SessionState.RECONCILING}:
            self._plan.clear()
            text = "the stream says that the brokerage session is gone or taken"
            self._standing.enter(SessionState.DEGRADED, "LOGIN_DOUBTED", text)
            yield from self._polls.wait()
        yield from self._login.ask()

    # --- time ------------------------------------------------------------------------------

    def _pass_time(self) -> _Effects:
        """Let the calendar decide what may be done now."""
        turn, tier = self._standing.pass_time(self._wall_ns), self._standing.tier
        if turn is Turn.NOTHING:
            return
        yield from self._wait_for_hours()
        refusal = self._standing.refusal
        if turn is Turn.WINDOW_OPENED and refusal is not None:
            yield from self._orders.refuse_waiting(refusal)
        elif turn is Turn.WINDOW_CLOSED:
            if tier in _HURRIED:
                yield StartTimer(name="auth", delay_ms=AUTH_POLL_MS)
            elif tier in {SessionState.READY, SessionState.RECONCILING}:
                # What was read while the broker reset its systems may be of before.
                yield from self._reconcile()

    def _wait_for_hours(self) -> _Effects:
        hours = self._standing.hours
        if hours is not None:
            delay_ms = max((hours.until_ns - self._wall_ns) // 1_000_000, 0) + 1
            yield StartTimer(name="calendar", delay_ms=delay_ms)

    def _timer(self, name: str) -> _Effects:
        tier = self._standing.tier
        match name:
            case "auth" if tier in LOGIN_STATES:
                yield from self._login.ask()
            case "tickle" if tier not in LOGIN_STATES:
                yield from self._pulse.beat()
            case "poll" | "accounts" if self._pulse.doubtful and tier not in LOGIN_STATES:
                yield StartTimer(name=name, delay_ms=PROBE_MS)
            case "watch":
                yield from self._pulse.look()
            case "step" if isinstance(self._plan.step, OpenStream):
                text = f"no stream within {STREAM_MS_MAX} ms; polls go on without it"
                yield from self._polls.degrade("STREAM_NOT_OPEN", text)
            case "step" if self._plan.step is not None:
                yield self._plan.step
            case "poll":
                yield from self._polls.poll()
            case "accounts":
                yield from self._reads.read_next()
            case "calendar":
                yield from self._wait_for_hours()
            case "login":
                self._login.deadline.pass_by()
            case "auth" | "tickle" | "step":
                return  # A timer of a session that is gone.
            case _:
                yield ReportAnomaly(machine="session", kind="unknown_timer", detail=name)

    def _grant(self) -> _Effects:
        if not self.ready or self._pulse.doubtful:
            return
        hours, lane = self._standing.hours, self._orders.lane
        open_ms = None if hours is None else (hours.until_ns - self._wall_ns) // 1_000_000
        granted = lane.next_turn(self.epoch, self._now_ns, open_ms=open_ms)
        if granted is not None:
            yield GrantTurn(granted=granted)

    def _changed(self) -> SessionChanged:
        return SessionChanged(
            session=self.settings.name,
            state=self.state,
            ready=self.ready,
            epoch=self.epoch,
            reason=self.reason,
        )
