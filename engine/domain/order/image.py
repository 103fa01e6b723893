"""An order as values: all that its records made of it, to be kept and brought back.

Rule: an image has a field for every attribute of `OrderFacts`, of the same name. An order
that was brought back from its image is the one that its records would make.
"""

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Final

from engine.domain.messages import ReplyDecided, ResolveOrder
from engine.domain.order.change import Change
from engine.domain.order.facts import OrderFacts
from engine.domain.order.incarnations import Incarnation
from engine.domain.order.machine import Order
from engine.domain.order.merge import NOTHING, Fills
from engine.domain.values import (
    ApprovedTicket,
    BrokerOrderId,
    Evidence,
    Execution,
    OrderId,
    OrderState,
    Question,
    QuestionId,
    Reason,
    SessionName,
    Terms,
    Ticket,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderImage:
    """What is known of one order."""

    approved: ApprovedTicket | None = None
    broker_filled: Decimal = NOTHING
    cancel_open: bool = False
    cancelling: bool = False
    closing: tuple[OrderState, Reason | None, bool] | None = None
    closing_counts: tuple[Decimal, ...] = ()
    created_at_ns: int = 0
    earlier: tuple[Terms, ...] = ()
    ended_unseen: bool = False
    lapsed: Terms | None = None
    order_id: OrderId | None = None
    prompts: tuple[QuestionId, ...] = ()
    request_sha256: str = ""
    state: OrderState | None = None
    terms: Terms | None = None
    ticket: Ticket | None = None
    updated_at_ns: int = 0
    attempts: int = 0
    body: bytes = b""
    broker_order_id: BrokerOrderId | None = None
    cancel_wanted: bool = False
    change: Change | None = None
    declined: Question | None = None
    fills: tuple[Execution, ...] = ()
    prompt: Question | None = None
    question: Question | None = None
    reason: Reason | None = None
    reply: ReplyDecided | None = None
    rounds: int = 0
    others: tuple[Incarnation, ...] = ()
    session: SessionName | None = None
    unshown: Decimal = NOTHING
    adopted: bool = False
    evidence: Evidence | None = None
    followers: tuple[ApprovedTicket, ...] = ()
    late_sighted: bool = False
    resolution: ResolveOrder | None = None
    sent_at_ns: int = 0
    sent_epoch: int = 0
    unprotected: tuple[OrderId, ...] = ()
    was_unprotected: bool = False
    unsaid: tuple[str, ...] = ()


_SLOTS: Final = {name.lstrip("_"): name for name in OrderFacts.__slots__}
_COPIED: Final = tuple(
    (field.name, _SLOTS[field.name])
    for field in fields(OrderImage)
    if field.name != "fills" and field.name in _SLOTS
)


def image_of(order: OrderFacts) -> OrderImage:
    """Return all that is known of an order."""
    copied = {name: getattr(order, slot) for name, slot in _COPIED}
    return OrderImage(fills=order.fills.all(), **copied)


def order_of(image: OrderImage) -> Order:
    """Bring an order back."""
    order = Order()
    for name, slot in _COPIED:
        setattr(order, slot, getattr(image, name))
    fills = Fills()
    for execution in image.fills:
        fills.add(execution)
    order.fills = fills
    order._cancel_durable = order.cancel_wanted  # noqa: SLF001 - as `replay` leaves it
    return order


def last_news_ns(order: OrderFacts) -> int:
    """Return when the order last changed, by the time of its last record."""
    return order._updated_at_ns  # noqa: SLF001 - of this package
