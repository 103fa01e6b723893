"""What the orders of an account reserve, and which fills are theirs.

Rule 1: only an order's own durable news, or the proof that it never was, releases what it
reserved.

Rule 2: a fill finds its order by our id or by the broker's, even when it came before we
knew that the broker's id means the order.

Rule 3: a change reserves the larger of all terms that may be in force, until the order's
durable news has shown it come and go. News on its way when the change was approved knows
nothing of it, so it releases nothing.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from engine.domain.risk.exposure import ZERO, Reservation
from engine.domain.values import (
    TERMINAL,
    BrokerOrderId,
    Coid,
    ConId,
    Execution,
    OrderId,
    Terms,
    Ticket,
    execution_root,
)
from engine.domain.views import OrderView

CURRENCY: Final = "CASH"
"""The broker's security type of a pair of currencies."""


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
        self._groups: dict[OrderId, dict[OrderId, None]] = {}
        self._names: dict[OrderId, tuple[set[Coid], set[BrokerOrderId]]] = {}
        self._currencies: set[ConId] = set()

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

    def members(self, leader: OrderId) -> tuple[Reservation, ...]:
        """Return all orders of a group, those that are over among them."""
        return tuple(self._all[order_id] for order_id in self._groups.get(leader, {}))

    def begun_ns(self, execution: Execution) -> int | None:
        """Return when the order of a fill was approved, None when nobody knows."""
        order_id = self._order_of(execution)
        return None if order_id is None else self._all[order_id].begun_ns

    def is_currency(self, conid: ConId) -> bool:
        """Return whether an order of ours was for this pair of currencies."""
        return conid in self._currencies

    def is_known(self, broker_order_id: BrokerOrderId) -> bool:
        """Return whether the broker's id means one of our orders."""
        return broker_order_id in self._by_broker_order_id

    def strange_quantity(self, broker_order_id: BrokerOrderId) -> Decimal:
        """Return what was told of the fills of an order that is not ours."""
        return sum(self._strange.get(broker_order_id, {}).values(), ZERO)

    def reserve(
        self, ticket: Ticket, order_id: OrderId, coid: Coid, *, units: Decimal, now_ns: int
    ) -> None:
        """Reserve all of a new order: `units` at most."""
        assert order_id not in self._all
        self._name(order_id, coid)
        self._note_type(ticket.conid, ticket.sec_type)
        self._keep(
            Reservation(
                order_id=order_id,
                conid=ticket.conid,
                symbol=ticket.symbol,
                side=ticket.side,
                quantity=units,
                filled_quantity=ZERO,
                told_quantity=ZERO,
                before_quantity=ZERO,
                terminal=False,
                seq=0,
                group=ticket.group,
                begun_ns=now_ns,
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

    def follow(self, view: OrderView, *, held: bool, settled: Decimal = ZERO) -> bool:
        """Take over an order's durable state; False when it is no news.

        With `held`, the positions that are still to be read account for what an order that
        is new to us had filled before; `settled` is how much of it they do otherwise.
        """
        known = self._all.get(view.order_id)
        if known is not None and view.seq <= known.seq:
            self._settle_late(known, view)
            return False
        self._note_type(view.conid, view.sec_type)
        told = known.told_quantity if known else ZERO
        broker_order_ids = _broker_order_ids(view)
        self._name(view.order_id, view.coid, broker_order_ids)
        for broker_order_id in broker_order_ids:
            told += self._claim(broker_order_id, view.order_id)
        before = known.before_quantity if known else settled
        if known is None and (held or view.state in TERMINAL):
            # One that slept is only told again because of what it had filled long before.
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
                terminal=view.state in TERMINAL and not view.quantity_extra,
                seq=view.seq,
                group=view.group,
                begun_ns=known.begun_ns if known else None,
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
        reservation = self._all.get(order_id)
        if reservation is None:
            return  # It sleeps; what it had filled says its news, when there is some.
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
        """Release all of an order that never was, or that was over long ago."""
        reservation = self._all.pop(order_id, None)
        self._open.pop(order_id, None)
        self._changes.pop(order_id, None)
        if reservation is None:
            return
        coids, broker_order_ids = self._names.pop(order_id, (set(), set()))
        for coid in coids:
            self._by_coid.pop(coid, None)
        for broker_order_id in broker_order_ids:
            self._by_broker_order_id.pop(broker_order_id, None)
        if reservation.group is not None:
            members = self._groups[reservation.group.leader]
            members.pop(order_id, None)
            if not members:
                del self._groups[reservation.group.leader]

    def _name(
        self, order_id: OrderId, coid: Coid | None, broker_order_ids: Iterable[BrokerOrderId] = ()
    ) -> None:
        """Let the names mean the order from now on."""
        coids, ids = self._names.setdefault(order_id, (set(), set()))
        if coid is not None:
            coids.add(coid)
            self._by_coid[coid] = order_id
        for broker_order_id in broker_order_ids:
            ids.add(broker_order_id)
            self._by_broker_order_id[broker_order_id] = order_id

    def _note_type(self, conid: ConId, sec_type: str) -> None:
        if sec_type == CURRENCY:
            self._currencies.add(conid)

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
        if reservation.group is not None:
            group = self._groups.setdefault(reservation.group.leader, {})
            group[reservation.order_id] = None
        if reservation.terminal and not reservation.open_quantity:
            self._open.pop(reservation.order_id, None)
        else:
            self._open[reservation.order_id] = reservation


def _most(view: OrderView) -> Decimal:
    """Return what an order may fill at most, by its terms and those that it waits for.

    What second orders of the broker under its id may fill comes on top.
    """
    own = max(
        view.quantity, view.quantity_max, ZERO if view.wanted is None else view.wanted.quantity
    )
    if view.state in TERMINAL and view.quantity_extra:
        # It fills no more of its own; what has filled may be of either order.
        own = min(own, view.filled_quantity)
    return own + view.quantity_extra


def _broker_order_ids(view: OrderView) -> tuple[BrokerOrderId, ...]:
    mine = () if view.broker_order_id is None else (view.broker_order_id,)
    return (*mine, *view.other_broker_order_ids)
