"""What an order asks of its shell."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from engine.domain.messages.common import (
    ReportAnomaly,
    StartTimer,
    StopTimer,
)
from engine.domain.messages.order import (
    CancelOrder,
    GroupSent,
    OrderAnswered,
    OrderProvenAbsent,
    OrderRecord,
)
from engine.domain.values import (
    AccountId,
    ApprovedTicket,
    BrokerOrderId,
    Coid,
    ConId,
    OrderId,
    QuestionId,
    SessionName,
    Side,
)
from engine.domain.views import OrderView


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
    """Send the order once. Answered by `OrderAnswered(step=PLACE)`, always.

    `session_epoch` is the login that its turn was given in; in another it must not leave.
    """

    order_id: OrderId
    session: SessionName
    account: AccountId
    body: bytes
    send_by_ns: int
    session_epoch: int


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
    """Send the changed ticket once. Answered by `OrderAnswered(step=MODIFY)`, always.

    `session_epoch` is as of `PlaceAtBroker`.
    """

    order_id: OrderId
    session: SessionName
    account: AccountId
    broker_order_id: BrokerOrderId
    body: bytes
    send_by_ns: int
    session_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLookup:
    """Ask the session to look for the order at the broker until `StopLookup`.

    `sent_at_ns` is the wall time of its attempt, `session_epoch` the login that it went out
    in. With `provable`, its absence may be proven: nothing of it was ever seen, and no
    change of it is open.
    """

    order_id: OrderId
    session: SessionName
    account: AccountId | None = None
    coid: Coid | None = None
    conid: ConId | None = None
    side: Side | None = None
    sent_at_ns: int = 0
    session_epoch: int = 0
    provable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLookup:
    """The order was found, or a person has it now."""

    order_id: OrderId
    session: SessionName


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFollowers:
    """Start the other orders of a group; each writes an intent of its own."""

    leader: OrderId
    followers: tuple[ApprovedTicket, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TellFollower:
    """Tell an order of the same group."""

    message: GroupSent | OrderAnswered | CancelOrder | OrderProvenAbsent


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceExit:
    """Submit an order of our own in place of an exit that the broker does not have.

    `quantity` is what of the entry has filled and is not closed.
    """

    exit_id: OrderId
    quantity: Decimal


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
    | StartFollowers
    | TellFollower
    | ReplaceExit
    | LearnAlias
    | StartTimer
    | StopTimer
    | ReportAnomaly
)
