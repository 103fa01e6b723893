"""The orders that a session looks for at the broker, and for how long already.

Only time counts in which the session was ready and the broker's list was read warm.
Not to find an order proves nothing, so the search ends with a person, never with a guess.
"""

from typing import Final

from engine.domain.values import OrderId

LOOKUP_HEALTHY_MS_MAX: Final = 180_000
"""After so much healthy time without a sight of an order, a person decides."""

READ_GAP_MS_MAX: Final = 10_000
"""A longer gap between two reads was not time spent looking."""


class Lookups:
    """Counts healthy time per order; every third read should clear the broker's cache."""

    def __init__(self) -> None:
        self._healthy_ms: dict[OrderId, int] = {}
        self._read_ns: int | None = None
        self._reads = 0

    def __bool__(self) -> bool:
        return bool(self._healthy_ms)

    def add(self, order_id: OrderId) -> None:
        """Look for the order; asking twice changes nothing."""
        self._healthy_ms.setdefault(order_id, 0)

    def remove(self, order_id: OrderId) -> None:
        """The order was found, or is not ours to look for any more."""
        self._healthy_ms.pop(order_id, None)

    def force_next_read(self) -> bool:
        """Say whether the next read should clear the broker's cache, in case it froze."""
        self._reads += bool(self)
        return bool(self) and self._reads % 3 == 0

    def count_read(self, now_ns: int, *, healthy: bool) -> tuple[tuple[OrderId, int], ...]:
        """A warm read is in: return the orders that are given up now, with their time."""
        since, self._read_ns = self._read_ns, now_ns
        if since is None or not healthy:
            return ()
        elapsed_ms = min((now_ns - since) // 1_000_000, READ_GAP_MS_MAX)
        given_up = []
        for order_id in tuple(self._healthy_ms):
            self._healthy_ms[order_id] += elapsed_ms
            if self._healthy_ms[order_id] >= LOOKUP_HEALTHY_MS_MAX:
                given_up.append((order_id, self._healthy_ms.pop(order_id)))
        return tuple(given_up)
