"""The machine of one account's risk, message by message."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import (
    DenyOrder,
    OrderChanged,
    OrderForgotten,
    PositionFilled,
    ReportAnomaly,
    RequestAnswer,
    RequestVerdict,
    ResumeScope,
    StartTimer,
)
from engine.domain.risk import (
    AccountRisk,
    Code,
    Exposure,
    LimitsChanged,
    ObserveChecks,
    StartDenied,
    StartOrder,
)
from engine.domain.risk.exposure import Doubt
from engine.domain.values import (
    TERMINAL,
    ApprovedTicket,
    BrokerOrderId,
    OrderState,
    Scope,
    ScopeKind,
    SessionState,
    Side,
    Ticket,
    TradingState,
)
from tests.domain.risk.samples import (
    ACCOUNT,
    BUY,
    CONID,
    FIRM,
    MINE,
    MS,
    NOW_NS,
    QUOTE,
    READY,
    RECONCILED,
    SELL,
    SESSION,
    execution,
    filled,
    grouped_limits,
    halt,
    limits,
    position,
    read,
    ready_risk,
    refusal,
    request,
    told,
    view,
)


def test_an_approved_request_starts_an_order_and_reserves_all_of_it() -> None:
    risk = ready_risk()
    message = request(1)

    answer, effects = risk.request(message)

    assert answer == RequestAnswer(verdict=RequestVerdict.APPROVED, order_id=message.order_id)
    observe, start = effects
    assert isinstance(observe, ObserveChecks)
    assert observe.account == ACCOUNT
    assert all(verdict.passed for verdict in observe.verdicts)
    assert start == StartOrder(
        approved=ApprovedTicket(
            ticket=message.ticket,
            order_id=message.order_id,
            coid=message.coid,
            session=SESSION,
            questions=risk.limits.questions,
            policy_hash=risk.limits.policy_hash,
            request_sha256="digest",
        )
    )
    assert risk.exposure(CONID).working_buy == 10


def test_a_denied_request_starts_a_denied_order_and_reserves_nothing() -> None:
    risk = ready_risk()
    message = request(1, replace(BUY, quantity=Decimal(5_000)))

    answer, effects = risk.request(message)

    assert answer == RequestAnswer(verdict=RequestVerdict.DENIED, order_id=message.order_id)
    observe, start = effects
    assert isinstance(observe, ObserveChecks)
    reason = observe.verdicts[-1].reason
    assert reason is not None
    assert reason.code == Code.QTY_EXCEEDS_MAX
    assert start == StartDenied(
        denied=DenyOrder(
            order_id=message.order_id,
            ticket=message.ticket,
            reason=reason,
            request_sha256="digest",
        )
    )
    assert risk.exposure(CONID).working_buy == 0


@pytest.mark.parametrize("ticket", [BUY, replace(BUY, quantity=Decimal(5_000))])
def test_a_known_key_makes_no_second_order(ticket: Ticket) -> None:
    risk = ready_risk()
    first = request(1, ticket)
    risk.request(first)
    exposure = risk.exposure(CONID)
    again = replace(first, order_id=request(2).order_id, coid=request(2).coid)

    repeated = risk.request(again)
    conflict = risk.request(replace(again, request_sha256="another"))

    assert repeated == (
        RequestAnswer(verdict=RequestVerdict.REPEATED, order_id=first.order_id),
        (),
    )
    assert conflict == (
        RequestAnswer(verdict=RequestVerdict.CONFLICT, order_id=first.order_id),
        (),
    )
    assert risk.exposure(CONID) == exposure


def test_two_requests_in_a_row_do_not_pass_on_the_same_room() -> None:
    risk = ready_risk(within=limits({"position.max_qty": 15}))

    assert refusal(risk, request(1)) is None
    assert refusal(risk, request(2)) == Code.POSITION_LIMIT


def test_before_the_session_is_ready_nothing_passes() -> None:
    risk = AccountRisk(ACCOUNT, SESSION, limits())

    assert refusal(risk, request(1)) == Code.SESSION_NOT_READY
    risk.handle(READY)
    assert refusal(risk, request(2)) == Code.ACCOUNT_NOT_RECONCILED
    risk.handle(read())
    assert refusal(risk, request(3)) == Code.ACCOUNT_NOT_RECONCILED
    risk.handle(RECONCILED)
    assert refusal(risk, request(4)) is None
    risk.handle(replace(READY, ready=False, state=SessionState.DOWN))
    assert refusal(risk, request(5)) == Code.SESSION_NOT_READY


def test_the_age_of_a_quote_is_rounded_up() -> None:
    fresh = replace(request(1), now_ns=NOW_NS + 3_000 * MS)
    stale = replace(request(2), now_ns=NOW_NS + 3_000 * MS + 1)
    early = replace(request(3), quote=replace(QUOTE, received_ns=NOW_NS + 1))

    assert refusal(ready_risk(), fresh) is None
    assert refusal(ready_risk(), stale) == Code.STALE_PRICE
    assert refusal(ready_risk(), early) is None
    assert refusal(ready_risk(), replace(request(4), quote=None)) == Code.NO_REFERENCE_PRICE


@pytest.mark.parametrize("state", list(OrderState))
def test_an_order_keeps_what_may_still_fill_until_it_is_terminal(state: OrderState) -> None:
    risk = ready_risk()
    risk.request(request(1))

    risk.handle(filled("a", 4, number=1, second=10))
    risk.handle(OrderChanged(view=view(1, seq=2, state=state, filled=4)))

    exposure = risk.exposure(CONID)
    assert exposure.position == 4
    assert exposure.working_buy == (0 if state in TERMINAL else 6)
    assert exposure.orders_total == (0 if state in TERMINAL else 1)


def test_a_fill_is_counted_whichever_news_comes_first() -> None:
    news = OrderChanged(view=view(1, seq=2, state=OrderState.FILLED, filled=10))
    fill = filled("a", 10, number=1, second=10)

    def worst_case(messages: Iterable[OrderChanged | PositionFilled]) -> list[Decimal]:
        risk = ready_risk()
        risk.request(request(1))
        found = []
        for message in messages:
            risk.handle(message)
            found.append(risk.exposure(CONID).worst(Side.BUY, Decimal(0)))
        return found

    assert worst_case([news, fill, fill, news]) == [10, 10, 10, 10]
    assert worst_case([fill, news, news, fill]) == [10, 10, 10, 10]


def test_late_and_repeated_views_change_nothing() -> None:
    risk = ready_risk()
    risk.request(request(1))
    risk.handle(OrderChanged(view=view(1, seq=5, state=OrderState.CANCELLED)))

    effects = risk.handle(OrderChanged(view=view(1, seq=3, state=OrderState.WORKING)))
    risk.handle(OrderChanged(view=view(1, seq=5, state=OrderState.WORKING)))

    assert effects == ()
    assert risk.exposure(CONID).working_buy == 0


def test_new_evidence_reopens_a_terminal_order() -> None:
    risk = ready_risk()
    risk.request(request(1))
    risk.handle(OrderChanged(view=view(1, seq=5, state=OrderState.CANCELLED)))

    risk.handle(OrderChanged(view=view(1, seq=6, state=OrderState.WORKING)))

    assert risk.exposure(CONID).working_buy == 10


def test_orders_are_rebuilt_from_their_views() -> None:
    risk = AccountRisk(ACCOUNT, SESSION, limits())
    risk.handle(READY)
    risk.handle(OrderChanged(view=view(1, seq=4, state=OrderState.IN_DOUBT)))
    risk.handle(OrderChanged(view=view(2, seq=9, state=OrderState.FILLED, filled=10)))
    risk.handle(OrderChanged(view=view(3, seq=10, state=OrderState.DENIED)))
    risk.handle(read(position(10)))

    assert risk.exposure(CONID).working_buy == 10
    assert risk.exposure(CONID).orders_total == 1
    assert risk.request(request(1))[0].verdict is RequestVerdict.REPEATED
    assert risk.request(request(2, sha="another"))[0].verdict is RequestVerdict.CONFLICT
    assert risk.request(request(3))[0].verdict is RequestVerdict.REPEATED


def test_a_key_of_two_orders_is_an_anomaly_and_both_count() -> None:
    risk = ready_risk()
    risk.request(request(1))
    twin = replace(view(2, seq=3), client_order_id=view(1, seq=1).client_order_id)

    effects = risk.handle(OrderChanged(view=twin))
    repeated = risk.handle(OrderChanged(view=twin))

    assert effects == (
        ReportAnomaly(
            machine="risk",
            kind="key_used_twice",
            detail="order order-2 has the key 'key-1' of another order",
        ),
    )
    assert repeated == ()
    assert risk.exposure(CONID).working_buy == 20


def test_a_fill_finds_its_order_by_the_brokers_id_too() -> None:
    risk = ready_risk()
    risk.request(request(1))
    known = replace(view(1, seq=2), broker_order_id=BrokerOrderId("777"))
    risk.handle(OrderChanged(view=known))
    fill = replace(execution("a", 4), broker_order_id=BrokerOrderId("777"))

    risk.handle(told(fill, second=20))

    assert risk.exposure(CONID).position == 4
    assert risk.exposure(CONID).working_buy == 6


@pytest.mark.parametrize("ticket", [BUY, replace(BUY, quantity=Decimal(5_000))])
def test_a_request_whose_record_never_was_can_be_made_again(ticket: Ticket) -> None:
    risk = ready_risk()
    first, again = request(1, ticket), replace(request(2, ticket), ticket=request(1, ticket).ticket)
    verdict = risk.request(first)[0].verdict

    effects = [risk.handle(OrderForgotten(order_id=first.order_id)) for _ in range(2)]
    released = risk.exposure(CONID)
    answer, _ = risk.request(again)

    assert effects == [(), ()]
    assert released == Exposure(position=Decimal(0))
    assert answer == RequestAnswer(verdict=verdict, order_id=again.order_id)


@pytest.mark.parametrize(
    ("news", "has"),
    [
        (OrderChanged(view=view(1, seq=3, state=OrderState.SUBMITTING)), "record 3"),
        (OrderChanged(view=view(1, seq=3, state=OrderState.DENIED)), "record 3"),
        (filled("a", 4, number=1, second=20), "filled 4"),
    ],
)
def test_an_order_that_there_is_evidence_of_is_not_forgotten(
    news: OrderChanged | PositionFilled, has: str
) -> None:
    risk = ready_risk()
    risk.request(request(1))
    risk.handle(news)
    before = risk.exposure(CONID)

    effects = risk.handle(OrderForgotten(order_id=request(1).order_id))

    detail = f"order order-1 was to be forgotten, but the account has its {has}"
    assert effects == (ReportAnomaly(machine="risk", kind="forgotten_too_late", detail=detail),)
    assert risk.exposure(CONID) == before
    assert risk.request(request(1))[0].verdict is RequestVerdict.REPEATED


def test_a_fill_of_a_forgotten_order_moves_the_position_as_a_strangers_would() -> None:
    risk = ready_risk()
    risk.request(request(1))
    risk.handle(OrderForgotten(order_id=request(1).order_id))

    risk.handle(filled("a", 4, number=1, second=20))

    assert risk.exposure(CONID) == Exposure(position=Decimal(4))


def test_a_fill_of_somebody_elses_order_moves_the_position_only() -> None:
    risk = ready_risk()
    risk.request(request(1))

    strange = replace(execution("b", 3), broker_order_id=BrokerOrderId("9"))

    risk.handle(filled("a", 4, second=20))
    risk.handle(told(strange, second=21))

    assert risk.exposure(CONID).position == 7
    assert risk.exposure(CONID).working_buy == 10


def test_a_read_that_a_fill_came_close_to_is_skipped_and_the_next_is_not() -> None:
    risk = ready_risk(position(100))
    risk.handle(filled("a", 5, second=30))

    skipped = risk.handle(read(position(100), second=32))
    kept = risk.exposure(CONID).position
    taken = risk.handle(read(position(104), second=40))
    repeated = risk.handle(read(position(100), second=40))

    assert skipped == (
        ReportAnomaly(
            machine="risk",
            kind="positions_unsure",
            detail="a fill of DU1234567 came while its positions were read",
        ),
    )
    assert kept == 105
    (differs, again) = taken
    assert differs == ReportAnomaly(
        machine="risk",
        kind="position_differs",
        detail="account=DU1234567 conid=265598 expected=105 broker=104",
    )
    assert again == StartTimer(name="reconcile", delay_ms=5_100)
    assert repeated == ()
    assert risk.exposure(CONID) == Exposure(position=Decimal(104), doubt=Doubt(above=Decimal(1))), (
        "until it is known which of the two is right, both may be"
    )


@pytest.mark.parametrize(
    "scope",
    [
        FIRM,
        MINE,
        Scope(kind=ScopeKind.GROUP, key="desk"),
        Scope(kind=ScopeKind.STRATEGY, key="momentum"),
        Scope(kind=ScopeKind.INSTRUMENT, key="265598"),
    ],
)
def test_a_halt_of_any_scope_of_the_order_stops_it_until_it_is_resumed(scope: Scope) -> None:
    risk = ready_risk(within=grouped_limits("desk"))
    ticket = replace(BUY, strategy="momentum")
    resume = ResumeScope(scope=scope, reason="over", by="ops")

    assert refusal(risk, request(1, ticket)) is None
    assert risk.handle(halt(scope)) == ()
    assert refusal(risk, request(2, ticket)) == Code.TRADING_HALTED
    assert risk.handle(resume) == ()
    assert risk.handle(resume) == ()
    assert refusal(risk, request(3, ticket)) is None


@pytest.mark.parametrize(
    "scope",
    [
        Scope(kind=ScopeKind.ACCOUNT, key="DU7654321"),
        Scope(kind=ScopeKind.GROUP, key="other"),
        Scope(kind=ScopeKind.STRATEGY, key="momentum"),
        Scope(kind=ScopeKind.INSTRUMENT, key="8314"),
    ],
)
def test_a_halt_of_another_scope_does_not(scope: Scope) -> None:
    risk = ready_risk(within=grouped_limits("desk"))

    risk.handle(halt(scope))

    assert refusal(risk, request(1)) is None
    assert risk.trading_state is TradingState.NORMAL


def test_only_the_very_scope_of_a_halt_is_halted() -> None:
    risk = ready_risk()

    risk.handle(halt(FIRM))

    assert risk.is_halted(FIRM)
    assert not risk.is_halted(MINE)


def test_joining_a_halted_group_halts() -> None:
    risk = ready_risk()
    risk.handle(halt(Scope(kind=ScopeKind.GROUP, key="desk")))

    risk.handle(LimitsChanged(limits=grouped_limits("desk"), file_error=None))

    assert risk.trading_state is TradingState.HALT


def test_the_strictest_of_file_and_halts_wins() -> None:
    risk = ready_risk(within=limits({"trading_state": TradingState.CANCEL_ONLY}))
    states = [risk.trading_state]

    for message in (
        halt(MINE, TradingState.REDUCE_ONLY),
        halt(FIRM),
        ResumeScope(scope=FIRM, reason="over", by="ops"),
    ):
        risk.handle(message)
        states.append(risk.trading_state)

    cancel_only = TradingState.CANCEL_ONLY
    assert states == [cancel_only, cancel_only, TradingState.HALT, cancel_only]


def test_a_milder_halt_does_not_lift_a_stricter_one() -> None:
    risk = ready_risk()
    risk.handle(halt(MINE))

    risk.handle(halt(MINE, TradingState.REDUCE_ONLY))
    effects = risk.handle(halt(MINE, TradingState.NORMAL))

    assert effects == (
        ReportAnomaly(
            machine="risk",
            kind="halt_to_normal",
            detail="a halt of account:DU1234567 to normal, only a resume lifts one",
        ),
    )
    assert risk.trading_state is TradingState.HALT


def test_reduce_only_lets_a_position_be_closed() -> None:
    risk = ready_risk(position(10))
    risk.handle(halt(MINE, TradingState.REDUCE_ONLY))

    assert refusal(risk, request(1)) == Code.TRADING_REDUCE_ONLY
    assert refusal(risk, request(2, SELL)) is None
    assert refusal(risk, request(3, SELL)) == Code.TRADING_REDUCE_ONLY


def test_new_limits_hold_for_the_next_request() -> None:
    risk = ready_risk()
    tighter = limits({"order.max_qty.STK": 5})

    risk.handle(LimitsChanged(limits=tighter, file_error="risk.yaml:3:1: version: found nine"))

    assert refusal(risk, request(1)) == Code.QTY_EXCEEDS_MAX
    assert risk.limits is tighter
    assert risk.limits_view().file_error == "risk.yaml:3:1: version: found nine"
    assert risk.limits_view().policy_hash == tighter.policy_hash
