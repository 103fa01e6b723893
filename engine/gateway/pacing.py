"""Who may send to the gateway next, and when.

Rule 1: in any second at most `requests_per_s` requests begin. The broker allows ten
through a gateway; whoever sends more is locked out by address, for ten minutes or ever.

Rule 2: cancels go first, then orders, then the session's upkeep, then data. A share of
the pace and one place in flight are kept for cancels, and one more for orders, so reads
that hang cannot hold them up: the gateway itself answers only five at a time.

Rule 3: this file knows no clock and no socket. Time comes in, decisions go out.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

_NS_PER_MS: Final = 1_000_000
_WINDOW_NS: Final = 1_050 * _NS_PER_MS
"""A second, and what a request may be quicker on its way than the one before it."""


class Lane(IntEnum):
    """What a request is for; lower goes first."""

    CANCEL = 0
    ORDER = 1
    STATUS = 2
    DATA = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How fast a gateway may be asked.

    The intervals are what the broker documents for an endpoint. `penalty_ms` is how long
    nothing but a lone cancel is sent after HTTP 429: the broker says ten minutes in one
    place and fifteen in another. Such a cancel is tried every `cancel_probe_ms`.
    """

    requests_per_s: int = 10
    in_flight: int = 4
    cancels_per_s: int = 2
    orders_interval_ms: int = 5_000
    trades_interval_ms: int = 5_000
    portfolio_accounts_interval_ms: int = 5_000
    tickle_interval_ms: int = 1_000
    penalty_ms: int = 900_000
    cancel_probe_ms: int = 30_000

    def __post_init__(self) -> None:
        """Refuse a pace at which nothing could ever be sent."""
        for name in ("requests_per_s", "in_flight", "cancel_probe_ms"):
            if getattr(self, name) < 1:
                message = f"{name} is {getattr(self, name)}, at least 1"
                raise ValueError(message)


@dataclass(slots=True, eq=False, kw_only=True)
class Waiter:
    """One request that wants its turn. `interval_ms` is that of its endpoint."""

    lane: Lane
    endpoint: str
    interval_ms: int = 0


@dataclass(slots=True)
class Pacer:
    """The turns of one gateway."""

    pacing: Pacing
    _waiting: dict[Lane, deque[Waiter]] = field(init=False)
    _starts: deque[int] = field(init=False, default_factory=deque)
    _others: deque[int] = field(init=False, default_factory=deque)
    _due_ns: dict[str, int] = field(init=False, default_factory=dict)
    _running: int = field(init=False, default=0)
    _penalty_until_ns: int | None = field(init=False, default=None)
    _probe_at_ns: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Start with nobody waiting."""
        self._waiting = {lane: deque() for lane in Lane}

    def join(self, waiter: Waiter) -> None:
        """Take a place at the end of the lane."""
        self._waiting[waiter.lane].append(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Give the place up, if there still is one."""
        if waiter in self._waiting[waiter.lane]:
            self._waiting[waiter.lane].remove(waiter)

    def finish(self) -> None:
        """Free the place in flight of a request that got its turn."""
        assert self._running > 0
        self._running -= 1

    def note_answer(self, endpoint: str, interval_ms: int, now_ns: int) -> None:
        """Count an endpoint's interval from its answer.

        The broker counts arrivals. One request may be slow on its way and the next one
        quick; from the answer on, no two can arrive closer than they should.
        """
        if interval_ms:
            due_ns = now_ns + interval_ms * _NS_PER_MS
            self._due_ns[endpoint] = max(self._due_ns.get(endpoint, 0), due_ns)

    def penalise(self, now_ns: int) -> None:
        """Stop after HTTP 429; a cancel may try again after `cancel_probe_ms`."""
        self._penalty_until_ns = now_ns + self.pacing.penalty_ms * _NS_PER_MS
        self._probe_at_ns = now_ns + self.pacing.cancel_probe_ms * _NS_PER_MS

    def forgive(self) -> None:
        """Go on as before: what was sent during the penalty was answered without HTTP 429."""
        self._penalty_until_ns = None

    def penalty_ms(self, now_ns: int) -> int | None:
        """Return how long the penalty still lasts, None without one."""
        if self._penalty_until_ns is None or now_ns >= self._penalty_until_ns:
            return None
        return (self._penalty_until_ns - now_ns) // _NS_PER_MS

    def admit(self, now_ns: int) -> tuple[Waiter, ...]:
        """Return those whose turn it is now; each must `finish` later."""
        admitted: list[Waiter] = []
        while (waiter := self._next(now_ns)) is not None:
            self._waiting[waiter.lane].remove(waiter)
            self._start(waiter, now_ns)
            admitted.append(waiter)
        return tuple(admitted)

    def wake_ns(self, now_ns: int) -> int | None:
        """Return when the passing of time may give somebody a turn.

        None when only a `join` or a `finish` can.
        """
        return min((at for at in self._changes() if at > now_ns), default=None)

    def _changes(self) -> Iterator[int]:
        if not any(self._waiting.values()):
            return
        for starts in (self._starts, self._others):
            if starts:
                yield starts[0] + _WINDOW_NS
        for lane in self._waiting.values():
            for waiter in lane:
                yield self._due_ns.get(waiter.endpoint, 0)
        if self._penalty_until_ns is not None:
            yield self._penalty_until_ns
            yield self._probe_at_ns

    def _next(self, now_ns: int) -> Waiter | None:
        for starts in (self._starts, self._others):
            while starts and starts[0] + _WINDOW_NS <= now_ns:
                starts.popleft()
        for lane, waiters in self._waiting.items():
            if self._is_open(lane, now_ns):
                for waiter in waiters:
                    if self._due_ns.get(waiter.endpoint, 0) <= now_ns:
                        return waiter
        return None

    def _is_open(self, lane: Lane, now_ns: int) -> bool:
        pace = self.pacing
        if self.penalty_ms(now_ns) is not None and (
            lane is not Lane.CANCEL or now_ns < self._probe_at_ns
        ):
            return False
        kept = {Lane.CANCEL: 0, Lane.ORDER: 1}.get(lane, 2)
        if self._running >= max(1, pace.in_flight - kept):
            return False
        if len(self._starts) >= pace.requests_per_s:
            return False
        others_per_s = max(1, pace.requests_per_s - pace.cancels_per_s)
        return lane is Lane.CANCEL or len(self._others) < others_per_s

    def _start(self, waiter: Waiter, now_ns: int) -> None:
        self._running += 1
        self._starts.append(now_ns)
        if waiter.lane is not Lane.CANCEL:
            self._others.append(now_ns)
        if waiter.interval_ms:
            self._due_ns[waiter.endpoint] = now_ns + waiter.interval_ms * _NS_PER_MS
        if self.penalty_ms(now_ns) is not None:
            self._probe_at_ns = now_ns + self.pacing.cancel_probe_ms * _NS_PER_MS
