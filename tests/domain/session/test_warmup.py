"""The way to READY: what is asked for, in which order, and what ends it."""

from dataclasses import replace

from engine.domain.messages import (
    AccountsRead,
    CallDone,
    CallGateway,
    FailureKind,
    SessionCall,
    StartTimer,
    StopTimer,
    StreamLost,
    StreamReady,
    TimerFired,
)
from engine.domain.values import AccountId, SessionState
from tests.domain.session.told import (
    ACCOUNT,
    FUNDS,
    LIST,
    POSITIONS,
    SETTINGS,
    TRADES,
    WARM_UP,
    Told,
    calls,
    failed,
    poll,
)

OTHER = AccountId("DU7654321")
HOUR_MS = 3_600_000


def trades_asked(told: Told) -> list[bool]:
    """Poll once, and return whether the trades of all days were asked for."""
    effects = poll(told)
    asked = (effect for effect in effects if isinstance(effect, CallGateway))
    return [one.force for one in asked if one.call is SessionCall.TRADES]


def test_the_first_reads_of_a_login_are_cold_and_the_trades_of_all_days() -> None:
    effects = Told().tell(*WARM_UP[:10])

    forced = [
        (effect.call, effect.force)
        for effect in effects
        if isinstance(effect, CallGateway)
        and effect.call in {SessionCall.ORDERS, SessionCall.TRADES}
    ]
    assert forced == [
        (SessionCall.ORDERS, True),
        (SessionCall.TRADES, True),
        (SessionCall.ORDERS, False),
        (SessionCall.TRADES, True),
    ]


def test_later_the_current_days_trades_are_read_and_now_and_then_all() -> None:
    told = Told().ready()

    first = trades_asked(told.wait(60_000))
    hourly = trades_asked(told.wait(HOUR_MS))
    after = trades_asked(told.wait(60_000))

    assert (first, hourly, after) == ([False], [True], [False])


def test_trades_of_all_days_that_could_not_be_read_are_asked_for_again() -> None:
    told = Told()
    told.tell(*WARM_UP[:10], failed(SessionCall.TRADES, FailureKind.TIMEOUT))

    again = told.wait(2_000).tell(TimerFired(name="step"))

    assert CallGateway(call=SessionCall.TRADES, force=True) in again


def test_the_lists_are_read_as_soon_as_all_positions_were() -> None:
    told = Told(replace(SETTINGS, accounts=(ACCOUNT, OTHER)))
    both = AccountsRead(accounts=(ACCOUNT, OTHER), paper=True)
    told.tell(*WARM_UP[:2], both, *WARM_UP[3:8])

    first = told.tell(POSITIONS)
    second = told.tell(replace(POSITIONS, account=OTHER))

    assert calls(first) == [SessionCall.POSITIONS]
    assert calls(second) == [SessionCall.FUNDS, SessionCall.ORDERS]
    assert StopTimer(name="lists") in second


def test_the_time_of_positions_that_a_stream_lost_is_no_time_of_the_next() -> None:
    told = Told()
    told.tell(*WARM_UP[:8], StreamLost(reason="cut"))

    assert calls(told.wait(5_000).tell(TimerFired(name="lists"))) == []


def test_a_login_that_is_lost_while_positions_are_read_reads_no_lists() -> None:
    told = Told()
    told.tell(*WARM_UP[:8])

    lost = told.tell(failed(SessionCall.POSITIONS, FailureKind.NO_BRIDGE))
    late = told.wait(5_000).tell(TimerFired(name="lists"), POSITIONS)

    assert StopTimer(name="lists") in lost
    assert calls(late) == []
    assert told.session.state is SessionState.GATEWAY_UP


def test_a_session_without_accounts_reads_the_lists_at_once() -> None:
    told = Told(replace(SETTINGS, accounts=()))
    told.tell(*WARM_UP[:2], AccountsRead(accounts=(ACCOUNT,), paper=True), *WARM_UP[3:7])

    effects = told.tell(StreamReady())

    assert calls(effects) == [SessionCall.ORDERS]


def test_once_it_is_ready_the_polls_begin() -> None:
    told = Told()
    told.tell(*WARM_UP[:9], LIST)

    effects = told.tell(TRADES, FUNDS)

    assert StartTimer(name="poll", delay_ms=60_000) in effects
    assert told.session.ready


def test_an_answer_that_belongs_to_no_step_takes_none() -> None:
    told = Told().ready()

    assert told.tell(CallDone(call=SessionCall.SUPPRESS)) == ()
