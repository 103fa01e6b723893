"""The kinds of fields that only orders have: what each allows, for the reader and OpenAPI.

Rule: as in `fields.py`; a value is taken as it is or refused.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final

from pydantic import PlainValidator, WithJsonSchema

from engine.api.fields import (
    DECIMAL_PLACES_MAX,
    DIGITS_MAX,
    WHOLE_DIGITS_MAX,
    choice,
    matching,
    refuse,
    schema_of,
    schema_text,
)
from engine.domain.values import GroupKind, ParameterKind, Resolution

_TIME_TEXT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_ALGO: Final = r"[A-Za-z0-9_-]{1,40}"
_BROKER_ORDER_ID: Final = r"[A-Za-z0-9._-]{1,64}"
BROKER_ORDER_ID_ALLOWED: Final = "the broker's id of an order: 1 to 64 of A-Z a-z 0-9 . _ -"
_PERSON: Final = r"[A-Za-z0-9._@-][A-Za-z0-9._@ -]{0,63}"


def is_broker_order_id(text: str) -> bool:
    """Tell whether a text can be the broker's id of an order."""
    return re.fullmatch(_BROKER_ORDER_ID, text) is not None


def read_time(value: object) -> int:
    """Return a moment in RFC 3339, with its offset from UTC, as epoch milliseconds."""
    allowed = "a time with its offset, such as 2026-12-18T21:00:00Z or 2026-12-18T16:00:00-05:00"
    if not isinstance(value, str) or not _TIME_TEXT.fullmatch(value):
        raise refuse(allowed)
    try:
        at = datetime.fromisoformat(value)
        return (at - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise refuse(allowed) from None


def read_parameter(value: object) -> tuple[ParameterKind, str]:
    """Return the value of an algorithm's parameter as text, and what the client wrote it as."""
    allowed = "true, false, a number of at most 18 digits, or 1 to 64 printable characters"
    match value:
        case bool():
            return ParameterKind.FLAG, "true" if value else "false"
        case int() | Decimal():
            number = Decimal(value)
            if number.is_finite() and -DECIMAL_PLACES_MAX <= number.adjusted() < WHOLE_DIGITS_MAX:
                text = format(number.normalize(), "f")
                if len(text) <= DIGITS_MAX:
                    return ParameterKind.NUMBER, text
        case str() if 1 <= len(value) <= 64 and value.isprintable() and value.strip():  # noqa: PLR2004 - as `allowed` says
            return ParameterKind.TEXT, value
    raise refuse(allowed)


GroupName = Annotated[
    GroupKind, PlainValidator(choice(GroupKind)), WithJsonSchema(schema_of(GroupKind))
]
ResolutionName = Annotated[
    Resolution, PlainValidator(choice(Resolution)), WithJsonSchema(schema_of(Resolution))
]
Moment = Annotated[
    int, PlainValidator(read_time), WithJsonSchema({"type": "string", "format": "date-time"})
]
AlgoText = Annotated[
    str,
    PlainValidator(matching(_ALGO, "1 to 40 of A-Z a-z 0-9 _ -, as the broker spells it")),
    WithJsonSchema(schema_text(_ALGO)),
]
ParameterValue = Annotated[
    tuple[ParameterKind, str],
    PlainValidator(read_parameter),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]}),
]
BrokerOrderIdText = Annotated[
    str,
    PlainValidator(matching(_BROKER_ORDER_ID, BROKER_ORDER_ID_ALLOWED)),
    WithJsonSchema(schema_text(_BROKER_ORDER_ID)),
]
PersonText = Annotated[
    str,
    PlainValidator(matching(_PERSON, "1 to 64 of A-Z a-z 0-9 . _ @ space -")),
    WithJsonSchema(schema_text(_PERSON)),
]
