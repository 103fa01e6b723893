"""Orders: what a client asks, what risk approves, what the broker answers and shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from engine.domain.values.ids import (
    AccountId,
    BrokerOrderId,
    ClientOrderId,
    Coid,
    ConId,
    ExecutionId,
    MessageId,
    OrderId,
    QuestionId,
    SessionName,
)
from engine.domain.values.market import (
    OrderType,
    TimeInForce,
    TrailingType,
)
from engine.domain.values.state import (
    Reason,
)


class GroupKind(StrEnum):
    """How orders that go out in one request hang together."""

    BRACKET = "bracket"
    OCA = "oca"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlace:
    """An order's place among the orders that go out in one request.

    `leader` is the order whose conversation with the broker it is: the entry of a bracket,
    or the first member of a one-cancels-all group; its `index` is 0. The exits of a bracket
    work once the entry has filled, and must not carry an id of ours on the wire.
    """

    kind: GroupKind
    leader: OrderId
    index: int
    size: int

    @property
    def leads(self) -> bool:
        """True for the order that talks to the broker for all."""
        return self.index == 0

    @property
    def is_exit(self) -> bool:
        """True for an order that closes what the entry of its bracket opens."""
        return self.kind is GroupKind.BRACKET and self.index > 0


class ParameterKind(StrEnum):
    """What the value of an algorithm's parameter is."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgoParameter:
    """A parameter of an algorithm; a number is written in digits, a flag `true` or `false`."""

    name: str
    value: str
    kind: ParameterKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Algo:
    """One of the broker's own algorithms, such as Adaptive."""

    name: str
    parameters: tuple[AlgoParameter, ...] = ()


class Side(StrEnum):
    """Buy or sell."""

    BUY = "BUY"
    SELL = "SELL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """An order as its client asked for it, with the contract resolved.

    `quantity` is 0 when `cash_quantity` says for how much money. `limit_price` goes with
    LMT, STOP_LIMIT, TRAILLMT, LOC and LIT; `stop_price`, the price that triggers, with
    STP, STOP_LIMIT, TRAIL, TRAILLMT, MIT and LIT; `trailing_type` and `trailing_amount`
    with TRAIL and TRAILLMT; `cap_price`, the worst price, with MIDPRICE and REL.
    """

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
    sec_type: str = "STK"
    cash_quantity: Decimal | None = None
    stop_price: Decimal | None = None
    trailing_type: TrailingType | None = None
    trailing_amount: Decimal | None = None
    cap_price: Decimal | None = None
    group: GroupPlace | None = None
    algo: Algo | None = None
    good_till_ms: int | None = None
    """Epoch milliseconds, with the time in force GTD: then the engine cancels the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a modify can change of an order: all of it, as it is to be afterwards."""

    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None


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
    quantity_max: Decimal = Decimal(0)
    """Units that may fill at most where the ticket has a cash quantity; else 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedChange:
    """New terms of a working order that passed the checks, with the larger reserved.

    Only `domain/risk` makes one.
    """

    order_id: OrderId
    terms: Terms
    policy_hash: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the broker wants confirmed before it takes an order."""

    question_id: QuestionId
    message_ids: tuple[MessageId, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow:
    """One order of an answer about several: those of a bracket or a one-cancels-all group.

    Which of ours it is the broker says only where `coid` is repeated; never by its place.
    """

    broker_order_id: BrokerOrderId | None
    coid: Coid | None = None
    parent_id: BrokerOrderId | None = None
    status: str | None = None
    text: str | None = None


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
    rows: tuple[AnswerRow, ...] = ()
    """All orders of an ACK that is about a group, the leader's own among them."""


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
    symbol: str | None = None
    order_type: str | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    tif: str | None = None
    parent_id: BrokerOrderId | None = None
    """The broker's id of the entry, in a row of a bracket's exit."""
    oca_group: str | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was looked at for an order that nobody could find. Times are in milliseconds.

    `list_reads` and `trade_reads` are the reads that count: fresh, of one brokerage session,
    and with a `canary` in them, an order that the broker changed after ours was sent.
    `missing` says in words what a proof of absence still lacks; empty when it is one.
    """

    elapsed_ms: int
    healthy_ms: int
    horizon_ms: int
    list_reads: int
    trade_reads: int
    canaries: tuple[BrokerOrderId, ...] = ()
    same_login: bool = False
    positions_agree: bool | None = None
    missing: tuple[str, ...] = ()


class Resolution(StrEnum):
    """What a person declares an order to be that the engine could not find."""

    NOT_PLACED = "not_placed"
    LIVE = "live"
    FILLED = "filled"


class ExternalPolicy(StrEnum):
    """What becomes of an order at the broker that this engine did not send."""

    OBSERVE = "observe"
    ADOPT = "adopt"
    CANCEL = "cancel"


class SightingPolicy(StrEnum):
    """What becomes of the rest of an order that shows up after it was proven absent."""

    CANCEL = "cancel"
    KEEP = "keep"


class UnprotectedPolicy(StrEnum):
    """What becomes of a bracket whose exit is missing at the broker."""

    ALARM = "alarm"
    CANCEL_ENTRY = "cancel_entry"
    REPLACE_EXIT = "replace_exit"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPolicy:
    """How an account's odd orders are treated."""

    external: ExternalPolicy = ExternalPolicy.OBSERVE
    late_sighting: SightingPolicy = SightingPolicy.CANCEL
    unprotected: UnprotectedPolicy = UnprotectedPolicy.ALARM
