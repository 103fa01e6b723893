"""What an account's risk asks of its shell, and what it hears besides `domain.messages`."""

from dataclasses import dataclass
from typing import TypeAlias

from engine.domain.messages import (
    DenyOrder,
    FundsRead,
    HaltScope,
    LedgerRead,
    OrderChanged,
    OrderForgotten,
    PositionFilled,
    PositionsFilled,
    PositionsRead,
    ProfitSeen,
    ReadAccount,
    ReportAnomaly,
    ResumeScope,
    SessionChanged,
    StartTimer,
    TimerFired,
)
from engine.domain.risk.limits import Limits
from engine.domain.risk.verdict import Verdict
from engine.domain.values import AccountId, ApprovedTicket


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsChanged:
    """The risk file was read again.

    `limits` are those in force, the older ones when the file was refused; then
    `file_error` says why.
    """

    limits: Limits
    file_error: str | None


RiskMessage: TypeAlias = (
    OrderChanged
    | OrderForgotten
    | PositionFilled
    | PositionsFilled
    | PositionsRead
    | FundsRead
    | LedgerRead
    | ProfitSeen
    | SessionChanged
    | LimitsChanged
    | HaltScope
    | ResumeScope
    | TimerFired
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOrder:
    """Start the order of this ticket; its exposure is reserved already."""

    approved: ApprovedTicket


@dataclass(frozen=True, slots=True, kw_only=True)
class StartDenied:
    """Start an order that is DENIED from the beginning; nothing is reserved."""

    denied: DenyOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveChecks:
    """Count what the checks of one request found. The last verdict may be a refusal.

    `change` is True when new terms of a working order were checked.
    """

    account: AccountId
    verdicts: tuple[Verdict, ...]
    change: bool = False


RiskEffect: TypeAlias = (
    StartOrder | StartDenied | ObserveChecks | ReadAccount | StartTimer | ReportAnomaly
)
