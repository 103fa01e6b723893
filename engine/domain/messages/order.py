"""Messages to and from an order."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from engine.domain.messages.common import (
    TimerFired,
)
from engine.domain.values import (
    ApprovedChange,
    ApprovedTicket,
    BrokerOrderId,
    Evidence,
    Execution,
    OrderId,
    OrderRow,
    Outcome,
    Question,
    QuestionId,
    Reason,
    Resolution,
    SessionName,
    Source,
    Terms,
    Ticket,
    UnprotectedPolicy,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOrder:
    """Risk approved this ticket and holds its exposure. The journal's INTENT.

    `body` is what will go over the wire, byte for byte.
    """

    approved: ApprovedTicket
    body: bytes
    followers: tuple[ApprovedTicket, ...] = ()
    """With the leader of a group: the other orders that `body` carries, so that all of the
    group is durable at once. Their own intents follow, with an empty body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptOrder:
    """Somebody else's order becomes one of ours. The journal's ADOPTED.

    `row` is what the broker showed of it. With `cancel`, it is cancelled at once.
    """

    order_id: OrderId
    session: SessionName
    row: OrderRow
    by: str
    cancel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DenyOrder:
    """Risk refused this ticket; it was never and will never be sent. The journal's DENIED."""

    order_id: OrderId
    ticket: Ticket
    reason: Reason
    request_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    """Somebody wants the order gone. The journal's CANCEL.

    An order that is not at the broker yet is never sent; one whose outcome is unknown is
    cancelled the moment it is seen.
    """

    order_id: OrderId
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModifyOrder:
    """Risk approved new terms for a working order. The journal's MODIFY.

    `body` is the whole changed ticket as it will go over the wire, byte for byte: the
    broker wants every attribute repeated.
    """

    order_id: OrderId
    change: ApprovedChange
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ModifySettled:
    """What became of a modify, once the broker's own rows show it. The journal's MODIFIED.

    `applied` is False when the old terms are in force; `terms` are those in force.
    """

    order_id: OrderId
    applied: bool
    terms: Terms
    reason: Reason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRaised:
    """The broker asks about an order that it holds already. The journal's PROMPT.

    It came over the stream, not as the answer to a request; the account's question
    policy answers it.
    """

    order_id: OrderId
    question: Question


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnGranted:
    """The session's submit lane is this order's, until it says `ReleaseTurn`.

    `send_by_ns` is monotonic: later than that, not a byte may leave.
    """

    order_id: OrderId
    session_epoch: int
    send_by_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRefused:
    """The session cannot send now and gives no turn; nothing was sent."""

    order_id: OrderId
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """From here on the order may be at the broker. The journal's ATTEMPT.

    It is durable before the first byte leaves.
    """

    order_id: OrderId
    number: int
    session_epoch: int


class Step(StrEnum):
    """Which request an answer belongs to."""

    PLACE = "place"
    REPLY = "reply"
    CANCEL = "cancel"
    MODIFY = "modify"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAnswered:
    """The gateway's classified answer to one of our requests. The journal's OUTCOME.

    One that carries a question is the journal's QUESTION.
    """

    order_id: OrderId
    step: Step
    outcome: Outcome
    late: bool = False
    """True for the answer to a request that was given up before; it is evidence only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyDecided:
    """The policy's answer to a question, before it is sent. The journal's REPLY."""

    order_id: OrderId
    question_id: QuestionId
    confirmed: bool
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRowSeen:
    """The broker showed the order, or a part of its row."""

    order_id: OrderId
    row: OrderRow
    source: Source
    read: int = 0
    """Which read of the list showed it, so that two rows can be told to be of one; 0: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSeen:
    """The broker showed a fill of the order, or the commission of one."""

    order_id: OrderId
    execution: Execution
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderExpired:
    """The order ended without having been sent. The journal's EXPIRED."""

    order_id: OrderId
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDoubted:
    """The order may be at the broker, and nobody can say. The journal's IN_DOUBT.

    Written when a restart finds an ATTEMPT without its OUTCOME.
    """

    order_id: OrderId
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderParked:
    """Doubt lasted too long; a person must look. The journal's PARKED."""

    order_id: OrderId
    reason: Reason
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderProvenAbsent:
    """The broker provably has no such order. The journal's ABSENT; the order is NOT_PLACED."""

    order_id: OrderId
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveOrder:
    """A person says what became of a parked order. The journal's RESOLVED.

    LIVE and FILLED name the broker's order. FILLED gives what filled at which price, until
    the broker shows the executions. `approved_by` is the second person, where there is one.
    """

    order_id: OrderId
    resolution: Resolution
    reason: str
    by: str
    approved_by: str | None = None
    broker_order_id: BrokerOrderId | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncarnationSeen:
    """The broker has a second order under our id. The journal's INCARNATION.

    With `duplicate`, one list showed both at work: the one of `row` is to be cancelled, and
    what it fills counts. With `gone`, the broker's lists have lacked the one of `row` for so
    long that it is there no more. With neither, the broker has renumbered the order.
    """

    order_id: OrderId
    row: OrderRow
    duplicate: bool
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSent:
    """The leader's attempt is durable: what it does, it does for this order, too.

    A follower's own ATTEMPT comes of it.
    """

    order_id: OrderId
    session_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUnprotected:
    """An entry works or has filled, and an exit of it is missing. The journal's UNPROTECTED.

    `missing` are our exits that the broker does not show.
    """

    order_id: OrderId
    missing: tuple[OrderId, ...]
    policy: UnprotectedPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCommitted:
    """The record that the order asked to have confirmed is durable."""

    order_id: OrderId
    record: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFailed:
    """The journal could not make a record durable; nothing that needs it may happen."""

    order_id: OrderId
    record: str
    reason: Reason


OrderMessage: TypeAlias = (
    SubmitOrder
    | DenyOrder
    | CancelOrder
    | ModifyOrder
    | ModifySettled
    | PromptRaised
    | TurnGranted
    | TurnRefused
    | AttemptStarted
    | OrderAnswered
    | ReplyDecided
    | OrderRowSeen
    | ExecutionSeen
    | OrderExpired
    | OrderDoubted
    | OrderParked
    | OrderProvenAbsent
    | ResolveOrder
    | AdoptOrder
    | IncarnationSeen
    | GroupSent
    | OrderUnprotected
    | RecordCommitted
    | RecordFailed
    | TimerFired
)

OrderRecord: TypeAlias = (
    SubmitOrder
    | DenyOrder
    | CancelOrder
    | ModifyOrder
    | ModifySettled
    | PromptRaised
    | AttemptStarted
    | OrderAnswered
    | ReplyDecided
    | OrderRowSeen
    | ExecutionSeen
    | OrderExpired
    | OrderDoubted
    | OrderParked
    | OrderProvenAbsent
    | ResolveOrder
    | AdoptOrder
    | IncarnationSeen
    | OrderUnprotected
)
"""What an order writes to the journal, and what rebuilds it."""
