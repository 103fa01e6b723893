"""Brackets, groups and the end of the day at the venue."""

from decimal import Decimal
from typing import Any

import pytest

from engine.sim.orders import Order
from engine.sim.tickets import Batch, Ticket
from engine.sim.venue import Venue
from tests.sim.test_venue import AAPL, ACCOUNT, venue

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def ticket(**changes: Any) -> Ticket:
    values: dict[str, Any] = {
        "account": ACCOUNT,
        "conid": AAPL,
        "order_type": "LMT",
        "side": "BUY",
        "quantity": Decimal(10),
        "tif": "DAY",
        "limit_price": Decimal(1),
    }
    return Ticket(**(values | changes))


def exits(coid: str) -> tuple[Ticket, Ticket]:
    """A profit far above the market and a stop far below it."""
    common: dict[str, Any] = {"side": "SELL", "parent_coid": coid, "tif": "GTC"}
    return (
        ticket(limit_price=Decimal(9000), **common),
        ticket(order_type="STP", limit_price=None, stop_price=Decimal("0.5"), **common),
    )


def bracket(place: Venue, **entry: Any) -> tuple[Order, Order, Order]:
    batch = Batch(tickets=(ticket(coid="b-1", **entry), *exits("b-1")))
    first, profit, stop = place.accept_all(batch, 0)
    return first, profit, stop


def lived(place: Venue, *orders: Order, until_ms: int = 1000) -> list[list[str]]:
    """The states of each order so far, once the venue has lived so long."""
    for now_ms in range(0, until_ms + 1, 10):
        place.advance(now_ms)
    news = place.take_news()
    return [
        [
            row.order.status.value
            for row in news
            if hasattr(row, "order") and row.order.order_id == order.order_id
        ]
        for order in orders
    ]


def move_market(place: Venue, price: str, now_ms: int) -> None:
    place.market.trade_at(AAPL, Decimal(price), now_ms)


def test_exits_know_their_entry_and_wait_for_it() -> None:
    place = venue()

    entry, profit, stop = bracket(place)
    states = lived(place, entry, profit, stop)

    assert [row.parent_id for row in (entry, profit, stop)] == [None, *[entry.order_id] * 2]
    assert [row.oca_group for row in (entry, profit, stop)] == [None, *[str(entry.order_id)] * 2]
    assert states[0][-1] == "Submitted"
    assert states[1:] == [["Inactive", "PreSubmitted"]] * 2


def test_a_marketable_exit_does_not_trade_before_its_entry() -> None:
    place = venue()
    entry, profit, _ = bracket(place)
    place.modify(profit.order_id, ticket(side="SELL", tif="GTC"), 0)

    lived(place, entry, profit)

    assert (profit.status.value, profit.filled_quantity) == ("PreSubmitted", Decimal(0))


def test_exits_work_once_the_entry_filled_and_one_cancels_the_other() -> None:
    place = venue()
    entry, profit, stop = bracket(place, order_type="MKT", limit_price=None)

    states = lived(place, entry, profit, stop)
    move_market(place, "9500", 1000)
    for now_ms in range(1000, 2000, 10):
        place.advance(now_ms)

    assert states[0][-1] == "Filled"
    assert states[1] == ["Inactive", "PreSubmitted", "Submitted"]
    assert states[2] == ["Inactive", "PreSubmitted"]
    assert (profit.status.value, stop.status.value) == ("Filled", "Cancelled")
    assert place.accounts[ACCOUNT].positions[AAPL].quantity == 0


def test_a_cancel_of_the_entry_cancels_its_exits() -> None:
    place = venue()
    entry, profit, stop = bracket(place)
    lived(place, entry)

    place.cancel(entry.order_id, 1000)
    place.advance(1100)

    assert [row.status.value for row in (entry, profit, stop)] == ["Cancelled"] * 3


def test_a_cancel_of_an_exit_leaves_the_others() -> None:
    place = venue()
    entry, profit, stop = bracket(place)
    lived(place, entry)

    place.cancel(profit.order_id, 1000)
    place.advance(1100)

    statuses = [row.status.value for row in (entry, profit, stop)]
    assert statuses == ["Submitted", "Cancelled", "PreSubmitted"]


def test_an_entry_that_was_not_transmitted_has_exits_that_were_not() -> None:
    place = venue()
    batch = Batch(tickets=(ticket(coid="b-1"), *exits("b-1")))

    orders = place.accept_all(batch, 0, rejected_because="no")
    lived(place)

    assert [(row.status.value, row.rejected) for row in orders] == [("Inactive", True)] * 3


def test_a_request_may_be_taken_in_part() -> None:
    place = venue()
    batch = Batch(tickets=(ticket(coid="b-1"), *exits("b-1")))

    orders = place.accept_all(batch, 0, without=(2,))

    assert [row.ticket.order_type for row in orders] == ["LMT", "LMT"]


def test_the_first_of_a_group_that_trades_cancels_the_others() -> None:
    place = venue()
    members = (
        ticket(coid="o-1", single_group=True),
        ticket(coid="o-2", single_group=True, order_type="MKT", limit_price=None),
        ticket(coid="o-3", single_group=True, limit_price=Decimal(2)),
    )

    orders = place.accept_all(Batch(tickets=members), 0)
    lived(place)

    assert {row.oca_group for row in orders} == {f"oco-{orders[0].order_id}"}
    assert [row.status.value for row in orders] == ["Cancelled", "Filled", "Cancelled"]
    assert [row.order_id for row in place.executions] == [orders[1].order_id] * len(
        place.executions
    )


@pytest.mark.parametrize(
    ("tif", "status"), [("DAY", "Cancelled"), ("OND", "Cancelled"), ("GTC", "Submitted")]
)
def test_the_day_ends_for_orders_of_the_day(tif: str, status: str) -> None:
    place = venue(day_ends_at_s=22 * 3600)
    order = place.accept(ticket(tif=tif, conid=AAPL), 0)

    lived(place)
    place.advance(22 * HOUR_MS - 1)
    before = order.status.value
    place.advance(22 * HOUR_MS)

    assert (before, order.status.value, order.reason) == ("Submitted", status, None)


def test_every_day_ends_once() -> None:
    place = venue(day_ends_at_s=22 * 3600)
    place.advance(22 * HOUR_MS)
    order = place.accept(ticket(), 22 * HOUR_MS)

    place.advance(23 * HOUR_MS)
    next_morning = order.working
    place.advance(22 * HOUR_MS + DAY_MS)

    assert (next_morning, order.status.value) == (True, "Cancelled")


def test_without_an_end_the_day_goes_on() -> None:
    place = venue()
    order = place.accept(ticket(), 0)

    place.advance(30 * DAY_MS)

    assert order.working


def test_an_unanswered_cancel_takes_effect_at_the_end_of_the_day() -> None:
    place = venue(day_ends_at_s=22 * 3600)
    order = place.accept(ticket(tif="GTC"), 0)
    lived(place)
    place.unanswered.add(order.order_id)

    place.cancel(order.order_id, 2000)
    place.advance(HOUR_MS)
    meanwhile = order.status.value
    place.advance(22 * HOUR_MS)

    assert (meanwhile, order.status.value) == ("PendingCancel", "Cancelled")


def test_an_order_may_fill_in_spite_of_its_cancel() -> None:
    place = venue()
    order = place.accept(ticket(), 0)
    lived(place)
    place.fills_after_cancel.add(order.order_id)

    place.cancel(order.order_id, 2000)
    place.advance(2100)

    assert (order.status.value, order.filled_quantity) == ("Filled", Decimal(10))
