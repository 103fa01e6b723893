"""The orders of a session: who waits for the lane, who is looked for, who is working."""

from collections.abc import Iterator
from typing import TypeAlias, assert_never

from engine.domain.messages import (
    OrderChanged,
    RefuseTurn,
    ReleaseTurn,
    RequestLookup,
    RequestTurn,
    SessionEffect,
    StartSession,
    StartTimer,
    StopLookup,
    TurnRefused,
)
from engine.domain.session.lane import SubmitLane
from engine.domain.session.lookups import Lookups
from engine.domain.session.settings import (
    POLL_BUSY_MS,
    POLL_IDLE_MS,
    POLL_LOOKUP_MS,
    POLL_SUSPECT_MS,
)
from engine.domain.values import LIVE, OrderId, Reason, Source

OrderRequest: TypeAlias = RequestTurn | ReleaseTurn | RequestLookup | StopLookup | OrderChanged


class SessionOrders:
    """What a session knows of its orders; how often the broker is asked follows from it."""

    def __init__(self) -> None:
        self.lane = SubmitLane()
        self.lookups = Lookups()
        self._working: set[OrderId] = set()

    def adopt(self, started: StartSession) -> None:
        """Go on from what the session of before knew of its orders."""
        if started.in_turn is not None:
            self.lane.occupy(started.in_turn)
        self._working.update(started.working)
        for order_id in started.looking:
            self.lookups.add(order_id)

    def poll_ms(self, *, suspect: bool) -> int:
        """How long to wait before the next read; `suspect` when the stream may be mute."""
        if self.lookups:
            return POLL_LOOKUP_MS
        if suspect:
            return POLL_SUSPECT_MS
        return POLL_BUSY_MS if self._working else POLL_IDLE_MS

    def refuse_waiting(self, refusal: Reason) -> Iterator[SessionEffect]:
        """Give nobody a turn who waits for one."""
        for order_id in self.lane.clear_waiting():
            yield RefuseTurn(refused=TurnRefused(order_id=order_id, reason=refusal))

    @property
    def source(self) -> Source:
        """What a read of orders is at the moment: routine, or a search."""
        return Source.LOOKUP if self.lookups else Source.POLL

    def react(self, message: OrderRequest, refusal: Reason | None) -> Iterator[SessionEffect]:
        """Take a message of an order; `refusal` is why the session gives no turn, if so."""
        match message:
            case RequestTurn(order_id=order_id):
                if refusal is None:
                    self.lane.join(order_id)
                else:
                    yield RefuseTurn(refused=TurnRefused(order_id=order_id, reason=refusal))
            case ReleaseTurn(order_id=order_id):
                self.lane.leave(order_id)
            case RequestLookup(order_id=order_id):
                self.lookups.add(order_id)
                yield StartTimer(name="poll", delay_ms=POLL_LOOKUP_MS)
            case StopLookup(order_id=order_id):
                self.lookups.remove(order_id)
            case OrderChanged(view=view):
                yield from self._follow(view.order_id, working=view.state in LIVE)
            case _:
                assert_never(message)

    def _follow(self, order_id: OrderId, *, working: bool) -> Iterator[SessionEffect]:
        if not working:
            self._working.discard(order_id)
        elif order_id not in self._working:
            idle = not self._working
            self._working.add(order_id)
            if idle and not self.lookups:
                yield StartTimer(name="poll", delay_ms=POLL_BUSY_MS)
