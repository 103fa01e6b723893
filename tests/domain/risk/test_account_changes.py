"""New terms of a working order: what is checked, what is reserved, and until when."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import ChangeAnswer, OrderChanged, RequestChange, RequestVerdict
from engine.domain.risk import AccountRisk, Code, ObserveChecks, StartDenied, StartOrder
from engine.domain.risk.approvals import CHANGE_LOST_NS
from engine.domain.values import (
    ApprovedChange,
    Confidence,
    OrderId,
    OrderState,
    OrderType,
    Pending,
    Reason,
    Side,
    Terms,
    Ticket,
    TradingState,
)
from engine.domain.views import OrderView
from tests.domain.risk.samples import (
    ACCOUNT,
    ANYTHING,
    BUY,
    CASH_BUY,
    CONID,
    MINE,
    NOW_NS,
    QUOTE,
    READY,
    SELL,
    SESSION,
    TYPED,
    filled,
    halt,
    limits,
    position,
    read,
    ready_risk,
    request,
    view,
)
from tests.domain.risk.samples import refusal as denial

TIGHT = limits({"position.max_qty": 20, "position.max_notional.abs": 10**9})


def terms(quantity: int, limit: int | None = 100, stop: int | None = None) -> Terms:
    return Terms(
        quantity=Decimal(quantity),
        limit_price=None if limit is None else Decimal(limit),
        stop_price=None if stop is None else Decimal(stop),
    )


def change(
    new: Terms, shown: OrderView, ticket: Ticket = BUY, *, later_ns: int = 0
) -> RequestChange:
    return RequestChange(
        view=shown,
        ticket=ticket,
        terms=new,
        by="ops",
        instrument=ANYTHING,
        quote=replace(QUOTE, received_ns=NOW_NS + later_ns),
        now_ns=NOW_NS + later_ns,
    )


def working(risk: AccountRisk, ticket: Ticket = BUY, *, number: int = 1) -> OrderView:
    """Let an order be approved and work."""
    answer, _ = risk.request(replace(request(number, ticket), instrument=ANYTHING))
    assert answer.verdict is RequestVerdict.APPROVED
    shown = view(number, ticket, seq=10 * number)
    risk.handle(OrderChanged(view=shown))
    return shown


def refusal(risk: AccountRisk, message: RequestChange) -> str | None:
    answer, _ = risk.change(message)
    return None if answer.refused is None else answer.refused.code


def told(risk: AccountRisk, shown: OrderView, seq: int, **changes: object) -> None:
    risk.handle(OrderChanged(view=replace(shown, seq=seq, **changes)))  # type: ignore[arg-type] # fields of a view


def test_a_change_is_approved_and_the_larger_is_reserved() -> None:
    risk = ready_risk()
    shown = working(risk)

    answer, effects = risk.change(change(terms(15, 101), shown))

    assert answer == ChangeAnswer(
        refused=None,
        change=ApprovedChange(
            order_id=OrderId("order-1"),
            terms=terms(15, 101),
            policy_hash=risk.limits.policy_hash,
            by="ops",
        ),
    )
    assert [type(effect) for effect in effects] == [ObserveChecks]
    assert risk.exposure(CONID).working_buy == 15


def test_a_smaller_quantity_keeps_the_larger_reserved_until_it_is_settled() -> None:
    risk = ready_risk()
    shown = working(risk)
    found = []

    risk.change(change(terms(4), shown))
    found.append(risk.exposure(CONID).working_buy)
    told(risk, shown, 20, wanted=terms(4), pending=Pending.REPLACE)
    found.append(risk.exposure(CONID).working_buy)
    told(risk, shown, 30, quantity=Decimal(4))
    found.append(risk.exposure(CONID).working_buy)

    assert found == [10, 10, 4]


def test_news_that_knows_nothing_of_the_change_releases_nothing() -> None:
    risk = ready_risk()
    shown = working(risk)
    risk.change(change(terms(15), shown))

    told(risk, shown, 20, state=OrderState.PARTIALLY_FILLED, filled_quantity=Decimal(1))

    assert risk.exposure(CONID).working_buy == 15


def test_a_change_that_was_refused_releases_what_it_had_reserved() -> None:
    risk = ready_risk()
    shown = working(risk)
    risk.change(change(terms(15), shown))

    told(risk, shown, 20, wanted=terms(15), pending=Pending.REPLACE)
    told(risk, shown, 30)

    assert risk.exposure(CONID).working_buy == 10


def test_an_end_releases_a_change_with_the_order() -> None:
    risk = ready_risk()
    shown = working(risk)
    risk.change(change(terms(15), shown))

    told(risk, shown, 20, state=OrderState.CANCELLED)

    assert risk.exposure(CONID).working_buy == 0


def test_a_restart_reserves_the_larger_again() -> None:
    shown = replace(
        view(1, BUY, seq=20),
        wanted=terms(15),
        pending=Pending.REPLACE,
        confidence=Confidence.UNCONFIRMED,
    )
    risk = AccountRisk(ACCOUNT, SESSION, limits())
    risk.handle(OrderChanged(view=shown))
    risk.handle(READY)
    risk.handle(read())
    before = risk.exposure(CONID).working_buy

    told(risk, shown, 30, wanted=None, pending=Pending.NONE)

    assert before == 15
    assert risk.exposure(CONID).working_buy == 10


@pytest.mark.parametrize(("quantity", "expected"), [(20, None), (21, Code.POSITION_LIMIT)])
def test_the_orders_own_reservation_is_taken_out(quantity: int, expected: Code | None) -> None:
    risk = ready_risk(within=TIGHT)
    shown = working(risk)

    assert refusal(risk, change(terms(quantity), shown)) == expected


def test_what_has_filled_already_counts_once() -> None:
    risk = ready_risk(within=TIGHT)
    shown = working(risk)
    risk.handle(filled("a.01", 4, number=1, second=1))

    assert refusal(risk, change(terms(21), shown)) == Code.POSITION_LIMIT
    assert refusal(risk, change(terms(20), shown)) is None
    assert risk.exposure(CONID).working_buy == 16


def test_other_orders_leave_a_change_less_room() -> None:
    risk = ready_risk(within=TIGHT)
    shown = working(risk)
    working(risk, number=2)

    assert refusal(risk, change(terms(11), shown)) == Code.POSITION_LIMIT
    assert refusal(risk, change(terms(9), shown)) is None


def test_two_changes_never_share_room() -> None:
    risk = ready_risk(within=TIGHT)
    first, second = working(risk), working(risk, replace(BUY, quantity=Decimal(5)), number=2)

    assert refusal(risk, change(terms(15), first)) is None
    assert refusal(risk, change(terms(6), second)) == Code.POSITION_LIMIT


def test_a_quantity_that_has_filled_already_is_no_new_quantity() -> None:
    risk = ready_risk()
    shown = working(risk)
    risk.handle(filled("a.01", 4, number=1, second=1))

    assert refusal(risk, change(terms(4), shown)) == Code.QTY_BELOW_FILLED


def test_the_new_prices_are_checked_as_those_of_a_new_order() -> None:
    risk = ready_risk()
    shown = working(risk)
    off_tick = replace(terms(10), limit_price=Decimal("100.001"))

    assert refusal(risk, change(off_tick, shown)) == Code.PRICE_INVALID_TICK
    assert refusal(risk, change(terms(10, None), shown)) == Code.PRICE_NOT_POSITIVE
    assert refusal(risk, change(terms(10, 100, 90), shown)) == Code.PRICE_UNEXPECTED
    assert refusal(risk, change(terms(10, 6_000), shown)) == Code.NOTIONAL_EXCEEDS_MAX
    assert refusal(risk, change(terms(1_001), shown)) == Code.QTY_EXCEEDS_MAX


def test_a_stop_can_be_moved() -> None:
    risk = ready_risk()
    stop = TYPED[OrderType.STP]
    shown = replace(working(risk, stop), stop_price=Decimal(100))

    assert refusal(risk, change(terms(10, None, 110), shown, stop)) is None


@pytest.mark.parametrize("level", [TradingState.CANCEL_ONLY, TradingState.HALT])
def test_a_halt_refuses_every_change(level: TradingState) -> None:
    risk = ready_risk()
    shown = working(risk)
    risk.handle(halt(MINE, level))

    assert refusal(risk, change(terms(5), shown)) == Code.TRADING_HALTED


def test_reduce_only_refuses_growth_and_nothing_else() -> None:
    risk = ready_risk()
    shown = working(risk)
    risk.handle(halt(MINE, TradingState.REDUCE_ONLY))

    assert refusal(risk, change(terms(11), shown)) == Code.TRADING_REDUCE_ONLY
    assert refusal(risk, change(terms(10, 101), shown)) is None


def test_reduce_only_lets_an_order_grow_that_only_reduces() -> None:
    risk = ready_risk(position(20))
    shown = working(risk, SELL)
    risk.handle(halt(MINE, TradingState.REDUCE_ONLY))

    assert refusal(risk, change(terms(21), shown, SELL)) == Code.TRADING_REDUCE_ONLY
    assert refusal(risk, change(terms(20), shown, SELL)) is None


def test_a_change_that_makes_nothing_larger_needs_no_quote_and_no_room() -> None:
    risk = ready_risk()
    shown = working(risk)
    easing = replace(change(terms(9, 99), shown), quote=None, instrument=None)
    growing = replace(change(terms(9, 101), shown), quote=None)

    assert refusal(risk, growing) == Code.NO_REFERENCE_PRICE
    assert refusal(risk, easing) is None


def test_a_change_makes_no_order_more() -> None:
    risk = ready_risk(within=limits({"working.max_total": 1}))
    shown = working(risk)

    assert refusal(risk, change(terms(11), shown)) is None


def test_a_reducing_order_that_was_not_counted_is_when_it_grows_beyond() -> None:
    risk = ready_risk(position(10), within=limits({"working.max_total": 1}))
    sell = replace(BUY, side=Side.SELL)
    working(risk, BUY, number=2)
    shown = working(risk, sell, number=3)

    grown = refusal(risk, change(terms(30), shown, sell))
    moved = refusal(risk, change(terms(10, 101), shown, sell))

    assert (grown, moved) == (Code.MAX_OPEN_ORDERS, None)


@pytest.mark.parametrize("state", [OrderState.IN_DOUBT, OrderState.FILLED, OrderState.SUBMITTING])
def test_only_a_live_order_can_be_changed(state: OrderState) -> None:
    risk = ready_risk()
    shown = replace(working(risk), state=state)

    answer, effects = risk.change(change(terms(9), shown))

    assert effects == ()
    assert answer.refused == Reason(
        code="NOT_MODIFIABLE",
        message=f"order order-1 is {state}, only a live order can be modified",
    )


def test_an_order_that_risk_does_not_know_cannot_be_changed() -> None:
    assert refusal(ready_risk(), change(terms(9), view(7, seq=1))) == Code.NOT_MODIFIABLE


def test_one_change_at_a_time() -> None:
    risk = ready_risk()
    shown = working(risk)
    risk.change(change(terms(15), shown))
    found = [refusal(risk, change(terms(12), shown))]

    told(risk, shown, 20, wanted=terms(15), pending=Pending.REPLACE)
    late = change(terms(12), replace(shown, seq=20, wanted=terms(15)), later_ns=CHANGE_LOST_NS)
    found.append(refusal(risk, late))
    told(risk, shown, 30, quantity=Decimal(15))
    found.append(refusal(risk, change(terms(12), replace(shown, quantity=Decimal(15)))))

    assert found == [Code.REPLACE_PENDING, Code.REPLACE_PENDING, None]


def test_a_rebuilt_risk_lets_no_second_change_pass_beside_an_open_one() -> None:
    risk = ready_risk()
    shown = replace(view(1, BUY, seq=10), wanted=terms(15), pending=Pending.REPLACE)
    risk.handle(OrderChanged(view=shown))

    second = refusal(risk, change(terms(20), shown))

    assert second == Code.REPLACE_PENDING
    assert risk.exposure(CONID).working_buy == 15


def test_a_change_that_never_reached_its_order_blocks_no_other_and_stays_reserved() -> None:
    risk = ready_risk()
    shown = working(risk)
    risk.change(change(terms(15), shown))

    early = refusal(risk, change(terms(12), shown, later_ns=CHANGE_LOST_NS - 1))
    late = refusal(risk, change(terms(12), shown, later_ns=CHANGE_LOST_NS))
    found = [risk.exposure(CONID).working_buy]
    told(risk, shown, 20, wanted=terms(12), pending=Pending.REPLACE)
    found.append(risk.exposure(CONID).working_buy)
    told(risk, shown, 30, quantity=Decimal(12))
    found.append(risk.exposure(CONID).working_buy)

    assert (early, late) == (Code.REPLACE_PENDING, None)
    assert found == [15, 15, 12]


def test_a_cash_quantity_reserves_the_units_that_it_may_buy_at_the_lowest() -> None:
    risk = ready_risk()
    message = replace(request(1, CASH_BUY), instrument=ANYTHING)

    _, effects = risk.request(message)

    (started,) = (effect for effect in effects if isinstance(effect, StartOrder))
    units = Decimal("10.1031")  # 1,000 at 99.98 less 1 %, in steps of 0.0001
    assert started.approved.quantity_max == units
    assert risk.exposure(CONID).working_buy == units

    shown = replace(view(1, CASH_BUY, seq=5), cash_quantity=Decimal(1_000), quantity_max=units)
    risk.handle(OrderChanged(view=shown))
    assert risk.exposure(CONID).working_buy == units


def test_a_cash_quantity_is_bound_by_every_limit() -> None:
    message = replace(request(1, CASH_BUY), instrument=ANYTHING)

    def refused(name: str, value: int) -> str | None:
        return denial(ready_risk(within=limits({name: value})), message)

    assert refused("order.max_qty.STK", 10) == Code.QTY_EXCEEDS_MAX
    assert refused("order.max_notional.abs", 999) == Code.NOTIONAL_EXCEEDS_MAX
    assert refused("position.max_qty", 10) == Code.POSITION_LIMIT
    assert refused("position.max_notional.abs", 1_000) == Code.POSITION_LIMIT


def test_an_obstacle_is_the_reason_of_the_refusal_word_by_word() -> None:
    reason = Reason(code="SEC_TYPE_UNSUPPORTED", message="BOND cannot be traded here")
    risk = ready_risk(position(100))
    message = replace(request(1, SELL), instrument=None, obstacle=reason)

    _, effects = risk.request(message)

    assert [effect.denied.reason for effect in effects if isinstance(effect, StartDenied)] == [
        reason
    ]
