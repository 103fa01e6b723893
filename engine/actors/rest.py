"""Orders at rest: nobody acts for an order that ended a day ago, and yet it can be woken.

Rule: news of an order at rest finds it as if it had never rested. It is woken before the
news is handed over, as the order that its records made.
"""

from collections.abc import Iterator
from typing import Final

from engine import log
from engine.actors.mailbox import LoopRef
from engine.actors.order import OrderActor
from engine.actors.roster import Roster
from engine.domain.history import Packing, RestingOrder, is_unsettled, lay_to_rest, may_rest
from engine.domain.messages import OrderForgotten
from engine.domain.order import Order
from engine.domain.order.image import last_news_ns, order_of
from engine.domain.values import Execution, OrderId

_LOG = log.get("actors/rest")

SWEEP_S: Final = 600.0
"""How often somebody looks which orders may rest."""

SWEEP_ORDERS: Final = 200
"""So many are looked at in one turn of the loop, which each that may rest holds up."""

SWEEP_PAUSE_S: Final = 1.0
"""What passes before the next so many."""


class Rest:
    """Lays orders to rest and wakes them."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._board = roster.switchboard
        self._board.wake = self.wake
        self._board.knows_fill = self.knows_fill
        self._round: list[LoopRef] = []

    def lay(self, order: RestingOrder) -> None:
        """Show an order that rests, and let it be found."""
        self._board.views.rest(order)
        self._board.rest(order)

    def knows_fill(self, order_id: OrderId, execution: Execution) -> bool:
        """Say whether an order at rest has the execution: every login tells those of a week."""
        found, packing = self._board.views.resting(order_id), self._roster.packing
        if found is None or packing is None:
            return False
        fills = packing.unpack(found.packed).fills
        known = (one for one in fills if one.execution_id == execution.execution_id)
        return any(execution.commission in {None, one.commission} for one in known)

    def wake(self, order_id: OrderId) -> LoopRef:
        """Start the actor of an order at rest again; it needs nothing but its news."""
        found = self._board.views.resting(order_id)
        packing = self._roster.packing
        assert found is not None, f"order {order_id} does not rest"
        assert packing is not None
        order = order_of(packing.unpack(found.packed))
        view = order.snapshot(found.seq)
        actor = self._roster.spawner.rebuild(order)
        self._board.show(view)
        risk = self._roster.risks.get(found.account)
        if risk is not None:
            self._roster.reserve(risk, order, found.seq)
        actor.guarded(actor.resume)
        _LOG.info("order_woken", order_id=order_id)
        return actor.ref

    def sweep(self) -> bool:
        """Lay to rest what ended a day ago, of the next orders; False once all were looked at."""
        packing = self._roster.packing
        if packing is None:
            return False
        if not self._round:
            self._round = list(self._board.order_refs())
        looked = self._round[-SWEEP_ORDERS:]
        del self._round[-SWEEP_ORDERS:]
        now_ns = self._roster.clock.wall_ns()
        count = sum(self._lay_down(ref, packing, now_ns) for ref in looked)
        if count:
            _LOG.info("orders_laid_to_rest", orders=count)
        return bool(self._round)

    def _lay_down(self, ref: LoopRef, packing: Packing, now_ns: int) -> bool:
        """Lay an order to rest if it may; say whether it did."""
        actor = ref.actor
        if not isinstance(actor, OrderActor) or not self._may_rest(actor, now_ns):
            return False
        order = actor.order
        if not all(self._may_rest(one, now_ns) for one in self._members(order)):
            return False
        view = self._board.views.get(order.order_id)
        assert view is not None
        self._roster.dispatcher.end(ref)
        actor.abandon()
        self.lay(lay_to_rest(order, view.seq, packing))
        self._board.tell_risk(view.account, OrderForgotten(order_id=order.order_id))
        return True

    def _members(self, order: Order) -> Iterator[OrderActor]:
        """Return who else of the order's group does not rest, as far as its leader is awake."""
        group = order.ticket.group
        leader = None if group is None else self._board.order_ref(group.leader)
        if leader is None or not isinstance(leader.actor, OrderActor):
            return
        yield leader.actor
        for follower in leader.actor.order.followers:
            ref = self._board.order_ref(follower.order_id)
            if ref is not None and isinstance(ref.actor, OrderActor):
                yield ref.actor

    def _may_rest(self, actor: OrderActor, now_ns: int) -> bool:
        order, ref = actor.order, actor.ref
        if not order.state_known:
            return False
        view = self._board.views.get(order.order_id)
        if view is None or ref.paused or ref.stopped or ref.mail is not None:
            return False
        if order.is_looked_for or order.has_turn or is_unsettled(order):
            return False
        known = self._roster.journal.kept.reconciled.get(order.ticket.account)
        return view.state is order.state and may_rest(
            order.state,
            age_ns=now_ns - last_news_ns(order),
            seq=view.seq,
            compared_seq=None if known is None else known.seq,
        )
