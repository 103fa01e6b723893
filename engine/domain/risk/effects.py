"""What an account's risk asks of its shell, and what it hears besides `domain.messages`."""

from dataclasses import dataclass
from typing import TypeAlias

from engine.domain.messages import (
    AccountReconciled,
    DenyOrder,
    ExternalWorking,
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
    ReconcileAccount,
    ReportAnomaly,
    ResumeScope,
    SessionChanged,
    StartTimer,
    TimerFired,
    WriteReconciled,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReconciled:
    """The newest comparison of the account that the journal has; told before any read.

    `at_ns` is when it was written, on the monotonic clock; negative when before its zero.
    """

    reconciled: AccountReconciled
    at_ns: int


RiskMessage: TypeAlias = (
    OrderChanged
    | OrderForgotten
    | PositionFilled
    | PositionsFilled
    | PositionsRead
    | ReconcileAccount
    | LastReconciled
    | ExternalWorking
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
    """Start the order of this ticket; its exposure is reserved already.

    With `followers` it leads a group, and theirs is, too.
    """

    approved: ApprovedTicket
    followers: tuple[ApprovedTicket, ...] = ()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltAccount:
    """Let only reducing orders pass in this account, durably; a person has to lift it."""

    account: AccountId
    reason: str


RiskEffect: TypeAlias = (
    StartOrder
    | StartDenied
    | ObserveChecks
    | WriteReconciled
    | HaltAccount
    | ReadAccount
    | StartTimer
    | ReportAnomaly
)
