import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.domain.ports import AmbiguousSymbol
from engine.domain.values import ConId, Instrument, Reason
from engine.gateway.instrument import HttpInstrumentGateway
from tests.gateway.raw_gateway import (
    Certificate,
    Script,
    Seen,
    always,
    by_path,
    client_of,
    http,
    raw_gateway,
)

AAPL = ConId(265598)
RULES = "/iserver/contract/265598/info-and-rules"
Found = Instrument | AmbiguousSymbol | Reason


def look_up(
    certificate: Certificate,
    script: Script,
    work: Callable[[HttpInstrumentGateway], Awaitable[Found]],
) -> tuple[Found, list[Seen]]:
    async def run() -> tuple[Found, list[Seen]]:
        async with (
            raw_gateway(certificate, script) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            return await work(HttpInstrumentGateway(client)), gateway.seen

    return asyncio.run(run())


@pytest.fixture
def script(data: Path) -> Script:
    return by_path(
        {
            RULES: http(200, (data / "info_and_rules.json").read_bytes()),
            "/trsrv/stocks": http(200, (data / "stocks.json").read_bytes()),
        }
    )


def test_a_contract_is_asked_for_once(certificate: Certificate, script: Script) -> None:
    async def twice(instruments: HttpInstrumentGateway) -> Found:
        first = await instruments.by_conid(AAPL)
        assert await instruments.by_conid(AAPL) is first
        return first

    found, seen = look_up(certificate, script, twice)

    assert isinstance(found, Instrument)
    assert (found.conid, found.symbol) == (AAPL, "AAPL")
    assert [one.target for one in seen] == [f"/v1/api{RULES}?isBuy=true"]


def test_a_symbol_with_one_us_listing_is_that_listing(
    certificate: Certificate, script: Script
) -> None:
    found, seen = look_up(certificate, script, lambda it: it.by_symbol(" aapl "))

    assert isinstance(found, Instrument)
    assert found.conid == AAPL
    assert seen[0].target == "/v1/api/trsrv/stocks?symbols=AAPL"


def test_a_symbol_with_an_exchange_is_what_trades_there(
    certificate: Certificate, script: Script
) -> None:
    found, _ = look_up(certificate, script, lambda it: it.by_symbol("AAPL", exchange="nasdaq"))

    assert isinstance(found, Instrument)
    assert found.conid == AAPL


def test_a_symbol_that_means_several_contracts_is_the_clients_choice(
    certificate: Certificate, script: Script
) -> None:
    found, _ = look_up(certificate, script, lambda it: it.by_symbol("SAP"))

    assert isinstance(found, AmbiguousSymbol)
    assert [(one.conid, one.exchange) for one in found.candidates] == [
        (14204, "IBIS"),
        (29612193, "EBS"),
    ]


def test_of_two_us_listings_none_is_preferred(certificate: Certificate, script: Script) -> None:
    found, _ = look_up(certificate, script, lambda it: it.by_symbol("TWO"))

    assert isinstance(found, AmbiguousSymbol)
    assert [one.exchange for one in found.candidates] == ["NYSE", "PINK", "LSE"]


@pytest.mark.parametrize(("symbol", "exchange"), [("NOPE", None), ("ZZZZ", None), ("AAPL", "X")])
def test_an_unknown_symbol_is_said_to_be_unknown(
    certificate: Certificate, script: Script, symbol: str, exchange: str | None
) -> None:
    found, _ = look_up(certificate, script, lambda it: it.by_symbol(symbol, exchange=exchange))

    where = f" on {exchange}" if exchange else ""
    assert found == Reason(
        code="INSTRUMENT_UNKNOWN", message=f"the broker knows no stock {symbol}{where}"
    )


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (http(400, {"error": "Bad Request: invalid conid"}), "INSTRUMENT_UNKNOWN"),
        (http(400, {"error": "Bad Request: no bridge"}), "NO_BRIDGE"),
        (http(401, b"Access Denied"), "UNAUTHORIZED"),
        (http(503, {"error": "Service Unavailable"}), "SERVER_ERROR"),
        (http(200, {"con_id": 5}), "BAD_ANSWER"),
        (http(200, b"<html>"), "BAD_ANSWER"),
    ],
)
def test_a_contract_that_cannot_be_had_has_a_reason_and_is_asked_for_again(
    certificate: Certificate, answer: bytes, code: str
) -> None:
    async def twice(instruments: HttpInstrumentGateway) -> Found:
        await instruments.by_conid(AAPL)
        return await instruments.by_conid(AAPL)

    found, seen = look_up(certificate, always(answer), twice)

    assert isinstance(found, Reason)
    assert found.code == code
    assert found.message.startswith("conid 265598: ")
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (http(401, b"Access Denied"), "UNAUTHORIZED"),
        (http(200, {"AAPL": [{"contracts": [{"conid": None}]}]}), "BAD_ANSWER"),
    ],
)
def test_a_symbol_that_cannot_be_looked_up_has_a_reason(
    certificate: Certificate, answer: bytes, code: str
) -> None:
    found, _ = look_up(certificate, always(answer), lambda it: it.by_symbol("AAPL"))

    assert isinstance(found, Reason)
    assert found.code == code
    assert found.message.startswith("symbol AAPL: ")


def test_a_kind_of_contract_that_cannot_be_ordered_is_refused(
    certificate: Certificate, data: Path
) -> None:
    future = json.loads((data / "info_and_rules.json").read_text())
    future["instrument_type"] = "FUT"

    found, _ = look_up(certificate, always(http(200, future)), lambda it: it.by_conid(AAPL))

    assert found == Reason(
        code="SEC_TYPE_UNSUPPORTED", message="conid 265598 is of type FUT, supported is STK"
    )
