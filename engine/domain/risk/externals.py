"""Orders of others in the account: what of them may still fill counts, too.

Rule 1: what such an order may fill counts in full until the broker shows it filled or over.
Of one whose side or contract nobody told, only that it is there.

Rule 2: what its row shows as filled counts until its executions are told, or until two
reads of the positions, one well after the other, surely have it.

Rule 3: one that became ours is not here any more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from engine.domain.messages import ExternalWorking
from engine.domain.risk.exposure import ZERO, Reservation
from engine.domain.risk.moves import SETTLE_NS, Span
from engine.domain.values import BrokerOrderId, ConId, OrderId, OrderRow, Side

NO_CONTRACT = ConId(0)
"""Stands for the contract of an order of which none was told; nothing is held of it."""


@dataclass(slots=True, kw_only=True)
class _External:
    """An order of somebody else.

    `settled` is what of its fills the positions have without their executions. `read_ns`
    is when a read was complete that came after the row which told of those fills.
    """

    row: OrderRow
    over: bool
    settled: Decimal = ZERO
    read_ns: int | None = None

    @property
    def filled(self) -> Decimal:
        return self.row.filled_quantity or ZERO


class Externals:
    """The orders of others in one account, by the broker's id.

    `told` says what was told of the executions of such an order.
    """

    def __init__(self, told: Callable[[BrokerOrderId], Decimal]) -> None:
        self._told = told
        self._known: dict[BrokerOrderId, _External] = {}

    @property
    def count(self) -> int:
        """How many of them work."""
        return sum(not external.over for external in self._known.values())

    @property
    def open(self) -> Iterator[Reservation]:
        """What each of them holds of the limits."""
        for external in self._known.values():
            yield self._reservation(external)

    def take(self, message: ExternalWorking) -> None:
        """Take what is known of one. One that was never seen at work is none of ours."""
        key = message.row.broker_order_id
        known = self._known.get(key)
        if known is None:
            if not message.over:
                self._known[key] = _External(row=message.row, over=False)
            return
        if (message.row.filled_quantity or ZERO) != known.filled:
            known.read_ns = None
        known.row, known.over = message.row, message.over
        self._drop_if_done(key, known)

    def claim(self, broker_order_id: BrokerOrderId) -> Decimal:
        """Forget one that is ours now; return what of its fills the positions have."""
        known = self._known.pop(broker_order_id, None)
        return ZERO if known is None else known.settled

    def after_read(self, read: Span) -> None:
        """Note what the positions surely have: all that filled well before they were read."""
        for key, external in tuple(self._known.items()):
            if external.read_ns is None:
                external.read_ns = read.ended_ns
            elif read.started_ns >= external.read_ns + SETTLE_NS:
                external.settled = max(external.filled - self._told(key), ZERO)
                self._drop_if_done(key, external)

    def after_fill(self) -> None:
        """Forget those that are over and whose executions are all told."""
        for key, external in tuple(self._known.items()):
            self._drop_if_done(key, external)

    def _drop_if_done(self, key: BrokerOrderId, external: _External) -> None:
        if external.over and not self._reservation(external).open_quantity:
            del self._known[key]

    def _reservation(self, external: _External) -> Reservation:
        row = external.row
        return Reservation(
            order_id=OrderId(f"external-{row.broker_order_id}"),
            conid=row.conid if row.conid is not None and row.side is not None else NO_CONTRACT,
            symbol=row.symbol or "",
            side=row.side or Side.BUY,
            quantity=row.total_quantity or ZERO,
            filled_quantity=external.filled,
            told_quantity=self._told(row.broker_order_id),
            before_quantity=external.settled,
            terminal=external.over,
            seq=0,
        )
