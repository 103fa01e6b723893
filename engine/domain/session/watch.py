"""Notices that a topic of the stream went mute, by what the polls show.

The topics for orders and trades have no heartbeat, and have been seen to say nothing for
hours on a socket that was fine otherwise. So every poll is compared with the one before:
what changed must have been told by the stream within `UNTOLD_MS_MAX`. Two polls in a row
that show it was not, and the topic is held to be mute.

A stream that is ahead of a poll is no news, and what the first poll of a connection shows
happened before it: the topics tell no history.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import Final, Generic, TypeVar

UNTOLD_MS_MAX: Final = 15_000
_UNTOLD_NS_MAX: Final = UNTOLD_MS_MAX * 1_000_000
_STRIKES_MAX: Final = 2

Key = TypeVar("Key", bound=Hashable)


class TopicWatch(Generic[Key]):
    """One topic. Keys are what it tells of; a poll gives each its state."""

    def __init__(self) -> None:
        self._polled: Mapping[Key, object] | None = None
        self._polled_ns = 0
        self._told_ns: dict[Key, int] = {}
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
        self._told_ns.clear()
        self._untold_ns.clear()
        self._strikes = 0

    def tell(self, keys: Iterable[Key], now_ns: int) -> None:
        """The stream told of these."""
        for key in keys:
            self._told_ns[key] = now_ns
            self._untold_ns.pop(key, None)
            self._strikes = 0
            self._mute = False

    def poll(self, polled: Mapping[Key, object], now_ns: int) -> int:
        """Take a poll; return how many changes a mute topic kept to itself, else 0."""
        before, self._polled = self._polled, polled
        before_ns, self._polled_ns = self._polled_ns, now_ns
        if before is None:
            return 0
        since_ns = before_ns - _UNTOLD_NS_MAX
        self._told_ns = {key: at for key, at in self._told_ns.items() if at >= since_ns}
        for key, state in polled.items():
            changed = key not in before or before[key] != state
            if changed and key not in self._told_ns:
                self._untold_ns.setdefault(key, now_ns)
        if not any(now_ns - at >= _UNTOLD_NS_MAX for at in self._untold_ns.values()):
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
