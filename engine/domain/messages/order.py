"""Messages to and from an order."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from engine.domain.messages.common import (
    ReportAnomaly,
    StartTimer,
    StopTimer,
    TimerFired,
)
from engine.domain.values import (
    AccountId,
    ApprovedChange,
    ApprovedTicket,
    BrokerOrderId,
    Execution,
    OrderId,
    OrderRow,
    Outcome,
    Question,
    QuestionId,
    Reason,
    SessionName,
    Source,
    Terms,
    Ticket,
)
from engine.domain.views import OrderView


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOrder:
    """Risk approved this ticket and holds its exposure. The journal's INTENT.

    `body` is what will go over the wire, byte for byte.
    """

    approved: ApprovedTicket
    body: bytes


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
)
"""What an order writes to the journal, and what rebuilds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRecord:
    """Append `record` to the journal. With `confirm`, tell the order once it is durable.

    `view` is the order as it is after the record; it is shown when the record is durable.
    """

    record: OrderRecord
    view: OrderView
    confirm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetOrder:
    """The order's first record is not durable and never will be: there is no such order."""

    order_id: OrderId
    account: AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTurn:
    """Ask the session for its submit lane. Answered by `TurnGranted` or `TurnRefused`."""

    order_id: OrderId
    session: SessionName


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTurn:
    """The order's conversation with the broker is over, or it no longer wants a turn."""

    order_id: OrderId
    session: SessionName


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceAtBroker:
    """Send the order once. Answered by `OrderAnswered(step=PLACE)`, always."""

    order_id: OrderId
    session: SessionName
    account: AccountId
    body: bytes
    send_by_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyAtBroker:
    """Answer the broker's question. Answered by `OrderAnswered(step=REPLY)`, always."""

    order_id: OrderId
    session: SessionName
    question_id: QuestionId
    confirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAtBroker:
    """Ask the broker to cancel. Answered by `OrderAnswered(step=CANCEL)`, always."""

    order_id: OrderId
    session: SessionName
    account: AccountId
    broker_order_id: BrokerOrderId
    sec_type: str = "STK"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModifyAtBroker:
    """Send the changed ticket once. Answered by `OrderAnswered(step=MODIFY)`, always."""

    order_id: OrderId
    session: SessionName
    account: AccountId
    broker_order_id: BrokerOrderId
    body: bytes
    send_by_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLookup:
    """Ask the session to look for the order at the broker until `StopLookup`."""

    order_id: OrderId
    session: SessionName


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLookup:
    """The order was found, or a person has it now."""

    order_id: OrderId
    session: SessionName


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnAlias:
    """From now on the broker's id means this order, too."""

    order_id: OrderId
    account: AccountId
    broker_order_id: BrokerOrderId


OrderEffect: TypeAlias = (
    WriteRecord
    | ForgetOrder
    | RequestTurn
    | ReleaseTurn
    | PlaceAtBroker
    | ReplyAtBroker
    | CancelAtBroker
    | ModifyAtBroker
    | RequestLookup
    | StopLookup
    | LearnAlias
    | StartTimer
    | StopTimer
    | ReportAnomaly
)
