import asyncio
from typing import Any

from engine.actors.afterwards import MOMENT_S, Afterwards
from tests.fakes import run


def test_what_is_left_is_done_a_moment_later_in_order() -> None:
    async def scene() -> None:
        afterwards, done = Afterwards(asyncio.get_running_loop()), list[int]()

        afterwards.leave(lambda: done.append(1))
        afterwards.leave(lambda: done.append(2))
        await asyncio.sleep(MOMENT_S / 2)
        early = list(done)
        await asyncio.sleep(MOMENT_S)

        assert (early, done) == ([], [1, 2])

    run(scene())


def test_each_thing_waits_for_a_moment_of_its_own() -> None:
    async def scene() -> None:
        afterwards, done = Afterwards(asyncio.get_running_loop()), list[int]()

        afterwards.leave(lambda: done.append(1))
        await asyncio.sleep(MOMENT_S / 2)
        afterwards.leave(lambda: done.append(2))
        await asyncio.sleep(MOMENT_S * 0.7)
        between = list(done)
        await asyncio.sleep(MOMENT_S)

        assert (between, done) == ([1], [1, 2])

    run(scene())


def test_what_cannot_wait_does_the_rest_first_and_nothing_twice() -> None:
    async def scene() -> None:
        afterwards, done = Afterwards(asyncio.get_running_loop()), list[int]()

        afterwards.leave(lambda: done.append(1))
        afterwards.flush()
        at_once = list(done)
        await asyncio.sleep(MOMENT_S * 2)

        assert (at_once, done) == ([1], [1])

    run(scene())


def test_something_left_after_a_flush_is_done_as_well() -> None:
    async def scene() -> None:
        afterwards, done = Afterwards(asyncio.get_running_loop()), list[int]()

        afterwards.leave(lambda: done.append(1))
        afterwards.flush()
        afterwards.leave(lambda: done.append(2))
        await asyncio.sleep(MOMENT_S * 3)

        assert done == [1, 2]

    run(scene())


def test_a_failure_is_told_and_ends_nothing_else() -> None:
    async def scene() -> None:
        told: list[dict[str, Any]] = []
        loop, done = asyncio.get_running_loop(), list[int]()
        loop.set_exception_handler(lambda _loop, context: told.append(context))
        afterwards, error = Afterwards(loop), ValueError("no")

        def fail() -> None:
            raise error

        afterwards.leave(fail)
        afterwards.leave(lambda: done.append(2))
        await asyncio.sleep(MOMENT_S * 2)

        assert told == [{"message": "what was left for later failed", "exception": error}]
        assert done == [2]

    run(scene())


def test_what_is_being_done_is_not_overtaken_by_what_comes_after_it() -> None:
    async def scene() -> None:
        afterwards, done = Afterwards(asyncio.get_running_loop()), list[int]()

        def first() -> None:
            afterwards.flush()
            done.append(1)

        afterwards.leave(first)
        afterwards.leave(lambda: done.append(2))
        afterwards.flush()

        assert done == [1, 2]

    run(scene())
