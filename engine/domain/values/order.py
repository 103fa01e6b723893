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
    symbol: str | None = None
    order_type: str | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    tif: str | None = None


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
