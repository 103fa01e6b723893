"""Whether the gateway answers: how a silence is noticed, and what is done until it is over.

Rule 1: nothing is sent into silence. Once a request has ended without an answer, an order's
or the session's own, no order gets a turn before the gateway has answered something since.

Rule 2: one slow answer is no silence. A keep-alive is sent at once; only if that is not
answered soon either, the session is not ready any more, and who waits is refused.

Rule 3: while it is silent, nothing but keep-alives is sent, and each has little time: the
places of requests that hang are those that the first answer needs.

Rule 4: a request that began before the last answer says nothing about the time since.
"""

from collections.abc import Generator, Iterator
from typing import Final, TypeAlias

from engine.domain.messages import (
    AccountsRead,
    AuthStatusRead,
    CallDone,
    CallFailed,
    CallGateway,
    FailureKind,
    FundsRead,
    LedgerRead,
    OrderRequestEnded,
    OrdersRead,
    OrderStatusRead,
    PositionsRead,
    ProfitRead,
    SessionCall,
    SessionEffect,
    SessionMessage,
    StartTimer,
    TradesRead,
)
from engine.domain.session.orders import SessionOrders
from engine.domain.session.plan import Plan
from engine.domain.session.rounds import ACCOUNT_CALLS
from engine.domain.session.settings import (
    LOGIN_STATES,
    PROBE_MS,
    PROBE_PAUSE_MS,
    SILENCE_MS_MAX,
    SUSPICIOUS_TICKLE_MS,
    TICKLE_FAILURES_MAX,
    WATCH_MS,
)
from engine.domain.session.standing import Standing
from engine.domain.values import Outcome, OutcomeKind, SessionState

_Effects: TypeAlias = Iterator[SessionEffect]

_MS: Final = 1_000_000
_PROBE: Final = CallGateway(call=SessionCall.TICKLE, deadline_ms=PROBE_MS)

_KEEP_ALIVES: Final = frozenset(
    {SessionCall.TICKLE, SessionCall.AUTH_STATUS, SessionCall.OPEN_BROKERAGE}
)
_QUICK: Final = ACCOUNT_CALLS | {SessionCall.TICKLE}
"""Calls that neither wait for an endpoint's own pace nor take their time."""

_UNANSWERED: Final = frozenset(
    {FailureKind.TIMEOUT, FailureKind.UNREACHABLE, FailureKind.TLS_REFUSED}
)
_ANSWERED: Final = frozenset(
    {
        FailureKind.UNAUTHORIZED,
        FailureKind.NO_BRIDGE,
        FailureKind.NOT_PRIMED,
        FailureKind.SERVER_ERROR,
        FailureKind.BAD_ANSWER,
    }
)
"""Failures that are answers. A pace that is held back here is neither."""

_SILENCES: Final = frozenset({"TIMEOUT", "DISCONNECTED", "GATEWAY_UNREACHABLE", "TLS_REFUSED"})
"""Reasons of outcomes without an answer, sent or not."""

_PROOFS: Final = frozenset({OutcomeKind.ACK, OutcomeKind.QUESTION, OutcomeKind.REFUSED})


class Pulse:
    """Listens to everything that comes from the gateway; the timer `tickle` is its beat."""

    def __init__(self, standing: Standing, plan: Plan, orders: SessionOrders) -> None:
        self.doubtful = False
        """True from a request without an answer on, until the gateway answers one."""
        self._standing = standing
        self._plan = plan
        self._orders = orders
        self._why = ""
        self._failures = 0
        self._failing_since_ns = 0
        self._heard_ns: int | None = None
        self._alive_ns: int | None = None
        self._awaited = False
        self._now_ns = 0

    @property
    def steady(self) -> bool:
        """True when the gateway answers, and no keep-alive is missing."""
        return not self.doubtful and not self._failures

    def be_steady(self) -> None:
        """A keep-alive was answered well."""
        self._failures = 0

    def listen(self, message: SessionMessage, now_ns: int) -> _Effects:
        """Learn from a message whether the gateway answers, before it is acted upon."""
        self._now_ns = now_ns
        match message:
            case AuthStatusRead():
                self._alive_ns = now_ns
                self._hear()
            case AccountsRead() | CallDone() | OrdersRead() | OrderStatusRead() | TradesRead():
                self._hear()
            case PositionsRead() | FundsRead() | LedgerRead() | ProfitRead():
                self._hear()
            case CallFailed(call=call, failure=failure):
                if failure.kind in _ANSWERED:
                    self._hear()
                elif self._is_silence(message):
                    yield from self._doubt(f"{call}: {failure.message}")
            case OrderRequestEnded(outcome=outcome):
                yield from self._listen_to_order(outcome)
            case _:
                return

    def _is_silence(self, message: CallFailed) -> bool:
        if message.failure.kind not in _UNANSWERED or message.call in _KEEP_ALIVES:
            return False
        return not _began_before(message, self._heard_ns)

    def watch(self, call: SessionCall) -> _Effects:
        """A call goes out; those that are answered at once tell a silence before their time."""
        if call in _QUICK and self._standing.tier is SessionState.READY and not self.doubtful:
            self._awaited = True
            yield StartTimer(name="watch", delay_ms=WATCH_MS)

    def look(self) -> _Effects:
        """See whether anything was heard since the last quick call went out."""
        if self._awaited and self._standing.tier is SessionState.READY:
            yield from self._doubt(f"nothing was heard for {WATCH_MS} ms")

    def _listen_to_order(self, outcome: Outcome) -> _Effects:
        if outcome.kind in _PROOFS or outcome.http_status is not None:
            self._hear()
        elif outcome.reason is not None and outcome.reason.code in _SILENCES:
            # Whatever was heard while it was on its way, it is the newest that was sent.
            yield from self._doubt(f"an order's request: {outcome.reason.message}")

    def is_outlived(self, message: CallFailed) -> bool:
        """Tell whether a keep-alive without an answer began before the last that had one."""
        return message.failure.kind in _UNANSWERED and _began_before(message, self._alive_ns)

    def beat(self) -> _Effects:
        """Send the keep-alive that is due; if the last probe is not answered yet, fall silent."""
        if not self.doubtful:
            yield CallGateway(call=SessionCall.TICKLE)
            return
        yield from self._fall_silent(
            "GATEWAY_SILENT", f"no keep-alive was answered within {PROBE_MS} ms; {self._why}"
        )
        if not self._plan.is_out(SessionCall.TICKLE):
            yield _PROBE

    def miss(self, message: CallFailed) -> Generator[SessionEffect, None, bool]:
        """Take a keep-alive that failed; return True once the gateway is given up."""
        if self._standing.tier in LOGIN_STATES:
            return False
        if self.is_outlived(message):
            yield StartTimer(name="tickle", delay_ms=SUSPICIOUS_TICKLE_MS)
            return False
        if not self._failures:
            self._failing_since_ns = self._now_ns
        self._failures += 1
        kind, text = message.failure.kind, message.failure.message
        late = kind is FailureKind.TIMEOUT
        silent_ms = (self._now_ns - self._failing_since_ns) // _MS
        if self._failures >= TICKLE_FAILURES_MAX and (not late or silent_ms >= SILENCE_MS_MAX):
            return True
        if kind in _UNANSWERED:
            self.doubtful, self._why = True, text
            yield from self._fall_silent("TICKLE_FAILED", text)
        elif self._standing.tier is SessionState.READY:
            self._standing.enter(SessionState.DEGRADED, "TICKLE_FAILED", text)
        delay_ms = PROBE_PAUSE_MS if late else SUSPICIOUS_TICKLE_MS
        yield StartTimer(name="tickle", delay_ms=delay_ms)
        return False

    def _hear(self) -> None:
        self._heard_ns = self._now_ns
        self._awaited = False
        self.doubtful = False

    def _doubt(self, why: str) -> _Effects:
        """Give no turns, and see whether a keep-alive is answered."""
        if self.doubtful:
            return
        self.doubtful, self._why = True, why
        if self._standing.tier not in LOGIN_STATES:
            yield _PROBE
            yield StartTimer(name="tickle", delay_ms=PROBE_MS)

    def _fall_silent(self, code: str, text: str) -> _Effects:
        standing = self._standing
        if standing.tier is SessionState.READY:
            standing.enter(SessionState.DEGRADED, code, text)
        yield from self._orders.refuse_waiting(standing.refusal_because(text))


def _began_before(message: CallFailed, heard_ns: int | None) -> bool:
    return heard_ns is not None and message.began_ns is not None and message.began_ns < heard_ns
