"""The turns of one gateway: who waits for one, and who is woken when.

Rule 1: a turn that was taken is finished exactly once, whatever became of its request.

Rule 2: nobody waits for a turn that cannot come in time, nor while the broker refuses
everybody; both are said at once.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from engine import log, metrics
from engine.domain.values import SessionName
from engine.gateway.pacing import Lane, Pacer, Pacing, Waiter

_NS_PER_MS: Final = 1_000_000
_WAIT_MS: Final = 30_000
_CANCEL_SPARE_MS: Final = 5_000

_log = log.get("gateway.turns")


class TooLate(Exception):  # noqa: N818 - says what happened, is caught by the client
    """There is no turn before the moment to send has passed."""


class TooFast(Exception):  # noqa: N818 - as above
    """The broker refused the pace, so nothing is sent for a while."""


@dataclass(slots=True, eq=False)
class Turns:
    """Lets requests wait for their turn, in the loop that they are made in."""

    session: SessionName
    pacing: Pacing
    clock: Callable[[], int] = time.monotonic_ns
    _pacer: Pacer = field(init=False)
    _waiting: dict[Waiter, asyncio.Future[None]] = field(init=False, default_factory=dict)
    _wake: asyncio.TimerHandle | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Start with nobody waiting."""
        self._pacer = Pacer(self.pacing)

    @property
    def are_refused(self) -> bool:
        """True while nothing but a lone cancel is sent."""
        return self._pacer.penalty_ms(self.clock()) is not None

    async def take(self, lane: Lane, endpoint: str, *, send_by_ns: int | None = None) -> Waiter:
        """Wait for a turn and return it. It must be finished.

        Raises `TooLate` when none comes before `send_by_ns`, or within half a minute, and
        `TooFast` when the broker refuses the pace. A cancel waits for longer than it takes
        until one may try again whether the broker still does.
        """
        began_ns = self.clock()
        if lane is not Lane.CANCEL:
            self._check_penalty()
        wait_ms = _WAIT_MS
        if lane is Lane.CANCEL:
            wait_ms = max(wait_ms, self.pacing.cancel_probe_ms + _CANCEL_SPARE_MS)
        if send_by_ns is not None:
            wait_ms = min(wait_ms, (send_by_ns - began_ns) // _NS_PER_MS)
        if wait_ms <= 0:
            message = "the moment to send had passed"
            raise TooLate(message)
        waiter = Waiter(lane=lane, endpoint=endpoint)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = turn
        self._pacer.join(waiter)
        self._pump()
        if not turn.done():
            await self._wait_for(waiter, turn, wait_ms)
        waits = metrics.PACING_WAIT_SECONDS.labels(self.session, lane.name.lower())
        waits.observe((self.clock() - began_ns) / 1e9)
        return waiter

    async def _wait_for(self, waiter: Waiter, turn: asyncio.Future[None], wait_ms: int) -> None:
        try:
            async with asyncio.timeout(wait_ms / 1000):
                await turn
        except TimeoutError as error:
            self._give_up(waiter, turn)
            message = f"no turn within {wait_ms} ms"
            raise TooLate(message) from error
        except BaseException:
            self._give_up(waiter, turn)
            raise

    def depart(self, turn: Waiter) -> None:
        """Take note that the request is being written; its time counts from here."""
        self._pacer.depart(turn, self.clock())

    def finish(self, turn: Waiter, *, lost: bool = False) -> None:
        """Free what a turn held, and let the next ones begin. See `Pacer.finish`."""
        self._pacer.finish(turn, self.clock(), lost=lost)
        self._pump()

    def answered(self) -> None:
        """Take note that the gateway answers: it has read all that was written before."""
        self._pacer.answered(self.clock())
        self._pump()

    def defer(self, endpoint: str) -> None:
        """Let an endpoint rest for the time of its limit, as if it had just answered."""
        self._pacer.rest(endpoint, self.clock())

    def penalise(self, endpoint: str, *, began_ns: int, is_probe: bool = False) -> None:
        """Stop: a request that began at `began_ns` was refused. Who waits is told so."""
        now_ns = self.clock()
        metrics.HTTP_429.labels(self.session).inc()
        self._pacer.penalise(now_ns, began_ns=began_ns, is_probe=is_probe)
        penalty_ms = self._pacer.penalty_ms(now_ns)
        _log.error(
            "gateway_pace_refused", session=self.session, endpoint=endpoint, penalty_ms=penalty_ms
        )
        for waiter, turn in self._waiting.items():
            if waiter.lane is not Lane.CANCEL and not turn.done():
                turn.set_exception(_too_fast(penalty_ms or 0))

    def forgive(self) -> None:
        """Begin to send again: a request of the penalty's time was not refused."""
        self._pacer.forgive(self.clock())

    def measure(self) -> None:
        """Set the gauges of the pace, which change with time alone."""
        now_ns = self.clock()
        for bucket, tokens in self._pacer.free(now_ns).items():
            metrics.PACING_TOKENS.labels(self.session, bucket).set(tokens)
        for lane, count in self._pacer.queue().items():
            metrics.PACING_QUEUE.labels(self.session, lane.name.lower()).set(count)
        penalty_ms = self._pacer.penalty_ms(now_ns) or 0
        metrics.PACING_PENALTY_SECONDS.labels(self.session).set(penalty_ms / 1000)

    def close(self) -> None:
        """Wake nobody any more."""
        if self._wake is not None:
            self._wake.cancel()

    def _check_penalty(self) -> None:
        penalty_ms = self._pacer.penalty_ms(self.clock())
        if penalty_ms is not None:
            raise _too_fast(penalty_ms)

    def _give_up(self, waiter: Waiter, turn: asyncio.Future[None]) -> None:
        """Leave the queue; a turn that came at the same moment is the next one's."""
        self._waiting.pop(waiter, None)
        self._pacer.leave(waiter)
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self._pacer.finish(waiter, self.clock())
        self._pump()

    def _pump(self) -> None:
        """Give turns to all who may have one now, and look again when that changes."""
        now_ns = self.clock()
        for waiter in self._pacer.admit(now_ns):
            turn = self._waiting.pop(waiter)
            if turn.done():
                self._pacer.finish(waiter, now_ns)
            else:
                turn.set_result(None)
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        wake_ns = self._pacer.wake_ns(now_ns)
        if wake_ns is not None:
            # A timer may fire a little early; a millisecond later is never too early.
            delay_s = (wake_ns - now_ns) / 1e9 + 0.001
            self._wake = asyncio.get_running_loop().call_later(delay_s, self._pump)


def _too_fast(penalty_ms: int) -> TooFast:
    seconds = -(-penalty_ms // 1000)
    return TooFast(f"the broker refused the pace before; nothing is sent for another {seconds} s")
