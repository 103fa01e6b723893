from tests.sim.client import asynchronous, gateway

SNAPSHOT = "/iserver/marketdata/snapshot"


@asynchronous
async def test_the_first_snapshot_only_opens_the_line() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        first = await client.get(SNAPSHOT, conids="265598", fields="84,86")
        second = await client.get(SNAPSHOT, conids="265598", fields="84,86")

    assert first.body == [{"conid": 265598, "conidEx": "265598"}]
    assert float(second.body[0]["84"]) < float(second.body[0]["86"])
    assert second.body[0]["6509"] == "RpB"


@asynchronous
async def test_an_added_field_comes_with_the_next_call_and_a_slow_one_later() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        await client.get(SNAPSHOT, conids="265598", fields="84")
        added = await client.get(SNAPSHOT, conids="265598", fields="84,7762")
        early = await client.get(SNAPSHOT, conids="265598", fields="84,7762")
        late = await client.get(SNAPSHOT, conids="265598", fields="84,7762")

    assert ["7762" in reply.body[0] for reply in (added, early, late)] == [False, False, True]
    assert all("84" in reply.body[0] for reply in (added, early, late))


@asynchronous
async def test_an_unknown_conid_never_has_data() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        rows = [(await client.get(SNAPSHOT, conids="1", fields="84")).body for _ in range(3)]

    assert rows == [[{"conid": 1, "conidEx": "1"}]] * 3


@asynchronous
async def test_a_snapshot_needs_the_accounts_and_sane_conids() -> None:
    async with gateway() as (_, client):
        await client.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True})
        unprimed = await client.get(SNAPSHOT, conids="265598", fields="84")
        await client.get("/iserver/accounts")
        broken = await client.get(SNAPSHOT, conids="AAPL", fields="84")
        many = await client.get(SNAPSHOT, conids=",".join(["8314"] * 101), fields="84")

    assert "Please query /accounts first" in unprimed.body["error"]
    assert (broken.status, many.status) == (400, 400)


@asynchronous
async def test_only_an_open_line_can_be_closed() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        await client.get(SNAPSHOT, conids="265598,8314", fields="84")
        closed = await client.post("/iserver/marketdata/unsubscribe", {"conid": 265598})
        again = await client.post("/iserver/marketdata/unsubscribe", {"conid": 265598})
        everything = await client.get("/iserver/marketdata/unsubscribeall")
        after = await client.get(SNAPSHOT, conids="8314", fields="84")

    assert closed.body == {"success": True}
    assert (again.status, again.body) == (500, {"error": "unknown"})
    assert everything.body == {"unsubscribed": True}
    assert after.body == [{"conid": 8314, "conidEx": "8314"}]


@asynchronous
async def test_history_has_bars_with_epoch_milliseconds() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        reply = await client.get(
            "/iserver/marketdata/history", conid="265598", period="1h", bar="1min"
        )
        unknown = await client.get("/iserver/marketdata/history", conid="1", period="1h")

    bars = reply.body["data"]
    assert (len(bars), reply.body["points"], reply.body["volumeFactor"]) == (60, 59, 40)
    assert bars[1]["t"] - bars[0]["t"] == 60_000
    assert unknown.status == 400
