from tests.sim.client import AAPL, asynchronous, gateway


@asynchronous
async def test_a_search_answers_conids_as_texts_and_nothing_as_an_empty_list() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        found = await client.get("/iserver/secdef/search", symbol="AAPL")
        posted = await client.post("/iserver/secdef/search", {"symbol": "AAPL"})
        nothing = await client.get("/iserver/secdef/search", symbol="NOPE")

    [row] = found.body
    assert (row["conid"], row["symbol"], row["description"]) == ("265598", "AAPL", "NASDAQ")
    assert [section["secType"] for section in row["sections"]] == ["STK", "OPT"]
    assert row["sections"][1]["exchange"] == "SMART;AMEX;CBOE"
    assert posted.body == found.body
    assert (nothing.status, nothing.body) == (200, [])


@asynchronous
async def test_a_future_is_found_by_its_underlying_with_its_months() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        [row] = (await client.get("/iserver/secdef/search", symbol="ES")).body
        of_month = await client.get(
            "/iserver/secdef/info", conid="11004968", sectype="FUT", month="DEC26", exchange="CME"
        )
        of_all = await client.get("/iserver/secdef/info", conid="11004968", sectype="FUT")

    assert row["conid"] == "11004968"
    assert row["sections"] == [
        {"secType": "IND"},
        {"secType": "FUT", "months": "DEC26;MAR27;JUN27", "exchange": "CME"},
    ]
    assert [(one["conid"], one["maturityDate"]) for one in of_month.body] == [
        (515416632, "20261218")
    ]
    assert len(of_all.body) == 3


@asynchronous
async def test_an_ambiguous_symbol_is_several_rows_and_several_listings() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        found = (await client.get("/iserver/secdef/search", symbol="SIMDUAL")).body
        stocks = (await client.get("/trsrv/stocks", symbols="SIMDUAL")).body["SIMDUAL"]

    assert [row["description"] for row in found] == ["NYSE", "IBIS", "EBS", "TSE"]
    assert [[one["isUS"] for one in row["contracts"]] for row in stocks] == [
        [True, False, False],
        [False],
    ]


@asynchronous
async def test_a_name_is_searched_in_part_and_a_kind_narrows_the_search() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        by_name = await client.get("/iserver/secdef/search", symbol="bitcoin", name="true")
        as_stock = await client.get("/iserver/secdef/search", symbol="SPX", secType="STK")
        as_index = await client.get("/iserver/secdef/search", symbol="SPX", secType="IND")

    assert [row["conid"] for row in by_name.body] == ["479624278"]
    assert (as_stock.body, [row["conid"] for row in as_index.body]) == ([], ["416904"])


@asynchronous
async def test_strikes_and_contracts_of_a_month_come_after_the_search_only() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        month = next(row.month or "" for row in sim.world.market.instruments.values() if row.strike)
        query = {"conid": str(AAPL), "sectype": "OPT", "month": month}
        cold = await client.get("/iserver/secdef/info", **query)
        none = await client.get("/iserver/secdef/strikes", **query)
        await client.get("/iserver/secdef/search", symbol="AAPL")
        strikes = await client.get("/iserver/secdef/strikes", **query)
        info = await client.get("/iserver/secdef/info", **query, strike="230", right="C")
        bad_month = await client.get("/iserver/secdef/info", **(query | {"month": "202612"}))
        other_month = await client.get("/iserver/secdef/strikes", **(query | {"month": "JAN20"}))

    assert (cold.status, cold.body["error"]) == (400, "Bad Request: no contracts retrieved")
    assert none.body == other_month.body == {"call": [], "put": []}
    assert strikes.body["call"] == strikes.body["put"] == list(range(200, 265, 5))
    [call] = info.body
    assert (call["right"], call["strike"], call["multiplier"]) == ("C", 230.0, "100")
    assert sim.world.market.instruments[call["conid"]].terms == call["desc2"]
    assert bad_month.status == 400


@asynchronous
async def test_currency_pairs_and_rates_are_told() -> None:
    async with gateway() as (_, client):
        await client.open_session()
        of_euro = await client.get("/iserver/currency/pairs", currency="EUR")
        of_dollar = await client.get("/iserver/currency/pairs", currency="USD")
        of_none = await client.get("/iserver/currency/pairs", currency="XXX")
        rate = await client.get("/iserver/exchangerate", source="USD", target="EUR")
        unknown = await client.get("/iserver/exchangerate", source="USD", target="XXX")

    assert of_euro.body == {"EUR": [{"symbol": "EUR.USD", "conid": 12087792, "ccyPair": "USD"}]}
    assert of_dollar.body["USD"][0]["ccyPair"] == "EUR"
    assert of_none.body == {}
    assert 0.91 < rate.body["rate"] < 0.93
    assert unknown.status == 400


@asynchronous
async def test_schedules_say_that_the_market_never_closes() -> None:
    async with gateway() as (_, client):
        days = (await client.get("/contract/trading-schedule", conid="265598")).body
        week = await client.get(
            "/trsrv/secdef/schedule", assetClass="STK", symbol="AAPL", exchange="NASDAQ"
        )
        unknown = await client.get("/contract/trading-schedule", conid="1")

    hours = [row["liquid_hours"][0] for row in days["schedules"].values()]
    assert [row["closing"] - row["opening"] for row in hours] == [86_400] * 6
    [venue] = week.body
    assert (venue["exchange"], len(venue["schedules"])) == ("NASDAQ", 7)
    assert unknown.status == 400
