"""What the broker and its exchanges do to orders, executions and positions."""

from decimal import Decimal
from typing import Any

import pytest

from engine.sim import ActionError, SimConfig, SimGateway, act
from engine.sim.actions import check
from tests.sim.client import AAPL, ACCOUNT, FAST, Client, asynchronous, gateway, subscribed, until

TRADES = "/iserver/account/trades"


async def filled(sim: SimGateway, client: Client, **changes: Any) -> int:
    order_id = int((await client.place(orderType="MKT", price=None, **changes)).body[0]["order_id"])
    await until(lambda: not sim.venue.orders[order_id].working)
    await until(lambda: not sim.venue.agenda.rows())
    return order_id


@asynchronous
async def test_a_bust_is_a_revision_of_size_0_and_ends_what_was_filled() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.get(TRADES)
        async with client.socket() as socket:
            await subscribed(socket, "str+{}")
            order_id = await filled(sim, client, quantity=1)
            [first] = sim.venue.executions
            done = act(sim, "bust", {"execution": first.execution_id})
            await socket.until(
                lambda frame: (
                    frame.get("topic") == "str"
                    and frame["args"][-1]["execution_id"] == done["execution"]
                )
            )
            rows = (await client.get(TRADES)).body

    assert done["execution"] == first.execution_id.removesuffix("01") + "02"
    assert [(row["execution_id"], row["size"]) for row in rows] == [(done["execution"], 0.0)]
    order = sim.venue.orders[order_id]
    assert (order.status.value, order.filled_quantity) == ("Cancelled", Decimal(0))
    assert sim.venue.accounts[ACCOUNT].positions[AAPL].quantity == 0


@asynchronous
async def test_a_correction_moves_price_cash_and_average() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        order_id = await filled(sim, client, quantity=1)
        [first] = sim.venue.executions
        cash = sim.venue.accounts[ACCOUNT].cash
        act(sim, "correct", {"execution": first.execution_id, "price": str(first.price + 1)})
        again = act(sim, "correct", {"execution": first.execution_id, "price": str(first.price)})

    assert again["execution"].endswith(".03")
    assert sim.venue.accounts[ACCOUNT].cash == cash
    assert sim.venue.orders[order_id].average_price == first.price
    assert sim.venue.orders[order_id].status.value == "Filled"


@pytest.mark.parametrize(("fault", "sizes"), [("correct_next", {1.0}), ("bust_next", {0.0})])
@asynchronous
async def test_an_execution_may_be_revised_some_time_after_it(
    fault: str, sizes: set[float]
) -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.get(TRADES)
        setattr(sim.faults, fault, 1)
        sim.faults.correction_late_s = 0.05
        await filled(sim, client, quantity=1)
        await until(lambda: sim.venue.executions[0].execution_id.endswith(".02"))
        [row] = (await client.get(TRADES)).body

    assert ({row["size"]}, sim.faults.struck[fault]) == (sizes, 1)


@asynchronous
async def test_an_order_may_have_another_id_and_works_on_under_it() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        [row] = (await client.place(cOID="c-1", price=1)).body
        old_id = int(row["order_id"])
        await until(lambda: sim.venue.orders[old_id].status.value == "Submitted")
        [new_id] = act(sim, "renumber", {"order": old_id}).values()
        reply = await client.delete(f"/iserver/account/{ACCOUNT}/order/{new_id}")
        await until(lambda: not sim.venue.orders[new_id].working)

    assert (reply.body["order_id"], list(sim.venue.orders)) == (new_id, [new_id])


@asynchronous
async def test_a_bracket_stays_one_under_other_ids() -> None:
    ticket = {
        "conid": AAPL,
        "orderType": "LMT",
        "price": 1,
        "side": "BUY",
        "quantity": 10,
        "tif": "DAY",
    }
    exit_ticket = {**ticket, "side": "SELL", "price": 9000, "parentId": "b-1"}
    async with gateway() as (sim, client):
        await client.open_session()
        body = {"orders": [{**ticket, "cOID": "b-1"}, exit_ticket]}
        await client.post(f"/iserver/account/{ACCOUNT}/orders", body)
        await until(lambda: next(iter(sim.venue.orders.values())).status.value != "Inactive")
        act(sim, "renumber")
        entry, part = sorted(sim.venue.orders.values(), key=lambda row: row.parent_id is not None)
        sim.venue.cancel(entry.order_id, sim.world.clock_ms())
        await until(lambda: not part.working)

    assert (part.parent_id, part.status.value) == (entry.order_id, "Cancelled")


@asynchronous
async def test_a_position_moves_without_a_trade() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        up = act(sim, "move_position", {"conid": AAPL, "quantity": 5})
        down = act(sim, "move_position", {"account": ACCOUNT, "conid": AAPL, "quantity": -7})

    assert (up["position"], down["position"]) == ("5", "-2")
    assert sim.venue.executions == []


@asynchronous
async def test_the_day_is_ended_by_hand_and_a_second_order_made() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        [row] = (await client.place(cOID="c-1")).body
        second = act(sim, "incarnate", {"order": int(row["order_id"])})["second"]
        ended = act(sim, "end_day")["ended"]

    assert sorted(ended) == [int(row["order_id"]), second]
    assert [order.ticket.coid for order in sim.venue.orders.values()] == ["c-1", "c-1"]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("bust", {"execution": "x.y.01"}, "execution is x.y.01, which is none of this venue"),
        ("correct", {"execution": "x"}, "correct needs a price, a quantity, or both"),
        ("renumber", {"order": 7}, "OrderID 7 doesn't exist"),
        ("move_position", {"conid": 7, "quantity": 1}, "account is DU1111111 and conid 7"),
        ("select_account", {"account": "U1"}, "account is U1, known to an open brokerage session"),
        ("change_certificate", {}, "this gateway speaks no TLS"),
    ],
)
def test_what_cannot_be_done_is_said(name: str, arguments: dict[str, Any], said: str) -> None:
    sim = SimGateway(SimConfig(**FAST))

    check(sim, name, arguments)
    with pytest.raises(ActionError, match=said):
        act(sim, name, arguments)
