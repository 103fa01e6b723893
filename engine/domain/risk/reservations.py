"""What the orders of an account reserve, and which fills are theirs.

Rule 1: only an order's own durable news, or the proof that it never was, releases what it
reserved.

Rule 2: a fill finds its order by our id or by the broker's, even when it came before we
knew that the broker's id means the order.
"""

from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal

from engine.domain.messages import RequestOrder
from engine.domain.risk.exposure import ZERO, Reservation
from engine.domain.values import (
    TERMINAL,
    BrokerOrderId,
    Coid,
    ConId,
    Execution,
    OrderId,
    execution_root,
)
from engine.domain.views import OrderView


class Reservations:
    """The reservations of one account."""

    def __init__(self) -> None:
        self._all: dict[OrderId, Reservation] = {}
        self._open: dict[OrderId, Reservation] = {}
        self._by_coid: dict[Coid, OrderId] = {}
        self._by_broker_order_id: dict[BrokerOrderId, OrderId] = {}
        self._owners: dict[str, OrderId] = {}
        self._strange: dict[BrokerOrderId, dict[str, Decimal]] = {}

    @property
    def open(self) -> Collection[Reservation]:
        """Those that still reserve something."""
        return self._open.values()

    def get(self, order_id: OrderId) -> Reservation | None:
        """Return the order's reservation, None when it never had one."""
        return self._all.get(order_id)

    def symbol(self, conid: ConId) -> str:
        """Return what the orders of a contract call it, empty when there are none."""
        return next((order.symbol for order in self._all.values() if order.conid == conid), "")

    def reserve(self, message: RequestOrder) -> None:
        """Reserve all of a new order."""
        assert message.order_id not in self._all
        ticket = message.ticket
        self._by_coid[message.coid] = message.order_id
        self._keep(
            Reservation(
                order_id=message.order_id,
                conid=ticket.conid,
                symbol=ticket.symbol,
                side=ticket.side,
                quantity=ticket.quantity,
                filled_quantity=ZERO,
                told_quantity=ZERO,
                before_quantity=ZERO,
                terminal=False,
                seq=0,
            )
        )

    def follow(self, view: OrderView, *, held: bool) -> bool:
        """Take over an order's durable state; False when it is no news.

        With `held`, the positions that are still to be read account for what an order that
        is new to us had filled before.
        """
        known = self._all.get(view.order_id)
        if known is not None and view.seq <= known.seq:
            return False
        if view.coid is not None:
            self._by_coid[view.coid] = view.order_id
        told = known.told_quantity if known else ZERO
        if view.broker_order_id is not None:
            self._by_broker_order_id[view.broker_order_id] = view.order_id
            told += self._claim(view.broker_order_id, view.order_id)
        before = known.before_quantity if known else ZERO
        if known is None and held:
            before = max(view.filled_quantity - told, ZERO)
        self._keep(
            Reservation(
                order_id=view.order_id,
                conid=view.conid,
                symbol=view.symbol,
                side=view.side,
                quantity=view.quantity,
                filled_quantity=view.filled_quantity,
                told_quantity=told,
                before_quantity=before,
                terminal=view.state in TERMINAL,
                seq=view.seq,
            )
        )
        return True

    def fill(self, execution: Execution, grown: Decimal) -> None:
        """Move a fill from its order's reservation to what the account holds.

        `grown` is the quantity of a new execution, or the difference that a correction
        makes. A fill of an order that is not ours reserves nothing.
        """
        root = execution_root(execution.execution_id)
        order_id = self._owners.get(root)
        if order_id is None:
            order_id, grown = self._order_of(execution), execution.quantity
            if order_id is None:
                if execution.broker_order_id is not None:
                    strange = self._strange.setdefault(execution.broker_order_id, {})
                    strange[root] = execution.quantity
                return
            self._owners[root] = order_id
        reservation = self._all[order_id]
        told = reservation.told_quantity + grown
        self._keep(replace(reservation, told_quantity=told))

    def forget(self, order_id: OrderId) -> None:
        """Release all of an order that never was."""
        self._all.pop(order_id, None)
        self._open.pop(order_id, None)

    def _claim(self, broker_order_id: BrokerOrderId, order_id: OrderId) -> Decimal:
        """Return the sum of the fills that came before their order was known."""
        claimed = ZERO
        for root, quantity in self._strange.pop(broker_order_id, {}).items():
            if root not in self._owners:
                self._owners[root] = order_id
                claimed += quantity
        return claimed

    def _order_of(self, execution: Execution) -> OrderId | None:
        order_id = None
        if execution.coid is not None:
            order_id = self._by_coid.get(execution.coid)
        if order_id is None and execution.broker_order_id is not None:
            order_id = self._by_broker_order_id.get(execution.broker_order_id)
        return order_id if order_id in self._all else None

    def _keep(self, reservation: Reservation) -> None:
        self._all[reservation.order_id] = reservation
        if reservation.terminal and not reservation.open_quantity:
            self._open.pop(reservation.order_id, None)
        else:
            self._open[reservation.order_id] = reservation
