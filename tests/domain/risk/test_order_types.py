"""Which types meet the market at once."""

from dataclasses import replace
from decimal import Decimal

from engine.domain.risk.order_types import meets_market_now
from engine.domain.values import OrderType, TimeInForce
from tests.domain.risk.samples import MARKET_BUY, TYPED


def test_what_has_no_price_of_its_own_meets_the_market_now() -> None:
    at_once = {kind for kind, ticket in TYPED.items() if meets_market_now(ticket)}

    assert at_once == {OrderType.MKT, OrderType.MIDPRICE, OrderType.REL}


def test_a_cap_or_a_later_auction_is_another_market() -> None:
    capped = replace(TYPED[OrderType.MIDPRICE], cap_price=Decimal(101))
    at_the_open = replace(MARKET_BUY, tif=TimeInForce.OPG)

    assert not meets_market_now(capped)
    assert not meets_market_now(at_the_open)
