"""Orders in place of a bracket's exits that the broker does not have.

Rule 1: the new ones are ordinary orders: checked by risk, journaled, with ids of their own. Two
of them are a one-cancels-all group, so that the broker still lets one end the other.

Rule 2: their keys are made of the exits' keys, so what was replaced before is known after a
restart, and nothing is replaced twice. What more of the entry fills is replaced in addition.

Rule 3: what was refused is tried again, less and less often, and some times only; after that
a person must look.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from engine import log
from engine.actors.order import OrderActor
from engine.actors.shell import Clock
from engine.actors.switchboard import Switchboard
from engine.domain.messages import ReplaceExit
from engine.domain.order import Order, group
from engine.domain.ports import (
    AmbiguousSymbol,
    EngineDraining,
    JournalUnavailable,
    OrderFilter,
    SubmitRequest,
    SubmitResult,
)
from engine.domain.values import (
    AccountId,
    ApprovedTicket,
    GroupKind,
    OrderId,
    Ticket,
)
from engine.domain.views import OrderView

_LOG = log.get("actors/replacements")

REFUSED_MAX: Final = 8
"""So often a replacement is tried that risk or the broker refuses."""

AGAIN_NS: Final = 10_000_000_000
"""The first wait after a refusal; each is twice as long as the one before."""


class Replacements:
    """Submits new exits for an entry whose own are missing."""

    def __init__(
        self,
        *,
        switchboard: Switchboard,
        clock: Clock,
        submit: Callable[[SubmitRequest], Awaitable[SubmitResult]],
        is_ready: Callable[[AccountId], bool],
    ) -> None:
        self._board = switchboard
        self._clock = clock
        self._submit = submit
        self._is_ready = is_ready
        self._under_way: dict[OrderId, asyncio.Task[None]] = {}
        switchboard.replace_exit = self.replace
        switchboard.exits_of = self.exits_of

    def exits_of(self, order: Order) -> tuple[OrderView, ...]:
        """Return the exits of an entry as they are, and what has replaced them."""
        views = self._board.views
        found = (views.get(one.order_id) for one in order.followers)
        exits = tuple(view for view in found if view is not None)
        return (*exits, *(made for view in exits for made in self._made_for(view)))

    def replace(self, wanted: ReplaceExit) -> None:
        """Have the exits of an entry replaced, unless that is under way."""
        leader = self._leader_of(wanted.exit_id)
        if leader is None or leader.order_id in self._under_way:
            return
        if not self._is_ready(leader.ticket.account):
            return  # The entry asks again while an exit is missing.
        task = asyncio.get_running_loop().create_task(
            self._guarded(leader.order_id, self._replace(leader, wanted.quantity))
        )
        self._under_way[leader.order_id] = task
        task.add_done_callback(lambda _task: self._under_way.pop(leader.order_id, None))

    async def _guarded(self, leader: OrderId, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (EngineDraining, JournalUnavailable) as problem:
            _LOG.error("exit_not_replaced", order_id=leader, why=str(problem))

    async def _replace(self, leader: Order, quantity: Decimal) -> None:
        first = self._board.views.get(leader.followers[0].order_id)
        assert first is not None, "an exit that is missed was durable before"
        made = tuple(self._made_for(first))
        refused = sum(map(group.is_void, made))
        short = quantity - sum(map(group.covers, made), Decimal(0))
        if short <= 0:
            return
        if refused >= REFUSED_MAX:
            _LOG.error("exit_not_replaced", order_id=leader.order_id, refused=refused)
            return
        if refused and self._clock.wall_ns() < made[-1].updated_at_ns + (AGAIN_NS << (refused - 1)):
            return
        number = len(made) + 1
        tickets = tuple(self._ticket_for(one, short, number) for one in leader.followers)
        request = SubmitRequest(
            ticket=tickets[0],
            query=None,
            request_sha256=hashlib.sha256(repr(tickets).encode()).hexdigest(),
            group=GroupKind.OCA if len(tickets) > 1 else None,
            followers=tickets[1:],
        )
        result = await self._submit(request)
        assert not isinstance(result, AmbiguousSymbol), "its contract was named by its id"
        _LOG.warning(
            "exit_replaced",
            order_id=leader.order_id,
            by=result.order.order_id,
            state=result.order.state,
            quantity=str(short),
        )

    def _ticket_for(self, approved: ApprovedTicket, quantity: Decimal, number: int) -> Ticket:
        key = group.replacement_key(approved.ticket.client_order_id, number)
        return replace(approved.ticket, client_order_id=key, quantity=quantity, group=None)

    def _made_for(self, exit_view: OrderView) -> Iterator[OrderView]:
        """Return what was submitted in place of an exit, the first first."""
        number = 1
        while True:
            wanted = OrderFilter(
                account=exit_view.account,
                client_order_id=group.replacement_key(exit_view.client_order_id, number),
            )
            found = self._board.views.find(wanted, is_ready=self._is_ready)
            if not found:
                return
            yield found[0]
            number += 1

    def _leader_of(self, exit_id: OrderId) -> Order | None:
        view = self._board.views.get(exit_id)
        if view is None or view.group is None:
            return None
        ref = self._board.order_ref(view.group.leader)
        actor = None if ref is None else ref.actor
        return actor.order if isinstance(actor, OrderActor) else None
