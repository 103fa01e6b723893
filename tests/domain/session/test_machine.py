"""The session machine: the order of its warm-up, its turns, and what makes it not ready."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

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
    Failure,
    FailureKind,
    FundsRead,
    GrantTurn,
    OpenStream,
    OrdersRead,
    ParkOrder,
    PositionsRead,
    RefuseTurn,
    ReleaseTurn,
    RequestLookup,
    RequestTurn,
    SessionCall,
    SessionEffect,
    SessionMessage,
    StartSession,
    StartTimer,
    StreamLost,
    StreamReady,
    TimerFired,
    TradesRead,
)
from engine.domain.session import LOOKUP_HEALTHY_MS_MAX, SEND_WINDOW_MS, Session, SessionSettings
from engine.domain.values import (
    AccountId,
    Funds,
    Mode,
    OrderId,
    SessionName,
    SessionState,
)

NAME = SessionName("main")
ACCOUNT = AccountId("DU1234567")
SETTINGS = SessionSettings(
    name=NAME, mode=Mode.PAPER, accounts=(ACCOUNT,), compete_once=False, suppress=("o163",)
)
UP = AuthStatus(authenticated=True, connected=True, competing=False, established=True)
OPENING = replace(UP, established=False)
CLOSED = AuthStatus(authenticated=False, connected=True, competing=False, established=None)
STOLEN = replace(UP, competing=True)
ONE = OrderId("1-1")
TWO = OrderId("1-2")


def read(status: AuthStatus, call: SessionCall = SessionCall.AUTH_STATUS) -> AuthStatusRead:
    return AuthStatusRead(call=call, status=status)


def failed(call: SessionCall, kind: FailureKind) -> CallFailed:
    return CallFailed(call=call, failure=Failure(kind=kind, message=f"{kind}"))


POSITIONS = PositionsRead(account=ACCOUNT, positions=(), started_ns=1, ended_ns=2)
FUNDS = FundsRead(
    funds=Funds(
        account=ACCOUNT,
        currency="USD",
        net_liquidation=Decimal(1),
        available_funds=None,
        excess_liquidity=None,
    ),
    now_ns=2,
)
WARM_UP: tuple[SessionMessage, ...] = (
    StartSession(),
    read(UP),
    AccountsRead(accounts=(ACCOUNT,), paper=True),
    CallDone(call=SessionCall.PORTFOLIO_ACCOUNTS),
    CallDone(call=SessionCall.SUPPRESS),
    OrdersRead(rows=(), snapshot=False, forced=True),
    TradesRead(executions=()),
    StreamReady(),
    OrdersRead(rows=(), snapshot=True, forced=False),
    TradesRead(executions=()),
    POSITIONS,
    FUNDS,
)


class Told:
    """A session with a clock that is moved by hand."""

    def __init__(self, settings: SessionSettings = SETTINGS) -> None:
        self.session = Session(settings)
        self.now_ns = 0

    def tell(self, *messages: SessionMessage) -> tuple[SessionEffect, ...]:
        effects: tuple[SessionEffect, ...] = ()
        for message in messages:
            effects = (*effects, *self.session.handle(message, self.now_ns))
        return effects

    def ready(self) -> "Told":
        self.tell(*WARM_UP)
        assert self.session.state is SessionState.READY
        return self


def calls(effects: Sequence[SessionEffect]) -> list[SessionCall | type[OpenStream]]:
    return [
        effect.call if isinstance(effect, CallGateway) else OpenStream
        for effect in effects
        if isinstance(effect, CallGateway | OpenStream)
    ]


def states(effects: Sequence[SessionEffect]) -> list[SessionState]:
    return [effect.changed.state for effect in effects if isinstance(effect, AnnounceSession)]


def test_the_way_to_ready_has_one_order() -> None:
    told = Told()

    effects = told.tell(*WARM_UP)

    assert calls(effects) == [
        SessionCall.AUTH_STATUS,
        SessionCall.ACCOUNTS,
        SessionCall.PORTFOLIO_ACCOUNTS,
        SessionCall.SUPPRESS,
        SessionCall.ORDERS,
        SessionCall.TRADES,
        OpenStream,
        SessionCall.ORDERS,
        SessionCall.TRADES,
        SessionCall.POSITIONS,
        SessionCall.FUNDS,
    ]
    assert states(effects) == [
        SessionState.WARMING,
        SessionState.RECONCILING,
        SessionState.READY,
    ]
    forced = [effect.force for effect in effects if isinstance(effect, CallGateway)]
    assert forced.index(True) == 4
    assert DeliverToRisk(account=ACCOUNT, message=POSITIONS) in effects


def test_a_closed_brokerage_session_is_opened_without_competing() -> None:
    told = Told()

    effects = told.tell(StartSession(), read(CLOSED))

    assert CallGateway(call=SessionCall.OPEN_BROKERAGE) in effects
    assert told.session.state is SessionState.BROKERAGE_INIT


def test_an_opening_brokerage_session_is_waited_for() -> None:
    told = Told()

    effects = told.tell(StartSession(), read(CLOSED), read(OPENING, SessionCall.OPEN_BROKERAGE))
    again = told.tell(TimerFired(name="auth"))

    assert StartTimer(name="auth", delay_ms=1_000) in effects
    assert again == (CallGateway(call=SessionCall.AUTH_STATUS),)


def test_failed_inits_come_slower_and_slower() -> None:
    told = Told()
    told.tell(StartSession(), read(CLOSED))

    delays = [
        effect.delay_ms
        for _ in range(4)
        for effect in told.tell(read(CLOSED, SessionCall.OPEN_BROKERAGE), read(CLOSED))
        if isinstance(effect, StartTimer)
    ]

    assert delays == [1_000, 2_000, 4_000, 8_000]


def test_another_session_is_never_fought() -> None:
    told = Told()

    effects = told.tell(StartSession(), read(STOLEN), TimerFired(name="auth"), read(STOLEN))

    assert not any(isinstance(effect, CallGateway) and effect.compete for effect in effects)
    assert told.session.state is SessionState.COMPETING


def test_with_compete_once_the_session_is_taken_over_once() -> None:
    told = Told(replace(SETTINGS, compete_once=True))

    effects = told.tell(
        StartSession(),
        read(STOLEN),
        read(STOLEN, SessionCall.OPEN_BROKERAGE),
        TimerFired(name="auth"),
        read(STOLEN),
    )

    competed = [effect for effect in effects if isinstance(effect, CallGateway) and effect.compete]
    assert len(competed) == 1


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (FailureKind.UNREACHABLE, SessionState.DOWN),
        (FailureKind.TLS_REFUSED, SessionState.DOWN),
        (FailureKind.TIMEOUT, SessionState.GATEWAY_UP),
        (FailureKind.UNAUTHORIZED, SessionState.LOGIN_REQUIRED),
        (FailureKind.RATE_LIMITED, SessionState.RATE_LIMITED),
    ],
)
def test_a_login_that_fails_is_tried_again_and_says_why(
    kind: FailureKind, state: SessionState
) -> None:
    told = Told()

    effects = told.tell(StartSession(), failed(SessionCall.AUTH_STATUS, kind))

    assert told.session.state is state
    assert told.session.reason is not None
    assert any(isinstance(effect, StartTimer) and effect.name == "auth" for effect in effects)


def test_a_paper_engine_refuses_a_live_login() -> None:
    told = Told()

    told.tell(StartSession(), read(UP), AccountsRead(accounts=(ACCOUNT,), paper=False))

    assert told.session.state is SessionState.LOCKED_OUT
    assert told.session.reason is not None
    assert told.session.reason.code == "MODE_MISMATCH"


def test_an_account_that_the_login_lacks_is_named() -> None:
    told = Told()

    told.tell(StartSession(), read(UP), AccountsRead(accounts=(AccountId("DU7"),), paper=True))

    assert told.session.state is SessionState.LOCKED_OUT
    assert told.session.reason is not None
    assert "DU1234567" in told.session.reason.message


def test_all_means_the_accounts_of_the_login() -> None:
    told = Told(replace(SETTINGS, accounts=None))
    both = (AccountId("DU1"), AccountId("All"), AccountId("DU2"))

    told.tell(StartSession(), read(UP), AccountsRead(accounts=both, paper=True))

    assert told.session.accounts == ("DU1", "DU2")


def test_a_cold_order_list_is_read_again() -> None:
    told = Told()
    told.tell(*WARM_UP[:8])

    effects = told.tell(OrdersRead(rows=(), snapshot=False, forced=False))
    again = told.tell(TimerFired(name="step"))

    assert StartTimer(name="step", delay_ms=1_000) in effects
    assert calls(again) == [SessionCall.ORDERS]
    assert told.session.state is SessionState.RECONCILING


def test_an_unprimed_session_warms_up_from_the_start() -> None:
    told = Told().ready()

    effects = told.tell(failed(SessionCall.ORDERS, FailureKind.NOT_PRIMED))

    assert calls(effects) == [SessionCall.ACCOUNTS]
    assert told.session.state is SessionState.WARMING
    assert told.session.epoch == 2


def test_a_lost_brokerage_session_loses_its_stream_and_logs_in_again() -> None:
    told = Told().ready()

    effects = told.tell(failed(SessionCall.ORDERS, FailureKind.NO_BRIDGE))

    assert CloseStream() in effects
    assert told.session.state is SessionState.GATEWAY_UP


# --- turns -------------------------------------------------------------------------------


def ask_turn(order_id: OrderId) -> RequestTurn:
    return RequestTurn(order_id=order_id, session=NAME)


def end_turn(order_id: OrderId) -> ReleaseTurn:
    return ReleaseTurn(order_id=order_id, session=NAME)


def granted(effects: Sequence[SessionEffect]) -> list[OrderId]:
    return [effect.granted.order_id for effect in effects if isinstance(effect, GrantTurn)]


def test_one_order_has_the_lane_at_a_time() -> None:
    told = Told().ready()
    told.now_ns = 7

    first = told.tell(ask_turn(ONE), ask_turn(TWO))
    second = told.tell(end_turn(ONE))

    assert granted(first) == [ONE]
    assert granted(second) == [TWO]
    (grant,) = (effect for effect in first if isinstance(effect, GrantTurn))
    assert grant.granted.send_by_ns == 7 + SEND_WINDOW_MS * 1_000_000
    assert grant.granted.session_epoch == 1


def test_an_order_that_left_the_queue_gets_no_turn() -> None:
    told = Told().ready()
    told.tell(ask_turn(ONE), ask_turn(TWO), end_turn(TWO))

    assert granted(told.tell(end_turn(ONE))) == []


def test_a_session_that_is_not_ready_gives_no_turn_and_says_why() -> None:
    told = Told()

    (effect,) = told.tell(ask_turn(ONE))

    assert isinstance(effect, RefuseTurn)
    assert effect.refused.reason.code == "SESSION_NOT_READY"
    assert "DOWN" in effect.refused.reason.message


def test_who_waits_gets_the_turn_when_the_session_is_ready_again() -> None:
    told = Told().ready()
    told.tell(ask_turn(ONE), ask_turn(TWO), StreamLost(reason="cut"))

    closed = told.tell(end_turn(ONE))
    back = told.tell(
        StreamReady(),
        OrdersRead(rows=(), snapshot=True, forced=False),
        TradesRead(executions=()),
        POSITIONS,
        FUNDS,
    )

    assert granted(closed) == []
    assert granted(back) == [TWO]


# --- health ------------------------------------------------------------------------------


def test_a_lost_stream_degrades_and_its_return_reconciles() -> None:
    told = Told().ready()

    lost = told.tell(StreamLost(reason="no heartbeat"))
    back = told.tell(StreamReady())

    assert states(lost) == [SessionState.DEGRADED]
    assert states(back) == [SessionState.RECONCILING]
    assert calls(back) == [SessionCall.ORDERS]


def test_one_failed_tickle_is_suspicious_and_three_are_down() -> None:
    told = Told().ready()

    once = told.tell(failed(SessionCall.TICKLE, FailureKind.TIMEOUT))
    twice = told.tell(failed(SessionCall.TICKLE, FailureKind.TIMEOUT))
    thrice = told.tell(failed(SessionCall.TICKLE, FailureKind.TIMEOUT))

    assert states((*once, *twice, *thrice)) == [
        SessionState.DEGRADED,
        SessionState.DOWN,
    ]


def test_a_good_tickle_after_a_bad_one_reconciles() -> None:
    told = Told().ready()
    told.tell(failed(SessionCall.TICKLE, FailureKind.TIMEOUT))

    effects = told.tell(read(UP, SessionCall.TICKLE))

    assert states(effects) == [SessionState.RECONCILING]


def test_a_tickle_that_shows_a_dead_session_logs_in_again() -> None:
    told = Told().ready()

    effects = told.tell(read(CLOSED, SessionCall.TICKLE))

    assert CallGateway(call=SessionCall.OPEN_BROKERAGE) in effects
    assert told.session.state is SessionState.BROKERAGE_INIT


def test_a_streamed_loss_is_checked_at_once() -> None:
    told = Told().ready()

    effects = told.tell(AuthStreamed(authenticated=None, competing=True))

    assert effects == (CallGateway(call=SessionCall.AUTH_STATUS),)


def test_keep_alive_goes_on() -> None:
    told = Told().ready()

    sent = told.tell(TimerFired(name="tickle"))
    answered = told.tell(read(UP, SessionCall.TICKLE))

    assert sent == (CallGateway(call=SessionCall.TICKLE),)
    assert StartTimer(name="tickle", delay_ms=60_000) in answered


# --- polls and lookups -------------------------------------------------------------------


def poll(told: Told) -> tuple[SessionEffect, ...]:
    return told.tell(
        TimerFired(name="poll"),
        OrdersRead(rows=(), snapshot=True, forced=False),
        TradesRead(executions=()),
    )


def test_orders_and_trades_are_polled_in_pairs() -> None:
    told = Told().ready()

    effects = poll(told)

    assert calls(effects) == [SessionCall.ORDERS, SessionCall.TRADES]
    assert [effect.source for effect in effects if isinstance(effect, DeliverNews)] == [
        "poll",
        "poll",
    ]
    assert effects[-1] == StartTimer(name="poll", delay_ms=60_000)


def test_a_failed_poll_is_followed_by_another() -> None:
    told = Told().ready()
    told.tell(TimerFired(name="poll"))

    effects = told.tell(failed(SessionCall.ORDERS, FailureKind.TIMEOUT))

    assert effects == (StartTimer(name="poll", delay_ms=60_000),)
    assert told.session.ready


def test_an_order_that_is_looked_for_is_given_up_after_healthy_time_only() -> None:
    told = Told().ready()
    told.tell(RequestLookup(order_id=ONE, session=NAME))

    parked: list[OrderId] = []
    for _ in range(40):
        told.now_ns += 5_000_000_000
        parked += [effect.order_id for effect in poll(told) if isinstance(effect, ParkOrder)]
        if parked:
            break

    assert parked == [ONE]
    assert told.now_ns >= LOOKUP_HEALTHY_MS_MAX * 1_000_000


def test_account_figures_are_read_again_and_again() -> None:
    told = Told().ready()

    effects = told.tell(TimerFired(name="accounts"), POSITIONS, FUNDS)

    assert calls(effects) == [SessionCall.POSITIONS, SessionCall.FUNDS]
    assert effects[-1] == StartTimer(name="accounts", delay_ms=30_000)


def test_a_failed_account_read_is_tried_again() -> None:
    told = Told().ready()
    told.tell(TimerFired(name="accounts"))

    effects = told.tell(failed(SessionCall.POSITIONS, FailureKind.TIMEOUT))
    again = told.tell(TimerFired(name="step"))

    assert effects == (StartTimer(name="step", delay_ms=2_000),)
    assert calls(again) == [SessionCall.POSITIONS]


# --- what the review of the first version found -------------------------------------------


def test_an_answer_to_an_older_plan_does_not_end_a_step_of_the_new_one() -> None:
    told = Told().ready()
    told.tell(TimerFired(name="accounts"), TimerFired(name="poll"))
    told.tell(StreamLost(reason="cut"), StreamReady())

    late = told.tell(POSITIONS, OrdersRead(rows=(), snapshot=True, forced=False))
    fresh = told.tell(OrdersRead(rows=(), snapshot=True, forced=False))

    assert calls(late) == []
    assert calls(fresh) == [SessionCall.TRADES]


def test_one_unreadable_account_does_not_hold_up_the_session() -> None:
    told = Told()
    told.tell(*WARM_UP[:-2])

    for _ in range(3):
        told.tell(failed(SessionCall.POSITIONS, FailureKind.BAD_ANSWER), TimerFired(name="step"))
    told.tell(FUNDS)

    assert told.session.state is SessionState.READY


def test_an_account_that_the_portfolio_does_not_know_is_no_lost_login() -> None:
    told = Told()
    told.tell(*WARM_UP[:-2])

    effects = told.tell(failed(SessionCall.POSITIONS, FailureKind.UNAUTHORIZED))

    assert effects == (StartTimer(name="step", delay_ms=2_000),)


def test_an_empty_account_list_is_read_again() -> None:
    told = Told(replace(SETTINGS, accounts=None))
    told.tell(StartSession(), read(UP))

    effects = told.tell(AccountsRead(accounts=(), paper=True))

    assert effects == (StartTimer(name="step", delay_ms=2_000),)
    assert told.session.state is SessionState.WARMING


def test_a_locked_out_session_hears_of_another_login() -> None:
    told = Told()
    told.tell(StartSession(), read(UP), AccountsRead(accounts=(ACCOUNT,), paper=False))

    looked = told.tell(TimerFired(name="auth"))
    again = told.tell(read(UP))

    assert looked == (CallGateway(call=SessionCall.AUTH_STATUS),)
    assert calls(again) == [SessionCall.ACCOUNTS]


def test_an_unprimed_account_list_is_asked_for_slowly() -> None:
    told = Told()
    told.tell(StartSession(), read(UP))

    effects = told.tell(failed(SessionCall.ACCOUNTS, FailureKind.NOT_PRIMED))

    assert effects == (StartTimer(name="step", delay_ms=2_000),)
    assert told.session.epoch == 1


def test_a_stream_of_before_the_warm_up_is_not_its_stream() -> None:
    told = Told().ready()
    told.tell(TimerFired(name="poll"), failed(SessionCall.ORDERS, FailureKind.NOT_PRIMED))

    effects = told.tell(StreamReady())

    assert effects == ()
    assert told.session.state is SessionState.WARMING


def test_too_fast_a_pace_in_the_warm_up_is_said() -> None:
    told = Told()
    told.tell(*WARM_UP[:6])

    effects = told.tell(failed(SessionCall.TRADES, FailureKind.RATE_LIMITED))

    assert StartTimer(name="step", delay_ms=30_000) in effects
    assert told.session.state is SessionState.WARMING
    assert told.session.reason is not None
    assert told.session.reason.code == "RATE_LIMITED"


def test_too_fast_a_pace_stops_orders_and_waits() -> None:
    told = Told().ready()
    told.tell(TimerFired(name="poll"))

    slowed = told.tell(failed(SessionCall.ORDERS, FailureKind.RATE_LIMITED))
    back = told.tell(TimerFired(name="tickle"), read(UP, SessionCall.TICKLE))

    assert states(slowed) == [SessionState.DEGRADED]
    assert StartTimer(name="tickle", delay_ms=30_000) in slowed
    assert states(back) == [SessionState.RECONCILING]
