"""A modify under way: what was asked for, and what the broker's rows prove of it.

Rule 1: only what differs between the old and the new terms can tell them apart.

Rule 2: a change is all or nothing. A row that shows a bit of both proves neither.

Rule 3: rows come late. One that shows what was in force before may be of that time, so
it proves neither that a change was not taken nor that one back to it was, unless rows
keep showing it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import Final

from engine.domain.values import OrderRow, OrderType, Terms, Ticket

MODIFY_NOT_APPLIED: Final = "MODIFY_NOT_APPLIED"
"""The code of a change that the broker's rows kept denying."""

MODIFY_IN_DOUBT: Final = "MODIFY_IN_DOUBT"
"""The code of a change of which nobody knows yet whether it was taken."""

ORDER_FAILED: Final = "ORDER_FAILED"
"""The gateway's code of an answer that shows an order as failed."""

EARLIER_MAX: Final = 8
"""So many earlier terms are kept; no row is older than that."""

_FIELDS: Final = ("quantity", "limit_price", "stop_price")
_ONE_PRICE_IS_THE_STOP: Final = frozenset({OrderType.STP, OrderType.MIT})
_STOP_MOVES: Final = frozenset({OrderType.TRAIL, OrderType.TRAILLMT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """New terms that were asked of the broker and are not settled.

    `doubtful` is True when the request may or may not have been taken. `goes_back` is True
    when a late row could show the new terms although the request was not taken.
    """

    wanted: Terms
    body: bytes
    goes_back: bool = False
    doubtful: bool = False


class Shown(Enum):
    """What a row shows of an order whose change is not settled."""

    NOTHING = auto()
    OLD = auto()
    NEW = auto()


def goes_back(earlier: Iterable[Terms], *, old: Terms, new: Terms) -> bool:
    """Say whether what differs in the new terms was in force before the old ones."""
    changed = [name for name in _FIELDS if getattr(old, name) != getattr(new, name)]
    return any(
        all(getattr(before, name) == getattr(new, name) for name in changed) for before in earlier
    )


def terms_of(ticket: Ticket) -> Terms:
    """Return the terms that an order was submitted with."""
    return Terms(
        quantity=ticket.quantity, limit_price=ticket.limit_price, stop_price=ticket.stop_price
    )


def shown_by(row: OrderRow, order_type: OrderType, *, old: Terms, new: Terms) -> Shown:
    """Say which of the two terms a row shows, if it tells them apart at all.

    Terms that are the same as before are in force whatever became of the request.
    """
    if old == new:
        return Shown.NEW
    told = [
        (found, before, after)
        for found, before, after in _compared(row, order_type, old, new)
        if found is not None and before != after
    ]
    if not told:
        return Shown.NOTHING
    if all(found == after for found, _, after in told):
        return Shown.NEW
    if all(found == before for found, before, _ in told):
        return Shown.OLD
    return Shown.NOTHING


_Compared = tuple[Decimal | None, Decimal | None, Decimal | None]


def _compared(
    row: OrderRow, order_type: OrderType, old: Terms, new: Terms
) -> tuple[_Compared, ...]:
    """Return what the row says of each term, beside the old and the new one.

    An order that has a stop and no limit shows the stop as its only price. The price
    that triggers a trailing stop follows the market, so it proves nothing.
    """
    limit, stop = row.limit_price, row.stop_price
    if order_type in _ONE_PRICE_IS_THE_STOP and stop is None:
        limit, stop = None, limit
    if order_type in _STOP_MOVES:
        limit, stop = None, None
    return (
        (row.total_quantity, old.quantity, new.quantity),
        (limit, old.limit_price, new.limit_price),
        (stop, old.stop_price, new.stop_price),
    )
