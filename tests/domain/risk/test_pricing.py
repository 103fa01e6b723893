"""Which price an order is taken at, and what it takes to have one."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.risk.pricing import Missing, Priced, has_rules, price_order, read_touch
from engine.domain.risk.verdict import Code
from engine.domain.values import Increment, Side
from tests.domain.risk.samples import BUY, INSTRUMENT, MARKET_BUY, QUOTE, limits

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
