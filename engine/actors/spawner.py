"""What starts an order's actor: new from risk, denied from risk, or rebuilt."""

from engine.actors.mailbox import Dispatcher, LoopRef
from engine.actors.order import OrderActor
from engine.actors.shell import Clock, post
from engine.actors.switchboard import Switchboard
from engine.domain.messages import DenyOrder, SubmitOrder
from engine.domain.order import Order
from engine.domain.ports import OrderEncoder
from engine.domain.values import ApprovedTicket, Coid, OrderId


class Spawner:
    """Starts order actors and lets the switchboard find them."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        clock: Clock,
        switchboard: Switchboard,
        encoder: OrderEncoder,
    ) -> None:
        self._dispatcher = dispatcher
        self._clock = clock
        self._switchboard = switchboard
        self._encoder = encoder

    def start_order(self, approved: ApprovedTicket) -> None:
        """Start an order that risk approved: its intent is the first thing it writes."""
        body = self._encoder.encode(approved.ticket, approved.coid)
        ref = self._spawn(approved.order_id, approved.coid, Order())
        post(ref, SubmitOrder(approved=approved, body=body))

    def start_denied(self, denied: DenyOrder) -> None:
        """Start an order that was never to be sent: it is recorded, and it is over."""
        post(self._spawn(denied.order_id, None, Order()), denied)

    def rebuild(self, order: Order) -> OrderActor:
        """Start the actor of an order that the journal brought back."""
        ref = self._spawn(order.order_id, order.coid, order)
        actor = ref.actor
        assert isinstance(actor, OrderActor)
        return actor

    def make(self, order_id: OrderId, order: Order) -> OrderActor:
        """Make an actor for an order without an address that anybody knows."""
        return OrderActor(
            dispatcher=self._dispatcher,
            name=order_id,
            clock=self._clock,
            switchboard=self._switchboard,
            order=order,
        )

    def _spawn(self, order_id: OrderId, coid: Coid | None, order: Order) -> LoopRef:
        actor = self.make(order_id, order)
        self._switchboard.connect_order(order_id, coid, actor.ref)
        return actor.begin()
