from dataclasses import replace
from decimal import Decimal

import pytest

from engine.sim.catalogue import catalogue
from engine.sim.market import Market, Quote
from engine.sim.quote_fields import compact, field_texts

MARKET = Market(catalogue(), seed=1, interval_ms=(100, 500), now_ms=0)
AAPL = MARKET.instruments[265598]
QUIET = MARKET.quote(265598)
TRADED = Quote(
    conid=265598,
    bid=Decimal("189.5"),
    ask=Decimal("189.61"),
    bid_size=1300,
    ask_size=500,
    last=Decimal("189.6"),
    last_size=100,
    volume=5_660_173,
    open=Decimal(189),
    high=Decimal("191.05"),
    low=Decimal("188.4"),
    prior_close=Decimal("186.1"),
    updated_at_ms=7,
)


def test_values_are_texts_in_the_formats_of_the_broker() -> None:
    fields = ("31", "70", "71", "82", "83", "84", "85", "86", "87", "88", "7059", "7741", "7762")

    assert field_texts(fields, AAPL, TRADED) == {
        "31": "189.60",
        "70": "191.05",
        "71": "188.40",
        "82": "3.50",
        "83": "1.88%",
        "84": "189.50",
        "85": "500",
        "86": "189.61",
        "87": "5.66M",
        "88": "1,300",
        "7059": "100",
        "7741": "186.10",
        "7762": "5660173",
    }


def test_before_the_first_trade_the_last_price_is_the_marked_close() -> None:
    quote = replace(QUIET, prior_close=Decimal("189.25"))

    assert field_texts(("31", "70", "82", "7059", "7295"), AAPL, quote) == {"31": "C189.25"}


def test_a_field_nobody_knows_is_left_out() -> None:
    assert field_texts(("99999",), AAPL, TRADED) == {}


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (431, "431"), (812_999, "812K"), (1_000_000, "1.00M")]
)
def test_a_volume_is_shortened(count: int, text: str) -> None:
    assert compact(count) == text
