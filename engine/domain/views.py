"""What the engine shows: snapshots for the API, the command line and the metrics.

A view is made from durable state only: an order's view carries the sequence number of
the journal record that made it so. Ages are milliseconds at the moment of asking.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine.domain.values import (
    AccountId,
    Algo,
    BrokerOrderId,
    CashBalance,
    ClientOrderId,
    Coid,
    Confidence,
    ConId,
    Evidence,
    GroupPlace,
    OrderId,
    OrderRow,
    OrderState,
    OrderType,
    Pending,
    PositionBreak,
    Reason,
    Reconciliation,
    SessionName,
    SessionState,
    Side,
    Terms,
    TimeInForce,
    TradingState,
    TrailingType,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """An order as everybody outside its actor sees it. Times are epoch nanoseconds.

    `request_sha256` is the digest of the client's request; it never leaves the engine.
    """

    order_id: OrderId
    client_order_id: ClientOrderId
    account: AccountId
    conid: ConId
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    filled_quantity: Decimal
    average_price: Decimal | None
    limit_price: Decimal | None
    tif: TimeInForce
    strategy: str | None
    state: OrderState
    pending: Pending
    confidence: Confidence
    reason: Reason | None
    coid: Coid | None
    broker_order_id: BrokerOrderId | None
    created_at_ns: int
    updated_at_ns: int
    seq: int
    request_sha256: str
    sec_type: str = "STK"
    cash_quantity: Decimal | None = None
    stop_price: Decimal | None = None
    trailing_type: TrailingType | None = None
    trailing_amount: Decimal | None = None
    cap_price: Decimal | None = None
    outside_rth: bool = False
    wanted: Terms | None = None
    """The terms that a modify under way asks for; the others are those in force."""
    quantity_max: Decimal = Decimal(0)
    """Units that may fill at most where `cash_quantity` is given; else 0."""
    group: GroupPlace | None = None
    algo: Algo | None = None
    good_till_ms: int | None = None
    adopted: bool = False
    """True for somebody else's order that became one of ours."""
    evidence: Evidence | None = None
    """What was looked at, while and after the order could not be found."""
    other_broker_order_ids: tuple[BrokerOrderId, ...] = ()
    """Other orders of the broker that are, or were, this one."""
    quantity_extra: Decimal = Decimal(0)
    """What second orders of the broker under our id may fill beyond `quantity`."""
    unprotected: tuple[OrderId, ...] = ()
    """Our exits of this entry that the broker does not show although it should."""

    @property
    def remaining_quantity(self) -> Decimal:
        """What could still fill, whatever the state; never negative.

        Of an order for a cash quantity nobody can say.
        """
        return max(self.quantity - self.filled_quantity, Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalOrderView:
    """An order at the broker that this engine did not send; `row` is what was seen of it."""

    session: SessionName
    row: OrderRow
    seen_at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """A gateway session. `reason` says why it is not ready; it is None when READY."""

    name: SessionName
    state: SessionState
    reason: Reason | None
    accounts: tuple[AccountId, ...]
    gateway: str
    epoch: int
    since_ns: int
    socket_connected: bool
    last_heartbeat_age_ms: int | None
    login_by_ns: int | None = None
    """Wall time, epoch nanoseconds: when this login ends; in LOGIN_REQUIRED and LOCKED_OUT,
    by when a person should have logged in. None when nobody knows."""
    login_failures: int = 0
    no_submit_until_ns: int | None = None
    """Wall time until which the broker's calendar lets no order be sent; None outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aged:
    """A figure with its age; both None when it was never received."""

    value: Decimal | None
    age_ms: int | None


NEVER: Final = Aged(value=None, age_ms=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """An account: may it trade, why not, and its money."""

    account: AccountId
    session: SessionName
    session_state: SessionState
    trading_state: TradingState
    ready: bool
    reason: Reason | None
    currency: str | None
    net_liquidation: Aged
    available_funds: Aged
    daily_pnl: Aged
    unrealized_pnl: Aged
    excess_liquidity: Aged = NEVER
    buying_power: Aged = NEVER
    initial_margin: Aged = NEVER
    maintenance_margin: Aged = NEVER
    gross_position_value: Aged = NEVER
    total_cash: Aged = NEVER
    cash: tuple[CashBalance, ...] = ()
    cash_age_ms: int | None = None
    reconciliation: Reconciliation = Reconciliation.PENDING
    reconcile_step: str = ""
    """What is read while it is pending, or differs while it is explained; empty else."""
    reconciled_age_ms: int | None = None
    breaks: tuple[PositionBreak, ...] = ()
    external_orders: int = 0
    """Working orders of others in the account; they count in its exposure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionView:
    """A holding: the broker's last figure moved by the fills seen since.

    `working_buy` and `working_sell` are what open orders could still add. `lowest` and
    `highest` differ while nobody knows which fills the broker's figure has already;
    `quantity` is the likeliest between them, and limits are checked against the worse.
    """

    account: AccountId
    conid: ConId
    symbol: str
    quantity: Decimal
    lowest: Decimal
    highest: Decimal
    working_buy: Decimal
    working_sell: Decimal
    average_price: Decimal | None
    market_price: Decimal | None
    market_value: Decimal | None
    unrealized_pnl: Decimal | None
    currency: str | None
    age_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitView:
    """One effective limit. `source` is `risk.yaml:12` or `built-in`."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsView:
    """The limits in force for an account, and the state of the file they came from.

    `file_error` is None, or why the file on disk was refused; then the older, good
    version stays in force.
    """

    account: AccountId
    groups: tuple[str, ...]
    version: int
    policy_hash: str
    limits: tuple[LimitView, ...]
    file_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """One journal record as `/v1/events` carries it; `body` is canonical JSON."""

    seq: int
    at_ns: int
    type: str
    account: AccountId | None
    order_id: OrderId | None
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthView:
    """Startup, liveness and readiness, with the reason of each session that is not ready."""

    started: bool
    alive: bool
    ready: bool
    draining: bool
    sessions: tuple[SessionView, ...]
    problems: tuple[Reason, ...]
