"""`engine instruments`."""

import json
from typing import Any

import pytest

from tests.cli.bodies import INSTRUMENTS
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal

PATH = "/v1/instruments"
(AAPL,) = INSTRUMENTS["instruments"]
MONTH: dict[str, Any] = AAPL | {"conid": None, "sec_type": "OPT", "expiry": "202612"}


def test_one_contract_is_shown_with_its_rules(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", PATH, INSTRUMENTS)

    ended = terminal.types("instruments", "AAPL")

    assert api.requests[0].query == {"symbol": "AAPL"}
    assert [line[0] for line in ended.lines] == list(AAPL)
    for line in (
        ["increments", "0.0001 from 0, 0.01 from 1"],
        ["tifs", "DAY (outside RTH, too), IOC (only MKT LMT), GTC"],
        ["order_types", "MKT, LMT"],
        ["age_ms", "3 s"],
    ):
        assert line in ended.lines


def test_several_contracts_are_listed_and_the_rest_is_counted(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("GET", PATH, {"instruments": [AAPL, MONTH], "count": 90})

    ended = terminal.types("instruments", "AAPL", "--sec-type", "OPT")

    assert ended.lines == [
        [
            "conid", "symbol", "sec type", "expiry", "strike", "right", "exchange", "currency",
            "multiplier", "name",
        ],
        ["265598", "AAPL", "STK", "-", "-", "-", "NASDAQ", "USD", "1", "APPLE INC"],
        ["-", "AAPL", "OPT", "202612", "-", "-", "NASDAQ", "USD", "1", "APPLE INC"],
    ]  # fmt: skip
    assert ended.stderr == "90 contracts fit; say more of the one that is meant\n"


def test_a_single_step_is_listed_because_it_is_no_contract_yet(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("GET", PATH, {"instruments": [MONTH], "count": 1})

    ended = terminal.types("instruments", "AAPL", "--sec-type", "OPT")

    assert ended.lines[1][:4] == ["-", "AAPL", "OPT", "202612"]


def test_every_particular_is_asked_for(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", PATH, INSTRUMENTS)

    terminal.types(
        "instruments", "AAPL", "--sec-type", "OPT", "--exchange", "SMART", "--currency", "USD",
        "--expiry", "20261218", "--strike", "217.50", "--right", "C",
    )  # fmt: skip
    terminal.types("instruments", "--conid", "265598")

    assert [request.query for request in api.requests] == [
        {
            "symbol": "AAPL",
            "sec_type": "OPT",
            "exchange": "SMART",
            "currency": "USD",
            "expiry": "20261218",
            "strike": "217.50",
            "right": "C",
        },
        {"conid": "265598"},
    ]


def test_json_is_what_the_api_sent(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", PATH, INSTRUMENTS)

    ended = terminal.types("instruments", "AAPL", "--json")

    assert (ended.code, json.loads(ended.stdout), ended.stderr) == (0, INSTRUMENTS, "")


def test_a_contract_that_cannot_be_had_is_a_failure(api: FakeApi, terminal: Terminal) -> None:
    api.refuses("GET", PATH, 400, "SEC_TYPE_UNSUPPORTED", "BOND, supported are STK, OPT")

    ended = terminal.types("instruments", "T", "--sec-type", "BOND")

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == "engine: SEC_TYPE_UNSUPPORTED: BOND, supported are STK, OPT\n"


@pytest.mark.parametrize(
    "words",
    [(), ("AAPL", "--conid", "1"), ("--conid", "0"), ("--conid", "1", "--currency", "USD")],
)
def test_a_contract_is_named_once(words: tuple[str, ...], api: FakeApi, terminal: Terminal) -> None:
    ended = terminal.types("instruments", *words)

    assert (ended.code, api.requests) == (2, [])
