"""Which price an order is taken at, and what it takes to have one."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.risk.pricing import (
    Missing,
    Priced,
    count_units,
    has_rules,
    price_order,
    read_touch,
)
from engine.domain.risk.verdict import Code
from engine.domain.values import Increment, OrderType, Side, Ticket, TrailingType
from tests.domain.risk.samples import (
    ANYTHING,
    BUY,
    CASH_BUY,
    INSTRUMENT,
    MARKET_BUY,
    QUOTE,
    TYPED,
    limits,
)

AGE = limits().price_max_age_ms


def test_a_buy_meets_the_ask_and_a_sell_the_bid() -> None:
    assert read_touch(QUOTE, 0, Side.BUY, AGE) == Decimal("100.02")
    assert read_touch(QUOTE, 0, Side.SELL, AGE) == Decimal("99.98")


@pytest.mark.parametrize("availability", ["DPB", "ZB", "Y", "N", "O"])
def test_a_quote_that_is_not_live_is_no_reference(availability: str) -> None:
    quote = replace(QUOTE, availability=availability)

    assert read_touch(quote, 0, Side.BUY, AGE) == Missing(
        code=Code.NO_REFERENCE_PRICE,
        needs="a real-time quote",
        figures={"availability": availability},
    )


@pytest.mark.parametrize("availability", ["RpB", "RB", "S", ""])
def test_other_quotes_are(availability: str) -> None:
    quote = replace(QUOTE, availability=availability)

    assert read_touch(quote, 0, Side.BUY, AGE) == Decimal("100.02")


@pytest.mark.parametrize("ask", [None, Decimal(0), Decimal(-1), Decimal("NaN")])
def test_a_side_that_nobody_quotes_has_no_touch(ask: Decimal | None) -> None:
    touch = read_touch(replace(QUOTE, ask=ask), 0, Side.BUY, AGE)

    assert isinstance(touch, Missing)
    assert touch.code is Code.NO_REFERENCE_PRICE


def test_an_order_is_priced_at_the_worse_of_limit_and_touch() -> None:
    touch = Decimal(101)

    def priced(limit_price: int | None) -> Priced | Missing:
        price = None if limit_price is None else Decimal(limit_price)
        ticket = replace(BUY, limit_price=price)
        return price_order(ticket, INSTRUMENT, touch, currency="USD", reducing=False)

    assert priced(100) == Priced(price=touch, touch=touch, multiplier=Decimal(1))
    assert priced(102) == Priced(price=Decimal(102), touch=touch, multiplier=Decimal(1))
    assert priced(None) == Priced(price=touch, touch=touch, multiplier=Decimal(1))


def test_only_a_reducing_limit_order_does_without_a_touch() -> None:
    missing = read_touch(None, None, Side.BUY, AGE)
    assert isinstance(missing, Missing)

    increasing = price_order(BUY, INSTRUMENT, missing, currency="USD", reducing=False)
    reducing = price_order(BUY, INSTRUMENT, missing, currency="USD", reducing=True)
    market = price_order(MARKET_BUY, INSTRUMENT, missing, currency="USD", reducing=True)

    assert increasing == missing
    assert market == missing
    assert reducing == Priced(price=Decimal(100), touch=Decimal(100), multiplier=Decimal(1))


def test_rules_need_positive_steps_and_finite_edges() -> None:
    step = Increment(lower_edge=Decimal("NaN"), increment=Decimal(1))

    assert has_rules(INSTRUMENT)
    assert not has_rules(replace(INSTRUMENT, increments=(step,)))
    assert not has_rules(replace(INSTRUMENT, size_increment=Decimal("Infinity")))


def priced(ticket: Ticket, touch: int = 100) -> Decimal:
    found = price_order(ticket, ANYTHING, Decimal(touch), currency="USD", reducing=False)
    assert isinstance(found, Priced)
    return found.price


@pytest.mark.parametrize(
    ("kind", "prices", "expected"),
    [
        (OrderType.STP, {"stop_price": 103}, 103),
        (OrderType.STP, {"stop_price": 97}, 100),
        (OrderType.STOP_LIMIT, {"stop_price": 103, "limit_price": 104}, 104),
        (OrderType.STOP_LIMIT, {"stop_price": 105, "limit_price": 104}, 105),
        (OrderType.TRAIL, {"stop_price": 103, "trailing_amount": 2}, 103),
        (OrderType.TRAIL, {"stop_price": None, "trailing_amount": 5}, 105),
        (OrderType.TRAILLMT, {"stop_price": 102, "limit_price": 108, "trailing_amount": 2}, 108),
        (OrderType.MIDPRICE, {"cap_price": None}, 100),
        (OrderType.MIDPRICE, {"cap_price": 104}, 104),
        (OrderType.REL, {"cap_price": 104}, 104),
        (OrderType.MOC, {}, 100),
        (OrderType.LOC, {"limit_price": 104}, 104),
        (OrderType.MIT, {"stop_price": 96}, 100),
        (OrderType.LIT, {"stop_price": 96, "limit_price": 101}, 101),
    ],
)
def test_no_type_is_exempt_from_its_worst_price(
    kind: OrderType, prices: dict[str, int | None], expected: int
) -> None:
    own = {name: None if price is None else Decimal(price) for name, price in prices.items()}
    ticket = replace(TYPED[kind], **own)  # type: ignore[arg-type] # prices only

    assert priced(ticket) == expected


def test_a_trail_in_percent_begins_so_far_above_the_touch() -> None:
    ticket = replace(
        TYPED[OrderType.TRAIL],
        stop_price=None,
        trailing_type=TrailingType.PERCENT,
        trailing_amount=Decimal(4),
    )

    assert priced(ticket, 200) == 208
    assert priced(replace(ticket, side=Side.SELL), 200) == 200


@pytest.mark.parametrize(
    ("limit", "bid", "expected"),
    [
        (None, "100", "10.1011"),  # 1,000 / 99 = 10.10101…
        ("50", "100", "20.2021"),  # 1,000 / 49.5 = 20.20202…
        ("200", "100", "10.1011"),
    ],
)
def test_a_cash_quantity_counts_at_the_lowest_price_rounded_up(
    limit: str | None, bid: str, expected: str
) -> None:
    ticket = replace(CASH_BUY, limit_price=None if limit is None else Decimal(limit))

    assert count_units(ticket, ANYTHING, Decimal(bid)) == Decimal(expected)


def test_a_cash_quantity_counts_contracts_by_their_multiplier() -> None:
    contract = replace(ANYTHING, multiplier=Decimal(100), size_increment=Decimal(1))

    assert count_units(CASH_BUY, contract, Decimal(5)) == 3  # 1,000 / 495
    assert count_units(BUY, contract, Decimal(5)) == 10


def test_a_cash_quantity_without_rules_or_bid_cannot_be_counted() -> None:
    missing = read_touch(None, None, Side.SELL, AGE)
    assert isinstance(missing, Missing)

    assert count_units(CASH_BUY, ANYTHING, missing) == missing
    assert isinstance(count_units(CASH_BUY, None, Decimal(1)), Missing)
