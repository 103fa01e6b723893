"""Work that can wait until what is in a hurry has left.

An order that may be sent now is looked at by many, who all take their time. Its bytes go first:
whoever wants to know is told a moment later, in the order that things happened. It is a moment
and not a turn of the loop, so that the loop rests meanwhile: the journal's thread needs it to.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

MOMENT_S: Final = 0.0008
"""About as long as it takes from a durable attempt to its first byte."""

Work: TypeAlias = Callable[[], None]


class Afterwards:
    """Does things in order, a moment after they were left to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[float, Work]] = deque()
        self._is_timed = False
        self._is_busy = False

    def leave(self, work: Work) -> None:
        """Do this a moment from now, or sooner, when something comes that must follow it."""
        self._waiting.append((self._loop.time() + MOMENT_S, work))
        self._wait()

    def flush(self) -> None:
        """Do now what was left, unless it is being done just now."""
        while self._waiting and not self._is_busy:
            self._do_next()

    def _go_on(self) -> None:
        self._is_timed = False
        now_s = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now_s:
            self._do_next()  # From the loop, so it is never within another.
        self._wait()

    def _wait(self) -> None:
        if self._waiting and not self._is_timed:
            self._is_timed = True
            self._loop.call_at(self._waiting[0][0], self._go_on)

    def _do_next(self) -> None:
        _, work = self._waiting.popleft()
        self._is_busy = True
        try:
            work()
        except Exception as error:  # noqa: BLE001 - nobody's failure but its own
            what = "what was left for later failed"
            self._loop.call_exception_handler({"message": what, "exception": error})
        finally:
            self._is_busy = False
