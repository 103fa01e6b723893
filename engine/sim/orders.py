"""What the venue knows of an order, and the news it hands out.

Rule: news carries a copy of the order as it was at that moment.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from engine.sim.tickets import Ticket


class OrderStatus(StrEnum):
    """The broker's words for where an order is."""

    INACTIVE = "Inactive"
    PENDING_SUBMIT = "PendingSubmit"
    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    FILLED = "Filled"
    PENDING_CANCEL = "PendingCancel"
    CANCELLED = "Cancelled"


ENDED: Final = frozenset({OrderStatus.FILLED, OrderStatus.CANCELLED})


@dataclass(slots=True, kw_only=True)
class Order:
    """One order the venue accepted.

    `rejected` marks an Inactive order that stays so; `reason` says why an
    order was cancelled or rejected by the venue and is None otherwise.
    `stop_price` and `limit_price` are where a trailing order's are now, None
    for other types. `volume_seen` is what had traded when it came.
    `is_external` marks an order of another client of the same account.
    `parent_id` is the entry of the bracket that an exit belongs to; the members
    of one `oca_group` cancel each other.
    """

    order_id: int
    ticket: Ticket
    accepted_at_ms: int
    updated_at_ms: int
    status: OrderStatus = OrderStatus.INACTIVE
    filled_quantity: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)
    triggered: bool = False
    rejected: bool = False
    reason: str | None = None
    pieces: tuple[Decimal, ...] = ()
    stop_price: Decimal | None = None
    limit_price: Decimal | None = None
    volume_seen: int = 0
    is_external: bool = False
    parent_id: int | None = None
    oca_group: str | None = None

    @property
    def remaining_quantity(self) -> Decimal:
        """What is still to be filled; what a cancel left over counts too."""
        return self.ticket.quantity - self.filled_quantity

    @property
    def working(self) -> bool:
        """True while it can still be filled or cancelled."""
        return self.status not in ENDED and not self.rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One trade of one order."""

    execution_id: str
    order_id: int
    ticket: Ticket
    quantity: Decimal
    price: Decimal
    commission: Decimal
    at_ms: int
    position_after: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An order POST that reached the venue, whatever became of it.

    `coid` is that of its first ticket; `coids` are those of all that have one.
    """

    account: str
    body: Any
    coid: str | None
    at_ms: int
    coids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRequest:
    """A change of an order that reached the venue, whatever became of it."""

    order_id: int
    account: str
    body: Any
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChanged:
    """An order is in this state now."""

    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """An execution happened; its commission is not known yet."""

    execution: Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class CommissionKnown:
    """The commission of an earlier execution arrived."""

    execution: Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """An earlier execution was revised; one with a quantity of 0 was busted."""

    execution: Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompted:
    """The broker asks something about an order it has already taken.

    Without an answer until `until_ms` the order is cancelled.
    """

    order_id: int
    request_id: str
    until_ms: int


News = OrderChanged | Traded | CommissionKnown | Corrected | Prompted
