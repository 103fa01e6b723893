import asyncio
import json

import aiohttp

from tests.sim.client import (
    SUBSCRIBE_AAPL,
    asynchronous,
    gateway,
    settled,
    silent,
    subscribed,
    until,
)


@asynchronous
async def test_without_a_login_the_socket_waits_for_a_session() -> None:
    async with gateway(logged_in=False) as (_, client), client.socket() as socket:
        waiting = await socket.next()
        await client.call("POST", "/sso/Dispatcher")
        await socket.opened()

    assert waiting == {"message": "waiting for session"}


@asynchronous
async def test_a_brokerage_reset_is_told_and_ends_what_needs_it() -> None:
    async with gateway(heartbeat_ms=60_000) as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, SUBSCRIBE_AAPL, "sor+{}")
            sim.faults.reset_brokerage()
            await socket.until(
                lambda frame: (
                    frame.get("topic") == "sts" and frame["args"] == {"authenticated": False}
                )
            )
            await socket.until(
                lambda frame: frame.get("topic") == "sts" and frame["args"] == {"competing": False}
            )
            quiet = await silent(socket, 0.1)
            await socket.send("sor+{}")
            refused = await socket.topic("sor")
            await client.open_session()
            back = await socket.topic("sts")

    assert quiet
    assert refused["error"] == "Bad Request: no bridge"
    assert back["args"] == {"authenticated": True}


@asynchronous
async def test_a_competing_login_is_told() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await socket.opened()
            sim.faults.competing = True
            frame = await socket.until(
                lambda frame: frame.get("topic") == "sts" and frame["args"] == {"competing": True}
            )

    assert frame["topic"] == "sts"
    assert sim.faults.struck == {"competing": 1}


@asynchronous
async def test_a_silent_socket_stays_open_and_answers_pings_only() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await socket.opened()
            sim.faults.silent_websocket = True
            async with asyncio.timeout(5):
                while not await silent(socket, 0.15):
                    pass
            await socket.socket.ping()
            message = await socket.socket.receive(timeout=5)

    assert message.type is aiohttp.WSMsgType.PONG
    assert sim.faults.struck["silent_websocket"] > 0


@asynchronous
async def test_closed_sockets_see_code_1000_and_can_come_back() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await socket.opened()
            sim.faults.close_websockets()
            while (await socket.socket.receive(timeout=5)).type is not aiohttp.WSMsgType.CLOSE:
                pass
            code = socket.socket.close_code
        async with client.socket() as again:
            await again.opened()

    assert code == 1000
    assert sim.faults.struck == {"close_websockets": 1}


@asynchronous
async def test_split_frames_hold_a_piece_of_the_json_each() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.split_frames = True
        async with client.socket() as socket:
            one, other = await socket.next(), await socket.next()

    assert json.loads(one + other)["success"] == "simuser"


@asynchronous
async def test_order_updates_can_be_lost_or_doubled() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            sim.faults.mute_sor = True
            await client.place()
            await until(lambda: sim.faults.struck["mute_sor"] >= 2)
            await settled(socket)
            muted = socket.rows("sor")
            sim.faults.mute_sor = False
            sim.faults.duplicate_sor = True
            await client.place(cOID="c-2")
            await socket.order_in_status("Submitted")
            refs = [row["order_ref"] for row in socket.rows("sor") if "order_ref" in row]

    assert muted == []
    assert refs == ["c-2", "c-2"]


@asynchronous
async def test_a_new_brokerage_session_ends_subscriptions_even_when_it_follows_at_once() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            sim.faults.reset_brokerage()
            await client.open_session()
            await client.place(cOID="c-1")
            await settled(socket)

    assert socket.rows("sor") == []
