"""Every fault at once: the simulator itself must not break, and its books must balance."""

import asyncio
import random
from collections import Counter
from decimal import Decimal
from typing import Any, Final

import aiohttp
import pytest

from engine.sim import SimGateway, act
from engine.sim.faults import CHANCED, FAULTS, PRESETS
from tests.sim.client import AAPL, ACCOUNT, Client, asynchronous, gateway

ORDERS: Final = f"/iserver/account/{ACCOUNT}/orders"
LOG_IN: Final = ("POST", "/iserver/auth/ssodh/init", {"publish": True, "compete": True})
NOT_HERE: Final = frozenset(
    # These end the client's way to the gateway for good, or for longer than this test.
    {
        "backend_down",
        "certificate_changes",
        "competing",
        "login_latched",
        "maintenance",
        "silent_gateway",
        "unauthorized",
    }
)
SHORT: Final = {name: "0..0.05" for name, fault in FAULTS.items() if fault.kind.value == "span"} | {
    "penalty_box_s": 0
}


def ticket(chance: random.Random, number: int) -> dict[str, Any]:
    far = chance.random() < 0.6
    return {
        "conid": AAPL,
        "orderType": "LMT" if far else "MKT",
        **({"price": chance.choice((1.0, 2.0))} if far else {}),
        "side": chance.choice(("BUY", "SELL")) if not far else "BUY",
        "quantity": chance.randint(1, 20),
        "tif": chance.choice(("DAY", "GTC")),
        "cOID": f"n-{number}",
    }


def request(chance: random.Random, number: int, sim: SimGateway) -> list[Any]:
    """A method, a path and a body of what a client does."""
    order = chance.choice([*sim.venue.orders, 7])
    entry = ticket(chance, number)
    closing = {**entry, "orderType": "LMT", "price": 9000.0, "side": "SELL", "parentId": "x"}
    del closing["cOID"]
    closing["parentId"] = entry["cOID"]
    member = {**entry, "isSingleGroup": True}
    other = {**ticket(chance, number), "cOID": f"m-{number}", "isSingleGroup": True}
    return chance.choice(
        [
            ["POST", ORDERS, {"orders": [entry]}],
            ["POST", ORDERS, {"orders": [{**entry, "side": "BUY"}, closing, closing]}],
            ["POST", ORDERS, {"orders": [member, other]}],
            ["POST", f"/iserver/account/{ACCOUNT}/order/{order}", entry],
            ["DELETE", f"/iserver/account/{ACCOUNT}/order/{order}", None],
            ["GET", "/iserver/account/orders", None],
            ["GET", "/iserver/account/trades", None],
            ["GET", f"/iserver/account/order/status/{order}", None],
            ["GET", f"/portfolio2/{ACCOUNT}/positions", None],
            ["GET", f"/portfolio/{ACCOUNT}/positions/0", None],
            ["GET", "/iserver/accounts", None],
            ["GET", "/tickle", None],
            [*LOG_IN],
        ]
    )


async def ask(client: Client, method: str, path: str, body: Any) -> int:
    """The status of the answer, 0 when there was none; questions are answered yes."""
    try:
        async with asyncio.timeout(0.25):
            reply = await client.call(method, f"/v1/api{path}", json=body)
            while isinstance(reply.body, list) and reply.body and "message" in reply.body[0]:
                path = f"/v1/api/iserver/reply/{reply.body[0]['id']}"
                reply = await client.call("POST", path, json={"confirmed": True})
    except (TimeoutError, aiohttp.ClientError):
        return 0
    return reply.status


async def listen(client: Client) -> None:
    """Hold a socket open, again and again, subscribed to everything."""
    while True:
        try:
            async with client.socket() as socket:
                await socket.opened()
                for command in ("sor+{}", "str+{}", f'smd+{AAPL}+{{"fields":["31"]}}'):
                    await socket.send(command)
                await socket.last()
        except (TimeoutError, AssertionError, aiohttp.ClientError, ConnectionError):
            await asyncio.sleep(0.01)


def bookkeeping(sim: SimGateway) -> tuple[dict[int, Decimal], Decimal]:
    """What the executions of each order, and of all, come to."""
    filled: dict[int, Decimal] = {}
    held = Decimal(0)
    for row in sim.venue.executions:
        filled[row.order_id] = filled.get(row.order_id, Decimal(0)) + row.quantity
        held += row.quantity if row.ticket.is_buy else -row.quantity
    return filled, held


@pytest.mark.parametrize("seed", [1, 2, 3])
@asynchronous
async def test_whatever_strikes_the_books_balance_and_nothing_crashes(seed: int) -> None:
    chance, statuses = random.Random(seed), Counter[int]()
    async with gateway(seed=seed) as (sim, client):
        await client.open_session()
        sim.faults.change(SHORT)
        sim.faults.change(
            {"chances": {name: 0.05 for name, fault in FAULTS.items() if fault.kind in CHANCED}}
        )
        for name in NOT_HERE:
            sim.faults.chances.pop(name)
        listening = asyncio.create_task(listen(client))
        for number in range(120):
            brokerage = sim.world.session.brokerage
            if brokerage is None or not brokerage.primed:
                await ask(client, *LOG_IN)
                await ask(client, "GET", "/iserver/accounts", None)
            statuses[await ask(client, *request(chance, number, sim))] += 1
            if number % 20 == 0:
                act(sim, chance.choice(("renumber", "end_day", "answer_cancels")))
        sim.faults.clear()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        sim.world.advance(sim.world.clock_ms())
        filled, held = bookkeeping(sim)
        positions = sim.venue.accounts[ACCOUNT].positions
        position = positions[AAPL].quantity if AAPL in positions else 0
        wrong = [
            row
            for row in sim.venue.orders.values()
            if row.filled_quantity != filled.get(row.order_id, 0)
        ]

    assert statuses[500] == 0, statuses
    assert statuses[200] > 20, statuses
    assert len(sim.faults.struck) > 20, sim.faults.struck
    assert wrong == []
    assert position == held


def test_the_preset_leaves_a_way_to_the_gateway() -> None:
    assert set(PRESETS["bad-night"]["chances"]) & NOT_HERE == {"backend_down"}
