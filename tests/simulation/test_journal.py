"""The disk of a simulated day: what is told durable is, and what is not may be lost."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from engine.domain.messages import EngineStarted
from engine.domain.ports import Committed, Entry, NotCommitted, Snapshot
from tests.simulation.journal import Disk, DiskConditions
from tests.simulation.loop import Process, VirtualLoop


def entry(number: int) -> Entry:
    message = EngineStarted(version=str(number), mode="paper")
    return Entry(at_ns=number, account=None, order_id=None, message=message)


def live(work: Callable[[Disk], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()
    disk = Disk(loop, seed=1, on_commit=lambda record: record.seq)
    try:
        loop.run_until_complete(work(disk))
    finally:
        loop.close()


def test_what_was_told_durable_is_read_back_in_order_by_the_next_engine() -> None:
    async def work(disk: Disk) -> None:
        journal = disk.open()
        told: list[Committed | NotCommitted] = []
        for number in (1, 2, 3):
            journal.append(entry(number), told.append)
        await asyncio.sleep(1)
        again = disk.open()
        assert told == [Committed(seq=1), Committed(seq=2), Committed(seq=3)]
        read = [one.entry async for page in again.replay() for one in page]
        assert read == [entry(1), entry(2), entry(3)]
        assert (journal.epoch, again.epoch, again.last_seq) == (1, 2, 3)

    live(work)


def test_a_dead_engine_hears_of_nothing_and_what_was_not_begun_is_lost() -> None:
    async def work(disk: Disk) -> None:
        disk.conditions = DiskConditions(commit_ms=(100.0, 100.0))
        process = Process("engine")
        told: list[Committed | NotCommitted] = []

        async def write() -> Any:
            journal = disk.open()
            journal.append(entry(1), told.append)
            await asyncio.sleep(0.05)
            journal.append(entry(2), told.append)
            return journal

        journal = await disk.loop.start(process, write())
        disk.loop.kill(process)
        journal.die()
        await asyncio.sleep(1)
        assert told == []
        assert [record.at_ns for record in disk.records] in ([], [1])

    live(work)


def test_a_full_disk_refuses_what_waits_and_everything_after_it() -> None:
    async def work(disk: Disk) -> None:
        journal = disk.open()
        told: list[Any] = []
        disk.conditions.full = True
        journal.append(entry(1), told.append)
        await asyncio.sleep(1)
        disk.conditions.full = False
        journal.append(entry(2), told.append)
        await asyncio.sleep(1)
        assert [one.reason.code for one in told] == ["JOURNAL_UNAVAILABLE"] * 2
        assert disk.records == []

    live(work)


def test_a_snapshot_that_was_being_written_is_whole_or_passed_over() -> None:
    found = []

    async def work(disk: Disk) -> None:
        for number in range(40):
            process = Process(f"engine {number}")

            async def write() -> Any:
                journal = disk.open()
                journal.append(entry(1), lambda _result: None)
                await asyncio.sleep(1)
                return journal

            journal = await disk.loop.start(process, write())
            snapshot = Snapshot(seq=journal.last_seq, body=b"all of it")
            saving = disk.loop.create_task(journal.save_snapshot(snapshot))
            await asyncio.sleep(0)
            saving.cancel()
            journal.die()
            found.append(await disk.open().snapshot())

    live(work)
    assert {None if one is None else one.body for one in found} <= {None, b"all of it"}
    assert any(one is None for one in found)


def test_a_journal_is_writing_until_the_engine_was_told_of_everything() -> None:
    async def work(disk: Disk) -> None:
        disk.conditions = DiskConditions(commit_ms=(100.0, 100.0), told_ms=(10.0, 10.0))
        journal = disk.open()
        seen = [journal.is_writing]
        journal.append(entry(1), lambda _result: None)
        for _ in range(3):
            seen.append(journal.is_writing)
            await asyncio.sleep(0.052)
        assert len(disk.records) == 1
        seen.append(journal.is_writing)
        assert seen == [False, True, True, True, False]

    live(work)
