import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.ports import AmbiguousSymbol, ContractQuery, HistoryQuery
from engine.domain.values import ConId, Reason
from tests.api import fake_engine
from tests.api.fake_engine import INSTRUMENT, FakeEngine, serving

AAPL = {
    "conid": 265598,
    "symbol": "AAPL",
    "sec_type": "STK",
    "currency": "USD",
    "exchange": "NASDAQ",
    "name": "APPLE INC",
    "multiplier": "1",
    "increments": [{"lower_edge": "0", "increment": "0.01"}],
    "size_increment": "1",
    "order_types": ["MKT", "LMT"],
    "tradable": True,
    "tifs": [
        {"tif": "DAY", "order_types": None, "outside_rth": True},
        {"tif": "IOC", "order_types": ["MKT"], "outside_rth": False},
    ],
    "outside_rth_types": ["LMT"],
    "fraction_types": ["MKT"],
    "cash_types": [],
    "cash_increment": None,
    "cash_currency": None,
    "underlying_conid": None,
    "expiry": None,
    "strike": None,
    "right": None,
    "trading_class": None,
    "valid_exchanges": ["SMART", "NASDAQ"],
    "age_ms": None,
}
QUOTE = {
    "conid": 265598,
    "bid": "189.24",
    "ask": "189.26",
    "last": "189.25",
    "bid_size": "300",
    "ask_size": "1300",
    "last_size": None,
    "volume": "5660000",
    "prior_close": None,
    "halted": False,
    "availability": "RpB",
    "age_ms": 85,
    "source": "stream",
}
LIVE = {"conid": 265598, "interval": "1s", "period": None, "source": "stream"}
BAR = {
    "start": "2025-11-22T12:00:00.000000Z",
    "open": "189.2",
    "high": "189.3",
    "low": "189.1",
    "close": "189.25",
    "volume": "0",
    "vwap": None,
    "trades": 0,
}


def test_a_symbol_is_looked_up() -> None:
    async def scene() -> None:
        other = replace(INSTRUMENT, conid=ConId(7), symbol="IBM")
        engine = FakeEngine(
            symbols={
                "AAPL": INSTRUMENT,
                "IBM": AmbiguousSymbol(symbol="IBM", candidates=(INSTRUMENT, other)),
            }
        )
        async with serving(engine) as client:
            one = await client.ask("GET", "/v1/instruments?symbol=AAPL")
            two = await client.ask("GET", "/v1/instruments?symbol=IBM&exchange=NYSE")

            assert one == (200, {"instruments": [AAPL | {"age_ms": 40}], "count": 1})
            several = [AAPL, AAPL | {"conid": 7, "symbol": "IBM"}]
            assert two == (200, {"instruments": several, "count": 2})

    asyncio.run(scene())


def test_a_contract_is_looked_up_by_its_conid() -> None:
    async def scene() -> None:
        async with serving() as client:
            known = await client.ask("GET", "/v1/instruments?conid=265598")
            unknown = await client.ask("GET", "/v1/instruments?conid=7")

            assert known == (200, {"instruments": [AAPL | {"age_ms": 40}], "count": 1})
            assert (unknown[0], unknown[1]["error"]["code"]) == (404, "INSTRUMENT_UNKNOWN")

    asyncio.run(scene())


def test_every_particular_of_a_contract_is_asked_for() -> None:
    async def scene() -> None:
        step = replace(INSTRUMENT, conid=ConId(0), sec_type="OPT", expiry="202612")
        several = AmbiguousSymbol(symbol="AAPL", candidates=(step,), count=300)
        query = "symbol=AAPL&sec_type=OPT&exchange=SMART&currency=USD&expiry=20261218"
        async with serving(FakeEngine(symbols={"AAPL": several})) as client:
            status, answer = await client.ask(
                "GET", f"/v1/instruments?{query}&strike=217.50&right=C"
            )

            assert client.engine.queries == [
                ContractQuery(
                    symbol="AAPL",
                    sec_type="OPT",
                    exchange="SMART",
                    currency="USD",
                    expiry="20261218",
                    strike=Decimal("217.5"),
                    right="C",
                )
            ]
            assert (status, answer["count"]) == (200, 300)
            assert [each["conid"] for each in answer["instruments"]] == [None]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("code", "status"),
    [("INSTRUMENT_UNKNOWN", 404), ("SEC_TYPE_UNSUPPORTED", 400), ("UNREACHABLE", 503)],
)
def test_a_symbol_that_cannot_be_had_says_why(code: str, status: int) -> None:
    async def scene() -> None:
        engine = FakeEngine(symbols={"AAPL": Reason(code=code, message="because")})
        async with serving(engine) as client:
            assert await client.ask("GET", "/v1/instruments?symbol=AAPL") == (
                status,
                {"error": {"code": code, "message": "because", "details": {}}},
            )

    asyncio.run(scene())


def test_a_subscription_comes_and_goes() -> None:
    async def scene() -> None:
        async with serving() as client:
            path = "/v1/subscriptions/265598"
            before = await client.ask("GET", path)
            made = await client.ask("PUT", path)
            shown = await client.ask("GET", path)
            listed = await client.ask("GET", "/v1/subscriptions")
            gone = await client.ask("DELETE", path)
            again = await client.ask("DELETE", path)

            assert (before[0], before[1]["error"]["code"]) == (404, "NOT_SUBSCRIBED")
            assert made == (200, {"conid": 265598, "subscribed": True, "instrument": AAPL})
            assert shown == (200, {"conid": 265598, "subscribed": True, "instrument": None})
            assert listed == (200, {"subscriptions": [265598]})
            assert gone == (200, {"conid": 265598, "subscribed": False, "instrument": None})
            assert (again[0], again[1]["error"]["code"]) == (404, "NOT_SUBSCRIBED")

    asyncio.run(scene())


def test_a_contract_that_the_broker_does_not_have_cannot_be_streamed() -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask("PUT", "/v1/subscriptions/8314")

            assert (status, answer["error"]["code"]) == (404, "INSTRUMENT_UNKNOWN")

    asyncio.run(scene())


def test_quotes_come_with_their_age_and_missing_ones_are_named() -> None:
    async def scene() -> None:
        async with serving() as client:
            assert await client.ask("GET", "/v1/quotes?conids=265598,8314,8314") == (
                200,
                {"quotes": [QUOTE], "missing": [8314], "reason": None},
            )
            assert client.engine.snapshots_asked == [(ConId(8314),)]

    asyncio.run(scene())


def test_a_quote_that_is_not_streamed_is_read_from_the_broker() -> None:
    async def scene() -> None:
        other = replace(fake_engine.QUOTE, conid=ConId(8314))
        async with serving(FakeEngine(snapshots={ConId(8314): other})) as client:
            read = await client.ask("GET", "/v1/quotes?conids=8314,265598")
            left = await client.ask("GET", "/v1/quotes?conids=8314&snapshot=false")

            snapshot = QUOTE | {"conid": 8314, "age_ms": 3, "source": "snapshot"}
            assert read == (200, {"quotes": [snapshot, QUOTE], "missing": [], "reason": None})
            assert left == (200, {"quotes": [], "missing": [8314], "reason": None})

    asyncio.run(scene())


def test_a_snapshot_that_could_not_be_read_leaves_the_streamed_quotes() -> None:
    async def scene() -> None:
        why = Reason(code="TIMEOUT", message="no answer in 5,000 ms")
        async with serving(FakeEngine(snapshots=why)) as client:
            assert await client.ask("GET", "/v1/quotes?conids=265598,8314") == (
                200,
                {
                    "quotes": [QUOTE],
                    "missing": [8314],
                    "reason": {"code": "TIMEOUT", "message": "no answer in 5,000 ms"},
                },
            )

    asyncio.run(scene())


def test_bars_are_shown_oldest_first() -> None:
    async def scene() -> None:
        async with serving() as client:
            assert await client.ask("GET", "/v1/bars/265598?interval=1s&limit=5") == (
                200,
                LIVE | {"bars": [BAR]},
            )

    asyncio.run(scene())


def test_bars_of_the_past_have_the_same_shape() -> None:
    async def scene() -> None:
        day = HistoryQuery(conid=ConId(265598), period="1d", bar="5min")
        night = replace(day, outside_rth=True)
        later = replace(fake_engine.BAR, start_ms=fake_engine.BAR.start_ms + 300_000)
        past = {day: (fake_engine.BAR, later), night: (fake_engine.BAR,)}
        history = {"conid": 265598, "interval": "5min", "period": "1d", "source": "history"}
        path = "/v1/bars/265598?period=1d&bar=5min"
        async with serving(FakeEngine(past=dict(past))) as client:
            whole = await client.ask("GET", path)
            newest = await client.ask("GET", f"{path}&limit=1")
            extended = await client.ask("GET", f"{path}&outside_rth=true")

            second = BAR | {"start": "2025-11-22T12:05:00.000000Z"}
            assert whole == (200, history | {"bars": [BAR, second]})
            assert newest == (200, history | {"bars": [second]})
            assert extended == (200, history | {"bars": [BAR]})

    asyncio.run(scene())


def test_a_period_that_does_not_go_with_the_bar_is_the_clients_fault() -> None:
    async def scene() -> None:
        query = HistoryQuery(conid=ConId(265598), period="15y", bar="1min")
        why = Reason(code="BAD_PERIOD", message="15y goes with 1w, 1m")
        async with serving(FakeEngine(past={query: why})) as client:
            status, answer = await client.ask("GET", "/v1/bars/265598?period=15y&bar=1min")

            assert (status, answer["error"]["code"]) == (400, "BAD_PERIOD")

    asyncio.run(scene())


def test_no_bars_yet_differs_from_no_subscription() -> None:
    async def scene() -> None:
        async with serving(FakeEngine(bars_kept=())) as client:
            status, answer = await client.ask("GET", "/v1/bars/265598")
            await client.ask("PUT", "/v1/subscriptions/265598")
            then = await client.ask("GET", "/v1/bars/265598")

            assert (status, answer["error"]["code"]) == (404, "NOT_SUBSCRIBED")
            assert then == (200, LIVE | {"bars": []})

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/instruments", "symbol"),
        ("/v1/instruments?symbol=aapl", "symbol"),
        ("/v1/quotes", "conids"),
        ("/v1/quotes?conids=", "conids"),
        ("/v1/quotes?conids=1,,2", "conids"),
        ("/v1/quotes?conids=" + ",".join(["1"] * 101), "conids"),
        ("/v1/bars/AAPL", "conid"),
        ("/v1/bars/0", "conid"),
        ("/v1/bars/265598?interval=7s", "interval"),
        ("/v1/bars/265598?limit=none", "limit"),
        ("/v1/bars/265598?period=1d", "bar"),
        ("/v1/bars/265598?bar=5min", "period"),
        ("/v1/bars/265598?period=1day&bar=5min", "period"),
        ("/v1/bars/265598?period=1d&bar=5m1n", "bar"),
        ("/v1/bars/265598?period=1d&bar=5min&interval=1s", "interval"),
        ("/v1/bars/265598?outside_rth=true", "outside_rth"),
        ("/v1/instruments?symbol=AAPL&conid=265598", "symbol"),
        ("/v1/instruments?conid=265598&currency=USD", "currency"),
        ("/v1/instruments?conid=AAPL", "conid"),
        ("/v1/instruments?symbol=AAPL&sec_type=STOCK", "sec_type"),
        ("/v1/instruments?symbol=AAPL&right=C", "right"),
        ("/v1/instruments?symbol=AAPL&sec_type=OPT&expiry=20261318", "expiry"),
        ("/v1/quotes?conids=1&snapshot=perhaps", "snapshot"),
    ],
)
def test_a_wrong_parameter_is_named(path: str, field: str) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask("GET", path)

            assert (status, answer["error"]["details"]["field"]) == (400, field)

    asyncio.run(scene())
