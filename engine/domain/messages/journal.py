"""What the journal records."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from engine.domain.messages.feed import NoticeSeen
from engine.domain.messages.order import (
    AdoptOrder,
    AttemptStarted,
    CancelOrder,
    DenyOrder,
    ExecutionSeen,
    IncarnationSeen,
    ModifyOrder,
    ModifySettled,
    OrderAnswered,
    OrderDoubted,
    OrderExpired,
    OrderParked,
    OrderProvenAbsent,
    OrderRecord,
    OrderRowSeen,
    OrderUnprotected,
    PromptRaised,
    ReplyDecided,
    ResolveOrder,
    SubmitOrder,
)
from engine.domain.messages.risk import (
    AccountReconciled,
    HaltScope,
    ResumeScope,
)
from engine.domain.messages.session import LoginGuarded
from engine.domain.values import OrderRow, SessionName


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalOrderSeen:
    """An order that this engine did not send is new, or has a new status.

    The journal's EXTERNAL. What of it may still fill counts in its account's exposure; it
    is touched only where the account's policy says so.
    """

    session: SessionName
    row: OrderRow


JournalMessage: TypeAlias = (
    OrderRecord
    | HaltScope
    | ResumeScope
    | LoginGuarded
    | NoticeSeen
    | ExternalOrderSeen
    | EngineStarted
    | LimitsLoaded
    | AccountReconciled
)

JOURNALED: Final = (
    SubmitOrder,
    DenyOrder,
    CancelOrder,
    ModifyOrder,
    ModifySettled,
    PromptRaised,
    AttemptStarted,
    OrderAnswered,
    ReplyDecided,
    OrderRowSeen,
    ExecutionSeen,
    OrderExpired,
    OrderDoubted,
    OrderParked,
    OrderProvenAbsent,
    ResolveOrder,
    AdoptOrder,
    IncarnationSeen,
    OrderUnprotected,
    AccountReconciled,
    HaltScope,
    ResumeScope,
    LoginGuarded,
    NoticeSeen,
    ExternalOrderSeen,
    EngineStarted,
    LimitsLoaded,
)
