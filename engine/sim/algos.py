"""The broker's own algorithms: which a contract takes, and with which parameters.

Rule: what `algos` publishes and what an order is refused for are read from the same table.
An order with an algorithm trades here as one without; what is simulated is its ticket.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from engine.sim.instruments import Instrument

TEXT: Final = "String"
NUMBER: Final = "Double"
FLAG: Final = "Boolean"
TIME: Final = "Time"
_TIME_LENGTH_MAX: Final = 32
_ALGO_TYPES: Final = frozenset({"LMT", "MKT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of an algorithm; `texts` are the only values of a text that has some."""

    name: str
    title: str
    kind: str
    required: bool = False
    default: str | bool | None = None
    texts: tuple[str, ...] = ()
    least: Decimal | None = None
    most: Decimal | None = None

    def row(self, rank: int, *, described: bool) -> dict[str, Any]:
        """The parameter as the broker lists it: `required` is a text, and absent when not."""
        row: dict[str, Any] = {"guiRank": rank, "name": self.title, "id": self.name}
        if self.default is not None:
            row["defaultValue"] = self.default
        if self.texts:
            row["legalStrings"] = list(self.texts)
        if self.least is not None:
            row["minValue"] = self.least
        if self.most is not None:
            row["maxValue"] = self.most
        if described and self.least is not None:
            row["description"] = f"From {self.least} to {self.most}"
        if self.required:
            row["required"] = "true"
        return {**row, "valueClassName": self.kind}

    def refuses(self, value: Any) -> str | None:
        """What is wrong with a value, or None."""
        match self.kind:
            case "Boolean":
                fits = value in (True, False, "true", "false")
                return None if fits else "true or false"
            case "Double":
                number = _number(value)
                fits = number is not None and self._within(number)
                return None if fits else f"a number from {self.least} to {self.most}"
            case "Time":
                fits = isinstance(value, str) and 0 < len(value) <= _TIME_LENGTH_MAX
                return None if fits else "a time such as 20261130-14:30:00"
            case _:
                fits = isinstance(value, str) and (not self.texts or value in self.texts)
                return None if fits else f"one of {', '.join(self.texts)}"

    def _within(self, number: Decimal) -> bool:
        above = self.least is None or number >= self.least
        return above and (self.most is None or number <= self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Algo:
    """One algorithm."""

    name: str
    title: str
    description: str
    parameters: tuple[Parameter, ...]

    def row(self, *, described: bool, with_parameters: bool) -> dict[str, Any]:
        """The algorithm as the broker lists it."""
        row: dict[str, Any] = {"name": self.title, "id": self.name}
        if described:
            row["description"] = self.description
        if with_parameters:
            row["parameters"] = [
                parameter.row(rank, described=described)
                for rank, parameter in enumerate(self.parameters, start=1)
            ]
        return row


_PERIOD: Final = (
    Parameter(name="startTime", title="Start Time", kind=TIME),
    Parameter(name="endTime", title="End Time", kind=TIME),
    Parameter(
        name="allowPastEndTime", title="Allow trading past end time", kind=FLAG, default=False
    ),
)
ALGOS: Final = (
    Algo(
        name="Adaptive",
        title="Adaptive",
        description="Trades between the spread, the faster the more urgent it is.",
        parameters=(
            Parameter(
                name="adaptivePriority",
                title="Adaptive order priority/urgency",
                kind=TEXT,
                required=True,
                default="Normal",
                texts=("Urgent", "Normal", "Patient"),
            ),
        ),
    ),
    Algo(
        name="Twap",
        title="TWAP",
        description="Spreads the order evenly over its time.",
        parameters=(
            Parameter(
                name="strategyType",
                title="Trade strategy",
                kind=TEXT,
                required=True,
                default="Marketable",
                texts=("Marketable", "Matching Midpoint", "Matching Same Side", "Matching Last"),
            ),
            *_PERIOD,
        ),
    ),
    Algo(
        name="Vwap",
        title="VWAP",
        description="Follows the volume of the market over its time.",
        parameters=(
            Parameter(
                name="maxPctVol",
                title="Max Percentage",
                kind=NUMBER,
                required=True,
                least=Decimal("0.01"),
                most=Decimal(50),
            ),
            Parameter(
                name="noTakeLiq", title="Attempt to never take liquidity", kind=FLAG, default=False
            ),
            *_PERIOD,
        ),
    ),
)
_BY_NAME: Final = {algo.name: algo for algo in ALGOS}
_BY_SEC_TYPE: Final[Mapping[str, tuple[Algo, ...]]] = {
    "STK": ALGOS,
    "OPT": ALGOS[:1],
    "FUT": ALGOS[:1],
}


def algos_for(instrument: Instrument) -> tuple[Algo, ...]:
    """The algorithms a contract takes; empty when it takes none."""
    return _BY_SEC_TYPE.get(instrument.sec_type, ())


def algo_refusal(
    name: str, parameters: Mapping[str, Any], *, order_type: str, instrument: Instrument
) -> str | None:
    """Why an order cannot have this algorithm, or None."""
    algo = _BY_NAME.get(name)
    if algo is None or algo not in algos_for(instrument) or order_type not in _ALGO_TYPES:
        return f"The algorithm {name} is not available for {order_type} orders of this contract."
    known = {parameter.name: parameter for parameter in algo.parameters}
    for found, value in parameters.items():
        if found not in known:
            return f"The algorithm {name} has no parameter {found}."
        wanted = known[found].refuses(value)
        if wanted is not None:
            return f"The parameter {found} of {name} is {value}, needed is {wanted}."
    missing = [row.name for row in algo.parameters if row.required and row.name not in parameters]
    if missing:
        return f"The algorithm {name} needs the parameter {', '.join(missing)}."
    return None


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    try:
        number = Decimal(value)
    except ArithmeticError:
        return None
    return number if number.is_finite() else None
