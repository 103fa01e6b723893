"""The kinds of fields in requests: what each allows, for the reader and for OpenAPI.

Rule: a value is taken as it is or refused. Nothing is trimmed, rounded, upper-cased or
turned from text into a number, but for query parameters, which are always text.
"""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, TypeVar

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from engine.domain.values import (
    OrderState,
    OrderType,
    Scope,
    ScopeKind,
    Side,
    TimeInForce,
    TradingState,
    TrailingType,
)


class Wait(StrEnum):
    """What a submit waits for before it answers."""

    ACK = "ack"
    TERMINAL = "terminal"


class ChangeWait(StrEnum):
    """What a modify waits for before it answers."""

    SETTLED = "settled"


class SecType(StrEnum):
    """The broker's kinds of contracts. Which of them can be traded, the engine says."""

    STK = "STK"
    OPT = "OPT"
    FUT = "FUT"
    FOP = "FOP"
    CASH = "CASH"
    CRYPTO = "CRYPTO"
    WAR = "WAR"
    IOPT = "IOPT"
    CFD = "CFD"
    BOND = "BOND"
    BILL = "BILL"
    FUND = "FUND"
    IND = "IND"
    CMDTY = "CMDTY"
    BAG = "BAG"


class Right(StrEnum):
    """Call or put."""

    C = "C"
    P = "P"


_E = TypeVar("_E", bound=StrEnum)

DIGITS_MAX: Final = 18
DECIMAL_PLACES_MAX: Final = 8
WHOLE_DIGITS_MAX: Final = 10
CONID_MAX: Final = 2**31 - 1

_DECIMAL_TEXT: Final = re.compile(r"[0-9]{1,32}(\.[0-9]{1,32})?")
_INTEGER_TEXT: Final = re.compile(r"[0-9]{1,18}")
_EXPIRY_TEXT: Final = re.compile(r"[0-9]{6}([0-9]{2})?")
_KEY: Final = r"[A-Za-z0-9._:-]{1,64}"

DECIMAL_ALLOWED: Final = (
    f"a decimal above 0 with at most {WHOLE_DIGITS_MAX} digits before the point, "
    f"{DECIMAL_PLACES_MAX} after it and {DIGITS_MAX} significant ones, "
    "as a JSON number or a string of plain digits"
)
CONID_ALLOWED: Final = f"a whole number from 1 to {CONID_MAX}"


def refuse(
    allowed: str, *, code: str = "BAD_FIELD", field: str = "", value: object = None
) -> PydanticCustomError:
    """Return the error that becomes a 400 with this `code`, saying what is allowed.

    `field` and `value` are for checks over several fields.
    """
    context: dict[str, object] = {"allowed": allowed}
    if field:
        context |= {"field": field, "value": value}
    return PydanticCustomError(code, "{allowed}", context)


def read_decimal(value: object) -> Decimal:
    """Return a positive decimal in its one spelling: `1.50` and `1.5` give the same."""
    match value:
        case bool():
            raise refuse(DECIMAL_ALLOWED)
        case int():
            number = Decimal(value)
        case Decimal():
            number = value
        case str() if _DECIMAL_TEXT.fullmatch(value):
            number = Decimal(value)
        case _:
            raise refuse(DECIMAL_ALLOWED)
    if not number.is_finite() or number <= 0 or number.adjusted() >= WHOLE_DIGITS_MAX:
        raise refuse(DECIMAL_ALLOWED)
    # `normalize()` would round to the context's precision, so the zeros go by hand.
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    spelled = "".join(map(str, digits))
    shortest = spelled.rstrip("0")
    exponent += len(spelled) - len(shortest)
    if len(shortest.lstrip("0")) > DIGITS_MAX or exponent < -DECIMAL_PLACES_MAX:
        raise refuse(DECIMAL_ALLOWED)
    return Decimal(format(Decimal(f"{shortest}E{exponent}"), "f"))


def matching(pattern: str, allowed: str) -> Callable[[object], str]:
    """Return a reader of texts that match a pattern."""
    compiled = re.compile(pattern)

    def check(value: object) -> str:
        if isinstance(value, str) and compiled.fullmatch(value):
            return value
        raise refuse(allowed)

    return check


def choice(members: type[_E], *allowed: _E) -> Callable[[object], _E]:
    """Return a reader of the names of an enum, or of some of them."""
    by_text = {member.value: member for member in (allowed or tuple(members))}
    names = ", ".join(by_text)

    def check(value: object) -> _E:
        member = by_text.get(value) if isinstance(value, str) else None
        if member is None:
            raise refuse(names)
        return member

    return check


def read_trailing_type(value: object) -> TrailingType:
    """Return how a trailing amount is meant.

    `amt` and `%` are the broker's words and what an order shows; `amount` and `percent`
    say the same.
    """
    allowed = "amt, % (also amount, percent)"
    found = _TRAILING_TYPES.get(value) if isinstance(value, str) else None
    if found is None:
        raise refuse(allowed)
    return found


_TRAILING_TYPES: Final = {
    "amt": TrailingType.AMOUNT,
    "amount": TrailingType.AMOUNT,
    "%": TrailingType.PERCENT,
    "percent": TrailingType.PERCENT,
}


def read_expiry(value: object) -> str:
    """Return a day `YYYYMMDD` or a month `YYYYMM` that is in the calendar."""
    allowed = "a day YYYYMMDD or a month YYYYMM, such as 20261218 or 202612"
    if not isinstance(value, str) or not _EXPIRY_TEXT.fullmatch(value):
        raise refuse(allowed)
    try:
        date(int(value[:4]), int(value[4:6]), int(value[6:] or "1"))
    except ValueError:
        raise refuse(allowed) from None
    return value


def read_boolean(value: object) -> bool:
    """Return a JSON boolean."""
    if isinstance(value, bool):
        return value
    allowed = "true, false"
    raise refuse(allowed)


def _boolean_text(value: object) -> bool:
    match value:
        case bool():
            return value
        case "true" | "1":
            return True
        case "false" | "0":
            return False
        case _:
            allowed = "true, false"
            raise refuse(allowed)


def _integer(minimum: int, maximum: int, *, text: bool) -> Callable[[object], int]:
    allowed = f"a whole number from {minimum} to {maximum}"

    def check(value: object) -> int:
        if text and isinstance(value, str) and _INTEGER_TEXT.fullmatch(value):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum:
            return value
        raise refuse(allowed)

    return check


def _note(value: object) -> str:
    length_max = 500
    allowed = f"1 to {length_max} printable characters, not only spaces"
    if (
        isinstance(value, str)
        and value.strip()
        and len(value) <= length_max
        and value.isprintable()
    ):
        return value
    raise refuse(allowed)


def read_scope(value: object) -> Scope:
    """Return what `firm`, `group:G`, `account:A`, `strategy:S` or `instrument:CONID` names."""
    allowed = "firm, group:NAME, account:ID, strategy:NAME, instrument:CONID"
    if isinstance(value, Scope):
        return value
    if not isinstance(value, str):
        raise refuse(allowed)
    kind, colon, key = value.partition(":")
    if value == ScopeKind.FIRM:
        return Scope(kind=ScopeKind.FIRM)
    if kind not in list(ScopeKind) or kind == ScopeKind.FIRM or not colon:
        raise refuse(allowed)
    if not re.fullmatch(_KEY, key):
        raise refuse(allowed)
    if kind == ScopeKind.INSTRUMENT:
        key = str(_integer(1, CONID_MAX, text=True)(key))
    return Scope(kind=ScopeKind(kind), key=key)


def read_interval(value: object) -> str:
    """Return the length of a bar, a key of `INTERVALS_MS`."""
    allowed = ", ".join(INTERVALS_MS)
    if isinstance(value, str) and value in INTERVALS_MS:
        return value
    raise refuse(allowed)


INTERVALS_MS: Final = {"1s": 1_000, "1m": 60_000}
"""The lengths of bars that the feed makes, in milliseconds."""


def _conids(value: object) -> tuple[int, ...]:
    count_max = 100
    allowed = f"1 to {count_max} conids with commas between them"
    if isinstance(value, tuple):
        return value
    parts = value.split(",") if isinstance(value, str) else []
    if not 1 <= len(parts) <= count_max:
        raise refuse(allowed)
    read_one = _integer(1, CONID_MAX, text=True)
    return tuple(dict.fromkeys(read_one(part) for part in parts))


def _wait_seconds(value: object) -> Decimal:
    seconds_max = 300
    allowed = f"seconds above 0, at most {seconds_max}"
    try:
        seconds = read_decimal(value)
    except PydanticCustomError:
        raise refuse(allowed) from None
    if seconds > seconds_max:
        raise refuse(allowed)
    return seconds


def schema_of(members: type[StrEnum], *allowed: StrEnum) -> dict[str, object]:
    """Return the JSON schema of the names of an enum, or of some of them."""
    return {"type": "string", "enum": [str(member) for member in (allowed or tuple(members))]}


def schema_text(pattern: str) -> dict[str, object]:
    """Return the JSON schema of texts that match a pattern."""
    return {"type": "string", "pattern": f"^{pattern}$"}


def _schema_integer(minimum: int, maximum: int) -> dict[str, object]:
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


_CLIENT_ORDER_ID_ALLOWED: Final = "1 to 64 of A-Z a-z 0-9 . _ : -"
_SYMBOL: Final = r"[A-Z0-9][A-Z0-9 .-]{0,31}"
_EXCHANGE: Final = r"[A-Z0-9.]{1,16}"
_PERIOD: Final = r"[1-9][0-9]{0,3}(min|h|d|w|m|y)"
_PERIOD_ALLOWED: Final = "a count and min, h, d, w, m (months) or y, such as 2h, 5d or 3m"
_BAR: Final = r"[1-9][0-9]?(min|h|d|w|m)"
_BAR_ALLOWED: Final = "a count and min, h, d, w or m (months), such as 5min, 1h or 1d"
_RESTRICTIONS: Final = (TradingState.REDUCE_ONLY, TradingState.CANCEL_ONLY, TradingState.HALT)
_SEQUENCE_MAX: Final = 2**53 - 1

PositiveDecimal = Annotated[
    Decimal,
    PlainValidator(read_decimal),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]{1,32}(\.[0-9]{1,32})?$"},
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10**10},
            ],
            "description": DECIMAL_ALLOWED,
        }
    ),
]
ClientOrderIdText = Annotated[
    str,
    PlainValidator(matching(_KEY, _CLIENT_ORDER_ID_ALLOWED)),
    WithJsonSchema(schema_text(_KEY)),
]
StrategyText = ClientOrderIdText
SymbolText = Annotated[
    str,
    PlainValidator(matching(_SYMBOL, "1 to 32 of A-Z 0-9 space . -, beginning with A-Z or 0-9")),
    WithJsonSchema(schema_text(_SYMBOL)),
]
ExchangeText = Annotated[
    str,
    PlainValidator(matching(_EXCHANGE, "1 to 16 of A-Z 0-9 .")),
    WithJsonSchema(schema_text(_EXCHANGE)),
]
SecTypeName = Annotated[
    SecType, PlainValidator(choice(SecType)), WithJsonSchema(schema_of(SecType))
]
RightName = Annotated[Right, PlainValidator(choice(Right)), WithJsonSchema(schema_of(Right))]
CurrencyText = Annotated[
    str,
    PlainValidator(matching(r"[A-Z]{3,5}", "3 to 5 of A-Z, such as USD")),
    WithJsonSchema(schema_text(r"[A-Z]{3,5}")),
]
ExpiryText = Annotated[
    str,
    PlainValidator(read_expiry),
    WithJsonSchema(schema_text(r"[0-9]{6}([0-9]{2})?")),
]
TrailingTypeName = Annotated[
    TrailingType,
    PlainValidator(read_trailing_type),
    WithJsonSchema({"type": "string", "enum": list(_TRAILING_TYPES)}),
]
AccountText = Annotated[
    str,
    PlainValidator(matching(r"[A-Za-z0-9]{1,32}", "1 to 32 of A-Z a-z 0-9")),
    WithJsonSchema(schema_text(r"[A-Za-z0-9]{1,32}")),
]
NoteText = Annotated[
    str,
    PlainValidator(_note),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 500}),
]
ConIdNumber = Annotated[
    int,
    PlainValidator(_integer(1, CONID_MAX, text=False)),
    WithJsonSchema(_schema_integer(1, CONID_MAX)),
]
SideName = Annotated[Side, PlainValidator(choice(Side)), WithJsonSchema(schema_of(Side))]
OrderTypeName = Annotated[
    OrderType, PlainValidator(choice(OrderType)), WithJsonSchema(schema_of(OrderType))
]
TifName = Annotated[
    TimeInForce, PlainValidator(choice(TimeInForce)), WithJsonSchema(schema_of(TimeInForce))
]
OrderStateName = Annotated[
    OrderState, PlainValidator(choice(OrderState)), WithJsonSchema(schema_of(OrderState))
]
RestrictionName = Annotated[
    TradingState,
    PlainValidator(choice(TradingState, *_RESTRICTIONS)),
    WithJsonSchema(schema_of(TradingState, *_RESTRICTIONS)),
]
ScopeText = Annotated[
    Scope,
    PlainValidator(read_scope),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(firm|(group|account|strategy|instrument):[A-Za-z0-9._:-]{1,64})$",
        }
    ),
]
JsonBoolean = Annotated[bool, PlainValidator(read_boolean), WithJsonSchema({"type": "boolean"})]
QueryBoolean = Annotated[bool, PlainValidator(_boolean_text), WithJsonSchema({"type": "boolean"})]
QueryLimit = Annotated[
    int, PlainValidator(_integer(1, 1000, text=True)), WithJsonSchema(_schema_integer(1, 1000))
]
QuerySequence = Annotated[
    int,
    PlainValidator(_integer(0, _SEQUENCE_MAX, text=True)),
    WithJsonSchema(_schema_integer(0, _SEQUENCE_MAX)),
]
QueryConIds = Annotated[
    tuple[int, ...],
    PlainValidator(_conids),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+(,[0-9]+){0,99}$"}),
]
QueryConId = Annotated[
    int,
    PlainValidator(_integer(1, CONID_MAX, text=True)),
    WithJsonSchema(_schema_integer(1, CONID_MAX)),
]
PeriodText = Annotated[
    str, PlainValidator(matching(_PERIOD, _PERIOD_ALLOWED)), WithJsonSchema(schema_text(_PERIOD))
]
BarText = Annotated[
    str, PlainValidator(matching(_BAR, _BAR_ALLOWED)), WithJsonSchema(schema_text(_BAR))
]
IntervalName = Annotated[
    str,
    PlainValidator(read_interval),
    WithJsonSchema({"type": "string", "enum": list(INTERVALS_MS)}),
]
WaitName = Annotated[Wait, PlainValidator(choice(Wait)), WithJsonSchema(schema_of(Wait))]
ChangeWaitName = Annotated[
    ChangeWait, PlainValidator(choice(ChangeWait)), WithJsonSchema(schema_of(ChangeWait))
]
WaitSeconds = Annotated[
    Decimal,
    PlainValidator(_wait_seconds),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 300}),
]


def read_conid_text(text: str) -> int:
    """Return the conid in a path.

    Raises:
        PydanticCustomError: when it is not one; see `CONID_ALLOWED`.
    """
    return _integer(1, CONID_MAX, text=True)(text)
