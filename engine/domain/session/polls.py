"""The reads of orders and trades, and the stream that they are held against.

Orders are told by the stream and shown by polls. While the stream is away, or a topic of
it may be mute, the polls are what orders are known by, and come more often.
"""

from collections.abc import Generator, Iterator
from typing import Final, TypeAlias

from engine.domain.messages import (
    CallGateway,
    CloseStream,
    DeliverNews,
    OpenStream,
    OrdersRead,
    ParkOrder,
    RefreshStream,
    ReportAnomaly,
    SessionCall,
    SessionEffect,
    StartTimer,
    TradesRead,
)
from engine.domain.session.orders import SessionOrders
from engine.domain.session.plan import Plan
from engine.domain.session.settings import POLL_LOOKUP_MS
from engine.domain.session.standing import Standing
from engine.domain.session.streams import Streams
from engine.domain.values import SessionState

_Effects: TypeAlias = Iterator[SessionEffect]
_Step: TypeAlias = Generator[SessionEffect, None, bool]
"""Effects, and whether the step of the plan that is in hand is done with them."""

_POLLED: Final = frozenset({SessionState.READY, SessionState.DEGRADED})


class Polls:
    """Reads orders, then trades, then waits; the timer `poll` is for the next pair."""

    def __init__(self, standing: Standing, plan: Plan, orders: SessionOrders) -> None:
        self.streams = Streams()
        self.stream_ready = False
        self._standing = standing
        self._plan = plan
        self._orders = orders
        self._polling = False

    @property
    def interval_ms(self) -> int:
        """How long to wait before the next poll."""
        suspect = self.streams.doubtful or not self.stream_ready
        return self._orders.poll_ms(suspect=suspect)

    def begin(self) -> None:
        """A plan reads orders and trades; it is what the stream is held against."""
        self._polling = False
        self.streams.begin()

    def stop(self) -> None:
        """The brokerage session is gone, and the stream with it."""
        self._polling = False
        self.stream_ready = False

    def wait(self) -> _Effects:
        """Let the next poll come in its time."""
        self._polling = False
        yield StartTimer(name="poll", delay_ms=self.interval_ms)

    def poll(self) -> _Effects:
        """Make the reads, unless they are on their way."""
        if self._polling or self._standing.tier not in _POLLED:
            return
        self._polling = True
        yield CallGateway(call=SessionCall.ORDERS, force=self._orders.lookups.force_next_read())

    def failed(self) -> _Effects:
        """One of the reads gave nothing."""
        if self._polling:
            yield from self.wait()

    def read(self, message: OrdersRead | TradesRead, now_ns: int) -> _Step:
        """Take a list of orders or of executions."""
        if isinstance(message, OrdersRead):
            return (yield from self._orders_read(message, now_ns))
        return (yield from self._trades_read(message, now_ns))

    def _orders_read(self, message: OrdersRead, now_ns: int) -> _Step:
        yield DeliverNews(rows=message.rows, source=self._orders.source)
        if not self._plan.note_answer(SessionCall.ORDERS):
            return False
        planned = self._plan.call is SessionCall.ORDERS
        if not message.forced and not message.snapshot:
            # The list is still cold; the gateway's pace keeps these reads apart.
            yield StartTimer(name="step" if planned else "poll", delay_ms=POLL_LOOKUP_MS)
            self._polling = False
            return False
        if not message.forced and message.complete and self.stream_ready:
            yield from self._heal(self.streams.poll_orders(message.rows, now_ns))
        if planned:
            return True
        if self._polling:
            if not message.forced:
                healthy = self._standing.ready and message.complete
                for order_id, healthy_ms in self._orders.lookups.count_read(
                    now_ns, healthy=healthy
                ):
                    yield ParkOrder(order_id=order_id, healthy_ms=healthy_ms)
            yield CallGateway(call=SessionCall.TRADES)
        return False

    def _trades_read(self, message: TradesRead, now_ns: int) -> _Step:
        yield DeliverNews(executions=message.executions, source=self._orders.source)
        if not self._plan.note_answer(SessionCall.TRADES):
            return False
        planned = self._plan.call is SessionCall.TRADES
        if self.stream_ready:
            yield from self._heal(self.streams.poll_trades(message.executions, now_ns))
        if not planned and self._polling:
            yield from self.wait()
        return planned

    def _heal(self, mute: ReportAnomaly | None) -> _Effects:
        """Ask for a topic that went mute again; if that was done before, connect anew."""
        if mute is None:
            return
        yield mute
        if not self.streams.was_refreshed:
            self.streams.was_refreshed = True
            yield RefreshStream()
            return
        self.streams.was_refreshed = False
        yield from self.degrade("STREAM_MUTE", mute.detail)
        yield CloseStream()
        yield OpenStream()

    def degrade(self, code: str, text: str) -> _Effects:
        """Go on with polls only, until the stream is back."""
        self.stream_ready = False
        self._plan.clear()
        self._standing.enter(SessionState.DEGRADED, code, text)
        yield from self.wait()
