"""Mail between actors: pykka's with a thread each against the engine's on the loop.

Both are `pykka.Actor`s with the same `tell` and `on_receive`; what differs is who drains
the mail. CPU time is compared, so waiting for a core is in neither.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pykka

from benchmarks.contest import Clock, Contender, Contest, Digest, Work, timed
from engine.actors.mailbox import Dispatcher, LoopActor, LoopRef

RING: Final = 10
HOPS: Final = 20_000
CROWD: Final = 10_000
RECEIVERS: Final = 1_000
TELLS: Final = 5
LIVES: Final = 1_000
LIVE: Final = 100_000

_LONG_ROUNDS: Final = 3
"""A crowd of threads takes seconds to come and to go."""


def contests(
    *,
    hops: int = HOPS,
    crowd: int = CROWD,
    receivers: int = RECEIVERS,
    tells: int = TELLS,
    lives: int = LIVES,
    live: int = LIVE,
) -> tuple[Contest, ...]:
    """Return the contests: a ring alone and in a crowd, one to many, starts, lives, and most."""
    return (
        _ring("actors/ring", f"one message goes round {RING} actors", hops, 0, None),
        _ring(
            "actors/ring-in-crowd",
            f"one message goes round {RING} actors, {crowd:,} others are idle",
            hops,
            crowd,
            _LONG_ROUNDS,
        ),
        Contest(
            name="actors/one-to-many",
            what=f"one tells {receivers:,} actors, {tells} messages each",
            operation="message",
            operations=receivers * tells,
            clock=Clock.CPU,
            contenders=_contenders(
                lambda: LoopMany(receivers, tells), lambda: ThreadMany(receivers, tells)
            ),
        ),
        Contest(
            name="actors/start",
            what=f"{crowd:,} actors are started, and stay",
            operation="actor",
            operations=crowd,
            clock=Clock.CPU,
            contenders=_contenders(
                lambda: LoopCrowd(crowd, stop=False), lambda: ThreadCrowd(crowd, stop=False)
            ),
            rounds_max=_LONG_ROUNDS,
        ),
        Contest(
            name="actors/start-and-stop",
            what=f"{crowd:,} actors are started, then all of them are stopped",
            operation="actor",
            operations=crowd,
            clock=Clock.CPU,
            contenders=_contenders(
                lambda: LoopCrowd(crowd, stop=True), lambda: ThreadCrowd(crowd, stop=True)
            ),
            rounds_max=_LONG_ROUNDS,
        ),
        Contest(
            name="actors/life",
            what="an actor is started and stopped, one after the other",
            operation="actor",
            operations=lives,
            clock=Clock.CPU,
            contenders=_contenders(lambda: LoopLives(lives), lambda: ThreadLives(lives)),
        ),
        Contest(
            name="actors/most",
            what=f"{live:,} actors are started and handle a message each; no peer can",
            operation="actor",
            operations=live,
            clock=Clock.CPU,
            contenders=(
                Contender(name="engine LoopActor", lap=timed(lambda: LoopMost(live), Clock.CPU)),
            ),
            rounds_max=_LONG_ROUNDS,
        ),
    )


def _ring(name: str, what: str, hops: int, crowd: int, rounds_max: int | None) -> Contest:
    return Contest(
        name=name,
        what=what,
        operation="hop",
        operations=hops,
        clock=Clock.CPU,
        contenders=_contenders(lambda: LoopRing(hops, crowd), lambda: ThreadRing(hops, crowd)),
        rounds_max=rounds_max,
    )


def _contenders(ours: Callable[[], Work], theirs: Callable[[], Work]) -> tuple[Contender, ...]:
    return (
        Contender(name="engine LoopActor", lap=timed(ours, Clock.CPU)),
        Contender(name="pykka ThreadingActor", lap=timed(theirs, Clock.CPU)),
    )


@dataclass(slots=True)
class Seat:
    """What one actor knows and has done. Only its actor writes the counts."""

    over: Callable[[], None]
    neighbour: pykka.ActorRef[Any] | None = None
    messages: int = 0
    total: int = 0
    started: int = 0
    stopped: int = 0


class _Member(pykka.Actor):
    """What the actors of both kinds do: count, pass on, and say when it is over.

    A message is how many are still to come; the last one of all is a zero.
    """

    seat: Seat

    def on_start(self) -> None:
        self.seat.started += 1

    def on_receive(self, message: int) -> None:
        seat = self.seat
        seat.messages += 1
        seat.total += message
        if message == 0:
            seat.over()
        elif seat.neighbour is not None:
            seat.neighbour.tell(message - 1)

    def on_stop(self) -> None:
        self.seat.stopped += 1


class ThreadMember(_Member, pykka.ThreadingActor):
    """With a thread of its own."""

    use_daemon_thread = True

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self.seat = seat


class LoopMember(_Member, LoopActor):
    """On the loop."""

    def __init__(self, dispatcher: Dispatcher, seat: Seat) -> None:
        super().__init__(dispatcher=dispatcher, name="member")
        self.seat = seat


@dataclass(slots=True)
class Table:
    """The seats of all actors, and how many of them have not had their last message."""

    over: Callable[[], None]
    waiting: int
    seats: list[Seat] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def seat(self) -> Seat:
        """Add a seat."""
        seat = Seat(over=self.count)
        self.seats.append(seat)
        return seat

    def count(self) -> None:
        """Take note that one actor had its last message."""
        with self.lock:
            self.waiting -= 1
            if self.waiting == 0:
                self.over()

    def close_ring(self, refs: Sequence[pykka.ActorRef[Any]]) -> None:
        """Give each of the first ones the next one as a neighbour; the others are a crowd."""
        ring = refs[:RING]
        for seat, neighbour in zip(self.seats, [*ring[1:], ring[0]], strict=False):
            seat.neighbour = neighbour

    def digest(self) -> Digest:
        """Return what all actors did."""
        return {
            "actors": len(self.seats),
            "messages": sum(seat.messages for seat in self.seats),
            "total": sum(seat.total for seat in self.seats),
            "most": max(seat.messages for seat in self.seats),
            "started": sum(seat.started for seat in self.seats),
            "stopped": sum(seat.stopped for seat in self.seats),
        }


class Threads:
    """Actors with a thread each."""

    def __init__(self, *, actors: int, waiting: int) -> None:
        self.over = threading.Event()
        self.table = Table(over=self.over.set, waiting=waiting)
        self.refs = [ThreadMember.start(self.table.seat()) for _ in range(actors)]

    def digest(self) -> Digest:
        """Return what all actors did."""
        return self.table.digest()

    def close(self) -> None:
        """Stop every actor, all of them at once."""
        for stopping in [ref.stop(block=False) for ref in self.refs]:
            stopping.get()


class ThreadRing(Threads):
    """One message goes round, in a crowd of others."""

    def __init__(self, hops: int, crowd: int) -> None:
        super().__init__(actors=RING + crowd, waiting=1)
        self._hops = hops
        self.table.close_ring(self.refs)

    def run(self) -> None:
        """Send it off and wait for its end."""
        self.refs[0].tell(self._hops - 1)
        self.over.wait()


class ThreadMany(Threads):
    """Everyone is told."""

    def __init__(self, receivers: int, tells: int) -> None:
        super().__init__(actors=receivers, waiting=receivers)
        self._tells = tells

    def run(self) -> None:
        """Tell everyone, and wait until everyone has heard the last of it."""
        for message in reversed(range(self._tells)):
            for ref in self.refs:
                ref.tell(message)
        self.over.wait()


class ThreadLives(Threads):
    """Short lives."""

    def __init__(self, lives: int) -> None:
        super().__init__(actors=0, waiting=0)
        self._lives = lives

    def run(self) -> None:
        """Start and stop them."""
        for _ in range(self._lives):
            ThreadMember.start(self.table.seat()).stop()


class ThreadCrowd(Threads):
    """All start, and perhaps stop."""

    def __init__(self, actors: int, *, stop: bool) -> None:
        super().__init__(actors=0, waiting=0)
        self._actors = actors
        self._stop = stop

    def run(self) -> None:
        """Start them, and stop them if that is wanted."""
        self.refs = [ThreadMember.start(self.table.seat()) for _ in range(self._actors)]
        if self._stop:
            self.close()
            self.refs = []


class Loop:
    """Actors on a loop."""

    def __init__(self, *, actors: int, waiting: int) -> None:
        self.runner = asyncio.Runner()
        self.dispatcher = Dispatcher(self.runner.get_loop())
        self.over = asyncio.Event()
        self.table = Table(over=self.over.set, waiting=waiting)
        self.refs: list[LoopRef] = [
            LoopMember(self.dispatcher, self.table.seat()).begin() for _ in range(actors)
        ]

    async def play(self) -> None:
        """Do the work on the loop."""
        raise NotImplementedError

    def run(self) -> None:
        """Run the loop until the work is done."""
        self.runner.run(self.play())

    def digest(self) -> Digest:
        """Return what all actors did."""
        return self.table.digest()

    def close(self) -> None:
        """Stop every actor, then the loop."""
        self.runner.run(self._stop())
        self.runner.close()

    async def _stop(self) -> None:
        for stopping in [ref.stop() for ref in self.refs]:
            await stopping


class LoopRing(Loop):
    """One message goes round, in a crowd of others."""

    def __init__(self, hops: int, crowd: int) -> None:
        super().__init__(actors=RING + crowd, waiting=1)
        self._hops = hops
        self.table.close_ring(self.refs)

    async def play(self) -> None:
        """Send it off and wait for its end."""
        self.refs[0].tell(self._hops - 1)
        await self.over.wait()


class LoopMany(Loop):
    """Everyone is told."""

    def __init__(self, receivers: int, tells: int) -> None:
        super().__init__(actors=receivers, waiting=receivers)
        self._tells = tells

    async def play(self) -> None:
        """Tell everyone, and wait until everyone has heard the last of it."""
        for message in reversed(range(self._tells)):
            for ref in self.refs:
                ref.tell(message)
        await self.over.wait()


class LoopLives(Loop):
    """Short lives."""

    def __init__(self, lives: int) -> None:
        super().__init__(actors=0, waiting=0)
        self._lives = lives

    async def play(self) -> None:
        """Start and stop them."""
        for _ in range(self._lives):
            await LoopMember(self.dispatcher, self.table.seat()).begin().stop()


class LoopCrowd(Loop):
    """All start, and perhaps stop."""

    def __init__(self, actors: int, *, stop: bool) -> None:
        super().__init__(actors=0, waiting=0)
        self._actors = actors
        self._stops = stop

    async def play(self) -> None:
        """Start them, and stop them if that is wanted."""
        self.refs = [
            LoopMember(self.dispatcher, self.table.seat()).begin() for _ in range(self._actors)
        ]
        if self._stops:
            await self._stop()
            self.refs = []


class LoopMost(Loop):
    """More than there could be threads."""

    def __init__(self, actors: int) -> None:
        super().__init__(actors=0, waiting=actors)
        self._actors = actors

    async def play(self) -> None:
        """Start them, tell each of them, and wait until all have heard it."""
        self.refs = [
            LoopMember(self.dispatcher, self.table.seat()).begin() for _ in range(self._actors)
        ]
        for ref in self.refs:
            ref.tell(0)
        await self.over.wait()
