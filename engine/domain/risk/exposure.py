"""What an order could add to in the worst case: the position and every order that may live.

Rule 1: an order counts in full until it is proven to have ended. One whose outcome is
unknown counts as if it will fill.

Rule 2: what is filled counts until the position is known to hold it, so no moment exists
in which a fill is neither reserved nor held.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine.domain.values import ConId, OrderId, Side

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What one order holds of the account's limits.

    `held_quantity` is the part of its fills that the account's position contains.
    `seq` is the journal record that it was last taken from, 0 before the first.
    """

    order_id: OrderId
    conid: ConId
    symbol: str
    side: Side
    quantity: Decimal
    filled_quantity: Decimal
    held_quantity: Decimal
    terminal: bool
    seq: int

    @property
    def open_quantity(self) -> Decimal:
        """What the order can still add to the position that is known."""
        most = self.filled_quantity
        if not self.terminal:
            most = max(most, self.quantity)
        return max(most - self.held_quantity, ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """An account's standing in one contract; the three counts are of working orders.

    `position` is None when the broker's holdings were never read. `orders_total` counts
    the whole account, the others only this contract.
    """

    position: Decimal | None
    working_buy: Decimal = ZERO
    working_sell: Decimal = ZERO
    orders_total: int = 0
    orders_buy: int = 0
    orders_sell: int = 0

    def worst(self, side: Side, quantity: Decimal) -> Decimal:
        """Return how far `side` may get with `quantity` more: long for BUY, short for SELL.

        Negative when not even everything on that side would reach beyond flat. An unknown
        position counts as flat.
        """
        position = self.position or ZERO
        if side is Side.BUY:
            return position + self.working_buy + quantity
        return -position + self.working_sell + quantity

    def is_reducing(self, side: Side, quantity: Decimal) -> bool:
        """Return whether the order can only bring the position nearer to flat.

        With the working orders of its side it must not be larger than the position, which
        must be on the other side. An unknown position reduces nothing.
        """
        if self.position is None or not quantity.is_finite() or quantity <= ZERO:
            return False
        return self.worst(side, quantity) <= ZERO


def measure(
    conid: ConId, position: Decimal | None, reservations: Iterable[Reservation]
) -> Exposure:
    """Add up what the reservations of an account mean for one contract."""
    working = {Side.BUY: ZERO, Side.SELL: ZERO}
    orders = {Side.BUY: 0, Side.SELL: 0}
    orders_total = 0
    for reservation in reservations:
        orders_total += not reservation.terminal
        if reservation.conid == conid:
            working[reservation.side] += reservation.open_quantity
            orders[reservation.side] += not reservation.terminal
    return Exposure(
        position=position,
        working_buy=working[Side.BUY],
        working_sell=working[Side.SELL],
        orders_total=orders_total,
        orders_buy=orders[Side.BUY],
        orders_sell=orders[Side.SELL],
    )
