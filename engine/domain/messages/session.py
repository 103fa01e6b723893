"""Messages to and from a gateway session."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from engine.domain.messages.common import (
    ReportAnomaly,
    SessionChanged,
    StartTimer,
    StopTimer,
    TimerFired,
)
from engine.domain.messages.feed import (
    AuthStreamed,
    CloseStream,
    DeliverNews,
    DeliverToRisk,
    OpenStream,
    RefreshStream,
    RowsStreamed,
    StreamLost,
    StreamReady,
)
from engine.domain.messages.order import (
    TurnGranted,
    TurnRefused,
)
from engine.domain.messages.order_effects import (
    ReleaseTurn,
    RequestLookup,
    RequestTurn,
    StopLookup,
)
from engine.domain.messages.risk import (
    AccountReconciled,
    FundsRead,
    LedgerRead,
    OrderChanged,
    PositionsRead,
)
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    Evidence,
    Execution,
    OrderId,
    OrderRow,
    Outcome,
    ProfitAndLoss,
    SessionName,
)
from engine.domain.views import OrderView


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSession:
    """Log in and get ready, and stay so.

    A session that is started again is told what the one before it knew: its `epoch`, the
    order whose conversation is on the wire, the orders that work and those looked for.
    `guard` is what the journal says about its logins.
    """

    epoch: int = 0
    in_turn: OrderId | None = None
    working: tuple[OrderId, ...] = ()
    looking: tuple[RequestLookup, ...] = ()
    guard: "LoginGuarded | None" = None
    known: tuple[OrderView, ...] = ()
    """Orders of its accounts that the broker showed lately, ended ones among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginGuarded:
    """How the last logins of a session went. The journal's LOGIN; the newest one counts.

    `failures` counts brokerage logins that were refused in a row. `taken_over` is True
    once the session was taken from another login, until a person allows it again.
    `latched` is True when nothing more is tried before a person says so. Being locked out
    by the broker takes a day; a restart must not forget how near it is.
    """

    session: SessionName
    failures: int
    taken_over: bool
    latched: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLogin:
    """A person lets a session try to log in again, and to take over once more."""

    session: SessionName
    reason: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAccount:
    """Read this account's positions and funds now; its risk has lost them."""

    account: AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthStatus:
    """The brokerage session as the gateway sees it.

    `established` is None in gateway builds that do not report it; then a connected,
    authenticated and not competing session counts as established.
    """

    authenticated: bool
    connected: bool
    competing: bool
    established: bool | None
    message: str = ""

    @property
    def ready(self) -> bool:
        """True when `/iserver` calls can be expected to work."""
        open_ = self.authenticated and self.connected and not self.competing
        return open_ and self.established is not False


class SessionCall(StrEnum):
    """The requests a session makes for itself."""

    AUTH_STATUS = "auth_status"
    OPEN_BROKERAGE = "open_brokerage"
    TICKLE = "tickle"
    ACCOUNTS = "accounts"
    PORTFOLIO_ACCOUNTS = "portfolio_accounts"
    SUPPRESS = "suppress"
    ORDERS = "orders"
    ORDER_STATUS = "order_status"
    TRADES = "trades"
    POSITIONS = "positions"
    FUNDS = "funds"
    LEDGER = "ledger"
    PROFIT = "profit"


class FailureKind(StrEnum):
    """Why a request for reading or session upkeep gave nothing."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    UNAUTHORIZED = "unauthorized"
    NO_BRIDGE = "no_bridge"
    NOT_PRIMED = "not_primed"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    BAD_ANSWER = "bad_answer"
    TLS_REFUSED = "tls_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed request: its kind for machines, a sentence for people."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed:
    """One of the session's own requests gave nothing.

    `began_ns` is when it went out, monotonic; None when that is not known.
    """

    call: SessionCall
    failure: Failure
    began_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequestEnded:
    """A request of one of the session's orders is over; it says whether the gateway answers.

    The session hears it before the order does.
    """

    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthStatusRead:
    """The answer to `auth/status`, `ssodh/init` or `tickle`, whichever `call` says."""

    call: SessionCall
    status: AuthStatus
    sso_expires_ms: int | None = None
    """What is left of the login itself, which a tickle tells; None when it was not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsRead:
    """`/iserver/accounts` answered, which also primes the brokerage session for orders."""

    accounts: tuple[AccountId, ...]
    paper: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDone:
    """A request whose answer says nothing but yes."""

    call: SessionCall


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersRead:
    """The live-orders list. `snapshot` is False while the broker's list is still cold.

    `complete` is False when a row could not be read; such a list proves no absence.
    `account` is the one that was asked for, None for those of all accounts of the login.
    """

    rows: tuple[OrderRow, ...]
    snapshot: bool
    forced: bool
    complete: bool = True
    account: AccountId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStatusRead:
    """One order that was asked for by its id."""

    row: OrderRow


@dataclass(frozen=True, slots=True, kw_only=True)
class TradesRead:
    """The executions of the last days.

    `complete` is False when a row could not be read; such a list proves no absence.
    """

    executions: tuple[Execution, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfitRead:
    """The running results of the session's accounts, read over REST."""

    results: tuple[ProfitAndLoss, ...]


SessionMessage: TypeAlias = (
    StartSession
    | RetryLogin
    | ReadAccount
    | AuthStatusRead
    | CallFailed
    | OrderRequestEnded
    | AccountsRead
    | CallDone
    | OrdersRead
    | OrderStatusRead
    | TradesRead
    | PositionsRead
    | FundsRead
    | LedgerRead
    | ProfitRead
    | StreamReady
    | StreamLost
    | AuthStreamed
    | RowsStreamed
    | RequestTurn
    | ReleaseTurn
    | RequestLookup
    | StopLookup
    | OrderChanged
    | TimerFired
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallGateway:
    """Make one of the session's own requests.

    Answered by `AuthStatusRead`, `AccountsRead`, `OrdersRead`, `OrderStatusRead`,
    `TradesRead`, `PositionsRead`, `FundsRead`, `LedgerRead`, `ProfitRead` or `CallDone`, or
    by `CallFailed`, always. `account` goes with POSITIONS, FUNDS and LEDGER, and with ORDERS
    for those of one account only. `broker_order_id` goes with ORDER_STATUS. `force` with
    ORDERS clears the broker's cache; with TRADES it reads all days that the broker keeps,
    and without only the current one. `compete` goes with OPEN_BROKERAGE, `message_ids` with
    SUPPRESS. `deadline_ms` is how long an answer to a TICKLE may take, None for as long as
    usual.
    """

    call: SessionCall
    account: AccountId | None = None
    force: bool = False
    compete: bool = False
    message_ids: tuple[str, ...] = ()
    deadline_ms: int | None = None
    broker_order_id: BrokerOrderId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantTurn:
    """Tell the order `TurnGranted`."""

    granted: TurnGranted


@dataclass(frozen=True, slots=True, kw_only=True)
class RefuseTurn:
    """Tell the order `TurnRefused`."""

    refused: TurnRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceSession:
    """Tell risk and the orders of this session's accounts; show it."""

    changed: SessionChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkOrder:
    """Looking for the order was given up after `healthy_ms` of a ready session; tell it."""

    order_id: OrderId
    healthy_ms: int
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProveAbsent:
    """The broker provably has no such order; tell it `OrderProvenAbsent`."""

    order_id: OrderId
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteReconciled:
    """Append the account's reconciliation to the journal; it need not be confirmed."""

    reconciled: AccountReconciled


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteGuard:
    """Append the guard to the journal; it need not be confirmed."""

    guard: LoginGuarded


SessionEffect: TypeAlias = (
    CallGateway
    | GrantTurn
    | RefuseTurn
    | ParkOrder
    | ProveAbsent
    | WriteReconciled
    | OpenStream
    | CloseStream
    | AnnounceSession
    | RefreshStream
    | WriteGuard
    | DeliverNews
    | DeliverToRisk
    | StartTimer
    | StopTimer
    | ReportAnomaly
)
