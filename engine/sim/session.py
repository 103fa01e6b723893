"""The two tiers of a gateway's session, and what each of them remembers.

Rule 1: the outer tier is the browser login; the brokerage tier is opened on
top of it and takes everything it remembers with it when it ends: priming,
suppressed questions, market data lines, cached lists, the open question.

Rule 2: orders are not session state; they live at the venue and survive.

Rule 3: time is an argument.
"""

import random
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from engine.sim.tickets import Batch, Refusal

SUPPRESSED_MAX: Final = 51
SLOW_FIELDS: Final = frozenset({"7762", "7282"})
_SSO_LIFETIME_MS: Final = 24 * 3600 * 1000


NO_BRIDGE: Final = Refusal(text="Bad Request: no bridge", status=400)


class Tier(Enum):
    """What a request needs before it is served."""

    NOTHING = "nothing"
    LOGIN = "login"
    BROKERAGE = "brokerage"
    PRIMED = "primed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """New orders, or the change of one, that wait for a yes.

    `asked` are the message ids of this round, `remaining` those of the rounds
    after it; `replaces` is the order a modify would change, None for new orders.
    """

    question_id: str
    batch: Batch
    asked: tuple[str, ...]
    remaining: tuple[tuple[str, ...], ...] = ()
    replaces: int | None = None


@dataclass(slots=True, kw_only=True)
class MarketDataLine:
    """The one field set of a conid that REST and WebSocket share.

    `reads` counts the snapshots since a field was added: it is what makes slow
    fields come later. Without a snapshot or a stream until `until_ms` it ends.
    """

    until_ms: int = 0
    fields: set[str] = field(default_factory=set)
    reads: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Brokerage:
    """All that dies with the brokerage session; two sessions are never the same."""

    established_at_ms: int
    selected_account: str
    primed: bool = False
    suppressed: frozenset[str] = frozenset()
    lines: dict[int, MarketDataLine] = field(default_factory=dict)
    orders_warm: bool = False
    order_filters: frozenset[str] = frozenset()
    trades_warm: bool = False
    pnl_warm: bool = False
    searched: set[int] = field(default_factory=set)
    question: Question | None = None
    invalidated: dict[str, Question] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedPositions:
    """The position rows as they were when they were cached."""

    at_ms: int
    rows: tuple[dict[str, Any], ...]


@dataclass(slots=True, kw_only=True)
class Login:
    """All that dies with the browser login."""

    session_id: str
    at_ms: int
    portfolio_primed: bool = False
    positions_read: set[str] = field(default_factory=set)
    positions_cache: dict[str, CachedPositions] = field(default_factory=dict)


class Session:
    """One username's session."""

    def __init__(
        self, *, accounts: tuple[str, ...], seed: int | str, established_delay_ms: int, idle_ms: int
    ) -> None:
        self.accounts = accounts
        self.login: Login | None = None
        self.brokerage: Brokerage | None = None
        self._established_delay_ms = established_delay_ms
        self._idle_ms = idle_ms
        self._last_request_ms = 0
        self._rng = random.Random(f"session:{seed}")

    def log_in(self, now_ms: int) -> None:
        """A person logged in; no brokerage session comes of it."""
        self.login = Login(session_id=self._hex_id(), at_ms=now_ms)
        self.brokerage = None
        self._last_request_ms = now_ms

    def log_out(self) -> None:
        """End both tiers."""
        self.login = None
        self.brokerage = None

    def forget(self, now_ms: int, *, logged_in: bool) -> None:
        """Start anew, as a gateway does whose process was started again."""
        self.log_out()
        if logged_in:
            self.log_in(now_ms)

    def has_market_data(self, conid: int, now_ms: int) -> bool:
        """True while a market data line of this conid is open."""
        line = self.brokerage.lines.get(conid) if self.brokerage is not None else None
        return line is not None and now_ms < line.until_ms

    def open_brokerage(self, now_ms: int) -> None:
        """Open the brokerage session, unless one is open already."""
        assert self.login is not None, "the caller checked the login tier"
        if self.brokerage is None:
            self.brokerage = Brokerage(
                established_at_ms=now_ms + self._established_delay_ms,
                selected_account=self.accounts[0],
            )

    def reset_brokerage(self) -> None:
        """End the brokerage session and all it remembers."""
        self.brokerage = None

    def established(self, now_ms: int) -> bool:
        """True once the brokerage session can trade."""
        return self.brokerage is not None and now_ms >= self.brokerage.established_at_ms

    def touch(self, now_ms: int) -> None:
        """Note a request; a long silence or the end of the day may have ended the session."""
        if self.login is not None and self.sso_expires_ms(now_ms) == 0:
            self.log_out()
        if now_ms - self._last_request_ms > self._idle_ms:
            self.brokerage = None
        self._last_request_ms = now_ms

    def sso_expires_ms(self, now_ms: int) -> int:
        """How long the login still lasts."""
        return max(0, self.login.at_ms + _SSO_LIFETIME_MS - now_ms) if self.login else 0

    def missing(self, tier: Tier, now_ms: int) -> Refusal | None:
        """Why a request of this tier is not served now, or None."""
        if tier is Tier.NOTHING:
            return None
        if self.login is None:
            return Refusal(text="Access Denied", status=401)
        if tier is Tier.LOGIN:
            return None
        if self.brokerage is None or not self.established(now_ms):
            return NO_BRIDGE
        if tier is Tier.PRIMED and not self.brokerage.primed:
            return Refusal(text="Bad Request: Please query /accounts first", status=400)
        return None

    def ask(
        self, batch: Batch, rounds: tuple[tuple[str, ...], ...], *, replaces: int | None = None
    ) -> Question:
        """Open a question with the ids of the first round; it is the only one open."""
        assert self.brokerage is not None, "the caller checked the brokerage tier"
        question_id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        self.brokerage.question = Question(
            question_id=question_id,
            batch=batch,
            asked=rounds[0],
            remaining=rounds[1:],
            replaces=replaces,
        )
        return self.brokerage.question

    def invalidate_question(self) -> None:
        """Another order request came: the open question can no longer be answered."""
        brokerage = self.brokerage
        if brokerage is not None and brokerage.question is not None:
            brokerage.invalidated[brokerage.question.question_id] = brokerage.question
            brokerage.question = None

    def _hex_id(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"


def price_is_far(price: Decimal, touch: Decimal) -> bool:
    """True when a limit is more than 3 % away from the touch, which the broker asks about."""
    return abs(price - touch) > touch * Decimal("0.03")
