import asyncio

import pytest

from engine.actors.settling_journal import SettlingJournal
from engine.domain.history import Reconciled
from engine.domain.messages import (
    AccountReconciled,
    CancelOrder,
    ExternalOrderSeen,
    JournalMessage,
    LoginGuarded,
)
from engine.domain.ports import Committed, Entry, NotCommitted
from engine.domain.values import BrokerOrderId, OrderId, Reconciliation
from tests.actors.house import ACCOUNT, MAIN, row
from tests.fakes import BACKLOG, NOON_NS, FakeJournal, quiet, run

ORDER = OrderId("1-1")
RECONCILED = AccountReconciled(
    account=ACCOUNT,
    session=MAIN,
    epoch=1,
    result=Reconciliation.CLEAN,
    orders=0,
    executions=0,
    positions=(),
)
EXTERNAL = ExternalOrderSeen(session=MAIN, row=row(broker_id=BrokerOrderId("77")))


def entry(message: JournalMessage, order_id: OrderId | None = ORDER) -> Entry:
    return Entry(at_ns=NOON_NS, account=ACCOUNT, order_id=order_id, message=message)


def cancel(cause: str) -> Entry:
    return entry(CancelOrder(order_id=ORDER, cause=cause))


def ignore(_result: Committed | NotCommitted) -> None:
    pass


def test_records_have_what_was_under_way_when_they_were_asked_for() -> None:
    async def scene() -> None:
        inner = FakeJournal()
        journal = SettlingJournal(inner)
        inner.held = True
        for cause in ("first", "second"):
            journal.append(cancel(cause), ignore)

        reading = asyncio.create_task(journal.records(order_id=ORDER))
        await quiet()
        journal.append(cancel("later"), ignore)
        inner.commit(1)
        await quiet()
        waiting = not reading.done()
        inner.commit(1)
        found = await reading

        assert waiting
        assert [one.entry for one in found] == [cancel("first"), cancel("second")]
        inner.commit()

    run(scene())


def test_a_refusal_of_a_later_record_does_not_stand_for_an_earlier_one() -> None:
    async def scene() -> None:
        inner = FakeJournal()
        journal = SettlingJournal(inner)
        inner.held = True
        done: list[object] = []

        journal.append(cancel("slow"), ignore)
        # A record that cannot be written is refused at once, before those that wait.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(inner, "append", lambda _entry, refuse: refuse(BACKLOG))
            journal.append(cancel("refused at once"), done.append)

        settling = asyncio.create_task(journal.settled())
        await quiet()
        early = settling.done()
        inner.commit()
        await settling

        assert done == [BACKLOG]
        assert not early

    run(scene())


def test_a_callback_that_raises_settles_all_the_same() -> None:
    async def scene() -> None:
        seen: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: seen.append(str(context["exception"]))
        )
        journal = SettlingJournal(FakeJournal())

        def fail(_result: Committed | NotCommitted) -> None:
            text = "as told"
            raise ValueError(text)

        journal.append(cancel("any"), fail)
        await journal.settled()

        assert seen == ["as told"]

    run(scene())


def test_the_newest_guard_of_each_session_is_remembered() -> None:
    async def scene() -> None:
        journal = SettlingJournal(FakeJournal())
        guards = [
            LoginGuarded(
                session=MAIN, failures=failures, taken_over=False, latched=False, reason="refused"
            )
            for failures in (1, 2)
        ]

        for guard in guards:
            journal.append(entry(guard, None), ignore)
        await journal.settled()

        assert journal.guards == {MAIN: guards[1]}

    run(scene())


def test_the_last_comparisons_and_others_orders_are_known_once_they_are_durable() -> None:
    async def scene() -> None:
        inner = FakeJournal()
        journal = SettlingJournal(inner)
        inner.held = True
        journal.append(entry(RECONCILED, None), ignore)
        journal.append(entry(EXTERNAL, None), ignore)
        early = (dict(journal.kept.reconciled), dict(journal.kept.externals))

        inner.commit()

        assert early == ({}, {})
        assert journal.kept.reconciled == {
            ACCOUNT: Reconciled(record=RECONCILED, seq=1, at_ns=NOON_NS)
        }
        assert list(journal.kept.externals.values()) == [EXTERNAL]

    run(scene())


def test_nobody_waits_for_a_record_that_was_not_taken() -> None:
    async def scene() -> None:
        inner = FakeJournal()
        journal = SettlingJournal(inner)

        def broken(_entry: Entry, _done: object) -> None:
            text = "not to be encoded"
            raise TypeError(text)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(inner, "append", broken)
            with pytest.raises(TypeError, match="not to be encoded"):
                journal.append(cancel("broken"), ignore)
        journal.append(cancel("whole"), ignore)

        async with asyncio.timeout(5):
            found = await journal.records(order_id=ORDER)
        assert [one.entry for one in found] == [cancel("whole")]

    run(scene())
