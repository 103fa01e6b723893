"""How an order is shown, and what a cash quantity makes of it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import ExecutionSeen, OrderRowSeen, ReportAnomaly, SubmitOrder
from engine.domain.values import (
    BrokerStatus,
    OrderState,
    OrderType,
    Source,
    Terms,
    Ticket,
    TrailingType,
)
from tests.domain.order.samples import (
    BODY,
    ORDER_ID,
    TICKET,
    Played,
    approve,
    fill,
    row,
)

TRAIL = replace(
    TICKET,
    type=OrderType.TRAILLMT,
    sec_type="FUT",
    outside_rth=True,
    stop_price=Decimal(99),
    trailing_type=TrailingType.PERCENT,
    trailing_amount=Decimal("1.5"),
)
CASH = replace(
    TICKET,
    type=OrderType.MKT,
    limit_price=None,
    quantity=Decimal(0),
    cash_quantity=Decimal(1_000),
)


def played(ticket: Ticket, quantity_max: str = "0") -> Played:
    approved = approve(ticket=ticket, quantity_max=quantity_max)
    return Played().work(SubmitOrder(approved=approved, body=BODY))


def filled(
    number: int, quantity: int, *, fee: str | None = None, revision: int = 1
) -> ExecutionSeen:
    execution = fill(number, quantity, fee=fee, revision=revision)
    return ExecutionSeen(order_id=ORDER_ID, execution=execution, source=Source.STREAM)


def seen(status: BrokerStatus, *, total: int | None = None) -> OrderRowSeen:
    return OrderRowSeen(order_id=ORDER_ID, row=row(status, filled=total), source=Source.STREAM)


def test_all_of_a_ticket_is_shown() -> None:
    view = played(TRAIL).order.view()

    assert (
        view.sec_type,
        view.outside_rth,
        view.limit_price,
        view.stop_price,
        view.trailing_type,
        view.trailing_amount,
        view.cap_price,
        view.cash_quantity,
        view.wanted,
    ) == (
        "FUT",
        True,
        Decimal(100),
        Decimal(99),
        TrailingType.PERCENT,
        Decimal("1.5"),
        None,
        None,
        None,
    )


def test_the_terms_in_force_are_the_tickets_at_first() -> None:
    assert played(TRAIL).order.terms == Terms(
        quantity=Decimal(10), limit_price=Decimal(100), stop_price=Decimal(99)
    )


@pytest.mark.parametrize("kind", [OrderType.STP, OrderType.TRAIL, OrderType.MIT, OrderType.MOC])
def test_what_waits_for_its_trigger_is_accepted_until_it_works(kind: OrderType) -> None:
    order = played(replace(TICKET, type=kind))
    rests = order.order.state

    order.tell(seen(BrokerStatus.SUBMITTED))

    assert (rests, order.order.state) == (OrderState.ACCEPTED, OrderState.WORKING)


def test_a_cash_quantity_is_filled_when_the_broker_says_so_and_all_was_seen() -> None:
    order = played(CASH, "11")
    states = []

    for message in (
        filled(1, 4),
        seen(BrokerStatus.FILLED, total=10),
        filled(2, 6),
        filled(2, 6, fee="1.0"),
    ):
        order.tell(message)
        states.append(order.order.state)

    assert states == [
        OrderState.PARTIALLY_FILLED,
        OrderState.PARTIALLY_FILLED,
        OrderState.FILLED,
        OrderState.FILLED,
    ]
    view = order.order.view()
    assert (view.cash_quantity, view.quantity_max, view.filled_quantity) == (
        Decimal(1_000),
        Decimal(11),
        Decimal(10),
    )


def test_a_filled_cash_quantity_whose_count_was_not_told_waits_for_it() -> None:
    order = played(CASH, "11")
    order.tell(filled(1, 10))

    order.tell(seen(BrokerStatus.FILLED))
    before = order.order.state
    order.tell(seen(BrokerStatus.FILLED, total=10))

    assert (before, order.order.state) == (OrderState.PARTIALLY_FILLED, OrderState.FILLED)


def test_more_units_than_a_cash_quantity_was_approved_for_are_booked_loudly() -> None:
    effects = played(CASH, "11").tell(filled(1, 12))

    assert [effect.kind for effect in effects if isinstance(effect, ReportAnomaly)] == ["overfill"]


def test_a_correction_of_a_filled_cash_quantity_reopens_it() -> None:
    order = played(CASH, "11")
    order.tell(filled(1, 10))
    order.tell(seen(BrokerStatus.FILLED, total=10))

    order.tell(filled(1, 4, revision=2))

    assert order.order.state is OrderState.PARTIALLY_FILLED


@pytest.mark.parametrize("reason", [None, "Expired"])
def test_what_the_broker_ends_itself_is_cancelled_or_rejected_never_guessed_expired(
    reason: str | None,
) -> None:
    order = played(TICKET)
    over = replace(row(BrokerStatus.CANCELLED), reason=reason)

    order.tell(OrderRowSeen(order_id=ORDER_ID, row=over, source=Source.STREAM))

    expected = OrderState.CANCELLED if reason is None else OrderState.REJECTED
    assert order.order.state is expected
