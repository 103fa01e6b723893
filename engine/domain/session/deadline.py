"""By when a person has to log in: because the login ends, or because one is needed now.

A login ends at midnight of the region it connects to, whatever is done. Some gateways tell
how long it lasts; others tell how long they wait for the next keep-alive, which moves on
with every one and says nothing of the login's end.
"""

from collections.abc import Iterator
from typing import Final

from engine.domain.messages import StartTimer, StopTimer
from engine.domain.session.calendar import Hours
from engine.domain.session.settings import LOGGED_IN_STATES, LOGIN_STATES, PERSON_STATES
from engine.domain.values import SessionState

_MS: Final = 1_000_000
_MOVED_NS: Final = 30_000 * _MS
"""An expiry that was put off by more than this is the keep-alive's, not the login's."""


class LoginDeadline:
    """Follows a session's state. Times are wall time, epoch nanoseconds."""

    def __init__(self, grace_ms: int) -> None:
        self.by_ns: int | None = None
        self.overdue = False
        self._grace_ms = grace_ms
        self._needed_by_ns: int | None = None
        self._ends_ns: int | None = None
        self._ends_moves = False

    def begin_login(self) -> None:
        """Forget what was told of the login before: this one may end at another time."""
        self._ends_ns, self._ends_moves = None, False

    def tell_expiry(self, wall_ns: int, expires_ms: int | None) -> None:
        """Note what a keep-alive said about the login's end; None says nothing."""
        if expires_ms is None:
            return
        ends_ns = wall_ns + expires_ms * _MS
        if self._ends_ns is not None and ends_ns > self._ends_ns + _MOVED_NS:
            self._ends_moves = True
        self._ends_ns = ends_ns

    def forget(self) -> Iterator[StopTimer]:
        """A person did something; a login that is still needed gets the whole time again."""
        if self._needed_by_ns is not None:
            self._needed_by_ns = None
            self.overdue = False
            yield StopTimer(name="login")

    def follow(
        self, state: SessionState, hours: Hours | None, wall_ns: int
    ) -> Iterator[StartTimer | StopTimer]:
        """Take the session's state; the timer `login` is for when a login is overdue."""
        if state in PERSON_STATES and self._needed_by_ns is None:
            # Nobody has to get up for a maintenance: the time counts from its end.
            since_ns = wall_ns if hours is None or hours.window is None else hours.window.ends_ns
            self._needed_by_ns = since_ns + self._grace_ms * _MS
            self.begin_login()
            yield StartTimer(name="login", delay_ms=(self._needed_by_ns - wall_ns) // _MS)
        elif state in LOGGED_IN_STATES:
            yield from self.forget()
        self.by_ns = self._needed_by_ns
        if self.by_ns is None and state not in LOGIN_STATES:
            told_ns = None if self._ends_moves else self._ends_ns
            known = [] if hours is None else [hours.login_ends_ns]
            self.by_ns = min([*known, told_ns] if told_ns is not None else known, default=None)

    def pass_by(self) -> None:
        """The timer fired: whoever should have logged in has not."""
        self.overdue = self._needed_by_ns is not None
