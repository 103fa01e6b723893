"""Messages to an account's risk."""

from dataclasses import dataclass
from enum import StrEnum

from engine.domain.values import (
    AccountId,
    ApprovedChange,
    CashBalance,
    Coid,
    Execution,
    Funds,
    Instrument,
    OrderId,
    Position,
    ProfitAndLoss,
    Quote,
    Reason,
    Scope,
    Terms,
    Ticket,
    TradingState,
)
from engine.domain.views import OrderView


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOrder:
    """A client wants this ticket sent. Answered by `RequestAnswer`, at once.

    `order_id` and `coid` are for a new order; a request with a known key gets the order
    that it made before. `request_sha256` is the digest of the canonical request.
    `instrument` is None when the contract could not be resolved, `quote` when there is none.
    `now_ns` is the monotonic clock that `quote.received_ns` was read from. `obstacle` is
    why the contract could not be had, or why its ticket cannot be written; then the
    request is denied for that reason.
    """

    ticket: Ticket
    order_id: OrderId
    coid: Coid
    request_sha256: str
    instrument: Instrument | None
    quote: Quote | None
    now_ns: int
    obstacle: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestChange:
    """A client wants new terms for a working order. Answered by `ChangeAnswer`, at once.

    `view` and `ticket` are the order as it is; `terms` are all of the new ones. The rest
    is as in `RequestOrder`.
    """

    view: OrderView
    ticket: Ticket
    terms: Terms
    by: str
    instrument: Instrument | None
    quote: Quote | None
    now_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAnswer:
    """Risk's answer: why not, or the approved change.

    Until the change is over, the larger of the old and the new terms is reserved.
    """

    refused: Reason | None
    change: ApprovedChange | None


class RequestVerdict(StrEnum):
    """What became of a request."""

    APPROVED = "approved"
    DENIED = "denied"
    REPEATED = "repeated"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAnswer:
    """Risk's answer. With REPEATED and CONFLICT, `order_id` is the older order."""

    verdict: RequestVerdict
    order_id: OrderId


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChanged:
    """An order of the account has a new durable state; reservations follow it."""

    view: OrderView


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionsRead:
    """The broker's holdings of an account, complete; read between the two monotonic times."""

    account: AccountId
    positions: tuple[Position, ...]
    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionFilled:
    """An execution moved a position, or a newer revision of one corrected it.

    It may be told again; that changes nothing. Both times are of our monotonic clock:
    `now_ns` is when it happened, as near as the broker's time tells, and never after
    `seen_ns`, which is when the news was here.
    """

    execution: Execution
    now_ns: int
    seen_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionsFilled:
    """Several executions at once, as the broker's stream replays them at every connect."""

    fills: tuple[PositionFilled, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderForgotten:
    """An order's first record is not durable, never will be, and nothing of it was sent.

    Its reservation and its key are free again: the next request with the key is a new one.
    """

    order_id: OrderId


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsRead:
    """The broker's summary of an account, received at the monotonic time `now_ns`."""

    funds: Funds
    now_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRead:
    """The broker's cash of an account by currency, received at the monotonic `now_ns`."""

    account: AccountId
    balances: tuple[CashBalance, ...]
    now_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfitSeen:
    """The stream's running result of an account, received at the monotonic time `now_ns`."""

    result: ProfitAndLoss
    now_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltScope:
    """Restrict a scope to `level` until it is resumed. The journal's HALT."""

    scope: Scope
    level: TradingState
    reason: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeScope:
    """Lift the halt of exactly this scope. The journal's RESUME."""

    scope: Scope
    reason: str
    by: str
