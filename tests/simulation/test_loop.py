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
