"""Notices that a topic of the stream went mute, by what the polls show.

The topics for orders and trades have no heartbeat, and have been seen to say nothing for
hours on a socket that was fine otherwise. So every poll is compared with those before:
what changed must have been told by the stream within `UNTOLD_MS_MAX`. Two polls in a row
that show it was not, and the topic is held to be mute.

A stream that is ahead of the polls is not mute, however long the broker's lists are behind;
nor is what is missing in one poll and back in the next a change. What the first poll of a
connection shows happened before it: the topics tell no history.
"""

from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar

UNTOLD_MS_MAX: Final = 15_000
TOLD_MS_MAX: Final = 3_600_000
"""What was told and never polled is forgotten after this long."""

_MS: Final = 1_000_000
_STRIKES_MAX: Final = 2

Key = TypeVar("Key", bound=Hashable)
State = TypeVar("State", bound=Hashable)


class TopicWatch(Generic[Key, State]):
    """One topic. Polls and the stream say of each key what state it is in."""

    def __init__(self) -> None:
        self._polled: dict[Key, State] | None = None
        self._polled_ns = 0
        self._told: dict[Key, tuple[int, State]] = {}
        self._untold_ns: dict[Key, int] = {}
        self._strikes = 0
        self._mute = False

    @property
    def doubtful(self) -> bool:
        """True from the first change that was not told until the stream tells something."""
        return self._mute or bool(self._untold_ns)

    def begin(self) -> None:
        """A connection begins: the next poll is what it starts from."""
        self._polled = None
        self._told.clear()
        self._untold_ns.clear()
        self._strikes = 0

    def known(self, key: Key) -> State | None:
        """Return the newest state of the key: as it was told, or else as it was polled."""
        told = self._told.get(key)
        return (self._polled or {}).get(key) if told is None else told[1]

    def tell(self, told: Mapping[Key, State], now_ns: int) -> None:
        """The stream told of these."""
        for key, state in told.items():
            self._told[key] = (now_ns, state)
            self._untold_ns.pop(key, None)
            self._strikes = 0
            self._mute = False

    def poll(self, polled: Mapping[Key, State], now_ns: int) -> int:
        """Take a poll; return how many changes a mute topic kept to itself, else 0."""
        before, before_ns = self._polled, self._polled_ns
        self._polled, self._polled_ns = {**(before or {}), **polled}, now_ns
        if before is None:
            return 0
        for key, state in polled.items():
            changed = key not in before or before[key] != state
            if changed and not self._was_told(key, state, before_ns):
                self._untold_ns.setdefault(key, now_ns)
        self._forget_told(before_ns, now_ns)
        if not any(now_ns - at >= UNTOLD_MS_MAX * _MS for at in self._untold_ns.values()):
            self._strikes = 0
            return 0
        self._strikes += 1
        if self._strikes < _STRIKES_MAX:
            return 0
        untold = len(self._untold_ns)
        self._untold_ns.clear()
        self._strikes = 0
        self._mute = True
        return untold

    def _was_told(self, key: Key, state: State, before_ns: int) -> bool:
        """Say whether the stream told it: a while ago, or as it is now, however long ago."""
        at_ns, told = self._told.get(key, (None, None))
        return at_ns is not None and (at_ns >= before_ns - UNTOLD_MS_MAX * _MS or told == state)

    def _forget_told(self, before_ns: int, now_ns: int) -> None:
        """Keep what was told lately, and what the polls have yet to show."""
        polled = self._polled or {}
        since_ns = before_ns - UNTOLD_MS_MAX * _MS
        self._told = {
            key: (at_ns, state)
            for key, (at_ns, state) in self._told.items()
            if at_ns >= since_ns
            or ((key, state) not in polled.items() and at_ns >= now_ns - TOLD_MS_MAX * _MS)
        }
