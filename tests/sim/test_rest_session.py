from tests.sim.client import ACCOUNT, asynchronous, gateway


@asynchronous
async def test_a_new_brokerage_session_is_established_only_after_a_while() -> None:
    async with gateway(established_delay_ms=100) as (sim, client):
        opened = await client.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True})
        early = await client.get("/iserver/accounts")
        while not (await client.get("/iserver/auth/status")).body["established"]:
            assert sim.world.session.brokerage is not None
        late = await client.get("/iserver/accounts")

    assert (opened.body["authenticated"], opened.body["established"]) == (True, False)
    assert (early.status, early.body["error"]) == (400, "Bad Request: no bridge")
    assert late.body["accounts"] == ["DU1111111", "DU2222222"]
    assert late.body["isPaper"] is True


@asynchronous
async def test_without_a_brokerage_session_the_status_lacks_fields() -> None:
    async with gateway() as (_, client):
        status = await client.get("/iserver/auth/status")

    assert sorted(status.body) == ["MAC", "authenticated", "competing", "connected"]


@asynchronous
async def test_the_session_id_of_a_tickle_is_stable() -> None:
    async with gateway() as (_, client):
        first, second = await client.get("/tickle"), await client.post("/tickle")

    assert first.body["session"] == second.body["session"]
    assert first.body["hmds"] == {"error": "no bridge"}
    assert first.body["iserver"]["authStatus"]["authenticated"] is False


@asynchronous
async def test_the_login_is_validated_with_its_kind_and_expiry() -> None:
    async with gateway() as (_, client):
        reply = await client.get("/sso/validate")

    assert (reply.body["USER_NAME"], reply.body["RESULT"]) == ("simuser", True)
    assert (reply.body["LOGIN_TYPE"], reply.body["EXPIRES"] > 0) == (2, True)


@asynchronous
async def test_a_logout_ends_both_tiers_and_leaves_orders_alone() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.place()
        reply = await client.post("/logout")
        after = await client.get("/tickle")

    assert reply.body == {"status": True}
    assert (after.status, after.body) == (401, "Access Denied")
    assert [order.working for order in sim.venue.orders.values()] == [True]


@asynchronous
async def test_accounts_are_switched_and_unknown_ones_are_an_error_500() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        same = await client.post("/iserver/account", {"acctId": ACCOUNT})
        other = await client.post("/iserver/account", {"acctId": "DU2222222"})
        unknown = await client.post("/iserver/account", {"acctId": "DU9"})
        missing = await client.post("/iserver/account", {})

    assert same.body == {"success": "Account already set"}
    assert other.body == {"set": True, "acctId": "DU2222222"}
    assert (unknown.status, unknown.body) == (500, {"error": "Invalid account ID"})
    assert missing.status == 400


@asynchronous
async def test_a_live_account_makes_the_session_a_live_one() -> None:
    async with gateway(accounts=("U1111111",)) as (_, client):
        await client.open_session()
        accounts = await client.get("/iserver/accounts")
        login = await client.get("/sso/validate")

    assert (accounts.body["isPaper"], login.body["LOGIN_TYPE"]) == (False, 1)
