import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from engine.domain.history import LiveOrder, replay
from engine.domain.messages import EngineStarted
from engine.domain.ports import Recorded, Snapshot
from engine.journal import JournalUnsupported, rebuild
from engine.journal.rebuild import LOOK_S, Snapshots
from tests.domain.test_history import apply, expired, intent, later, recorded
from tests.fakes import FakeJournal, quiet, run, skip

STORY = recorded(intent(1), intent(2), expired(1), intent(3), expired(2))
STARTED = EngineStarted(version="1", mode="paper")


def digest(records: list[Recorded]) -> str:
    return replay(records).digest()


def test_without_a_snapshot_all_records_are_read() -> None:
    async def scene() -> None:
        history = await Snapshots(FakeJournal(STORY), records=1).rebuild()

        assert history.digest() == digest(STORY)
        assert history.seq == 5

    run(scene())


def test_with_a_snapshot_only_what_follows_it_is_read() -> None:
    async def scene() -> None:
        journal = FakeJournal(STORY[:3])
        await Snapshots(journal, records=1).take()
        again = FakeJournal(STORY[3:])  # It has nothing else any more.
        again.snapshots = journal.snapshots

        history = await Snapshots(again, records=1).rebuild()

        assert [one.seq for one in again.snapshots] == [3]
        assert history.digest() == digest(STORY)

    run(scene())


def test_a_snapshot_that_cannot_be_read_is_passed_over() -> None:
    async def scene() -> None:
        journal = FakeJournal(STORY)
        journal.snapshots = [Snapshot(seq=3, body=b"of another world")]

        with capture_logs() as logs:
            history = await Snapshots(journal, records=1).rebuild()

        assert history.digest() == digest(STORY)
        assert [line["event"] for line in logs] == ["snapshot_passed_over"]

    run(scene())


def test_after_a_start_nobody_rests_that_must_act_and_all_others_do() -> None:
    async def scene() -> None:
        records = [*STORY, *later(STARTED, first=6)]
        journal = FakeJournal(records)
        await Snapshots(journal, records=1).take()

        from_all = await Snapshots(FakeJournal(records), records=1).rebuild()
        from_snapshot = await Snapshots(journal, records=1).rebuild()

        for history in (from_all, from_snapshot):
            assert [isinstance(one, LiveOrder) for one in history.orders.values()] == [
                False,
                False,
                True,
            ]
            assert history.digest() == digest(records)

    run(scene())


def test_orders_rest_while_a_long_journal_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "REST_RECORDS", 1)

    async def scene() -> None:
        records = [*STORY, *later(STARTED, first=6)]
        looks = 0

        history = await Snapshots(FakeJournal(records), records=1)._from_snapshot(None)
        rest = history.rest

        def counted() -> None:
            nonlocal looks
            looks += 1
            rest()

        history.rest = counted  # type: ignore[method-assign] # to see that it is called
        await Snapshots(FakeJournal(records), records=1)._follow(history, None, None)

        assert looks == 1

    run(scene())


def test_a_snapshot_is_made_whenever_there_is_enough_for_one() -> None:
    async def scene() -> None:
        journal = FakeJournal(STORY[:2])
        snapshots = Snapshots(journal, records=2)
        await snapshots.rebuild()
        watching = asyncio.create_task(snapshots.run())

        await skip(LOOK_S + 1)
        first = [one.seq for one in journal.snapshots]
        _append(journal, STORY[2])
        await skip(LOOK_S + 1)
        not_yet = [one.seq for one in journal.snapshots]
        _append(journal, STORY[3])
        await skip(LOOK_S + 1)
        watching.cancel()
        await quiet()

        assert (first, not_yet) == ([2], [2])
        assert [one.seq for one in journal.snapshots] == [2, 4]
        again = FakeJournal([])
        again.snapshots = journal.snapshots
        assert (await Snapshots(again, records=1).rebuild()).digest() == digest(STORY[:4])

    run(scene())


def test_a_start_after_a_long_tail_makes_a_snapshot_soon() -> None:
    async def scene() -> None:
        journal = FakeJournal(STORY[:2])
        await Snapshots(journal, records=1).take()
        again = FakeJournal(STORY)
        again.snapshots = journal.snapshots
        snapshots = Snapshots(again, records=3)
        await snapshots.rebuild()
        watching = asyncio.create_task(snapshots.run())

        await skip(LOOK_S + 1)
        watching.cancel()
        await quiet()

        assert [one.seq for one in again.snapshots] == [2, 5]

    run(scene())


def test_a_record_that_cannot_be_read_makes_no_snapshot_and_says_so() -> None:
    async def scene() -> None:
        journal = Unreadable(STORY)

        with capture_logs() as logs:
            await Snapshots(journal, records=1).take()

        assert journal.snapshots == []
        assert [(line["event"], line["seq"]) for line in logs] == [("snapshot_not_made", 5)]

    run(scene())


def test_whatever_goes_wrong_with_one_snapshot_the_next_is_tried() -> None:
    async def scene() -> None:
        journal = FakeJournal(STORY[:2])
        save = journal.save_snapshot

        async def broken(_snapshot: Snapshot) -> None:
            text = "no file handles are left"
            raise OSError(text)

        journal.save_snapshot = broken  # type: ignore[method-assign, assignment] # a disk that fails once
        snapshots = Snapshots(journal, records=1)
        watching = asyncio.create_task(snapshots.run())
        with capture_logs() as logs:
            await skip(LOOK_S + 1)
        journal.save_snapshot = save  # type: ignore[method-assign] # and then no more
        _append(journal, STORY[2])
        await skip(LOOK_S + 1)
        watching.cancel()
        await quiet()

        assert [line["event"] for line in logs] == ["snapshot_not_made"]
        assert [one.seq for one in journal.snapshots] == [3]

    run(scene())


class Unreadable(FakeJournal):
    """A journal with a record of a newer version."""

    async def replay(
        self, *, after_seq: int = 0, until_seq: int | None = None
    ) -> AsyncIterator[Sequence[Recorded]]:
        async for page in super().replay(after_seq=after_seq, until_seq=until_seq):
            yield page[:1]
            problem = "a record of the type 'SPLIT'"
            raise JournalUnsupported(problem)


def _append(journal: FakeJournal, one: Recorded) -> None:
    journal.append(replace(one.entry), lambda _result: None)


def test_a_snapshot_stops_at_what_was_durable_when_it_began() -> None:
    async def scene() -> None:
        journal = FakeJournal(STORY[:3])
        taking = asyncio.create_task(Snapshots(journal, records=1).take())
        await asyncio.sleep(0)
        _append(journal, STORY[3])
        await taking

        assert [one.seq for one in journal.snapshots] == [3]

    run(scene())


def test_the_same_history_is_made_in_one_go_and_in_parts() -> None:
    async def scene() -> None:
        for cut in range(len(STORY) + 1):
            journal = FakeJournal(STORY[:cut])
            if cut:
                await Snapshots(journal, records=1).take()
            again = FakeJournal(STORY)
            again.snapshots = journal.snapshots
            history = await Snapshots(again, records=1).rebuild()
            apply(history, later(STARTED, first=6))

            assert history.digest() == digest(STORY)

    run(scene())
