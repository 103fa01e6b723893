"""The submit lane of a session: one conversation about an order at a time.

The broker voids an open question as soon as another order request arrives, and then
nobody can say what became of the order. So a turn lasts from the send to the final answer.
"""

from collections import deque
from typing import Final

from engine.domain.messages import TurnGranted
from engine.domain.values import OrderId

SEND_WINDOW_MS: Final = 2_000
"""An order must be on the wire this soon after its turn came, or it is not sent."""


class SubmitLane:
    """Orders that wait, first come first served, and the one whose turn it is."""

    def __init__(self) -> None:
        self._waiting: deque[OrderId] = deque()
        self._turn: OrderId | None = None

    def join(self, order_id: OrderId) -> None:
        """Wait for a turn."""
        self._waiting.append(order_id)

    def occupy(self, order_id: OrderId) -> None:
        """Leave the turn to an order whose conversation is on the wire already."""
        self._turn = order_id

    def clear_waiting(self) -> tuple[OrderId, ...]:
        """Let nobody wait any more; return who did."""
        waiting = tuple(self._waiting)
        self._waiting.clear()
        return waiting

    def leave(self, order_id: OrderId) -> None:
        """End the turn, or stop waiting; an order that does neither is ignored."""
        if self._turn == order_id:
            self._turn = None
        elif order_id in self._waiting:
            self._waiting.remove(order_id)

    def next_turn(
        self, epoch: int, now_ns: int, *, open_ms: int | None = None
    ) -> TurnGranted | None:
        """Give the next order its turn; None while one has it, or nobody waits.

        `open_ms` is how long orders may still be sent; None when nothing ends that.
        """
        if self._turn is not None or not self._waiting:
            return None
        self._turn = self._waiting.popleft()
        window_ms = SEND_WINDOW_MS if open_ms is None else min(SEND_WINDOW_MS, open_ms)
        return TurnGranted(
            order_id=self._turn,
            session_epoch=epoch,
            send_by_ns=now_ns + window_ms * 1_000_000,
        )
