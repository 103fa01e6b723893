"""The control port of a running simulator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from engine.sim import ControlPort, SimConfig, SimGateway
from engine.sim.tickets import Batch
from tests.sim.client import AAPL, FAST, asynchronous, until
from tests.sim.test_venue import limit


@asynccontextmanager
async def controlled(
    *usernames: str,
) -> AsyncIterator[tuple[list[SimGateway], aiohttp.ClientSession]]:
    """Gateways whose market moves, and a client of their control port."""
    gateways = [SimGateway(SimConfig(**FAST, username=name)) for name in usernames]
    control = ControlPort(gateways)
    await control.start()
    for row in gateways:
        row.start_clock()
    try:
        async with aiohttp.ClientSession(base_url=control.url) as http:
            yield gateways, http
    finally:
        for row in gateways:
            await row.stop_clock()
        await control.stop()


async def ask(
    http: aiohttp.ClientSession, method: str, path: str, **options: Any
) -> tuple[int, Any]:
    async with http.request(method, path, **options) as response:
        return response.status, await response.json()


@asynchronous
async def test_it_listens_on_loopback_and_nowhere_else() -> None:
    async with controlled("one") as (_, http):
        url = str(http._base_url)

    assert url.startswith("http://127.0.0.1:")


@asynchronous
async def test_faults_are_shown_changed_and_counted() -> None:
    async with controlled("one", "two") as (gateways, http):
        _, before = await ask(http, "GET", "/faults")
        _, changed = await ask(http, "PATCH", "/faults", json={"lose_sor": 2})
        _, one = await ask(http, "PATCH", "/faults?session=two", json={"mute_sor": True})
        gateways[0].faults.takes("lose_sor")
        _, after = await ask(http, "GET", "/faults?session=one")

    assert before["one"]["values"] == gateways[0].faults.values() | {"lose_sor": 0}
    assert [row["values"]["lose_sor"] for row in changed.values()] == [2, 2]
    assert (list(one), gateways[0].faults.mute_sor) == (["two"], False)
    assert (after["one"]["values"]["lose_sor"], after["one"]["struck"]) == (1, {"lose_sor": 1})


@asynchronous
async def test_actions_are_listed_and_done() -> None:
    async with controlled("one") as (gateways, http):
        _, listed = await ask(http, "GET", "/actions")
        status, done = await ask(http, "POST", "/actions/external", json={"conid": AAPL})
        await until(lambda: all(not row.working for row in gateways[0].venue.orders.values()))
        _, truth = await ask(http, "GET", "/venue")

    assert listed["silence"] == ["seconds"]
    assert (status, list(done)) == (200, ["one"])
    [order] = truth["one"]["orders"]
    assert (order["order_id"], order["status"]) == (done["one"]["order"], "Filled")
    assert (order["total_quantity"], order["filled_quantity"]) == ("1", "1")
    assert truth["one"]["positions"]["DU1111111"] == {str(AAPL): "1"}


@asynchronous
async def test_an_action_for_all_is_done_by_those_who_can() -> None:
    async with controlled("one", "two") as (gateways, http):
        ticket = {"conid": AAPL, "orderType": "LMT", "price": 1}
        _, placed = await ask(http, "POST", "/actions/external?session=two", json=ticket)
        order = {"order": placed["two"]["order"]}
        checked = await ask(http, "POST", "/actions/cancel_external?check=true", json=order)
        still_there = [row.working for row in gateways[1].venue.orders.values()]
        status, done = await ask(http, "POST", "/actions/cancel_external", json=order)
        again, nobody = await ask(http, "POST", "/actions/cancel_external", json={"order": 1})

    assert (checked, still_there) == ((200, {"one": {}, "two": {}}), [True])
    assert (status, done["two"]) == (200, order)
    assert done["one"] == {"error": f"OrderID {order['order']} doesn't exist"}
    assert (again, nobody) == (400, {"error": "OrderID 1 doesn't exist"})


@asynchronous
async def test_what_cannot_be_done_is_refused_with_a_text_and_changes_nothing() -> None:
    async with controlled("one") as (gateways, http):
        refused = [
            await ask(http, "PATCH", "/faults", json={"mute_sor": True, "explode": 1}),
            await ask(http, "PATCH", "/faults", data=b"[1]"),
            await ask(http, "POST", "/actions/explode"),
            await ask(http, "GET", "/faults?session=three"),
            await ask(http, "GET", "/faults", headers={"Origin": "http://evil.example"}),
        ]

    assert [status for status, _ in refused] == [400, 400, 400, 404, 403]
    assert "explode is no fault; `engine sim faults list` shows all" in refused[0][1]["error"]
    assert refused[1][1]["error"] == "the body must be a JSON object"
    assert "explode is no action" in refused[2][1]["error"]
    assert refused[3][1]["error"] == "session is three, known are one"
    assert gateways[0].faults.mute_sor is False


@asynchronous
async def test_faults_are_described_cleared_and_given_by_a_preset() -> None:
    async with controlled("one", "two") as (gateways, http):
        _, known = await ask(http, "GET", "/faults/known")
        _, presets = await ask(http, "GET", "/presets")
        checked = await ask(http, "POST", "/presets/bad-night?check=true")
        untouched = dict(gateways[0].faults.chances)
        await ask(http, "POST", "/presets/bad-night?session=one")
        given = [dict(row.faults.chances) for row in gateways]
        await ask(http, "PATCH", "/faults", json={"lose_sor": "50%"})
        await ask(http, "DELETE", "/faults?check=true")
        still = gateways[1].faults.chances
        status, cleared = await ask(http, "DELETE", "/faults")
        unknown = await ask(http, "POST", "/presets/good-night")

    assert known["lose_sor"]["kind"] == "count"
    assert (checked[0], untouched) == (200, {})
    assert given == [presets["bad-night"]["chances"], {}]
    assert still == {"lose_sor": 0.5}
    assert (status, [row["values"]["chances"] for row in cleared.values()]) == (200, [{}, {}])
    assert unknown == (400, {"error": "good-night is no preset; known are bad-night"})


@asynchronous
async def test_the_truth_says_what_belongs_together() -> None:
    async with controlled("one") as (gateways, http):
        [gateway] = gateways
        members = tuple(limit("1.00", coid=coid, single_group=True) for coid in ("o-1", "o-2"))
        gateway.venue.accept_all(Batch(tickets=members), gateway.world.clock_ms())
        _, truth = await ask(http, "GET", "/venue")

    rows = truth["one"]["orders"]
    assert {(row["parent_id"], row["oca_group"]) for row in rows} == {
        (None, f"oco-{rows[0]['order_id']}")
    }
