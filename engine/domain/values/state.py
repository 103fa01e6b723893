"""The states of orders, sessions and trading, and why they are as they are."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Mode(StrEnum):
    """Which kind of account the engine may trade."""

    PAPER = "paper"
    LIVE = "live"


class OrderState(StrEnum):
    """Where an order is. `docs/order-states.md` draws the ways between them."""

    SUBMITTING = "SUBMITTING"
    DENIED = "DENIED"
    AWAITING_REPLY = "AWAITING_REPLY"
    IN_DOUBT = "IN_DOUBT"
    PARKED = "PARKED"
    PENDING_NEW = "PENDING_NEW"
    ACCEPTED = "ACCEPTED"
    WORKING = "WORKING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    SUSPENDED = "SUSPENDED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    NOT_PLACED = "NOT_PLACED"


TERMINAL: Final = frozenset(
    {
        OrderState.DENIED,
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.EXPIRED,
        OrderState.REJECTED,
        OrderState.NOT_PLACED,
    }
)
"""States that only new evidence can reopen; such an order reserves nothing."""
LIVE: Final = frozenset(
    {
        OrderState.PENDING_NEW,
        OrderState.ACCEPTED,
        OrderState.WORKING,
        OrderState.PARTIALLY_FILLED,
        OrderState.SUSPENDED,
    }
)
"""States in which the broker is known to hold the order."""
WAITING: Final = frozenset({OrderState.SUBMITTING, OrderState.AWAITING_REPLY})
"""States in which an order waits for its turn or for the broker's answer."""
DOUBTFUL: Final = frozenset({OrderState.IN_DOUBT, OrderState.PARKED})
"""States of an order that was sent, or may have been, and whose fate nobody can tell."""
UNKNOWN: Final = WAITING | DOUBTFUL
"""States in which nobody knows yet whether the broker has the order."""


class Pending(StrEnum):
    """A change that was asked of the broker and not confirmed."""

    NONE = "none"
    REPLACE = "replace"
    CANCEL = "cancel"


class Confidence(StrEnum):
    """How far an order's state can be trusted right now."""

    CONFIRMED = "confirmed"
    STALE = "stale"
    UNCONFIRMED = "unconfirmed"


class SessionState(StrEnum):
    """Where a gateway session is between down and ready to trade."""

    DOWN = "DOWN"
    GATEWAY_UP = "GATEWAY_UP"
    LOGIN_REQUIRED = "LOGIN_REQUIRED"
    BROKERAGE_INIT = "BROKERAGE_INIT"
    WARMING = "WARMING"
    RECONCILING = "RECONCILING"
    READY = "READY"
    COMPETING = "COMPETING"
    DEGRADED = "DEGRADED"
    RATE_LIMITED = "RATE_LIMITED"
    MAINTENANCE = "MAINTENANCE"
    LOCKED_OUT = "LOCKED_OUT"


class TradingState(StrEnum):
    """What an account may do; the strictest of all its scopes is in force."""

    NORMAL = "normal"
    REDUCE_ONLY = "reduce_only"
    CANCEL_ONLY = "cancel_only"
    HALT = "halt"

    @property
    def strictness(self) -> int:
        """0 for NORMAL up to 3 for HALT."""
        return list(TradingState).index(self)


class ScopeKind(StrEnum):
    """What a halt applies to."""

    FIRM = "firm"
    GROUP = "group"
    ACCOUNT = "account"
    STRATEGY = "strategy"
    INSTRUMENT = "instrument"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A part of the firm: `account:DU1234567`, `group:desk`, `firm`."""

    kind: ScopeKind
    key: str = ""

    def __str__(self) -> str:
        return self.kind if self.kind is ScopeKind.FIRM else f"{self.kind}:{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something is as it is: a stable code for programs, a sentence for people."""

    code: str
    message: str
