"""Asking for single orders: those that work, as far as is known, and are not listed.

A list leaves orders out: one that ended in a login before, one of its thousand and first
row, any one while it is cold or frozen. That an order is not in it says nothing; but the
order's own status can say everything, where the broker gives it.

Rule 1: an order that two whole lists in a row did not show is asked for, one at a time;
without an answer again after 4, 8, 16 and so on, until a list shows it or it has ended. The
list after each of these clears the filters, because one may hide it.

Rule 2: no answer proves nothing: the broker refuses the status of an order that aged out,
and of every account but the one that somebody selected. After three lists and no answer
the order is unconfirmed, never more.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, TypeAlias

from engine.domain.messages import CallGateway, OrdersRead, OrderStatusRead, SessionCall
from engine.domain.session.effects import MissOrder
from engine.domain.session.orders import LiveOrder, SessionOrders
from engine.domain.values import OrderId

ASKED_AFTER: Final = 2
"""So many whole lists in a row have not shown an order; then it is asked for."""

UNCONFIRMED_AFTER: Final = 3
"""So many whole lists in a row have not shown an order."""

_Calls: TypeAlias = Iterator[CallGateway]


class Statuses:
    """Counts the lists that lack an order, and asks for it."""

    def __init__(self, orders: SessionOrders) -> None:
        self._orders = orders
        self._lacked: dict[OrderId, int] = {}
        self._left: deque[OrderId] = deque()
        self._in_hand: OrderId | None = None
        self._wants_force = False

    def stop(self) -> None:
        """The brokerage session is gone; the next one's lists are others."""
        self._lacked.clear()
        self._left.clear()
        self._in_hand = None
        self._wants_force = False

    def renew(self) -> None:
        """A new plan begins: an answer to what is on the wire ends nothing any more."""
        self._left.clear()
        self._in_hand = None

    def read_orders(self, message: OrdersRead, asked_ns: int) -> Iterator[MissOrder]:
        """Take a warm list; one that is not whole only shows what it has."""
        whole = message.complete and message.account is None
        shown = {(row.account, row.broker_order_id) for row in message.rows}
        live = dict(self._orders.all_live())
        self._lacked = {order_id: n for order_id, n in self._lacked.items() if order_id in live}
        for order_id, order in live.items():
            if order.key in shown:
                self._lacked.pop(order_id, None)
            elif whole and order.since_ns < asked_ns:
                lacked = self._lacked[order_id] = self._lacked.get(order_id, 0) + 1
                self._wants_force |= _is_due(lacked)
                if lacked == UNCONFIRMED_AFTER:
                    yield MissOrder(order_id=order_id)

    def wants_force(self) -> bool:
        """Say once whether the next list should be one that clears the broker's filters.

        Another program of the same login may have set one, and it stays until it is cleared.
        """
        wanted, self._wants_force = self._wants_force, False
        return wanted

    def ask(self) -> _Calls:
        """Ask for the orders that the lists lack, unless that goes on already."""
        if self._in_hand is None:
            due = (order_id for order_id, lacked in self._lacked.items() if _is_due(lacked))
            self._left = deque(due)
            yield from self._ask_next()

    def answered(self, message: OrderStatusRead) -> _Calls:
        """One is there, at work or over."""
        for order_id, order in self._orders.all_live():
            if order.key == (message.row.account, message.row.broker_order_id):
                self._lacked.pop(order_id, None)
        yield from self._ask_next()

    def failed(self) -> _Calls:
        """One was not to be had."""
        yield from self._ask_next()

    def _ask_next(self) -> _Calls:
        self._in_hand = None
        live: dict[OrderId, LiveOrder] = dict(self._orders.all_live())
        while self._left and self._in_hand is None:
            order_id = self._left.popleft()
            order = live.get(order_id)
            if order is not None:
                self._in_hand = order_id
                account, broker_order_id = order.key
                yield CallGateway(
                    call=SessionCall.ORDER_STATUS,
                    account=account,
                    broker_order_id=broker_order_id,
                )


def _is_due(lacked: int) -> bool:
    """Say whether it is time to ask: each time after twice as many lists."""
    return lacked >= ASKED_AFTER and lacked.bit_count() == 1
