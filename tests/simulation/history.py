"""The history of one day: what happened, in order, and one hash over every step of it.

Rule 1: who checks the day reads it from here, and from the venue and the disk. Nothing
in it was asked of the engine but over its API.

Rule 2: every step goes into the hash, also those that nobody keeps: the turns of actors,
the bytes' lengths. Two runs of one seed agree in it, or something was not in our hands.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TextIO

import msgspec

from tests.simulation.loop import VirtualLoop


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One thing that happened. `number` orders them all."""

    number: int
    at_s: float
    kind: str
    data: Any


class History:
    """Keeps the day."""

    def __init__(self, loop: VirtualLoop, *, trace: TextIO | None = None) -> None:
        self.loop = loop
        self.moments: list[Moment] = []
        self.steps = 0
        self.sometimes: Counter[str] = Counter()
        self.on_note: Callable[[str, Any], None] = lambda _kind, _data: None
        self._hash = hashlib.sha256()
        self._trace = trace

    @property
    def digest(self) -> str:
        """The hash of all steps so far."""
        return self._hash.hexdigest()

    def step(self, what: str, data: object) -> None:
        """Count something that happened into the hash, without keeping it."""
        self.steps += 1
        at_s = f"{self.loop.time():.9f}"
        self._hash.update(f"\n{at_s} {what} {type(data).__name__} ".encode() + _written(data))
        if self._trace is not None:
            self._trace.write(f"{at_s} {what} {data!r}\n")

    def note(self, kind: str, data: Any) -> int:
        """Keep something that happened; return its number."""
        self.step(kind, data)
        moment = Moment(number=len(self.moments), at_s=self.loop.time(), kind=kind, data=data)
        self.moments.append(moment)
        self.on_note(kind, data)
        return moment.number

    def reached(self, what: str) -> None:
        """Count an interesting state that the day came to."""
        self.sometimes[what] += 1

    def of(self, *kinds: str) -> Iterator[Moment]:
        """Return the moments of these kinds, in order."""
        return (moment for moment in self.moments if moment.kind in kinds)


def _written(data: object) -> bytes:
    """Spell a value out, for the hash: what people read would take three times as long."""
    try:
        return _JSON.encode(data)
    except (TypeError, ValueError, OverflowError):
        return repr(data).encode(errors="backslashreplace")


_JSON: Final = msgspec.json.Encoder(enc_hook=repr)
