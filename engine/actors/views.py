"""The durable orders as everybody outside their actors sees them, and who waits for them."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from engine import metrics
from engine.domain.ports import OrderFilter
from engine.domain.values import TERMINAL, AccountId, ClientOrderId, Confidence, OrderId, OrderState
from engine.domain.views import OrderView


class Views:
    """The newest durable view of each order, by id, in order of creation."""

    def __init__(self) -> None:
        self._orders: dict[OrderId, OrderView] = {}
        self._by_key: dict[ClientOrderId, tuple[OrderId, ...]] = {}
        self._waiters: dict[OrderId, list[asyncio.Future[None]]] = {}
        self._states: dict[OrderState, int] = dict.fromkeys(OrderState, 0)
        self._in_doubt: dict[AccountId, int] = {}
        self._forgotten: set[OrderId] = set()

    def put(self, view: OrderView) -> None:
        """Show this view from now on, and wake who waits for the order."""
        before = self._orders.get(view.order_id)
        if before is None:
            key = view.client_order_id
            self._by_key[key] = (*self._by_key.get(key, ()), view.order_id)
        self._count(before, -1)
        self._orders[view.order_id] = view
        self._count(view, 1)
        self._wake(view.order_id)

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

    def _count(self, view: OrderView | None, step: int) -> None:
        if view is None:
            return
        self._states[view.state] += step
        metrics.ORDERS.labels(view.state).set(self._states[view.state])
        if view.state in {OrderState.IN_DOUBT, OrderState.PARKED}:
            count = self._in_doubt.get(view.account, 0) + step
            self._in_doubt[view.account] = count
            metrics.ORDERS_IN_DOUBT.labels(metrics.account_label(view.account)).set(count)

    def get(self, order_id: OrderId) -> OrderView | None:
        """Return the order, None when there is no durable one of that id."""
        return self._orders.get(order_id)

    def __iter__(self) -> Iterator[OrderView]:
        return iter(self._orders.values())

    def find(
        self, wanted: OrderFilter, *, is_ready: Callable[[AccountId], bool]
    ) -> tuple[OrderView, ...]:
        """Return the orders that pass the filter, newest first.

        It holds up every actor of the engine, so it copies none but those it returns.
        """
        found = (
            view
            for view in self._newest_first(wanted.client_order_id)
            if (wanted.account is None or view.account == wanted.account)
            and (wanted.state is None or view.state is wanted.state)
            and not (wanted.open_only and view.state in TERMINAL)
        )
        return tuple(
            shown(view, ready=is_ready(view.account)) for view in islice(found, wanted.limit)
        )

    def _newest_first(self, key: ClientOrderId | None) -> Iterator[OrderView]:
        if key is None:
            return reversed(self._orders.values())
        return (self._orders[order_id] for order_id in reversed(self._by_key.get(key, ())))

    async def wait_for(
        self, order_id: OrderId, until: Callable[[OrderView | None], bool], *, timeout_s: float
    ) -> OrderView | None:
        """Return the order once `until` holds, or as it is when the time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not until(self._orders.get(order_id)) and loop.time() < deadline:
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.setdefault(order_id, []).append(waiter)
            try:
                async with asyncio.timeout_at(deadline):
                    await waiter
            except TimeoutError:
                break
            finally:
                waiters = self._waiters.get(order_id, [])
                if waiter in waiters:
                    waiters.remove(waiter)
        return self._orders.get(order_id)


def shown(view: OrderView, *, ready: bool) -> OrderView:
    """Return the view with the confidence that the session's health leaves it."""
    if ready or view.state in TERMINAL or view.confidence is Confidence.UNCONFIRMED:
        return view
    return replace(view, confidence=Confidence.STALE)
