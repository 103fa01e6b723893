import pytest

from tests.sim.client import ACCOUNT, Client, asynchronous, gateway


async def buy_ten(client: Client) -> None:
    """Buy ten shares at the market and wait until they are there."""
    async with client.socket() as socket:
        await socket.opened()
        await socket.send("sor+{}")
        await socket.send("tic")
        await socket.topic("tic")
        await client.place(orderType="MKT", price=None)
        await socket.order_in_status("Filled")


@asynchronous
async def test_until_the_accounts_were_read_everything_is_empty_without_an_error() -> None:
    async with gateway() as (_, client):
        paths = ("positions/0", "summary", "ledger")
        before = [(await client.get(f"/portfolio/{ACCOUNT}/{path}")).body for path in paths]
        accounts = await client.get("/portfolio/accounts")
        after = [(await client.get(f"/portfolio/{ACCOUNT}/{path}")).body for path in paths]

    assert before == [[], {}, {}]
    assert [row["accountId"] for row in accounts.body] == ["DU1111111", "DU2222222"]
    assert after[1]["netliquidation"]["amount"] == 1_000_000
    assert after[2]["USD"]["cashbalance"] == after[2]["BASE"]["cashbalance"] == 1_000_000


@asynchronous
async def test_the_first_read_of_positions_is_sparse_and_later_ones_are_cached() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        await client.get("/portfolio/accounts")
        await buy_ten(client)
        path = f"/portfolio/{ACCOUNT}/positions/0"
        first, second = await client.get(path), await client.get(path)
        await buy_ten(client)
        cached = await client.get(path)
        dropped = await client.post(f"/portfolio/{ACCOUNT}/positions/invalidate")
        fresh = await client.get(path)
        beyond = await client.get(f"/portfolio/{ACCOUNT}/positions/1")

    assert ("ticker" in first.body[0], "ticker" in second.body[0]) == (False, True)
    assert (first.body[0]["strike"], second.body[0]["strike"]) == (0.0, "0")
    assert dropped.body == {"message": "success"}
    assert [reply.body[0]["position"] for reply in (second, cached, fresh)] == [10.0, 10.0, 20.0]
    assert beyond.body == []


@asynchronous
async def test_the_second_portfolio_service_is_current_and_its_conid_is_a_text() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await buy_ten(client)
        reply = await client.get(f"/portfolio2/{ACCOUNT}/positions")
        one = await client.get(f"/portfolio/{ACCOUNT}/position/265598")
        everywhere = await client.get("/portfolio/positions/265598")
        none = await client.get("/portfolio/positions/8314")

    assert [(row["conid"], row["position"]) for row in reply.body] == [("265598", 10.0)]
    [order] = sim.venue.orders.values()
    assert reply.body[0]["avgPrice"] == pytest.approx(float(order.average_price))
    assert one.body[0]["conid"] == 265598
    assert list(everywhere.body) == [ACCOUNT]
    assert none.body == {}


@asynchronous
async def test_an_unknown_account_is_denied_here_and_invalid_there() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        denied = [
            await client.get(f"/portfolio/DU9/{path}")
            for path in ("positions/0", "summary", "ledger")
        ]
        invalid = await client.get("/iserver/account/DU9/summary")

    assert [(reply.status, reply.body) for reply in denied] == [(401, "Access Denied")] * 3
    assert (invalid.status, invalid.body["error"]) == (
        400,
        "Bad Request: accountId is not valid: DU9",
    )


@asynchronous
async def test_profit_and_loss_is_empty_at_the_first_read_of_a_session() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        cold = await client.get("/iserver/account/pnl/partitioned")
        warm = await client.get("/iserver/account/pnl/partitioned")

    assert cold.body == {"upnl": {}}
    assert sorted(warm.body["upnl"]) == ["DU1111111.Core", "DU2222222.Core"]
    assert warm.body["upnl"]["DU1111111.Core"]["nl"] == 1_000_000


@asynchronous
async def test_money_adds_up_after_a_purchase() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.get("/portfolio/accounts")
        await buy_ten(client)
        summary = await client.get(f"/portfolio/{ACCOUNT}/summary")
        flat = await client.get(f"/iserver/account/{ACCOUNT}/summary")

    [order] = sim.venue.orders.values()
    assert summary.body["totalcashvalue"]["amount"] == pytest.approx(
        1_000_000 - 10 * float(order.average_price) - 1
    )
    assert flat.body["totalCashValue"] == summary.body["totalcashvalue"]["amount"]


@asynchronous
async def test_an_account_describes_itself_and_what_it_is_worth_by_kind() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await buy_ten(client)
        described = await client.get(f"/portfolio/{ACCOUNT}/meta")
        allocated = await client.get(f"/portfolio/{ACCOUNT}/allocation")
        denied = await client.get("/portfolio/DU9/allocation")

    assert (described.body["accountId"], described.body["type"]) == (ACCOUNT, "DEMO")
    long = allocated.body["assetClass"]["long"]
    worth = float(10 * sim.venue.mark(265598))
    assert long["STK"] == pytest.approx(worth, rel=0.01)
    assert sum(long.values()) == pytest.approx(1_000_000, rel=0.001)
    assert denied.status == 401
