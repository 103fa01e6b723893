from dataclasses import replace
from decimal import Decimal

import pytest

from engine.actors import rest, supervisor
from engine.actors.order import OrderActor
from engine.domain import history
from engine.domain.history import RestingOrder
from engine.domain.messages import AccountReconciled, ExecutionSeen, NewsStreamed
from engine.domain.ports import Entry, OrderFilter
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    ExecutionId,
    OrderState,
    Position,
    Reconciliation,
)
from engine.domain.views import OrderView
from engine.journal.rebuild import Snapshots
from tests.actors.house import (
    ACCOUNT,
    ACK,
    MAIN,
    TICKET,
    TIMEOUT,
    House,
    coid,
    fill,
    keyed,
    ready_house,
    row,
)
from tests.fakes import FakeJournal, quiet, run, skip

DAY_S = 600.0
SWEEP_S = 60.0
pytestmark = pytest.mark.usefixtures("quiet_logs", "short_days")


@pytest.fixture
def short_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of ten minutes: all that a session does in a real one takes its time."""
    monkeypatch.setattr(history, "REST_NS", round(DAY_S * 1e9))
    monkeypatch.setattr(supervisor, "SWEEP_S", SWEEP_S)


async def filled(house: House, key: str = "mine-1") -> OrderView:
    """Let an order fill in one piece, and let the account be compared after it."""
    number = len(house.line.orders.placed) + 1
    broker_id = BrokerOrderId(f"9{number}")
    view = await house.work(keyed(key), outcome=replace(ACK, broker_order_id=broker_id))
    execution = fill(str(number), 10, broker_id=broker_id, commission="1.01")
    held = Decimal(10 * number)
    position = Position(
        account=ACCOUNT,
        conid=TICKET.conid,
        symbol="AAPL",
        quantity=held,
        average_price=None,
        market_price=None,
        market_value=None,
        unrealized_pnl=None,
        currency="USD",
    )
    house.line.session.positions = (position,)
    house.line.feed.bring(NewsStreamed(executions=(execution,)))
    await quiet()
    compared = AccountReconciled(
        account=ACCOUNT,
        session=MAIN,
        epoch=1,
        result=Reconciliation.CLEAN,
        orders=number,
        executions=number,
        positions=((TICKET.conid, held),),
    )
    entry = Entry(
        at_ns=house.clock.wall_ns(), account=ACCOUNT, order_id=None, message=compared, session=MAIN
    )
    house.board.journal.append(entry, lambda _result: None)
    await quiet()
    return house.bridge.order(view.order_id)


async def digest_of(house: House) -> str:
    """Return the digest of what the journal's records make."""
    journal = FakeJournal(house.journal.durable)
    return (await Snapshots(journal, records=1).rebuild()).digest()


def actors(house: House) -> list[str]:
    return [ref.actor.name for ref in house.board.order_refs() if isinstance(ref.actor, OrderActor)]


def test_an_order_that_ended_a_day_ago_rests_and_is_shown_as_before() -> None:
    async def scene() -> None:
        house = await ready_house()
        ended, working = await filled(house), await house.work(keyed("mine-2"))
        before = house.bridge.orders(OrderFilter())

        await skip(DAY_S + SWEEP_S)

        assert isinstance(house.board.views.resting(ended.order_id), RestingOrder)
        assert actors(house) == [working.order_id]
        assert house.bridge.order(ended.order_id) == ended
        after = house.bridge.orders(OrderFilter())
        assert [one.order_id for one in after] == [one.order_id for one in before]
        assert house.bridge.orders(OrderFilter(state=OrderState.FILLED)) == (ended,)
        assert await house.bridge.cancel(ended.order_id, by="me") == ended

    run(scene())


def test_the_key_of_an_order_at_rest_still_means_it() -> None:
    async def scene() -> None:
        house = await ready_house()
        ended = await filled(house)
        await skip(DAY_S + SWEEP_S)

        again = await house.submit(TICKET)

        assert again == ended
        assert len(house.line.orders.placed) == 1

    run(scene())


def test_news_of_an_order_at_rest_wakes_it() -> None:
    async def scene() -> None:
        house = await ready_house()
        ended = await filled(house)
        await skip(DAY_S + SWEEP_S)
        bust = replace(
            fill("1", 10, broker_id=BrokerOrderId("91"), coid=coid(1)),
            execution_id=ExecutionId("0000dc8f.1.01.02"),
            quantity=Decimal(4),
        )

        house.line.feed.bring(NewsStreamed(executions=(bust,)))
        await quiet()

        corrected = house.bridge.order(ended.order_id)
        assert (corrected.state, corrected.filled_quantity) == (
            OrderState.PARTIALLY_FILLED,
            Decimal(4),
        )
        assert house.journal.written[-1] is ExecutionSeen
        assert actors(house) == [ended.order_id]
        assert house.supervisor.risks[ACCOUNT].risk.exposure(TICKET.conid).working_buy == 6
        assert house.supervisor.history().digest() == await digest_of(house)

    run(scene())


def test_what_is_no_news_does_not_wake_it() -> None:
    async def scene() -> None:
        house = await ready_house()
        ended = await filled(house)
        await skip(DAY_S + SWEEP_S)
        written = len(house.journal.written)

        again = fill("1", 10, broker_id=BrokerOrderId("91"), coid=coid(1), commission="1.01")
        house.line.feed.bring(NewsStreamed(executions=(again,)))
        await quiet()

        assert actors(house) == []
        assert len(house.journal.written) == written
        assert house.bridge.order(ended.order_id) == ended

    run(scene())


def test_who_was_woken_for_nothing_rests_again() -> None:
    async def scene() -> None:
        house = await ready_house()
        ended = await filled(house)
        await skip(DAY_S + SWEEP_S)
        written = len(house.journal.written)

        house.board.wake(ended.order_id)
        await quiet()
        woken = actors(house)
        await skip(2 * SWEEP_S)

        assert (woken, actors(house)) == ([ended.order_id], [])
        assert len(house.journal.written) == written
        assert house.bridge.order(ended.order_id) == ended

    run(scene())


def test_many_orders_are_looked_at_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "SWEEP_ORDERS", 2)
    monkeypatch.setattr(supervisor, "SWEEP_S", 2 * DAY_S)

    async def scene() -> None:
        house = await ready_house()
        for number in range(3):
            await filled(house, f"mine-{number}")
        await skip(DAY_S + 1)
        awake = len(actors(house))

        more = house.supervisor._rest.sweep()
        after_one = len(actors(house))

        assert (awake, more, after_one) == (3, True, 1)
        assert not house.supervisor._rest.sweep()
        assert actors(house) == []

    run(scene())


def test_all_are_looked_at_one_part_soon_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "SWEEP_ORDERS", 1)

    async def scene() -> None:
        house = await ready_house()
        for number in range(3):
            await filled(house, f"mine-{number}")

        await skip(DAY_S + SWEEP_S + 3 * rest.SWEEP_PAUSE_S)

        assert actors(house) == []

    run(scene())


def test_an_order_that_nobody_can_be_sure_of_never_rests() -> None:
    async def scene() -> None:
        house = await ready_house()
        doubtful = await house.work(outcome=TIMEOUT)

        await skip(3 * DAY_S)

        assert actors(house) == [doubtful.order_id]

    run(scene())


def test_after_a_restart_orders_rest_that_rested_and_are_found() -> None:
    async def scene() -> None:
        house = await ready_house()
        ended = await filled(house)
        await skip(DAY_S + SWEEP_S)
        working = await house.work(keyed("mine-2"))
        journal = FakeJournal(house.journal.durable, epoch=2)
        await Snapshots(journal, records=1).take()

        again = House(journal=journal)
        again.add()
        await again.start()
        asleep = actors(again)
        repeated = await again.submit(TICKET)

        assert asleep == [working.order_id]
        assert again.bridge.order(ended.order_id) == ended
        assert repeated == ended
        assert [one.order_id for one in again.bridge.orders(OrderFilter())] == [
            working.order_id,
            ended.order_id,
        ]

    run(scene())


def test_what_is_live_is_what_the_journal_says_hash_for_hash() -> None:
    async def scene() -> None:
        house = await ready_house()
        await filled(house)
        await house.work(keyed("mine-2"), outcome=TIMEOUT)
        cancelled = await house.work(
            keyed("mine-3"), outcome=replace(ACK, broker_order_id=BrokerOrderId("93"))
        )
        await house.submit(replace(keyed("mine-4"), quantity=Decimal(1_001)))
        await house.bridge.cancel(cancelled.order_id, by="me")
        stranger = row(BrokerStatus.SUBMITTED, broker_id=BrokerOrderId("55"))
        house.line.feed.bring(NewsStreamed(rows=(stranger,)))
        await skip(60)

        live = house.supervisor.history().digest()

        assert live == await digest_of(house)
        await skip(2 * DAY_S)
        assert house.supervisor.history().digest() == await digest_of(house)
        assert len(actors(house)) < 4

    run(scene())
