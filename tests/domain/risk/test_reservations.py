"""Reservations: who holds what, and whose fill it is."""

from dataclasses import replace
from decimal import Decimal

from engine.domain.risk.reservations import Reservations
from engine.domain.values import BrokerOrderId, ConId, OrderId, OrderState, Terms, Ticket
from tests.domain.risk.samples import BUY, CONID, execution, request, view

FIRST = OrderId("order-1")
THEIRS = BrokerOrderId("777")


def open_quantities(reservations: Reservations) -> dict[str, int]:
    return {order.order_id: int(order.open_quantity) for order in reservations.open}


def reserve(reservations: Reservations, ticket: Ticket = BUY, number: int = 1) -> None:
    message = request(number, ticket)
    reservations.reserve(
        ticket, message.order_id, message.coid, units=ticket.quantity, now_ns=message.now_ns
    )


def test_an_order_is_open_until_its_own_news_ends_it_and_its_fill_is_held() -> None:
    reservations = Reservations()
    reserve(reservations)
    found = [open_quantities(reservations)]

    done = view(1, seq=2, state=OrderState.CANCELLED, filled=4)
    news = [reservations.follow(done, held=False) for _ in range(2)]
    found.append(open_quantities(reservations))
    reservations.fill(execution("a.01", 4, number=1), Decimal(4))
    found.append(open_quantities(reservations))

    assert news == [True, False]
    assert found == [{FIRST: 10}, {FIRST: 4}, {}]


def test_a_correction_reopens_what_it_takes_back() -> None:
    reservations = Reservations()
    reserve(reservations)

    reservations.fill(execution("a.01", 10, number=1), Decimal(10))
    filled = open_quantities(reservations)
    reservations.fill(execution("a.02", 7, number=1), Decimal(-3))

    assert filled == {FIRST: 0}
    assert open_quantities(reservations) == {FIRST: 3}


def test_strange_fills_wait_for_the_order_of_their_name_only() -> None:
    reservations = Reservations()
    reserve(reservations)
    for name, broker_id in (("a.01", THEIRS), ("b.01", BrokerOrderId("9"))):
        strange = replace(execution(name, 4), broker_order_id=broker_id)
        reservations.fill(strange, Decimal(4))

    reservations.follow(replace(view(1, seq=2), broker_order_id=THEIRS), held=False)

    assert open_quantities(reservations) == {FIRST: 6}


def test_a_forgotten_order_reserves_nothing_and_owns_no_fill() -> None:
    reservations = Reservations()
    reserve(reservations)

    reservations.forget(FIRST)
    reservations.fill(execution("a.01", 4, number=1), Decimal(4))

    assert reservations.get(FIRST) is None
    assert open_quantities(reservations) == {}


def test_a_contract_is_called_what_an_order_called_it() -> None:
    reservations = Reservations()
    reserve(reservations, replace(BUY, symbol="XYZ"))

    assert reservations.symbol(CONID) == "XYZ"
    assert reservations.symbol(ConId(8314)) == ""


def test_a_change_reserves_the_larger_until_the_news_has_shown_it_come_and_go() -> None:
    reservations = Reservations()
    reserve(reservations)
    new = Terms(quantity=Decimal(15), limit_price=Decimal(100), stop_price=None)
    found = []

    reservations.change(FIRST, new, 0)
    for seq, wanted in enumerate((None, new, None), start=2):
        reservations.follow(replace(view(1, seq=seq), wanted=wanted), held=False)
        found.append((open_quantities(reservations)[FIRST], reservations.is_change_seen(FIRST)))

    assert found == [(15, False), (15, True), (10, False)]
    assert reservations.changing_since_ns(FIRST) is None
