"""Records of the journal as bytes.

Rule 1: equal messages give equal bytes: JSON with sorted keys, decimals as text, bytes in
base 64. The chain of hashes is made over these bytes.

Rule 2: bytes of older versions are read for ever. A field that is not known any more is
skipped, a new one has a default.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from engine.domain.messages import (
    AccountReconciled,
    AdoptOrder,
    AttemptStarted,
    CancelOrder,
    DenyOrder,
    EngineStarted,
    ExecutionSeen,
    ExternalOrderSeen,
    HaltScope,
    IncarnationSeen,
    JournalMessage,
    LimitsLoaded,
    LoginGuarded,
    ModifyOrder,
    ModifySettled,
    NoticeSeen,
    OrderAnswered,
    OrderDoubted,
    OrderExpired,
    OrderParked,
    OrderProvenAbsent,
    OrderRowSeen,
    OrderUnprotected,
    PromptRaised,
    ReplyDecided,
    ResolveOrder,
    ResumeScope,
    SubmitOrder,
)
from engine.domain.values import OutcomeKind
from engine.journal.errors import JournalUnsupported

_QUESTION: Final = "QUESTION"
_TYPES: Final[Mapping[type[JournalMessage], str]] = {
    SubmitOrder: "INTENT",
    DenyOrder: "DENIED",
    CancelOrder: "CANCEL",
    AttemptStarted: "ATTEMPT",
    OrderAnswered: "OUTCOME",
    ReplyDecided: "REPLY",
    OrderRowSeen: "ROW",
    ExecutionSeen: "EXECUTION",
    OrderExpired: "EXPIRED",
    OrderDoubted: "IN_DOUBT",
    OrderParked: "PARKED",
    OrderProvenAbsent: "ABSENT",
    ResolveOrder: "RESOLVED",
    AdoptOrder: "ADOPTED",
    IncarnationSeen: "INCARNATION",
    OrderUnprotected: "UNPROTECTED",
    ModifyOrder: "MODIFY",
    ModifySettled: "MODIFIED",
    PromptRaised: "PROMPT",
    HaltScope: "HALT",
    ResumeScope: "RESUME",
    LoginGuarded: "LOGIN",
    NoticeSeen: "NOTICE",
    ExternalOrderSeen: "EXTERNAL",
    EngineStarted: "START",
    LimitsLoaded: "LIMITS",
    AccountReconciled: "RECONCILED",
}

RECORD_TYPES: Final = (*_TYPES.values(), _QUESTION)


def _plain(value: object) -> object:
    """Turn what JSON has no word for into what it has."""
    if isinstance(value, MappingProxyType):
        return dict(value)
    message = f"a {type(value).__name__} cannot be journaled"
    raise NotImplementedError(message)


_ENCODER: Final = msgspec.json.Encoder(decimal_format="string", order="sorted", enc_hook=_plain)
_DECODERS: Final[Mapping[str, msgspec.json.Decoder[JournalMessage]]] = {
    **{name: msgspec.json.Decoder(kind) for kind, name in _TYPES.items()},
    _QUESTION: msgspec.json.Decoder(OrderAnswered),
}


def record_type(message: JournalMessage) -> str:
    """Return the name of a message's record, such as INTENT."""
    if isinstance(message, OrderAnswered) and message.outcome.kind is OutcomeKind.QUESTION:
        return _QUESTION
    return _TYPES[type(message)]


def encode(message: JournalMessage) -> bytes:
    """Return the canonical JSON of a message."""
    return _ENCODER.encode(message)


def decode(name: str, body: bytes) -> JournalMessage:
    """Return the message of a record. Raises `JournalUnsupported` if this version cannot."""
    decoder = _DECODERS.get(name)
    if decoder is None:
        problem = f"a record of the type {name!r}, this version knows {', '.join(RECORD_TYPES)}"
        raise JournalUnsupported(problem)
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        problem = f"a record of the type {name} that this version cannot read: {error}"
        raise JournalUnsupported(problem) from error
