import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

from engine.domain.ports import AlgoRule, AmbiguousSymbol, ContractQuery
from engine.domain.values import ConId, Instrument, Reason, SessionName
from engine.gateway import instrument as module
from engine.gateway.client import GatewayClient, TlsPolicy
from engine.gateway.instrument import HttpInstrumentGateway
from tests.gateway.raw_gateway import (
    QUICK,
    Certificate,
    Script,
    Seen,
    Stream,
    always,
    by_path,
    http,
    raw_gateway,
    until_many,
)

AAPL = ConId(265598)
RULES = "/iserver/contract/265598/info-and-rules"
DAY_NS = 24 * 3_600 * 1_000_000_000
Found = Instrument | AmbiguousSymbol | Reason
T = TypeVar("T")


@dataclass(slots=True)
class Clock:
    """A clock that a test moves."""

    now_ns: int = 1_000

    def __call__(self) -> int:
        return self.now_ns


def look_up(
    certificate: Certificate,
    script: Script,
    work: Callable[[HttpInstrumentGateway], Awaitable[T]],
    *,
    clock: Clock | None = None,
) -> tuple[T, list[Seen]]:
    async def run() -> tuple[T, list[Seen]]:
        async with raw_gateway(certificate, script) as gateway:
            client = GatewayClient(
                session=SessionName("main"),
                url=gateway.url,
                tls=TlsPolicy(verify="pin", pin_sha256=certificate.pin_sha256),
                pacing=QUICK,
                clock=clock or Clock(),
            )
            await client.start()
            try:
                return await work(HttpInstrumentGateway(client)), gateway.seen
            finally:
                await client.close()

    return asyncio.run(run())


def stock(symbol: str, **words: Any) -> Callable[[HttpInstrumentGateway], Awaitable[Found]]:
    return lambda instruments: instruments.find(ContractQuery(symbol=symbol, **words))


def conids(seen: list[Seen]) -> list[str]:
    return [one.target.removeprefix("/v1/api").partition("?")[0] for one in seen]


@pytest.fixture
def contract(data: Path) -> Any:
    return json.loads((data / "info_and_rules.json").read_text())


@pytest.fixture
def script(data: Path) -> Script:
    return by_path(
        {
            RULES: http(200, (data / "info_and_rules.json").read_bytes()),
            "/trsrv/stocks": http(200, (data / "stocks.json").read_bytes()),
        }
    )


def test_a_contract_is_asked_for_once_a_day(certificate: Certificate, script: Script) -> None:
    clock = Clock()
    ages: list[int | None] = []

    async def over_two_days(instruments: HttpInstrumentGateway) -> Found:
        ages.append(instruments.age_ms(AAPL))
        first = await instruments.by_conid(AAPL)
        clock.now_ns += DAY_NS - 1
        assert await instruments.by_conid(AAPL) is first
        ages.append(instruments.age_ms(AAPL))
        clock.now_ns += 1
        assert await instruments.by_conid(AAPL) is not first
        ages.append(instruments.age_ms(AAPL))
        return first

    found, seen = look_up(certificate, script, over_two_days, clock=clock)

    assert isinstance(found, Instrument)
    assert (found.conid, found.symbol) == (AAPL, "AAPL")
    assert [one.target for one in seen] == [f"/v1/api{RULES}?isBuy=true"] * 2
    assert ages == [None, 86_399_999, 0]


def test_nobody_trades_by_rules_of_yesterday_when_they_cannot_be_read_anew(
    certificate: Certificate, contract: Any
) -> None:
    clock = Clock()
    answers = iter([http(200, contract), http(503, {"error": "Service Unavailable"})])

    async def answer(_seen: Seen, _stream: Stream) -> bytes:
        return next(answers)

    async def a_day_later(instruments: HttpInstrumentGateway) -> Found:
        await instruments.by_conid(AAPL)
        clock.now_ns += DAY_NS
        return await instruments.by_conid(AAPL)

    found, _ = look_up(certificate, answer, a_day_later, clock=clock)

    assert isinstance(found, Reason)
    assert found.code == "SERVER_ERROR"


def test_rules_that_were_wrong_are_not_kept_by_the_read_that_was_under_way(
    certificate: Certificate, contract: Any
) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()
    old = {**contract, "company_name": "OLD"}

    async def slow_at_first(_seen: Seen, _stream: Stream) -> bytes:
        if asked.is_set():
            return http(200, contract)
        asked.set()
        await answered.wait()
        return http(200, old)

    async def forgotten_meanwhile(instruments: HttpInstrumentGateway) -> Found:
        first = asyncio.create_task(instruments.by_conid(AAPL))
        await asked.wait()
        instruments.forget(AAPL)
        fresh = await instruments.by_conid(AAPL)
        answered.set()
        stale = await first
        assert isinstance(stale, Instrument)
        assert stale.name == "OLD"
        assert await instruments.by_conid(AAPL) is fresh
        return fresh

    found, seen = look_up(certificate, slow_at_first, forgotten_meanwhile)

    assert isinstance(found, Instrument)
    assert found.name == contract["company_name"]
    assert len(seen) == 2


def test_a_contract_whose_rules_were_wrong_is_read_anew(
    certificate: Certificate, script: Script
) -> None:
    async def forgotten(instruments: HttpInstrumentGateway) -> Found:
        await instruments.by_conid(AAPL)
        instruments.forget(AAPL)
        instruments.forget(ConId(7))
        assert instruments.age_ms(AAPL) is None
        return await instruments.by_conid(AAPL)

    found, seen = look_up(certificate, script, forgotten)

    assert isinstance(found, Instrument)
    assert len(seen) == 2


def test_those_who_ask_at_the_same_time_share_one_request_and_one_may_give_up(
    certificate: Certificate, contract: Any
) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slow(_seen: Seen, _stream: Stream) -> bytes:
        asked.set()
        await answered.wait()
        return http(200, contract)

    async def three(instruments: HttpInstrumentGateway) -> Found:
        first, second, third = (asyncio.create_task(instruments.by_conid(AAPL)) for _ in range(3))
        await asked.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        answered.set()
        assert first.cancelled()
        assert await second is await third
        return await second

    found, seen = look_up(certificate, slow, three)

    assert isinstance(found, Instrument)
    assert len(seen) == 1


def test_only_so_many_contracts_are_kept(
    certificate: Certificate, contract: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 2)

    async def answer(seen: Seen, _stream: Stream) -> bytes:
        return http(200, {**contract, "con_id": int(seen.target.split("/")[5])})

    async def three(instruments: HttpInstrumentGateway) -> Found:
        for conid in (1, 2, 3):
            await instruments.by_conid(ConId(conid))
        assert [instruments.age_ms(ConId(conid)) for conid in (1, 2, 3)] == [None, 0, 0]
        return await instruments.by_conid(ConId(3))

    _, seen = look_up(certificate, answer, three)

    assert len(seen) == 3


def test_an_engine_that_stops_answers_those_who_wait(certificate: Certificate) -> None:
    async def never(_seen: Seen, _stream: Stream) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def run() -> Instrument | Reason:
        async with raw_gateway(certificate, never) as gateway:
            client = GatewayClient(
                session=SessionName("main"),
                url=gateway.url,
                tls=TlsPolicy(verify="pin", pin_sha256=certificate.pin_sha256),
                pacing=QUICK,
            )
            await client.start()
            waiting = asyncio.create_task(HttpInstrumentGateway(client).by_conid(AAPL))
            await until_many(gateway.seen, 1)
            await client.close()
            return await waiting

    found = asyncio.run(run())

    assert isinstance(found, Reason)
    assert found.code == "UNREACHABLE"


def test_a_symbol_is_looked_for_once_a_day(certificate: Certificate, script: Script) -> None:
    clock = Clock()

    async def thrice(instruments: HttpInstrumentGateway) -> Found:
        first = await instruments.find(ContractQuery(symbol=" aapl "))
        assert await instruments.find(ContractQuery(symbol="AAPL", exchange="SMART")) is first
        clock.now_ns += DAY_NS
        return await instruments.find(ContractQuery(symbol="AAPL"))

    found, seen = look_up(certificate, script, thrice, clock=clock)

    assert isinstance(found, Instrument)
    assert found.conid == AAPL
    assert seen[0].target == "/v1/api/trsrv/stocks?symbols=AAPL"
    assert conids(seen) == ["/trsrv/stocks", RULES, "/trsrv/stocks", RULES]


def test_a_symbol_that_means_several_contracts_is_the_clients_choice(
    certificate: Certificate, script: Script
) -> None:
    found, _ = look_up(certificate, script, stock("SAP"))

    assert isinstance(found, AmbiguousSymbol)
    assert (found.symbol, found.count) == ("SAP", 2)
    assert [(one.conid, one.exchange) for one in found.candidates] == [
        (14204, "IBIS"),
        (29612193, "EBS"),
    ]


def test_of_many_candidates_the_first_are_shown_and_all_are_counted(
    certificate: Certificate,
) -> None:
    contracts = [{"conid": conid, "exchange": f"X{conid}"} for conid in range(1, 61)]
    script = by_path({"/trsrv/stocks": http(200, {"MANY": [{"contracts": contracts}]})})

    found, _ = look_up(certificate, script, stock("MANY"))

    assert isinstance(found, AmbiguousSymbol)
    assert found.count == 60
    assert [one.conid for one in found.candidates] == list(range(1, 51))


def test_of_many_strikes_those_in_the_middle_are_shown(certificate: Certificate) -> None:
    section = {"secType": "OPT", "months": "DEC26", "exchange": "SMART"}
    script = by_path(
        {
            "/iserver/secdef/search": http(
                200, [{"conid": "1", "symbol": "XYZ", "sections": [section]}]
            ),
            "/iserver/secdef/strikes": http(200, {"call": list(range(1, 101)), "put": []}),
        }
    )
    query = ContractQuery(symbol="XYZ", sec_type="OPT", expiry="202612")

    found, _ = look_up(certificate, script, lambda it: it.find(query))

    assert isinstance(found, AmbiguousSymbol)
    assert found.count == 100
    assert {one.conid for one in found.candidates} == {0}
    assert [one.strike for one in found.candidates] == [Decimal(n) for n in range(26, 76)]


@pytest.mark.parametrize(
    ("symbol", "words", "shown"),
    [
        ("NOPE", {}, "STK NOPE"),
        ("ZZZZ", {}, "STK ZZZZ"),
        ("AAPL", {"exchange": "X"}, "STK AAPL on X"),
    ],
)
def test_an_unknown_symbol_is_said_to_be_unknown(
    certificate: Certificate, script: Script, symbol: str, words: dict[str, str], shown: str
) -> None:
    found, _ = look_up(certificate, script, stock(symbol, **words))

    assert found == Reason(code="INSTRUMENT_UNKNOWN", message=f"the broker knows no {shown}")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (http(400, {"error": "Bad Request: invalid conid"}), "INSTRUMENT_UNKNOWN"),
        (http(400, {"error": "Bad Request: no bridge"}), "NO_BRIDGE"),
        (http(401, b"Access Denied"), "UNAUTHORIZED"),
        (http(503, {"error": "Service Unavailable"}), "SERVER_ERROR"),
        (http(200, {"error": "something"}), "SERVER_ERROR"),
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
    found, _ = look_up(certificate, always(answer), stock("AAPL"))

    assert isinstance(found, Reason)
    assert found.code == code
    assert found.message.startswith("symbol AAPL: ")


@pytest.mark.parametrize("sec_type", ["IND", "BOND", "FOP", "FUND", "CFD"])
def test_a_kind_of_contract_that_cannot_be_ordered_is_refused(
    certificate: Certificate, contract: Any, sec_type: str
) -> None:
    contract["instrument_type"] = sec_type
    script = always(http(200, contract))
    supported = "supported are STK, OPT, FUT, CASH, CRYPTO"

    by_conid, _ = look_up(certificate, script, lambda it: it.by_conid(AAPL))
    terms = {"expiry": "202612", "strike": Decimal(5), "right": "C"}
    found, seen = look_up(certificate, script, stock("SPX", sec_type=sec_type, **terms))

    assert by_conid == Reason(
        code="SEC_TYPE_UNSUPPORTED",
        message=f"conid 265598 is of type {sec_type}, {supported}",
    )
    assert found == Reason(
        code="SEC_TYPE_UNSUPPORTED", message=f"SPX is asked for as {sec_type}, {supported}"
    )
    assert seen == []


def test_words_that_mean_nothing_are_refused_before_anybody_is_asked(
    certificate: Certificate, script: Script
) -> None:
    found, seen = look_up(certificate, script, stock("AAPL", expiry="202613"))

    assert isinstance(found, Reason)
    assert found.code == "QUERY_INVALID"
    assert seen == []


def test_a_word_of_the_rules_that_nobody_knows_is_reported_once(
    certificate: Certificate, contract: Any
) -> None:
    contract["rules"]["tifTypes"] = ["IOC/MARKET,STPPRT", "DAY/STPPRT"]

    async def twice(instruments: HttpInstrumentGateway) -> Found:
        await instruments.by_conid(AAPL)
        instruments.forget(AAPL)
        return await instruments.by_conid(AAPL)

    with capture_logs() as logs:
        look_up(certificate, always(http(200, contract)), twice)

    assert [(entry["event"], entry["word"]) for entry in logs] == [
        ("trading_rule_unknown", "stpprt")
    ]


ALGOS = "/iserver/contract/265598/algos"


def test_a_contracts_algorithms_come_after_the_contract(
    certificate: Certificate, contract: Any
) -> None:
    answers = {
        RULES: http(200, contract),
        ALGOS: http(200, {"algos": [{"id": "Twap", "name": "TWAP"}]}),
    }

    async def work(instruments: HttpInstrumentGateway) -> Any:
        found = await instruments.algos(AAPL)
        instruments.forget(AAPL)
        return found, await instruments.algos(AAPL)

    found, seen = look_up(certificate, by_path(answers), work)

    assert found == ((AlgoRule(name="Twap", parameters=()),),) * 2
    assert conids(seen) == [RULES, ALGOS] * 2


def test_of_a_contract_that_the_broker_does_not_know_no_algorithm_is_asked_for(
    certificate: Certificate,
) -> None:
    found, seen = look_up(
        certificate,
        by_path({RULES: http(400, {"error": "no such contract"}), ALGOS: http(503, b"")}),
        lambda instruments: instruments.algos(AAPL),
    )

    assert isinstance(found, Reason)
    assert found.code == "INSTRUMENT_UNKNOWN"
    assert conids(seen) == [RULES]
