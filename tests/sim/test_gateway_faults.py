"""Faults of the gateway's process, of the way to it, and of its sessions."""

import asyncio
import ssl

import aiohttp
import pytest

from engine.sim import act
from tests.sim.client import (
    SUBSCRIBE_AAPL,
    Client,
    asynchronous,
    gateway,
    settled,
    subscribed,
    until,
)

STATUS = "/iserver/auth/status"


@asynchronous
async def test_a_request_may_be_stopped_at_the_edge() -> None:
    async with gateway() as (sim, client):
        sim.faults.edge_403 = 1
        first, second = await client.get(STATUS), await client.get(STATUS)

    assert (first.status, "<h1>Access Denied</h1>" in first.body) == (403, True)
    assert second.status == 200


@asynchronous
async def test_in_a_pause_nothing_is_lost_and_everything_is_late() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            act(sim, "pause", {"seconds": 0.2})
            began = asyncio.get_running_loop().time()
            reply = await client.place(cOID="c-1")
            took_s = asyncio.get_running_loop().time() - began
            await socket.order_in_status("Submitted")

    assert (reply.status, took_s >= 0.15) == (200, True)


@asynchronous
async def test_a_request_may_begin_a_pause_and_the_end_of_the_gateway_ends_it() -> None:
    async with gateway() as (sim, client):
        sim.faults.gc_pause, sim.faults.gc_pause_s = 1, 60
        asking = asyncio.create_task(client.get(STATUS))
        await until(lambda: sim.world.is_paused)
    [ended] = await asyncio.gather(asking, return_exceptions=True)

    assert isinstance(ended, aiohttp.ClientError)
    assert sim.faults.struck["gc_pause"] == 1


@asynchronous
async def test_a_penalty_may_start_anew_with_every_request() -> None:
    async with gateway(enforce_pacing=True) as (sim, client):
        sim.faults.penalty_box_s = 60
        sim.faults.too_many_requests = 1
        ends = []
        for extends in (False, False, True, True):
            sim.faults.penalty_extends = extends
            # Two penalties of one millisecond would end at the same time.
            await asyncio.sleep(0.005)
            reply = await client.get(STATUS)
            ends.append(sim.pacing.boxed_until_ms)
            assert reply.status == 429

    assert ends[0] == ends[1] < ends[2] < ends[3]
    assert sim.faults.struck["penalty_extends"] == 2


@asynchronous
async def test_the_certificate_may_change_and_its_pin_with_it() -> None:
    async with gateway() as (sim, client):
        old_pin, url = sim.pin_sha256, sim.url
        await client.get(STATUS)
        done = act(sim, "change_certificate")
        with pytest.raises(aiohttp.ClientError):
            await client.get(STATUS)
        trust = ssl.create_default_context(cafile=str(sim.ca_file))
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(base_url=url, connector=connector) as http:
            again = await Client(http).get(STATUS)

    assert (again.status, done["pin_sha256"]) == (200, sim.pin_sha256)
    assert sim.pin_sha256 != old_pin


@asynchronous
async def test_a_brokerage_session_may_need_time_although_its_status_is_good() -> None:
    async with gateway() as (sim, client):
        sim.faults.no_bridge_ms = 60_000
        init = await client.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True})
        early = await client.get("/iserver/accounts")
        sim.faults.no_bridge_ms = 0
        later = await client.get("/iserver/accounts")

    assert (init.body["established"], early.status, later.status) == (True, 400, 200)
    assert early.body["error"] == "Bad Request: no bridge"


@asynchronous
async def test_after_a_maintenance_a_person_must_log_in() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        act(sim, "maintenance", {"seconds": 60})
        refused = await client.call("POST", "/sso/Dispatcher")
        during = await client.get(STATUS)
        act(sim, "maintenance", {"seconds": 0})
        after = await client.get(STATUS)
        await client.call("POST", "/sso/Dispatcher")
        back = await client.get(STATUS)

    assert (refused.status, during.status, after.status, back.status) == (503, 401, 401, 200)


@asynchronous
async def test_a_user_may_be_locked_out() -> None:
    async with gateway(logged_in=False) as (sim, client):
        sim.faults.login_latched = True
        refused = await client.call("POST", "/sso/Dispatcher")
        sim.faults.login_latched = False
        taken = await client.call("POST", "/sso/Dispatcher")

    assert (refused.status, taken.body) == (403, "Client login succeeds")


@asynchronous
async def test_accounts_may_be_empty_while_the_status_says_that_another_competes() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.competing_shown = sim.faults.empty_accounts = True
        status = (await client.get(STATUS)).body
        accounts = (await client.get("/iserver/accounts")).body
        placed = await client.place()

    assert (status["authenticated"], status["competing"], accounts) == (True, True, {})
    assert placed.status == 200


@asynchronous
async def test_the_selected_account_is_that_of_the_session() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        act(sim, "select_account", {"account": "DU2222222"})
        accounts = (await client.get("/iserver/accounts")).body

    assert accounts["selectedAccount"] == "DU2222222"


@asynchronous
async def test_a_frame_may_be_garbage_and_the_next_one_is_not() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await socket.opened()
            sim.faults.garbage_frame = 1
            await settled(socket)

    assert b"\xff\xfe{not JSON" in socket.seen


@asynchronous
async def test_a_frame_above_the_limit_closes_the_socket() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await socket.opened()
            sim.faults.oversized_frame = 1
            last = await socket.last()

    assert (last.type, last.data) == (aiohttp.WSMsgType.CLOSE, 1000)


@asynchronous
async def test_a_session_a_socket_or_a_certificate_may_end_at_any_time() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await socket.opened()
            sim.faults.session_resets = 1
            reset = await client.get("/iserver/accounts")
            sim.faults.socket_closes = 1
            last = await socket.last()
        pin = sim.pin_sha256
        sim.faults.certificate_changes = 1
        with pytest.raises(aiohttp.ClientError):
            await client.get(STATUS)

    assert (reset.status, reset.body["error"]) == (400, "Bad Request: no bridge")
    assert (last.type, sim.pin_sha256 == pin) == (aiohttp.WSMsgType.CLOSE, False)


@asynchronous
async def test_market_data_may_stop_without_a_word() -> None:
    async with gateway(heartbeat_ms=60_000) as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, SUBSCRIBE_AAPL)
            sim.faults.market_data_stops = 1
            await until(lambda: sim.faults.struck["market_data_stops"] == 1)
            await settled(socket)
            before = len(socket.seen)
            await settled(socket)

    assert len(socket.seen) == before + 1
