"""A journal on a full disk. SQLite itself finds it full: a real small one, or its own limit."""

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from engine import metrics
from engine.domain.messages import CancelOrder, DenyOrder, JournalMessage
from engine.domain.ports import Committed, NotCommitted, Snapshot
from engine.domain.values import OrderId, Reason
from engine.journal.sqlite import SqliteJournal
from tests.journal.samples import append, attempt, entry, submit

LARGE = b"x" * 100_000
UNAVAILABLE = ("JOURNAL_UNAVAILABLE", "the journal cannot be written: database or disk is full")
FULL = ("JOURNAL_FULL", "the journal takes no new orders: the disk is full")

Told = tuple[str, str] | int


def using(
    path: Path, work: Callable[[SqliteJournal], Awaitable[None]], *, reserve_bytes: int = 4096
) -> None:
    async def run() -> None:
        journal = SqliteJournal.open(path, reserve_bytes=reserve_bytes)
        try:
            await work(journal)
        finally:
            await journal.close()

    asyncio.run(run())


def told(answer: Committed | NotCommitted) -> Told:
    if isinstance(answer, Committed):
        return answer.seq
    return (answer.reason.code, answer.reason.message)


def sample(name: str) -> float:
    value = metrics.REGISTRY.get_sample_value(name)
    assert value is not None
    return value


async def write(journal: SqliteJournal, *messages: JournalMessage) -> list[Told]:
    return [told(one) for one in await append(journal, *map(entry, messages))]


def limit(journal: SqliteJournal, more_pages: int) -> None:
    """Let SQLite have so many pages more than it has now."""
    connection = journal._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + more_pages}")


def let_the_reserve_count(journal: SqliteJournal) -> None:
    """Let the reserve be room that SQLite can use, as it is on a disk."""
    give = journal._reserve.give

    def given() -> bool:
        limit(journal, 100)
        return give()

    journal._reserve.give = given  # type: ignore[method-assign] # in place of a file system


def denied(number: int) -> DenyOrder:
    ticket = submit(number).approved.ticket
    reason = Reason(code="MAX_QUANTITY", message="too much")
    return DenyOrder(order_id=OrderId("1-9"), ticket=ticket, reason=reason, request_sha256="0")


def cancelled(cause: str = "client") -> CancelOrder:
    return CancelOrder(order_id=OrderId("1-1"), cause=cause)


def test_a_full_disk_refuses_what_is_new_and_keeps_the_story_of_what_exists(
    tmp_path: Path,
) -> None:
    path, reserve = tmp_path / "journal.db", tmp_path / "journal.db.reserve"

    async def work(journal: SqliteJournal) -> None:
        assert reserve.stat().st_size == 4096
        await write(journal, submit(1))
        limit(journal, 0)
        let_the_reserve_count(journal)

        together = await write(
            journal, attempt(1), submit(2, body=LARGE), denied(3), cancelled("x" * 9000)
        )
        later = await write(journal, submit(4), denied(5), attempt(1))

        # The answers to what is refused come first: they wait for no disk.
        assert together == [FULL, FULL, 2, 3]
        assert later == [FULL, FULL, 4]
        assert (sample("engine_journal_full"), sample("engine_journal_failed")) == (1, 0)
        assert not reserve.exists()

    async def after(journal: SqliteJournal) -> None:
        assert (sample("engine_journal_full"), sample("engine_journal_failed")) == (0, 0)
        assert await write(journal, submit(6)) == [5]
        assert reserve.exists()

    using(path, work)
    using(path, after)


def test_a_disk_that_is_full_again_is_the_end(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def work(journal: SqliteJournal) -> None:
        assert await write(journal, submit(1)) == [1]
        limit(journal, 0)

        refused = await write(journal, submit(2, body=LARGE))
        kept = await write(journal, cancelled("x" * 99_000), cancelled())
        journal._connection.execute("PRAGMA max_page_count = 1000000")  # room again is no cure
        later = await write(journal, attempt(1))

        assert refused == [FULL]
        assert [*kept, *later] == [UNAVAILABLE] * 3
        assert journal.last_seq == 1
        assert (sample("engine_journal_full"), sample("engine_journal_failed")) == (1, 1)
        assert len(await journal.read(after_seq=0, limit=10)) == 1

    async def after(journal: SqliteJournal) -> None:
        assert sample("engine_journal_failed") == 0
        assert await write(journal, attempt(3)) == [2]

    using(path, work)
    using(path, after)


def test_how_much_room_is_left_is_measured(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        metrics.JOURNAL_FREE_BYTES.set(-1)
        journal.measure()

    using(tmp_path / "journal.db", work)

    assert sample("engine_journal_free_bytes") > 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs root, and the right to mount a small tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_on_a_disk_that_is_really_full_the_reserve_tells_the_rest_of_the_story(
    small_disk: Path,
) -> None:
    path, reserve = small_disk / "journal.db", small_disk / "journal.db.reserve"

    async def work(journal: SqliteJournal) -> None:
        assert reserve.stat().st_size == 512 << 10
        answers: list[Told] = []
        for number in range(1, 100):
            answers += await write(journal, submit(number, body=LARGE))
            if answers[-1] == FULL:
                break
        last = len(answers) - 1
        assert answers == [*range(1, last + 1), FULL]
        assert not reserve.exists()

        story = await write(journal, *[cancelled()] * 100)
        await journal.save_snapshot(Snapshot(seq=1, body=LARGE))

        assert story == [*range(last + 1, last + 101)]
        assert await journal.snapshot() is None  # A snapshot never takes the room of records.

        last += 100
        for _ in range(100):
            answers = await write(journal, *[cancelled("x" * 500)] * 200)
            if answers[-1] == UNAVAILABLE:
                break
            last += 200
        assert answers == [UNAVAILABLE] * 200
        assert journal.last_seq == last
        assert len(await journal.read(after_seq=0, limit=100_000)) == last

    using(path, work, reserve_bytes=512 << 10)


def test_without_room_for_a_reserve_a_journal_opens_and_says_so(small_disk: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        assert await write(journal, submit(1)) == [1]
        assert not (small_disk / "journal.db.reserve").exists()

    using(small_disk / "journal.db", work, reserve_bytes=4 << 20)
