"""The life of one gateway session: login tiers, warm-up, keep-alive, and the submit lane.

Rule 1: the way to READY has one order, and every loss of the brokerage session walks it
again, because priming, question suppression and subscriptions die with it:
auth status, `ssodh/init`, then what `warmup` does.

Rule 2: one conversation about an order at a time. The broker voids an open question when
another order request arrives, so a turn lasts from the send to the final answer.

Rule 3: another session of the same user is never fought. With `compete: once`, one
attempt is made to take the session over; after that a person decides.

Rule 4: only READY gives turns, and an account trades once it was read in this login. Not
ready is not an error: it is said, with its reason.

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
    FailureKind,
    FundsRead,
    GrantTurn,
    LedgerRead,
    OpenStream,
    OrderChanged,
    OrderRequestEnded,
    OrdersRead,
    OrderStatusRead,
    PositionsRead,
    ProfitRead,
    ReadAccount,
    ReconcileAccount,
    ReleaseTurn,
    ReportAnomaly,
    RequestLookup,
    RequestTurn,
    RetryLogin,
    RowsStreamed,
    SessionCall,
    SessionChanged,
    SessionMessage,
    StartSession,
    StartTimer,
    StopLookup,
    StreamLost,
    StreamReady,
    TimerFired,
    TradesRead,
)
from engine.domain.session.accounts import AccountAnswer
from engine.domain.session.effects import Effect
from engine.domain.session.login import Login
from engine.domain.session.orders import SessionOrders
from engine.domain.session.plan import Plan
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
)
from engine.domain.session.standing import Standing, Turn
from engine.domain.session.warmup import WarmUp
from engine.domain.values import AccountId, Evidence, OrderId, Reason, SessionState

_Effects: TypeAlias = Iterator[Effect]

_HURRIED: Final = frozenset(
    {SessionState.DOWN, SessionState.GATEWAY_UP, SessionState.BROKERAGE_INIT}
)
"""States that were waited in calmly, and need not be any more once a window closes."""


class Session:
    """Decides what a gateway session does next. `handle` returns it, in order."""

    def __init__(self, settings: SessionSettings) -> None:
        self.settings = settings
        self._standing = Standing(settings)
        self._plan = Plan()
        self._login = Login(settings, self._standing, self._plan)
        self._orders = SessionOrders(self._standing)
        self._warm_up = WarmUp(settings, self._standing, self._plan, self._login, self._orders)
        self._reads = self._warm_up.reads
        self._polls = self._warm_up.polls
        self._search = self._orders.search
        self._pulse = Pulse(self._standing, self._plan, self._orders)
        self._now_ns = 0
        self._wall_ns = 0

    @property
    def accounts(self) -> tuple[AccountId, ...]:
        """The accounts that the session trades; those of the login with `all`."""
        return self._warm_up.accounts

    @accounts.setter
    def accounts(self, accounts: tuple[AccountId, ...]) -> None:
        self._warm_up.accounts = accounts

    @property
    def epoch(self) -> int:
        """The number of its brokerage login."""
        return self._warm_up.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._warm_up.epoch = epoch

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

    def reconciliation(self, account: AccountId) -> ReconcileAccount | None:
        """Return what the account's risk was told last of its reads; None if never."""
        return self._reads.recovery.told(account)

    def evidence(self, order_id: OrderId, now_ns: int) -> Evidence | None:
        """Return what was looked at so far for an order; None when it is not looked for."""
        return self._search.evidence(order_id, now_ns)

    def fail(self, reason: Reason) -> SessionChanged:
        """Be down for good: whoever drives this machine cannot go on."""
        self._standing.hours = None
        self._standing.enter(SessionState.DOWN, reason.code, reason.message)
        return self._changed()

    def handle(self, message: SessionMessage, now_ns: int, wall_ns: int) -> tuple[Effect, ...]:
        """Take one message; `now_ns` is the monotonic clock, `wall_ns` the calendar's."""
        self._now_ns, self._wall_ns = now_ns, wall_ns
        self._search.pass_time(now_ns, wall_ns)
        before = self._shown()
        heard = self._pulse.listen(message, now_ns)
        effects: tuple[Effect, ...] = (*self._pass_time(), *heard, *self._react(message))
        effects = (*effects, *self._warm_up.read_lists())
        for effect in effects:
            if isinstance(effect, CallGateway):
                self._plan.note_call(effect.call, now_ns)
                effects = (*effects, *self._pulse.watch(effect.call))
        effects = (*effects, *self._conclude())
        if self._shown() != before:
            effects = (*effects, AnnounceSession(changed=self._changed()))
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
                yield from self._warm_up.read_accounts(message)
            case CallDone(call=call):
                yield from self._warm_up.finish(call)
            case OrdersRead() | OrderStatusRead() | TradesRead():
                if (yield from self._polls.read(message, self._now_ns)):
                    yield from self._warm_up.advance()
            case PositionsRead() | FundsRead() | LedgerRead() | ProfitRead():
                yield from self._account_read(message)
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
                yield from self._warm_up.lose()
            yield from self._login.go_on(message)
            return
        self._pulse.be_steady()
        yield from self._login.succeed()
        if tier in LOGIN_STATES:
            yield from self._warm_up.begin()
            return
        self._search.confirm(self._plan.asked_ns)
        yield from self._search.judge()
        if tier is SessionState.DEGRADED and self._polls.stream_ready:
            yield from self._warm_up.reconcile()
        if message.call is SessionCall.TICKLE:
            yield StartTimer(name="tickle", delay_ms=TICKLE_MS)

    def _conclude(self) -> _Effects:
        """See whether the session is ready now, and whether a person has to log in."""
        deadline, standing = self._login.deadline, self._standing
        # A keep-alive that failed makes all of it doubtful, until one is answered.
        if self._warm_up.done and self._pulse.steady:
            standing.be_ready()
            yield from self._polls.wait()
        if not self.ready or self._pulse.doubtful:
            self._search.doubt()
        yield from deadline.follow(standing.tier, standing.hours, self._wall_ns)
        standing.overdue = deadline.overdue

    def _account_read(self, message: AccountAnswer) -> _Effects:
        recovery = self._reads.recovery
        waited = recovery.waits_for_lists
        yield from self._reads.answered(message, self._now_ns)
        if recovery.waits_for_lists and not waited:
            yield from self._polls.hasten()

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
                yield from self._warm_up.lose()
            yield from self._login.fail(message)
        elif not current or logging_in:
            return  # An answer to what nobody waits for any more.
        elif kind is FailureKind.NOT_PRIMED and call is not SessionCall.ACCOUNTS:
            yield from self._warm_up.lose()
            self._pulse.be_steady()
            yield from self._warm_up.begin()
        elif call is SessionCall.ORDER_STATUS:
            yield from self._polls.statuses.failed()
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
            yield from self._warm_up.lose()
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
                    yield from self._warm_up.reconcile()
            case StreamLost(reason=reason):
                self._polls.stream_ready = False
                if tier in {SessionState.READY, SessionState.RECONCILING}:
                    yield from self._polls.degrade("STREAM_LOST", reason)
            case AuthStreamed(authenticated=authenticated, competing=competing):
                lost = authenticated is False or competing is True
                if lost and tier not in LOGIN_STATES:
                    yield from self._doubt_login()
            case RowsStreamed():
                self._polls.tell(message, self._now_ns)
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
                yield from self._warm_up.reconcile(anew=True)

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
            case "lists":
                yield from self._warm_up.read_lists(late=True)
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

    def _shown(self) -> tuple[SessionState, bool, int, Reason | None]:
        return self.state, self.ready, self.epoch, self.reason

    def _changed(self) -> SessionChanged:
        return SessionChanged(
            session=self.settings.name,
            state=self.state,
            ready=self.ready,
            epoch=self.epoch,
            reason=self.reason,
        )
