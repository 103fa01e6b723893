import pytest

from engine.sim.catalogue import catalogue
from engine.sim.instruments import Instrument
from engine.sim.trading_rules import RULE_WORDS, rules_for

BY_SYMBOL = {(row.symbol, row.sec_type): row for row in catalogue()}
AAPL, IBM = BY_SYMBOL["AAPL", "STK"], BY_SYMBOL["IBM", "STK"]
OPTION, FUTURE = BY_SYMBOL["AAPL", "OPT"], BY_SYMBOL["ES", "FUT"]
EURO, COIN, INDEX = BY_SYMBOL["EUR", "CASH"], BY_SYMBOL["BTC", "CRYPTO"], BY_SYMBOL["SPX", "IND"]


def refusal(instrument: Instrument, order_type: str, tif: str) -> str | None:
    return rules_for(instrument).refusal(order_type, tif, outside_rth=False)


@pytest.mark.parametrize("order_type", sorted(RULE_WORDS))
def test_a_stock_takes_every_type_for_a_day(order_type: str) -> None:
    assert refusal(AAPL, order_type, "DAY") is None


@pytest.mark.parametrize("order_type", sorted(RULE_WORDS))
def test_an_index_takes_none(order_type: str) -> None:
    assert refusal(INDEX, order_type, "DAY") == (
        f"Order type {order_type} is not supported for this contract."
    )


@pytest.mark.parametrize("instrument", [OPTION, FUTURE, EURO], ids=lambda row: row.sec_type)
def test_derivatives_and_pairs_take_no_auctions_and_no_pegs(instrument: Instrument) -> None:
    taken = {word for word in RULE_WORDS if refusal(instrument, word, "DAY") is None}

    assert taken == {"LMT", "MKT", "STP", "STOP_LIMIT", "MIT", "LIT", "TRAIL", "TRAILLMT"}


@pytest.mark.parametrize(
    ("instrument", "order_type", "tif", "text"),
    [
        (AAPL, "LMT", "OVT", None),
        (AAPL, "LMT", "OND", None),
        (AAPL, "MKT", "OVT", "Invalid time in force: OVT is for LIMIT only, "),
        (IBM, "LMT", "OVT", "Invalid time in force: OVT"),
        (IBM, "MKT", "OPG", None),
        (IBM, "STP", "OPG", "Invalid time in force: OPG is for LIMIT, MARKET only, "),
        (FUTURE, "LMT", "OPG", "Invalid time in force: OPG"),
        (COIN, "MKT", "IOC", None),
        (COIN, "LMT", "PAX", None),
        (COIN, "LMT", "DAY", "Invalid time in force: DAY"),
        (AAPL, "LMT", "PAX", "Invalid time in force: PAX"),
        (AAPL, "LMT", "GTD", "Invalid time in force: GTD needs a date"),
        (AAPL, "LMT", "day", "Invalid time in force: day"),
    ],
)
def test_a_time_in_force_is_taken_where_the_rules_name_it(
    instrument: Instrument, order_type: str, tif: str, text: str | None
) -> None:
    found = refusal(instrument, order_type, tif)

    assert found is None if text is None else found is not None and found.startswith(text)


def test_outside_regular_hours_only_some_types_are_taken() -> None:
    taken = {
        word
        for word in RULE_WORDS
        if rules_for(AAPL).refusal(word, "DAY", outside_rth=True) is None
    }

    assert taken == {"LMT", "STOP_LIMIT", "LIT", "TRAILLMT", "REL"}
