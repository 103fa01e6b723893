"""A request and its answer, as values between the server and the handlers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from engine.sim.tickets import Refusal

SERVICE_UNAVAILABLE: Final = "Service Unavailable"
DIGITS_MAX: Final = 18


class Fate(Enum):
    """What becomes of an answer on its way to the client."""

    SENT = "sent"
    NEVER_SENT = "never_sent"
    CUT = "cut"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, read and parsed.

    `body` is None when there was none, when it was not JSON, and when it came
    with chunked transfer-encoding, which the gateway loses.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    now_ms: int = 0
    parts: Mapping[str, str] = field(default_factory=dict)

    def flag(self, name: str) -> bool:
        """True when the query says `name=true`."""
        return self.query.get(name, "").lower() == "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a call; a text `body` with `is_text` is not JSON.

    `bytes_max` is how much of it is sent before a cut; `delay_ms` is how much
    later it is sent.
    """

    body: Any
    status: int = 200
    is_text: bool = False
    content_type: str = "application/json"
    fate: Fate = Fate.SENT
    bytes_max: int = 0
    delay_ms: int = 0

    def encoded(self) -> bytes:
        """The body on the wire."""
        return str(self.body).encode() if self.is_text else encode(self.body)


def encode(value: Any) -> bytes:
    """JSON bytes without blanks; decimals become the floats the broker writes."""
    return _ENCODER.encode(value).encode()


def decode(payload: bytes | str) -> Any:
    """The JSON in `payload` with exact decimals; None when it is no JSON."""
    try:
        return json.loads(payload, parse_float=Decimal, parse_constant=str)
    except (ValueError, RecursionError):
        return None


def whole_number(text: str) -> int | None:
    """The number in a path, a query or a topic; None when it is none the broker could mean."""
    digits = text.removeprefix("-")
    if len(digits) > DIGITS_MAX or not (digits.isascii() and digits.isdecimal()):
        return None
    return int(text)


def error(text: str, status: int) -> Answer:
    """An error in the broker's form."""
    return Answer(body={"error": text, "statusCode": status}, status=status)


def unavailable() -> Answer:
    """503: the backend did not answer, or an order reply is no longer valid."""
    return error(SERVICE_UNAVAILABLE, 503)


def text(body: str, status: int = 200) -> Answer:
    """A plain text answer."""
    return Answer(body=body, status=status, is_text=True, content_type="text/plain")


def refused(refusal: Refusal) -> Answer:
    """The answer that carries a refusal."""
    if refusal.status == 401:  # noqa: PLR2004 - the code is the plain name here
        return text(refusal.text, 401)
    return Answer(body=refusal.body(), status=refusal.status)


def _float(value: Any) -> float:
    if isinstance(value, Decimal):
        return float(value)
    message = f"{type(value).__name__} has no JSON form"
    raise TypeError(message)


_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), default=_float)
