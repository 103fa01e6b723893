import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.domain.values import ConId, Increment, Instrument, OrderType
from engine.gateway.wire import instrument as wire
from engine.gateway.wire.instrument import StockListing
from engine.gateway.wire.lenient import BadAnswer, decode

AAPL = ConId(265598)


@pytest.fixture
def contract(data: Path) -> Any:
    return decode((data / "info_and_rules.json").read_bytes())


def test_a_contract_is_read_with_its_rules(contract: Any) -> None:
    assert wire.instrument(AAPL, contract) == Instrument(
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
        size_increment=Decimal(1),
        order_types=(OrderType.MKT, OrderType.LMT),
        tradable=True,
    )


def test_without_increment_rules_the_one_increment_counts(contract: Any) -> None:
    contract["rules"]["incrementRules"] = []

    found = wire.instrument(AAPL, contract)

    assert found.increments == (Increment(lower_edge=Decimal(0), increment=Decimal("0.01")),)


@pytest.mark.parametrize(
    ("step", "expected"), [(100, "1"), (1, "1"), ("0.0001", "0.0001"), (None, "1")]
)
def test_a_size_step_is_a_fraction_or_one(contract: Any, step: object, expected: str) -> None:
    contract["rules"]["sizeIncrement"] = step

    assert wire.instrument(AAPL, contract).size_increment == Decimal(expected)


def test_a_multiplier_counts(contract: Any) -> None:
    for written, multiplier in (("100", 100), (0, 1), (None, 1)):
        contract["multiplier"] = written

        assert wire.instrument(AAPL, contract).multiplier == multiplier


@pytest.mark.parametrize("change", [{"orderTypes": []}, {"orderTypes": None}, {"error": "closed"}])
def test_what_the_rules_do_not_allow_cannot_be_traded(
    contract: Any, change: dict[str, object]
) -> None:
    contract["rules"].update(change)

    assert not wire.instrument(AAPL, contract).tradable


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"con_id": 8314}, "con_id is 8314, asked was 265598"),
        ({"rules": None}, "rules is NoneType, expected an object"),
        ({"currency": None}, "currency missing"),
        ({"rules": {"incrementRules": [{"lowerEdge": 0, "increment": 0}]}}, "increment is 0,"),
        ({"rules": {"increment": "1e-9"}}, r"increment is 1E-9, at least 0\.00000001"),
        ({"rules": {"increment": "NaN"}}, "increment is 'NaN', expected a number"),
        ({"rules": {"increment": "0.01", "sizeIncrement": 0}}, "sizeIncrement is 0, at least"),
        ({"rules": {"increment": "0.01", "sizeIncrement": "1e-18"}}, "sizeIncrement is 1E-18, at"),
        ({"rules": {"increment": "0.01", "sizeIncrement": -1}}, "sizeIncrement is -1, at least"),
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


def test_a_symbol_lists_every_contract(data: Path) -> None:
    document = json.loads((data / "stocks.json").read_text())

    found = wire.listings("AAPL", document)

    assert [(listing.conid, listing.exchange, listing.is_us) for listing in found] == [
        (265598, "NASDAQ", True),
        (38708077, "MEXI", False),
        (493546048, "LSEETF", False),
    ]


@pytest.mark.parametrize("document", [{}, [], {"NOPE": []}])
def test_an_unknown_symbol_lists_nothing(document: object) -> None:
    assert wire.listings("NOPE", document) == ()


def test_a_candidate_cannot_be_traded_before_it_is_looked_up() -> None:
    listing = StockListing(
        conid=AAPL, symbol="AAPL", exchange="NASDAQ", name="APPLE INC", is_us=True
    )

    found = wire.candidate(listing)

    assert (found.conid, found.exchange, found.tradable) == (AAPL, "NASDAQ", False)
