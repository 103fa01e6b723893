"""The reads of orders and trades, and the stream that they are held against.

Orders are told by the stream and shown by polls. While the stream is away, or a topic of
it may be mute, the polls are what orders are known by, and come more often.
"""

from collections.abc import Generator, Iterator
from typing import Final, TypeAlias, assert_never

from engine.domain.messages import (
    CallGateway,
    CloseStream,
    DeliverNews,
    OpenStream,
    OrdersRead,
    OrderStatusRead,
    RefreshStream,
    ReportAnomaly,
    RowsStreamed,
    SessionCall,
    StartTimer,
    TradesRead,
)
from engine.domain.session.absence import is_whole
from engine.domain.session.effects import Effect
from engine.domain.session.orders import SessionOrders
from engine.domain.session.plan import Plan
from engine.domain.session.recovery import Recovery
from engine.domain.session.settings import ALL_TRADES_MS, POLL_LOOKUP_MS, POLL_SUSPECT_MS
from engine.domain.session.standing import Standing
from engine.domain.session.statuses import Statuses
from engine.domain.session.streams import Streams
from engine.domain.values import AccountId, SessionState, Source

_Effects: TypeAlias = Iterator[Effect]
_Step: TypeAlias = Generator[Effect, None, bool]
"""Effects, and whether the step of the plan that is in hand is done with them."""

_MS: Final = 1_000_000
_POLLED: Final = frozenset({SessionState.READY, SessionState.DEGRADED})


class Polls:
    """Reads orders, then trades, then waits; the timer `poll` is for the next pair."""

    def __init__(
        self, standing: Standing, plan: Plan, orders: SessionOrders, recovery: Recovery
    ) -> None:
        self.streams = Streams()
        self.stream_ready = False
        self._standing = standing
        self._plan = plan
        self._orders = orders
        self._search = orders.search
        self._recovery = recovery
        self.statuses = Statuses(orders)
        self._polling = False
        self._alone: AccountId | None = None
        self._lists: int | None = None
        self._all_trades_ns: int | None = None
        self._asked_all = False

    @property
    def interval_ms(self) -> int:
        """How long to wait before the next poll."""
        suspect = self.streams.doubtful or not self.stream_ready
        usual_ms = self._orders.poll_ms(suspect=suspect)
        return min(usual_ms, POLL_SUSPECT_MS) if self._recovery.waits_for_lists else usual_ms

    def begin(self) -> None:
        """A plan reads orders and trades; it is what the stream is held against."""
        self._polling = False
        self.streams.begin()
        self.statuses.renew()

    def stop(self) -> None:
        """The brokerage session is gone, and the stream with it."""
        self._polling = False
        self.stream_ready = False
        self._all_trades_ns = None
        self.statuses.stop()

    def wait(self) -> _Effects:
        """Let the next poll come in its time."""
        self._polling = False
        yield StartTimer(name="poll", delay_ms=self.interval_ms)

    def hasten(self) -> _Effects:
        """An account waits for lists: let the next poll come at once."""
        if not self._polling and self._standing.tier in _POLLED:
            yield StartTimer(name="poll", delay_ms=POLL_LOOKUP_MS)

    def poll(self) -> _Effects:
        """Make the reads, unless they are on their way."""
        if self._polling or self._standing.tier not in _POLLED:
            return
        self._polling = True
        lookups = self._search.lookups
        force = lookups.force_next_read()
        if not lookups.cleared:  # Else the next has to be plain.
            force = self.statuses.wants_force() or force
        self._alone = None if force else self._recovery.next_alone()
        yield CallGateway(call=SessionCall.ORDERS, force=force, account=self._alone)

    def read_trades(self, now_ns: int) -> CallGateway:
        """Return the read of the trades: now and then of all days, else of the current one.

        The stream may have lost an execution of a day that is over by now.
        """
        last_ns, looked_for = self._all_trades_ns, bool(self._search.lookups)
        due = last_ns is None or now_ns - last_ns >= ALL_TRADES_MS * _MS
        self._asked_all = due or looked_for
        return CallGateway(call=SessionCall.TRADES, force=self._asked_all)

    def failed(self) -> _Effects:
        """One of the reads gave nothing."""
        if self._polling:
            if self._alone is not None:
                yield from self._recovery.fail_alone(self._alone)
                self._alone = None
            yield from self.wait()

    def tell(self, message: RowsStreamed, now_ns: int) -> None:
        """The stream brought news."""
        self.streams.tell(message, now_ns)
        self._search.tell(message)

    def read(self, message: OrdersRead | OrderStatusRead | TradesRead, now_ns: int) -> _Step:
        """Take a list of orders or of executions, or the status of one order."""
        match message:
            case OrdersRead():
                return (yield from self._orders_read(message, now_ns))
            case OrderStatusRead():
                return (yield from self._status_read(message))
            case TradesRead():
                return (yield from self._trades_read(message, now_ns))
            case _:
                assert_never(message)

    @property
    def _streaming(self) -> bool:
        return self.stream_ready and not self.streams.doubtful

    def _orders_read(self, message: OrdersRead, now_ns: int) -> _Step:
        current = self._plan.note_answer(SessionCall.ORDERS)
        warm = message.snapshot and not message.forced
        read = 0
        if current and warm and is_whole(message):
            read = self._number(now_ns)
        yield DeliverNews(rows=message.rows, source=self._orders.source, read=read)
        if not current:
            return False
        planned = self._plan.call is SessionCall.ORDERS
        if not message.forced and not message.snapshot:
            # The list is still cold; the gateway's pace keeps these reads apart.
            yield StartTimer(name="step" if planned else "poll", delay_ms=POLL_LOOKUP_MS)
            self._polling = False
            return False
        asked_ns = self._plan.asked_ns
        if warm and message.complete and self.stream_ready:
            yield from self._heal(self.streams.poll_orders(message.rows, now_ns))
        if self._polling or planned:
            yield from self._search.read_orders(message, asked_ns, streaming=self._streaming)
        if warm:
            yield from self.statuses.read_orders(message, asked_ns)
            yield from self._recovery.read_orders(message, asked_ns)
        if planned:
            return True
        if self._polling:
            self._alone = None
            yield self.read_trades(now_ns)
        return False

    def _number(self, now_ns: int) -> int:
        """Return the number of a list: one more than that of the one before.

        The first is of the time, so that a session that follows another one, or has an
        account of another one, never gives a number twice.
        """
        self._lists = (now_ns // _MS if self._lists is None else self._lists) + 1
        return self._lists

    def _trades_read(self, message: TradesRead, now_ns: int) -> _Step:
        yield DeliverNews(executions=message.executions, source=self._orders.source)
        if not self._plan.note_answer(SessionCall.TRADES):
            return False
        asked_ns, planned = self._plan.asked_ns, self._plan.call is SessionCall.TRADES
        if self.stream_ready:
            yield from self._heal(self.streams.poll_trades(message.executions, now_ns))
        if self._asked_all and self._standing.tier is not SessionState.WARMING:
            self._all_trades_ns = now_ns
        if self._polling or planned:
            yield from self._search.read_trades(message, asked_ns, streaming=self._streaming)
        yield from self._recovery.read_trades(message, asked_ns)
        if not planned and self._polling:
            yield from self._prove()
            yield from self.statuses.ask()
            yield from self.wait()
        return planned

    def _status_read(self, message: OrderStatusRead) -> _Step:
        yield DeliverNews(rows=(message.row,), source=Source.LOOKUP)
        if self._plan.note_answer(SessionCall.ORDER_STATUS):
            yield from self.statuses.answered(message)
        return False

    def _prove(self) -> _Effects:
        """A pair is in: ask whether the login still stands, so that it counts, and weigh it."""
        waits = self._search.waits_for_keep_alive
        if waits and not self._plan.is_out(SessionCall.TICKLE):
            yield CallGateway(call=SessionCall.TICKLE)
        yield from self._search.judge()

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
