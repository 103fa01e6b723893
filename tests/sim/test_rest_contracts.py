from tests.sim.client import asynchronous, gateway


@asynchronous
async def test_stocks_and_futures_answer_conids_as_numbers() -> None:
    async with gateway() as (_, client):
        stocks = await client.get("/trsrv/stocks", symbols="AAPL,NOPE")
        futures = await client.get("/trsrv/futures", symbols="ES")

    assert stocks.body["AAPL"][0]["contracts"] == [
        {"conid": 265598, "exchange": "NASDAQ", "isUS": True}
    ]
    assert stocks.body["NOPE"] == []
    assert futures.body["ES"][0]["conid"] == 515416632
    assert futures.body["ES"][0]["expirationDate"] == 20261218


@asynchronous
async def test_definitions_leave_unknown_conids_out_and_have_a_limit() -> None:
    async with gateway() as (_, client):
        found = await client.get("/trsrv/secdef", conids="8314,1,515416632")
        many = await client.get("/trsrv/secdef", conids=",".join(["8314"] * 201))

    assert [row["ticker"] for row in found.body["secdef"]] == ["IBM", "ES"]
    assert (many.status, "201 conids" in many.body["error"]) == (400, True)


@asynchronous
async def test_contract_info_is_snake_case_and_has_rules_on_request() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        plain = await client.get("/iserver/contract/265598/info")
        ruled = await client.get("/iserver/contract/265598/info-and-rules", isBuy="true")
        unknown = await client.get("/iserver/contract/1/info")

    assert (plain.body["con_id"], plain.body["instrument_type"]) == (265598, "STK")
    assert ruled.body["rules"]["incrementRules"] == [{"lowerEdge": 0.0, "increment": 0.01}]
    assert unknown.status == 400


@asynchronous
async def test_rules_tell_tick_and_size_increments() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        stock = await client.post("/iserver/contract/rules", {"conid": 265598, "isBuy": True})
        future = await client.post("/iserver/contract/rules", {"conid": 515416632, "isBuy": True})
        zero = await client.post("/iserver/contract/rules", {"conid": 0, "isBuy": True})

    assert (stock.body["increment"], stock.body["sizeIncrement"]) == (0.01, 1)
    assert (future.body["increment"], future.body["sizeIncrement"]) == (0.25, 1)
    assert zero.status == 400


@asynchronous
async def test_the_rules_of_each_kind_name_what_the_venue_takes() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        stock, coin, index = [
            (await client.post("/iserver/contract/rules", {"conid": conid, "isBuy": True})).body
            for conid in (265598, 479624278, 416904)
        ]

    assert len(stock["orderTypes"]) == 12
    assert stock["orderTypesOutside"] == [
        "limit",
        "stop_limit",
        "lit",
        "trailing_stop_limit",
        "relative",
    ]
    assert "OPG/LIMIT,MARKET,a" in stock["tifTypes"]
    assert (coin["orderTypes"], coin["cqtTypes"], coin["fraqTypes"]) == (
        ["limit", "market"],
        ["limit", "market"],
        ["limit", "market"],
    )
    assert (coin["sizeIncrement"], coin["fraqInt"], coin["cashCcy"]) == (1e-08, 8, "USD")
    assert (index["orderTypes"], index["tifTypes"], index["canTradeAcctIds"]) == ([], [], [])


@asynchronous
async def test_an_option_has_its_terms_and_two_tick_sizes() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        call = next(row for row in sim.world.market.instruments.values() if row.strike == 230)
        info = (await client.get(f"/iserver/contract/{call.conid}/info-and-rules")).body

    assert (info["strike"], info["right"], info["multiplier"]) == ("230", "CALL", "100")
    assert info["underlying_con_id"] == 265598
    assert info["rules"]["incrementRules"] == [
        {"lowerEdge": 0.0, "increment": 0.01},
        {"lowerEdge": 3.0, "increment": 0.05},
    ]


@asynchronous
async def test_algorithms_have_parameters_on_request_and_an_unknown_contract_is_a_503() -> None:
    path = "/iserver/contract/265598/algos"
    async with gateway() as (_, client):
        await client.open_session()
        short = await client.get(path)
        long = await client.get(path, algos="Vwap", addDescription="1", addParams="1")
        none = await client.get("/iserver/contract/416904/algos")
        unknown = await client.get("/iserver/contract/1/algos")

    assert short.body["algos"][0] == {"name": "Adaptive", "id": "Adaptive"}
    [vwap] = long.body["algos"]
    assert vwap["parameters"][0] == {
        "guiRank": 1,
        "name": "Max Percentage",
        "id": "maxPctVol",
        "minValue": 0.01,
        "maxValue": 50.0,
        "description": "From 0.01 to 50",
        "required": "true",
        "valueClassName": "Double",
    }
    assert (none.body, unknown.status) == ({"algos": []}, 503)
