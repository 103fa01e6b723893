"""Who may send to the gateway next, and when.

Rule 1: in any second at most `requests_per_s` requests are written. The broker allows ten
through a gateway; whoever sends more is locked out by address, for ten minutes or ever.

Rule 2: a token comes back alone, its whole time after it was used. A bucket that fills
up steadily would let a full load pass, and what flowed in meanwhile right behind it: of
ten a second, twenty within one. What the broker counts is any second.

Rule 3: cancels go first, then orders, then the session's upkeep, then data. Tokens and a
place in flight are kept for cancels, and more for orders, so reads that hang cannot hold
them up: the gateway itself answers only five at a time. A lane that could go and was
passed over `_PASSED_OVER_MAX` times goes before the others, cancels excepted, so nobody
waits for ever: of six requests one is the upkeep's and one is for data, if they want it.

Rule 4: an endpoint's own limit holds up nobody but those who want that endpoint.

Rule 5: this file knows no clock and no socket. Time comes in, decisions go out.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

_NS_PER_MS: Final = 1_000_000
_WINDOW_NS: Final = 1_050 * _NS_PER_MS
"""A second, and what a request may be quicker on its way than the one before it."""
_RAMP_STEP_NS: Final = 20_000 * _NS_PER_MS
_RAMP_PERCENT: Final = (25, 50, 75)
"""The pace after a penalty, for twenty seconds each: it is back after a minute."""
_PASSED_OVER_MAX: Final = 4
_CANCELS_IN_A_ROW_MAX: Final = 9


class Lane(IntEnum):
    """What a request is for; lower goes first."""

    CANCEL = 0
    ORDER = 1
    STATUS = 2
    DATA = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What the broker lets pass to an endpoint in any `per_ms`.

    `in_flight` is how many may be unanswered at once, None when only the pace counts.
    """

    requests: int
    per_ms: int
    in_flight: int | None = None


def broker_limits(
    *, orders_interval_ms: int = 5_000, trades_interval_ms: int = 5_000
) -> dict[str, Limit]:
    """Return the limits that the broker documents for single endpoints.

    History has two: five requests at once, and fifty a minute. Two limits are counted by
    what a call names and not by calls: 100 contracts a snapshot, 200 a `trsrv/secdef`.
    """
    every_five_s = Limit(requests=1, per_ms=5_000)
    return {
        "/iserver/account/orders": Limit(requests=1, per_ms=orders_interval_ms),
        "/iserver/account/trades": Limit(requests=1, per_ms=trades_interval_ms),
        "/iserver/account/pnl/partitioned": every_five_s,
        "/portfolio/accounts": every_five_s,
        "/portfolio/subaccounts": every_five_s,
        "/iserver/marketdata/snapshot": Limit(requests=10, per_ms=1_000),
        "/iserver/marketdata/history": Limit(requests=50, per_ms=60_000, in_flight=5),
        "/tickle": Limit(requests=1, per_ms=1_000),
        "/sso/validate": Limit(requests=1, per_ms=60_000),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How fast a gateway may be asked; `limits` are those of single endpoints.

    `cancels_per_s` and `orders_per_s` are kept for them of `requests_per_s`. `penalty_ms`
    is how long nothing but a lone cancel is sent after HTTP 429: the broker says ten
    minutes in one place and fifteen in another. Every refusal that follows soon doubles
    it, up to `penalty_ms_max`. Such a cancel is tried every `cancel_probe_ms`.
    """

    requests_per_s: int = 10
    in_flight: int = 4
    cancels_per_s: int = 2
    orders_per_s: int = 2
    limits: Mapping[str, Limit] = field(default_factory=broker_limits)
    penalty_ms: int = 900_000
    penalty_ms_max: int = 3_600_000
    cancel_probe_ms: int = 30_000

    def __post_init__(self) -> None:
        """Refuse a pace at which nothing could ever be sent."""
        for name in ("requests_per_s", "in_flight", "cancel_probe_ms"):
            if getattr(self, name) < 1:
                message = f"{name} is {getattr(self, name)}, at least 1"
                raise ValueError(message)


@dataclass(slots=True, eq=False, kw_only=True)
class Waiter:
    """One request that wants its turn, and has it until it is finished."""

    lane: Lane
    endpoint: str
    departed: bool = field(init=False, default=False)
    """True once it was written."""


@dataclass(slots=True, kw_only=True)
class _Bucket:
    """Tokens and places; a request takes one of each when it gets its turn.

    The place is free when the request is answered or given up. The token comes back
    `window_ns` after its request departed: not after the turn, as a connection may take
    its time to open.
    """

    tokens: int
    window_ns: int
    places: int | None
    _running: int = 0
    _out: int = 0
    _back_ns: deque[int] = field(default_factory=deque)

    def begin(self) -> None:
        self._running += 1
        self._out += 1

    def depart(self, now_ns: int) -> None:
        assert self._out > 0
        self._out -= 1
        self._back_ns.append(now_ns + self.window_ns)

    def end(self) -> None:
        assert self._running > 0
        self._running -= 1

    def rest(self, now_ns: int) -> None:
        """Let every token that is there come back only a whole window from now."""
        self._back_ns.extend([now_ns + self.window_ns] * self.free(now_ns))

    def free(self, now_ns: int) -> int:
        """Return how many requests could begin now."""
        while self._back_ns and self._back_ns[0] <= now_ns:
            self._back_ns.popleft()
        free = self.tokens - self._out - len(self._back_ns)
        if self.places is not None:
            free = min(free, self.places - self._running)
        return max(free, 0)

    def change_ns(self, now_ns: int) -> int | None:
        """Return when the next token comes back, None when only a request brings one."""
        return next((back_ns for back_ns in self._back_ns if back_ns > now_ns), None)


@dataclass(slots=True)
class PenaltyBox:
    """The time after HTTP 429: first nearly nothing is sent, then little, then all again."""

    pacing: Pacing
    _since_ns: int | None = field(init=False, default=None)
    _until_ns: int = field(init=False, default=0)
    _probe_at_ns: int = field(init=False, default=0)
    _length_ms: int = field(init=False, default=0)

    def penalise(self, now_ns: int, began_ns: int, *, is_probe: bool = False) -> None:
        """Stop; a request that began at `began_ns` was refused.

        One that follows another before the pace was whole for as long as the last
        penalty took makes it twice as long. Those on their way together count once.
        """
        if is_probe and self.left_ms(now_ns) is not None:
            # It was sent to see whether the door is open; it says no more than that it is not.
            self._probed(now_ns)
            return
        if self._since_ns is None or began_ns >= self._since_ns:
            calm_ns = self._until_ns + self._length_ms * _NS_PER_MS + _RAMP_NS
            doubled = self._since_ns is not None and now_ns < calm_ns
            length_ms = 2 * self._length_ms if doubled else self.pacing.penalty_ms
            longest_ms = max(self.pacing.penalty_ms, self.pacing.penalty_ms_max)
            self._length_ms = min(length_ms, longest_ms)
            self._since_ns = now_ns
        self._until_ns = now_ns + self._length_ms * _NS_PER_MS
        self._probed(now_ns)

    def forgive(self, now_ns: int) -> None:
        """Begin to send again: what was sent during the penalty was not refused."""
        self._until_ns = min(self._until_ns, now_ns)

    def left_ms(self, now_ns: int) -> int | None:
        """Return how long the penalty still lasts, None without one."""
        if self._since_ns is None or now_ns >= self._until_ns:
            return None
        return (self._until_ns - now_ns) // _NS_PER_MS

    def lets_pass(self, lane: Lane, now_ns: int) -> bool:
        """Tell whether the penalty leaves a request of this lane to the buckets."""
        if self.left_ms(now_ns) is None:
            return True
        return lane is Lane.CANCEL and now_ns >= self._probe_at_ns

    def began(self, now_ns: int) -> None:
        """Take note of a request; during a penalty the next cancel waits for its probe."""
        if self.left_ms(now_ns) is not None:
            self._probed(now_ns)

    def percent(self, now_ns: int) -> int:
        """Return how much of the pace may be used."""
        if self._since_ns is None:
            return 100
        step = max(0, now_ns - self._until_ns) // _RAMP_STEP_NS
        return _RAMP_PERCENT[step] if step < len(_RAMP_PERCENT) else 100

    def changes(self) -> Iterator[int]:
        """Yield when more may be sent than before."""
        if self._since_ns is not None:
            yield self._probe_at_ns
            for step in range(len(_RAMP_PERCENT) + 1):
                yield self._until_ns + step * _RAMP_STEP_NS

    def _probed(self, now_ns: int) -> None:
        self._probe_at_ns = now_ns + self.pacing.cancel_probe_ms * _NS_PER_MS


_RAMP_NS: Final = len(_RAMP_PERCENT) * _RAMP_STEP_NS

_ALL: Final = "all"
_NO_CANCELS: Final = "orders_and_reads"
_ORDERS: Final = "orders"
_READS: Final = "reads"
_PASSES: Final[Mapping[Lane, tuple[str, ...]]] = {
    Lane.CANCEL: (_ALL,),
    Lane.ORDER: (_ALL, _NO_CANCELS, _ORDERS),
    Lane.STATUS: (_ALL, _NO_CANCELS, _READS),
    Lane.DATA: (_ALL, _NO_CANCELS, _READS),
}
"""The shared buckets that a request of each lane takes a token from."""


@dataclass(slots=True)
class Pacer:
    """The turns of one gateway."""

    pacing: Pacing
    _box: PenaltyBox = field(init=False)
    _shared: dict[str, _Bucket] = field(init=False)
    _own: dict[str, _Bucket] = field(init=False)
    _waiting: dict[Lane, deque[Waiter]] = field(init=False)
    _passed_over: Counter[Lane] = field(init=False, default_factory=Counter)
    _lost: list[_Bucket] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Start with nobody waiting."""
        pace = self.pacing
        self._box = PenaltyBox(pace)
        self._waiting = {lane: deque() for lane in Lane}
        # Reads and orders cannot take each other's last place, nor together the last of all.
        kept_places = {_ALL: 0, _NO_CANCELS: 1, _ORDERS: 2, _READS: 2}
        self._shared = {
            name: _Bucket(
                tokens=0,
                window_ns=_WINDOW_NS,
                places=max(1, pace.in_flight - kept),
            )
            for name, kept in kept_places.items()
        }
        self._own = {
            endpoint: _Bucket(
                tokens=limit.requests,
                window_ns=limit.per_ms * _NS_PER_MS,
                places=limit.in_flight,
            )
            for endpoint, limit in pace.limits.items()
        }
        self._regulate(0)

    def join(self, waiter: Waiter) -> None:
        """Take a place at the end of the lane."""
        self._waiting[waiter.lane].append(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Give the place up, if there still is one."""
        if waiter in self._waiting[waiter.lane]:
            self._waiting[waiter.lane].remove(waiter)

    def depart(self, waiter: Waiter, now_ns: int) -> None:
        """Let the time of the shared tokens begin: the request is being written."""
        assert not waiter.departed
        waiter.departed = True
        for name in _PASSES[waiter.lane]:
            self._shared[name].depart(now_ns)

    def finish(self, waiter: Waiter, now_ns: int, *, lost: bool = False) -> None:
        """Give back what a request that got its turn held: it was answered, or given up.

        Only from here on counts the limit of its endpoint. The broker counts arrivals: one
        request may be slow on its way and the next one quick; from the answer on, no two
        can arrive closer than they should. What is `lost`, written but not answered in
        time, may arrive when a gateway that hangs goes on: it counts from there.
        """
        if not waiter.departed:
            self.depart(waiter, now_ns)
        for name in _PASSES[waiter.lane]:
            self._shared[name].end()
        if (own := self._own.get(waiter.endpoint)) is not None:
            own.end()
            if lost and own.window_ns > _WINDOW_NS:
                self._lost.append(own)
            else:
                own.depart(now_ns)

    def answered(self, now_ns: int) -> None:
        """Count what was lost from now on: the gateway runs, so it has read it."""
        while self._lost:
            self._lost.pop().depart(now_ns)

    def rest(self, endpoint: str, now_ns: int) -> None:
        """Treat an endpoint as if all that its limit allows had been answered just now."""
        if (own := self._own.get(endpoint)) is not None:
            own.rest(now_ns)

    def penalise(self, now_ns: int, *, began_ns: int, is_probe: bool = False) -> None:
        """Stop: a request that began at `began_ns` was refused for the pace."""
        self._box.penalise(now_ns, began_ns, is_probe=is_probe)

    def forgive(self, now_ns: int) -> None:
        """Begin to send again: what was sent during the penalty was not refused."""
        self._box.forgive(now_ns)

    def penalty_ms(self, now_ns: int) -> int | None:
        """Return how long the penalty still lasts, None without one."""
        return self._box.left_ms(now_ns)

    def free(self, now_ns: int) -> dict[str, int]:
        """Return by bucket how many requests it would let pass now."""
        self._regulate(now_ns)
        boxed = self._box.left_ms(now_ns) is not None
        shared = {
            name: 0 if boxed else bucket.free(now_ns) for name, bucket in self._shared.items()
        }
        return shared | {endpoint: bucket.free(now_ns) for endpoint, bucket in self._own.items()}

    def queue(self) -> dict[Lane, int]:
        """Return by lane how many wait."""
        return {lane: len(waiters) for lane, waiters in self._waiting.items()}

    def admit(self, now_ns: int) -> tuple[Waiter, ...]:
        """Return those whose turn it is now; each must `finish` later."""
        self._regulate(now_ns)
        admitted: list[Waiter] = []
        while any(self._waiting.values()) and (waiter := self._next(now_ns)) is not None:
            self._waiting[waiter.lane].remove(waiter)
            self._box.began(now_ns)
            for name in _PASSES[waiter.lane]:
                self._shared[name].begin()
            if (own := self._own.get(waiter.endpoint)) is not None:
                own.begin()
            admitted.append(waiter)
        return tuple(admitted)

    def wake_ns(self, now_ns: int) -> int | None:
        """Return when the passing of time may give somebody a turn.

        None when only a `join` or a `finish` can.
        """
        return min((at for at in self._changes(now_ns) if at > now_ns), default=None)

    def _changes(self, now_ns: int) -> Iterator[int]:
        wanted = {waiter.endpoint for lane in self._waiting.values() for waiter in lane}
        if not wanted:
            return
        own = [self._own[endpoint] for endpoint in wanted if endpoint in self._own]
        for bucket in (*self._shared.values(), *own):
            if (change_ns := bucket.change_ns(now_ns)) is not None:
                yield change_ns
        yield from self._box.changes()

    def _next(self, now_ns: int) -> Waiter | None:
        ready = {lane: waiter for lane in Lane if (waiter := self._first(lane, now_ns)) is not None}
        if not ready:
            return None
        chosen = min(ready)
        if chosen is Lane.CANCEL:
            # Hundreds of cancels take a minute; without its upkeep the session would be lost.
            if self._passed_over[Lane.STATUS] >= _CANCELS_IN_A_ROW_MAX and Lane.STATUS in ready:
                chosen = Lane.STATUS
        else:
            overdue = (lane for lane in ready if self._passed_over[lane] >= _PASSED_OVER_MAX)
            chosen = min(overdue, default=chosen)
        self._passed_over.update(lane for lane in ready if lane > chosen)
        self._passed_over[chosen] = 0
        return ready[chosen]

    def _first(self, lane: Lane, now_ns: int) -> Waiter | None:
        """Return who of this lane could go now."""
        if not self._waiting[lane] or not self._box.lets_pass(lane, now_ns):
            return None
        if not all(self._shared[name].free(now_ns) for name in _PASSES[lane]):
            return None
        for waiter in self._waiting[lane]:
            own = self._own.get(waiter.endpoint)
            if own is None or own.free(now_ns):
                return waiter
        return None

    def _regulate(self, now_ns: int) -> None:
        """Set the shared buckets to the pace of now, with less for those who keep some back."""
        pace = self.pacing
        requests = max(1, pace.requests_per_s * self._box.percent(now_ns) // 100)
        others = max(1, requests - pace.cancels_per_s)
        reads = max(1, others - pace.orders_per_s)
        for name, tokens in ((_ALL, requests), (_NO_CANCELS, others), (_ORDERS, others)):
            self._shared[name].tokens = tokens
        self._shared[_READS].tokens = reads
