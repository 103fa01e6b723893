"""The durable orders as everybody outside their actors sees them, and who waits for them."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from engine import metrics
from engine.domain.history import Packing, RestingOrder
from engine.domain.order.image import order_of
from engine.domain.ports import OrderFilter
from engine.domain.values import (
    DOUBTFUL,
    TERMINAL,
    AccountId,
    ClientOrderId,
    Confidence,
    OrderId,
    OrderState,
)
from engine.domain.views import OrderView


class Views:
    """The newest durable view of each order, by id, in order of creation.

    An order at rest is kept as bytes, which `packing` opens when somebody asks for it.
    """

    def __init__(self, packing: Packing | None = None) -> None:
        self.refresh: Callable[[], None] = lambda: None
        """Shows at once what is durable and was left for a moment later."""
        self._packing = packing
        self._orders: dict[OrderId, OrderView | RestingOrder] = {}
        self._awake: dict[OrderId, OrderView] = {}
        self._by_key: dict[ClientOrderId, tuple[OrderId, ...]] = {}
        self._waiters: dict[OrderId, list[asyncio.Future[None]]] = {}
        self._states: dict[OrderState, int] = dict.fromkeys(OrderState, 0)
        self._gauges = {state: metrics.ORDERS.labels(state) for state in OrderState}
        self._in_doubt: dict[AccountId, int] = {}
        self._forgotten: set[OrderId] = set()

    def put(self, view: OrderView) -> None:
        """Show this view from now on, and wake who waits for the order."""
        self._keep(view)
        self._awake[view.order_id] = view
        self._wake(view.order_id)

    def rest(self, order: RestingOrder) -> None:
        """Show an order that is over, and keep little of it."""
        self._keep(order)
        self._awake.pop(order.order_id, None)

    def _keep(self, kept: OrderView | RestingOrder) -> None:
        before = self._orders.get(kept.order_id)
        if before is None:
            key = kept.client_order_id
            self._by_key[key] = (*self._by_key.get(key, ()), kept.order_id)
        self._orders[kept.order_id] = kept
        if before is None or before.state is not kept.state:
            self._count(before, -1)
            self._count(kept, 1)

    def forget(self, order_id: OrderId) -> None:
        """Tell who waits that there will be no such order."""
        self._forgotten.add(order_id)
        self._wake(order_id)

    def is_forgotten(self, order_id: OrderId) -> bool:
        """True when the order's first record could not be made durable."""
        return order_id in self._forgotten

    def _wake(self, order_id: OrderId) -> None:
        for waiter in self._waiters.pop(order_id, []):
            if not waiter.done():
                waiter.set_result(None)

    def _count(self, kept: OrderView | RestingOrder | None, step: int) -> None:
        if kept is None:
            return
        self._states[kept.state] += step
        self._gauges[kept.state].set(self._states[kept.state])
        if kept.state in DOUBTFUL:
            count = self._in_doubt.get(kept.account, 0) + step
            self._in_doubt[kept.account] = count
            metrics.ORDERS_IN_DOUBT.labels(metrics.account_label(kept.account)).set(count)

    def get(self, order_id: OrderId) -> OrderView | None:
        """Return the order, None when there is no durable one of that id."""
        kept = self._orders.get(order_id)
        return None if kept is None else self._open(kept)

    def _open(self, kept: OrderView | RestingOrder) -> OrderView:
        if isinstance(kept, RestingOrder):
            assert self._packing is not None, "an order rests that nobody can wake"
            return order_of(self._packing.unpack(kept.packed)).snapshot(kept.seq)
        return kept

    def resting(self, order_id: OrderId) -> RestingOrder | None:
        """Return an order at rest; None when it does not rest, or when there is none."""
        kept = self._orders.get(order_id)
        return kept if isinstance(kept, RestingOrder) else None

    def at_rest(self) -> Iterator[RestingOrder]:
        """Return the orders at rest."""
        return (kept for kept in self._orders.values() if isinstance(kept, RestingOrder))

    def ended_key(self, account: AccountId, key: ClientOrderId) -> tuple[OrderId, str] | None:
        """Return the account's order at rest that has this key, and its request's digest."""
        for order_id in self._by_key.get(key, ()):
            kept = self.resting(order_id)
            if kept is not None and kept.account == account:
                return order_id, self._open(kept).request_sha256
        return None

    def __iter__(self) -> Iterator[OrderView]:
        """Return the orders that do not rest; all that are not over are among them."""
        self.refresh()
        return iter(self._awake.values())

    def find(
        self, wanted: OrderFilter, *, is_ready: Callable[[AccountId], bool]
    ) -> tuple[OrderView, ...]:
        """Return the orders that pass the filter, newest first.

        It holds up every actor of the engine, so it copies none but those it returns.
        """
        self.refresh()
        found = (
            view
            for view in self._newest_first(wanted.client_order_id)
            if (wanted.account is None or view.account == wanted.account)
            and (wanted.state is None or view.state is wanted.state)
            and not (wanted.open_only and view.state in TERMINAL)
        )
        return tuple(
            shown(self._open(view), ready=is_ready(view.account))
            for view in islice(found, wanted.limit)
        )

    def _newest_first(self, key: ClientOrderId | None) -> Iterator[OrderView | RestingOrder]:
        if key is None:
            return reversed(self._orders.values())
        return (self._orders[order_id] for order_id in reversed(self._by_key.get(key, ())))

    async def wait_for(
        self, order_id: OrderId, until: Callable[[OrderView | None], bool], *, timeout_s: float
    ) -> OrderView | None:
        """Return the order once `until` holds, or as it is when the time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not until(self.get(order_id)) and loop.time() < deadline:
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.setdefault(order_id, []).append(waiter)
            timer = loop.call_at(deadline, _end, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
                waiters = self._waiters.get(order_id, [])
                if waiter in waiters:
                    waiters.remove(waiter)
        return self.get(order_id)


def _end(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def shown(view: OrderView, *, ready: bool) -> OrderView:
    """Return the view with the confidence that the session's health leaves it."""
    if ready or view.state in TERMINAL or view.confidence is Confidence.UNCONFIRMED:
        return view
    return replace(view, confidence=Confidence.STALE)
