"""Memory of an idle actor, each kind in a process of its own.

An idle order actor is that of an order that rests at the broker. It is measured twice: by
itself, and with all that the engine keeps of an order: the ticket of its own, its ids, its
view, and the ways to find it.

`python -m benchmarks.memory KIND ACTORS` is that process: it starts the actors, and prints
by how many bytes its resident memory grew and how many of them are there.
"""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from benchmarks.actors import Loop, Threads
from benchmarks.contest import Clock, Contender, Contest, Lap
from benchmarks.orders import Orders

ACTORS: Final = 10_000
LIVE: Final = 100_000

_WARM_UP: Final = 10
_SETTLE_S: Final = 0.2
_STATM: Final = Path("/proc/self/statm")
_ROOT: Final = Path(__file__).parents[1]


_NAMES: Final = {
    "loop": "engine LoopActor",
    "orders": "engine OrderActor",
    "known": "... with all it knows",
    "threads": "pykka ThreadingActor",
}
_ROUNDS_MAX: Final = 3


def contests(*, actors: int = ACTORS, live: int = LIVE) -> tuple[Contest, ...]:
    """Return the contests; none where the system does not tell the memory of a process."""
    if not _STATM.exists():
        return ()
    return (
        _contest("actors/memory", f"{actors:,} idle actors", actors, *_NAMES),
        _contest("actors/memory-of-most", f"{live:,} idle actors", live, "loop", "orders", "known"),
    )


def _contest(name: str, what: str, actors: int, *kinds: str) -> Contest:
    return Contest(
        name=name,
        what=what,
        operation="actor",
        operations=actors,
        clock=Clock.MEMORY,
        contenders=tuple(Contender(name=_NAMES[kind], lap=_child(kind, actors)) for kind in kinds),
        rounds_max=_ROUNDS_MAX,
    )


def _child(kind: str, actors: int) -> Callable[[], Lap]:
    command = (sys.executable, "-m", "benchmarks.memory", kind, str(actors))

    def lap() -> Lap:
        done = subprocess.run(  # noqa: S603 - this very file
            command, cwd=_ROOT, check=True, capture_output=True, text=True
        )
        grown, started = map(int, done.stdout.split())
        return Lap(cost=grown, digest={"actors": started})

    return lap


def resident_bytes() -> int:
    """Return how much of this process is in memory."""
    pages = int(_STATM.read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def grow(kind: str, actors: int) -> tuple[int, int]:
    """Start the actors; return by how much the process grew, and how many started."""
    makers: Mapping[str, Callable[[int], Loop | Threads | Orders]] = {
        "loop": lambda count: Loop(actors=count, waiting=count),
        "orders": lambda count: Orders(count, known=False),
        "known": lambda count: Orders(count, known=True),
        "threads": lambda count: Threads(actors=count, waiting=count),
    }
    warm = makers[kind](_WARM_UP)  # what the first actors of all cost is not what one costs
    gc.collect()
    before = resident_bytes()
    work = makers[kind](actors)
    time.sleep(_SETTLE_S)  # threads say that they are there before they wait for mail
    gc.collect()
    grown = resident_bytes() - before
    started = work.digest()["started"]
    work.close()
    warm.close()
    return grown, started


if __name__ == "__main__":
    print(*grow(sys.argv[1], int(sys.argv[2])))
