"""Bugs in when a session is ready, and how often it asks."""

import asyncio
from typing import Any

from engine.domain.messages import OrdersRead, SessionCall, TradesRead
from engine.domain.session.standing import Standing
from engine.gateway.session import HttpSessionGateway
from tests.simulation.bugs.planting import changed


def skip_warm_up() -> Any:
    """Get ready without having read what the broker has."""

    def make(call: Any) -> Any:
        seen: dict[int, tuple[Any, set[SessionCall]]] = {}

        def other(self: Any, effect: Any, tell: Any) -> None:
            _, asked = seen.setdefault(id(self), (self, set()))
            if effect.call in asked or effect.call not in {SessionCall.ORDERS, SessionCall.TRADES}:
                call(self, effect, tell)
                return
            if not effect.force:
                asked.add(effect.call)
            orders = OrdersRead(rows=(), snapshot=True, forced=effect.force)
            read = orders if effect.call is SessionCall.ORDERS else TradesRead(executions=())
            asyncio.get_running_loop().call_soon(tell, read)

        return other

    return changed(HttpSessionGateway, "call", make)


def send_into_the_night() -> Any:
    """Take no notice of the broker's resets."""
    return changed(Standing, "in_window", lambda _in: property(lambda _self: False))
