"""Every order type and time in force, placed, changed and cancelled over HTTP."""

from typing import Any

import pytest

from engine.sim import SimGateway, act
from tests.sim.client import AAPL, ACCOUNT, Client, asynchronous, gateway, until

SOON = 40
IBM = 8314
EURO = 12087792
COIN = 479624278
FUTURE = 515416632

# Prices so far away that the order rests, and another price to change it to.
RESTING: dict[str, dict[str, Any]] = {
    "LMT": {"price": 100.0},
    "STP": {"price": 400.0},
    "STOP_LIMIT": {"price": 401.0, "auxPrice": 400.0},
    "TRAIL": {"price": 400.0, "trailingType": "amt", "trailingAmt": 150},
    "TRAILLMT": {"price": 401.0, "auxPrice": 400.0, "trailingType": "%", "trailingAmt": 60},
    "MIDPRICE": {"price": 100.0},
    "MOC": {"price": None},
    "LOC": {"price": 100.0},
    "MIT": {"price": 100.0},
    "LIT": {"price": 99.0, "auxPrice": 100.0},
    "REL": {"price": 100.0},
}
WORDS = {
    "LMT": ("Limit", "LIMIT"),
    "STP": ("Stop", "STOP"),
    "STOP_LIMIT": ("Stop Limit", "STOP_LIMIT"),
    "TRAIL": ("Trailing Stop", "TRAILING_STOP"),
    "TRAILLMT": ("Trailing Stop Limit", "TRAILING_STOP_LIMIT"),
    "MIDPRICE": ("MidPrice", "MIDPRICE"),
    "MOC": ("Market on Close", "MARKETONCLOSE"),
    "LOC": ("Limit on Close", "LIMITONCLOSE"),
    "MIT": ("Market if Touched", "MIT"),
    "LIT": ("Limit if Touched", "LIT"),
    "REL": ("Relative", "RELATIVE"),
}


async def row_of(client: Client, order_id: int) -> dict[str, Any]:
    """The order's row in the list, after the first read that is always empty."""
    await client.get("/iserver/account/orders", force="true")
    listed = await client.get("/iserver/account/orders")
    [row] = [row for row in listed.body["orders"] if row["orderId"] == order_id]
    assert isinstance(row, dict)
    return row


async def modify(client: Client, order_id: int, **changes: Any) -> Any:
    ticket = {
        "conid": AAPL,
        "orderType": "LMT",
        "side": "BUY",
        "quantity": 10,
        "tif": "DAY",
        "price": 1.0,
    } | changes
    body = {name: value for name, value in ticket.items() if value is not None}
    reply = await client.post(f"/iserver/account/{ACCOUNT}/order/{order_id}", body)
    return reply.body


def filled(sim: SimGateway, order_id: int) -> bool:
    return sim.venue.orders[order_id].status.value == "Filled"


@pytest.mark.parametrize("order_type", sorted(RESTING))
@asynchronous
async def test_every_type_is_placed_shown_changed_and_cancelled(order_type: str) -> None:
    terms = {"orderType": order_type, **RESTING[order_type]}
    async with gateway(auction_interval_ms=3_600_000) as (sim, client):
        await client.open_session()
        [placed] = (await client.place(**terms)).body
        order_id = int(placed["order_id"])
        resting = "Submitted" if order_type in {"LMT", "MIDPRICE", "REL"} else "PreSubmitted"
        order = sim.venue.orders[order_id]
        await until(lambda: order.status.value == resting)
        row = await row_of(client, order_id)
        [changed] = await modify(client, order_id, **terms, quantity=7)
        after = await row_of(client, order_id)
        cancelled = await client.delete(f"/iserver/account/{ACCOUNT}/order/{order_id}")
        await until(lambda: order.status.value == "Cancelled")

    assert (row["orderType"], row["origOrderType"]) == WORDS[order_type]
    assert (row["status"], row["filledQuantity"]) == (resting, 0.0)
    wanted = RESTING[order_type]
    if "trailingAmt" not in wanted:
        expected = "" if wanted["price"] is None else f"{wanted['price']:.2f}"
        assert row["price"] == expected
        assert row.get("auxPrice") == (
            f"{wanted['auxPrice']:.2f}" if "auxPrice" in wanted else None
        )
    assert changed["order_id"] == placed["order_id"]
    assert (after["totalSize"], after["status"]) == (7.0, resting)
    assert cancelled.body["msg"] == "Request was submitted"


@pytest.mark.parametrize("tif", ["DAY", "GTC", "OVT", "OND"])
@asynchronous
async def test_every_lasting_time_in_force_rests(tif: str) -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        [placed] = (await client.place(tif=tif)).body
        order = sim.venue.orders[int(placed["order_id"])]
        await until(lambda: order.status.value == "Submitted")
        row = await row_of(client, order.order_id)

    assert row["timeInForce"] == tif


@asynchronous
async def test_what_is_not_filled_at_once_is_cancelled_when_it_should_be() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        [placed] = (await client.place(tif="IOC")).body
        order = sim.venue.orders[int(placed["order_id"])]
        await until(lambda: order.status.value == "Cancelled")

    assert order.filled_quantity == 0


@pytest.mark.parametrize(
    "terms",
    [
        {"orderType": "MOC", "price": None},
        {"orderType": "LOC", "price": 300.0},
        {"orderType": "MKT", "price": None, "tif": "OPG"},
        {"orderType": "LMT", "price": 300.0, "tif": "OPG"},
    ],
    ids=lambda terms: f"{terms['orderType']}-{terms.get('tif', 'DAY')}",
)
@asynchronous
async def test_an_auction_fills_an_order_whole_at_one_price(terms: dict[str, Any]) -> None:
    async with gateway(auction_interval_ms=SOON) as (sim, client):
        await client.open_session()
        [placed] = (await client.place(**terms)).body
        order_id = int(placed["order_id"])
        await until(lambda: filled(sim, order_id))

    assert [row.quantity for row in sim.venue.executions] == [10]


@asynchronous
async def test_an_auction_that_passes_a_limit_ends_the_order() -> None:
    async with gateway(auction_interval_ms=SOON) as (sim, client):
        await client.open_session()
        [placed] = (await client.place(orderType="LOC", price=100.0)).body
        order = sim.venue.orders[int(placed["order_id"])]
        await until(lambda: order.status.value == "Cancelled")

    assert order.filled_quantity == 0
    assert order.reason is None


@pytest.mark.parametrize(
    ("terms", "market"),
    [
        ({"orderType": "STP", "price": 240.0}, "240.00"),
        ({"orderType": "STOP_LIMIT", "price": 260.0, "auxPrice": 240.0}, "240.00"),
        ({"orderType": "MIT", "price": 210.0}, "209.90"),
        ({"orderType": "LIT", "price": 215.0, "auxPrice": 210.0}, "209.90"),
        ({"orderType": "MIDPRICE", "price": 215.0}, "210.00"),
        ({"orderType": "REL", "price": 215.0}, "210.00"),
        (
            {"orderType": "TRAIL", "price": None, "trailingType": "amt", "trailingAmt": 10},
            "245.00",
        ),
        (
            {
                "orderType": "TRAILLMT",
                "price": 262.0,
                "auxPrice": 242.0,
                "trailingType": "%",
                "trailingAmt": 5,
            },
            "245.00",
        ),
    ],
    ids=lambda value: value["orderType"] if isinstance(value, dict) else value,
)
@asynchronous
async def test_an_order_fills_once_the_market_is_where_it_waits(
    terms: dict[str, Any], market: str
) -> None:
    async with gateway(quote_interval_ms=(5, 15)) as (sim, client):
        await client.open_session()
        await until(lambda: sim.world.market.quote(AAPL).last is not None)
        [placed] = (await client.place(**terms)).body
        order_id = int(placed["order_id"])
        order = sim.venue.orders[order_id]
        await until(lambda: order.status.value in {"PreSubmitted", "Submitted"})
        filled_before = order.filled_quantity
        act(sim, "trade_at", {"conid": AAPL, "price": market})
        await until(lambda: filled(sim, order_id))

    assert filled_before == 0
    assert order.filled_quantity == 10


@asynchronous
async def test_money_buys_the_part_of_a_coin_that_it_pays() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        reply = await client.place(
            conid=COIN, orderType="MKT", price=None, quantity=None, cashQty=500, tif="IOC"
        )
        order_id = int(reply.body[0]["order_id"])
        await until(lambda: filled(sim, order_id))
        row = await row_of(client, order_id)

    order = sim.venue.orders[order_id]
    assert 499 < order.filled_quantity * order.average_price <= 501
    assert row["totalCashSize"] == 500.0
    assert row["totalSize"] == float(order.ticket.quantity)


@asynchronous
async def test_a_currency_pair_fills_and_moves_the_ledger() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.get("/portfolio/accounts")
        reply = await client.place(conid=EURO, orderType="MKT", price=None, quantity=20_000)
        order_id = int(reply.body[0]["order_id"])
        await until(lambda: filled(sim, order_id))
        ledger = (await client.get(f"/portfolio/{ACCOUNT}/ledger")).body

    assert (ledger["EUR"]["cashbalance"], ledger["EUR"]["secondkey"]) == (20_000, "EUR")
    assert ledger["USD"]["cashbalance"] < 1_000_000 - 21_000
    assert abs(ledger["BASE"]["cashbalance"] - 1_000_000) < 100


@asynchronous
async def test_an_option_fills_and_shows_its_terms() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        call = next(row for row in sim.world.market.instruments.values() if row.strike == 230)
        reply = await client.place(
            conid=call.conid, orderType="MKT", price=None, quantity=2, secType=f"{call.conid}:OPT"
        )
        order_id = int(reply.body[0]["order_id"])
        await until(lambda: filled(sim, order_id))
        row = await row_of(client, order_id)
        [position] = (await client.get(f"/portfolio2/{ACCOUNT}/positions")).body

    assert (row["secType"], row["description2"]) == ("OPT", call.terms)
    assert (position["description"], position["secType"]) == (f"AAPL {call.terms}", "OPT")
    order = sim.venue.orders[order_id]
    assert position["avgCost"] == pytest.approx(float(order.average_price) * 100)


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ({"conid": 416904}, "an index cannot be traded"),
        ({"conid": IBM, "tif": "OVT"}, "Invalid time in force: OVT"),
        ({"conid": EURO, "orderType": "MOC"}, "Order type MOC is not supported"),
        ({"conid": COIN, "tif": "GTC", "price": 90000}, "Invalid time in force: GTC"),
        ({"orderType": "TRAIL", "tif": "IOC"}, "IOC is for MARKET, LIMIT only"),
        ({"tif": "GTD"}, "GTD needs a date"),
        (
            {"conid": COIN, "tif": "IOC", "price": 90000, "quantity": None, "cashQty": 0.0001},
            "buys less than 0.00000001",
        ),
    ],
)
@asynchronous
async def test_what_the_rules_forbid_is_refused_with_a_text_and_no_order(
    terms: dict[str, Any], text: str
) -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        reply = await client.place(**terms)

    assert (reply.status, text in reply.body["error"], sim.venue.orders) == (200, True, {})


@asynchronous
async def test_a_modify_may_turn_a_limit_into_a_stop_and_back() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        [placed] = (await client.place()).body
        order_id = int(placed["order_id"])
        order = sim.venue.orders[order_id]
        await until(lambda: order.status.value == "Submitted")
        await modify(client, order_id, orderType="STP", price=400.0)
        as_stop = order.status.value
        await modify(client, order_id, orderType="MKT", price=None)
        await until(lambda: filled(sim, order_id))

    assert as_stop == "PreSubmitted"
