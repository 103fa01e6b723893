"""What the actors of each class have to do, and how long it takes them."""

from dataclasses import dataclass

from engine import metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorStatistics:
    """The counts of one class of actors.

    `slowest_ns` is the longest turn since the statistics were read before.
    """

    depth: int
    handled: int
    handling_ns: int
    slowest_ns: int


class Tally:
    """The counts of one class while they run; plain numbers, because every turn adds."""

    __slots__ = ("handled", "handling_ns", "shown", "slowest_ns", "waiting")

    def __init__(self) -> None:
        self.waiting = self.handled = self.handling_ns = self.slowest_ns = 0
        self.shown = (0, 0)


class Tallies:
    """The counts of all classes, by their names."""

    def __init__(self) -> None:
        self._all: dict[str, Tally] = {}

    def of(self, actor_class: type) -> Tally:
        """Return the counts that all actors of a class share."""
        tally = self._all.get(actor_class.__name__)
        if tally is None:
            tally = self._all[actor_class.__name__] = Tally()
        return tally

    def depths(self) -> dict[str, int]:
        """Return how many messages wait."""
        return {name: tally.waiting for name, tally in self._all.items()}

    def read(self) -> dict[str, ActorStatistics]:
        """Return the counts, and begin a new look for the slowest turn."""
        found = {}
        for name, tally in self._all.items():
            found[name] = ActorStatistics(
                depth=tally.waiting,
                handled=tally.handled,
                handling_ns=tally.handling_ns,
                slowest_ns=tally.slowest_ns,
            )
            tally.slowest_ns = 0
        return found

    def show(self) -> None:
        """Copy the counts to the metrics."""
        for name, found in self.read().items():
            tally = self._all[name]
            handled, handling_ns = tally.shown
            tally.shown = (found.handled, found.handling_ns)
            metrics.ACTOR_MAILBOX_DEPTH.labels(name).set(found.depth)
            metrics.ACTOR_HANDLED.labels(name).inc(found.handled - handled)
            spent_s = (found.handling_ns - handling_ns) / 1e9
            metrics.ACTOR_HANDLING_SECONDS.labels(name).inc(spent_s)
            metrics.ACTOR_SLOWEST_SECONDS.labels(name).set(found.slowest_ns / 1e9)
