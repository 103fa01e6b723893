"""The orders that a session looks for at the broker, and for how long already.

Only time counts in which the session was ready and the broker's list was read warm. Not to
find an order proves nothing by itself: either the reads amount to a proof, or a person is
asked after `LOOKUP_HEALTHY_MS_MAX`. Then it is still looked for, only less often.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from engine.domain.messages import RequestLookup
from engine.domain.session.absence import Absence
from engine.domain.session.positions import Holding
from engine.domain.values import Coid, OrderId

LOOKUP_HEALTHY_MS_MAX: Final = 180_000
"""After so much healthy time without a sight of an order, a person decides."""

READ_GAP_MS_MAX: Final = 10_000
"""A longer gap between two reads was not time spent looking."""

PARKED_GAP_MS_MAX: Final = 40_000
"""As above, where nothing but parked orders is looked for."""

_MS: Final = 1_000_000
_FORCED_READS: Final = 3
"""Every third read clears the broker's cache, in case it froze."""


@dataclass(slots=True, kw_only=True)
class Lookup:
    """One order that is looked for since `since_ns`, monotonic.

    `before` is what its account held before it was sent, `lead_ms` how long before the
    search began that was. `earlier` says that it was sent before this session's first login.
    """

    request: RequestLookup
    since_ns: int = 0
    lead_ms: int = 0
    before: Holding | None = None
    earlier: bool = False
    healthy_ms: int = 0
    parked: bool = False
    absence: Absence = field(default_factory=Absence)


class Lookups:
    """Counts healthy time per order, and says when to clear the broker's cache."""

    def __init__(self) -> None:
        self._lookups: dict[OrderId, Lookup] = {}
        self._read_ns: int | None = None
        self._reads = 0
        self._cleared = False

    def __bool__(self) -> bool:
        return bool(self._lookups)

    def __iter__(self) -> Iterator[Lookup]:
        return iter(tuple(self._lookups.values()))

    @property
    def urgent(self) -> bool:
        """True while an order is looked for that no person has been asked about."""
        return any(not one.parked for one in self._lookups.values())

    def add(self, lookup: Lookup) -> None:
        """Look for the order. Asked again, it is not parked any more; its evidence stays."""
        request = lookup.request
        known = self._lookups.get(request.order_id)
        if known is None or known.request.sent_at_ns != request.sent_at_ns:
            self._lookups[request.order_id] = lookup
            return
        known.request = request
        if known.parked:
            known.parked = False
            known.healthy_ms = 0

    def find(self, order_id: OrderId) -> Lookup | None:
        """Return the search for an order, None when there is none."""
        return self._lookups.get(order_id)

    def remove(self, order_id: OrderId) -> None:
        """The order was found, or is not ours to look for any more."""
        self._lookups.pop(order_id, None)

    def see(self, shown: Iterable[Coid | None]) -> None:
        """The broker has shown orders, or executions, under these ids.

        In whatever account: an id of ours means one order, and it is somewhere.
        """
        if not self._lookups:
            return
        coids = set(shown)
        for one in self._lookups.values():
            if one.request.coid is not None and one.request.coid in coids:
                one.absence.seen = True

    def force_next_read(self) -> bool:
        """Say whether the next read should clear the broker's cache.

        A read right after that is worth most, so where absence may be proven every other
        read is such a one.
        """
        if not self._lookups:
            return False
        self._reads += 1
        if self._cleared:
            return False
        provable = any(one.request.provable for one in self._lookups.values())
        return provable or self._reads % _FORCED_READS == 0

    @property
    def cleared(self) -> bool:
        """True from a read that cleared the broker's cache to the next one."""
        return self._cleared

    def clear_cache(self) -> None:
        """A read that cleared the broker's cache was answered; the next must be plain."""
        self._cleared = True

    def take_refreshed(self) -> bool:
        """Say whether the plain read that is in now is the first after such a one."""
        cleared, self._cleared = self._cleared, False
        return cleared

    def count_read(self, now_ns: int, *, healthy: bool) -> None:
        """A warm read is in: count the time since the one before as spent looking."""
        since, self._read_ns = self._read_ns, now_ns
        if since is None or not healthy:
            return
        gap_ms_max = READ_GAP_MS_MAX if self.urgent else PARKED_GAP_MS_MAX
        elapsed_ms = min((now_ns - since) // _MS, gap_ms_max)
        for one in self._lookups.values():
            one.healthy_ms += elapsed_ms
