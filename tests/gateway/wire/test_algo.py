from typing import Any

import pytest

from engine.domain.ports import AlgoParameterRule, AlgoRule
from engine.domain.values import ParameterKind
from engine.gateway.wire.algo import algos
from engine.gateway.wire.lenient import BadAnswer

ADAPTIVE: dict[str, Any] = {
    "name": "Adaptive",
    "id": "Adaptive",
    "description": "Adaptive algo",
    "parameters": [
        {
            "guiRank": 1,
            "defaultValue": "Normal",
            "name": "Adaptive order priority/urgency",
            "id": "adaptivePriority",
            "legalStrings": ["Urgent", "Normal", "Patient"],
            "required": "true",
            "valueClassName": "String",
        }
    ],
}
ARRIVAL: dict[str, Any] = {
    "name": "Arrival Price",
    "id": "ArrivalPx",
    "parameters": [
        {"id": "maxPctVol", "required": True, "valueClassName": "Double", "maxValue": 50},
        {"id": "forceCompletion", "valueClassName": "Boolean", "defaultValue": False},
        {"id": "startTime", "valueClassName": "Time"},
        {"id": "waves", "valueClassName": "java.lang.Integer", "required": "false"},
        {"id": "odd", "valueClassName": "Colour"},
        {"id": "untyped", "legalStrings": None},
    ],
}
NUMBER, TEXT, FLAG = ParameterKind.NUMBER, ParameterKind.TEXT, ParameterKind.FLAG


def rule(name: str, kind: ParameterKind, *, required: bool = False) -> AlgoParameterRule:
    return AlgoParameterRule(name=name, kind=kind, required=required)


def test_algorithms_are_read_with_the_types_of_their_parameters() -> None:
    found = algos({"algos": [ADAPTIVE, ARRIVAL, {"id": "Twap", "name": "TWAP"}]})

    assert found == (
        AlgoRule(
            name="Adaptive",
            parameters=(
                AlgoParameterRule(
                    name="adaptivePriority",
                    kind=TEXT,
                    required=True,
                    values=("Urgent", "Normal", "Patient"),
                ),
            ),
        ),
        AlgoRule(
            name="ArrivalPx",
            parameters=(
                rule("maxPctVol", NUMBER, required=True),
                rule("forceCompletion", FLAG),
                rule("startTime", TEXT),
                rule("waves", NUMBER),
                rule("odd", TEXT),
                rule("untyped", TEXT),
            ),
        ),
        AlgoRule(name="Twap", parameters=()),
    )


def test_a_contract_may_have_no_algorithm() -> None:
    assert algos({"algos": []}) == ()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "the algos is list"),
        ({}, "algos is NoneType"),
        ({"algos": ["Vwap"]}, "algos\\[0\\] is str"),
        ({"algos": [{"name": "Vwap"}]}, "id missing"),
        ({"algos": [{"id": "Vwap", "parameters": {}}]}, "algo Vwap: parameters is dict"),
        ({"algos": [{"id": "Vwap", "parameters": [{"name": "x"}]}]}, "algo Vwap: id missing"),
    ],
)
def test_half_an_algorithm_is_none(document: object, words: str) -> None:
    with pytest.raises(BadAnswer, match=words):
        algos(document)
