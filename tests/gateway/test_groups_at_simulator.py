"""Brackets, groups where one cancels all, algorithms and dates at the simulated venue."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.messages import OrderAnswered, OrdersRead, PlaceAtBroker, SessionCall
from engine.domain.ports import AlgoRule
from engine.domain.values import (
    Algo,
    AlgoParameter,
    BrokerStatus,
    Coid,
    GroupKind,
    GroupPlace,
    OrderId,
    OrderRow,
    OrderType,
    OutcomeKind,
    ParameterKind,
    Side,
    Terms,
    Ticket,
    TimeInForce,
)
from engine.gateway.client import Answer, GatewayClient, NoAnswer, Request
from engine.gateway.instrument import HttpInstrumentGateway
from tests.gateway.desk import AAPL, ACCOUNT, FAR_BELOW, Desk, at_a_desk, code
from tests.gateway.raw_gateway import SESSION, until_many

COIDS = tuple(Coid(f"EXab-1-{number}-ZZ") for number in range(1, 6))
PROFIT = replace(FAR_BELOW, side=Side.SELL, limit_price=Decimal(900), tif=TimeInForce.GTC)
LOSS = replace(PROFIT, type=OrderType.STP, limit_price=None, stop_price=Decimal("0.50"))
S = BrokerStatus


def group(kind: GroupKind, *tickets: Ticket) -> list[tuple[Ticket, Coid]]:
    leader = OrderId("1-1")
    return [
        (
            replace(
                ticket,
                group=GroupPlace(kind=kind, leader=leader, index=index, size=len(tickets)),
            ),
            coid,
        )
        for index, (ticket, coid) in enumerate(zip(tickets, COIDS, strict=False))
    ]


BRACKET = group(GroupKind.BRACKET, FAR_BELOW, PROFIT, LOSS)
OCA = group(GroupKind.OCA, FAR_BELOW, replace(FAR_BELOW, limit_price=Decimal(2)))


async def listed(one: Desk, count: int) -> list[OrderRow]:
    """The list once it has so many orders, oldest first."""
    while True:
        orders = await one.call(SessionCall.ORDERS)
        assert isinstance(orders, OrdersRead)
        if len(orders.rows) >= count:
            return sorted(orders.rows, key=lambda row: row.broker_order_id)


def test_a_bracket_is_acknowledged_by_its_entry_and_listed_under_it() -> None:
    async def work(one: Desk) -> Any:
        await one.warm_up()
        return await one.place_group(BRACKET), await listed(one, 3)

    outcome, rows = at_a_desk(work)

    entry, profit, loss = rows
    assert outcome.kind is OutcomeKind.ACK
    assert (outcome.broker_order_id, entry.coid) == (entry.broker_order_id, COIDS[0])
    assert {row.broker_order_id for row in outcome.rows} == {row.broker_order_id for row in rows}
    assert [(row.parent_id, row.coid, row.side) for row in (profit, loss)] == [
        (entry.broker_order_id, None, Side.SELL)
    ] * 2


def test_an_exit_is_changed_under_its_entry() -> None:
    terms = Terms(quantity=Decimal(10), limit_price=Decimal(901), stop_price=None)

    async def work(one: Desk) -> Any:
        await one.warm_up()
        await one.place_group(BRACKET)
        _, profit, _ = await listed(one, 3)
        changed = await one.modify(BRACKET[1][0], profit.broker_order_id, terms, leader=COIDS[0])
        return changed, (await listed(one, 3))[1]

    changed, profit = at_a_desk(work)

    assert changed.kind is OutcomeKind.ACK, changed
    assert (profit.limit_price, profit.parent_id is not None) == (Decimal(901), True)


def test_a_group_where_one_cancels_all_is_acknowledged_member_by_member() -> None:
    async def work(one: Desk) -> Any:
        await one.warm_up()
        return await one.place_group(OCA), await listed(one, 2)

    outcome, rows = at_a_desk(work)

    assert outcome.kind is OutcomeKind.ACK
    assert {row.coid: row.broker_order_id for row in outcome.rows} == {
        row.coid: row.broker_order_id for row in rows
    }
    assert len({row.oca_group for row in rows}) == 1
    assert rows[0].oca_group is not None


@pytest.mark.parametrize("bundled", [False, True])
def test_a_group_that_is_asked_about_is_answered_and_acknowledged(*, bundled: bool) -> None:
    async def work(one: Desk) -> Any:
        await one.warm_up()
        one.sim.faults.bundled_questions = bundled
        asked = await one.place_group(BRACKET)
        outcome = asked
        while outcome.kind is OutcomeKind.QUESTION:
            outcome = await one.reply(outcome, confirmed=True, coid=COIDS[0])
        return asked, outcome

    asked, outcome = at_a_desk(work, questions={"*": ("o163",), "STP": ("o10331",)})

    assert asked.kind is OutcomeKind.QUESTION
    assert outcome.kind is OutcomeKind.ACK, outcome
    assert len(outcome.rows) == 3


def test_a_group_that_is_declined_is_refused() -> None:
    async def work(one: Desk) -> Any:
        await one.warm_up()
        asked = await one.place_group(BRACKET)
        return await one.reply(asked, confirmed=False, coid=COIDS[0])

    outcome = at_a_desk(work, questions={"*": ("o163",)})

    assert (outcome.kind, code(outcome)) == (OutcomeKind.REFUSED, "NOT_CONFIRMED")


def test_a_bracket_of_which_an_exit_is_refused_is_acknowledged_with_the_refusal() -> None:
    async def work(one: Desk) -> Any:
        await one.warm_up()
        one.sim.faults.group_member_refused = 1
        return await one.place_group(BRACKET)

    outcome = at_a_desk(work)

    assert outcome.kind is OutcomeKind.ACK
    refused = [row for row in outcome.rows if row.broker_order_id is None]
    assert [bool(row.text) for row in refused] == [True]
    assert len(outcome.rows) == 3


def test_an_order_until_a_date_rests_until_it_is_cancelled() -> None:
    ticket = replace(FAR_BELOW, tif=TimeInForce.GTD, good_till_ms=4_102_444_800_000)

    async def work(one: Desk) -> Any:
        await one.warm_up()
        outcome = await one.place(ticket, COIDS[0])
        assert outcome.broker_order_id is not None, outcome
        return await one.row(outcome.broker_order_id)

    row = at_a_desk(work)

    assert (row.tif, row.status in {S.FILLED, S.CANCELLED}) == ("GTC", False)


def test_the_brokers_algorithms_are_listed_and_work_an_order() -> None:
    async def work(one: Desk) -> Any:
        await one.warm_up()
        rules = await HttpInstrumentGateway(one.client).algos(AAPL)
        assert isinstance(rules, tuple)
        adaptive = next(rule for rule in rules if rule.name == "Adaptive")
        algo = Algo(
            name=adaptive.name,
            parameters=tuple(
                AlgoParameter(name=each.name, value=each.values[0], kind=each.kind)
                for each in adaptive.parameters
            ),
        )
        wrong = replace(algo, parameters=())
        return (
            adaptive,
            await one.place(replace(FAR_BELOW, algo=algo), COIDS[0]),
            await one.place(replace(FAR_BELOW, algo=wrong), COIDS[1]),
        )

    adaptive, worked, refused = at_a_desk(work)

    assert isinstance(adaptive, AlgoRule)
    assert [(each.kind, each.required, bool(each.values)) for each in adaptive.parameters] == [
        (ParameterKind.TEXT, True, True)
    ]
    assert worked.kind is OutcomeKind.ACK, worked
    assert refused.kind in {OutcomeKind.REFUSED, OutcomeKind.IN_DOUBT}


def test_a_bracket_whose_answer_comes_late_is_acknowledged_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = GatewayClient.request

    async def hurried(client: GatewayClient, asked: Request) -> Answer | NoAnswer:
        deadline_ms = 100 if asked.body is not None else asked.deadline_ms
        return await request(client, replace(asked, deadline_ms=deadline_ms))

    async def work(one: Desk) -> list[OrderAnswered]:
        await one.warm_up()
        one.sim.faults.answer_late = 1
        one.sim.faults.answer_late_s = 0.3
        monkeypatch.setattr(GatewayClient, "request", hurried)
        told: list[OrderAnswered] = []
        effect = PlaceAtBroker(
            order_id=OrderId("1-1"),
            session=SESSION,
            account=ACCOUNT,
            body=one.encoder.encode_group(BRACKET),
            send_by_ns=one.client.clock() + 5_000_000_000,
            session_epoch=1,
        )
        one.orders.place(effect, told.append)
        await until_many(told, 2)
        await asyncio.sleep(0)
        return told

    told = at_a_desk(work)

    assert [(each.late, each.outcome.kind, len(each.outcome.rows)) for each in told] == [
        (False, OutcomeKind.IN_DOUBT, 0),
        (True, OutcomeKind.ACK, 3),
    ]
