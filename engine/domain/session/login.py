"""The way from nothing to an open brokerage session, and who may take it.

Rule 1: who is refused waits, longer each time, and five times at most. In a reset or a
maintenance refusals mean nothing and are not counted.

Rule 2: a session that another login holds is taken once, if the policy says so at all.
When the other login goes, it is opened without taking it from anybody.

Rule 3: one question about the login is on its way at a time.
"""

from collections.abc import Iterator
from typing import TypeAlias

from engine.domain.messages import (
    AuthStatus,
    AuthStatusRead,
    CallFailed,
    CallGateway,
    FailureKind,
    RetryLogin,
    SessionCall,
    SessionEffect,
    StartTimer,
    WriteGuard,
)
from engine.domain.session.deadline import LoginDeadline
from engine.domain.session.guard import LoginGuard
from engine.domain.session.plan import Plan
from engine.domain.session.settings import (
    AUTH_POLL_MS,
    BACK_OFF_MS,
    LOCKED_OUT_POLL_MS,
    LOGIN_POLL_MS,
    LOGIN_STATES,
    OPENING_POLLS_MAX,
    REFUSED_BACK_OFF_MS,
    SILENT_POLL_MS,
    SessionSettings,
)
from engine.domain.session.standing import Standing
from engine.domain.values import Reason, SessionState

_Effects: TypeAlias = Iterator[SessionEffect]


class Login:
    """Decides what is tried next while no brokerage session is open."""

    def __init__(self, settings: SessionSettings, standing: Standing, plan: Plan) -> None:
        self.guard = LoginGuard(settings.name)
        self.deadline = LoginDeadline(settings.login_grace_ms)
        self._settings = settings
        self._standing = standing
        self._plan = plan
        self._fails = 0
        self._refusals = 0
        self._opening = False
        self._opening_polls = 0

    def begin(self) -> _Effects:
        """Ask how things are, unless nothing may be tried."""
        if self.guard.latched:
            self._latch()
        else:
            yield CallGateway(call=SessionCall.AUTH_STATUS)

    def retry(self, message: RetryLogin) -> _Effects:
        """A person lets the session try again, and take over once more."""
        yield WriteGuard(guard=self.guard.retry(message))
        yield from self.deadline.forget()
        self._fails = self._refusals = 0
        if self._standing.tier not in LOGIN_STATES:
            return
        if self._standing.tier is SessionState.LOCKED_OUT:
            self._standing.enter(SessionState.GATEWAY_UP, "LOGIN_RETRIED", self.guard.reason)
        yield from self.ask()

    def ask(self) -> _Effects:
        """Ask how things are, unless that was asked already, or nothing may be tried."""
        asked = self._plan.is_out(SessionCall.AUTH_STATUS, SessionCall.OPEN_BROKERAGE)
        if not asked and not self.guard.latched:
            yield CallGateway(call=SessionCall.AUTH_STATUS)

    def succeed(self) -> _Effects:
        """The brokerage session is open."""
        self._fails = self._refusals = self._opening_polls = 0
        self._opening = False
        guarded = self.guard.succeed()
        if guarded is not None:
            yield WriteGuard(guard=guarded)

    def go_on(self, message: AuthStatusRead) -> _Effects:
        """Take an answer that says the brokerage session is not open."""
        self._fails = 0
        status = message.status
        if self._plan.is_out(SessionCall.AUTH_STATUS, SessionCall.OPEN_BROKERAGE):
            # That answer will be newer than this one, and goes on from there.
            if self._standing.tier not in LOGIN_STATES:
                text = "the brokerage session is not open any more"
                self._standing.enter(SessionState.GATEWAY_UP, "BROKERAGE_LOST", text)
            return
        if status.competing:
            yield from self._compete(message)
            return
        self._standing.enter(
            SessionState.BROKERAGE_INIT,
            "BROKERAGE_INIT",
            f"the brokerage session is opening {status.message}".rstrip(),
        )
        if status.authenticated:
            yield from self._wait_until_open()
        elif message.call is SessionCall.OPEN_BROKERAGE:
            yield from self._refused(status)
        elif self._opening:
            # It was opened, and is not open: no refusal, but no reason to hurry either.
            self._opening = False
            yield from self._back_off(BACK_OFF_MS)
        else:
            yield CallGateway(call=SessionCall.OPEN_BROKERAGE)

    def _wait_until_open(self) -> _Effects:
        """Look again soon. Some never get open: they are opened once more, taking nobody's."""
        self._opening = True
        self._opening_polls += 1
        if self._opening_polls % OPENING_POLLS_MAX:
            yield StartTimer(name="auth", delay_ms=self._standing.calm(AUTH_POLL_MS))
        else:
            yield CallGateway(call=SessionCall.OPEN_BROKERAGE)

    def _refused(self, status: AuthStatus) -> _Effects:
        """An init that came back unauthenticated failed, whatever its HTTP status."""
        self._opening = False
        if not status.connected or self._standing.in_window:
            # The broker's trouble, and nothing that it counts against us.
            yield from self._back_off(BACK_OFF_MS)
            return
        yield WriteGuard(guard=self.guard.refuse(status.message))
        if self.guard.latched:
            self._latch()
        else:
            yield from self._back_off(REFUSED_BACK_OFF_MS)

    def _back_off(self, steps: tuple[int, ...]) -> _Effects:
        delay_ms = steps[min(self._refusals, len(steps) - 1)]
        self._refusals += 1
        yield StartTimer(name="auth", delay_ms=self._standing.calm(delay_ms))

    def _latch(self) -> None:
        self._standing.enter(SessionState.LOCKED_OUT, "LOGIN_LATCHED", self.guard.reason)

    def _compete(self, message: AuthStatusRead) -> _Effects:
        text = "another session of this user holds the brokerage session"
        may_take = self._settings.compete_once and not self._standing.in_window
        if may_take and not self.guard.taken_over:
            self._standing.enter(SessionState.COMPETING, "COMPETING", f"{text}; it is taken over")
            yield WriteGuard(guard=self.guard.take_over())
            yield CallGateway(call=SessionCall.OPEN_BROKERAGE, compete=True)
            return
        if may_take and message.call is not SessionCall.OPEN_BROKERAGE:
            text += "; it was taken over once, a person decides about more"
        self._standing.enter(SessionState.COMPETING, "COMPETING", text)
        yield StartTimer(name="auth", delay_ms=self._standing.calm(LOGIN_POLL_MS))

    def fail(self, message: CallFailed) -> _Effects:
        """Take that nobody could say how the login is."""
        delay_ms = BACK_OFF_MS[min(self._fails, len(BACK_OFF_MS) - 1)]
        self._fails += 1
        if message.failure.kind is FailureKind.TIMEOUT:
            delay_ms = min(delay_ms, SILENT_POLL_MS)  # That it failed has taken its time, too.
        if message.failure.kind in {FailureKind.UNREACHABLE, FailureKind.TLS_REFUSED}:
            yield from self.wait(SessionState.DOWN, "GATEWAY_DOWN", message, delay_ms)
        else:
            yield from self.wait(SessionState.GATEWAY_UP, "GATEWAY_FAILED", message, delay_ms)

    def wait(self, tier: SessionState, code: str, message: CallFailed, delay_ms: int) -> _Effects:
        """Stay without a brokerage session for a while, and ask again."""
        self._standing.enter(tier, code, message.failure.message)
        yield StartTimer(name="auth", delay_ms=self._standing.calm(delay_ms))

    def lock_out(self, problem: Reason) -> _Effects:
        """The login is not one to trade with; but whoever logs in as another is noticed."""
        self._standing.enter(SessionState.LOCKED_OUT, problem.code, problem.message)
        yield StartTimer(name="auth", delay_ms=LOCKED_OUT_POLL_MS)
