import asyncio

import aiohttp
import pytest

from tests.sim.client import (
    AAPL,
    ACCOUNT,
    API,
    FIELDS,
    SUBSCRIBE_AAPL,
    Client,
    Socket,
    asynchronous,
    gateway,
    quotes,
    settled,
    silent,
    subscribed,
)


@asynchronous
async def test_the_first_frames_say_who_and_whether_and_what() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        async with client.socket() as socket:
            frames = [await socket.next() for _ in range(3)]

    assert frames[0] == {"topic": "system", "success": "simuser", "isFT": False, "isPaper": True}
    assert frames[1]["topic"] == "sts"
    assert (frames[1]["args"]["authenticated"], frames[1]["args"]["competing"]) == (True, False)
    assert frames[2]["topic"] == "act"
    assert frames[2]["args"]["accounts"] == ["DU1111111", "DU2222222"]


@asynchronous
async def test_what_is_sent_before_the_success_is_lost_without_a_word() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        async with client.socket() as socket:
            await socket.send("tic")
            await socket.send("ech+hb")
            await socket.opened()
            await socket.topic("system")
            lost = [frame for frame in socket.seen if frame == b"ech+hb"]
            topics = {frame.get("topic") for frame in socket.seen if isinstance(frame, dict)}

    assert lost == []
    assert topics == {"system", "sts", "act", "blt"}


@asynchronous
async def test_the_upgrade_offers_no_compression() -> None:
    async with (
        gateway() as (_, client),
        client.http.ws_connect(API + "/ws", compress=15) as socket,
    ):
        assert socket.compress == 0


@asynchronous
async def test_heartbeats_come_by_themselves_and_tic_is_answered() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        session_id = (await client.get("/tickle")).body["session"]
        async with client.socket() as socket:
            await socket.opened()
            beat = await socket.until(lambda frame: "hb" in frame)
            await socket.send("tic")
            answer = await socket.topic("tic")

    assert beat["topic"] == "system"
    assert (answer["alive"], answer["id"]) == (True, session_id)


@asynchronous
async def test_the_old_heartbeat_is_answered_with_bytes_that_are_no_json() -> None:
    async with gateway() as (_, client), client.socket() as socket:
        await socket.opened()
        await socket.send("ech+hb")

        assert await socket.until(lambda frame: frame == b"ech+hb") == b"ech+hb"


@asynchronous
async def test_a_ping_is_answered_and_a_pong_is_taken_for_text() -> None:
    async with gateway() as (_, client), client.socket() as socket:
        await socket.opened()
        await socket.socket.ping(b"x")
        while True:
            message = await socket.socket.receive(timeout=5)
            if message.type is aiohttp.WSMsgType.PONG:
                break
        await socket.socket.pong()
        error = await socket.topic("error")

    assert message.data == b"x"
    assert error["error"] == "Topic unknown 'nul'"


@asynchronous
async def test_an_unknown_topic_is_an_error() -> None:
    async with gateway() as (_, client), client.socket() as socket:
        await socket.opened()
        await socket.send('{"session":"x"}')
        error = await socket.topic("error")

    assert error == {"topic": "error", "error": "Topic unknown '{\"s'", "code": 500}


@asynchronous
async def test_market_data_starts_whole_and_goes_on_with_changes_only() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, SUBSCRIBE_AAPL)
            while len(quotes(socket)) < 10:
                await socket.next()
            first, *later = quotes(socket)

    assert set(FIELDS) <= set(first)
    assert all(isinstance(first[name], str) for name in FIELDS)
    assert first["6509"] == "RpB"
    assert all(set(frame) & set(FIELDS) for frame in later)
    known = dict(first)
    for frame in later:
        assert all(known[name] != frame[name] for name in FIELDS if name in frame)
        known |= frame
    assert any(set(FIELDS) - set(frame) for frame in later)


@asynchronous
async def test_market_data_needs_the_accounts_and_a_known_conid() -> None:
    async with gateway() as (_, client):
        await client.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True})
        async with client.socket() as socket:
            await socket.opened()
            await socket.send(SUBSCRIBE_AAPL)
            unprimed = await socket.topic("smd")
            await client.get("/iserver/accounts")
            await socket.send("smd+1+{}")
            unknown = await socket.topic("smd+1")

    assert unprimed == {"error": "No accounts", "code": 500, "topic": "smd"}
    assert unknown["error"] == "Invalid conid"


@pytest.mark.parametrize("way", ["umd", "rest", "expiry"])
@asynchronous
async def test_market_data_ends_without_a_word(way: str) -> None:
    expiry_s = 0.1 if way == "expiry" else 900
    async with gateway(smd_expiry_s=expiry_s, heartbeat_ms=60_000) as (_, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, SUBSCRIBE_AAPL)
            await socket.topic(f"smd+{AAPL}")
            if way == "umd":
                await socket.send(f"umd+{AAPL}+{{}}")
            elif way == "rest":
                await client.get("/iserver/marketdata/unsubscribeall")
            async with asyncio.timeout(5):
                while not await silent(socket, 0.15):
                    pass


@asynchronous
async def test_a_renewal_keeps_market_data_alive_and_starts_whole_again() -> None:
    slow = {"smd_expiry_s": 900, "quote_interval_ms": (1000, 2000)}
    async with gateway(**slow, idle_timeout_s=3600) as (sim, client):
        real_ms, later_ms = sim.world.clock_ms, 0
        sim.world.clock_ms = lambda: real_ms() + later_ms
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, SUBSCRIBE_AAPL)
            later_ms = 600_000
            await socket.send(SUBSCRIBE_AAPL)
            await socket.until(lambda frame: frame == {"topic": f"smd+{AAPL}"})
            renewed = await socket.topic(f"smd+{AAPL}")
            later_ms = 1_200_000
            alive = await socket.topic(f"smd+{AAPL}")

    assert set(FIELDS) <= set(renewed)
    assert alive["_updated"] - renewed["_updated"] > 500_000


@asynchronous
async def test_an_order_is_told_from_inactive_to_filled_in_deltas() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            await client.place(orderType="MKT", price=None, cOID="c-1")
            await socket.order_in_status("Filled")
            rows = socket.rows("sor")

    [order] = sim.venue.orders.values()
    assert rows[0]["status"] == "Inactive"
    assert rows[0]["order_ccp_status"] == "Pending Submit"
    assert (rows[0]["order_ref"], rows[0]["orderId"]) == ("c-1", order.order_id)
    assert [row["status"] for row in rows if "status" in row] == [
        "Inactive",
        "PreSubmitted",
        "Submitted",
        "Filled",
    ]
    assert all("order_ref" not in row for row in rows[1:])
    filled = [row["filledQuantity"] for row in rows if "filledQuantity" in row]
    assert filled == sorted(filled)
    assert filled[-1] == 10.0
    sparse = [
        row
        for row in rows
        if set(row) == {*("acct", "conidex", "conid"), "account", "orderId", "isEventTrading"}
    ]
    assert len(sparse) == 1


@asynchronous
async def test_order_updates_are_not_replayed() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        await client.place()
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            await client.place(cOID="c-2")
            await socket.order_in_status("Submitted")

            assert {row.get("order_ref") for row in socket.rows("sor") if "order_ref" in row} == {
                "c-2"
            }


@asynchronous
async def test_filters_of_the_list_silence_other_orders_on_the_socket_until_a_force() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            await client.get("/iserver/account/orders", filters="filled")
            await client.place(cOID="c-1")
            await settled(socket)
            silenced = socket.rows("sor")
            await client.get("/iserver/account/orders", force="true")
            await client.place(cOID="c-2")
            await socket.order_in_status("Submitted")
            heard = {row["order_ref"] for row in socket.rows("sor") if "order_ref" in row}

    assert silenced == []
    assert heard == {"c-2"}


async def fill(client: Client, socket: Socket) -> None:
    await client.place(orderType="MKT", price=None, cOID="c-1")
    await socket.order_in_status("Filled")


@asynchronous
async def test_every_execution_comes_twice_first_without_its_commission() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}", "str+{}")
            await fill(client, socket)
            count = len(sim.venue.executions)
            while len(socket.rows("str")) < 2 * count:
                await socket.next()
            rows = socket.rows("str")

    for execution in sim.venue.executions:
        first, second = (row for row in rows if row["execution_id"] == execution.execution_id)
        assert "commission" not in first
        assert second == first | {"commission": second["commission"]}


@asynchronous
async def test_executions_are_replayed_unless_only_new_ones_are_wanted() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            await fill(client, socket)
        async with client.socket() as replayed, client.socket() as realtime:
            await subscribed(replayed, 'str+{"realtimeUpdatesOnly":false,"days":1}')
            await subscribed(realtime, 'str+{"realtimeUpdatesOnly":true}')

    ids = {row["execution_id"] for row in replayed.rows("str")}
    assert ids == {row.execution_id for row in sim.venue.executions}
    assert realtime.rows("str") == []


@asynchronous
async def test_a_late_commission_comes_late() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.late_commission = True
        sim.faults.late_commission_ms = 60_000
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}", "str+{}")
            await fill(client, socket)
            await settled(socket)
            rows = socket.rows("str")

    assert len(rows) == len(sim.venue.executions)
    assert all("commission" not in row for row in rows)


@asynchronous
async def test_profit_and_loss_comes_by_account() -> None:
    async with gateway() as (_, client), client.socket() as socket:
        await socket.opened()
        await socket.send("spl")
        frame = await socket.topic("spl")

    assert sorted(frame["args"]) == ["DU1111111.Core", "DU2222222.Core"]


@asynchronous
async def test_summary_and_ledger_have_a_result_and_acknowledge_their_end() -> None:
    async with gateway() as (_, client), client.socket() as socket:
        await socket.opened()
        await socket.send(f'ssd+{ACCOUNT}+{{"keys":["NetLiquidation-S"]}}')
        summary = await socket.topic(f"ssd+{ACCOUNT}")
        await socket.send(f'sld+{ACCOUNT}+{{"keys":["LedgerListUSD"]}}')
        ledger = await socket.topic(f"sld+{ACCOUNT}")
        await socket.send(f"usd+{ACCOUNT}+{{}}")
        await socket.until(lambda frame: frame == {"result": "unsubscribed from summary"})
        await socket.send(f"uld+{ACCOUNT}+{{}}")
        await socket.until(lambda frame: frame == {"result": "unsubscribed from ledger"})

    assert [row["key"] for row in summary["result"]] == ["AccountCode", "NetLiquidation-S"]
    assert summary["result"][1]["monetaryValue"] == 1_000_000
    assert [row["secondKey"] for row in ledger["result"]] == ["USD"]


@asynchronous
async def test_history_answers_once() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        async with client.socket() as socket:
            await socket.opened()
            await socket.send(f'smh+{AAPL}+{{"period":"2h","bar":"5min"}}')
            body = await socket.topic(f"smh+{AAPL}")
            await socket.send(f"umh+{body['serverId']}")
            end = await socket.until(lambda frame: "message" in frame)

    assert len(body["data"]) == 24
    assert end == {"message": f"Unsubscribed {body['serverId']}"}


@asynchronous
async def test_bulletins_and_notices_are_arrays() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.cancel_next = "Price too far from the market."
        async with client.socket() as socket:
            bulletin = await socket.topic("blt")
            await client.place()
            notice = await socket.topic("ntf")

    assert "simulated" in bulletin["args"][0]["message"]
    assert notice["args"][0]["text"] == (
        "Order Buy 10 AAPL Limit 1.00, Day was rejected: Price too far from the market."
    )


@asynchronous
async def test_two_sockets_both_hear_of_an_order() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        async with client.socket() as one, client.socket() as other:
            await subscribed(one, "sor+{}")
            await subscribed(other, "sor+{}")
            await client.place()
            await one.order_in_status("Submitted")
            await other.order_in_status("Submitted")

    assert one.rows("sor") == other.rows("sor")
