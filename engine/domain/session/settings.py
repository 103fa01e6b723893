"""What a session is configured with, and the times it keeps."""

from dataclasses import dataclass
from typing import Final

from engine.domain.messages import AccountsRead
from engine.domain.session.calendar import Calendar
from engine.domain.values import AccountId, Mode, Reason, SessionName, SessionState

TICKLE_MS: Final = 60_000
"""The gateway drops a session that was silent for some five minutes."""

SUSPICIOUS_TICKLE_MS: Final = 5_000
TICKLE_FAILURES_MAX: Final = 3
PROBE_MS: Final = 3_000
"""So soon a keep-alive is answered by a gateway that may be silent, or it is silent."""

WATCH_MS: Final = 4_000
"""After a quick read without an answer for so long, a keep-alive is sent; no sooner."""

PROBE_PAUSE_MS: Final = 1_000
SILENCE_MS_MAX: Final = 30_000
"""A gateway that answers no keep-alive for so long is down."""

POLL_BUSY_MS: Final = 10_000
POLL_IDLE_MS: Final = 60_000
POLL_LOOKUP_MS: Final = 1_000
POLL_PARKED_MS: Final = 30_000
"""Orders that a person was asked about are still looked for, as often as this."""

POLL_SUSPECT_MS: Final = 5_000
"""While the stream may be mute, the polls are the truth; the broker allows one in 5 s."""

AUTH_POLL_MS: Final = 1_000
LOGIN_POLL_MS: Final = 5_000
SILENT_POLL_MS: Final = 2_000
"""A gateway that hangs is asked again this soon after the last time was given up."""

STEP_RETRY_MS: Final = 2_000
OPENING_POLLS_MAX: Final = 60
"""A brokerage session that is still opening after so many looks is opened once more."""

LOCKED_OUT_POLL_MS: Final = 60_000
POSITIONS_MS_MAX: Final = 5_000
"""After this long the lists are read although some positions were not read yet.

The broker's pace lets the list be read again only 5 s after the cold one, so no time is
lost. An account whose positions come later waits for the next lists; the others do not
wait for it.
"""

ALL_TRADES_MS: Final = 3_600_000
"""So often the trades of all days are read, and not just the current day's."""

STREAM_MS_MAX: Final = 15_000
"""After this long without a stream a session goes on with polls only."""

BACK_OFF_MS: Final = (1_000, 2_000, 4_000, 8_000, 16_000, 30_000)
REFUSED_BACK_OFF_MS: Final = (2_000, 10_000, 30_000, 60_000)
"""Slower than for a gateway that is away: the broker locks a username that fails often."""

CALM_MS: Final = 30_000
"""In a reset or a maintenance nobody is asked more often than this."""

LOGIN_STATES: Final = frozenset(
    {
        SessionState.DOWN,
        SessionState.GATEWAY_UP,
        SessionState.LOGIN_REQUIRED,
        SessionState.BROKERAGE_INIT,
        SessionState.COMPETING,
        SessionState.RATE_LIMITED,
        SessionState.LOCKED_OUT,
    }
)
"""No brokerage session is open."""

PERSON_STATES: Final = frozenset({SessionState.LOGIN_REQUIRED, SessionState.LOCKED_OUT})
"""Nothing goes on until a person has done something."""

LOGGED_IN_STATES: Final = frozenset(
    {
        SessionState.BROKERAGE_INIT,
        SessionState.COMPETING,
        SessionState.RECONCILING,
        SessionState.READY,
        SessionState.DEGRADED,
    }
)
"""A person has logged in, as the right user as far as one can tell by now."""

NOT_STARTED: Final = Reason(code="STARTING", message="the engine has just started")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """What the configuration says of a session. `accounts` is None for `all`.

    Without a `calendar` the session knows no resets, so each one is trouble to it.
    `login_grace_ms` is how long a person may take to log in before that is overdue.
    """

    name: SessionName
    mode: Mode
    accounts: tuple[AccountId, ...] | None
    compete_once: bool
    suppress: tuple[str, ...]
    calendar: Calendar | None = None
    login_grace_ms: int = 900_000


def login_problem(settings: SessionSettings, found: AccountsRead) -> Reason | None:
    """Say why this login must not be traded with; a person has to change something."""
    kind = Mode.PAPER if found.paper else Mode.LIVE
    if kind is not settings.mode:
        return Reason(
            code="MODE_MISMATCH", message=f"the gateway's login is {kind}, mode is {settings.mode}"
        )
    missing = [name for name in settings.accounts or () if name not in found.accounts]
    if missing:
        return Reason(
            code="ACCOUNTS_MISSING",
            message=f"the gateway's login has no {', '.join(missing)}; "
            f"it has {', '.join(found.accounts)}",
        )
    return None
