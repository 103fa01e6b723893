"""What a session returns beyond the messages that others know: what is worth measuring."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from engine.domain.messages import SessionEffect
from engine.domain.values import OrderId


class View(StrEnum):
    """Where the broker shows what it has besides the stream."""

    ORDERS = "orders"
    TRADES = "trades"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveVisibility:
    """A view of the broker shows for the first time what was told `after_ms` before.

    Of the order list: an order that the broker had acknowledged. Of the trades: an
    execution that the stream had told.
    """

    view: View
    after_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MissOrder:
    """The broker shows an order nowhere that it had; tell it that nothing confirms it.

    It may have ended, or be at work: only the broker can say so, and it does not.
    """

    order_id: OrderId


Effect: TypeAlias = SessionEffect | ObserveVisibility | MissOrder
