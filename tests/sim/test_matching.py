"""The order types, one quote at a time."""

from decimal import Decimal
from typing import Any

import pytest

from engine.sim.catalogue import catalogue
from engine.sim.market import Quote
from engine.sim.matching import (
    Waits,
    auction_price,
    follow,
    start_trailing,
    trade_price,
    triggers,
    waits_for,
)
from engine.sim.orders import Order
from engine.sim.tickets import Ticket

AAPL = next(row for row in catalogue() if row.conid == 265598)


def quote(bid: str, ask: str, last: str | None = None, volume: int = 100) -> Quote:
    return Quote(
        conid=AAPL.conid,
        bid=Decimal(bid),
        ask=Decimal(ask),
        bid_size=1,
        ask_size=1,
        last=None if last is None else Decimal(last),
        last_size=1,
        volume=volume,
        open=None,
        high=None,
        low=None,
        prior_close=Decimal(bid),
        updated_at_ms=0,
    )


def order(order_type: str, side: str = "BUY", **terms: Any) -> Order:
    numbers: dict[str, Any] = {
        name: Decimal(value) if name != "trailing_type" else value for name, value in terms.items()
    }
    return Order(
        order_id=1,
        ticket=Ticket(
            account="DU1",
            conid=AAPL.conid,
            order_type=order_type,
            side=side,
            quantity=Decimal(10),
            tif="DAY",
            **numbers,
        ),
        accepted_at_ms=0,
        updated_at_ms=0,
    )


def price(of: Order, at: Quote) -> str | None:
    found = trade_price(of, at, AAPL)
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("order_type", "tif", "waits"),
    [
        ("MKT", "DAY", Waits.NOTHING),
        ("LMT", "OPG", Waits.AN_AUCTION),
        ("MOC", "DAY", Waits.AN_AUCTION),
        ("LOC", "GTC", Waits.AN_AUCTION),
        ("TRAIL", "DAY", Waits.A_PRICE),
        ("LIT", "DAY", Waits.A_PRICE),
        ("REL", "DAY", Waits.NOTHING),
    ],
)
def test_what_an_order_waits_for_is_in_its_type_and_time_in_force(
    order_type: str, tif: str, waits: Waits
) -> None:
    ticket = Ticket(
        account="DU1",
        conid=1,
        order_type=order_type,
        side="BUY",
        quantity=Decimal(1),
        tif=tif,
    )

    assert waits_for(ticket) is waits


@pytest.mark.parametrize(
    ("order_type", "side", "last", "triggered"),
    [
        ("STP", "BUY", "100.00", True),
        ("STP", "BUY", "99.99", False),
        ("STP", "SELL", "100.00", True),
        ("STP", "SELL", "100.01", False),
        ("MIT", "BUY", "100.00", True),
        ("MIT", "BUY", "100.01", False),
        ("LIT", "SELL", "100.00", True),
        ("LIT", "SELL", "99.99", False),
    ],
)
def test_a_stop_waits_for_worse_and_an_if_touched_order_for_better(
    order_type: str, side: str, last: str, *, triggered: bool
) -> None:
    waiting = order(order_type, side, stop_price="100")

    assert triggers(waiting, quote("99.98", "100.02", last)) is triggered


def test_without_a_trade_nothing_triggers() -> None:
    assert not triggers(order("STP", stop_price="1"), quote("99", "100"))


def test_a_trailing_sale_follows_the_market_up_and_stays_when_it_falls() -> None:
    trailing = order("TRAIL", "SELL", trailing_type="amt", trailing_amount="1.50")

    start_trailing(trailing, quote("99", "101", "100"), AAPL)
    stops = [trailing.stop_price]
    for last in ("101", "100.20", "102.005", "100.49"):
        follow(trailing, quote("99", "101", last), AAPL)
        stops.append(trailing.stop_price)

    assert [str(stop) for stop in stops] == ["98.50", "99.50", "99.50", "100.50", "100.50"]
    assert triggers(trailing, quote("99", "101", "100.49"))


def test_a_trailing_purchase_follows_the_market_down_by_a_percentage() -> None:
    trailing = order("TRAIL", trailing_type="%", trailing_amount="1", stop_price="103")

    start_trailing(trailing, quote("99", "101", "100"), AAPL)
    first = trailing.stop_price
    follow(trailing, quote("99", "101", "95"), AAPL)

    assert (first, trailing.stop_price) == (Decimal("101.00"), Decimal("95.95"))


def test_the_limit_of_a_trailing_order_keeps_its_distance_to_the_stop() -> None:
    trailing = order(
        "TRAILLMT",
        "SELL",
        trailing_type="amt",
        trailing_amount="2",
        stop_price="98",
        limit_price="97.50",
    )

    start_trailing(trailing, quote("99", "101", "100"), AAPL)
    follow(trailing, quote("104", "106", "105"), AAPL)

    assert (trailing.stop_price, trailing.limit_price) == (Decimal(103), Decimal("102.50"))
    assert price(trailing, quote("102.40", "102.60")) is None
    assert price(trailing, quote("102.50", "102.60")) == "102.50"


@pytest.mark.parametrize(
    ("made", "traded_at"),
    [
        (order("MKT"), "100.05"),
        (order("MKT", "SELL"), "100.00"),
        (order("LMT", limit_price="100.04"), None),
        (order("LMT", limit_price="100.05"), "100.05"),
        (order("LIT", "SELL", limit_price="100.01", stop_price="1"), None),
        (order("MIT", "SELL", stop_price="1"), "100.00"),
        (order("MIDPRICE"), "100.02"),
        (order("MIDPRICE", "SELL"), "100.03"),
        (order("MIDPRICE", limit_price="100.02"), "100.02"),
        (order("MIDPRICE", limit_price="100.01"), None),
    ],
    ids=lambda value: value.ticket.order_type if isinstance(value, Order) else str(value),
)
def test_an_order_trades_at_its_touch_or_the_middle_when_its_limit_allows(
    made: Order, traded_at: str | None
) -> None:
    assert price(made, quote("100.00", "100.05")) == traded_at


def test_a_relative_order_rests_at_its_own_touch_until_others_come_to_it() -> None:
    pegged, capped = order("REL"), order("REL", limit_price="99.90")
    pegged.volume_seen = capped.volume_seen = 100

    assert price(pegged, quote("100.00", "100.05", "100.00", volume=100)) is None
    assert price(pegged, quote("100.00", "100.05", "100.05", volume=200)) is None
    assert price(pegged, quote("100.00", "100.05", "100.00", volume=200)) == "100.00"
    assert price(capped, quote("100.00", "100.05", "100.00", volume=200)) is None
    assert price(capped, quote("99.80", "99.85", "99.80", volume=200)) == "99.80"


def test_an_auction_has_one_price_for_both_sides() -> None:
    assert auction_price(quote("100.00", "100.05"), AAPL) == Decimal("100.02")
