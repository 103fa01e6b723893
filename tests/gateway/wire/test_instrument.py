from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.domain.values import ConId, Increment, Instrument, OrderType, TifRule, TimeInForce
from engine.gateway.wire import instrument as wire
from engine.gateway.wire.lenient import BadAnswer, decode

AAPL = ConId(265598)
CALL = ConId(685302909)


@pytest.fixture
def contract(data: Path) -> Any:
    return decode((data / "info_and_rules.json").read_bytes())


@pytest.fixture
def option(data: Path) -> Any:
    return decode((data / "info_and_rules_option.json").read_bytes())


def test_a_contract_is_read_with_its_rules(contract: Any) -> None:
    read = wire.instrument(AAPL, contract)

    assert read == wire.ReadInstrument(
        instrument=Instrument(
            conid=AAPL,
            symbol="AAPL",
            sec_type="STK",
            currency="USD",
            exchange="SMART",
            name="APPLE INC",
            multiplier=Decimal(1),
            increments=(
                Increment(lower_edge=Decimal(0), increment=Decimal("0.0001")),
                Increment(lower_edge=Decimal(1), increment=Decimal("0.01")),
            ),
            size_increment=Decimal("0.0001"),
            order_types=(
                OrderType.MKT,
                OrderType.LMT,
                OrderType.STP,
                OrderType.STOP_LIMIT,
                OrderType.MIDPRICE,
            ),
            tradable=True,
            tifs=(
                TifRule(tif=TimeInForce.IOC, order_types=(OrderType.MKT, OrderType.LMT)),
                TifRule(tif=TimeInForce.GTC, outside_rth=True),
                TifRule(tif=TimeInForce.DAY, outside_rth=True),
            ),
            fraction_types=(OrderType.MKT, OrderType.LMT),
            trading_class="NMS",
            valid_exchanges=("SMART", "NASDAQ"),
        ),
        unknown=(),
    )


def test_an_option_is_read_with_its_terms(option: Any) -> None:
    found = wire.instrument(CALL, option).instrument

    assert (found.symbol, found.sec_type, found.multiplier) == ("IBM", "OPT", Decimal(100))
    assert (found.expiry, found.strike, found.right) == ("20240315", Decimal("187.5"), "C")
    assert (found.underlying_conid, found.trading_class) == (ConId(8314), "IBM")
    assert found.tifs == (
        TifRule(
            tif=TimeInForce.IOC,
            order_types=(OrderType.MKT, OrderType.LMT, OrderType.REL),
        ),
        TifRule(tif=TimeInForce.GTC, outside_rth=True),
        TifRule(tif=TimeInForce.GTD, outside_rth=True),
        TifRule(tif=TimeInForce.DAY, outside_rth=True),
    )
    assert (found.outside_rth_types, found.fraction_types, found.cash_types) == ((), (), ())
    assert (found.cash_increment, found.cash_currency) == (None, None)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"maturity_date": None, "expiry_full": "20261218"}, "20261218"),
        ({"maturity_date": 20261218}, "20261218"),
        ({"maturity_date": "202612", "expiry_full": None}, None),
        ({"maturity_date": {}, "expiry_full": "DEC26"}, None),
    ],
)
def test_an_expiry_is_a_day_or_none(
    contract: Any, change: dict[str, object], expected: str | None
) -> None:
    contract.update(change)

    assert wire.instrument(AAPL, contract).instrument.expiry == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [("C", "C"), ("PUT", "P"), ("call", "C"), ("?", None), (None, None), (1, None)],
)
def test_a_right_is_a_letter_or_none(written: object, expected: str | None) -> None:
    assert wire.right(written) == expected


def test_a_multiplier_counts(contract: Any) -> None:
    for written, multiplier in (("100", 100), (0, 1), (None, 1)):
        contract["multiplier"] = written

        assert wire.instrument(AAPL, contract).instrument.multiplier == multiplier


@pytest.mark.parametrize("change", [{"orderTypes": []}, {"orderTypes": None}, {"error": "closed"}])
def test_what_the_rules_do_not_allow_cannot_be_traded(
    contract: Any, change: dict[str, object]
) -> None:
    contract["rules"].update(change)

    assert not wire.instrument(AAPL, contract).instrument.tradable


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"con_id": 8314}, "con_id is 8314, asked was 265598"),
        ({"rules": None}, "rules is NoneType, expected an object"),
        ({"currency": None}, "currency missing"),
        ({"multiplier": -100}, "multiplier is -100, at least"),
        ({"multiplier": "Infinity"}, "multiplier is 'Infinity', expected a number"),
        ({"symbol": "X" * 65}, "symbol has 65 characters, at most 64"),
        ({"rules": {}}, "increment missing"),
    ],
)
def test_a_contract_that_could_not_be_checked_against_is_an_error(
    contract: Any, change: dict[str, object], words: str
) -> None:
    contract.update(change)

    with pytest.raises(BadAnswer, match=words):
        wire.instrument(AAPL, contract)


@pytest.mark.parametrize("kind", ["OPT", "FUT", "opt"])
@pytest.mark.parametrize("written", [None, "", 0, "N/A"])
def test_a_derivative_that_does_not_say_what_it_is_worth_is_an_error(
    option: Any, kind: str, written: object
) -> None:
    option.update(instrument_type=kind, multiplier=written)

    with pytest.raises(BadAnswer, match="multiplier"):
        wire.instrument(CALL, option)
