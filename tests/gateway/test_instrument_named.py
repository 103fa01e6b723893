"""Whether a contract is the one that was asked for."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.domain.ports import AmbiguousSymbol, ContractQuery
from engine.domain.values import Instrument, Reason
from tests.gateway.raw_gateway import (
    Certificate,
    Script,
    by_path,
    http,
)
from tests.gateway.test_instrument import RULES, conids, look_up, stock


@pytest.fixture
def contract(data: Path) -> Any:
    return json.loads((data / "info_and_rules.json").read_text())


def test_a_contract_that_trades_in_another_currency_is_not_the_one_that_was_asked_for(
    certificate: Certificate, contract: Any, data: Path
) -> None:
    definition = {"secdef": [{"conid": 265598, "currency": "EUR"}]}
    script = by_path(
        {
            RULES: http(200, contract),
            "/trsrv/stocks": http(200, (data / "stocks.json").read_bytes()),
            "/trsrv/secdef": http(200, definition),
        }
    )

    found, _ = look_up(certificate, script, stock("AAPL", exchange="NASDAQ", currency="EUR"))

    assert found == Reason(
        code="INSTRUMENT_UNKNOWN",
        message="STK AAPL on NASDAQ in EUR: conid 265598 is traded in USD",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"strike": "190"}, "has the strike 190"),
        ({"right": "P"}, "has the right P"),
        ({"instrument_type": "STK"}, "is of type STK"),
        ({"symbol": "MSFT"}, "is called MSFT"),
        ({"maturity_date": "20240322"}, "expires on 20240322"),
    ],
)
def test_an_option_must_be_the_one_that_its_search_named(
    certificate: Certificate, data: Path, change: dict[str, object], words: str | None
) -> None:
    contract = json.loads((data / "info_and_rules_option.json").read_text())
    section = {"secType": "OPT", "months": "MAR24", "exchange": "SMART"}
    row = {"conid": 685302909, "maturityDate": "20240315", "strike": 187.5, "right": "C"}
    script = by_path(
        {
            "/iserver/secdef/search": http(
                200, [{"conid": "8314", "symbol": "IBM", "sections": [section]}]
            ),
            "/iserver/secdef/info": http(200, [row]),
            "/iserver/contract/685302909/info-and-rules": http(200, {**contract, **change}),
        }
    )
    query = ContractQuery(
        symbol="IBM", sec_type="OPT", expiry="20240315", strike=Decimal("187.5"), right="C"
    )

    found, _ = look_up(certificate, script, lambda it: it.find(query))

    if words is None:
        assert isinstance(found, Instrument)
        assert found.conid == 685302909
    else:
        assert found == Reason(
            code="INSTRUMENT_UNKNOWN",
            message=f"OPT IBM 20240315 strike 187.5 C: conid 685302909 {words}",
        )


OIL = {"symbol": "CL", "conid": 2, "expirationDate": 20270120, "ltd": 20270120}


OIL_CONTRACT = {
    "con_id": 2,
    "symbol": "CL",
    "instrument_type": "FUT",
    "exchange": "NYMEX",
    "valid_exchanges": "NYMEX",
    "multiplier": "1000",
    "maturity_date": "20270120",
}


def oil(contract: Any, **changes: object) -> Script:
    return by_path(
        {
            "/trsrv/futures": http(200, {"CL": [OIL]}),
            "/iserver/contract/2/info-and-rules": http(
                200, {**contract, **OIL_CONTRACT, **changes}
            ),
        }
    )


@pytest.mark.parametrize("expiry", [None, "202701"])
def test_a_future_without_its_day_is_the_clients_choice_even_if_it_is_alone(
    certificate: Certificate, contract: Any, expiry: str | None
) -> None:
    """Oil for January ends in December: what ends in January is for February."""
    query = stock("CL", sec_type="FUT", expiry=expiry)

    found, seen = look_up(certificate, oil(contract), query)

    assert isinstance(found, AmbiguousSymbol)
    assert found.count == 1
    assert [(one.conid, one.expiry) for one in found.candidates] == [(2, "20270120")]
    assert conids(seen) == ["/trsrv/futures"]


@pytest.mark.parametrize(
    ("changes", "exchange", "words"),
    [
        ({}, None, None),
        ({}, "NYMEX", None),
        ({"maturity_date": "20270119"}, None, None),
        ({"exchange": "QBALGO", "valid_exchanges": "QBALGO,NYMEX"}, "NYMEX", None),
        ({}, "ICE", "FUT CL 20270120 on ICE: conid 2 is traded at NYMEX"),
        ({"symbol": "MCL"}, None, "FUT CL 20270120: conid 2 is called MCL"),
        (
            {"maturity_date": "20270219"},
            None,
            "FUT CL 20270120: conid 2 expires on 20270219",
        ),
    ],
)
def test_a_future_must_be_the_one_that_its_list_named(
    certificate: Certificate,
    contract: Any,
    changes: dict[str, object],
    exchange: str | None,
    words: str | None,
) -> None:
    query = stock("CL", sec_type="FUT", expiry="20270120", exchange=exchange)

    found, _ = look_up(certificate, oil(contract, **changes), query)

    if words is None:
        assert isinstance(found, Instrument)
        assert found.conid == 2
    else:
        assert found == Reason(code="INSTRUMENT_UNKNOWN", message=words)


@pytest.mark.parametrize(
    ("symbol", "words"), [("EUR", None), ("GBP", "CASH EUR.USD: conid 111 is called GBP")]
)
def test_a_pair_must_begin_with_the_currency_that_was_asked_for(
    certificate: Certificate, contract: Any, symbol: str, words: str | None
) -> None:
    euro = {**contract, "con_id": 111, "symbol": symbol, "instrument_type": "CASH"}
    script = by_path(
        {
            "/iserver/currency/pairs": http(200, {"EUR": [{"symbol": "EUR.USD", "conid": 111}]}),
            "/iserver/contract/111/info-and-rules": http(200, euro),
        }
    )

    found, _ = look_up(certificate, script, stock("EUR.USD", sec_type="CASH"))

    if words is None:
        assert isinstance(found, Instrument)
    else:
        assert found == Reason(code="INSTRUMENT_UNKNOWN", message=words)


def test_an_option_without_a_right_is_the_clients_choice_even_if_it_is_alone(
    certificate: Certificate,
) -> None:
    section = {"secType": "OPT", "months": "MAR24", "exchange": "SMART"}
    row = {"conid": 685302909, "maturityDate": "20240315", "strike": 187.5, "right": "P"}
    script = by_path(
        {
            "/iserver/secdef/search": http(
                200, [{"conid": "8314", "symbol": "IBM", "sections": [section]}]
            ),
            "/iserver/secdef/info": http(200, [row]),
        }
    )

    found, _ = look_up(
        certificate,
        script,
        stock("IBM", sec_type="OPT", expiry="20240315", strike=Decimal("187.5")),
    )

    assert isinstance(found, AmbiguousSymbol)
    assert [(one.conid, one.right) for one in found.candidates] == [(685302909, "P")]


def test_a_currency_alone_is_no_pair_even_if_it_has_only_one(certificate: Certificate) -> None:
    script = by_path(
        {"/iserver/currency/pairs": http(200, {"EUR": [{"symbol": "EUR.USD", "conid": 111}]})}
    )

    found, seen = look_up(certificate, script, stock("EUR", sec_type="CASH"))

    assert isinstance(found, AmbiguousSymbol)
    assert [(one.conid, one.symbol) for one in found.candidates] == [(111, "EUR.USD")]
    assert conids(seen) == ["/iserver/currency/pairs"]
