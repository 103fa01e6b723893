"""Changing and cancelling orders, and what may go wrong with it."""

import asyncio

from engine.sim import act
from tests.sim.client import (
    AAPL,
    ACCOUNT,
    Client,
    Reply,
    asynchronous,
    change_to,
    gateway,
    path_of,
    resting,
    until,
)


async def answer(client: Client, question: Reply, *, confirmed: bool = True) -> Reply:
    return await client.post(f"/iserver/reply/{question.body[0]['id']}", {"confirmed": confirmed})


@asynchronous
async def test_a_cancel_is_acknowledged_before_it_is_effective() -> None:
    async with gateway(cancel_delay_ms=60_000) as (sim, client):
        await client.open_session()
        order_id = int((await client.place()).body[0]["order_id"])
        reply = await client.delete(f"/iserver/account/{ACCOUNT}/order/{order_id}")

    assert reply.body == {
        "msg": "Request was submitted",
        "order_id": order_id,
        "conid": AAPL,
        "account": ACCOUNT,
    }
    assert sim.venue.orders[order_id].status.value == "PendingCancel"


@asynchronous
async def test_a_cancel_effective_at_once_names_neither_contract_nor_account() -> None:
    async with gateway(cancel_delay_ms=0) as (sim, client):
        await client.open_session()
        order_id = int((await client.place()).body[0]["order_id"])
        reply = await client.delete(f"/iserver/account/{ACCOUNT}/order/{order_id}")

    assert (reply.body["conid"], reply.body["account"]) == (-1, None)
    assert sim.venue.orders[order_id].status.value == "Cancelled"


@asynchronous
async def test_an_order_of_another_account_or_none_cannot_be_cancelled() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        order_id = (await client.place()).body[0]["order_id"]
        other = await client.delete(f"/iserver/account/DU2222222/order/{order_id}")
        none = await client.delete(f"/iserver/account/{ACCOUNT}/order/17")
        nobody = await client.delete(f"/iserver/account/DU9/order/{order_id}")

    assert other.body == {"error": f"OrderID {order_id} doesn't exist"}
    assert none.body == {"error": "OrderID 17 doesn't exist"}
    assert (other.status, none.status, nobody.status) == (400, 400, 400)


@asynchronous
async def test_minus_one_cancels_all_orders_of_the_account_and_no_other() -> None:
    async with gateway(cancel_delay_ms=0) as (sim, client):
        await client.open_session()
        await client.place()
        await client.place()
        await client.place(acctId="DU2222222")
        await client.delete(f"/iserver/account/{ACCOUNT}/order/-1")

    assert [order.status.value for order in sim.venue.orders.values()] != []
    working = [order.ticket.account for order in sim.venue.orders.values() if order.working]
    assert working == ["DU2222222"]


@asynchronous
async def test_a_modify_takes_a_bare_ticket_and_keeps_the_order_id() -> None:
    ticket = {
        "acctId": ACCOUNT,
        "conid": AAPL,
        "orderType": "LMT",
        "price": 2.00,
        "side": "BUY",
        "quantity": 20,
        "tif": "DAY",
    }
    async with gateway() as (sim, client):
        await client.open_session()
        order_id = (await client.place(cOID="c-1")).body[0]["order_id"]
        path = f"/iserver/account/{ACCOUNT}/order/{order_id}"
        changed = await client.post(path, ticket)
        bad = await client.post(path, ticket | {"price": 2.005})
        unknown = await client.post(f"/iserver/account/{ACCOUNT}/order/17", ticket)

    assert changed.body[0]["order_id"] == order_id
    terms = sim.venue.orders[int(order_id)].ticket
    assert (str(terms.limit_price), str(terms.quantity), terms.coid) == ("2.0", "20", "c-1")
    assert "minimum price variation" in bad.body["error"]
    assert (unknown.status, unknown.body) == (400, {"error": "OrderID 17 doesn't exist"})


@asynchronous
async def test_a_modify_may_ask_too() -> None:
    async with gateway(questions={"MODIFY": ("o10138",)}) as (sim, client):
        await client.open_session()
        order_id = (await client.place()).body[0]["order_id"]
        body = {
            "conid": AAPL,
            "orderType": "LMT",
            "price": 2,
            "side": "BUY",
            "quantity": 30,
            "tif": "DAY",
        }
        question = await client.post(f"/iserver/account/{ACCOUNT}/order/{order_id}", body)
        before = sim.venue.orders[int(order_id)].ticket.quantity
        accepted = await answer(client, question)

    assert question.body[0]["messageIds"] == ["o10138"]
    assert before == 10
    assert accepted.body[0]["order_id"] == order_id
    assert sim.venue.orders[int(order_id)].ticket.quantity == 30


@asynchronous
async def test_a_change_may_make_a_second_order_under_the_same_id() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        order_id = await resting(sim, client, cOID="c-1")
        sim.faults.second_incarnation = 1
        reply = await change_to(client, order_id, 2.0)

    assert reply.status == 503
    assert [row.ticket.limit_price for row in sim.venue.orders_with_coid("c-1")] == [1, 2]


@asynchronous
async def test_the_answer_to_a_change_or_a_cancel_may_come_late() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        order_id = await resting(sim, client)
        sim.faults.change_answer_late, sim.faults.answer_late_s = 2, 0.3
        began = asyncio.get_running_loop().time()
        changing = asyncio.create_task(change_to(client, order_id, 2.0))
        await until(lambda: sim.venue.orders[order_id].ticket.limit_price == 2)
        early = changing.done()
        await changing
        await client.delete(path_of(order_id))
        took_s = asyncio.get_running_loop().time() - began

    assert (early, took_s >= 0.6) == (False, True)


@asynchronous
async def test_a_cancel_may_stay_unanswered_until_somebody_answers() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        order_id = await resting(sim, client)
        sim.faults.cancel_unanswered = 1
        reply = await client.delete(path_of(order_id))
        await until(lambda: not sim.venue.agenda.rows())
        waiting = sim.venue.orders[order_id].status.value
        done = act(sim, "answer_cancels")

    assert (reply.body["msg"], waiting) == ("Request was submitted", "PendingCancel")
    assert done == {"cancelled": [order_id]}
    assert sim.venue.orders[order_id].status.value == "Cancelled"


@asynchronous
async def test_a_cancel_may_take_effect_at_once() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        order_id = await resting(sim, client)
        sim.faults.cancel_at_once = 1
        reply = await client.delete(path_of(order_id))

    assert (reply.body["conid"], reply.body["account"]) == (-1, None)
    assert sim.venue.orders[order_id].status.value == "Cancelled"


@asynchronous
async def test_an_order_may_fill_after_its_cancel_was_taken() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        order_id = await resting(sim, client)
        sim.faults.fill_after_cancel = 1
        await client.delete(path_of(order_id))
        await until(lambda: not sim.venue.orders[order_id].working)

    assert sim.venue.orders[order_id].status.value == "Filled"
    assert sum(row.quantity for row in sim.venue.executions) == 10
