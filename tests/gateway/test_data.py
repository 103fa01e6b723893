import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.domain.messages import (
    CallFailed,
    CallGateway,
    LedgerRead,
    ProfitRead,
    SessionCall,
    SessionMessage,
)
from engine.domain.ports import HistoryQuery
from engine.domain.values import AccountId, Bar, ConId, Quote, Reason
from engine.gateway.client import GatewayClient, Pacing, TlsPolicy
from engine.gateway.data import HttpDataGateway
from engine.gateway.pacing import broker_limits
from engine.gateway.session import HttpSessionGateway
from engine.sim import SimConfig, SimGateway
from tests.gateway.raw_gateway import (
    QUICK,
    SESSION,
    Certificate,
    Script,
    Seen,
    Stream,
    always,
    client_of,
    http,
    raw_gateway,
    until,
)

T = TypeVar("T")
AAPL, IBM, NOBODY = ConId(265598), ConId(8314), ConId(99)
ACCOUNT = AccountId("DU1111111")
MONTH = HistoryQuery(conid=AAPL, period="1m", bar="1d")
WARM_UP = (
    SessionCall.OPEN_BROKERAGE,
    SessionCall.ACCOUNTS,
    SessionCall.PORTFOLIO_ACCOUNTS,
)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for data as long as the broker's takes."""
    monkeypatch.setattr("engine.gateway.data._SNAPSHOT_INTERVAL_S", 0.002)
    monkeypatch.setattr("engine.gateway.data._BRIDGE_OPENS_S", 0.002)


def ask(
    certificate: Certificate,
    script: Script,
    work: Callable[[HttpDataGateway], Coroutine[None, None, T]],
    pacing: Pacing = QUICK,
) -> tuple[T, list[Seen]]:
    """The result of this work, and what was requested for it."""

    async def run() -> tuple[T, list[Seen]]:
        async with (
            raw_gateway(certificate, script) as gateway,
            client_of(
                gateway.url, certificate, pacing=replace(pacing, requests_per_s=1000)
            ) as client,
        ):
            return await work(HttpDataGateway(client)), gateway.seen

    return asyncio.run(run())


def rows(*answers: dict[ConId, dict[str, str]]) -> Script:
    """Answer each snapshot with the next of these, only for the contracts that it asks for."""
    turns = iter(answers)

    async def script(seen: Seen, _stream: Stream) -> bytes:
        known = next(turns)
        return http(200, [{"conid": conid, **known.get(conid, {})} for conid in conids_of(seen)])

    return script


def conids_of(seen: Seen) -> list[ConId]:
    return [
        ConId(int(text)) for text in parse_qs(urlsplit(seen.target).query)["conids"][0].split(",")
    ]


WHOLE = {"31": "5", "84": "4", "86": "6", "6509": "RpB"}


def test_data_is_opened_and_then_read_until_every_contract_has_some(
    certificate: Certificate,
) -> None:
    script = rows(
        {},
        {AAPL: WHOLE},
        {IBM: {"31": "7"}},
        {IBM: {"84": "6"}},
        {IBM: {"86": "8"}},
        {IBM: {"6509": "DPB"}},
    )

    quotes, seen = ask(certificate, script, lambda gateway: gateway.snapshot([IBM, AAPL, IBM]))

    assert not isinstance(quotes, Reason)
    assert [(one.conid, one.bid, one.last, one.ask, one.availability) for one in quotes] == [
        (IBM, Decimal(6), Decimal(7), Decimal(8), "DPB"),
        (AAPL, Decimal(4), Decimal(5), Decimal(6), "RpB"),
    ]
    assert all(one.received_ns > 0 for one in quotes)
    both, only_ibm = [IBM, AAPL], [IBM]
    assert list(map(conids_of, seen)) == [both, both, only_ibm, only_ibm, only_ibm, only_ibm]


def test_a_quote_is_as_old_as_the_broker_says(certificate: Certificate) -> None:
    row: dict[str, str] = {**WHOLE, "_updated": "1700000000000"}

    async def work(gateway: HttpDataGateway) -> tuple[int, int]:
        at = replace(gateway, wall_clock=lambda: 1_700_000_007_000_000_000)
        began_ns = gateway.client.clock()
        quotes = await at.snapshot([AAPL])
        assert not isinstance(quotes, Reason)
        ended_ns = gateway.client.clock()
        (quote,) = quotes
        return quote.received_ns - began_ns, quote.received_ns - ended_ns

    (since_began, since_ended), _ = ask(certificate, rows({AAPL: row}), work)

    assert since_began >= -7_000_000_000 >= since_ended


def test_a_contract_whose_figures_stay_as_they_are_is_not_waited_for(
    certificate: Certificate,
) -> None:
    some = {AAPL: {"31": "C5"}}

    quotes, seen = ask(certificate, rows({}, some, some), lambda gateway: gateway.snapshot([AAPL]))

    assert not isinstance(quotes, Reason)
    assert [(one.last, one.prior_close) for one in quotes] == [(None, Decimal(5))]
    assert len(seen) == 3


def test_a_contract_without_data_is_left_out_in_the_end(certificate: Certificate) -> None:
    script = rows({AAPL: WHOLE}, *[{} for _ in range(6)])

    quotes, seen = ask(certificate, script, lambda gateway: gateway.snapshot([NOBODY, AAPL]))

    assert not isinstance(quotes, Reason)
    assert [one.conid for one in quotes] == [AAPL]
    assert len(seen) == 7


def test_nothing_is_asked_for_no_contract_and_for_too_many(certificate: Certificate) -> None:
    async def work(gateway: HttpDataGateway) -> list[object]:
        return [
            await gateway.snapshot([]),
            await gateway.snapshot([ConId(number) for number in range(1, 102)]),
        ]

    results, seen = ask(certificate, always(None), work)

    too_many = Reason(code="TOO_MANY_CONIDS", message="101 conids, at most 100")
    assert (results, seen) == ([(), too_many], [])


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (http(400, {"error": "no bridge"}), "NO_BRIDGE", "HTTP 400: no bridge"),
        (http(429, b"Too Many Requests"), "RATE_LIMITED", "HTTP 429: Too Many Requests"),
        (http(401, b""), "UNAUTHORIZED", "HTTP 401"),
        (http(404, b"<h1>"), "INSTRUMENT_UNKNOWN", "HTTP 404: <h1>"),
        (http(400, {"error": "bad conid"}), "INSTRUMENT_UNKNOWN", "HTTP 400: bad conid"),
        (http(200, {"error": "no"}), "SERVER_ERROR", "HTTP 200: no"),
        (http(200, b"5"), "BAD_ANSWER", None),
        (None, "UNREACHABLE", "the connection was lost before the answer"),
    ],
)
def test_a_failure_is_a_reason_with_its_kind(
    certificate: Certificate, answer: bytes | None, code: str, message: str | None
) -> None:
    quotes, _ = ask(certificate, always(answer), lambda gateway: gateway.snapshot([AAPL]))
    bars, _ = ask(certificate, always(answer), lambda gateway: gateway.history(MONTH))

    assert isinstance(quotes, Reason)
    assert isinstance(bars, Reason)
    assert (quotes.code, bars.code) == (code, code)
    if message is not None:
        assert quotes.message == f"the snapshot: {message}"
        assert bars.message == f"the history of conid 265598: {message}"


def test_bars_of_the_past_are_read(certificate: Certificate, data: Path) -> None:
    recorded = http(200, (data / "history.json").read_bytes())

    bars, seen = ask(certificate, always(recorded), lambda gateway: gateway.history(MONTH))

    assert not isinstance(bars, Reason)
    assert [(bar.start_ms, bar.volume) for bar in bars] == [
        (1_787_059_800_000, Decimal(28_030_947)),
        (1_787_146_200_000, Decimal(1)),
    ]
    assert [one.target for one in seen] == [
        "/v1/api/iserver/marketdata/history?conid=265598&period=1m&bar=1d&outsideRth=false"
    ]


def test_a_bar_that_the_period_has_not_is_refused_before_anything_is_sent(
    certificate: Certificate,
) -> None:
    result, seen = ask(
        certificate, always(None), lambda gateway: gateway.history(replace(MONTH, bar="1min"))
    )

    message = "bar is '1min', for the period 1m expected 1h, 2h, 3h, 4h, 8h, 1d, 1w, 1m"
    assert result == Reason(code="BAD_PERIOD", message=message)
    assert seen == []


@pytest.mark.parametrize("status", [500, 503])
def test_history_is_asked_for_once_more_while_its_way_opens(
    certificate: Certificate, data: Path, status: int
) -> None:
    recorded = http(200, (data / "history.json").read_bytes())
    closed = http(status, {"error": "Service Unavailable"})

    def script(*answers: bytes) -> Script:
        turns = iter(answers)

        async def answer(_seen: Seen, _stream: Stream) -> bytes:
            return next(turns)

        return answer

    bars, _ = ask(certificate, script(closed, recorded), lambda gateway: gateway.history(MONTH))
    reason, seen = ask(certificate, script(closed, closed), lambda gateway: gateway.history(MONTH))

    assert not isinstance(bars, Reason)
    assert len(bars) == 2
    message = f"the history of conid 265598: HTTP {status}: Service Unavailable"
    assert reason == Reason(code="SERVER_ERROR", message=message)
    assert len(seen) == 2


def test_at_most_five_histories_are_on_their_way_at_once(
    certificate: Certificate, data: Path
) -> None:
    """Also where the gateway may be asked more at once: the sixth would be refused."""
    recorded = json.loads((data / "history.json").read_bytes())
    running = most = 0
    release = asyncio.Event()

    async def script(_seen: Seen, _stream: Stream) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1
        return http(200, recorded)

    async def work(gateway: HttpDataGateway) -> list[int]:
        calls = [asyncio.create_task(gateway.history(MONTH)) for _ in range(8)]
        await until(lambda: running == 5)
        release.set()
        found = [await call for call in calls]
        return [len(bars) for bars in found if not isinstance(bars, Reason)]

    pacing = Pacing(in_flight=20, limits=broker_limits())
    counts, _ = ask(certificate, script, work, pacing)

    assert (counts, most) == ([2] * 8, 5)


Results = tuple[tuple[Quote, ...] | Reason, list[tuple[Bar, ...] | Reason]]


def test_the_simulated_gateway_answers_every_read_at_its_real_pace() -> None:
    async def run() -> tuple[dict[SessionCall, SessionMessage], Results, int]:
        told: dict[SessionCall, SessionMessage] = {}
        async with SimGateway(SimConfig(established_delay_ms=0, enforce_pacing=True)) as sim:
            tls = TlsPolicy(verify="ca", ca_file=sim.ca_file)
            client = GatewayClient(session=SESSION, url=sim.url, tls=tls, pacing=Pacing())
            await client.start()
            session, data = HttpSessionGateway(client), HttpDataGateway(client)

            async def call(which: SessionCall) -> None:
                session.call(
                    CallGateway(call=which, account=ACCOUNT), partial(told.__setitem__, which)
                )
                await until(lambda: which in told)

            for which in WARM_UP:
                await call(which)
            async with asyncio.TaskGroup() as group:
                for which in SessionCall:
                    if which not in {*WARM_UP, SessionCall.ORDER_STATUS}:  # It needs an order.
                        group.create_task(call(which))
                quotes = group.create_task(data.snapshot([AAPL]))
                histories = [
                    group.create_task(data.history(replace(MONTH, bar=bar))) for bar in ("1h", "1d")
                ]
            await client.close()
            results = (quotes.result(), [history.result() for history in histories])
            return told, results, sim.pacing.refused

    told, (quotes, histories), refused = asyncio.run(run())

    assert refused == 0
    assert [which for which, one in told.items() if isinstance(one, CallFailed)] == []
    ledger, profit = told[SessionCall.LEDGER], told[SessionCall.PROFIT]
    assert isinstance(ledger, LedgerRead)
    assert {balance.currency for balance in ledger.balances} == {"USD", "BASE"}
    assert all(balance.cash is not None for balance in ledger.balances)
    assert profit == ProfitRead(results=())
    assert not isinstance(quotes, Reason)
    [quote] = quotes
    assert quote.conid == AAPL
    assert quote.bid is not None
    assert quote.ask is not None
    assert 0 < quote.bid < quote.ask
    found = [bars for bars in histories if not isinstance(bars, Reason)]
    assert [len(bars) for bars in found] == [720, 30]
    for bar in (bar for bars in found for bar in bars):
        assert bar.low <= bar.open <= bar.high
        assert bar.volume == bar.volume.to_integral_value() > 0
