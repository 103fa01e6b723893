from typing import Any

import pytest

from tests.sim.client import AAPL, ACCOUNT, Client, Reply, asynchronous, gateway

ASK_MARKET: dict[str, tuple[str, ...]] = {"MKT": ("o10151",)}


async def answer(client: Client, question: Reply, *, confirmed: bool = True) -> Reply:
    return await client.post(f"/iserver/reply/{question.body[0]['id']}", {"confirmed": confirmed})


@asynchronous
async def test_an_acknowledgement_is_an_array_with_the_order_id_as_a_text() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        reply = await client.place(cOID="c-1")

    [order_id] = sim.venue.orders
    assert reply == Reply(
        status=200,
        body=[
            {
                "order_id": str(order_id),
                "order_status": "PreSubmitted",
                "encrypt_message": "1",
                "local_order_id": "c-1",
            }
        ],
    )


@asynchronous
async def test_a_bare_array_of_tickets_is_taken_too() -> None:
    ticket = {
        "conid": AAPL,
        "orderType": "MKT",
        "side": "SELL",
        "quantity": "3",
        "tif": "GTC",
    }
    async with gateway() as (sim, client):
        await client.open_session()
        reply = await client.post(f"/iserver/account/{ACCOUNT}/orders", [ticket])

    assert reply.status == 200
    assert [order.ticket.account for order in sim.venue.orders.values()] == [ACCOUNT]


@asynchronous
async def test_every_order_post_is_recorded_with_its_body_whatever_became_of_it() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.place(cOID="c-1")
        await client.place(cOID="c-1")
        await client.place(cOID="c-2", quantity=0)
        await client.post(f"/iserver/account/{ACCOUNT}/orders")

    assert [row.coid for row in sim.venue.submissions] == ["c-1", "c-1", "c-2", None]
    assert [row.account for row in sim.venue.submissions] == [ACCOUNT] * 4
    assert sim.venue.submissions[0].body["orders"][0]["conid"] == AAPL
    assert len(sim.venue.orders) == 1


@asynchronous
async def test_a_client_order_id_is_taken_once() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        await client.place(cOID="c-1")
        again = await client.place(cOID="c-1")

    assert (again.status, again.body) == (
        200,
        {"error": "Order couldn't be submitted: Local order ID=c-1 is already registered."},
    )


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"price": 1.005}, 200, "minimum price variation"),
        ({"quantity": -1}, 200, "must be above zero"),
        ({"conid": 1}, 400, "conid is not valid: 1"),
        ({"acctId": "DU9"}, 400, "accountId is not valid: DU9"),
        ({"orderType": "VWAP"}, 200, "Order type VWAP is not supported"),
    ],
)
@asynchronous
async def test_a_bad_ticket_is_refused_with_the_status_of_the_broker(
    change: dict[str, Any], status: int, text: str
) -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        reply = await client.place(**change)

    assert reply.status == status
    assert text in reply.body["error"]
    assert sim.venue.orders == {}


@asynchronous
async def test_a_question_keeps_the_order_back_until_it_is_answered() -> None:
    async with gateway(questions=ASK_MARKET) as (sim, client):
        await client.open_session()
        question = await client.place(orderType="MKT", price=None, cOID="c-1")
        live_before = len(sim.venue.orders)
        accepted = await answer(client, question)

    assert question.body[0]["messageIds"] == ["o10151"]
    assert live_before == 0
    assert accepted.body[0]["local_order_id"] == "c-1"


@asynchronous
async def test_a_no_discards_the_order() -> None:
    async with gateway(questions=ASK_MARKET) as (sim, client):
        await client.open_session()
        question = await client.place(orderType="MKT", price=None)
        declined = await answer(client, question, confirmed=False)
        late = await answer(client, question)

    assert (declined.status, declined.body) == (200, {"error": "Order not confirmed "})
    assert late.status == 400
    assert late.body == {"error": f"reply id not found: '{question.body[0]['id']}'"}
    assert sim.venue.orders == {}


@asynchronous
async def test_questions_come_one_after_the_other() -> None:
    async with gateway(questions={"LMT": ("o163",), "*": ("o354",)}) as (sim, client):
        await client.open_session()
        first = await client.place()
        second = await answer(client, first)
        accepted = await answer(client, second)

    assert first.body[0]["messageIds"] == ["o163"]
    assert second.body[0]["messageIds"] == ["o354"]
    assert second.body[0]["id"] != first.body[0]["id"]
    assert accepted.body[0]["order_id"] == str(next(iter(sim.venue.orders)))


@asynchronous
async def test_a_market_data_line_answers_the_question_about_it() -> None:
    async with gateway(questions={"*": ("o354",)}) as (_, client):
        await client.open_session()
        await client.get("/iserver/marketdata/snapshot", conids=str(AAPL), fields="84")
        reply = await client.place()

    assert "order_id" in reply.body[0]


@pytest.mark.parametrize("other", ["place", "modify", "cancel", "whatif"])
@asynchronous
async def test_any_other_order_request_invalidates_the_open_question(other: str) -> None:
    async with gateway(questions=ASK_MARKET) as (sim, client):
        await client.open_session()
        question = await client.place(orderType="MKT", price=None, cOID="c-1")
        match other:
            case "place":
                await client.place()
            case "modify":
                await client.post(f"/iserver/account/{ACCOUNT}/order/1", {})
            case "cancel":
                await client.delete(f"/iserver/account/{ACCOUNT}/order/1")
            case _:
                await client.post(f"/iserver/account/{ACCOUNT}/orders/whatif", {"orders": []})
        late = await answer(client, question)

    assert (late.status, late.body["error"]) == (503, "Service Unavailable")
    assert sim.venue.orders_with_coid("c-1") == ()


@asynchronous
async def test_an_invalidated_question_may_go_live_all_the_same() -> None:
    async with gateway(questions=ASK_MARKET) as (sim, client):
        await client.open_session()
        sim.faults.invalidated_question_goes_live = True
        question = await client.place(orderType="MKT", price=None, cOID="c-1")
        await client.place(cOID="c-2")
        late = await answer(client, question)

    assert late.status == 503
    assert len(sim.venue.orders_with_coid("c-1")) == 1
    assert sim.faults.struck == {"invalidated_question_goes_live": 1}


@asynchronous
async def test_the_question_faults_ask_what_nobody_knows_and_more_often() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.unknown_question = True
        sim.faults.question_rounds = 3
        reply = await client.place()
        asked = []
        while "messageIds" in reply.body[0]:
            asked += reply.body[0]["messageIds"]
            reply = await answer(client, reply)

    assert asked == ["o99999"] * 3
    assert len(sim.venue.orders) == 1


@asynchronous
async def test_the_next_order_can_be_rejected_with_a_text() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.reject_next = "We cannot accept an order at the limit price you selected."
        rejected, taken = await client.place(), await client.place()

    assert rejected.body == {"error": "We cannot accept an order at the limit price you selected."}
    assert rejected.status == 200
    assert "order_id" in taken.body[0]


@asynchronous
async def test_the_next_order_can_stay_inactive() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.inactive_next = 1
        reply = await client.place(orderType="MKT", price=None)
        order_id = reply.body[0]["order_id"]
        cancelled = await client.delete(f"/iserver/account/{ACCOUNT}/order/{order_id}")

    assert reply.body[0]["order_status"] == "Inactive"
    assert (cancelled.status, cancelled.body) == (400, {"error": "Order is inactive"})
    assert sim.venue.executions == []


@asynchronous
async def test_the_next_order_can_be_cancelled_by_the_exchange_with_a_reason() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.cancel_next = "Price too far from the market."
        reply = await client.place()
        await client.get("/iserver/account/orders")
        orders = await client.get("/iserver/account/orders")

    assert reply.body[0]["order_status"] == "PreSubmitted"
    [row] = orders.body["orders"]
    assert row["status"] == "Cancelled"
    assert row["order_cancellation_by_system_reason"] == "Price too far from the market."
