from decimal import Decimal
from typing import Any

import pytest

from engine.sim.algos import ALGOS, algo_refusal, algos_for
from engine.sim.catalogue import catalogue

INSTRUMENTS = {row.conid: row for row in catalogue()}
AAPL = INSTRUMENTS[265598]
ADAPTIVE_NOW = (
    "The parameter adaptivePriority of Adaptive is Now, needed is one of Urgent, Normal, Patient."
)


def refused(name: str, parameters: dict[str, Any], order_type: str = "LMT") -> str | None:
    return algo_refusal(name, parameters, order_type=order_type, instrument=AAPL)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Adaptive", {"adaptivePriority": "Urgent"}),
        ("Vwap", {"maxPctVol": Decimal("0.5"), "noTakeLiq": True}),
        ("Vwap", {"maxPctVol": "0.5", "noTakeLiq": "false"}),
        ("Twap", {"strategyType": "Marketable", "startTime": "20261130-14:30:00"}),
    ],
)
def test_an_algorithm_takes_its_parameters_also_as_texts(
    name: str, parameters: dict[str, Any]
) -> None:
    assert refused(name, parameters) is None


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("Best", {}, "The algorithm Best is not available for LMT orders of this contract."),
        ("Adaptive", {}, "The algorithm Adaptive needs the parameter adaptivePriority."),
        (
            "Adaptive",
            {"adaptivePriority": "Now"},
            ADAPTIVE_NOW,
        ),
        ("Adaptive", {"speed": 1}, "The algorithm Adaptive has no parameter speed."),
        (
            "Vwap",
            {"maxPctVol": 51},
            "The parameter maxPctVol of Vwap is 51, needed is a number from 0.01 to 50.",
        ),
        (
            "Vwap",
            {"maxPctVol": 1, "noTakeLiq": "maybe"},
            "The parameter noTakeLiq of Vwap is maybe, needed is true or false.",
        ),
    ],
)
def test_what_an_algorithm_does_not_take_is_said(
    name: str, parameters: dict[str, Any], said: str
) -> None:
    assert refused(name, parameters) == said


def test_only_limit_and_market_orders_have_an_algorithm() -> None:
    parameters = {"adaptivePriority": "Normal"}

    assert refused("Adaptive", parameters, "MKT") is None
    assert refused("Adaptive", parameters, "STP") is not None


def test_currencies_have_none_and_futures_have_one() -> None:
    kinds = {row.sec_type: row for row in INSTRUMENTS.values()}

    assert algos_for(kinds["CASH"]) == ()
    assert [row.name for row in algos_for(kinds["FUT"])] == ["Adaptive"]
    assert algos_for(AAPL) == ALGOS
