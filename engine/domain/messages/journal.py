"""What the journal records."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from engine.domain.messages.order import (
    AttemptStarted,
    CancelOrder,
    DenyOrder,
    ExecutionSeen,
    OrderAnswered,
    OrderDoubted,
    OrderExpired,
    OrderParked,
    OrderRecord,
    OrderRowSeen,
    ReplyDecided,
    SubmitOrder,
)
from engine.domain.messages.risk import (
    HaltScope,
    ResumeScope,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStarted:
    """An engine opened the journal. The journal's START; it begins an epoch."""

    version: str
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsLoaded:
    """A risk file came into force. The journal's LIMITS."""

    version: int
    policy_hash: str
    approved_by: tuple[str, ...]
    changes: tuple[str, ...]


JournalMessage: TypeAlias = OrderRecord | HaltScope | ResumeScope | EngineStarted | LimitsLoaded

JOURNALED: Final = (
    SubmitOrder,
    DenyOrder,
    CancelOrder,
    AttemptStarted,
    OrderAnswered,
    ReplyDecided,
    OrderRowSeen,
    ExecutionSeen,
    OrderExpired,
    OrderDoubted,
    OrderParked,
    HaltScope,
    ResumeScope,
    EngineStarted,
    LimitsLoaded,
)
