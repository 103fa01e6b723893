"""What people declare of orders, which they adopt, and how an order's story reads."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.actors import interventions
from engine.actors.risk import RiskActor
from engine.domain.messages import (
    AdoptOrder,
    CancelAtBroker,
    NewsStreamed,
    ResolveOrder,
)
from engine.domain.ports import (
    JournalUnavailable,
    NotResolvable,
    ResolveRequest,
    UnknownAccount,
    UnknownExternalOrder,
    UnknownOrder,
)
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    Coid,
    ConId,
    OrderId,
    OrderRow,
    OrderState,
    Pending,
    Reason,
    Resolution,
    Side,
)
from engine.domain.views import EventView, OrderView
from tests.actors.house import (
    ACCOUNT,
    ACK,
    BROKER_ID,
    CONID,
    TICKET,
    TIMEOUT,
    House,
    coid,
    fill,
    keyed,
    ready_house,
    row,
)
from tests.fakes import quiet, run, skip

S = OrderState
THEIRS = BrokerOrderId("77")


def said(resolution: Resolution, **more: object) -> ResolveRequest:
    return ResolveRequest(resolution=resolution, reason="seen in TWS", **more)  # type: ignore[arg-type] # as named


async def in_doubt(house: House) -> OrderView:
    return await house.work(outcome=TIMEOUT)


# --- resolve -----------------------------------------------------------------------------------


def test_a_person_may_say_that_an_order_was_never_placed() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await in_doubt(house)

        wanted = said(Resolution.NOT_PLACED, approved_by="second")
        resolved = await house.bridge.resolve(view.order_id, wanted, by="first")

        assert resolved.state is S.NOT_PLACED
        assert house.journal.durable[-1].entry.message == ResolveOrder(
            order_id=view.order_id,
            resolution=Resolution.NOT_PLACED,
            reason="seen in TWS",
            by="first",
            approved_by="second",
        )

    run(scene())


def test_a_person_may_say_that_an_order_works_under_a_number() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await in_doubt(house)

        wanted = said(Resolution.LIVE, broker_order_id=THEIRS)
        resolved = await house.bridge.resolve(view.order_id, wanted, by="ops")

        assert (resolved.state, resolved.broker_order_id) == (S.PENDING_NEW, THEIRS)

    run(scene())


def test_a_person_may_say_that_an_order_has_filled() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await in_doubt(house)

        wanted = said(Resolution.FILLED, price=Decimal("99.5"))
        resolved = await house.bridge.resolve(view.order_id, wanted, by="ops")
        await quiet()

        resolved = house.bridge.order(view.order_id)
        assert resolved.state is S.FILLED
        assert (resolved.filled_quantity, resolved.average_price) == (
            Decimal(10),
            Decimal("99.5"),
        )

    run(scene())


@pytest.mark.parametrize(
    ("request_", "by", "text"),
    [
        (said(Resolution.NOT_PLACED, approved_by="ops"), "ops", "cannot be the second person"),
        (
            said(Resolution.NOT_PLACED, broker_order_id=THEIRS, price=Decimal(1)),
            "ops",
            "not_placed takes no broker_order_id and no price",
        ),
        (said(Resolution.LIVE), "ops", "live needs broker_order_id"),
        (
            said(Resolution.LIVE, broker_order_id=THEIRS, quantity=Decimal(1)),
            "ops",
            "live takes no quantity",
        ),
        (
            said(Resolution.FILLED, quantity=Decimal(11)),
            "ops",
            "quantity=11 is not above 0 and at most 10",
        ),
        (
            said(Resolution.FILLED, quantity=Decimal(0)),
            "ops",
            "quantity=0 is not above 0 and at most 10",
        ),
        (
            said(Resolution.LIVE, broker_order_id=BROKER_ID),
            "ops",
            f"the broker's order {BROKER_ID} is order 1-1",
        ),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused_and_nothing_is_written(
    request_: ResolveRequest, by: str, text: str
) -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.work(outcome=ACK)
        view = await house.work(keyed("doubtful"), outcome=TIMEOUT)
        before = len(house.journal.durable)

        with pytest.raises(NotResolvable, match=text):
            await house.bridge.resolve(view.order_id, request_, by=by)

        assert len(house.journal.durable) == before
        assert house.bridge.order(view.order_id).state is S.IN_DOUBT

    run(scene())


def test_a_market_order_that_has_filled_needs_a_price() -> None:
    view = replace(run(_one()), limit_price=None)

    misfit = interventions._misfit(view, said(Resolution.FILLED), "ops")

    assert misfit == "filled needs a price: a LMT order has none of its own"


async def _one() -> OrderView:
    return await in_doubt(await ready_house())


def test_only_an_order_in_doubt_can_be_declared() -> None:
    async def scene() -> None:
        house = await ready_house()
        working = await house.work()

        with pytest.raises(NotResolvable, match="it is ACCEPTED, and only an order in doubt"):
            await house.bridge.resolve(working.order_id, said(Resolution.NOT_PLACED), by="ops")
        with pytest.raises(UnknownOrder):
            await house.bridge.resolve(OrderId("9-9"), said(Resolution.NOT_PLACED), by="ops")

        house.line.feed.bring(NewsStreamed(executions=(fill("1", 10),)))
        await quiet()
        with pytest.raises(NotResolvable, match="it is FILLED"):
            await house.bridge.resolve(working.order_id, said(Resolution.NOT_PLACED), by="ops")

    run(scene())


def test_nothing_is_declared_while_nothing_can_be_written() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await in_doubt(house)
        house.bridge.journal_failed(Reason(code="JOURNAL_UNAVAILABLE", message="no disk"))

        with pytest.raises(JournalUnavailable, match="no disk"):
            await house.bridge.resolve(view.order_id, said(Resolution.NOT_PLACED), by="ops")
        with pytest.raises(JournalUnavailable, match="no disk"):
            await house.bridge.adopt(ACCOUNT, THEIRS, cancel=False, by="ops")

    run(scene())


def test_a_declaration_that_does_not_become_durable_is_not_answered() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await in_doubt(house)
        house.journal.held = True

        with pytest.raises(NotResolvable, match="is IN_DOUBT still"):
            await house.bridge.resolve(view.order_id, said(Resolution.NOT_PLACED), by="ops")

    run(scene())


@pytest.mark.parametrize(
    ("differs", "text"),
    [
        ({"side": Side.SELL}, "shows the side SELL, this has BUY"),
        ({"conid": ConId(8314)}, "shows the contract 8314, this has"),
        ({"total_quantity": Decimal(5)}, "shows the quantity 5, this has 10"),
        ({"coid": Coid("by hand")}, "shows the reference by hand, this has"),
    ],
)
def test_an_order_is_not_declared_to_be_another_than_the_broker_shows(
    differs: dict[str, object], text: str
) -> None:
    async def scene() -> None:
        alike = replace(stranger(), side=Side.BUY, total_quantity=Decimal(10))
        house = await with_stranger(replace(alike, **differs))  # type: ignore[arg-type] # as named
        view = await in_doubt(house)

        with pytest.raises(NotResolvable, match=text):
            await house.bridge.resolve(
                view.order_id, said(Resolution.LIVE, broker_order_id=THEIRS), by="ops"
            )

        assert house.bridge.order(view.order_id).state is S.IN_DOUBT

    run(scene())


# --- adopt ---------------------------------------------------------------------------------------


def stranger() -> OrderRow:
    return replace(
        row(BrokerStatus.SUBMITTED, broker_id=THEIRS),
        conid=CONID,
        side=Side.SELL,
        order_type="LMT",
        total_quantity=Decimal(5),
        limit_price=Decimal(120),
        tif="GTC",
        symbol="AAPL",
    )


async def with_stranger(shown: OrderRow) -> House:
    house = await ready_house()
    house.line.session.rows = (shown,)
    house.line.feed.bring(NewsStreamed(rows=(shown,)))
    await skip(10)
    return house


def test_somebody_elses_order_becomes_ours() -> None:
    async def scene() -> None:
        house = await with_stranger(stranger())

        view = await house.bridge.adopt(ACCOUNT, THEIRS, cancel=False, by="ops")

        assert view.adopted
        assert (view.broker_order_id, view.coid) == (THEIRS, None)
        assert (view.side, view.quantity, view.limit_price) == (
            Side.SELL,
            Decimal(5),
            Decimal(120),
        )
        assert view.pending is Pending.NONE
        messages = [one.entry.message for one in house.journal.of_orders]
        assert [type(message) for message in messages] == [AdoptOrder]
        assert house.line.orders.calls == []

    run(scene())


def test_an_order_may_be_adopted_to_be_cancelled() -> None:
    async def scene() -> None:
        house = await with_stranger(stranger())

        view = await house.bridge.adopt(ACCOUNT, THEIRS, cancel=True, by="ops")
        await quiet()

        assert view.pending is Pending.CANCEL
        (sent,) = house.line.orders.calls
        assert isinstance(sent, CancelAtBroker)
        assert sent.broker_order_id == THEIRS

    run(scene())


def test_what_is_not_there_or_does_not_say_enough_is_not_adopted() -> None:
    async def scene() -> None:
        house = await with_stranger(replace(stranger(), side=None))

        with pytest.raises(NotResolvable, match="side"):
            await house.bridge.adopt(ACCOUNT, THEIRS, cancel=False, by="ops")
        with pytest.raises(UnknownExternalOrder, match="no order 78 of others"):
            await house.bridge.adopt(ACCOUNT, BrokerOrderId("78"), cancel=False, by="ops")
        with pytest.raises(UnknownAccount):
            await house.bridge.adopt(AccountId("DU0"), THEIRS, cancel=False, by="ops")

        assert house.journal.of_orders == []

    run(scene())


def test_an_adoption_that_is_not_durable_is_none() -> None:
    async def scene() -> None:
        house = await with_stranger(stranger())
        house.journal.fail()

        with pytest.raises(JournalUnavailable, match="the broker's order is as it was"):
            await house.bridge.adopt(ACCOUNT, THEIRS, cancel=False, by="ops")

    run(scene())


# --- stories -------------------------------------------------------------------------------------


def test_an_orders_story_is_all_its_records_and_no_others() -> None:
    async def scene() -> None:
        house = await ready_house()
        first = await house.work()
        await house.work(keyed("other"), outcome=replace(ACK, broker_order_id=THEIRS))
        house.line.feed.bring(NewsStreamed(executions=(fill("1", 10, coid=coid(1)),)))
        await quiet()

        story = await house.bridge.story(first.order_id)

        assert [event.type for event in story] == ["INTENT", "ATTEMPT", "OUTCOME", "EXECUTION"]
        assert {event.order_id for event in story} == {first.order_id}
        assert TICKET.client_order_id.encode() in story[0].body
        assert [event.seq for event in story] == sorted(event.seq for event in story)

    run(scene())


def test_a_long_story_is_read_in_pages_of_that_order_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        house = await ready_house()
        order = await house.work()
        await house.work(keyed("other"), outcome=replace(ACK, broker_order_id=THEIRS))
        whole = await house.bridge.story(order.order_id)
        read, reads = house.journal.read, []

        async def read_and_note(
            *, after_seq: int, limit: int, order_id: OrderId | None = None
        ) -> tuple[EventView, ...]:
            reads.append((after_seq, limit, order_id))
            return await read(after_seq=after_seq, limit=limit, order_id=order_id)

        monkeypatch.setattr(house.journal, "read", read_and_note)
        monkeypatch.setattr(interventions, "STORY_PAGE", 2)
        in_pages = await house.bridge.story(order.order_id)

        assert in_pages == whole
        assert [event.type for event in whole] == ["INTENT", "ATTEMPT", "OUTCOME"]
        assert reads == [
            (0, 2, order.order_id),
            (whole[1].seq, 2, order.order_id),
            (whole[2].seq, 2, order.order_id),
        ]

    run(scene())


def test_an_order_that_nobody_knows_has_no_story() -> None:
    async def scene() -> None:
        house = await ready_house()

        with pytest.raises(UnknownOrder):
            await house.bridge.story(OrderId("9-9"))

    run(scene())


def test_an_order_that_is_being_adopted_counts_until_it_is_ours() -> None:
    async def scene() -> None:
        house = await with_stranger(replace(stranger(), coid=Coid("by hand")))
        counts = [externals(house)]
        house.journal.held = True
        house.board.adopt(ACCOUNT, THEIRS, cancel=False, by="ops")
        await quiet()
        counts.append(externals(house))

        house.journal.commit()
        await quiet()
        counts.append(externals(house))

        assert counts == [1, 1, 0]

    run(scene())


def test_an_order_whose_adoption_is_not_durable_is_somebody_elses_still() -> None:
    async def scene() -> None:
        house = await with_stranger(replace(stranger(), coid=Coid("by hand")))
        before = house.board.external(ACCOUNT)
        house.journal.fail()

        house.board.adopt(ACCOUNT, THEIRS, cancel=False, by="ops")
        await quiet()

        assert (externals(house), house.board.external(ACCOUNT)) == (1, before)

    run(scene())


def externals(house: House) -> int:
    """Return how many orders of others the account's risk counts."""
    actor = house.board.risks[ACCOUNT].actor
    assert isinstance(actor, RiskActor)
    return actor.risk._externals.count
