"""Suppressed questions, prompts and previews."""

from tests.sim.client import AAPL, ACCOUNT, Client, Reply, asynchronous, gateway


async def answer(client: Client, question: Reply, *, confirmed: bool = True) -> Reply:
    return await client.post(f"/iserver/reply/{question.body[0]['id']}", {"confirmed": confirmed})


ASK_MARKET: dict[str, tuple[str, ...]] = {"MKT": ("o10151",)}


@asynchronous
async def test_suppressed_questions_are_not_asked_until_the_session_is_new() -> None:
    async with gateway(questions=ASK_MARKET) as (sim, client):
        await client.open_session()
        suppressed = await client.post("/iserver/questions/suppress", {"messageIds": ["o10151"]})
        quiet = await client.place(orderType="MKT", price=None)
        await client.post("/iserver/questions/suppress/reset")
        asked = await client.place(orderType="MKT", price=None)
        await client.post("/iserver/questions/suppress", {"messageIds": ["o10151"]})
        sim.faults.reset_brokerage()
        await client.get("/tickle")
        await client.open_session()
        asked_again = await client.place(orderType="MKT", price=None)
        empty = await client.post("/iserver/questions/suppress", {"messageIds": []})

    assert suppressed.body == {"status": "submitted"}
    assert "order_id" in quiet.body[0]
    assert "messageIds" in asked.body[0]
    assert "messageIds" in asked_again.body[0]
    assert empty.status == 500


@asynchronous
async def test_a_preview_is_all_text_and_places_nothing() -> None:
    ticket = {
        "conid": AAPL,
        "orderType": "LMT",
        "price": 200,
        "side": "BUY",
        "quantity": 100,
        "tif": "DAY",
    }
    async with gateway() as (sim, client):
        await client.open_session()
        reply = await client.post(f"/iserver/account/{ACCOUNT}/orders/whatif", {"orders": [ticket]})

    assert reply.body["amount"] == {
        "amount": "20,000 USD (100 Shares)",
        "commission": "1 USD",
        "total": "20,001 USD",
    }
    assert reply.body["position"] == {"current": "0", "change": "100", "after": "100"}
    assert reply.body["initial"]["change"] == "5,000"
    assert (sim.venue.orders, sim.venue.submissions) == ({}, [])
