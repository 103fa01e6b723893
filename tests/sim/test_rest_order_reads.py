from engine.sim import SimGateway
from tests.sim.client import ACCOUNT, Client, asynchronous, gateway, until

ORDERS, TRADES = "/iserver/account/orders", "/iserver/account/trades"


async def filled_order(sim: SimGateway, client: Client) -> int:
    """Place an order and wait until it is filled and its commissions are known."""
    reply = await client.place(orderType="MKT", price=None, cOID="c-1")
    order = sim.venue.orders[int(reply.body[0]["order_id"])]
    await until(lambda: not order.working)
    await until(lambda: len(sim.venue.commissions_known) == len(sim.venue.executions))
    return order.order_id


@asynchronous
async def test_the_first_list_of_a_session_is_empty_and_says_it_is_no_snapshot() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        await client.place(cOID="c-1")
        cold, warm = await client.get(ORDERS), await client.get(ORDERS)

    assert cold.body == {"orders": [], "snapshot": False}
    assert warm.body["snapshot"] is True
    [row] = warm.body["orders"]
    assert (row["order_ref"], row["price"], row["totalSize"]) == ("c-1", "1.00", 10.0)
    assert isinstance(row["orderId"], int)


@asynchronous
async def test_force_clears_the_list_and_the_filters() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        await client.place()
        await client.get(ORDERS)
        filtered = await client.get(ORDERS, filters="filled")
        sticky = await client.get(ORDERS)
        forced = await client.get(ORDERS, force="true")
        after = await client.get(ORDERS)

    assert filtered.body == sticky.body == {"orders": [], "snapshot": True}
    assert forced.body == {"orders": [], "snapshot": False}
    assert len(after.body["orders"]) == 1


@asynchronous
async def test_filters_are_snake_case_and_anything_else_is_an_error_500() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        reply = await client.get(ORDERS, filters="Submitted")

    assert reply.status == 500


@asynchronous
async def test_the_list_can_be_of_one_account() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        await client.place(cOID="c-1")
        await client.place(cOID="c-2", acctId="DU2222222")
        await client.get(ORDERS)
        both = await client.get(ORDERS)
        one = await client.get(ORDERS, accountId="DU2222222")
        unknown = await client.get(ORDERS, accountId="DU9")

    assert [row["order_ref"] for row in both.body["orders"]] == ["c-2", "c-1"]
    assert [row["order_ref"] for row in one.body["orders"]] == ["c-2"]
    assert unknown.status == 400


@asynchronous
async def test_the_status_of_an_order_is_almost_all_texts() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        order_id = await filled_order(sim, client)
        reply = await client.get(f"/iserver/account/order/status/{order_id}")
        unknown = await client.get("/iserver/account/order/status/17")

    status = reply.body
    assert (status["order_id"], status["order_status"]) == (order_id, "Filled")
    assert (status["cum_fill"], status["size"], status["total_size"]) == ("10.0", "0.0", "10.0")
    assert (status["side"], status["limit_price"], status["order_ccp_status"]) == ("B", "", "2")
    assert status["cannot_cancel_order"] is True
    assert unknown.status == 400


@asynchronous
async def test_the_status_of_another_accounts_order_needs_that_account_selected() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        order_id = (await client.place(acctId="DU2222222")).body[0]["order_id"]
        before = await client.get(f"/iserver/account/order/status/{order_id}")
        await client.post("/iserver/account", {"acctId": "DU2222222"})
        after = await client.get(f"/iserver/account/order/status/{order_id}")

    assert (before.status, before.body["error"]) == (503, "Service Unavailable")
    assert (after.status, after.body["account"]) == (200, "DU2222222")


@asynchronous
async def test_the_first_list_of_trades_is_empty_and_then_every_execution_is_there() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await filled_order(sim, client)
        cold, warm = await client.get(TRADES + "/"), await client.get(TRADES, days="7")
        other = await client.get(TRADES, days="7", accountId="DU2222222")
        long = await client.get(TRADES, days="8")

    assert cold.body == []
    executions = {row.execution_id: row for row in sim.venue.executions}
    assert {row["execution_id"] for row in warm.body} == set(executions)
    for row in warm.body:
        execution = executions[row["execution_id"]]
        assert (row["order_ref"], row["account"]) == ("c-1", ACCOUNT)
        assert row["size"] == float(execution.quantity)
        assert row["price"] == f"{execution.price:.2f}"
        assert row["trade_time_r"] == execution.at_ms
        assert "commission" in row
    assert other.body == []
    assert long.status == 400
