"""Faults that strike new orders: what lives, and what the client hears."""

import asyncio
from typing import Any

import pytest

from engine.sim import SimGateway
from tests.sim.client import AAPL, ACCOUNT, Client, asynchronous, gateway, until

ORDERS = "/iserver/account/orders"


def alive(sim: SimGateway) -> list[str | None]:
    return [row.ticket.coid for row in sim.venue.orders.values() if row.working]


@pytest.mark.parametrize(
    ("fault", "status", "living"),
    [
        ("status_503_with_accept", 503, ["c-1"]),
        ("status_503_without_accept", 503, []),
        ("empty_answer", 200, ["c-1"]),
        ("truncated_answer", 200, ["c-1"]),
        ("html_answer", 200, ["c-1"]),
        ("order_vanishes", 200, []),
    ],
)
@asynchronous
async def test_the_answer_does_not_say_whether_the_order_lives(
    fault: str, status: int, living: list[str]
) -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        setattr(sim.faults, fault, 1)
        reply = await client.place(cOID="c-1")
        lived = alive(sim)

    assert (reply.status, lived) == (status, living)
    assert sim.faults.struck == {fault: 1}


@asynchronous
async def test_a_broken_body_is_no_json_or_none_at_all() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        bodies = []
        for fault in ("empty_answer", "truncated_answer", "html_answer"):
            setattr(sim.faults, fault, 1)
            bodies.append((await client.place()).body)

    assert bodies[0] == ""
    assert bodies[1].startswith('[{"order_id":"')
    assert "<title>Login</title>" in bodies[2]


@asynchronous
async def test_a_vanished_order_is_acknowledged_with_an_id_that_nobody_has() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.order_vanishes = 1
        [row] = (await client.place(cOID="c-1")).body
        taken_again = await client.place(cOID="c-1")
        status = await client.get(f"/iserver/account/order/status/{row['order_id']}")

    assert row["local_order_id"] == "c-1"
    assert (taken_again.status, status.status) == (200, 400)
    assert int(taken_again.body[0]["order_id"]) != int(row["order_id"])


@asynchronous
async def test_an_answer_may_come_late_although_the_order_lives() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.answer_late, sim.faults.answer_late_s = 1, "0.4..0.5"
        placing = asyncio.create_task(client.place(cOID="c-1"))
        await until(lambda: alive(sim) == ["c-1"])
        early = placing.done()
        reply = await placing

    assert (early, reply.body[0]["local_order_id"]) == (False, "c-1")


@asynchronous
async def test_an_order_may_be_taken_after_its_503() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.accept_late, sim.faults.accept_late_s = 1, 0.4
        reply = await client.place(cOID="c-1")
        at_once = alive(sim)
        await until(lambda: alive(sim) == ["c-1"])

    assert (reply.status, at_once) == (503, [])


@asynchronous
async def test_an_order_that_comes_late_is_refused_when_its_id_is_taken_meanwhile() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.accept_late, sim.faults.accept_late_s = 1, 0.4
        await client.place(cOID="c-1")
        second = await client.place(cOID="c-1")
        await asyncio.sleep(0.5)

    assert second.body[0]["local_order_id"] == "c-1"
    assert len(sim.venue.orders_with_coid("c-1")) == 1


@asynchronous
async def test_a_503_may_take_as_long_as_the_gateway_waits_for_its_backend() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.status_503_with_accept, sim.faults.late_503_s = 1, 0.15
        began = asyncio.get_running_loop().time()
        await client.place()
        took_s = asyncio.get_running_loop().time() - began

    assert took_s >= 0.15


@asynchronous
async def test_a_client_order_id_that_is_taken_may_be_a_400() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.place(cOID="c-1")
        usual = await client.place(cOID="c-1")
        sim.faults.duplicate_coid_400 = True
        other = await client.place(cOID="c-1")

    assert (usual.status, other.status) == (200, 400)
    assert usual.body["error"] == other.body["error"]


@asynchronous
async def test_a_reset_may_forget_client_order_ids_and_give_orders_other_ids() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        [row] = (await client.place(cOID="c-1")).body
        old_id = int(row["order_id"])
        await until(lambda: sim.venue.orders[old_id].status.value == "Submitted")
        sim.faults.coid_amnesia = sim.faults.renumber_on_reset = True
        sim.faults.reset_brokerage()
        await client.open_session()
        await client.get(ORDERS)
        shown = (await client.get(ORDERS)).body["orders"]
        gone = await client.delete(f"/iserver/account/{ACCOUNT}/order/{old_id}")
        again = await client.place(cOID="c-1")

    assert [(row["order_ref"], row["orderId"] == old_id) for row in shown] == [("c-1", False)]
    assert gone.body["error"] == f"OrderID {old_id} doesn't exist"
    assert again.body[0]["local_order_id"] == "c-1"


@asynchronous
async def test_a_reply_may_not_be_found_and_its_order_is_not_taken() -> None:
    async with gateway(questions={"LMT": ("o163",)}) as (sim, client):
        await client.open_session()
        [asked] = (await client.place()).body
        sim.faults.reply_not_found = 1
        replies = [
            await client.post(f"/iserver/reply/{asked['id']}", {"confirmed": True})
            for _ in range(2)
        ]

    assert [reply.status for reply in replies] == [400, 400]
    assert "reply id not found" in replies[0].body["error"]
    assert sim.venue.orders == {}


@asynchronous
async def test_another_account_may_be_selected_before_an_order() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.account_switches = 1
        await client.place()
        selected = (await client.get("/iserver/accounts")).body["selectedAccount"]

    assert selected == "DU2222222"


async def list_of(client: Client, **query: str) -> Any:
    return (await client.get(ORDERS, **query)).body


@asynchronous
async def test_a_list_may_be_empty_although_it_says_that_it_is_complete() -> None:
    empty = {"orders": [], "snapshot": True}
    async with gateway() as (sim, client):
        await client.open_session()
        await client.get(ORDERS)
        await client.place()
        sim.faults.empty_unscoped_list = True
        unscoped, scoped = await list_of(client), await list_of(client, accountId=ACCOUNT)
        sim.faults.empty_orders_list = True
        after_hours = await list_of(client, accountId=ACCOUNT)

    assert (unscoped, len(scoped["orders"]), after_hours) == (empty, 1, empty)


@asynchronous
async def test_a_list_may_turn_cold_or_be_filtered_by_somebody_else() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.get(ORDERS)
        await client.place()
        sim.faults.cold_orders_list = 1
        cold = await list_of(client)
        sim.faults.filters_poisoned = 1
        poisoned, still = await list_of(client), await list_of(client)
        await list_of(client, force="true")
        cured = await list_of(client)

    assert cold == {"orders": [], "snapshot": False}
    assert (poisoned["orders"], still["orders"], len(cured["orders"])) == ([], [], 1)


@asynchronous
async def test_a_reset_may_hide_what_ended_before_it() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.place(orderType="MKT", price=None, cOID="c-1")
        await client.place(cOID="c-2")
        await until(lambda: alive(sim) == ["c-2"])
        await asyncio.sleep(0.002)
        sim.faults.reset_brokerage()
        await client.open_session()
        await client.get(ORDERS)
        usual = await list_of(client)
        sim.faults.reset_forgets_ended = True
        forgetful = await list_of(client)

    assert sorted(row["order_ref"] for row in usual["orders"]) == ["c-1", "c-2"]
    assert [row["order_ref"] for row in forgetful["orders"]] == ["c-2"]


@asynchronous
async def test_numbers_may_come_in_other_forms() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.get(ORDERS)
        await client.place(quantity=2000)
        await until(lambda: bool(alive(sim)))
        shown = {}
        for fault in ("numbers_as_texts", "texts_as_numbers", "empty_numbers"):
            setattr(sim.faults, fault, True)
            [row] = (await list_of(client))["orders"]
            shown[fault] = (row["totalSize"], row["price"])
            setattr(sim.faults, fault, False)
        sim.faults.thousands_separators = True
        [separated] = (await list_of(client))["orders"]

    assert shown == {
        "numbers_as_texts": ("2000.0", "1.00"),
        "texts_as_numbers": (2000.0, 1.0),
        "empty_numbers": (2000.0, ""),
    }
    assert (separated["totalSize"], separated["conid"]) == ("2,000.0", AAPL)
