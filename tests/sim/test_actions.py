"""What is done to a gateway while it runs."""

import asyncio
from typing import Any

import aiohttp
import pytest

from engine.sim import ACTIONS, ActionError, act
from engine.sim.actions import check
from engine.sim.floor import UNANSWERED
from tests.sim.client import AAPL, ACCOUNT, asynchronous, gateway, subscribed, until


async def working_order(client: Any) -> int:
    [placed] = (await client.place()).body
    return int(placed["order_id"])


@asynchronous
async def test_a_cut_ends_requests_and_sockets_and_the_next_connection_works() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await socket.opened()
            done = act(sim, "cut_connections")
            ended = await socket.last()
        again = await client.get("/iserver/auth/status")

    assert done == {"cut": 1, "down_for_s": 0.0}
    assert ended.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
    assert again.body["authenticated"] is True


@asynchronous
async def test_a_cut_that_lasts_ends_every_new_connection_but_no_session() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        act(sim, "cut_connections", {"seconds": 60})
        with pytest.raises(aiohttp.ClientError):
            await client.get("/iserver/auth/status")
        with pytest.raises(aiohttp.ClientError):
            async with client.socket():
                pass
        act(sim, "cut_connections", {"seconds": 0})
        after = await client.get("/iserver/accounts")

    assert after.status == 200


@asynchronous
async def test_in_silence_nothing_is_answered_and_nothing_reaches_the_venue() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            act(sim, "silence", {"seconds": 60})
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.place()
            with pytest.raises(TimeoutError):
                await socket.socket.receive(timeout=0.15)
            act(sim, "silence", {"seconds": 0})
            later = await client.place()

    assert (len(sim.venue.submissions), later.status) == (1, 200)


@asynchronous
async def test_a_restart_refuses_connections_and_forgets_the_sessions_but_no_order() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        order_id = await working_order(client)
        act(sim, "restart", {"seconds": 60, "logged_in": True})
        with pytest.raises(aiohttp.ClientError):
            await client.get("/iserver/auth/status")
        act(sim, "restart", {"seconds": 0, "logged_in": False})
        logged_out = await client.get("/iserver/auth/status")
        act(sim, "log_in")
        after = await client.get("/iserver/auth/status")

    assert (logged_out.status, logged_out.body) == (401, "Access Denied")
    assert after.body["authenticated"] is False
    assert sim.venue.orders[order_id].working


@asynchronous
async def test_a_log_out_closes_the_sockets_and_every_request_is_denied() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await socket.opened()
            act(sim, "log_out")
            ended = await socket.last()
        denied = await client.get("/iserver/accounts")

    assert ended.data == 1000
    assert (denied.status, denied.body) == (401, "Access Denied")


@asynchronous
async def test_a_competing_login_takes_the_session_until_it_is_taken_back() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await socket.opened()
            act(sim, "compete")
            told = await socket.until(lambda frame: frame.get("args") == {"competing": True})
            refused = await client.post(
                "/iserver/auth/ssodh/init", {"publish": True, "compete": False}
            )
            taken = await client.post(
                "/iserver/auth/ssodh/init", {"publish": True, "compete": True}
            )

    assert told["topic"] == "sts"
    assert (refused.body["authenticated"], refused.body["competing"]) == (False, True)
    assert (taken.body["authenticated"], taken.body["competing"]) == (True, False)


@asynchronous
async def test_a_prompt_comes_as_a_notice_and_its_answer_lets_the_order_go_on() -> None:
    async with gateway(prompt_wait_ms=200) as (sim, client):
        await client.open_session()
        order_id = await working_order(client)
        async with client.socket() as socket:
            await socket.opened()
            act(sim, "prompt", {"order": order_id})
            [row] = (await socket.topic("ntf"))["args"]
            answer = {"orderId": order_id, "reqId": row["reqId"], "text": row["options"][0]}
            wrong = await client.post("/iserver/notification", {**answer, "text": "Maybe"})
            taken = await client.post("/iserver/notification", answer)
            twice = await client.post("/iserver/notification", answer)
            await asyncio.sleep(0.3)

    assert (row["orderId"], row["messageId"], row["prompt"]) == (order_id, "p12", True)
    assert (wrong.status, taken.body, twice.status) == (400, "Success", 400)
    assert sim.venue.orders[order_id].working


@asynchronous
async def test_a_prompt_that_nobody_answers_cancels_its_order() -> None:
    async with gateway(prompt_wait_ms=20) as (sim, client):
        await client.open_session()
        order_id = await working_order(client)
        act(sim, "prompt", {"order": order_id})
        await until(lambda: not sim.venue.orders[order_id].working)

    order = sim.venue.orders[order_id]
    assert (order.status.value, order.reason) == ("Cancelled", UNANSWERED)


@asynchronous
async def test_notices_and_bulletins_come_as_arrays() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await socket.opened()
            await socket.topic("blt")
            act(sim, "notice", {"text": "The system will be restarted."})
            act(sim, "bulletin", {"text": "Trading is halted."})
            notice, bulletin = await socket.topic("ntf"), await socket.topic("blt")

    assert [row["text"] for row in notice["args"]] == ["The system will be restarted."]
    assert isinstance(notice["args"][0]["id"], str)
    assert [row["message"] for row in bulletin["args"]] == ["Trading is halted."]
    assert isinstance(bulletin["args"][0]["id"], int)


@asynchronous
async def test_an_order_of_another_client_has_no_order_ref_and_can_be_cancelled() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        async with client.socket() as socket:
            await subscribed(socket, "sor+{}")
            done = act(
                sim,
                "external",
                {"conid": AAPL, "orderType": "LMT", "price": 1, "quantity": 5, "account": ACCOUNT},
            )
            frame = await socket.topic("sor")
            act(sim, "cancel_external", {"order": done["order"]})
            await socket.order_in_status("Cancelled")

    [row, *_] = frame["args"]
    assert (row["orderId"], "order_ref" in row) == (done["order"], False)
    assert sim.venue.submissions == []


@asynchronous
async def test_an_external_execution_names_another_submitter() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        act(sim, "external", {"conid": AAPL, "quantity": 5})
        await until(lambda: any(not row.working for row in sim.venue.orders.values()))
        await client.get("/iserver/account/trades")
        trades = (await client.get("/iserver/account/trades")).body

    assert {row["submitter"] for row in trades} == {"otheruser"}
    assert not any("order_ref" in row for row in trades)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("explode", {}, "explode is no action; known are answer_cancels, "),
        ("compete", {"hard": True}, "compete takes nothing, given is hard"),
        ("silence", {}, "seconds is None, needed is a number of 0 or more"),
        ("silence", {"seconds": "long"}, "seconds is 'long', needed is a number of 0 or more"),
        ("silence", {"seconds": -1}, "seconds is -1, needed is a number of 0 or more"),
        ("restart", {"logged_in": "yes"}, "logged_in is 'yes', allowed is true or false"),
        ("prompt", {"order": 7}, "order 7 is not working"),
        ("prompt", {}, "order is None, needed is a number"),
        ("notice", {}, "text is None, needed is a text"),
        ("external", {"conid": 1}, "conid is not valid: 1"),
        ("external", {"conid": AAPL, "account": "DU9"}, "account is DU9, known are DU1111111"),
        ("cancel_external", {"order": 7}, "OrderID 7 doesn't exist"),
        ("trade_at", {"conid": 1, "price": 5}, "conid is 1, which is no contract"),
        ("trade_at", {"conid": AAPL, "price": 0}, "price is 0, the least is 0.01"),
    ],
)
@asynchronous
async def test_an_action_that_cannot_be_done_says_why(
    name: str, arguments: dict[str, Any], message: str
) -> None:
    async with gateway() as (sim, _):
        with pytest.raises(ActionError, match=message):
            act(sim, name, arguments)


@asynchronous
async def test_a_check_refuses_the_same_and_does_nothing() -> None:
    async with gateway() as (sim, _):
        check(sim, "external", {"conid": AAPL})
        check(sim, "compete")
        check(sim, "prompt", {"order": 7})  # It may be there when its turn comes.
        with pytest.raises(ActionError, match="conid is not valid: 1"):
            check(sim, "external", {"conid": 1})
        with pytest.raises(ActionError, match="text is None"):
            check(sim, "notice")

    assert (sim.venue.orders, sim.faults.competing) == ({}, False)


def test_every_action_has_a_name_of_words() -> None:
    assert all(name.replace("_", "").isalpha() for name in ACTIONS)
