"""Brackets and one-cancels-all groups through the whole engine, over fakes of its gateways."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import (
    AttemptStarted,
    CancelAtBroker,
    CancelOrder,
    ModifyAtBroker,
    NewsStreamed,
    OrderAnswered,
    PlaceAtBroker,
    RequestVerdict,
    SubmitOrder,
)
from engine.domain.ports import (
    Committed,
    Entry,
    JournalUnavailable,
    NotCommitted,
    Recorded,
    SubmitRequest,
    Submitted,
    TermsChange,
)
from engine.domain.values import (
    AnswerRow,
    BrokerOrderId,
    BrokerStatus,
    ClientOrderId,
    ConId,
    Execution,
    ExternalPolicy,
    GroupKind,
    GroupPlace,
    OrderId,
    OrderPolicy,
    OrderRow,
    OrderState,
    OrderType,
    Outcome,
    OutcomeKind,
    Pending,
    Position,
    Reason,
    Side,
    Ticket,
    TimeInForce,
    UnprotectedPolicy,
)
from engine.domain.views import OrderView
from tests.actors.house import (
    ACCOUNT,
    ASKED,
    BROKER_ID,
    CONID,
    MAIN,
    REFUSED,
    TICKET,
    TIMEOUT,
    House,
    coid,
    fill,
    keyed,
    row,
    submit_request,
)
from tests.actors.house import (
    ready_house as plain_house,
)
from tests.domain.risk.samples import ANYTHING
from tests.fakes import NOON_NS, FakeInstruments, FakeJournal, quiet, run, skip

S = OrderState
POSITION = Position(
    account=ACCOUNT,
    conid=CONID,
    symbol="AAPL",
    quantity=Decimal(0),
    average_price=Decimal(100),
    market_price=Decimal(100),
    market_value=None,
    unrealized_pnl=None,
    currency="USD",
)

PROFIT_ID = BrokerOrderId("245323649")
STOP_ID = BrokerOrderId("245323650")
PROFIT = replace(
    TICKET,
    client_order_id=ClientOrderId("mine-1:1"),
    conid=ConId(0),
    side=Side.SELL,
    limit_price=Decimal(110),
)
STOP = replace(
    TICKET,
    client_order_id=ClientOrderId("mine-1:2"),
    conid=ConId(0),
    side=Side.SELL,
    type=OrderType.STP,
    limit_price=None,
    stop_price=Decimal(90),
)
LEGS = (PROFIT, STOP)
IDS = (OrderId("1-1"), OrderId("1-2"), OrderId("1-3"))


def request(
    ticket: Ticket = TICKET,
    legs: Sequence[Ticket] = LEGS,
    kind: GroupKind = GroupKind.BRACKET,
) -> SubmitRequest:
    alone = submit_request(ticket)
    digest = submit_request(replace(ticket, strategy=repr(legs))).request_sha256
    return replace(alone, request_sha256=digest, group=kind, followers=tuple(legs))


def acknowledged(*rows: AnswerRow) -> Outcome:
    leader = AnswerRow(broker_order_id=BROKER_ID, coid=coid(1), status="PreSubmitted")
    exits = rows or tuple(
        AnswerRow(broker_order_id=one, parent_id=BROKER_ID, status="PreSubmitted")
        for one in (STOP_ID, PROFIT_ID)
    )
    return Outcome(
        kind=OutcomeKind.ACK,
        broker_order_id=BROKER_ID,
        status="PreSubmitted",
        rows=(*exits, leader),
    )


def shown(
    ticket: Ticket, status: BrokerStatus = BrokerStatus.PRE_SUBMITTED, *, filled: int = 0
) -> OrderRow:
    """Return the row of one of the three orders as the broker shows it."""
    entry = ticket is TICKET
    ids = {OrderType.STP: STOP_ID, OrderType.LMT: BROKER_ID if entry else PROFIT_ID}
    return OrderRow(
        account=ACCOUNT,
        broker_order_id=ids[ticket.type],
        coid=coid(1) if entry else None,
        conid=CONID,
        side=ticket.side,
        order_type=ticket.type.value,
        total_quantity=Decimal(10),
        filled_quantity=Decimal(filled),
        limit_price=ticket.limit_price,
        stop_price=ticket.stop_price,
        tif="DAY",
        status=status,
        parent_id=None if entry else BROKER_ID,
    )


def sold(name: str, quantity: int, broker_id: BrokerOrderId) -> Execution:
    return replace(fill(name, quantity, broker_id=broker_id), side=Side.SELL)


async def ready_house(records: Sequence[Recorded] = (), *, epoch: int = 1) -> House:
    """Start an engine whose contract takes every type of order and every time in force."""
    house = await plain_house(records, epoch=epoch)
    house.line.instruments = FakeInstruments(ANYTHING)
    house.board.sessions[MAIN].instruments = house.line.instruments
    return house


async def bracket(house: House, wanted: SubmitRequest | None = None) -> Submitted:
    house.line.feed.quotes[CONID] = house.quote()
    result = await house.bridge.submit(wanted or request())
    assert isinstance(result, Submitted)
    await quiet()
    return result


async def answer(house: House, outcome: Outcome) -> None:
    house.line.orders.answer(outcome)
    await quiet()


async def working_house(*rows: OrderRow, fills: Sequence[Execution] = ()) -> House:
    """Return an engine with a bracket that the broker has taken, and then told of."""
    house = await ready_house()
    await take_bracket(house, *rows, fills=fills)
    return house


async def take_bracket(house: House, *rows: OrderRow, fills: Sequence[Execution] = ()) -> None:
    await bracket(house)
    await answer(house, acknowledged())
    await stream(house, *rows, fills=fills)


async def stream(house: House, *rows: OrderRow, fills: Sequence[Execution] = ()) -> None:
    house.line.feed.bring(NewsStreamed(rows=rows, executions=tuple(fills)))
    await quiet()


def states(house: House, ids: Sequence[OrderId] = IDS) -> tuple[OrderState, ...]:
    return tuple(house.bridge.order(order_id).state for order_id in ids)


def cancelled(house: House) -> list[BrokerOrderId]:
    """Return what was asked to be cancelled, each once."""
    found = [one for one in house.line.orders.calls if isinstance(one, CancelAtBroker)]
    return list(dict.fromkeys(one.broker_order_id for one in found))


# --- submits -----------------------------------------------------------------------------------


def test_a_bracket_is_three_durable_orders_and_one_request() -> None:
    async def scene() -> None:
        house = await ready_house()

        result = await bracket(house)

        assert result.answer.verdict is RequestVerdict.APPROVED
        orders = (result.order, *result.followers)
        assert tuple(view.order_id for view in orders) == IDS
        assert [view.group for view in orders] == [
            GroupPlace(kind=GroupKind.BRACKET, leader=IDS[0], index=index, size=3)
            for index in range(3)
        ]
        assert {(view.conid, view.symbol) for view in orders} == {(CONID, "AAPL")}
        assert [type(one.entry.message) for one in house.journal.of_orders] == [
            *[SubmitOrder] * 3,
            *[AttemptStarted] * 3,
        ]
        (sent,) = house.line.orders.placed
        assert sent.body.decode().split("\n") == [
            f"{coid(1)} BUY 10",
            f"{coid(2)} SELL 10",
            f"{coid(3)} SELL 10",
        ]

    run(scene())


def test_nothing_is_answered_or_sent_before_all_of_it_is_durable() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True
        submitting = asyncio.ensure_future(house.bridge.submit(request()))
        seen = []
        for _ in range(3):
            await quiet()
            seen.append((submitting.done(), house.line.orders.placed, house.journal.waiting))
            house.journal.commit(1)
        house.journal.held = False
        house.journal.commit()
        await submitting

        assert seen[0] == (False, [], [SubmitOrder])
        assert seen[1][:2] == (False, [])
        assert seen[1][2][:2] == [SubmitOrder, SubmitOrder]

    run(scene())


def test_the_same_request_gets_the_same_orders_again() -> None:
    async def scene() -> None:
        house = await ready_house()
        first = await bracket(house)

        second = await bracket(house)

        assert second.answer.verdict is RequestVerdict.REPEATED
        assert second.order.order_id == first.order.order_id
        assert [view.order_id for view in second.followers] == list(IDS[1:])
        assert len(house.line.orders.placed) == 1

    run(scene())


def test_a_leg_that_risk_refuses_denies_the_whole_request() -> None:
    async def scene() -> None:
        house = await ready_house()

        result = await bracket(house, request(legs=(PROFIT, replace(STOP, side=Side.BUY))))

        again = await bracket(house, request(legs=(PROFIT, replace(STOP, side=Side.BUY))))

        assert result.answer.verdict is RequestVerdict.DENIED
        orders = (result.order, *result.followers)
        assert tuple(view.order_id for view in orders) == IDS
        assert {view.state for view in orders} == {S.DENIED}
        assert again.answer.verdict is RequestVerdict.REPEATED
        assert (again.order, *again.followers) == orders
        assert house.line.orders.calls == []

    run(scene())


def test_a_group_whose_leaders_intent_is_refused_leaves_nothing() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.backlog = True

        with pytest.raises(JournalUnavailable, match="nothing was sent"):
            await house.bridge.submit(request())

        house.journal.backlog = False
        again = await bracket(house)
        assert again.answer.verdict is RequestVerdict.APPROVED
        assert len(house.line.orders.placed) == 1

    run(scene())


# --- answers -----------------------------------------------------------------------------------


def test_exits_are_found_by_what_the_stream_shows() -> None:
    async def scene() -> None:
        house = await working_house()

        await stream(house, shown(STOP), shown(PROFIT), shown(TICKET, BrokerStatus.SUBMITTED))

        assert states(house) == (S.WORKING, S.ACCEPTED, S.ACCEPTED)
        assert house.bridge.order(IDS[1]).broker_order_id == PROFIT_ID
        assert house.bridge.order(IDS[2]).broker_order_id == STOP_ID
        assert house.bridge.external_orders(ACCOUNT) == ()

    run(scene())


def test_rows_that_come_before_the_answer_are_their_orders_all_the_same() -> None:
    async def scene() -> None:
        house = await ready_house()
        await bracket(house)

        await stream(house, shown(STOP), shown(PROFIT))
        await stream(house, shown(TICKET, BrokerStatus.SUBMITTED))
        await answer(house, acknowledged())

        assert states(house)[1:] == (S.ACCEPTED, S.ACCEPTED)
        assert house.bridge.external_orders(ACCOUNT) == ()

    run(scene())


def test_after_a_lost_answer_the_list_shows_all_three() -> None:
    async def scene() -> None:
        house = await ready_house()
        await bracket(house)
        await answer(house, TIMEOUT)
        before = states(house)

        house.line.session.rows = (shown(PROFIT), shown(STOP), shown(TICKET))
        await skip(15)

        assert before == (S.IN_DOUBT, S.IN_DOUBT, S.IN_DOUBT)
        assert states(house) == (S.ACCEPTED, S.ACCEPTED, S.ACCEPTED)

    run(scene())


@pytest.mark.parametrize("kind", list(GroupKind))
def test_a_group_that_is_refused_is_rejected_whole(kind: GroupKind) -> None:
    async def scene() -> None:
        house = await ready_house()
        legs = LEGS if kind is GroupKind.BRACKET else (keyed("mine-2"), keyed("mine-3"))
        await bracket(house, request(legs=legs, kind=kind))

        await answer(house, REFUSED)

        assert states(house) == (S.REJECTED, S.REJECTED, S.REJECTED)

    run(scene())


def test_the_members_of_a_group_with_ids_of_their_own_are_told_by_the_answer() -> None:
    async def scene() -> None:
        house = await ready_house()
        legs = (keyed("mine-2"), keyed("mine-3"))
        await bracket(house, request(legs=legs, kind=GroupKind.OCA))

        house.line.orders.answer(
            acknowledged(
                AnswerRow(broker_order_id=STOP_ID, coid=coid(3), status="Submitted"),
                AnswerRow(broker_order_id=None, text="no such price"),
            )
        )
        await quiet()

        assert states(house) == (S.ACCEPTED, S.REJECTED, S.WORKING)

    run(scene())


def test_a_question_about_a_bracket_is_answered_by_the_policy() -> None:
    async def scene() -> None:
        house = await ready_house()
        await bracket(house)
        await answer(house, ASKED)
        asked = states(house)

        await answer(house, acknowledged())
        await stream(house, shown(PROFIT), shown(STOP))

        assert asked == (S.AWAITING_REPLY, S.SUBMITTING, S.SUBMITTING)
        assert states(house) == (S.ACCEPTED, S.ACCEPTED, S.ACCEPTED)

    run(scene())


def test_one_exit_that_fills_ends_the_bracket() -> None:
    async def scene() -> None:
        bought = fill("1", 10, coid=coid(1))
        house = await working_house(shown(PROFIT), shown(STOP), fills=[bought])

        await stream(house, fills=[sold("2", 10, PROFIT_ID)])
        await stream(house, shown(STOP, BrokerStatus.CANCELLED))
        await skip(300)

        assert states(house) == (S.FILLED, S.FILLED, S.CANCELLED)
        assert cancelled(house) == []

    run(scene())


# --- cancels and modifies ------------------------------------------------------------------------


def test_a_bracket_that_is_cancelled_before_it_is_sent_is_never_sent() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.submit(keyed("first"))  # It has the lane until it is answered.
        result = await bracket(house)

        asked = await house.bridge.cancel(result.followers[1].order_id, by="me")
        await quiet()

        ids = [result.order.order_id, *(view.order_id for view in result.followers)]
        assert asked.pending is Pending.CANCEL or asked.state is S.CANCELLED
        assert states(house, ids) == (S.CANCELLED, S.CANCELLED, S.CANCELLED)
        assert len(house.line.orders.placed) == 1

    run(scene())


def test_the_entrys_cancel_is_one_request() -> None:
    async def scene() -> None:
        house = await working_house(shown(PROFIT), shown(STOP))

        await house.bridge.cancel(IDS[0], by="me")
        await quiet()
        await stream(house, *(shown(one, BrokerStatus.CANCELLED) for one in (STOP, PROFIT, TICKET)))
        await skip(60)

        assert states(house) == (S.CANCELLED, S.CANCELLED, S.CANCELLED)
        assert cancelled(house) == [BROKER_ID]

    run(scene())


def test_a_changed_exit_names_its_entry_on_the_wire() -> None:
    async def scene() -> None:
        house = await working_house(shown(PROFIT), shown(STOP))
        house.line.feed.quotes[CONID] = house.quote()

        await house.bridge.modify(IDS[1], TermsChange(limit_price=Decimal(112)), by="me")
        await quiet()

        sent = house.line.orders.calls[-1]
        assert isinstance(sent, ModifyAtBroker)
        assert sent.broker_order_id == PROFIT_ID
        assert sent.body == f"{coid(2)} SELL 10 112 exit of {coid(1)}".encode()

    run(scene())


# --- an exit is missing --------------------------------------------------------------------------


async def without_stop(house: House, policy: UnprotectedPolicy) -> None:
    """Submit a bracket of which the broker never shows the stop."""
    house.board.policy_of = lambda _account: OrderPolicy(unprotected=policy)
    house.line.session.rows = (shown(TICKET, BrokerStatus.SUBMITTED), shown(PROFIT))
    await take_bracket(house, *house.line.session.rows)


def test_a_bracket_without_its_stop_is_alarmed() -> None:
    async def scene() -> None:
        house = await ready_house()
        await without_stop(house, UnprotectedPolicy.ALARM)

        await skip(240)

        assert house.bridge.order(IDS[0]).unprotected == (IDS[2],)
        assert states(house)[:2] == (S.WORKING, S.ACCEPTED)
        assert states(house)[2] in {S.IN_DOUBT, S.PARKED}
        assert cancelled(house) == []

    run(scene())


def test_a_bracket_without_its_stop_loses_its_entry_if_the_policy_says_so() -> None:
    async def scene() -> None:
        house = await ready_house()
        await without_stop(house, UnprotectedPolicy.CANCEL_ENTRY)

        await skip(240)

        assert cancelled(house)[0] == BROKER_ID
        assert house.bridge.order(IDS[0]).pending is Pending.CANCEL

    run(scene())


async def replaced(house: House) -> tuple[OrderView, ...]:
    """Let the exits of a filled entry be replaced; return what is in their place."""
    await without_stop(house, UnprotectedPolicy.REPLACE_EXIT)
    entry = shown(TICKET, BrokerStatus.FILLED, filled=10)
    house.line.session.rows = (entry, shown(PROFIT))
    house.line.session.positions = (replace(POSITION, quantity=Decimal(10)),)
    await stream(house, entry, fills=[fill("1", 10, coid=coid(1))])
    for _ in range(6):
        for _ in range(20):
            house.line.feed.quotes[CONID] = house.quote()
            await skip(1)
        if PROFIT_ID in cancelled(house):
            gone = shown(PROFIT, BrokerStatus.CANCELLED)
            house.line.session.rows = (entry, gone)
            await stream(house, gone)
    return tuple(view for view in house.board.views if "replaced" in view.client_order_id)


def test_the_exits_of_a_filled_entry_are_replaced_by_a_group_of_their_own() -> None:
    async def scene() -> None:
        house = await ready_house()

        made = await replaced(house)

        assert [(view.client_order_id, view.type, view.quantity) for view in made] == [
            ("mine-1:1:replaced", OrderType.LMT, Decimal(10)),
            ("mine-1:2:replaced", OrderType.STP, Decimal(10)),
        ]
        assert {view.group.kind for view in made if view.group} == {GroupKind.OCA}
        assert len(house.line.orders.placed) == 2

    run(scene())


def test_what_was_replaced_is_not_missing_any_more() -> None:
    async def scene() -> None:
        house = await ready_house()
        made = await replaced(house)

        ids = {view.order_id: BrokerOrderId(f"99{index}") for index, view in enumerate(made)}
        rows = tuple(
            AnswerRow(broker_order_id=ids[view.order_id], coid=view.coid, status="Submitted")
            for view in made
        )
        while len(house.line.orders._open) > 1:
            house.line.orders.answer(Outcome(kind=OutcomeKind.ACK, broker_order_id=PROFIT_ID))
        house.line.orders.answer(
            Outcome(
                kind=OutcomeKind.ACK,
                broker_order_id=ids[made[0].order_id],
                status="Submitted",
                rows=rows,
            )
        )
        await skip(60)

        assert states(house, [view.order_id for view in made]) == (S.WORKING, S.WORKING)
        assert house.bridge.order(IDS[0]).unprotected == ()
        assert len(house.line.orders.placed) == 2

    run(scene())


# --- restarts ------------------------------------------------------------------------------------


async def life() -> tuple[Recorded, ...]:
    """Live through a bracket from its submit to its end, and return what was written."""
    house = await ready_house()
    await bracket(house)
    await answer(house, ASKED)
    await answer(house, acknowledged())
    await stream(house, shown(PROFIT), shown(STOP), fills=[fill("1", 10, coid=coid(1))])
    await stream(house, fills=[sold("2", 10, PROFIT_ID)])
    await stream(house, shown(STOP, BrokerStatus.CANCELLED))
    assert states(house) == (S.FILLED, S.FILLED, S.CANCELLED)
    return tuple(house.journal.durable)


def test_a_bracket_survives_a_stop_after_any_of_its_records() -> None:
    records = run(life())
    first = next(index for index, one in enumerate(records) if one.entry.order_id) + 1
    sent = next(
        index for index, one in enumerate(records) if isinstance(one.entry.message, AttemptStarted)
    )

    async def scene(count: int) -> tuple[tuple[OrderState, ...], int, bool]:
        house = House(journal=FakeJournal(records[:count], epoch=2))
        house.add()
        if count > sent:
            house.line.session.rows = (
                shown(TICKET, BrokerStatus.FILLED, filled=10),
                shown(PROFIT, BrokerStatus.FILLED, filled=10),
                shown(STOP, BrokerStatus.CANCELLED),
            )
            house.line.session.executions = (
                fill("1", 10, coid=coid(1)),
                sold("2", 10, PROFIT_ID),
            )
        await house.start()
        await skip(30)
        found = [house.board.views.get(order_id) for order_id in IDS]
        assert all(view is not None for view in found)
        return states(house), len(house.line.orders.placed), house.bridge.health().ready

    for count in range(first, len(records) + 1):
        end = (S.EXPIRED,) * 3 if count <= sent else (S.FILLED, S.FILLED, S.CANCELLED)
        assert run(scene(count)) == (end, 0, True), records[count - 1]


@pytest.mark.parametrize("seed", range(12))
def test_whoever_acts_first_a_bracket_goes_out_once_and_whole(seed: int) -> None:
    async def scene() -> None:
        house = House(chance=random.Random(seed))
        house.add()
        await house.start()
        house.board.sessions[MAIN].instruments = FakeInstruments(ANYTHING)
        order: list[type] = []
        appended, placed = house.journal.append, house.line.orders.place

        def append(entry: Entry, done: Callable[[Committed | NotCommitted], None]) -> None:
            order.append(type(entry.message))
            appended(entry, done)

        def place(effect: PlaceAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
            order.append(PlaceAtBroker)
            placed(effect, tell)

        house.journal.append = append  # type: ignore[method-assign] # to see what comes first
        house.line.orders.place = place  # type: ignore[method-assign] # as above
        await bracket(house)
        house.line.orders.answer(acknowledged())
        house.line.feed.bring(NewsStreamed(rows=(shown(STOP), shown(PROFIT))))
        house.line.feed.bring(NewsStreamed(executions=(fill("1", 10, coid=coid(1)),)))
        await quiet()
        house.line.feed.bring(NewsStreamed(executions=(sold("2", 10, PROFIT_ID),)))
        house.line.feed.bring(NewsStreamed(rows=(shown(STOP, BrokerStatus.CANCELLED),)))
        await quiet()

        assert order[:4] == [SubmitOrder] * 3 + [AttemptStarted]
        assert order.count(PlaceAtBroker) == 1
        assert states(house) == (S.FILLED, S.FILLED, S.CANCELLED)

    run(scene())


# --- good till -----------------------------------------------------------------------------------

IN_AN_HOUR_MS = NOON_NS // 1_000_000 + 3_600_000
GOOD_TILL = replace(TICKET, tif=TimeInForce.GTD, good_till_ms=IN_AN_HOUR_MS)


def test_an_order_that_is_good_till_a_time_is_cancelled_then_once() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work(GOOD_TILL)
        await skip(3_590)
        early = cancelled(house)

        await skip(10)

        assert (view.tif, view.good_till_ms) == (TimeInForce.GTD, IN_AN_HOUR_MS)
        assert (early, cancelled(house)) == ([], [BROKER_ID])
        cancels = [one for one in house.journal.of_orders if type(one.entry.message) is CancelOrder]
        assert [one.entry.message.cause for one in cancels] == [  # type: ignore[union-attr] # as above
            "good till 2025-11-22T13:00:00.000Z has passed"
        ]

    run(scene())


@pytest.mark.parametrize("passed_s", [-600, 600])
def test_its_time_is_kept_over_a_restart_also_when_it_passed_meanwhile(passed_s: int) -> None:
    async def first() -> tuple[Recorded, ...]:
        house = await ready_house()
        until = replace(GOOD_TILL, good_till_ms=NOON_NS // 1_000_000 + 1_000)
        await house.work(until)
        return tuple(house.journal.durable)

    records = run(first())
    shift_ns = (1_000_000_000 if passed_s < 0 else -1_000_000_000) * 600
    intent = next(one for one in records if isinstance(one.entry.message, SubmitOrder))
    message = intent.entry.message
    assert isinstance(message, SubmitOrder)
    ticket = replace(message.approved.ticket, good_till_ms=(NOON_NS + shift_ns) // 1_000_000)
    moved = replace(message, approved=replace(message.approved, ticket=ticket))
    records = tuple(
        replace(one, entry=replace(one.entry, message=moved)) if one is intent else one
        for one in records
    )

    async def second() -> tuple[list[BrokerOrderId], list[BrokerOrderId]]:
        house = await ready_house(records, epoch=2)
        await skip(1)
        early = cancelled(house)
        await skip(600)
        return early, cancelled(house)

    assert run(second()) == ([] if passed_s < 0 else [BROKER_ID], [BROKER_ID])


def test_a_time_that_has_passed_is_why_risk_refuses() -> None:
    async def scene() -> None:
        house = await ready_house()

        view = await house.submit(replace(GOOD_TILL, good_till_ms=NOON_NS // 1_000_000 - 5))

        assert view.state is S.DENIED
        assert view.reason is not None
        assert view.reason.code == "GOOD_TILL_PASSED"

    run(scene())


# --- without a journal ---------------------------------------------------------------------------


def test_a_cancel_goes_out_while_nothing_can_be_written_and_says_so() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        house.journal.fail()

        asked = await house.bridge.cancel(view.order_id, by="me")

        assert cancelled(house) == [BROKER_ID]
        assert asked.pending is Pending.CANCEL
        assert asked.reason == Reason(
            code="CANCEL_NOT_JOURNALED",
            message="the cancel was sent, but it could not be written to the journal: "
            "the disk is full",
        )
        assert not house.bridge.health().ready

    run(scene())


def test_what_the_broker_has_cancelled_meanwhile_was_not_never_sent() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        house.journal.fail()

        asking = asyncio.create_task(house.bridge.cancel(view.order_id, by="me"))
        await quiet()
        gone = row(BrokerStatus.CANCELLED, filled=0)
        house.line.feed.bring(NewsStreamed(rows=(gone,)))
        asked = await asking

        assert cancelled(house) == [BROKER_ID]
        assert asked.reason is not None
        assert asked.reason.message.startswith("the order is CANCELLED at the broker, but it")

    run(scene())


@pytest.mark.parametrize("outcome", [None, TIMEOUT])
def test_a_cancel_of_an_order_that_nobody_has_seen_waits_in_memory(
    outcome: Outcome | None,
) -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.submit()
        if outcome is not None:
            await answer(house, outcome)
        house.journal.fail()

        asked = await house.bridge.cancel(view.order_id, by="me")

        assert cancelled(house) == []
        assert asked.reason is not None
        text = "the cancel is sent as soon as the broker shows the order"
        assert asked.reason.message.startswith(text)

    run(scene())


def test_a_full_disk_refuses_new_orders_and_lets_those_that_exist_be_changed() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        house.bridge.journal_failed(Reason(code="JOURNAL_FULL", message="no space left"))
        house.line.feed.quotes[CONID] = house.quote()

        changed = await house.bridge.modify(
            view.order_id, TermsChange(limit_price=Decimal(99)), by="me"
        )
        asked = await house.bridge.cancel(view.order_id, by="me")

        with pytest.raises(JournalUnavailable, match="no space left"):
            await house.bridge.submit(submit_request(keyed("mine-2")))
        assert changed.pending is Pending.REPLACE
        assert asked.pending is Pending.CANCEL
        assert house.journal.written[-3:].count(CancelOrder) == 1

    run(scene())


@pytest.mark.parametrize("policy", list(ExternalPolicy))
@pytest.mark.parametrize("exits_first", [False, True])
def test_a_bracket_that_the_broker_renumbered_is_the_same_bracket(
    policy: ExternalPolicy, *, exits_first: bool
) -> None:
    async def scene() -> None:
        house = await ready_house()
        house.board.policy_of = lambda _account: OrderPolicy(external=policy)
        await bracket(house)
        house.line.orders.answer(acknowledged())
        rows = (shown(TICKET), shown(PROFIT), shown(STOP))
        house.line.session.rows = rows
        await skip(70)

        entry, profit, stop = (
            replace(
                one,
                broker_order_id=BrokerOrderId(f"9{one.broker_order_id}"),
                parent_id=None if one.parent_id is None else BrokerOrderId(f"9{one.parent_id}"),
            )
            for one in rows
        )
        house.line.session.rows = (stop, profit, entry) if exits_first else (entry, profit, stop)
        await skip(300)

        orders = [house.bridge.order(order_id) for order_id in IDS]
        assert [view.broker_order_id for view in orders] == [
            one.broker_order_id for one in (entry, profit, stop)
        ]
        assert {(view.state, view.quantity_extra) for view in orders} == {(S.ACCEPTED, Decimal(0))}
        assert len(list(house.board.views)) == len(IDS), "nothing was adopted"
        assert house.board.external(ACCOUNT) == ()
        assert cancelled(house) == []

    run(scene())
