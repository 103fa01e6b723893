"""How a session stands: its state and why, and what the broker's calendar makes of both.

Inside a window of the calendar every state is shown as MAINTENANCE, but those that a
person has to end: what is lost then is no trouble, and nothing is sent anyway.
"""

from enum import Enum
from typing import Final

from engine.domain.session.calendar import Calendar, Hours
from engine.domain.session.settings import CALM_MS, NOT_STARTED, PERSON_STATES, SessionSettings
from engine.domain.values import Reason, SessionState

_SHOWN_IN_WINDOWS: Final = PERSON_STATES | {SessionState.COMPETING}


class Turn(Enum):
    """What the passing of time did."""

    NOTHING = "nothing"
    HOURS = "hours"
    WINDOW_OPENED = "window_opened"
    WINDOW_CLOSED = "window_closed"


class Standing:
    """The state of a session. `tier` is how far its login got, `state` what is shown."""

    def __init__(self, settings: SessionSettings) -> None:
        self.tier = SessionState.DOWN
        self.hours: Hours | None = None
        self.overdue = False
        self._settings = settings
        self._why: Reason | None = NOT_STARTED

    @property
    def calendar(self) -> Calendar | None:
        """The broker's calendar; without one no resets are known."""
        return self._settings.calendar

    def enter(self, tier: SessionState, code: str, message: str) -> None:
        """Be in this state from now on, for this reason."""
        self.tier, self._why = tier, Reason(code=code, message=message)

    def be_ready(self) -> None:
        """Be ready, with no reason for anything."""
        self.tier, self._why = SessionState.READY, None

    @property
    def in_window(self) -> bool:
        """True while the broker may reset or maintain its systems."""
        return self.hours is not None and self.hours.window is not None

    @property
    def ready(self) -> bool:
        """True when orders may be sent."""
        return self.tier is SessionState.READY and not self.in_window

    @property
    def state(self) -> SessionState:
        """The state that is shown."""
        if self.in_window and self.tier not in _SHOWN_IN_WINDOWS:
            return SessionState.MAINTENANCE
        return self.tier

    @property
    def reason(self) -> Reason | None:
        """Why the session is not ready; None when it is."""
        why = self._why
        if self.state is SessionState.MAINTENANCE:
            return self._window_reason()
        if why is not None and self.overdue:
            grace_s = self._settings.login_grace_ms // 1_000
            text = f"{why.message}; overdue: nobody logged in within {grace_s} s"
            return Reason(code=why.code, message=text)
        return why

    @property
    def refusal(self) -> Reason | None:
        """Why no order gets a turn; None when they do."""
        if self.ready:
            return None
        if self.in_window:
            return self._window_reason()
        return self.refusal_because((self._why or NOT_STARTED).message)

    def refusal_because(self, why: str) -> Reason:
        """Return why no order gets a turn, given why not."""
        text = f"session {self._settings.name} is {self.state}: {why}"
        return Reason(code="SESSION_NOT_READY", message=text)

    def _window_reason(self) -> Reason:
        calendar, hours = self._settings.calendar, self.hours
        assert calendar is not None
        assert hours is not None
        window = hours.window
        assert window is not None
        text = f"no order is sent until {calendar.shown(window.ends_ns)}: {window.name}"
        if self._why is not None:
            text = f"{text}; {self.tier}: {self._why.message}"
        return Reason(code="NO_SUBMIT_WINDOW", message=text)

    def pass_time(self, wall_ns: int) -> Turn:
        """Look at the calendar; wall time may have gone on, or jumped."""
        calendar, hours = self._settings.calendar, self.hours
        if calendar is None:
            return Turn.NOTHING
        if hours is not None and hours.since_ns <= wall_ns < hours.until_ns:
            return Turn.NOTHING
        was_in_window = self.in_window
        self.hours = calendar.hours(wall_ns)
        if self.in_window == was_in_window:
            return Turn.HOURS
        return Turn.WINDOW_OPENED if self.in_window else Turn.WINDOW_CLOSED

    def calm(self, delay_ms: int) -> int:
        """Return how long to wait: in a window there is no hurry."""
        return max(delay_ms, CALM_MS) if self.in_window else delay_ms
