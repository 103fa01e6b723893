"""Logging in: refused five times at most, never fighting, and overdue at some time."""

from dataclasses import replace

import pytest

from engine.domain.messages import (
    AccountsRead,
    AuthStatus,
    AuthStatusRead,
    CallGateway,
    FailureKind,
    LoginGuarded,
    RetryLogin,
    SessionCall,
    SessionMessage,
    StartSession,
    StartTimer,
    StopTimer,
    TimerFired,
    WriteGuard,
)
from engine.domain.session import Effect, calendar_of
from engine.domain.values import Reason, SessionState
from tests.domain.session.told import (
    ACCOUNT,
    CLOSED,
    NAME,
    NOON_NS,
    OPENING,
    SETTINGS,
    STOLEN,
    UP,
    Told,
    calls,
    failed,
    read,
    states,
)

ONCE = replace(SETTINGS, compete_once=True)
OFFLINE = replace(CLOSED, connected=False)
UNAUTHORIZED = failed(SessionCall.AUTH_STATUS, FailureKind.UNAUTHORIZED)
LATE_TICKLE = failed(SessionCall.TICKLE, FailureKind.TIMEOUT)
RETRY = RetryLogin(session=NAME, reason="I logged in", by="anna")


def guards(effects: tuple[Effect, ...]) -> list[LoginGuarded]:
    return [effect.guard for effect in effects if isinstance(effect, WriteGuard)]


def takes(effects: tuple[Effect, ...]) -> int:
    return sum(isinstance(effect, CallGateway) and effect.compete for effect in effects)


def refuse(told: Told, times: int, status: AuthStatus = CLOSED) -> tuple[Effect, ...]:
    """Let the login be refused so often."""
    effects: tuple[Effect, ...] = ()
    for _ in range(times):
        told.tell(TimerFired(name="auth"))
        effects = (
            *effects,
            *told.tell(read(CLOSED), read(status, SessionCall.OPEN_BROKERAGE)),
        )
    return effects


def test_a_brokerage_session_that_never_gets_open_is_opened_once_a_minute() -> None:
    told = Told()
    told.tell(StartSession(), read(OPENING))

    effects: tuple[Effect, ...] = ()
    for _ in range(120):
        looked = told.wait(1_000).tell(TimerFired(name="auth"), read(OPENING))
        effects = (*effects, *looked)
        if SessionCall.OPEN_BROKERAGE in calls(looked):
            effects = (*effects, *told.tell(read(OPENING, SessionCall.OPEN_BROKERAGE)))

    assert calls(effects).count(SessionCall.OPEN_BROKERAGE) == 2
    assert takes(effects) == 0
    assert guards(effects) == [], "nobody was refused"
    assert told.session.state is SessionState.BROKERAGE_INIT


# --- refused -----------------------------------------------------------------------------


def test_refused_logins_come_slower_and_slower_and_then_no_more() -> None:
    told = Told()
    told.tell(StartSession())

    effects = refuse(told, 5)
    after = told.tell(TimerFired(name="auth"))

    waits = [
        effect.delay_ms
        for effect in effects
        if isinstance(effect, StartTimer) and effect.name == "auth"
    ]
    assert waits == [2_000, 10_000, 30_000, 60_000]
    assert [(guard.failures, guard.latched) for guard in guards(effects)] == [
        (1, False),
        (2, False),
        (3, False),
        (4, False),
        (5, True),
    ]
    assert after == ()
    assert told.session.state is SessionState.LOCKED_OUT
    assert told.session.reason == Reason(
        code="LOGIN_LATCHED", message="the broker refused 5 logins in a row, limit is 5"
    )
    assert told.session.login_failures == 5


def test_a_broker_that_is_away_refuses_nobody() -> None:
    told = Told()
    told.tell(StartSession())

    effects = refuse(told, 20, OFFLINE)

    assert guards(effects) == []
    assert told.session.state is SessionState.BROKERAGE_INIT
    assert effects[-1] == StartTimer(name="auth", delay_ms=30_000)


def test_a_login_that_works_forgets_the_refused_ones() -> None:
    told = Told()
    told.tell(StartSession())
    refuse(told, 4)

    effects = told.tell(TimerFired(name="auth"), read(UP))

    (guard,) = guards(effects)
    assert (guard.failures, guard.latched) == (0, False)
    assert told.session.login_failures == 0


def test_a_latched_session_stays_so_over_a_restart() -> None:
    latched = LoginGuarded(
        session=NAME, failures=5, taken_over=False, latched=True, reason="refused"
    )
    told = Told()

    effects = told.tell(StartSession(guard=latched))
    later = told.tell(TimerFired(name="auth"), read(UP), LATE_TICKLE)

    assert calls((*effects, *later)) == []
    assert states((*effects, *later)) == [SessionState.LOCKED_OUT]
    assert told.session.reason == Reason(code="LOGIN_LATCHED", message="refused")


def test_four_refusals_before_a_restart_leave_one() -> None:
    four = LoginGuarded(session=NAME, failures=4, taken_over=False, latched=False, reason="")
    told = Told()
    told.tell(StartSession(guard=four))

    refuse(told, 1)

    assert told.session.state is SessionState.LOCKED_OUT


def test_a_person_lets_a_latched_session_try_again() -> None:
    told = Told()
    told.tell(StartSession())
    refuse(told, 5)

    effects = told.tell(RETRY)
    ready = told.tell(read(UP))

    assert guards(effects) == [
        LoginGuarded(
            session=NAME,
            failures=0,
            taken_over=False,
            latched=False,
            reason="anna lets it log in again: I logged in",
        )
    ]
    assert calls(effects) == [SessionCall.AUTH_STATUS]
    assert states(effects) == [SessionState.GATEWAY_UP]
    assert states(ready) == [SessionState.WARMING]


def test_a_person_hurries_a_session_that_waits() -> None:
    told = Told()
    told.tell(StartSession(), failed(SessionCall.AUTH_STATUS, FailureKind.UNREACHABLE))

    assert calls(told.tell(RETRY)) == [SessionCall.AUTH_STATUS]
    assert calls(told.tell(RETRY)) == [], "one question at a time"


def test_a_session_that_is_ready_asks_nobody() -> None:
    told = Told().ready()

    effects = told.tell(RETRY)

    assert calls(effects) == []
    assert len(guards(effects)) == 1


def test_nothing_is_asked_twice_while_the_answer_is_out() -> None:
    told = Told()
    told.tell(StartSession(), read(CLOSED))

    late = told.tell(TimerFired(name="auth"), read(CLOSED, SessionCall.TICKLE))

    assert late == ()


# --- competing ---------------------------------------------------------------------------


def test_with_compete_once_the_session_is_taken_over_once() -> None:
    told = Told(ONCE)

    effects = told.tell(StartSession(), read(STOLEN), read(OPENING, SessionCall.OPEN_BROKERAGE))
    told.tell(TimerFired(name="auth"))
    told.ready_again()
    stolen_back = told.tell(read(STOLEN, SessionCall.TICKLE))

    (guard,) = guards(effects)
    assert guard.taken_over
    assert effects.index(WriteGuard(guard=guard)) < effects.index(
        CallGateway(call=SessionCall.OPEN_BROKERAGE, compete=True)
    ), "what is done is written before it is done"
    assert (takes(effects), takes(stolen_back)) == (1, 0)
    assert told.session.state is SessionState.COMPETING


def test_a_take_over_is_not_repeated_after_a_restart() -> None:
    taken = LoginGuarded(session=NAME, failures=0, taken_over=True, latched=False, reason="")
    told = Told(ONCE)

    effects = told.tell(StartSession(guard=taken), read(STOLEN))

    assert takes(effects) == 0
    assert told.session.reason is not None
    assert "a person decides" in told.session.reason.message


def test_a_person_allows_one_more_take_over() -> None:
    taken = LoginGuarded(session=NAME, failures=0, taken_over=True, latched=False, reason="")
    told = Told(ONCE)
    told.tell(StartSession(guard=taken), read(STOLEN))

    once = told.tell(RETRY, read(STOLEN), read(STOLEN, SessionCall.OPEN_BROKERAGE))
    twice = told.tell(TimerFired(name="auth"), read(STOLEN))

    assert (takes(once), takes(twice)) == (1, 0)


def test_when_the_other_login_goes_the_session_comes_back_without_a_fight() -> None:
    told = Told()
    told.tell(StartSession(), read(STOLEN), TimerFired(name="auth"))

    effects = told.tell(read(CLOSED))

    assert calls(effects) == [SessionCall.OPEN_BROKERAGE]
    assert takes(effects) == 0
    assert states(told.tell(read(UP, SessionCall.OPEN_BROKERAGE))) == [SessionState.WARMING]


class Username:
    """One username at the broker, and two engines that may take its session."""

    def __init__(self) -> None:
        self.engines = [Told(ONCE), Told(ONCE)]
        self.guards: dict[int, LoginGuarded | None] = {}
        self.holder: int | None = None
        self.taken = 0

    def start(self, index: int) -> None:
        """Start an engine, also in place of the one before."""
        self.guards[index] = self.engines[index].guarded or self.guards.get(index)
        self.engines[index] = Told(ONCE)
        self.tell(index, StartSession(guard=self.guards[index]))

    def tell(self, index: int, message: SessionMessage) -> None:
        """Tell an engine, and answer what it asks about its login until it asks no more."""
        told = self.engines[index]
        asked = [one for one in told.tell(message) if isinstance(one, CallGateway)]
        while asked:
            call = asked.pop(0)
            if call.call is SessionCall.OPEN_BROKERAGE and (call.compete or self.holder is None):
                self.taken += self.holder is not None
                self.holder = index
            if call.call in {SessionCall.AUTH_STATUS, SessionCall.OPEN_BROKERAGE}:
                answer = told.tell(read(self._status(index), call.call))
                asked += [one for one in answer if isinstance(one, CallGateway)]

    def _status(self, index: int) -> AuthStatus:
        if self.holder is None:
            return CLOSED
        return UP if self.holder == index else STOLEN

    def pass_minute(self) -> None:
        for index, told in enumerate(self.engines):
            told.wait(60_000)
            if told.session.tier is SessionState.WARMING:
                self.tell(index, read(self._status(index), SessionCall.TICKLE))
            self.tell(index, TimerFired(name="auth"))


@pytest.mark.parametrize("restarts", [False, True])
def test_two_engines_that_may_both_take_over_do_not_fight(*, restarts: bool) -> None:
    username = Username()
    username.start(0)
    username.start(1)

    for minute in range(20):
        username.pass_minute()
        if restarts:
            username.start(minute % 2)

    assert username.taken == 2, "each took it once"
    assert [told.session.tier for told in username.engines] == [
        SessionState.WARMING,
        SessionState.COMPETING,
    ]


# --- a login is needed -------------------------------------------------------------------


def test_a_login_that_is_needed_is_due_and_then_overdue() -> None:
    told = Told(replace(SETTINGS, login_grace_ms=600_000))

    needed = told.tell(StartSession(), UNAUTHORIZED)
    due_ns = told.session.login_by_ns
    again = told.wait(5_000).tell(TimerFired(name="auth"), UNAUTHORIZED)
    overdue = told.wait(595_000).tell(TimerFired(name="login"))
    twice = told.tell(TimerFired(name="auth"), UNAUTHORIZED)

    assert StartTimer(name="login", delay_ms=600_000) in needed
    assert due_ns == NOON_NS + 600_000_000_000
    assert states(again) == []
    assert told.session.login_by_ns == due_ns
    assert states(overdue) == [SessionState.LOGIN_REQUIRED]
    assert told.session.login_overdue
    assert told.session.reason == Reason(
        code="LOGIN_REQUIRED", message="unauthorized; overdue: nobody logged in within 600 s"
    )
    assert states(twice) == []


def test_a_gateway_that_is_restarted_meanwhile_puts_nothing_off() -> None:
    told = Told()
    told.tell(StartSession(), UNAUTHORIZED)
    due_ns = told.session.login_by_ns

    told.wait(60_000).tell(
        TimerFired(name="auth"), failed(SessionCall.AUTH_STATUS, FailureKind.UNREACHABLE)
    )

    assert told.session.state is SessionState.DOWN
    assert told.session.login_by_ns == due_ns


def test_a_login_that_was_made_is_due_no_more() -> None:
    told = Told()
    told.tell(StartSession(), UNAUTHORIZED, TimerFired(name="login"), TimerFired(name="auth"))

    effects = told.tell(read(CLOSED))

    assert StopTimer(name="login") in effects
    assert (told.session.login_by_ns, told.session.login_overdue) == (None, False)


def test_a_person_who_acts_gets_the_whole_time_again() -> None:
    told = Told()
    told.tell(StartSession(), UNAUTHORIZED, TimerFired(name="login"))

    effects = told.wait(900_000).tell(RETRY)

    assert StartTimer(name="login", delay_ms=900_000) in effects
    assert told.session.login_by_ns == told.wall_ns + 900_000_000_000
    assert not told.session.login_overdue


def test_a_wrong_login_needs_another_one_in_time() -> None:
    told = Told()
    wrong: tuple[SessionMessage, ...] = (
        read(UP),
        AccountsRead(accounts=(ACCOUNT,), paper=False),
    )
    told.tell(StartSession(), *wrong)
    due_ns = told.session.login_by_ns

    told.wait(60_000).tell(TimerFired(name="auth"), *wrong)

    assert due_ns == NOON_NS + 900_000_000_000
    assert told.session.login_by_ns == due_ns


def test_a_ready_session_says_when_its_login_ends() -> None:
    calendar = replace(SETTINGS, calendar=calendar_of("america"))
    midnight_ns = calendar_of("america").hours(NOON_NS).login_ends_ns
    soon = AuthStatusRead(call=SessionCall.TICKLE, status=UP, sso_expires_ms=60_000)
    told = Told(calendar).ready()

    before = told.session.login_by_ns
    told.tell(soon)
    told_ns = told.session.login_by_ns
    told.wait(60_000).tell(soon)

    assert before == midnight_ns
    assert told_ns == NOON_NS + 60_000_000_000
    assert told.session.login_by_ns == midnight_ns, "an expiry that moves on is no end"


def test_without_a_calendar_nobody_knows_when_the_login_ends() -> None:
    assert Told().ready().session.login_by_ns is None


def test_a_login_that_fails_for_the_brokers_pace_waits_half_a_minute() -> None:
    told = Told()

    effects = told.tell(StartSession(), failed(SessionCall.AUTH_STATUS, FailureKind.RATE_LIMITED))

    assert StartTimer(name="auth", delay_ms=30_000) in effects
