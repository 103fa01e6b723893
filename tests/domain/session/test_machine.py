"""The session machine: the order of its warm-up, its turns, and what makes it not ready."""

from dataclasses import replace

import pytest

from engine.domain.messages import (
    AccountsRead,
    AuthStreamed,
    CallGateway,
    CloseStream,
    DeliverNews,
    DeliverToRisk,
    FailureKind,
    GrantTurn,
    OpenStream,
    OrderChanged,
    OrdersRead,
    ParkOrder,
    ReadAccount,
    RefuseTurn,
    ReportAnomaly,
    RequestLookup,
    SessionCall,
    SessionChanged,
    StartSession,
    StartTimer,
    StreamLost,
    StreamReady,
    TimerFired,
    TradesRead,
)
from engine.domain.session import LOOKUP_HEALTHY_MS_MAX, SEND_WINDOW_MS, Effect
from engine.domain.values import AccountId, OrderId, Reason, SessionState
from tests.domain.risk.samples import view
from tests.domain.session.told import (
    ACCOUNT,
    CLOSED,
    FUNDS,
    LIST,
    NAME,
    ONE,
    OPENING,
    POSITIONS,
    PROFIT,
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
        SessionCall.POSITIONS,
        SessionCall.FUNDS,
        SessionCall.ORDERS,
        SessionCall.TRADES,
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


def test_an_init_that_does_not_last_is_made_again_more_slowly() -> None:
    told = Told()
    told.tell(StartSession(), read(CLOSED), read(OPENING, SessionCall.OPEN_BROKERAGE))

    waits = told.tell(TimerFired(name="auth"), read(CLOSED))
    again = told.tell(TimerFired(name="auth"), read(CLOSED))

    assert StartTimer(name="auth", delay_ms=1_000) in waits
    assert calls(waits) == [SessionCall.AUTH_STATUS]
    assert calls(again) == [SessionCall.AUTH_STATUS, SessionCall.OPEN_BROKERAGE]


def test_another_session_is_never_fought() -> None:
    told = Told()

    effects = told.tell(StartSession(), read(STOLEN), TimerFired(name="auth"), read(STOLEN))

    assert not any(isinstance(effect, CallGateway) and effect.compete for effect in effects)
    assert told.session.state is SessionState.COMPETING


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
    told.tell(*WARM_UP[:9])

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
        LIST,
        TRADES,
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
    assert calls(back) == [SessionCall.ORDERS, SessionCall.POSITIONS]


def test_one_failed_tickle_is_suspicious_and_three_are_down() -> None:
    told = Told().ready()

    once = told.tell(failed(SessionCall.TICKLE, FailureKind.UNREACHABLE))
    twice = told.tell(failed(SessionCall.TICKLE, FailureKind.UNREACHABLE))
    thrice = told.tell(failed(SessionCall.TICKLE, FailureKind.UNREACHABLE))

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


def test_a_streamed_loss_is_checked_at_once_and_ends_the_turns() -> None:
    told = Told().ready()

    effects = told.tell(AuthStreamed(authenticated=None, competing=True))
    refused = told.tell(ask_turn(ONE))

    assert calls(effects) == [SessionCall.AUTH_STATUS]
    assert told.session.reason is not None
    assert told.session.reason.code == "LOGIN_DOUBTED"
    assert [type(effect) for effect in refused] == [RefuseTurn]


def test_a_stream_that_finds_the_login_well_changes_nothing() -> None:
    told = Told().ready()

    assert told.tell(AuthStreamed(authenticated=True, competing=False)) == ()


def test_without_a_calendar_there_is_nothing_to_wait_for() -> None:
    assert Told().ready().tell(TimerFired(name="calendar")) == ()


def test_a_streamed_loss_that_was_none_is_over_once_all_is_read_again() -> None:
    told = Told().ready()
    told.tell(AuthStreamed(authenticated=False, competing=None))

    effects = told.tell(read(UP))
    told.tell(LIST, TRADES)

    assert calls(effects) == [SessionCall.ORDERS, SessionCall.POSITIONS]
    assert (told.session.state, told.session.epoch) == (SessionState.READY, 1)


def test_a_stream_that_does_not_open_leaves_the_polls() -> None:
    told = Told()
    told.tell(*WARM_UP[:6])

    waits = told.tell(WARM_UP[6])
    gone_on = told.tell(TimerFired(name="step"))
    polled = poll(told)
    opened = told.tell(StreamReady(), POSITIONS, LIST, TRADES, FUNDS)

    assert StartTimer(name="step", delay_ms=15_000) in waits
    assert states(gone_on) == [SessionState.DEGRADED]
    assert calls(polled) == [SessionCall.ORDERS, SessionCall.TRADES]
    assert states(opened) == [SessionState.RECONCILING, SessionState.READY]


def test_nothing_is_ready_while_a_keep_alive_is_missing() -> None:
    told = Told()
    told.tell(*WARM_UP[:8])

    told.tell(failed(SessionCall.TICKLE, FailureKind.TIMEOUT), *WARM_UP[8:])
    missing = told.session.state
    effects = told.tell(read(UP, SessionCall.TICKLE))

    assert missing is SessionState.RECONCILING
    assert states(effects) == [SessionState.READY]


def test_keep_alive_goes_on() -> None:
    told = Told().ready()

    sent = told.tell(TimerFired(name="tickle"))
    answered = told.tell(read(UP, SessionCall.TICKLE))

    assert sent[0] == CallGateway(call=SessionCall.TICKLE)
    assert StartTimer(name="tickle", delay_ms=60_000) in answered


# --- polls and lookups -------------------------------------------------------------------


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

    assert effects[-1] == StartTimer(name="poll", delay_ms=60_000)
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


def test_a_list_that_is_not_whole_is_no_time_spent_looking() -> None:
    told = Told().ready()
    told.tell(RequestLookup(order_id=ONE, session=NAME))
    partial = OrdersRead(rows=(), snapshot=True, forced=False, complete=False)

    effects: tuple[Effect, ...] = ()
    for _ in range(80):
        told.wait(5_000).tell(TimerFired(name="poll"))
        effects = (*effects, *told.tell(partial), *told.tell(TradesRead(executions=())))

    assert not any(isinstance(effect, ParkOrder) for effect in effects)


def test_account_figures_are_read_again_and_again() -> None:
    told = Told().ready()

    effects = told.tell(TimerFired(name="accounts"), PROFIT, TimerFired(name="accounts"), POSITIONS)

    assert calls(effects) == [SessionCall.PROFIT, SessionCall.POSITIONS]
    assert effects[-1] == StartTimer(name="accounts", delay_ms=7_500)


def test_a_failed_account_read_is_tried_again() -> None:
    told = Told().ready()
    told.tell(TimerFired(name="accounts"), PROFIT, TimerFired(name="accounts"))

    effects = told.tell(failed(SessionCall.POSITIONS, FailureKind.TIMEOUT))

    assert effects[-1] == StartTimer(name="accounts", delay_ms=7_500)
    told.tell(read(UP, SessionCall.TICKLE))
    assert calls(told.tell(TimerFired(name="accounts"))) == [SessionCall.FUNDS]


# --- what the review of the first version found -------------------------------------------


def test_an_answer_to_an_older_plan_does_not_end_a_step_of_the_new_one() -> None:
    told = Told().ready()
    told.tell(TimerFired(name="accounts"), TimerFired(name="poll"))
    told.tell(StreamLost(reason="cut"), StreamReady())

    late = told.tell(PROFIT, LIST)
    fresh = told.tell(LIST)

    assert calls(late) == []
    assert calls(fresh) == [SessionCall.TRADES]


def test_positions_of_before_a_reconciliation_do_not_end_it() -> None:
    told = Told()
    told.tell(*WARM_UP[:8])
    told.tell(StreamLost(reason="cut"), StreamReady(), LIST, TRADES)

    late = told.tell(POSITIONS)
    fresh = told.tell(POSITIONS)

    assert (calls(late), steps(late)) == ([], [])
    assert (calls(fresh), steps(fresh)) == ([SessionCall.FUNDS], ["orders"])


def test_accounts_of_a_login_that_is_gone_judge_nothing() -> None:
    told = Told()
    told.tell(StartSession(), read(UP), read(CLOSED, SessionCall.TICKLE))
    told.tell(read(UP, SessionCall.OPEN_BROKERAGE))

    late = told.tell(AccountsRead(accounts=(ACCOUNT,), paper=False))
    fresh = told.tell(AccountsRead(accounts=(ACCOUNT,), paper=True))

    assert late == ()
    assert calls(fresh) == [SessionCall.PORTFOLIO_ACCOUNTS]


def test_one_unreadable_account_does_not_hold_up_the_session() -> None:
    told = Told()
    told.tell(*WARM_UP[:8])

    first = told.tell(failed(SessionCall.POSITIONS, FailureKind.BAD_ANSWER))
    told.tell(TimerFired(name="accounts"), FUNDS)
    told.tell(failed(SessionCall.POSITIONS, FailureKind.BAD_ANSWER), TimerFired(name="accounts"))
    last = told.tell(failed(SessionCall.POSITIONS, FailureKind.BAD_ANSWER))
    told.tell(LIST, TRADES)

    assert StartTimer(name="accounts", delay_ms=2_000) in first
    assert calls(first) == [SessionCall.ORDERS], "the lists do not wait for it"
    assert last[0] == ReportAnomaly(
        machine="session",
        kind="account_unread",
        detail="positions of DU1234567: bad_answer",
    )
    assert told.session.state is SessionState.READY


def test_slow_positions_hold_up_the_lists_for_five_seconds_at_most() -> None:
    told = Told()
    waits = told.tell(*WARM_UP[:8])

    early = told.wait(4_999).tell(TimerFired(name="tea"))
    late = told.wait(1).tell(TimerFired(name="lists"))
    told.tell(LIST, TRADES)

    assert StartTimer(name="lists", delay_ms=5_000) in waits
    assert (calls(early), calls(late)) == ([], [SessionCall.ORDERS])
    assert told.session.state is SessionState.READY


def test_an_account_that_the_portfolio_does_not_know_is_no_lost_login() -> None:
    told = Told()
    told.tell(*WARM_UP[:8])

    effects = told.tell(failed(SessionCall.POSITIONS, FailureKind.UNAUTHORIZED))
    answered = told.tell(read(UP), TimerFired(name="accounts"))

    assert told.session.state is SessionState.RECONCILING
    assert calls(effects) == [SessionCall.AUTH_STATUS, SessionCall.ORDERS]
    assert calls(answered) == [SessionCall.FUNDS]


def test_a_lost_login_is_noticed_with_the_first_account_read_that_it_refuses() -> None:
    told = Told().ready()
    told.tell(TimerFired(name="accounts"))

    told.tell(failed(SessionCall.PROFIT, FailureKind.UNAUTHORIZED))
    told.tell(failed(SessionCall.AUTH_STATUS, FailureKind.UNAUTHORIZED))

    assert told.session.state is SessionState.LOGIN_REQUIRED


def test_an_account_whose_risk_lost_its_figures_is_read_first() -> None:
    told = Told().ready()

    effects = told.tell(ReadAccount(account=ACCOUNT), POSITIONS, TimerFired(name="accounts"), FUNDS)

    assert calls(effects) == [SessionCall.POSITIONS, SessionCall.FUNDS]
    assert told.tell(ReadAccount(account=AccountId("DU0"))) == ()


def test_a_session_that_is_not_warm_reads_no_account() -> None:
    told = Told().ready()
    told.tell(failed(SessionCall.ORDERS, FailureKind.NO_BRIDGE))

    effects = told.tell(ReadAccount(account=ACCOUNT), TimerFired(name="accounts"))

    assert effects == ()


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
    assert not told.session.ready
    assert states(back) == [SessionState.RECONCILING]


def test_too_fast_a_pace_while_reconciling_is_no_way_to_be_ready() -> None:
    told = Told()
    told.tell(*WARM_UP[:8])

    slowed = told.tell(failed(SessionCall.POSITIONS, FailureKind.RATE_LIMITED))
    later = told.wait(30_000).tell(TimerFired(name="accounts"), TimerFired(name="poll"))
    back = told.tell(TimerFired(name="tickle"), read(UP, SessionCall.TICKLE))

    assert states(slowed) == [SessionState.DEGRADED]
    assert (states(later), calls(later)) == ([], [SessionCall.POSITIONS, SessionCall.ORDERS])
    assert states(back) == [SessionState.RECONCILING]


# --- a session that is started again ------------------------------------------------------


def test_a_restarted_session_leaves_the_lane_to_the_conversation_on_the_wire() -> None:
    told = Told(epoch=4, in_turn=ONE).ready()

    waits = told.tell(ask_turn(TWO))
    freed = told.tell(end_turn(ONE))

    assert granted(waits) == []
    (grant,) = (effect for effect in freed if isinstance(effect, GrantTurn))
    assert (grant.granted.order_id, grant.granted.session_epoch) == (TWO, 5)


def test_a_restarted_session_goes_on_looking_and_polling() -> None:
    looking = Told(looking=(RequestLookup(order_id=ONE, session=NAME),)).ready()
    working = Told(working=(ONE,)).ready()

    found = poll(looking)

    assert found[-1] == StartTimer(name="poll", delay_ms=1_000)
    assert poll(working)[-1] == StartTimer(name="poll", delay_ms=10_000)


def test_a_failed_session_is_down_and_says_why() -> None:
    told = Told().ready()
    reason = Reason(code="ACTOR_FAILED", message="it broke")

    changed = told.session.fail(reason)

    assert changed == SessionChanged(
        session=NAME, state=SessionState.DOWN, ready=False, epoch=1, reason=reason
    )
    assert (told.session.state, told.session.reason) == (SessionState.DOWN, reason)


def test_a_working_order_is_polled_for_more_often() -> None:
    told = Told().ready()
    order = view(1, seq=1)

    effects = told.tell(OrderChanged(view=order))

    assert effects == (StartTimer(name="poll", delay_ms=10_000),)
