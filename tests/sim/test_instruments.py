from decimal import Decimal

import pytest

from engine.sim.catalogue import catalogue
from engine.sim.instruments import Instrument

BY_CONID = {row.conid: row for row in catalogue()}
CALL = next(row for row in catalogue() if row.sec_type == "OPT" and row.strike == 230)


@pytest.mark.parametrize(
    ("instrument", "month", "local_symbol", "terms"),
    [
        (BY_CONID[265598], None, "AAPL", None),
        (BY_CONID[515416632], "DEC26", "ESZ6", "DEC 18 '26"),
        (BY_CONID[12087792], None, "EUR.USD", None),
        (CALL, "NOV26", "AAPL  261120C00230000", "NOV 20 '26 230 Call"),
    ],
    ids=lambda value: getattr(value, "symbol", None),
)
def test_a_contract_says_its_month_and_its_names(
    instrument: Instrument, month: str | None, local_symbol: str, terms: str | None
) -> None:
    assert (instrument.month, instrument.local_symbol, instrument.terms) == (
        month,
        local_symbol,
        terms,
    )


def test_prices_are_written_with_the_digits_of_the_tick() -> None:
    assert BY_CONID[265598].price_text(Decimal(372)) == "372.00"
    assert BY_CONID[12087792].price_text(Decimal("1.085")) == "1.08500"


def test_the_increment_depends_on_the_price_where_there_are_bands() -> None:
    assert CALL.increment(Decimal("2.99")) == Decimal("0.01")
    assert CALL.increment(Decimal(3)) == Decimal("0.05")
    assert BY_CONID[515416632].increment(Decimal(3)) == Decimal("0.25")


def test_a_price_is_moved_onto_the_grid_up_or_down() -> None:
    assert CALL.on_tick(Decimal("3.07"), up=True) == Decimal("3.10")
    assert CALL.on_tick(Decimal("3.07"), up=False) == Decimal("3.05")
    assert CALL.on_tick(Decimal("1.07"), up=True) == Decimal("1.07")
