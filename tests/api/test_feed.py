import asyncio
from dataclasses import replace

import pytest

from engine.domain.ports import AmbiguousSymbol
from engine.domain.values import ConId, Reason
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
}
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

            assert one == (200, {"instruments": [AAPL]})
            assert two == (200, {"instruments": [AAPL, AAPL | {"conid": 7, "symbol": "IBM"}]})

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
                {"quotes": [QUOTE], "missing": [8314]},
            )

    asyncio.run(scene())


def test_bars_are_shown_oldest_first() -> None:
    async def scene() -> None:
        async with serving() as client:
            assert await client.ask("GET", "/v1/bars/265598?interval=1s&limit=5") == (
                200,
                {"conid": 265598, "interval": "1s", "bars": [BAR]},
            )

    asyncio.run(scene())


def test_no_bars_yet_differs_from_no_subscription() -> None:
    async def scene() -> None:
        async with serving(FakeEngine(bars_kept=())) as client:
            status, answer = await client.ask("GET", "/v1/bars/265598")
            await client.ask("PUT", "/v1/subscriptions/265598")
            then = await client.ask("GET", "/v1/bars/265598")

            assert (status, answer["error"]["code"]) == (404, "NOT_SUBSCRIBED")
            assert then == (200, {"conid": 265598, "interval": "1s", "bars": []})

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
        ("/v1/bars/265598?period=1d", "period"),
    ],
)
def test_a_wrong_parameter_is_named(path: str, field: str) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask("GET", path)

            assert (status, answer["error"]["details"]["field"]) == (400, field)

    asyncio.run(scene())
