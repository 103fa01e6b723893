"""Messages to an account's risk."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from engine.domain.values import (
    AccountId,
    ApprovedChange,
    CashBalance,
    Coid,
    ConId,
    Execution,
    Funds,
    Instrument,
    OrderId,
    OrderRow,
    Position,
    PositionBreak,
    ProfitAndLoss,
    Quote,
    Reason,
    Reconciliation,
    Scope,
    SessionName,
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
    followers: tuple["FollowerRequest", ...] = ()
    """The other orders of its group; they pass together or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerRequest:
    """Another order of a group, with the ids that are for it."""

    ticket: Ticket
    order_id: OrderId
    coid: Coid


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
class AccountReconciled:
    """An account was compared with the broker. The journal's RECONCILED.

    `positions` are the holdings that both agree on, for the comparison after a restart. It
    is written at the first comparison of a login, and when its result changes.
    """

    account: AccountId
    session: SessionName
    epoch: int
    result: Reconciliation
    orders: int
    executions: int
    positions: tuple[tuple[ConId, Decimal], ...]
    breaks: tuple[PositionBreak, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileAccount:
    """Its session begins to read an account anew, or has read all of it.

    With `done`, every list that the comparison needs was read in this login; until then
    the account's orders are refused.
    """

    account: AccountId
    epoch: int
    step: str
    done: bool
    orders: int = 0
    executions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalWorking:
    """An order of somebody else in the account: what of it may still fill counts.

    `row` is what is known of it, all parts together; `over` once it has ended.
    """

    row: OrderRow
    over: bool


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
