"""What people do by hand with odd orders: declare what became of one, adopt one, read its story.

Rule: as everywhere, only what is durable is answered, and the order's machine has the last
word. What is refused here would change nothing there.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from engine.actors.adoptions import EXTERNAL_UNKNOWN
from engine.actors.journal_health import JournalHealth
from engine.actors.order import OrderActor
from engine.actors.switchboard import Switchboard
from engine.domain.messages import ResolveOrder
from engine.domain.order import Order
from engine.domain.ports import (
    NotResolvable,
    ResolveRequest,
    UnknownExternalOrder,
    UnknownOrder,
)
from engine.domain.values import (
    DOUBTFUL,
    TERMINAL,
    AccountId,
    BrokerOrderId,
    OrderId,
    OrderRow,
    Pending,
    Reason,
    Resolution,
)
from engine.domain.views import EventView, OrderView

DURABLE_S_MAX: Final = 5.0
"""What a person declares gets this long to become durable."""

STORY_PAGE: Final = 1_000
"""So many records of an order are read at once."""


class Interventions:
    """Lets people tell the engine what it cannot find out."""

    def __init__(
        self,
        *,
        switchboard: Switchboard,
        order: Callable[[OrderId], OrderView],
        health: JournalHealth,
    ) -> None:
        self._health = health
        self._board = switchboard
        self._order = order

    async def resolve(self, order_id: OrderId, request: ResolveRequest, *, by: str) -> OrderView:
        """Declare what became of an order in doubt; return it, durable."""
        before = self._order(order_id)
        self._health.refuse_all()
        self._refuse_unless_resolvable(before, request, by)
        message = ResolveOrder(
            order_id=order_id,
            resolution=request.resolution,
            reason=request.reason,
            by=by,
            approved_by=request.approved_by,
            broker_order_id=request.broker_order_id,
            quantity=request.quantity,
            price=request.price,
        )
        self._board.tell_order(order_id, message)

        def declared(now: OrderView | None) -> bool:
            return now is not None and now.seq > before.seq and now.state not in DOUBTFUL

        after = await self._board.views.wait_for(order_id, declared, timeout_s=DURABLE_S_MAX)
        if not declared(after):
            self._health.refuse_all()
            shown = before.state if after is None else after.state
            msg = f"order {order_id} is {shown} still; it did not take what was declared of it"
            raise NotResolvable(msg)
        return self._order(order_id)

    def _refuse_unless_resolvable(self, view: OrderView, request: ResolveRequest, by: str) -> None:
        obstacle = _misfit(view, request, by)
        if obstacle is None and not self._is_resolvable(view):
            obstacle = f"it is {view.state}, and only an order in doubt can be declared"
        if obstacle is None:
            obstacle = self._order_of(view).denies(request.resolution, request.broker_order_id)
        named = request.broker_order_id
        if obstacle is None and named is not None:
            other = self._board.order_of(view.account, named)
            if other not in {None, view.order_id}:
                obstacle = f"the broker's order {named} is order {other}"
            else:
                obstacle = _unlike(view, self._board.stranger(view.account, named))
        if obstacle is not None:
            msg = f"order {view.order_id} cannot be resolved so: {obstacle}"
            raise NotResolvable(msg)

    def _is_resolvable(self, view: OrderView) -> bool:
        ref = self._board.order_ref(view.order_id)
        if ref is None or view.state in TERMINAL:
            return False
        order = self._order_of(view)
        return order.state_known and order.is_resolvable

    def _order_of(self, view: OrderView) -> Order:
        ref = self._board.order_ref(view.order_id)
        assert ref is not None
        actor = ref.actor
        assert isinstance(actor, OrderActor)
        order: Order = actor.order
        return order

    async def adopt(
        self, account: AccountId, broker_order_id: BrokerOrderId, *, cancel: bool, by: str
    ) -> OrderView:
        """Make somebody else's order one of ours, and cancel it if wanted; return it, durable."""
        self._health.refuse_new()
        found = self._board.adopt(account, broker_order_id, cancel=cancel, by=by)
        if isinstance(found, Reason):
            if found.code == EXTERNAL_UNKNOWN:
                raise UnknownExternalOrder(found.message)
            raise NotResolvable(found.message)
        views = self._board.views

        def adopted(now: OrderView | None) -> bool:
            if now is None:
                return views.is_forgotten(found)
            return not cancel or now.pending is Pending.CANCEL or now.state in TERMINAL

        after = await views.wait_for(found, adopted, timeout_s=DURABLE_S_MAX)
        if after is None:
            msg = f"order {found} could not be made durable; the broker's order is as it was"
            raise self._health.error(msg)
        return self._order(found)

    async def story(self, order_id: OrderId) -> tuple[EventView, ...]:
        """Every journal record of an order, oldest first."""
        events: list[EventView] = []
        read = self._board.journal.read
        while page := await read(
            after_seq=events[-1].seq if events else 0, limit=STORY_PAGE, order_id=order_id
        ):
            events.extend(page)
        if not events:
            raise UnknownOrder(order_id)
        return tuple(events)


def _unlike(view: OrderView, row: OrderRow | None) -> str | None:
    """Say what the broker shows of the order named that this one is not; None where nothing."""
    if row is None:
        return None
    told = (
        ("reference", row.coid, view.coid),
        ("contract", row.conid, view.conid),
        ("side", row.side, view.side),
        ("quantity", row.total_quantity, view.quantity or row.total_quantity),
    )
    return next(
        (
            f"the broker's order {row.broker_order_id} shows the {name} {found}, this has {ours}"
            for name, found, ours in told
            if found is not None and found != ours
        ),
        None,
    )


def _misfit(view: OrderView, request: ResolveRequest, by: str) -> str | None:
    """Say what of a declaration does not fit itself or the order, None when all does."""
    if request.approved_by == by:
        return f"{by} cannot be the second person as well"
    told = {
        "broker_order_id": request.broker_order_id,
        "quantity": request.quantity,
        "price": request.price,
    }
    match request.resolution:
        case Resolution.NOT_PLACED:
            unfit = [name for name, value in told.items() if value is not None]
            return f"not_placed takes no {' and no '.join(unfit)}" if unfit else None
        case Resolution.LIVE:
            if request.broker_order_id is None:
                return "live needs broker_order_id"
            unfit = [name for name in ("quantity", "price") if told[name] is not None]
            return f"live takes no {' and no '.join(unfit)}" if unfit else None
        case Resolution.FILLED:
            return _unfilled(view, request)


def _unfilled(view: OrderView, request: ResolveRequest) -> str | None:
    most = max(view.quantity, view.quantity_max)
    quantity = request.quantity
    if quantity is not None and not Decimal(0) < quantity <= most:
        return f"quantity={quantity} is not above 0 and at most {most}"
    if request.price is None and view.limit_price is None:
        return f"filled needs a price: a {view.type} order has none of its own"
    return None
