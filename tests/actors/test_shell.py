import asyncio
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from structlog.testing import capture_logs

from engine import metrics
from engine.actors.mailbox import Dispatcher, LoopRef
from engine.actors.shell import Clock, Shell, post
from engine.domain.messages import (
    HeartbeatSeen,
    ReportAnomaly,
    StartTimer,
    StopTimer,
    TimerFired,
)
from tests.fakes import HandClock, quiet, run, skip

Wanted: TypeAlias = TimerFired | StartTimer | StopTimer | ReportAnomaly


@dataclass(frozen=True)
class Fired:
    name: str
    at_s: float


class Watch(Shell):
    """Says when its timers fired, counted from its start."""

    def __init__(self) -> None:
        clock = HandClock()
        super().__init__(dispatcher=Dispatcher(), name="watch", clock=clock.clock)
        self.fired: list[Fired] = []
        self._since_s = self._now_s()

    def on_receive(self, message: Wanted) -> None:
        match message:
            case TimerFired(name=name):
                self.fired.append(Fired(name, self._now_s() - self._since_s))
            case StartTimer():
                self.start_timer(message)
            case StopTimer():
                self.stop_timer(message)
            case ReportAnomaly():
                self.report(message)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


def dead_letters(reason: str) -> float:
    return float(metrics.DEAD_LETTERS.labels("Watch", reason)._value.get())


def test_a_timer_tells_its_name_when_its_time_is_over() -> None:
    async def scene() -> None:
        watch = Watch()

        watch.begin().tell(StartTimer(name="tea", delay_ms=250))
        await skip(10)

        assert watch.fired == [Fired("tea", 0.25)]

    run(scene())


def test_a_timer_of_the_same_name_is_replaced() -> None:
    async def scene() -> None:
        watch = Watch()
        ref = watch.begin()

        ref.tell(StartTimer(name="tea", delay_ms=250))
        ref.tell(StartTimer(name="egg", delay_ms=500))
        ref.tell(StartTimer(name="tea", delay_ms=1_000))
        await skip(10)

        assert watch.fired == [Fired("egg", 0.5), Fired("tea", 1.0)]

    run(scene())


def test_a_stopped_timer_never_fires_and_an_unknown_one_may_be_stopped() -> None:
    async def scene() -> None:
        watch = Watch()
        ref = watch.begin()

        ref.tell(StopTimer(name="none yet"))
        ref.tell(StartTimer(name="tea", delay_ms=250))
        ref.tell(StopTimer(name="tea"))
        ref.tell(StopTimer(name="tea"))
        await skip(10)

        assert watch.fired == []

    run(scene())


def test_a_timer_that_was_started_again_by_its_own_firing_runs() -> None:
    async def scene() -> None:
        watch = Watch()
        ref = watch.begin()

        ref.tell(StartTimer(name="tea", delay_ms=100))
        await skip(1)
        ref.tell(StartTimer(name="tea", delay_ms=100))
        await skip(1)

        assert [fired.name for fired in watch.fired] == ["tea", "tea"]

    run(scene())


def test_no_timer_outlives_its_actor() -> None:
    async def scene() -> None:
        watch = Watch()
        ref = watch.begin()
        letters = dead_letters("stopped")

        ref.tell(StartTimer(name="tea", delay_ms=250))
        await ref.stop()
        await skip(10)
        watch._fire("on its way while the actor stopped")

        assert watch.fired == []
        assert dead_letters("stopped") == letters + 1

    run(scene())


def test_an_anomaly_is_counted_and_logged() -> None:
    async def scene() -> None:
        ref = Watch().begin()
        counter = metrics.ANOMALIES.labels("watch", "odd")
        before = counter._value.get()

        with capture_logs() as logs:
            await ref.ask(ReportAnomaly(machine="watch", kind="odd", detail="a 13th hour"))

        assert counter._value.get() == before + 1
        assert logs == [
            {
                "event": "anomaly_seen",
                "log_level": "warning",
                "part": "actors",
                "machine": "watch",
                "kind": "odd",
                "detail": "a 13th hour",
            }
        ]

    run(scene())


def test_posting_to_an_actor_that_is_gone_is_a_dead_letter() -> None:
    async def scene() -> None:
        watch = Watch()
        ref = watch.begin()
        letters = dead_letters("stopped")

        post(ref, TimerFired(name="alive"))
        await ref.stop()
        post(ref, TimerFired(name="gone"))
        await quiet()

        assert [fired.name for fired in watch.fired] == ["alive"]
        assert dead_letters("stopped") == letters + 1

    run(scene())


def test_a_full_mailbox_has_room_only_for_what_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Watch, "capacity", 1)

    async def scene() -> None:
        watch = Watch()
        ref = watch.begin()
        dropped: list[object] = []
        ref.dispatcher.on_full = lambda _ref, message: dropped.append(message)
        letters = dead_letters("full")

        for _ in range(2):
            post(ref, TimerFired(name="first"))
        post(ref, HeartbeatSeen())
        post(ref, TimerFired(name="told once"))
        await quiet()

        assert dropped == [HeartbeatSeen()]
        assert dead_letters("full") == letters + 1
        assert [fired.name for fired in watch.fired] == ["first", "first", "told once"]

    run(scene())


def test_what_is_done_outside_of_a_turn_can_fail_the_actor() -> None:
    async def scene() -> None:
        watch = Watch()
        ref = watch.begin()
        failed: list[tuple[LoopRef, object, str]] = []
        ref.dispatcher.on_failure = lambda *failure: failed.append(
            (failure[0], failure[1], str(failure[2]))
        )

        done: list[str] = []

        watch.guarded(done.append, "this")
        watch.guarded(done.remove, "that")

        assert done == ["this"]
        assert failed == [(ref, None, "list.remove(x): x not in list")]
        assert not ref.is_alive()

    run(scene())


def test_an_abandoned_actor_leaves_no_timer_behind() -> None:
    async def scene() -> None:
        watch = Watch()
        watch.begin().tell(StartTimer(name="tea", delay_ms=250))
        await quiet()

        watch.abandon()
        await skip(10)

        assert watch.fired == []

    run(scene())


def test_a_clock_has_wall_time_and_a_time_that_never_goes_back() -> None:
    clock = Clock()

    first, second = clock.monotonic_ns(), clock.monotonic_ns()

    assert second >= first
    assert clock.wall_ns() > 1_700_000_000 * 10**9
