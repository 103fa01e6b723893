"""A gateway that falls silent: nothing is sent into it, and it is back at once."""

from dataclasses import replace

import pytest

from engine.domain.messages import (
    CallFailed,
    CallGateway,
    FailureKind,
    OrderRequestEnded,
    OrdersRead,
    RefuseTurn,
    SessionCall,
    StartTimer,
    TimerFired,
    TradesRead,
)
from engine.domain.session import Effect
from engine.domain.values import Outcome, OutcomeKind, Reason, SessionState
from tests.domain.session.told import (
    FUNDS,
    ONE,
    POSITIONS,
    PROFIT,
    TWO,
    UP,
    Told,
    ask_turn,
    calls,
    end_turn,
    failed,
    granted,
    read,
    states,
)

MS = 1_000_000
PROBE = CallGateway(call=SessionCall.TICKLE, deadline_ms=3_000)
LATE = failed(SessionCall.POSITIONS, FailureKind.TIMEOUT)
MISSED = failed(SessionCall.TICKLE, FailureKind.TIMEOUT)
ALIVE = read(UP, SessionCall.TICKLE)


def ended(code: str, kind: OutcomeKind = OutcomeKind.IN_DOUBT) -> OrderRequestEnded:
    return OrderRequestEnded(outcome=Outcome(kind=kind, reason=Reason(code=code, message=code)))


def began(message: CallFailed, at_ms: int) -> CallFailed:
    return replace(message, began_ns=at_ms * MS)


def refusals(effects: tuple[Effect, ...]) -> list[str]:
    return [one.refused.reason.message for one in effects if isinstance(one, RefuseTurn)]


def reconcile(told: Told) -> None:
    told.tell(
        OrdersRead(rows=(), snapshot=True, forced=False),
        TradesRead(executions=()),
        POSITIONS,
        FUNDS,
    )


@pytest.mark.parametrize(
    "silence",
    [
        ended("TIMEOUT"),
        ended("DISCONNECTED"),
        ended("GATEWAY_UNREACHABLE", OutcomeKind.NOT_SENT),
        LATE,
        failed(SessionCall.ORDERS, FailureKind.UNREACHABLE),
    ],
)
def test_after_a_silence_the_next_turn_waits_for_an_answer(
    silence: OrderRequestEnded | CallFailed,
) -> None:
    told = Told().ready()
    told.tell(ask_turn(ONE), ask_turn(TWO))

    doubted = told.tell(silence, end_turn(ONE))
    ready = told.session.ready
    heard = told.tell(ALIVE)

    assert PROBE in doubted
    assert granted(doubted) == []
    assert ready, "one silence is no lost session"
    assert granted(heard) == [TWO]
    assert states((*doubted, *heard)) == []


@pytest.mark.parametrize(
    "end",
    [
        ended("SEND_WINDOW_PASSED", OutcomeKind.NOT_SENT),
        ended("BAD_PRICE", OutcomeKind.REFUSED),
        OrderRequestEnded(
            outcome=Outcome(
                kind=OutcomeKind.IN_DOUBT,
                reason=Reason(code="TIMEOUT", message="the broker's own"),
                http_status=503,
            )
        ),
    ],
)
def test_an_answer_of_any_kind_is_no_silence(end: OrderRequestEnded) -> None:
    told = Told().ready()
    told.tell(ask_turn(ONE), ask_turn(TWO))

    effects = told.tell(end, end_turn(ONE))

    assert calls(effects) == []
    assert granted(effects) == [TWO]


def test_without_an_answer_soon_the_session_is_not_ready_and_who_waits_is_refused() -> None:
    told = Told().ready()
    told.tell(ask_turn(ONE), ask_turn(TWO), ended("TIMEOUT"), end_turn(ONE))

    silent = told.wait(3_000).tell(TimerFired(name="tickle"))
    later = told.tell(ask_turn(TWO))

    assert states(silent) == [SessionState.DEGRADED]
    assert granted(silent) == []
    assert len(refusals(silent)) == 1
    assert "no keep-alive was answered within 3000 ms" in refusals(silent)[0]
    assert len(refusals(later)) == 1


def test_a_probe_without_an_answer_is_followed_by_the_next_one_soon() -> None:
    told = Told().ready()
    told.tell(LATE)

    missed = told.wait(3_000).tell(MISSED)
    again = told.wait(1_000).tell(TimerFired(name="tickle"))

    assert states(missed) == [SessionState.DEGRADED]
    assert StartTimer(name="tickle", delay_ms=1_000) in missed
    assert calls(again) == [SessionCall.TICKLE]
    assert PROBE in again


def test_a_gateway_that_is_back_makes_the_session_ready_with_one_answer() -> None:
    told = Told().ready()
    told.tell(ended("TIMEOUT"))
    told.wait(3_000).tell(MISSED)

    told.wait(1_000).tell(TimerFired(name="tickle"), ALIVE)
    reconcile(told)

    assert told.session.ready
    assert granted(told.tell(ask_turn(ONE))) == [ONE]


def test_while_it_is_silent_nothing_else_is_read() -> None:
    told = Told().ready()
    told.tell(LATE)

    effects = told.tell(TimerFired(name="poll"), TimerFired(name="accounts"))
    heard = told.tell(ALIVE, TimerFired(name="poll"))

    assert effects == (
        StartTimer(name="poll", delay_ms=3_000),
        StartTimer(name="accounts", delay_ms=3_000),
    )
    assert calls(heard) == [SessionCall.ORDERS]


def test_a_quick_read_that_hangs_is_noticed_before_its_time_is_over() -> None:
    told = Told().ready()
    sent = told.tell(TimerFired(name="accounts"))

    asked = told.wait(4_000).tell(TimerFired(name="watch"))
    silent = told.wait(3_000).tell(TimerFired(name="tickle"))

    assert StartTimer(name="watch", delay_ms=4_000) in sent
    assert PROBE in asked
    assert states(silent) == [SessionState.DEGRADED]


def test_a_quick_read_that_was_answered_is_watched_no_more() -> None:
    told = Told().ready()
    told.tell(TimerFired(name="accounts"), PROFIT)

    assert told.wait(4_000).tell(TimerFired(name="watch")) == ()


# --- what is too old to say anything -------------------------------------------------------


def test_a_silence_of_before_the_last_answer_is_none() -> None:
    told = Told().ready()
    told.wait(5_000).tell(TimerFired(name="accounts"), PROFIT)

    old = told.wait(7_000).tell(began(LATE, 4_999))
    new = told.tell(began(LATE, 5_001))

    assert PROBE not in old
    assert PROBE in new


def test_keep_alives_of_before_the_last_good_one_take_no_session_down() -> None:
    told = Told().ready()
    told.tell(LATE)
    told.wait(31_000).tell(MISSED)
    told.tell(ALIVE)
    reconcile(told)

    for _ in range(3):
        told.wait(31_000).tell(began(MISSED, 1))

    assert told.session.ready


def test_a_login_question_of_before_the_last_good_answer_loses_no_session() -> None:
    told = Told().ready()
    told.wait(5_000).tell(ALIVE)

    told.tell(began(failed(SessionCall.AUTH_STATUS, FailureKind.TIMEOUT), 4_999))
    kept = told.session.ready
    told.tell(began(failed(SessionCall.AUTH_STATUS, FailureKind.TIMEOUT), 5_001))

    assert kept
    assert told.session.state is SessionState.GATEWAY_UP


def test_a_gateway_that_hangs_for_half_a_minute_is_down() -> None:
    told = Told().ready()
    told.tell(LATE)

    ends = [told.wait(4_000).tell(MISSED) for _ in range(9)]

    assert [SessionState.DOWN in states(end) for end in ends] == [False] * 8 + [True]


def test_a_gateway_that_hangs_is_asked_again_two_seconds_after_it_was_given_up() -> None:
    told = Told()
    told.tell(told.started)

    ends = [told.tell(failed(SessionCall.AUTH_STATUS, FailureKind.TIMEOUT)) for _ in range(9)]

    assert StartTimer(name="auth", delay_ms=2_000) in ends[-1]
