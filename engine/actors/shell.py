"""What every actor here is: a shell that hands messages to a machine and does its effects.

A shell has no opinion about the business. It knows the clocks, the timers and the others.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine import log, metrics
from engine.actors.mailbox import Dispatcher, LoopActor, LoopRef
from engine.domain.messages import ReportAnomaly, StartTimer, StopTimer, TimerFired

_LOG = log.get("actors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Wall time for the journal and the views, monotonic time for everything else."""

    wall_ns: Callable[[], int] = time.time_ns
    monotonic_ns: Callable[[], int] = time.monotonic_ns


class Shell(LoopActor):
    """The base of the four actors: timers, clocks, and how an anomaly is reported."""

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

    def _fire(self, name: str) -> None:
        if self._timers is not None:
            self._timers.pop(name, None)
        post(self.ref, TimerFired(name=name))

    def report(self, effect: ReportAnomaly) -> None:
        """Count and log what a machine did not expect."""
        metrics.ANOMALIES.labels(effect.machine, effect.kind).inc()
        _LOG.warning("anomaly_seen", machine=effect.machine, kind=effect.kind, detail=effect.detail)

    def on_stop(self) -> None:
        """Let no timer outlive its actor."""
        for handle in (self._timers or {}).values():
            handle.cancel()
        self._timers = None


def post(ref: LoopRef, message: Any) -> None:
    """Tell, unless the actor is gone; then it is a dead letter, counted."""
    if ref.is_alive():
        ref.tell(message)
    else:
        metrics.DEAD_LETTERS.labels(ref.actor_class.__name__).inc()
