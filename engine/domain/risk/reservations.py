"""What the orders of an account reserve, and which fills are theirs.

Rule 1: only an order's own durable news, or the proof that it never was, releases what it
reserved.

Rule 2: a fill finds its order by our id or by the broker's, even when it came before we
knew that the broker's id means the order.

Rule 3: a change reserves the larger of all terms that may be in force, until the order's
durable news has shown it come and go. News on its way when the change was approved knows
nothing of it, so it releases nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
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
    Terms,
    execution_root,
)
from engine.domain.views import OrderView


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """Terms that were approved; `quantity` is the largest that may come into force.

    `seen` is True once the order's durable news has shown them as wanted. `without` is the
    record of the newest news without any wanted terms, and what it said may fill.
    """

    terms: Terms
    quantity: Decimal
    approved_ns: int
    seen: bool = False
    without: tuple[int, Decimal] | None = None


class Reservations:
    """The reservations of one account."""

    def __init__(self) -> None:
        self._all: dict[OrderId, Reservation] = {}
        self._open: dict[OrderId, Reservation] = {}
        self._by_coid: dict[Coid, OrderId] = {}
        self._by_broker_order_id: dict[BrokerOrderId, OrderId] = {}
        self._owners: dict[str, OrderId] = {}
        self._changes: dict[OrderId, _Change] = {}
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

    def reserve(self, message: RequestOrder, units: Decimal) -> None:
        """Reserve all of a new order: `units` at most."""
        assert message.order_id not in self._all
        ticket = message.ticket
        self._by_coid[message.coid] = message.order_id
        self._keep(
            Reservation(
                order_id=message.order_id,
                conid=ticket.conid,
                symbol=ticket.symbol,
                side=ticket.side,
                quantity=units,
                filled_quantity=ZERO,
                told_quantity=ZERO,
                before_quantity=ZERO,
                terminal=False,
                seq=0,
            )
        )

    def changing_since_ns(self, order_id: OrderId) -> int | None:
        """Return when a change was approved that is not over, None when there is none."""
        change = self._changes.get(order_id)
        return None if change is None else change.approved_ns

    def is_change_seen(self, order_id: OrderId) -> bool:
        """Tell whether the order has the change that was approved for it."""
        return order_id in self._changes and self._changes[order_id].seen

    def change(self, order_id: OrderId, terms: Terms, now_ns: int) -> None:
        """Reserve the larger of what is reserved and what the new terms may fill."""
        reservation = self._all[order_id]
        earlier = self._changes.get(order_id)
        largest = terms.quantity if earlier is None else max(terms.quantity, earlier.quantity)
        self._changes[order_id] = _Change(terms=terms, quantity=largest, approved_ns=now_ns)
        self._keep(replace(reservation, quantity=max(reservation.quantity, largest)))

    def follow(self, view: OrderView, *, held: bool) -> bool:
        """Take over an order's durable state; False when it is no news.

        With `held`, the positions that are still to be read account for what an order that
        is new to us had filled before.
        """
        known = self._all.get(view.order_id)
        if known is not None and view.seq <= known.seq:
            self._settle_late(known, view)
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
                quantity=max(_most(view), self._most_changed(view)),
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

    def _most_changed(self, view: OrderView) -> Decimal:
        """Return what an approved change may fill, ZERO once it has come and gone."""
        change = self._changes.get(view.order_id)
        if change is None:
            return ZERO
        if view.state in TERMINAL or (change.seen and view.wanted is None):
            del self._changes[view.order_id]
            return ZERO
        if view.wanted == change.terms:
            self._changes[view.order_id] = replace(change, seen=True)
        elif view.wanted is None:
            self._changes[view.order_id] = replace(change, without=(view.seq, _most(view)))
        return change.quantity

    def _settle_late(self, known: Reservation, view: OrderView) -> None:
        """Release a change whose coming is told after its going."""
        change = self._changes.get(view.order_id)
        if change is None or change.without is None or view.wanted != change.terms:
            return
        seq, most = change.without
        if seq > view.seq:
            del self._changes[view.order_id]
            self._keep(replace(known, quantity=most))

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


def _most(view: OrderView) -> Decimal:
    """Return what an order may fill at most, by its terms and those that it waits for."""
    wanted = ZERO if view.wanted is None else view.wanted.quantity
    return max(view.quantity, view.quantity_max, wanted)
