"""Where the orders are: by our id, by our id on the wire, and by the broker's ids.

Rule: an order at rest has no actor. It is woken when somebody wants to tell it something,
and only then.
"""

from collections.abc import Callable, Iterable

from engine.actors.mailbox import LoopRef
from engine.domain.history import RestingOrder
from engine.domain.values import AccountId, BrokerOrderId, Coid, OrderId


def _nobody_rests(order_id: OrderId) -> LoopRef:
    msg = f"order {order_id} rests, and nobody was named who wakes it"
    raise LookupError(msg)


class Addresses:
    """The actors of the orders, and what their orders are called."""

    def __init__(self) -> None:
        self.wake: Callable[[OrderId], LoopRef] = _nobody_rests
        self._refs: dict[OrderId, LoopRef] = {}
        self._resting: set[OrderId] = set()
        self._by_coid: dict[Coid, OrderId] = {}
        self._by_broker_id: dict[tuple[AccountId, BrokerOrderId], OrderId] = {}

    def connect(self, order_id: OrderId, coid: Coid | None, ref: LoopRef) -> None:
        """Let an order be found from now on."""
        self._refs[order_id] = ref
        self._resting.discard(order_id)
        if coid is not None:
            self._by_coid[coid] = order_id

    def rest(self, order: RestingOrder) -> None:
        """Let an order be found that has no actor until it is wanted."""
        self._refs.pop(order.order_id, None)
        self._resting.add(order.order_id)
        if order.coid is not None:
            self._by_coid[order.coid] = order.order_id
        for broker_order_id in order.broker_order_ids:
            self._by_broker_id[order.account, broker_order_id] = order.order_id

    def learn(self, account: AccountId, broker_order_id: BrokerOrderId, order_id: OrderId) -> None:
        """Let the broker's id mean the order."""
        self._by_broker_id[account, broker_order_id] = order_id

    def forget(self, order_id: OrderId) -> None:
        """Let no id of the broker's mean an order that never was."""
        for key in [key for key, owner in self._by_broker_id.items() if owner == order_id]:
            del self._by_broker_id[key]

    def ref(self, order_id: OrderId) -> LoopRef | None:
        """Return the order's actor, None when it rests or there is none."""
        return self._refs.get(order_id)

    def refs(self) -> Iterable[LoopRef]:
        """Return the actors of all orders that do not rest."""
        return self._refs.values()

    def reach(self, order_id: OrderId) -> LoopRef | None:
        """Return the order's actor, woken if it rests; None when there is no such order."""
        ref = self._refs.get(order_id)
        if ref is None and order_id in self._resting:
            ref = self.wake(order_id)
        return ref

    def of_coid(self, coid: Coid | None) -> OrderId | None:
        """Return whose id on the wire it is."""
        return None if coid is None else self._by_coid.get(coid)

    def of_broker_id(
        self, account: AccountId, broker_order_id: BrokerOrderId | None
    ) -> OrderId | None:
        """Return which order the broker calls so."""
        if broker_order_id is None:
            return None
        return self._by_broker_id.get((account, broker_order_id))
