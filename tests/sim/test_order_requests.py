"""Brackets and groups over REST."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tests.sim.client import AAPL, ACCOUNT, Client, Reply, asynchronous, gateway, subscribed, until

ENTRY: dict[str, Any] = {
    "acctId": ACCOUNT,
    "conid": AAPL,
    "orderType": "LMT",
    "price": 1.00,
    "side": "BUY",
    "quantity": 10,
    "tif": "DAY",
    "cOID": "b-1",
}
PROFIT = {**ENTRY, "side": "SELL", "price": 9000, "parentId": "b-1"}
STOP = {**PROFIT, "orderType": "STP", "price": 0.5}
del PROFIT["cOID"], STOP["cOID"]


def member(coid: str, **changes: Any) -> dict[str, Any]:
    return {**ENTRY, "cOID": coid, "isSingleGroup": True, **changes}


async def posted(client: Client, *tickets: dict[str, Any]) -> Reply:
    return await client.post(f"/iserver/account/{ACCOUNT}/orders", {"orders": list(tickets)})


async def listed(client: Client) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await client.get("/iserver/account/orders")).body["orders"]
    return sorted(rows, key=lambda row: int(row["orderId"]))


@asynchronous
async def test_a_bracket_is_answered_with_a_row_for_each_order_the_exits_first() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        rows = (await posted(client, ENTRY, PROFIT, STOP)).body

    ids = [str(order_id) for order_id in sim.venue.orders]
    assert [row["order_id"] for row in rows] == ids[::-1]
    assert [row.get("local_order_id") for row in rows] == [None, None, "b-1"]
    assert [row.get("parent_order_id") for row in rows] == [ids[0], ids[0], None]
    assert len(sim.venue.submissions) == 1


@asynchronous
async def test_the_rows_of_the_list_say_what_belongs_together() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.get("/iserver/account/orders")
        await posted(client, ENTRY, PROFIT, STOP)
        await posted(client, member("o-1"), member("o-2"))
        await until(lambda: len(sim.venue.orders) == 5)
        rows = await listed(client)

    entry, *_ = sim.venue.orders
    assert [row.get("parentId") for row in rows] == [None, entry, entry, None, None]
    assert [row.get("ocaGroupId") for row in rows] == [
        None,
        str(entry),
        str(entry),
        *[f"oco-{rows[3]['orderId']}"] * 2,
    ]
    assert [row.get("order_ref") for row in rows] == ["b-1", None, None, "o-1", "o-2"]


@asynchronous
async def test_the_stream_tells_of_exits_with_their_entry() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            await posted(client, {**ENTRY, "orderType": "MKT"}, PROFIT, STOP)
            await until(lambda: any(row.working for row in sim.venue.orders.values()))
            await socket.order_in_status("Filled")

    entry, *exits = sim.venue.orders
    first = {row["orderId"]: row for row in reversed(socket.rows("sor")) if "side" in row}
    assert [first[order_id]["parentId"] for order_id in exits] == [entry, entry]


@pytest.mark.parametrize(
    ("tickets", "said"),
    [
        ((ENTRY, {**PROFIT, "cOID": "x"}), "cOID is not allowed with parentId, it is x"),
        ((ENTRY, {**PROFIT, "parentId": "b-2"}), "parentId b-2 is no order of this request"),
        ((PROFIT,), "parentId b-1 is no order of this request"),
        ((ENTRY, {**ENTRY, "cOID": "b-2"}), "2 orders in one request, allowed is one order with"),
        ((ENTRY, member("o-2")), "2 orders in one request, allowed is one order with"),
        ((member("o-1"), {**member("o-2"), "parentId": "o-1"}), "cannot be combined"),
    ],
)
@asynchronous
async def test_orders_that_do_not_belong_together_are_refused(
    tickets: tuple[dict[str, Any], ...], said: str
) -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        reply = await posted(client, *tickets)

    assert (reply.status, said in reply.body["error"]) == (400, True), reply.body
    assert sim.venue.orders == {}


@asynchronous
async def test_one_bad_ticket_refuses_all() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await posted(client, member("o-1"), member("o-2"))
        again = await posted(client, member("o-3"), member("o-2"))

    assert "Local order ID=o-2 is already registered" in again.body["error"]
    assert len(sim.venue.orders) == 2


@asynchronous
async def test_a_bracket_is_asked_about_once_for_all_its_orders() -> None:
    questions = {"LMT": ("o163",), "STP": ("o10331",)}
    async with gateway(questions=questions) as (sim, client):
        await client.open_session()
        first = await posted(client, ENTRY, PROFIT, STOP)
        second = await client.post(f"/iserver/reply/{first.body[0]['id']}", {"confirmed": True})
        none_yet = dict(sim.venue.orders)
        rows = await client.post(f"/iserver/reply/{second.body[0]['id']}", {"confirmed": True})

    assert [reply.body[0]["messageIds"] for reply in (first, second)] == [["o163"], ["o10331"]]
    assert (none_yet, len(rows.body), len(sim.venue.orders)) == ({}, 3, 3)


@asynchronous
async def test_the_questions_of_a_round_may_come_in_one_element() -> None:
    questions = {"LMT": ("o163",), "STP": ("o10331",)}
    async with gateway(questions=questions) as (sim, client):
        await client.open_session()
        sim.faults.bundled_questions = True
        asked = (await posted(client, ENTRY, PROFIT, STOP)).body
        rows = await client.post(f"/iserver/reply/{asked[0]['id']}", {"confirmed": True})

    assert [(len(row["message"]), row["messageIds"]) for row in asked] == [(2, ["o163", "o10331"])]
    assert len(rows.body) == 3


@asynchronous
async def test_questions_may_lack_their_ids_or_be_html() -> None:
    async with gateway(questions={"LMT": ("o163",)}) as (sim, client):
        await client.open_session()
        sim.faults.question_without_ids = sim.faults.html_question = True
        [asked] = (await posted(client, ENTRY)).body

    assert "messageIds" not in asked
    assert asked["message"][0].startswith("<html>")


@asynchronous
async def test_a_chain_of_questions_may_be_long() -> None:
    async with gateway(questions={"LMT": ("o163",)}) as (sim, client):
        await client.open_session()
        sim.faults.long_question_chain = True
        asked = await posted(client, ENTRY)
        rounds = 0
        while "id" in asked.body[0]:
            rounds += 1
            path = f"/iserver/reply/{asked.body[0]['id']}"
            asked = await client.post(path, {"confirmed": True})

    assert 2 <= rounds <= 12
    assert len(sim.venue.orders) == 1


@asynchronous
async def test_a_question_may_be_late_or_never_come_and_its_order_does_not_live() -> None:
    async with gateway(questions={"LMT": ("o163",)}) as (sim, client):
        await client.open_session()
        sim.faults.question_late, sim.faults.answer_late_s = 1, 0.1
        late = await posted(client, ENTRY)
        sim.faults.question_lost = 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await posted(client, ENTRY)

    assert late.body[0]["messageIds"] == ["o163"]
    assert (sim.venue.orders, len(sim.venue.submissions)) == ({}, 2)


@asynchronous
async def test_an_exit_may_be_refused_and_its_entry_works() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.group_member_refused = 1
        rows = (await posted(client, ENTRY, PROFIT, STOP)).body

    assert (rows[0]["order_id"], rows[0]["order_status"]) == ("-1", "Failed")
    assert [row["order_id"] for row in rows[1:]] == [str(key) for key in sim.venue.orders][::-1]
    assert [row.ticket.order_type for row in sim.venue.orders.values()] == ["LMT", "LMT"]


@asynchronous
async def test_an_exit_may_be_acknowledged_and_lost() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.group_member_lost = 1
        rows = (await posted(client, ENTRY, PROFIT, STOP)).body

    [entry, profit] = sim.venue.orders
    assert [row["parent_order_id"] for row in rows[:2]] == [str(entry)] * 2
    assert int(rows[0]["order_id"]) not in sim.venue.orders
    assert rows[1]["order_id"] == str(profit)


@asynchronous
async def test_an_exit_is_changed_like_any_order_and_stays_one() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await posted(client, ENTRY, PROFIT, STOP)
        entry, profit, _ = sim.venue.orders
        await until(lambda: sim.venue.orders[profit].status.value == "PreSubmitted")
        path = f"/iserver/account/{ACCOUNT}/order/{profit}"
        reply = await client.post(path, {**PROFIT, "price": 8000})

    changed = sim.venue.orders[profit]
    assert reply.body[0]["order_id"] == str(profit)
    assert (changed.ticket.limit_price, changed.status.value) == (Decimal(8000), "PreSubmitted")
    assert (changed.parent_id, changed.ticket.parent_coid) == (entry, "b-1")


@asynchronous
async def test_an_order_may_have_an_algorithm() -> None:
    ticket = {**ENTRY, "strategy": "Adaptive", "strategyParameters": {"adaptivePriority": "Normal"}}
    async with gateway() as (sim, client):
        await client.open_session()
        taken = await posted(client, ticket)
        refused = await posted(client, {**ticket, "cOID": "b-2", "strategy": "Best"})
        broken = await posted(client, {**ticket, "cOID": "b-3", "strategyParameters": [1]})

    [order] = sim.venue.orders.values()
    assert taken.body[0]["local_order_id"] == "b-1"
    assert (order.ticket.algo, order.ticket.algo_parameters) == (
        "Adaptive",
        {"adaptivePriority": "Normal"},
    )
    assert (refused.status, "algorithm Best" in refused.body["error"]) == (200, True)
    assert broken.status == 400
