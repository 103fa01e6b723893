"""What starts an order's actor: new from risk, denied by risk, adopted, or rebuilt."""

from collections.abc import Sequence

from engine.actors.mailbox import Dispatcher, LoopRef
from engine.actors.order import OrderActor
from engine.actors.shell import Clock, post
from engine.actors.switchboard import Switchboard
from engine.domain.messages import AdoptOrder, DenyOrder, StartFollowers, SubmitOrder
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
        switchboard.start_followers = self.start_followers
        switchboard.start_adopted = self.start_adopted

    def start_order(
        self, approved: ApprovedTicket, followers: Sequence[ApprovedTicket] = ()
    ) -> None:
        """Start an order that risk approved: its intent is the first thing it writes.

        The intent of a group's leader has the bodies of all; see `start_followers`.
        """
        if followers:
            orders = [(one.ticket, one.coid) for one in (approved, *followers)]
            body = self._encoder.encode_group(orders)
        else:
            body = self._encoder.encode(approved.ticket, approved.coid)
        ref = self._spawn(approved.order_id, approved.coid, Order())
        post(ref, SubmitOrder(approved=approved, body=body, followers=tuple(followers)))

    def start_followers(self, start: StartFollowers) -> None:
        """Start the other orders of a group whose leader's intent is durable.

        Their intents are on their way to the journal when this returns, and so are there
        before anything that the leader writes next. One that exists already is left alone.
        """
        for approved in start.followers:
            order_id = approved.order_id
            known = self._switchboard.views.get(order_id) is not None
            if known or self._switchboard.order_ref(order_id) is not None:
                continue
            actor = self._actor(order_id, approved.coid, Order())
            actor.begin()
            actor.guarded(actor.on_receive, SubmitOrder(approved=approved, body=b""))

    def start_adopted(self, adopted: AdoptOrder) -> None:
        """Start somebody else's order as one of ours, without an id of ours on the wire."""
        post(self._spawn(adopted.order_id, None, Order()), adopted)

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
        return self._actor(order_id, coid, order).begin()

    def _actor(self, order_id: OrderId, coid: Coid | None, order: Order) -> OrderActor:
        """Make an actor that can be found from now on."""
        actor = self.make(order_id, order)
        self._switchboard.connect_order(order_id, coid, actor.ref)
        return actor
