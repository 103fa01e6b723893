"""The broker's windows: nothing is sent, nothing is trouble, and all is read again after."""

from dataclasses import replace
from datetime import datetime

import pytest

from engine.domain.messages import (
    CallGateway,
    FailureKind,
    GrantTurn,
    ParkOrder,
    RefuseTurn,
    RequestLookup,
    SessionCall,
    StartSession,
    StartTimer,
    StreamLost,
    StreamReady,
    TimerFired,
    WriteGuard,
)
from engine.domain.session import Effect, calendar_of
from engine.domain.values import Reason, SessionState
from tests.domain.session.told import (
    CLOSED,
    LIST,
    NAME,
    ONE,
    OPENING,
    POSITIONS,
    SETTINGS,
    STOLEN,
    TRADES,
    TWO,
    UP,
    WARM_UP,
    Told,
    ask_turn,
    calls,
    end_turn,
    failed,
    granted,
    poll,
    read,
    states,
    steps,
)

AMERICA = replace(SETTINGS, calendar=calendar_of("america"))
WINDOW = TimerFired(name="calendar")
RECONCILED = (POSITIONS, LIST, TRADES)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


BEFORE_RESET = at("2026-11-23T00:57:00-05:00")
TO_WINDOW_MS = 60_000
TO_RESET_MS = 120_000
TO_END_MS = 600_000
NO_SUBMIT = Reason(
    code="NO_SUBMIT_WINDOW", message="no order is sent until 01:10 EST: nightly reset"
)


def night() -> Told:
    """A session that is ready three minutes before its reset."""
    return Told(AMERICA, wall_ns=BEFORE_RESET).ready()


def in_window() -> Told:
    told = night().wait(TO_WINDOW_MS)
    told.tell(WINDOW)
    assert told.session.state is SessionState.MAINTENANCE
    return told


def refusals(effects: tuple[Effect, ...]) -> list[tuple[str, Reason]]:
    return [
        (effect.refused.order_id, effect.refused.reason)
        for effect in effects
        if isinstance(effect, RefuseTurn)
    ]


def test_a_session_waits_for_its_window() -> None:
    told = Told(AMERICA, wall_ns=BEFORE_RESET)

    effects = told.tell(StartSession())

    assert StartTimer(name="calendar", delay_ms=TO_WINDOW_MS + 1) in effects


def test_a_turn_just_before_the_window_ends_with_its_beginning() -> None:
    told = night().wait(TO_WINDOW_MS - 300)

    (grant,) = told.tell(ask_turn(ONE))

    assert isinstance(grant, GrantTurn)
    assert grant.granted.send_by_ns == told.now_ns + 300 * 1_000_000


def test_in_the_window_before_a_reset_nothing_is_sent() -> None:
    told = night()
    told.tell(ask_turn(ONE), ask_turn(TWO))

    opened = told.wait(TO_WINDOW_MS).tell(WINDOW)
    later = told.tell(ask_turn(ONE))

    assert states(opened) == [SessionState.MAINTENANCE]
    assert refusals(opened) == [(TWO, NO_SUBMIT)], "an order would be stale by the end of it"
    assert refusals(later) == [(ONE, NO_SUBMIT)]
    assert not told.session.ready
    assert told.session.reason == NO_SUBMIT
    assert told.session.no_submit_until_ns == told.wall_ns + (120 + 600) * 1_000_000_000
    assert told.session.tier is SessionState.READY, "nothing was lost"


def test_any_message_notices_the_window_if_the_timer_is_late() -> None:
    told = night().wait(TO_WINDOW_MS)

    effects = told.tell(ask_turn(ONE))

    assert granted(effects) == []
    assert refusals(effects) == [(ONE, NO_SUBMIT)]


def test_polls_and_keep_alives_go_on_in_the_window() -> None:
    told = in_window()

    assert calls(poll(told)) == [SessionCall.ORDERS, SessionCall.TRADES]
    assert calls(told.tell(TimerFired(name="tickle"))) == [SessionCall.TICKLE]
    assert calls(told.tell(TimerFired(name="accounts"))) == [SessionCall.PROFIT]


def test_after_the_window_everything_is_read_again_before_orders_are_sent() -> None:
    told = in_window()

    closed = told.wait(TO_RESET_MS + TO_END_MS).tell(WINDOW)
    waits = told.tell(*RECONCILED[:-1])
    ready = told.tell(RECONCILED[-1])

    assert states(closed) == [SessionState.RECONCILING]
    assert (calls(closed), steps(closed)) == ([SessionCall.POSITIONS], ["positions"])
    assert states(waits) == []
    assert states(ready) == [SessionState.READY]
    assert told.session.no_submit_until_ns is None


def test_what_was_read_before_the_end_of_the_window_does_not_count() -> None:
    told = in_window()
    told.tell(StreamLost(reason="reset"), StreamReady(), LIST)

    closed = told.wait(TO_RESET_MS + TO_END_MS).tell(WINDOW)
    late = told.tell(TRADES)

    assert calls(closed) == [SessionCall.POSITIONS]
    assert (calls(late), states(late)) == ([], []), "the last answer of the reads before"


def test_a_session_that_is_lost_in_its_window_comes_back_calmly() -> None:
    told = in_window().wait(TO_RESET_MS)

    lost = told.tell(failed(SessionCall.ORDERS, FailureKind.NO_BRIDGE))
    refused = told.tell(
        TimerFired(name="auth"), read(CLOSED), read(CLOSED, SessionCall.OPEN_BROKERAGE)
    )
    down = told.tell(
        TimerFired(name="auth"), failed(SessionCall.AUTH_STATUS, FailureKind.UNREACHABLE)
    )

    auth = [
        effect.delay_ms
        for effect in (*lost, *refused, *down)
        if isinstance(effect, StartTimer) and effect.name == "auth"
    ]
    assert auth == [30_000, 30_000, 30_000]
    assert not any(isinstance(effect, WriteGuard) for effect in refused)
    assert told.session.login_failures == 0
    assert set(states((*lost, *refused, *down))) == {SessionState.MAINTENANCE}
    assert told.session.reason == Reason(
        code="NO_SUBMIT_WINDOW", message=f"{NO_SUBMIT.message}; DOWN: unreachable"
    )


def test_a_session_that_is_back_before_the_end_waits_for_it() -> None:
    told = in_window().wait(TO_RESET_MS)
    told.tell(failed(SessionCall.ORDERS, FailureKind.NO_BRIDGE))

    told.ready_again()
    shown = told.session.state
    closed = told.wait(TO_END_MS).tell(WINDOW)

    assert shown is SessionState.MAINTENANCE
    assert states(closed) == [SessionState.RECONCILING]


def test_a_session_that_is_not_back_by_the_end_is_trouble_then() -> None:
    told = in_window().wait(TO_RESET_MS)
    told.tell(
        failed(SessionCall.ORDERS, FailureKind.NO_BRIDGE),
        TimerFired(name="auth"),
        failed(SessionCall.AUTH_STATUS, FailureKind.UNREACHABLE),
    )

    closed = told.wait(TO_END_MS).tell(WINDOW)

    assert states(closed) == [SessionState.DOWN]
    assert StartTimer(name="auth", delay_ms=1_000) in closed


def test_a_stream_that_is_lost_when_the_window_ends_is_waited_for() -> None:
    told = in_window()
    told.tell(StreamLost(reason="reset"))

    closed = told.wait(TO_RESET_MS + TO_END_MS).tell(WINDOW)
    back = told.tell(StreamReady())

    assert states(closed) == [SessionState.DEGRADED]
    assert states(back) == [SessionState.RECONCILING]


def test_in_the_window_no_login_is_taken_over() -> None:
    told = Told(replace(AMERICA, compete_once=True), wall_ns=BEFORE_RESET).ready()
    told.wait(TO_WINDOW_MS + TO_RESET_MS)

    during = told.tell(read(STOLEN, SessionCall.TICKLE))
    after = told.wait(TO_END_MS).tell(WINDOW, TimerFired(name="auth"), read(STOLEN))

    assert not any(isinstance(effect, CallGateway) and effect.compete for effect in during)
    assert states(during) == [SessionState.COMPETING]
    assert CallGateway(call=SessionCall.OPEN_BROKERAGE, compete=True) in after


def test_a_login_that_is_needed_in_a_window_is_due_after_it() -> None:
    told = in_window()

    effects = told.tell(failed(SessionCall.TICKLE, FailureKind.UNAUTHORIZED))

    window_ends_ms = TO_RESET_MS + TO_END_MS
    assert states(effects) == [SessionState.LOGIN_REQUIRED]
    assert StartTimer(name="login", delay_ms=window_ends_ms + 900_000) in effects


def test_a_reset_in_the_middle_of_a_conversation_leaves_its_order_the_lane() -> None:
    told = night()
    told.tell(ask_turn(ONE))
    told.wait(TO_WINDOW_MS + TO_RESET_MS).tell(failed(SessionCall.ORDERS, FailureKind.NO_BRIDGE))
    told.ready_again()
    told.wait(TO_END_MS).tell(WINDOW, *RECONCILED)

    waits = told.tell(ask_turn(TWO))
    freed = told.tell(end_turn(ONE))

    assert told.session.ready
    assert (granted(waits), granted(freed)) == ([], [TWO])


def test_an_order_in_doubt_is_looked_for_over_a_reset_and_only_healthy_time_counts() -> None:
    told = night()
    told.tell(RequestLookup(order_id=ONE, session=NAME))
    poll(told)
    told.wait(TO_WINDOW_MS)

    parked: list[Effect] = []
    for _ in range(144):
        told.wait(5_000)
        parked += [effect for effect in poll(told) if isinstance(effect, ParkOrder)]
    in_window_parked = list(parked)
    told.tell(WINDOW, *RECONCILED)
    for _ in range(40):
        told.wait(5_000)
        parked += [effect for effect in poll(told) if isinstance(effect, ParkOrder)]

    assert in_window_parked == []
    assert len(parked) == 1


def test_a_clock_that_is_put_back_opens_the_window_again() -> None:
    told = in_window()
    told.wait(TO_RESET_MS + TO_END_MS).tell(WINDOW, *RECONCILED)
    assert told.session.ready

    told.began_ns -= 60_000_000_000
    effects = told.tell(ask_turn(ONE))

    assert refusals(effects) == [(ONE, NO_SUBMIT)]


def test_a_timer_that_is_early_by_the_wall_is_set_again() -> None:
    told = night().wait(TO_WINDOW_MS - 5)

    assert told.tell(WINDOW) == (StartTimer(name="calendar", delay_ms=6),)


@pytest.mark.parametrize(
    ("night_of", "lasts_h"), [("2026-10-31", 6), ("2026-03-07", 6), ("2026-11-21", 6)]
)
def test_maintenance_takes_the_evening_also_before_the_clocks_change(
    night_of: str, lasts_h: int
) -> None:
    calendar = calendar_of("america")
    zone_noon_ns = at(f"{night_of}T17:00:00+00:00")
    told = Told(AMERICA, wall_ns=zone_noon_ns).ready()
    begins_ns = next(
        one.begins_ns for one in calendar.windows(zone_noon_ns) if one.name.startswith("weekend")
    )

    told.wait((begins_ns - zone_noon_ns) // 1_000_000).tell(WINDOW)
    lost = told.tell(read(CLOSED, SessionCall.TICKLE), read(OPENING, SessionCall.OPEN_BROKERAGE))
    until_ns = told.session.no_submit_until_ns

    assert set(states(lost)) == {SessionState.MAINTENANCE}
    assert until_ns == begins_ns + (lasts_h * 3_600 + 120) * 1_000_000_000


def test_without_a_calendar_there_are_no_windows() -> None:
    told = Told(wall_ns=BEFORE_RESET).ready()

    effects = told.wait(TO_WINDOW_MS).tell(ask_turn(ONE))

    assert granted(effects) == [ONE]
    assert told.session.no_submit_until_ns is None


def test_a_session_that_starts_in_a_window_warms_up_and_waits() -> None:
    told = Told(AMERICA, wall_ns=BEFORE_RESET + TO_WINDOW_MS * 1_000_000)

    told.tell(*WARM_UP)

    assert told.session.tier is SessionState.READY
    assert told.session.state is SessionState.MAINTENANCE
    assert calls(told.tell(read(UP, SessionCall.TICKLE))) == []
