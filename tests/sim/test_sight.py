"""What a client sees of orders and executions, and when."""

from typing import Any

from tests.sim.client import AAPL, ACCOUNT, Client, Socket, asynchronous, gateway, subscribed, until

ORDERS = "/iserver/account/orders"
TRADES = "/iserver/account/trades"


async def listed(client: Client) -> list[str]:
    return [row["order_ref"] for row in (await client.get(ORDERS)).body["orders"]]


async def warm(client: Client) -> None:
    await client.open_session()
    await client.get(ORDERS)
    await client.get(TRADES)


def refs(socket: Socket) -> set[Any]:
    return {row.get("order_ref") for row in socket.rows("sor") if "order_ref" in row}


@asynchronous
async def test_an_order_may_be_on_the_stream_and_not_in_the_list() -> None:
    async with gateway() as (sim, client):
        await warm(client)
        sim.faults.hide_from_list, sim.faults.hide_s = 1, 0.6
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            await client.place(cOID="c-1")
            await socket.order_in_status("Submitted")
            hidden = await listed(client)
            until_ms = sim.world.clock_ms() + 600
            await until(lambda: sim.world.clock_ms() > until_ms)
            shown = await listed(client)

    assert (hidden, shown) == ([], ["c-1"])


@asynchronous
async def test_an_order_may_be_in_the_list_and_not_on_the_stream() -> None:
    async with gateway() as (sim, client):
        await warm(client)
        sim.faults.hide_from_stream, sim.faults.hide_s = 1, 0.6
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            await client.place(cOID="c-1")
            await client.place(cOID="c-2")
            await socket.order_in_status("Submitted")
            in_list, told = await listed(client), refs(socket)
            await socket.order_in_status("Submitted")

    assert (sorted(in_list), told, refs(socket)) == (["c-1", "c-2"], {"c-2"}, {"c-1", "c-2"})


@asynchronous
async def test_trades_may_be_seen_after_the_status() -> None:
    async with gateway() as (sim, client):
        await warm(client)
        sim.faults.trades_late, sim.faults.trades_late_s = 1, 0.6
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}", "str+{}")
            await client.place(orderType="MKT", price=None)
            await socket.order_in_status("Filled")
            early = (await client.get(TRADES)).body
            await socket.topic("str")
            late = (await client.get(TRADES)).body

    assert (early, sum(row["size"] for row in late)) == ([], 10.0)


@asynchronous
async def test_the_status_may_be_seen_after_the_trades() -> None:
    async with gateway() as (sim, client):
        await warm(client)
        sim.faults.status_late, sim.faults.status_late_s = 1, 0.6
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}", "str+{}")
            order_id = (await client.place(orderType="MKT", price=None)).body[0]["order_id"]
            await socket.topic("str")
            in_list = await listed(client)
            unknown = await client.get(f"/iserver/account/order/status/{order_id}")
            told = socket.rows("sor")
            await socket.order_in_status("Filled")
            known = await client.get(f"/iserver/account/order/status/{order_id}")

    assert (in_list, unknown.status, told) == ([], 400, [])
    assert known.body["order_status"] == "Filled"


@asynchronous
async def test_a_list_may_freeze_for_a_while() -> None:
    async with gateway() as (sim, client):
        await warm(client)
        sim.faults.freeze_orders_list, sim.faults.freeze_s = 1, 0.6
        await client.get(ORDERS)
        read_ms = sim.world.clock_ms()
        await until(lambda: sim.world.clock_ms() > read_ms)
        await client.place(cOID="c-1")
        frozen = await listed(client)
        await until(lambda: sim.world.clock_ms() > read_ms + 630)
        thawed = await listed(client)

    assert (frozen, thawed) == ([], ["c-1"])


@asynchronous
async def test_positions_may_stay_as_they_were() -> None:
    path = f"/portfolio2/{ACCOUNT}/positions"
    async with gateway() as (sim, client):
        await warm(client)
        sim.faults.stale_positions = True
        await client.get("/tickle")
        sim.venue.move_position(ACCOUNT, AAPL, sim.venue.mark(AAPL) * 0 + 7)
        await client.post(f"/portfolio/{ACCOUNT}/positions/invalidate")
        stale = (await client.get(path)).body
        sim.faults.stale_positions = False
        await client.get("/tickle")
        fresh = (await client.get(path)).body

    assert (stale, [row["position"] for row in fresh]) == ([], [7.0])


@asynchronous
async def test_a_row_of_the_stream_may_lack_all_but_ids_and_status() -> None:
    async with gateway() as (sim, client):
        await warm(client)
        sim.faults.partial_rows = True
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            await client.place(cOID="c-1")
            await socket.order_in_status("Submitted")

    keys = {key for row in socket.rows("sor") for key in row}
    assert keys <= {"acct", "account", "conid", "conidex", "orderId", "status", "isEventTrading"}


@asynchronous
async def test_a_row_may_lack_the_terms_that_no_recording_shows() -> None:
    async with gateway() as (sim, client):
        await warm(client)
        await client.place(orderType="STOP_LIMIT", price=9000, auxPrice=9000, cOID="c-1")
        [whole] = (await client.get(ORDERS)).body["orders"]
        sim.faults.bare_rows = True
        [bare] = (await client.get(ORDERS)).body["orders"]

    assert set(whole) - set(bare) == {"auxPrice", "stop_price"}


@asynchronous
async def test_trades_may_be_cold_again() -> None:
    async with gateway() as (sim, client):
        await warm(client)
        await client.place(orderType="MKT", price=None, quantity=1)
        await until(lambda: bool(sim.venue.executions))
        sim.faults.cold_trades_list = 1
        sizes = [len((await client.get(TRADES)).body) for _ in range(2)]

    assert sizes == [0, 1]
