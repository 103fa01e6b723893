"""The loop of a simulated day: time is skipped, and nothing real can be reached."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.simulation.loop import START_S, Process, Stalled, Unreal, VirtualLoop


def live(work: Callable[[VirtualLoop], Coroutine[Any, Any, Any]]) -> Any:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work(loop))
    finally:
        loop.close()


def test_an_hour_of_waiting_takes_no_time_and_an_hour() -> None:
    async def work(loop: VirtualLoop) -> float:
        await asyncio.sleep(3600)
        return loop.time()

    assert live(work) == START_S + 3600


def test_what_is_due_comes_in_the_order_of_its_time() -> None:
    seen: list[str] = []

    async def work(loop: VirtualLoop) -> None:
        loop.call_later(2, seen.append, "second")
        loop.call_later(1, seen.append, "first")
        await asyncio.sleep(3)

    live(work)

    assert seen == ["first", "second"]


def test_waiting_for_nobody_raises_instead_of_hanging() -> None:
    async def work(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(Stalled, match="waits for something that nobody will do"):
        live(work)


def test_a_pause_makes_late_what_was_due_meanwhile() -> None:
    seen: list[float] = []

    async def work(loop: VirtualLoop) -> None:
        loop.call_later(1, lambda: seen.append(loop.time()))
        loop.pause(10)
        await asyncio.sleep(1)

    live(work)

    assert seen == [START_S + 10]


def test_threads_sockets_and_names_are_refused() -> None:
    async def work(loop: VirtualLoop) -> None:
        with pytest.raises(Unreal, match="in a thread"):
            loop.run_in_executor(None, print)
        with pytest.raises(Unreal, match="a real connection"):
            await loop.create_connection(asyncio.Protocol, "127.0.0.1", 1)
        with pytest.raises(Unreal, match="a real port"):
            await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        with pytest.raises(Unreal, match="a real name"):
            await loop.getaddrinfo("localhost", 1)

    live(work)


def test_a_killed_process_runs_no_further_instruction_and_others_do() -> None:
    seen: list[str] = []

    async def tick(name: str) -> None:
        while True:
            await asyncio.sleep(1)
            seen.append(name)

    async def work(loop: VirtualLoop) -> None:
        killed, other = Process("killed"), Process("other")
        tasks = [loop.start(killed, tick("killed")), loop.start(other, tick("other"))]
        await asyncio.sleep(1.5)
        loop.kill(killed)
        await asyncio.sleep(1)
        loop.kill(other)
        await asyncio.sleep(0)
        assert all(task.cancelled() for task in tasks)

    live(work)

    assert seen == ["killed", "other", "other"]


def test_what_a_process_started_dies_with_it() -> None:
    seen: list[str] = []

    async def grandchild() -> None:
        await asyncio.sleep(1)
        seen.append("grandchild")

    async def parent(loop: VirtualLoop) -> None:
        loop.call_later(1, seen.append, "timer")
        await asyncio.gather(asyncio.create_task(grandchild()))

    async def work(loop: VirtualLoop) -> None:
        process = Process("parent")
        task = loop.start(process, parent(loop))
        await asyncio.sleep(0.5)
        loop.kill(process)
        await asyncio.sleep(5)
        assert task.cancelled()

    live(work)

    assert seen == []


def test_timers_that_were_cancelled_are_forgotten_and_never_fire() -> None:
    seen: list[int] = []

    async def work(loop: VirtualLoop) -> int:
        timers = [loop.call_later(1 + number, seen.append, number) for number in range(300)]
        for timer in timers[:299]:
            timer.cancel()
            timer.cancel()
        await asyncio.sleep(0.5)
        kept = len(loop._timers)
        await asyncio.sleep(400)
        assert loop.cancelled_timers == 0
        return kept

    assert live(work) < 10
    assert seen == [299]


def test_a_callback_that_raises_is_told_of_and_the_next_one_runs() -> None:
    told: list[dict[str, Any]] = []
    seen: list[str] = []

    async def work(loop: VirtualLoop) -> None:
        loop.set_exception_handler(lambda _loop, context: told.append(context))
        loop.call_soon(seen.index, "what is not there")
        loop.call_soon(seen.append, "the next one")
        await asyncio.sleep(1)

    live(work)

    assert seen == ["the next one"]
    assert [(type(one["exception"]), one["message"][:21]) for one in told] == [
        (ValueError, "Exception in callback")
    ]


def test_a_task_that_ended_is_not_remembered() -> None:
    async def nothing() -> None:
        await asyncio.sleep(0)

    async def work(loop: VirtualLoop) -> int:
        for _ in range(1_000):
            await loop.create_task(nothing())
        return len(loop._tasks)

    assert live(work) < 300


def test_the_time_in_nanoseconds_is_the_time() -> None:
    async def work(loop: VirtualLoop) -> None:
        assert loop.time_ns() == round(loop.time() * 1e9)
        await asyncio.sleep(0.123456789)
        assert loop.time_ns() == 1_000_123_456_789
        loop.pause(2.5)
        assert loop.time_ns() == 1_002_623_456_789

    live(work)
