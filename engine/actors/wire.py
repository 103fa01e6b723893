"""What is on the wire, and for whom: gateways that outlive the actors which use them.

Rule 1: the answer to an order's request reaches whatever instance is at the order's
address by then. A failed actor must not make it lost, nor end its conversation.

Rule 2: an answer that comes late is told twice: first that there was none, which ends the
conversation, and then what it was. By then another one of the order may be under way.

Rule 3: what a session or a feed asked for is of no use to the one after it, and would be
taken for its own. So it ends with who asked.
"""

from collections.abc import Callable
from typing import Any

from engine.domain.messages import (
    CallGateway,
    CancelAtBroker,
    FeedMessage,
    ModifyAtBroker,
    OrderAnswered,
    PlaceAtBroker,
    ReplyAtBroker,
    SendTopic,
    SessionMessage,
)
from engine.domain.ports import FeedGateway, OrderGateway, SessionGateway
from engine.domain.values import Bar, ConId, OrderId, Outcome, Quote


class OrderWire:
    """Passes requests on, and knows which conversations wait for an answer.

    A cancel is none: it needs no turn.
    """

    def __init__(self, inner: OrderGateway) -> None:
        self._inner = inner
        self._open: dict[OrderId, int] = {}
        self.cancels = 0
        self.on_answer: Callable[[OrderId], None] = lambda _order_id: None
        self.on_outcome: Callable[[Outcome], None] = lambda _outcome: None
        """Told what came of every request, before the order is."""

    @property
    def conversations(self) -> tuple[OrderId, ...]:
        """The orders with a request on the wire, oldest first."""
        return tuple(self._open)

    def place(self, effect: PlaceAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        """Send the order."""
        self._send(effect.order_id, lambda answer: self._inner.place(effect, answer), tell)

    def reply(self, effect: ReplyAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        """Answer the broker's question."""
        self._send(effect.order_id, lambda answer: self._inner.reply(effect, answer), tell)

    def modify(self, effect: ModifyAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        """Send the changed ticket."""
        self._send(effect.order_id, lambda answer: self._inner.modify(effect, answer), tell)

    def cancel(self, effect: CancelAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        """Ask for the cancel."""

        def answered(message: OrderAnswered) -> None:
            self.cancels -= not message.late
            self.on_outcome(message.outcome)
            tell(message)

        self.cancels += 1
        try:
            self._inner.cancel(effect, answered)
        except Exception:
            self.cancels -= 1
            raise

    def _send(
        self,
        order_id: OrderId,
        send: Callable[[Callable[[OrderAnswered], None]], None],
        tell: Callable[[OrderAnswered], None],
    ) -> None:
        def answered(message: OrderAnswered) -> None:
            if not message.late:
                self._close(order_id)
            self.on_outcome(message.outcome)
            tell(message)
            if not message.late:
                self.on_answer(order_id)

        self._open[order_id] = self._open.get(order_id, 0) + 1
        try:
            send(answered)
        except Exception:
            self._close(order_id)  # It never left.
            raise

    def _close(self, order_id: OrderId) -> None:
        count = self._open.pop(order_id, 0) - 1
        if count > 0:
            self._open[order_id] = count


class _Line:
    """Lets messages through until it is cut."""

    def __init__(self, on_late: Callable[[Any], None]) -> None:
        self._on_late = on_late
        self._is_cut = False

    def cut(self) -> None:
        """From now on, nothing comes through."""
        self._is_cut = True

    def end(self) -> None:
        """From now on, nothing comes through, and nobody misses it: the engine stops."""
        self._is_cut = True
        self._on_late = _missed_by_nobody

    def _through(self, tell: Callable[[Any], None]) -> Callable[[Any], None]:
        def pass_on(message: Any) -> None:
            if self._is_cut:
                self._on_late(message)
            else:
                tell(message)

        return pass_on


def _missed_by_nobody(_message: object) -> None:
    """Take what comes after everybody who could use it has stopped."""


class SessionLine(_Line):
    """The requests of one instance of a session's actor."""

    def __init__(self, inner: SessionGateway, on_late: Callable[[Any], None]) -> None:
        super().__init__(on_late)
        self._inner = inner

    def call(self, effect: CallGateway, tell: Callable[[SessionMessage], None]) -> None:
        """Make the request."""
        self._inner.call(effect, self._through(tell))


class FeedLine(_Line):
    """The WebSocket of one instance of a feed's actor."""

    def __init__(self, inner: FeedGateway, on_late: Callable[[Any], None]) -> None:
        super().__init__(on_late)
        self._inner = inner

    def connect(self, tell: Callable[[FeedMessage], None]) -> None:
        """Open the WebSocket."""
        self._inner.connect(self._through(tell))

    def send(self, effect: SendTopic) -> None:
        """Send one request."""
        self._inner.send(effect)

    def close(self, reason: str) -> None:
        """Close the WebSocket, if there is one."""
        self._inner.close(reason)

    def quote(self, conid: ConId) -> Quote | None:
        """Return the last quote."""
        return self._inner.quote(conid)

    def bars(self, conid: ConId, interval_ms: int, limit: int) -> tuple[Bar, ...]:
        """Return the newest closed bars."""
        return self._inner.bars(conid, interval_ms, limit)

    def heartbeat_age_ms(self) -> int | None:
        """Return the age of the last heartbeat."""
        return self._inner.heartbeat_age_ms()
