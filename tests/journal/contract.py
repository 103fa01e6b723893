"""What every journal keeps: one suite of behaviours that each adapter passes.

A test file of an adapter makes a class of its own of `JournalContract`, with a fixture
`place` that says where a new journal is and how to damage it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

import pytest
from structlog.testing import capture_logs

from engine.domain.history import History
from engine.domain.messages import (
    AccountReconciled,
    CancelOrder,
    EngineStarted,
    HaltScope,
    NoticeSeen,
)
from engine.domain.ports import Committed, Entry, Journal, NotCommitted, Recorded, Snapshot
from engine.domain.values import (
    AccountId,
    OrderId,
    Reconciliation,
    Scope,
    ScopeKind,
    SessionName,
    TradingState,
    make_order_id,
)
from engine.domain.views import EventView
from engine.journal import JournalCorrupt, JournalLocked
from engine.journal.codec import encode
from engine.journal.rebuild import Snapshots
from tests.journal.samples import ACCOUNT, acknowledged, append, attempt, entry, questioned, submit

OTHER = AccountId("DU2222222")
MAIN = SessionName("main")


class OpenJournal(Journal, Protocol):
    """A journal that is closed in the end."""

    async def close(self) -> None: ...


class Place(Protocol):
    """Where one journal is."""

    async def open(self) -> OpenJournal:
        """Open the journal that is there, or make it."""
        ...

    def change(self, seq: int, column: str, value: object) -> None:
        """Damage a record behind the journal's back."""
        ...

    def remove(self, seq: int) -> None:
        """Remove a record behind the journal's back."""
        ...

    def spoil_snapshot(self) -> None:
        """Flip a bit in the newest snapshot."""
        ...

    def snapshots(self) -> int:
        """Count the snapshots that are kept."""
        ...


def using(place: Place, work: Callable[[OpenJournal], Awaitable[None]]) -> None:
    """Open the journal, work with it on a loop, and close it."""

    async def run() -> None:
        journal = await place.open()
        try:
            await work(journal)
        finally:
            await journal.close()

    asyncio.run(run())


def fill(place: Place, records: int) -> None:
    async def work(journal: OpenJournal) -> None:
        await append(journal, *(entry(attempt(number)) for number in range(1, records + 1)))

    using(place, work)


async def replayed(
    journal: Journal, *, after_seq: int = 0, until_seq: int | None = None
) -> list[Recorded]:
    pages = [page async for page in journal.replay(after_seq=after_seq, until_seq=until_seq)]
    return [one for page in pages for one in page]


def story(number: int) -> list[Entry]:
    """A whole order, from its intent to the broker's word."""
    makers = (submit, attempt, questioned, acknowledged)
    return [replace(entry(make(number)), session=MAIN) for make in makers]


class JournalContract:
    """The suite. A subclass has the fixture `place`."""

    def test_entries_are_committed_in_order_and_come_back_after_a_restart(
        self, place: Place
    ) -> None:
        entries = [entry(EngineStarted(version="1.0", mode="paper")), *story(1)]

        async def first(journal: OpenJournal) -> None:
            assert await replayed(journal) == []
            assert journal.last_seq == 0
            assert await append(journal, *entries) == [Committed(seq=seq) for seq in range(1, 6)]
            assert journal.last_seq == 5
            assert await replayed(journal) == []  # only what was there before this start

        async def second(journal: OpenJournal) -> None:
            assert journal.last_seq == 5
            assert await append(journal, entry(attempt(2))) == [Committed(seq=6)]
            assert await replayed(journal) == [
                Recorded(seq=seq, entry=one) for seq, one in enumerate(entries, start=1)
            ]

        using(place, first)
        using(place, second)

    def test_a_part_of_the_records_is_replayed_in_pages_also_while_running(
        self, place: Place
    ) -> None:
        fill(place, 600)

        async def work(journal: OpenJournal) -> None:
            await append(journal, entry(attempt(601)), entry(attempt(602)))

            sizes = [len(page) async for page in journal.replay()]
            tail = await replayed(journal, after_seq=598)
            running = await replayed(journal, after_seq=598, until_seq=601)

            assert sum(sizes) == 600
            assert max(sizes) <= 250
            assert [one.seq for one in tail] == [599, 600]
            assert [one.seq for one in running] == [599, 600, 601]
            assert await replayed(journal, after_seq=600) == []
            assert [one.seq for one in await replayed(journal, after_seq=600, until_seq=9999)] == [
                601,
                602,
            ]

        using(place, work)

    def test_records_of_an_order_or_an_account_are_found_while_running(self, place: Place) -> None:
        fill(place, 2)
        halt = HaltScope(
            scope=Scope(kind=ScopeKind.ACCOUNT, key=OTHER),
            level=TradingState.HALT,
            reason="drill",
            by="ops",
        )
        entries = [
            replace(entry(submit(1)), session=MAIN),
            replace(entry(halt), account=OTHER),
            replace(entry(attempt(1)), account=OTHER),
            entry(EngineStarted(version="1.0", mode="paper")),
            entry(acknowledged(1)),
        ]

        async def work(journal: OpenJournal) -> None:
            await append(journal, *entries)
            order_id = make_order_id(1, 1)

            of_order = await journal.records(order_id=order_id)
            of_account = await journal.records(account=OTHER)
            of_both = await journal.records(account=OTHER, order_id=order_id)

            assert [one.seq for one in of_order] == [1, 3, 5, 7]
            assert [one.entry for one in of_order][1:] == [entries[0], entries[2], entries[4]]
            assert [(one.seq, one.entry) for one in of_account] == [
                (4, entries[1]),
                (5, entries[2]),
            ]
            assert of_both == (of_account[1],)
            assert await journal.records(order_id=OrderId("1-99")) == ()

        using(place, work)

    def test_events_are_read_without_gaps_while_others_are_written(self, place: Place) -> None:
        async def work(journal: OpenJournal) -> None:
            writing = asyncio.create_task(
                append(journal, *(entry(attempt(number)) for number in range(1, 501)))
            )
            seen: list[EventView] = []
            while len(seen) < 500:
                page = await journal.read(after_seq=len(seen), limit=7)
                assert len(page) <= 7
                seen += page
                await asyncio.sleep(0)
            await writing

            assert [event.seq for event in seen] == list(range(1, 501))
            assert seen[41] == EventView(
                seq=42,
                at_ns=1_750_000_000_000_000_000,
                type="ATTEMPT",
                account=ACCOUNT,
                order_id=OrderId("1-1A"),
                body=encode(attempt(42)),
            )
            assert await journal.read(after_seq=500, limit=7) == ()
            assert await journal.read(after_seq=9000, limit=7) == ()

        using(place, work)

    def test_the_events_of_one_order_are_read_in_pages_of_their_own(self, place: Place) -> None:
        async def work(journal: OpenJournal) -> None:
            order_id = make_order_id(1, 1)
            others = [entry(attempt(number)) for number in range(2, 22)]
            await append(
                journal,
                entry(submit(1)),
                *others,
                entry(attempt(1)),
                entry(EngineStarted(version="1.0", mode="paper")),
                entry(acknowledged(1)),
            )

            first = await journal.read(after_seq=0, limit=2, order_id=order_id)
            rest = await journal.read(after_seq=first[-1].seq, limit=2, order_id=order_id)

            every = await journal.read(after_seq=0, limit=100)
            assert [event.seq for event in (*first, *rest)] == [1, 22, 24]
            assert (*first, *rest) == tuple(one for one in every if one.order_id == order_id)
            assert await journal.read(after_seq=24, limit=2, order_id=order_id) == ()
            assert await journal.read(after_seq=0, limit=2, order_id=OrderId("1-99")) == ()

        using(place, work)

    def test_every_start_begins_a_new_epoch(self, place: Place) -> None:
        epochs = []

        async def work(journal: OpenJournal) -> None:
            epochs.append(journal.epoch)
            await append(journal, entry(attempt(1)))

        for _ in range(3):
            using(place, work)

        assert epochs == [1, 2, 3]

    def test_a_journal_is_open_once(self, place: Place) -> None:
        async def work(_journal: OpenJournal) -> None:
            with pytest.raises(JournalLocked):
                await place.open()

        using(place, work)
        fill(place, 1)  # closed, it can be opened again

    @pytest.mark.parametrize(
        ("column", "value"),
        [("at_ns", 1), ("order_id", "other"), ("session", "other"), ("body", b"{}")],
    )
    def test_a_changed_record_is_refused_and_named(
        self, place: Place, column: str, value: object
    ) -> None:
        fill(place, 5)
        place.change(3, column, value)

        with pytest.raises(
            JournalCorrupt, match="record 3 is damaged: its hash does not"
        ) as caught:
            using(place, _nothing)

        assert caught.value.seq == 3

    @pytest.mark.parametrize(
        ("seq", "problem"),
        [
            (1, "record 1 is damaged: it is missing, the next is 2"),
            (4, "record 4 is damaged: it is missing, the next is 5"),
            (5, "record 5 is damaged: the journal ended with record 5 when it was last written"),
        ],
    )
    def test_a_missing_record_is_refused_and_named(
        self, place: Place, seq: int, problem: str
    ) -> None:
        fill(place, 5)
        place.remove(seq)

        with pytest.raises(JournalCorrupt, match=problem):
            using(place, _nothing)

    def test_the_two_newest_snapshots_are_kept_and_the_newest_is_found(self, place: Place) -> None:
        async def first(journal: OpenJournal) -> None:
            assert await journal.snapshot() is None
            for number in range(1, 4):
                await append(journal, entry(attempt(number)))
                await journal.save_snapshot(Snapshot(seq=number, body=b"%d" % number))
            assert await journal.snapshot() == Snapshot(seq=3, body=b"3")

        async def second(journal: OpenJournal) -> None:
            assert await journal.snapshot() == Snapshot(seq=3, body=b"3")
            assert await journal.snapshot() == Snapshot(seq=3, body=b"3")

        using(place, first)
        assert place.snapshots() == 2
        using(place, second)

    def test_a_spoilt_snapshot_is_passed_over_for_the_one_before_and_then_for_none(
        self, place: Place
    ) -> None:
        async def save(journal: OpenJournal) -> None:
            for number in (1, 2):
                await append(journal, entry(attempt(number)))
                await journal.save_snapshot(Snapshot(seq=number, body=b"%d" % number))

        found: list[Snapshot | None] = []

        async def look(journal: OpenJournal) -> None:
            found.append(await journal.snapshot())
            await journal.save_snapshot(Snapshot(seq=2, body=b"2"))

        using(place, save)
        place.spoil_snapshot()
        with capture_logs() as logs:
            using(place, look)
        place.spoil_snapshot()
        using(place, look)

        assert found == [Snapshot(seq=1, body=b"1")] * 2
        assert [line["reason"] for line in logs if line["event"] == "snapshot_passed_over"] == [
            "its digest does not match its content"
        ]

    def test_a_start_with_a_snapshot_checks_what_follows_it(self, place: Place) -> None:
        async def save(journal: OpenJournal) -> None:
            await append(journal, *(entry(attempt(number)) for number in range(1, 6)))
            await journal.save_snapshot(Snapshot(seq=3, body=b"3"))

        using(place, save)
        place.change(2, "body", b"{}")  # `engine journal verify` finds it
        using(place, _nothing)
        place.change(4, "body", b"{}")

        with pytest.raises(JournalCorrupt, match="record 4 is damaged"):
            using(place, _nothing)

    def test_a_journal_without_the_record_of_its_snapshot_is_refused(self, place: Place) -> None:
        async def save(journal: OpenJournal) -> None:
            await append(journal, *(entry(attempt(number)) for number in range(1, 6)))
            await journal.save_snapshot(Snapshot(seq=3, body=b"3"))

        using(place, save)
        place.change(3, "hash", bytes(32))

        with pytest.raises(JournalCorrupt, match="record 3 is damaged: it is another one, and the"):
            using(place, _nothing)

    def test_what_rots_while_running_gets_into_no_snapshot(self, place: Place) -> None:
        async def work(journal: OpenJournal) -> None:
            await append(journal, *story(1), *story(2))
            place.change(3, "at_ns", 7)

            with capture_logs() as logs:
                await Snapshots(journal, records=1).take()

            assert [line["event"] for line in logs] == ["journal_damaged"]
            assert "record 3 is damaged" in logs[0]["reason"]

        using(place, work)
        assert place.snapshots() == 0

    def test_a_snapshot_and_the_rest_make_what_all_records_make(self, place: Place) -> None:
        reconciled = AccountReconciled(
            account=ACCOUNT,
            session=MAIN,
            epoch=1,
            result=Reconciliation.CLEAN,
            orders=1,
            executions=0,
            positions=(),
        )
        digests: list[str] = []
        seqs: list[int] = []

        async def first(journal: OpenJournal) -> None:
            await append(journal, *story(1), *story(2)[:2])
            await Snapshots(journal, records=1).take()
            await append(journal, *story(2)[2:], *story(3), entry(reconciled))

        async def second(journal: OpenJournal) -> None:
            snapshot = await journal.snapshot()
            assert snapshot is not None
            seqs.append(snapshot.seq)
            digests.append((await Snapshots(journal, records=1).rebuild()).digest())
            whole = History()
            for recorded in await replayed(journal):
                whole.apply(recorded)
            digests.append(whole.digest())

        using(place, first)
        using(place, second)

        assert seqs == [6]
        assert digests[0] == digests[1]
        assert digests[0] != History().digest()

    def test_a_record_that_cannot_be_written_fails_alone(self, place: Place) -> None:
        async def work(journal: OpenJournal) -> None:
            broken = CancelOrder(order_id=OrderId("1-1"), cause="\ud800")

            (answer,) = await append(journal, entry(broken))

            assert isinstance(answer, NotCommitted)
            assert answer.reason.code == "JOURNAL_BAD_RECORD"
            assert await append(journal, entry(attempt(1))) == [Committed(seq=1)]

        using(place, work)

    def test_an_intent_that_cannot_be_written_takes_its_attempt_with_it(self, place: Place) -> None:
        async def work(journal: OpenJournal) -> None:
            intent = submit(1)
            broken = replace(intent, approved=replace(intent.approved, request_sha256="\ud800"))

            answers = await append(journal, entry(broken), entry(attempt(1)), entry(attempt(2)))

            codes = [one.reason.code for one in answers if isinstance(one, NotCommitted)]
            assert codes == ["JOURNAL_BAD_RECORD", "JOURNAL_BAD_RECORD"]
            assert answers[2:] == [Committed(seq=1)]

        using(place, work)

    def test_one_failing_callback_does_not_keep_the_next_from_its_answer(
        self, place: Place
    ) -> None:
        problems: list[object] = []

        def fail(_answer: Committed | NotCommitted) -> None:
            message = "an actor's bug"
            raise ValueError(message)

        async def work(journal: OpenJournal) -> None:
            asyncio.get_running_loop().set_exception_handler(
                lambda _loop, context: problems.append(str(context["exception"]))
            )
            journal.append(entry(attempt(1)), fail)

            assert await append(journal, entry(attempt(2))) == [Committed(seq=2)]

        using(place, work)

        assert problems == ["an actor's bug"]

    def test_a_record_is_read_back_as_soon_as_it_is_durable(self, place: Place) -> None:
        async def work(journal: OpenJournal) -> None:
            found: list[Recorded] = []
            answered = asyncio.Event()

            async def read() -> None:
                found.extend(await journal.records(order_id=make_order_id(1, 1)))
                answered.set()

            tasks = []
            journal.append(
                entry(submit(1)), lambda _result: tasks.append(asyncio.create_task(read()))
            )
            await answered.wait()

            assert [one.entry for one in found] == [entry(submit(1))]

        using(place, work)

    def test_closing_commits_what_waits_and_then_takes_no_more(self, place: Place) -> None:
        async def run() -> None:
            journal = await place.open()
            answers: list[Committed | NotCommitted] = []
            for number in range(1, 2501):
                journal.append(entry(attempt(number)), answers.append)
            await journal.close()
            assert answers == [Committed(seq=seq) for seq in range(1, 2501)]

            (late,) = await append(journal, entry(attempt(2501)))
            assert isinstance(late, NotCommitted)
            assert late.reason.message == "the journal is closed"
            await journal.close()  # once more does nothing

        asyncio.run(run())

    def test_a_notice_has_neither_account_nor_order(self, place: Place) -> None:
        notice = Entry(
            at_ns=7,
            account=None,
            order_id=None,
            session=MAIN,
            message=NoticeSeen(session=MAIN, kind="bulletin", notice_id="7", text="Closed"),
        )

        async def write(journal: OpenJournal) -> None:
            assert await append(journal, notice) == [Committed(seq=1)]

        async def look(journal: OpenJournal) -> None:
            assert await replayed(journal) == [Recorded(seq=1, entry=notice)]

        using(place, write)
        using(place, look)


async def _nothing(_journal: OpenJournal) -> None:
    pass
