"""Every way from one state of an order to another.

A way that is not in this table is not taken: what asks for it is reported as an anomaly.
The last block is what only evidence can do: a fill, its correction, or the broker showing
what we held for never placed.
"""

from collections.abc import Mapping
from typing import Final

from engine.domain.values import OrderState as S

_SEEN: Final = frozenset(
    {S.PENDING_NEW, S.ACCEPTED, S.WORKING, S.PARTIALLY_FILLED, S.FILLED, S.CANCELLED, S.REJECTED}
)
"""What the broker may show of an order when we first see it."""

TRANSITIONS: Final[Mapping[S | None, frozenset[S]]] = {
    # An order that somebody else made begins where the broker shows it.
    None: frozenset({S.SUBMITTING, S.DENIED, S.PENDING_NEW}),
    S.SUBMITTING: _SEEN | {S.AWAITING_REPLY, S.IN_DOUBT, S.EXPIRED},
    S.AWAITING_REPLY: _SEEN | {S.AWAITING_REPLY, S.IN_DOUBT},
    S.IN_DOUBT: _SEEN | {S.PARKED, S.SUSPENDED, S.NOT_PLACED},
    S.PARKED: _SEEN | {S.SUSPENDED, S.NOT_PLACED},
    S.PENDING_NEW: _SEEN | {S.SUSPENDED},
    S.ACCEPTED: _SEEN | {S.SUSPENDED},
    S.WORKING: _SEEN | {S.SUSPENDED},
    S.PARTIALLY_FILLED: frozenset({S.PARTIALLY_FILLED, S.FILLED, S.CANCELLED, S.SUSPENDED}),
    S.SUSPENDED: _SEEN,
    # Terminal, and reopened by evidence only.
    S.DENIED: frozenset(),
    # A correction takes back what filled it, or the broker shows what a person declared.
    S.FILLED: frozenset({S.PARTIALLY_FILLED, S.CANCELLED, S.PENDING_NEW}),
    S.CANCELLED: frozenset({S.FILLED, S.PENDING_NEW, S.PARTIALLY_FILLED}),
    S.EXPIRED: _SEEN | {S.SUSPENDED},
    S.REJECTED: _SEEN | {S.SUSPENDED},
    S.NOT_PLACED: _SEEN | {S.SUSPENDED},
}
