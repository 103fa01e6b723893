"""Faults that strike changes, cancels, lists, streams and logins."""

import asyncio
from typing import Any

import pytest

from tests.sim.client import (
    AAPL,
    ACCOUNT,
    Client,
    Socket,
    asynchronous,
    change_to,
    gateway,
    resting,
    subscribed,
    until,
)

ORDERS = "/iserver/account/orders"


async def listed(client: Client, order_id: int) -> dict[str, Any]:
    reply = await client.get(ORDERS)
    return next((row for row in reply.body["orders"] if row["orderId"] == order_id), {})


@pytest.mark.parametrize(
    ("fault", "status", "price"),
    [("modify_503_with_accept", 503, 2), ("modify_503_without_accept", 503, 1)],
)
@asynchronous
async def test_a_change_may_be_made_or_not_when_the_answer_is_503(
    fault: str, status: int, price: int
) -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        order_id = await resting(sim, client)
        setattr(sim.faults, fault, 1)
        reply = await change_to(client, order_id, 2.0)

    assert (reply.status, sim.faults.struck) == (status, {fault: 1})
    assert sim.venue.orders[order_id].ticket.limit_price == price


@asynchronous
async def test_a_change_may_be_made_and_never_answered() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        order_id = await resting(sim, client)
        sim.faults.modify_hang = 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await change_to(client, order_id, 2.0)

    assert sim.venue.orders[order_id].ticket.limit_price == 2


@asynchronous
async def test_a_cancel_may_be_taken_and_forgotten_or_lost() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        order_id = await resting(sim, client)
        path = f"/iserver/account/{ACCOUNT}/order/{order_id}"
        sim.faults.cancel_ignored = sim.faults.cancel_503 = 1
        lost, ignored = await client.delete(path), await client.delete(path)
        still = sim.venue.orders[order_id].status.value
        await client.delete(path)
        await until(lambda: not sim.venue.orders[order_id].working)

    assert (lost.status, ignored.body["msg"]) == (503, "Request was submitted")
    assert (still, sim.venue.cancel_requests) == ("Submitted", [order_id])


@asynchronous
async def test_a_cancel_may_be_taken_when_the_answer_is_a_503_or_none() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        first, second = await resting(sim, client), await resting(sim, client)
        sim.faults.cancel_503_with_accept = 1
        reply = await client.delete(f"/iserver/account/{ACCOUNT}/order/{first}")
        sim.faults.cancel_hang = 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.delete(f"/iserver/account/{ACCOUNT}/order/{second}")
        await until(lambda: not any(row.working for row in sim.venue.orders.values()))

    assert reply.status == 503
    assert sim.venue.cancel_requests == [first, second]


@asynchronous
async def test_a_frozen_list_shows_what_was_and_hides_what_came() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.get(ORDERS)
        old_id = await resting(sim, client)
        sim.faults.frozen_orders_list = True
        await until(lambda: bool(sim.faults.struck["frozen_orders_list"]))
        await asyncio.sleep(0.005)
        new_id = await resting(sim, client)
        await change_to(client, old_id, 2.0)
        frozen = [await listed(client, old_id), await listed(client, new_id)]
        sim.faults.frozen_orders_list = False
        await client.get("/tickle")
        now = [await listed(client, old_id), await listed(client, new_id)]

    assert [row.get("price") for row in frozen] == ["1.00", None]
    assert [row.get("price") for row in now] == ["2.00", "1.00"]


@asynchronous
async def test_a_list_may_lag_behind() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.get(ORDERS)
        sim.faults.order_list_lag_ms = 60_000
        order_id = await resting(sim, client)
        early = await listed(client, order_id)
        sim.faults.order_list_lag_ms = 0
        late = await listed(client, order_id)

    assert (early, late["status"]) == ({}, "Submitted")


async def states_seen(socket: Socket, client: Client) -> list[str]:
    """The states that `sor` tells of one market order, up to the last one."""
    await subscribed(socket, "sor+{}")
    await client.place(orderType="MKT", price=None, quantity=1)
    await socket.order_in_status("Filled")
    return [row["status"] for row in socket.rows("sor") if "status" in row]


@asynchronous
async def test_a_lost_frame_is_missing_and_counted() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            sim.faults.lose_sor = 1
            seen = await states_seen(socket, client)

    assert sim.faults.struck["lose_sor"] == 1
    assert "Inactive" not in seen


@asynchronous
async def test_a_reordered_frame_comes_after_the_next_one() -> None:
    async with gateway(fill_delay_ms=(60, 60)) as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            sim.faults.reorder_sor = 1
            seen = await states_seen(socket, client)

    assert sim.faults.struck["reorder_sor"] == 1
    assert "Inactive" in seen[1:]


@asynchronous
async def test_a_held_frame_comes_alone_when_no_other_follows() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        order_id = await resting(sim, client)
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            sim.faults.reorder_sor = 1
            await change_to(client, order_id, 2.0)
            frame = await socket.topic("sor")

    assert frame["args"][-1]["price"] == "2.00"


@asynchronous
async def test_an_execution_may_come_after_its_commission() -> None:
    async with gateway(commission_delay_ms=200) as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, "str+{}")
            sim.faults.reorder_str = 1
            await client.place(orderType="MKT", price=None, quantity=1)
            # The delay is many ticks, so that the two never share a frame on a busy machine.
            await socket.topic("str")
            await socket.topic("str")

    assert ["commission" in row for row in socket.rows("str")] == [True, False]


@asynchronous
async def test_executions_may_be_lost_or_come_twice() -> None:
    async with gateway(commission_delay_ms=60_000) as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, "str+{}", "sor+{}")
            sim.faults.lose_str = 1
            await client.place(orderType="MKT", price=None, quantity=1)
            await socket.order_in_status("Filled")
            lost = socket.rows("str")
            sim.faults.duplicate_str = True
            await client.place(orderType="MKT", price=None, quantity=1)
            await socket.topic("str")
            await socket.topic("str")

    assert lost == []
    assert [row["order_id"] for row in socket.rows("str")] == [max(sim.venue.orders)] * 2
    assert (sim.faults.struck["lose_str"], sim.faults.struck["duplicate_str"]) == (1, 1)


@asynchronous
async def test_the_next_order_may_be_prompted_about() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await socket.opened()
            sim.faults.prompt_next = 1
            order_id = int((await client.place()).body[0]["order_id"])
            [row] = (await socket.topic("ntf"))["args"]

    assert (row["orderId"], row["prompt"]) == (order_id, True)


@asynchronous
async def test_a_prompt_may_come_in_place_of_the_acknowledgement() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.advanced_reject_next = 1
        prompt = (await client.place()).body
        answer = {"orderId": prompt["orderId"], "reqId": prompt["reqId"], "text": "Do not use"}
        taken = await client.post("/iserver/notification", answer)

    assert (prompt["messageId"], prompt["prompt"], taken.body) == ("p12", True, "Success")
    assert sim.venue.orders[prompt["orderId"]].working


@asynchronous
async def test_any_request_may_be_too_many_and_the_box_refuses_those_after_it() -> None:
    async with gateway(enforce_pacing=True) as (sim, client):
        sim.faults.penalty_box_s = 0.2
        sim.faults.too_many_requests = 1
        first = await client.get("/iserver/auth/status")
        boxed = await client.get("/iserver/auth/status")
        sim.faults.penalty_box_s = 0
        await asyncio.sleep(0.25)
        after = await client.get("/iserver/auth/status")

    assert [reply.status for reply in (first, boxed, after)] == [429, 429, 200]


@asynchronous
async def test_the_times_in_the_rows_may_be_ahead() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.get(ORDERS)
        order_id = await resting(sim, client)
        straight = await listed(client, order_id)
        sim.faults.clock_skew_ms = -3_600_000
        skewed = await listed(client, order_id)

    assert straight["lastExecutionTime_r"] - skewed["lastExecutionTime_r"] == 3_600_000


@asynchronous
async def test_a_login_to_the_brokerage_may_fail_or_have_no_backend() -> None:
    init = {"publish": True, "compete": True}
    async with gateway() as (sim, client):
        sim.faults.init_fails = 1
        failed = await client.post("/iserver/auth/ssodh/init", init)
        await client.open_session()
        sim.faults.backend_down = True
        status = await client.get("/iserver/auth/status")
        down = await client.post("/iserver/auth/ssodh/init", init)
        sim.faults.backend_down = False
        await client.open_session()

    assert (failed.status, failed.body["authenticated"]) == (200, False)
    assert (status.body["authenticated"], status.body["connected"]) == (False, False)
    assert down.status == 503


@asynchronous
async def test_the_first_history_may_be_a_503() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.history_503 = 1
        first, second = [
            await client.get("/iserver/marketdata/history", conid=str(AAPL)) for _ in range(2)
        ]

    assert (first.status, second.status) == (503, 200)


@asynchronous
async def test_a_sixth_history_at_once_is_too_many() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.extra_latency_ms = 50
        replies = await asyncio.gather(
            *(client.get("/iserver/marketdata/history", conid=str(AAPL)) for _ in range(6))
        )
        later = await client.get("/iserver/marketdata/history", conid=str(AAPL))

    assert sorted(reply.status for reply in replies) == [200] * 5 + [429]
    assert later.status == 200


@asynchronous
async def test_a_snapshot_that_is_not_repeated_starts_anew() -> None:
    path = "/iserver/marketdata/snapshot"
    async with gateway(snapshot_refresh_ms=50) as (_, client):
        await client.open_session()
        query = {"conids": str(AAPL), "fields": "84"}
        await client.get(path, **query)
        warm = await client.get(path, **query)
        await asyncio.sleep(0.08)
        cold = await client.get(path, **query)

    assert ["84" in reply.body[0] for reply in (warm, cold)] == [True, False]
