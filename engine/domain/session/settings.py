"""What a session is configured with, and the times it keeps."""

from dataclasses import dataclass
from typing import Final

from engine.domain.messages import AccountsRead
from engine.domain.values import AccountId, Mode, Reason, SessionName, SessionState

TICKLE_MS: Final = 60_000
"""The gateway drops a session that was silent for some five minutes."""

SUSPICIOUS_TICKLE_MS: Final = 5_000
TICKLE_FAILURES_MAX: Final = 3
POLL_BUSY_MS: Final = 10_000
POLL_IDLE_MS: Final = 60_000
POLL_LOOKUP_MS: Final = 1_000
ACCOUNT_POLL_MS: Final = 30_000
AUTH_POLL_MS: Final = 1_000
LOGIN_POLL_MS: Final = 5_000
STEP_RETRY_MS: Final = 2_000
LOCKED_OUT_POLL_MS: Final = 60_000
ACCOUNT_TRIES_MAX: Final = 3
BACK_OFF_MS: Final = (1_000, 2_000, 4_000, 8_000, 16_000, 30_000)

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

NOT_STARTED: Final = Reason(code="STARTING", message="the engine has just started")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """What the configuration says of a session. `accounts` is None for `all`."""

    name: SessionName
    mode: Mode
    accounts: tuple[AccountId, ...] | None
    compete_once: bool
    suppress: tuple[str, ...]


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
