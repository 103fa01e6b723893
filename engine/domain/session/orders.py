"""The orders of a session: who waits for the lane, who is looked for, who is working."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
from engine.domain.session.search import Search
from engine.domain.session.settings import (
    POLL_BUSY_MS,
    POLL_IDLE_MS,
    POLL_LOOKUP_MS,
    POLL_PARKED_MS,
    POLL_SUSPECT_MS,
)
from engine.domain.session.standing import Standing
from engine.domain.session.visibility import OrderKey
from engine.domain.values import LIVE, AccountId, BrokerOrderId, OrderId, Reason, Source
from engine.domain.views import OrderView

OrderRequest: TypeAlias = RequestTurn | ReleaseTurn | RequestLookup | StopLookup | OrderChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOrder:
    """An order that works at the broker, by its name there, and since when that is known."""

    key: OrderKey
    since_ns: int


class SessionOrders:
    """What a session knows of its orders; how often the broker is asked follows from it."""

    def __init__(self, standing: Standing) -> None:
        self.lane = SubmitLane()
        self.search = Search(standing)
        self._working: set[OrderId] = set()
        self._live: dict[OrderId, LiveOrder] = {}

    def adopt(self, started: StartSession) -> None:
        """Go on from what the session of before knew of its orders."""
        if started.in_turn is not None:
            self.lane.occupy(started.in_turn)
        self._working.update(started.working)
        for view in started.known:
            self._note_live(view)
        self.search.adopt(started)

    def live(self, account: AccountId) -> frozenset[BrokerOrderId]:
        """Return the account's orders that the broker's list has to show."""
        keys = (order.key for order in self._live.values())
        return frozenset(name for owner, name in keys if owner == account)

    def all_live(self) -> Iterable[tuple[OrderId, LiveOrder]]:
        """Return the orders that the broker's list has to show, by our ids."""
        return tuple(self._live.items())

    def poll_ms(self, *, suspect: bool) -> int:
        """How long to wait before the next read; `suspect` when the stream may be mute."""
        lookups = self.search.lookups
        if lookups.urgent:
            return POLL_LOOKUP_MS
        if suspect:
            return POLL_SUSPECT_MS
        usual_ms = POLL_BUSY_MS if self._working else POLL_IDLE_MS
        return min(usual_ms, POLL_PARKED_MS) if lookups else usual_ms

    def refuse_waiting(self, refusal: Reason) -> Iterator[SessionEffect]:
        """Give nobody a turn who waits for one."""
        for order_id in self.lane.clear_waiting():
            yield RefuseTurn(refused=TurnRefused(order_id=order_id, reason=refusal))

    @property
    def source(self) -> Source:
        """What a read of orders is at the moment: routine, or a search."""
        return Source.LOOKUP if self.search.lookups else Source.POLL

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
            case RequestLookup():
                self.search.look(message)
                yield StartTimer(name="poll", delay_ms=POLL_LOOKUP_MS)
            case StopLookup(order_id=order_id):
                self.search.lookups.remove(order_id)
            case OrderChanged(view=view):
                self.search.follow(message)
                self._note_live(view)
                yield from self._follow(view.order_id, working=view.state in LIVE)
            case _:
                assert_never(message)

    def _note_live(self, view: OrderView) -> None:
        if view.state not in LIVE or view.broker_order_id is None:
            self._live.pop(view.order_id, None)
            return
        key = (view.account, view.broker_order_id)
        known = self._live.get(view.order_id)
        if known is None or known.key != key:
            self._live[view.order_id] = LiveOrder(key=key, since_ns=self.search.now_ns)

    def _follow(self, order_id: OrderId, *, working: bool) -> Iterator[SessionEffect]:
        if not working:
            self._working.discard(order_id)
        elif order_id not in self._working:
            idle = not self._working
            self._working.add(order_id)
            if idle and not self.search.lookups.urgent:
                yield StartTimer(name="poll", delay_ms=POLL_BUSY_MS)
