from dataclasses import replace

from engine.actors.watched_journal import WatchedJournal
from engine.domain.messages import DenyOrder, EngineStarted
from engine.domain.ports import Committed, Entry, NotCommitted
from engine.domain.values import OrderId, Reason
from tests.actors.house import TICKET
from tests.fakes import BACKLOG, NOON_NS, FakeJournal, quiet, run

DENIED = DenyOrder(
    order_id=OrderId("1-1"),
    ticket=TICKET,
    reason=Reason(code="QTY_EXCEEDS_MAX", message="too many"),
    request_sha256="f" * 64,
)
STARTED = EngineStarted(version="1", mode="paper")
ENTRY = Entry(at_ns=NOON_NS, account=None, order_id=None, message=STARTED)


def test_the_result_is_told_before_those_who_watch_hear_of_it() -> None:
    async def scene() -> None:
        journal = WatchedJournal(FakeJournal())
        heard: list[object] = []
        journal.on_commit = lambda: heard.append("advanced")

        journal.append(ENTRY, heard.append)
        await quiet()

        assert heard == [Committed(seq=1), "advanced"]

    run(scene())


def test_a_failure_is_told_with_its_reason() -> None:
    async def scene() -> None:
        inner = FakeJournal()
        journal = WatchedJournal(inner)
        heard: list[object] = []
        journal.on_failure = heard.append
        inner.fail()

        journal.append(ENTRY, heard.append)
        await quiet()

        reason = Reason(code="JOURNAL_UNAVAILABLE", message="the disk is full")
        assert heard == [NotCommitted(reason=reason), reason]

    run(scene())


def test_a_refusal_that_passes_is_no_failure_of_the_journal() -> None:
    async def scene() -> None:
        inner = FakeJournal()
        journal = WatchedJournal(inner)
        heard: list[object] = []
        journal.on_failure = heard.append
        journal.on_commit = lambda: heard.append("advanced")
        inner.backlog = True
        denied = replace(ENTRY, message=DENIED)

        journal.append(denied, heard.append)
        journal.append(ENTRY, heard.append)
        await quiet()

        assert heard == [BACKLOG, Committed(seq=1), "advanced"]

    run(scene())


def test_nobody_need_watch() -> None:
    async def scene() -> None:
        inner = FakeJournal()
        journal = WatchedJournal(inner)
        heard: list[object] = []

        journal.append(ENTRY, heard.append)
        await quiet()
        inner.fail()
        journal.append(ENTRY, heard.append)
        await quiet()

        assert heard == [Committed(seq=1), inner.refusal]

    run(scene())
