"""What an order could add to in the worst case: the position and every order that may live.

Rule 1: an order counts in full until it is proven to have ended. One whose outcome is
unknown counts as if it will fill.

Rule 2: what is filled counts until the position is known to hold it, so no moment exists
in which a fill is neither reserved nor held.

Rule 3: where the position is in doubt, each side counts from the end that is worse for it.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine.domain.risk.limits import LARGEST
from engine.domain.values import ConId, GroupPlace, OrderId, Side

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """How far the true position may be below and above the one that is counted."""

    below: Decimal = ZERO
    above: Decimal = ZERO


NO_DOUBT: Final = Doubt()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What one order holds of the account's limits.

    `quantity` is what it may fill at most: while a change is not settled, the larger of
    the old and the new. `filled_quantity` is what the order's own durable news says.
    `told_quantity` is the sum of its executions that risk heard of, each once and in its
    newest revision: positions account for those. `before_quantity` is what had filled
    before risk heard of the order.
    `seq` is the journal record that it was last taken from, 0 before the first.
    """

    order_id: OrderId
    conid: ConId
    symbol: str
    side: Side
    quantity: Decimal
    filled_quantity: Decimal
    told_quantity: Decimal
    before_quantity: Decimal
    terminal: bool
    seq: int
    group: GroupPlace | None = None
    begun_ns: int | None = None
    """When it was approved, monotonic; None for an order of before the start."""

    @property
    def held_quantity(self) -> Decimal:
        """The part of its fills that the account's position accounts for.

        Never more than has filled: an execution of before may be told again.
        """
        told = self.told_quantity
        return min(told + self.before_quantity, max(told, self.filled_quantity))

    @property
    def can_sleep(self) -> bool:
        """True when the order is over and all of it is accounted for."""
        return self.terminal and not self.open_quantity

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

    `position` is None when the broker's holdings were never read, and within `doubt` of
    the truth. `orders_total` counts the whole account, the others only this contract.
    """

    position: Decimal | None
    doubt: Doubt = NO_DOUBT
    working_buy: Decimal = ZERO
    working_sell: Decimal = ZERO
    orders_total: int = 0
    orders_buy: int = 0
    orders_sell: int = 0

    @property
    def lowest(self) -> Decimal:
        """The smallest that the position may be. An unknown position counts as flat."""
        return (self.position or ZERO) - self.doubt.below

    @property
    def highest(self) -> Decimal:
        """The largest that the position may be. An unknown position counts as flat."""
        return (self.position or ZERO) + self.doubt.above

    def worst(self, side: Side, quantity: Decimal) -> Decimal:
        """Return how far `side` may get with `quantity` more: long for BUY, short for SELL.

        Negative when not even everything on that side would reach beyond flat.
        """
        if side is Side.BUY:
            return self.highest + self.working_buy + quantity
        return -self.lowest + self.working_sell + quantity

    def is_reducing(self, side: Side, quantity: Decimal) -> bool:
        """Return whether the order can only bring the position nearer to flat.

        With the working orders of its side it must not be larger than the position, which
        must be on the other side, wherever in doubt it is. An unknown position reduces
        nothing.
        """
        if self.position is None or not quantity.is_finite():
            return False
        return ZERO < quantity <= LARGEST and self.worst(side, quantity) <= ZERO
