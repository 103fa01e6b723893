"""How fast a client may ask.

Rule 1: at most ten requests in any second go through a gateway, and some paths
have a limit of their own; time is an argument.

Rule 2: with a penalty box, whoever is refused once is refused for its whole time.
"""

from collections import deque
from typing import Final

REQUESTS_PER_SECOND_MAX: Final = 10
_SECOND_MS: Final = 1000


class Pacing:
    """Counts requests; one per gateway, because all of its clients share the limits.

    `boxed_until_ms` is the end of the last penalty, 0 before the first.
    """

    def __init__(self) -> None:
        self._times: dict[str, deque[int]] = {}
        self.boxed_until_ms = 0
        self.refused = 0

    def admits(
        self, key: str, now_ms: int, *, per_ms: int = 0, burst: int = 1, box_ms: int = 0
    ) -> bool:
        """True when a request of this kind may pass now; it is counted then.

        `burst` requests of one `key` may pass in any `per_ms`; 0 is no limit.
        """
        everything = self._recent("", _SECOND_MS, now_ms)
        own = self._recent(key, per_ms, now_ms) if per_ms else None
        if self.is_boxed(now_ms):
            self.refused += 1
            return False
        admitted = len(everything) < REQUESTS_PER_SECOND_MAX and (own is None or len(own) < burst)
        if not admitted:
            self.box(now_ms + box_ms)
            return False
        everything.append(now_ms)
        if own is not None:
            own.append(now_ms)
        return True

    def is_boxed(self, now_ms: int) -> bool:
        """True while everybody is refused."""
        return now_ms < self.boxed_until_ms

    def box(self, until_ms: int) -> None:
        """Refuse everybody until then."""
        self.refused += 1
        self.boxed_until_ms = max(self.boxed_until_ms, until_ms)

    def _recent(self, key: str, window_ms: int, now_ms: int) -> deque[int]:
        times = self._times.setdefault(key, deque())
        while times and now_ms - times[0] >= window_ms:
            times.popleft()
        return times
