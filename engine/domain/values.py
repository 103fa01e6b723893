"""The words of this engine: ids, closed sets and the values that messages carry.

Rule 1: nothing here changes after it is made.

Rule 2: money, prices and quantities are `Decimal`. A float never holds one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, NewType

AccountId = NewType("AccountId", str)
SessionName = NewType("SessionName", str)
ConId = NewType("ConId", int)
OrderId = NewType("OrderId", str)
ClientOrderId = NewType("ClientOrderId", str)
Coid = NewType("Coid", str)
"""The client order id on the wire (`cOID` there, `order_ref` when it comes back)."""
BrokerOrderId = NewType("BrokerOrderId", str)
ExecutionId = NewType("ExecutionId", str)
QuestionId = NewType("QuestionId", str)
MessageId = NewType("MessageId", str)
"""The broker's name for a kind of question, such as `o354` (no market data)."""


class Mode(StrEnum):
    """Which kind of account the engine may trade."""

    PAPER = "paper"
    LIVE = "live"


class Side(StrEnum):
    """Buy or sell."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """The order types that this engine sends."""

    MKT = "MKT"
    LMT = "LMT"


class TimeInForce(StrEnum):
    """How long an order stays at the broker."""

    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"


class OrderState(StrEnum):
    """Where an order is. `docs/order-states.md` draws the ways between them."""

    SUBMITTING = "SUBMITTING"
    DENIED = "DENIED"
    AWAITING_REPLY = "AWAITING_REPLY"
    IN_DOUBT = "IN_DOUBT"
    PARKED = "PARKED"
    PENDING_NEW = "PENDING_NEW"
    ACCEPTED = "ACCEPTED"
    WORKING = "WORKING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    SUSPENDED = "SUSPENDED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


TERMINAL: Final = frozenset(
    {
        OrderState.DENIED,
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.EXPIRED,
        OrderState.REJECTED,
    }
)
"""States that only new evidence can reopen; such an order reserves nothing."""

LIVE: Final = frozenset(
    {
        OrderState.PENDING_NEW,
        OrderState.ACCEPTED,
        OrderState.WORKING,
        OrderState.PARTIALLY_FILLED,
        OrderState.SUSPENDED,
    }
)
"""States in which the broker is known to hold the order."""


class Pending(StrEnum):
    """A change that was asked of the broker and not confirmed."""

    NONE = "none"
    REPLACE = "replace"
    CANCEL = "cancel"


class Confidence(StrEnum):
    """How far an order's state can be trusted right now."""

    CONFIRMED = "confirmed"
    STALE = "stale"
    UNCONFIRMED = "unconfirmed"


class SessionState(StrEnum):
    """Where a gateway session is between down and ready to trade."""

    DOWN = "DOWN"
    GATEWAY_UP = "GATEWAY_UP"
    LOGIN_REQUIRED = "LOGIN_REQUIRED"
    BROKERAGE_INIT = "BROKERAGE_INIT"
    WARMING = "WARMING"
    RECONCILING = "RECONCILING"
    READY = "READY"
    COMPETING = "COMPETING"
    DEGRADED = "DEGRADED"
    RATE_LIMITED = "RATE_LIMITED"
    MAINTENANCE = "MAINTENANCE"
    LOCKED_OUT = "LOCKED_OUT"


class TradingState(StrEnum):
    """What an account may do; the strictest of all its scopes is in force."""

    NORMAL = "normal"
    REDUCE_ONLY = "reduce_only"
    CANCEL_ONLY = "cancel_only"
    HALT = "halt"

    @property
    def strictness(self) -> int:
        """0 for NORMAL up to 3 for HALT."""
        return list(TradingState).index(self)


class ScopeKind(StrEnum):
    """What a halt applies to."""

    FIRM = "firm"
    GROUP = "group"
    ACCOUNT = "account"
    STRATEGY = "strategy"
    INSTRUMENT = "instrument"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A part of the firm: `account:DU1234567`, `group:desk`, `firm`."""

    kind: ScopeKind
    key: str = ""

    def __str__(self) -> str:
        return self.kind if self.kind is ScopeKind.FIRM else f"{self.kind}:{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something is as it is: a stable code for programs, a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Increment:
    """The price step from `lower_edge` upwards, as the broker's rules list it."""

    lower_edge: Decimal
    increment: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What the broker says of a contract that can be traded.

    `increments` are sorted by `lower_edge`; `order_types` and `tifs` are ours, those
    that the contract's rules allow. `multiplier` is 1 where the broker gives none.
    """

    conid: ConId
    symbol: str
    sec_type: str
    currency: str
    exchange: str
    name: str
    multiplier: Decimal
    increments: tuple[Increment, ...]
    size_increment: Decimal
    order_types: tuple[OrderType, ...]
    tradable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The last known market of a contract. A missing value was never received.

    `received_ns` is our monotonic clock when the newest part arrived.
    """

    conid: ConId
    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None
    bid_size: Decimal | None
    ask_size: Decimal | None
    last_size: Decimal | None
    volume: Decimal | None
    prior_close: Decimal | None
    halted: bool
    availability: str
    received_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One closed time bar. `start_ms` is epoch milliseconds; `vwap` is None without volume."""

    conid: ConId
    interval_ms: int
    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    vwap: Decimal | None
    trades: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """An order as its client asked for it, with the contract resolved."""

    account: AccountId
    client_order_id: ClientOrderId
    conid: ConId
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    tif: TimeInForce
    outside_rth: bool = False
    strategy: str | None = None


class Answer(StrEnum):
    """What the account's policy says to a kind of question."""

    ACCEPT = "accept"
    DECLINE = "decline"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionPolicy:
    """How an account answers the broker's questions; what is not listed gets `default`."""

    answers: Mapping[MessageId, Answer]
    default: Answer = Answer.DECLINE


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedTicket:
    """A ticket that passed every risk check of its account, with its exposure reserved.

    Only `domain/risk` makes one, so no order can reach the gateway around risk.
    `policy_hash` names the limits that were in force; `request_sha256` is the digest of
    the client's request, to tell a repeat from another order under the same key.
    """

    ticket: Ticket
    order_id: OrderId
    coid: Coid
    session: SessionName
    questions: QuestionPolicy
    policy_hash: str
    request_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the broker wants confirmed before it takes an order."""

    question_id: QuestionId
    message_ids: tuple[MessageId, ...]
    texts: tuple[str, ...]


class OutcomeKind(StrEnum):
    """What an answer to an order request proves. Anything unlisted is IN_DOUBT."""

    ACK = "ack"
    QUESTION = "question"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The classified answer to one request about an order.

    `broker_order_id` and `status` come with ACK, `question` with QUESTION, `reason`
    with the others. `http_status` is None when no answer came; `body_sha256` is the
    evidence: the digest of the answer's bytes, empty without one.
    """

    kind: OutcomeKind
    broker_order_id: BrokerOrderId | None = None
    status: str | None = None
    question: Question | None = None
    reason: Reason | None = None
    http_status: int | None = None
    body_sha256: str = ""


class BrokerStatus(StrEnum):
    """The order statuses of the Client Portal Web API, in its spelling."""

    INACTIVE = "Inactive"
    PENDING_SUBMIT = "PendingSubmit"
    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    FILLED = "Filled"
    PENDING_CANCEL = "PendingCancel"
    PRE_CANCELLED = "PreCancelled"
    CANCELLED = "Cancelled"
    WARN_STATE = "WarnState"


class Source(StrEnum):
    """Where news of an order came from."""

    STREAM = "stream"
    POLL = "poll"
    LOOKUP = "lookup"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """What the broker said of an order: a whole row or a part of one.

    None means that this row does not speak of it, never that it is empty. A status
    that is not in `BrokerStatus` is kept in `unknown_status` and changes nothing.
    """

    account: AccountId
    broker_order_id: BrokerOrderId
    coid: Coid | None = None
    conid: ConId | None = None
    side: Side | None = None
    total_quantity: Decimal | None = None
    filled_quantity: Decimal | None = None
    average_price: Decimal | None = None
    status: BrokerStatus | None = None
    unknown_status: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One fill at the broker.

    `execution_id` names it for ever; `commission` comes with a second delivery.
    `at_ms` is the broker's time, epoch milliseconds.
    """

    execution_id: ExecutionId
    account: AccountId
    broker_order_id: BrokerOrderId | None
    coid: Coid | None
    conid: ConId
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal | None
    at_ms: int


def execution_root(execution_id: ExecutionId) -> str:
    """Return the part of an execution's id that its corrections share.

    The last segment is the revision: `….01.01` is corrected as `….01.02`.
    """
    root, dot, _revision = execution_id.rpartition(".")
    return root if dot else execution_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What an account holds of a contract; short is negative."""

    account: AccountId
    conid: ConId
    symbol: str
    quantity: Decimal
    average_price: Decimal | None
    market_price: Decimal | None
    market_value: Decimal | None
    unrealized_pnl: Decimal | None
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """An account's money as the broker's summary gives it; None where it gives nothing."""

    account: AccountId
    currency: str
    net_liquidation: Decimal | None
    available_funds: Decimal | None
    excess_liquidity: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfitAndLoss:
    """An account's running result as the broker streams it."""

    account: AccountId
    daily: Decimal | None
    unrealized: Decimal | None
    net_liquidation: Decimal | None


_BASE32: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def base32(number: int) -> str:
    """Write a non-negative number in Crockford's base 32, without leading zeros."""
    assert number >= 0
    digits = ""
    while True:
        number, digit = divmod(number, 32)
        digits = _BASE32[digit] + digits
        if number == 0:
            return digits


def make_order_id(epoch: int, sequence: int) -> OrderId:
    """Our name of the `sequence`-th order of a journal epoch."""
    return OrderId(f"{base32(epoch)}-{base32(sequence)}")


def make_coid(shard: str, epoch: int, sequence: int) -> Coid:
    """The id that travels: tag, shard, epoch, sequence and two check characters.

    It stays below 32 ASCII characters, never repeats (the epoch grows with every start
    on a journal), and its shape tells our orders from others' at the broker.
    """
    body = f"EX{shard}-{base32(epoch)}-{base32(sequence)}"
    return Coid(f"{body}-{_check(body)}")


def is_our_coid(text: str, shard: str) -> bool:
    """True when `text` is a cOID that this shard made, in this epoch or an older one."""
    body, _, check = text.rpartition("-")
    return body.startswith(f"EX{shard}-") and check == _check(body)


def _check(body: str) -> str:
    total = 0
    for character in body:
        total = (total * 37 + ord(character)) % 1021
    return _BASE32[total // 32] + _BASE32[total % 32]
