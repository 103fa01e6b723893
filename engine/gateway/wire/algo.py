"""The broker's own algorithms, as it lists them for a contract.

Rule: the names that an order gives are the `id`s; the `name`s are for the eyes.
"""

from collections.abc import Mapping
from typing import Final

from engine.domain.ports import AlgoParameterRule, AlgoRule
from engine.domain.values import ParameterKind
from engine.gateway.wire.lenient import (
    BadAnswer,
    Row,
    as_row,
    as_rows,
    flag,
    need_identifier,
    sentence,
)

_KINDS: Final[Mapping[str, ParameterKind]] = {
    "string": ParameterKind.TEXT,
    "time": ParameterKind.TEXT,
    "boolean": ParameterKind.FLAG,
    "double": ParameterKind.NUMBER,
    "float": ParameterKind.NUMBER,
    "integer": ParameterKind.NUMBER,
    "int": ParameterKind.NUMBER,
    "long": ParameterKind.NUMBER,
    "bigdecimal": ParameterKind.NUMBER,
}
"""What the names of the broker's Java classes mean; a class that is not here is a text."""


def algos(document: object) -> tuple[AlgoRule, ...]:
    """Return the algorithms of a contract, in the broker's order.

    Raises `BadAnswer` when one cannot be read: by half of its parameters no order is judged.
    """
    row = as_row(document, "the algos")
    return tuple(map(_algo, as_rows(row.get("algos"), "algos")))


def _algo(row: Row) -> AlgoRule:
    name = need_identifier(row, "id")
    listed = row.get("parameters")
    try:
        rows = () if listed is None else as_rows(listed, "parameters")
        return AlgoRule(name=name, parameters=tuple(map(_parameter, rows)))
    except BadAnswer as error:
        message = f"algo {name}: {error}"
        raise BadAnswer(message) from error


def _parameter(row: Row) -> AlgoParameterRule:
    allowed = row.get("legalStrings")
    kind = sentence(row.get("valueClassName")).rpartition(".")[2].lower()
    return AlgoParameterRule(
        name=need_identifier(row, "id"),
        kind=_KINDS.get(kind, ParameterKind.TEXT),
        required=flag(row, "required") is True,
        values=tuple(filter(None, map(sentence, allowed))) if isinstance(allowed, list) else (),
    )
