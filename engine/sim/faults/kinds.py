"""What kinds of faults there are, and what is said of each.

Rule: a fault is one field of one class; its default, its kind and its two texts
stand beside each other, and the documentation is drawn from them.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from enum import Enum
from typing import Any, Final

_SPAN_PARTS: Final = 2


class Kind(Enum):
    """How a fault is given, and when it strikes."""

    COUNT = "count"
    """So many of the next are struck; with a chance, each one may be."""

    SWITCH = "switch"
    """Each one is struck while it is on; with a chance, each one may be."""

    CONDITION = "condition"
    """It holds while it is on; with a chance, it is drawn anew for every spell."""

    NUMBER = "number"
    SPAN = "span"
    """Seconds, or two numbers as `LOW..HIGH` between which each use draws."""

    TEXT = "text"
    BYTES = "bytes"


CHANCED: Final = frozenset({Kind.COUNT, Kind.SWITCH, Kind.CONDITION})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is known of one fault; `real` says what the broker's own gateway does."""

    name: str
    kind: Kind
    subject: str
    what: str
    real: str
    allowed: str


_ALLOWED: Final[Mapping[Kind, str]] = {
    Kind.COUNT: "a whole number, 0 or more, or a chance such as 5%",
    Kind.SWITCH: "true or false, or a chance such as 5%",
    Kind.CONDITION: "true or false, or a chance such as 5%",
    Kind.NUMBER: "a whole number, 0 or more",
    Kind.SPAN: "a number of seconds, 0 or more, or LOW..HIGH",
    Kind.TEXT: "a text or null",
    Kind.BYTES: "a whole number, 0 or more, or null",
}


def count(what: str, real: str) -> Any:
    """A fault of the next so many."""
    return _made(0, Kind.COUNT, what, real)


def switch(what: str, real: str) -> Any:
    """A fault that is on or off, and may be drawn each time."""
    return _made(False, Kind.SWITCH, what, real)  # noqa: FBT003 - the default of the field


def condition(what: str, real: str) -> Any:
    """A fault that is on or off for a while."""
    return _made(False, Kind.CONDITION, what, real)  # noqa: FBT003 - the default of the field


def number(what: str, real: str, *, default: int = 0) -> Any:
    """A whole number that another fault, or everything, goes by."""
    return _made(default, Kind.NUMBER, what, real)


def span(what: str, real: str, *, default: float | str) -> Any:
    """How long something takes, in seconds."""
    return _made(default, Kind.SPAN, what, real)


def text(what: str, real: str) -> Any:
    """A fault of the next one that carries a text."""
    return _made(None, Kind.TEXT, what, real)


def after_bytes(what: str, real: str) -> Any:
    """A fault of the next answer that lets so many bytes through."""
    return _made(None, Kind.BYTES, what, real)


def fault_of(item: Field[Any], subject: str) -> Fault | None:
    """What is known of the fault that a field is, None for any other field."""
    known = item.metadata
    if "kind" not in known:
        return None
    kind = known["kind"]
    allowed = "a whole number" if item.name == "clock_skew_ms" else _ALLOWED[kind]
    return Fault(
        name=item.name,
        kind=kind,
        subject=subject,
        what=known["what"],
        real=known["real"],
        allowed=allowed,
    )


def fits(fault: Fault, value: Any) -> bool:
    """True when a fault may have this value."""
    whole = isinstance(value, int) and (value >= 0 or fault.name == "clock_skew_ms")
    match fault.kind:
        case Kind.COUNT | Kind.NUMBER:
            return whole
        case Kind.SWITCH | Kind.CONDITION:
            return isinstance(value, bool)
        case Kind.SPAN:
            return limits(value) is not None
        case Kind.TEXT:
            return isinstance(value, str | None)
        case Kind.BYTES:
            return whole or value is None


def limits(value: Any) -> tuple[float, float] | None:
    """The least and the most seconds of a span, None when it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return (float(value), float(value)) if value >= 0 else None
    parts = value.split("..") if isinstance(value, str) else []
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return None
    if len(numbers) != _SPAN_PARTS or not 0 <= numbers[0] <= numbers[1] < float("inf"):
        return None
    return numbers[0], numbers[1]


def chance(value: Any) -> float | None:
    """The probability in a text such as `5%`, None when it is none."""
    if not isinstance(value, str) or not value.endswith("%"):
        return None
    try:
        share = float(value[:-1]) / 100
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def _made(default: Any, kind: Kind, what: str, real: str) -> Any:
    return field(default=default, metadata={"kind": kind, "what": what, "real": real})
