from dataclasses import replace
from decimal import Decimal

import pytest

from engine.sim.catalogue import catalogue
from engine.sim.orders import Order, OrderStatus
from engine.sim.rows import amount, long_time, order_row, plain, row_delta, short_time
from engine.sim.tickets import Ticket

AAPL = next(row for row in catalogue() if row.symbol == "AAPL")
NOON_MS = 1_788_875_890_123
ORDER = Order(
    order_id=7,
    ticket=Ticket(
        account="DU1",
        conid=AAPL.conid,
        order_type="LMT",
        side="BUY",
        quantity=Decimal(100),
        tif="GTC",
        limit_price=Decimal(372),
        coid="c-1",
    ),
    accepted_at_ms=NOON_MS,
    updated_at_ms=NOON_MS,
    status=OrderStatus.SUBMITTED,
)


def test_a_working_row_has_texts_for_prices_and_floats_for_sizes() -> None:
    row = order_row(ORDER, AAPL)

    assert (row["price"], row["totalSize"], row["orderId"]) == ("372.00", 100.0, 7)
    assert row["orderDesc"] == "Buy 100 AAPL Limit 372.00, GTC"
    assert row["sizeAndFills"] == "0/100"
    assert (row["lastExecutionTime"], row["lastExecutionTime_r"]) == (
        "260908135810",
        1_788_875_890_000,
    )
    assert "avgPrice" not in row


def test_a_filled_row_says_bought_and_shows_the_size_alone() -> None:
    filled = replace(
        ORDER,
        status=OrderStatus.FILLED,
        filled_quantity=Decimal(100),
        average_price=Decimal("371.97"),
    )

    row = order_row(filled, AAPL)

    assert row["orderDesc"] == "Bought 100 AAPL Limit 372.00, GTC"
    assert (row["sizeAndFills"], row["remainingQuantity"]) == ("100", 0.0)
    assert row["avgPrice"] == "371.97"


def test_a_delta_has_the_ids_and_the_changes_only() -> None:
    before = order_row(ORDER, AAPL)
    partly = replace(ORDER, filled_quantity=Decimal(40), average_price=Decimal("371.95"))

    assert row_delta(before, order_row(partly, AAPL)) == {
        "acct": "DU1",
        "orderId": 7,
        "sizeAndFills": "40/60",
        "remainingQuantity": 60.0,
        "filledQuantity": 40.0,
        "avgPrice": "371.95",
    }
    assert row_delta(None, before) == before


@pytest.mark.parametrize(
    ("value", "text"), [("10", "10"), ("1E+2", "100"), ("1.50", "1.5"), ("0.00", "0")]
)
def test_a_plain_number_has_no_exponent_and_no_spare_zeros(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


def test_amounts_have_thousands_separators() -> None:
    assert amount(Decimal("1977.6")) == "1,977.60"
    assert amount(Decimal(20_000)) == "20,000"
    assert amount(Decimal("-1.4"), 0) == "-1"


def test_times_are_utc() -> None:
    assert short_time(NOON_MS) == "260908135810"
    assert long_time(NOON_MS) == "20260908-13:58:10"
