"""What a client does while the engine is killed, and the points at which it is.

A flow drives an engine over its API and notes what was promised. It goes on after the
engine is gone: every request may fail, and then nothing was promised.
"""

import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from engine.sim import SimGateway
from tests.scenarios.processes import Answer, EngineProcess, until

GONE: Final = (urllib.error.URLError, ConnectionError, TimeoutError)
_STEP_S: Final = 3.0
_FAR: Final = "100"
_MET: Final = frozenset({"ACCEPTED", "WORKING", "PARTIALLY_FILLED", "FILLED"})


@dataclass(slots=True)
class Promises:
    """What the client was told: order ids by key, and the keys that were tried."""

    tried: dict[str, dict[str, Any]] = field(default_factory=dict)
    orders: dict[str, str] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)


class Client:
    """Asks an engine that may die at any moment."""

    def __init__(self, engine: EngineProcess, promises: Promises) -> None:
        self._engine = engine
        self.promises = promises

    def submit(self, key: str, **fields: Any) -> str | None:
        """Submit, and return the order's id; None when no answer came."""
        self.promises.tried[key] = fields
        answer = self._try(lambda: self._engine.submit(key, **fields))
        if answer is None or answer.status != 202:
            return None
        for order in (answer.body, *answer.body.get("legs", ())):
            self.promises.orders[order["client_order_id"]] = order["order_id"]
        return str(answer.body["order_id"])

    def cancel(self, order_id: str) -> None:
        """Cancel; what was answered is promised."""
        answer = self._try(lambda: self._engine.call("DELETE", f"/v1/orders/{order_id}"))
        if answer is not None and answer.status == 202:
            self.promises.cancelled.add(order_id)

    def modify(self, order_id: str, **fields: Any) -> None:
        """Ask for new terms."""
        self._try(lambda: self._engine.call("PATCH", f"/v1/orders/{order_id}", fields))

    def see(self, order_id: str, states: frozenset[str]) -> bool:
        """Wait for one of the states; False when the engine is gone or it takes too long."""

        def seen() -> bool:
            answer = self._engine.call("GET", f"/v1/orders/{order_id}")
            return answer.status == 200 and answer.body["state"] in states

        try:
            until(seen, seconds=_STEP_S)
        except (AssertionError, *GONE):
            return False
        return True

    def _try(self, ask: Callable[[], Answer]) -> Answer | None:
        try:
            return ask()
        except GONE:
            return None


def market(client: Client, _sim: SimGateway) -> None:
    """A market order that fills."""
    order = client.submit("market", quantity="3")
    if order is not None:
        client.see(order, frozenset({"FILLED"}))


def limit(client: Client, _sim: SimGateway) -> None:
    """A limit order that works."""
    order = client.submit("limit", type="LMT", limit_price=_FAR, quantity="4")
    if order is not None:
        client.see(order, _MET)


def question(client: Client, sim: SimGateway) -> None:
    """An order that the broker asks about twice before it takes it."""
    sim.faults.question_rounds = 2
    order = client.submit("question", type="LMT", limit_price=_FAR, quantity="2")
    if order is not None:
        client.see(order, _MET)


def modify(client: Client, _sim: SimGateway) -> None:
    """A limit order whose quantity and price are changed."""
    order = client.submit("modify", type="LMT", limit_price=_FAR, quantity="4")
    if order is not None and client.see(order, _MET):
        client.modify(order, quantity="6", limit_price="101")
        client.see(order, frozenset({"FILLED"}))  # It never does: time for the change.


def cancel(client: Client, _sim: SimGateway) -> None:
    """A limit order that is cancelled."""
    order = client.submit("cancel", type="LMT", limit_price=_FAR, quantity="5")
    if order is not None and client.see(order, _MET):
        client.cancel(order)
        client.see(order, frozenset({"CANCELLED"}))


def bracket(client: Client, _sim: SimGateway) -> None:
    """An entry that fills, with a profit and a stop behind it."""
    legs = [{"type": "LMT", "limit_price": "400"}, {"type": "STP", "stop_price": _FAR}]
    order = client.submit("bracket", quantity="2", legs=legs)
    if order is not None:
        client.see(order, frozenset({"FILLED"}))


FLOWS: Final = {one.__name__: one for one in (market, limit, question, modify, cancel, bracket)}

_PLACED: Final = ("INTENT", "ATTEMPT", "OUTCOME")
_RECORDS: Final = {
    "market": (*_PLACED, "ROW", "EXECUTION"),
    "limit": (*_PLACED, "ROW"),
    "question": ("INTENT", "ATTEMPT", "QUESTION", "REPLY", "OUTCOME"),
    "modify": ("MODIFY", "MODIFIED"),
    "cancel": ("CANCEL", "ROW"),
    "bracket": (*_PLACED, "ROW", "EXECUTION"),
}
_STEPS: Final = {
    "market": ("PLACE",),
    "limit": ("PLACE",),
    "question": ("PLACE", "REPLY"),
    "modify": ("MODIFY",),
    "cancel": ("CANCEL",),
    "bracket": ("PLACE",),
}
RECOVERY_STEPS: Final = 12


def points(flow: str) -> Iterator[str]:
    """Return the points at which an engine is killed during a flow."""
    for record in _RECORDS[flow]:
        number = 2 if (flow, record) == ("cancel", "ROW") else 1
        yield from (f"commit:{record}:{when}:{number}" for when in ("before", "during", "after"))
    for step in _STEPS[flow]:
        yield from (f"wire:{step}:{far}:1" for far in ("first", "half", "last", "answered"))
    yield from ("snapshot:before", "snapshot:after")
    if flow == "question":
        yield from ("commit:QUESTION:after:2", "commit:REPLY:after:2", "wire:REPLY:last:2")
    if flow == "bracket":
        yield from (f"commit:INTENT:after:{n}" for n in (2, 3))
        yield from (f"commit:ATTEMPT:after:{n}" for n in (2, 3))


def recovery_points(flow: str) -> Iterator[tuple[str, str]]:
    """Return pairs: where the engine is killed first, and where while it recovers."""
    first = f"wire:{_STEPS[flow][0]}:last:1"
    for number in range(1, RECOVERY_STEPS + 1):
        yield first, f"recovery:{number}"
