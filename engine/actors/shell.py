"""What every actor here is: a shell that hands messages to a machine and does its effects.

A shell has no opinion about the business. It knows the clocks, the timers and the others.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from engine import log, metrics
from engine.actors.mailbox import Dispatcher, LoopActor, LoopRef, MailboxFullError
from engine.domain.messages import (
    ExecutionSeen,
    HeartbeatSeen,
    NewsStreamed,
    OrderRowSeen,
    ProfitSeen,
    ReportAnomaly,
    RowsStreamed,
    StartTimer,
    StopTimer,
    TimerFired,
)

_LOG = log.get("actors")

TOLD_AGAIN: Final = frozenset(
    {
        ExecutionSeen,
        HeartbeatSeen,
        NewsStreamed,
        OrderRowSeen,
        ProfitSeen,
        RowsStreamed,
    }
)
"""What the broker says again, on the stream and in every poll.

A mailbox's capacity bounds these. Everything else is sent once: a command, a commit, a
turn, the one answer to a request. There are as many of those as there are orders and
requests, and one of them lost would be lost for good.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Wall time for the journal and the views, monotonic time for everything else."""

    wall_ns: Callable[[], int] = time.time_ns
    monotonic_ns: Callable[[], int] = time.monotonic_ns


class Shell(LoopActor):
    """The base of the four actors: timers, clocks, and how an anomaly is reported."""

    __slots__ = ("_timers", "clock")

    def __init__(self, *, dispatcher: Dispatcher, name: str, clock: Clock) -> None:
        super().__init__(dispatcher=dispatcher, name=name)
        self.clock = clock
        self._timers: dict[str, asyncio.TimerHandle] | None = None

    def start_timer(self, effect: StartTimer) -> None:
        """Tell `TimerFired` later; a timer of the same name is replaced."""
        self.stop_timer(StopTimer(name=effect.name))
        if self._timers is None:
            self._timers = {}
        self._timers[effect.name] = self.ref.dispatcher.loop.call_later(
            effect.delay_ms / 1_000, self._fire, effect.name
        )

    def stop_timer(self, effect: StopTimer) -> None:
        """Forget a timer, if it runs."""
        if self._timers is not None:
            handle = self._timers.pop(effect.name, None)
            if handle is not None:
                handle.cancel()
            self._timers = self._timers or None  # Most actors wait without a timer.

    def _fire(self, name: str) -> None:
        if self._timers is not None:
            self._timers.pop(name, None)
            self._timers = self._timers or None
        post(self.ref, TimerFired(name=name))

    def guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        """Do what is not done in a turn, such as a callback; if it raises, the actor failed."""
        self.ref.dispatcher.guarded(self, work, *arguments)

    def report(self, effect: ReportAnomaly) -> None:
        """Count and log what a machine did not expect."""
        metrics.ANOMALIES.labels(effect.machine, effect.kind).inc()
        _LOG.warning("anomaly_seen", machine=effect.machine, kind=effect.kind, detail=effect.detail)

    def on_stop(self) -> None:
        """Let no timer outlive its actor."""
        self.abandon()

    def abandon(self) -> None:
        """Let no timer of a failed actor tell its successor the time."""
        for handle in (self._timers or {}).values():
            handle.cancel()
        self._timers = None


def post(ref: LoopRef, message: Any) -> None:
    """Tell, whatever happens. It never raises.

    For an actor that is gone it is a dead letter. In a full mailbox there is still room
    for what is told only once; what the broker tells again is dropped, and read again.
    """
    if ref.stopped:
        ref.dispatcher.dead_letter(ref, message, "stopped")
        return
    try:
        ref.dispatcher.post(ref, message, None, pressing=type(message) not in TOLD_AGAIN)
    except MailboxFullError:
        ref.dispatcher.refuse(ref, message)
