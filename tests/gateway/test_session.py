import asyncio
import json
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from engine import metrics
from engine.domain.messages import (
    AccountsRead,
    AuthStatus,
    AuthStatusRead,
    CallDone,
    CallFailed,
    CallGateway,
    FailureKind,
    FundsRead,
    LedgerRead,
    OrdersRead,
    OrderStatusRead,
    PositionsRead,
    ProfitRead,
    SessionCall,
    SessionMessage,
    TradesRead,
)
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    ConId,
    OrderRow,
    OrderType,
    Side,
)
from engine.gateway.pacing import Limit
from engine.gateway.session import HttpSessionGateway
from tests.gateway.raw_gateway import (
    QUICK,
    Certificate,
    Script,
    Seen,
    always,
    by_path,
    client_of,
    http,
    never,
    raw_gateway,
    until,
    until_many,
)

ACCOUNT = AccountId("DU1234567")
C = SessionCall
READY = AuthStatus(authenticated=True, connected=True, competing=False, established=True)


@pytest.fixture
def gateway_script(data: Path) -> Script:
    def recorded(name: str) -> bytes:
        return http(200, (data / name).read_bytes())

    return by_path(
        {
            "/iserver/auth/status": recorded("auth_status.json"),
            "/iserver/auth/ssodh/init": recorded("auth_status.json"),
            "/tickle": recorded("tickle.json"),
            "/iserver/accounts": recorded("accounts.json"),
            "/portfolio/accounts": http(200, [{"id": "DU1234567"}]),
            "/iserver/questions/suppress": http(200, {"status": "submitted"}),
            "/iserver/account/orders": recorded("orders.json"),
            "/iserver/account/order/status/245323648": recorded("order_status.json"),
            "/iserver/account/trades": recorded("trades.json"),
            "/portfolio2/DU1234567/positions": recorded("positions2.json"),
            "/portfolio/DU1234567/summary": recorded("summary.json"),
            "/portfolio/DU1234567/ledger": recorded("ledger.json"),
            "/iserver/account/pnl/partitioned": recorded("pnl_partitioned.json"),
        }
    )


def call(
    certificate: Certificate, script: Script, *effects: CallGateway
) -> tuple[list[SessionMessage], list[Seen]]:
    """Everything told for these effects, one after the other, and what was requested."""

    async def run() -> tuple[list[SessionMessage], list[Seen]]:
        told: list[SessionMessage] = []
        async with raw_gateway(certificate, script) as gateway:
            async with client_of(gateway.url, certificate) as client:
                for count, effect in enumerate(effects, 1):
                    HttpSessionGateway(client).call(effect, told.append)
                    await until_many(told, count)
            return told, gateway.seen

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("effect", "request_line", "body"),
    [
        (CallGateway(call=C.AUTH_STATUS), "POST /iserver/auth/status", b""),
        (
            CallGateway(call=C.OPEN_BROKERAGE, compete=True),
            "POST /iserver/auth/ssodh/init",
            b'{"publish":true,"compete":true}',
        ),
        (CallGateway(call=C.TICKLE), "POST /tickle", b""),
        (CallGateway(call=C.ACCOUNTS), "GET /iserver/accounts", b""),
        (CallGateway(call=C.PORTFOLIO_ACCOUNTS), "GET /portfolio/accounts", b""),
        (
            CallGateway(call=C.SUPPRESS, message_ids=("o163", "o354")),
            "POST /iserver/questions/suppress",
            b'{"messageIds":["o163","o354"]}',
        ),
        (CallGateway(call=C.ORDERS), "GET /iserver/account/orders", b""),
        (CallGateway(call=C.ORDERS, force=True), "GET /iserver/account/orders?force=true", b""),
        (
            CallGateway(call=C.ORDERS, account=ACCOUNT),
            "GET /iserver/account/orders?accountId=DU1234567",
            b"",
        ),
        (
            CallGateway(call=C.ORDER_STATUS, broker_order_id=BrokerOrderId("245323648")),
            "GET /iserver/account/order/status/245323648",
            b"",
        ),
        (CallGateway(call=C.TRADES), "GET /iserver/account/trades", b""),
        (CallGateway(call=C.TRADES, force=True), "GET /iserver/account/trades?days=7", b""),
        (
            CallGateway(call=C.POSITIONS, account=ACCOUNT),
            "GET /portfolio2/DU1234567/positions",
            b"",
        ),
        (CallGateway(call=C.FUNDS, account=ACCOUNT), "GET /portfolio/DU1234567/summary", b""),
        (CallGateway(call=C.LEDGER, account=ACCOUNT), "GET /portfolio/DU1234567/ledger", b""),
        (CallGateway(call=C.PROFIT), "GET /iserver/account/pnl/partitioned", b""),
    ],
)
def test_each_call_is_one_request(
    certificate: Certificate,
    gateway_script: Script,
    effect: CallGateway,
    request_line: str,
    body: bytes,
) -> None:
    told, seen = call(certificate, gateway_script, effect)

    assert [f"{one.method} {one.target}".replace("/v1/api", "") for one in seen] == [request_line]
    assert seen[0].body == body
    assert len(told) == 1
    assert not isinstance(told[0], CallFailed)


def test_the_answers_are_told_as_what_they_are(
    certificate: Certificate, gateway_script: Script
) -> None:
    told, _ = call(
        certificate,
        gateway_script,
        CallGateway(call=C.AUTH_STATUS),
        CallGateway(call=C.OPEN_BROKERAGE),
        CallGateway(call=C.TICKLE),
        CallGateway(call=C.ACCOUNTS),
        CallGateway(call=C.PORTFOLIO_ACCOUNTS),
        CallGateway(call=C.ORDERS, force=True),
        CallGateway(call=C.TRADES),
        CallGateway(call=C.POSITIONS, account=ACCOUNT),
        CallGateway(call=C.FUNDS, account=ACCOUNT),
        CallGateway(call=C.LEDGER, account=ACCOUNT),
        CallGateway(call=C.PROFIT),
    )

    assert told[:5] == [
        AuthStatusRead(call=C.AUTH_STATUS, status=READY),
        AuthStatusRead(call=C.OPEN_BROKERAGE, status=READY),
        AuthStatusRead(
            call=C.TICKLE, status=replace(READY, established=None), sso_expires_ms=460_311
        ),
        AccountsRead(accounts=(ACCOUNT, AccountId("DU7654321")), paper=True),
        CallDone(call=C.PORTFOLIO_ACCOUNTS),
    ]
    orders, trades, positions, funds, ledger, profit = told[5:]
    assert isinstance(orders, OrdersRead)
    assert (len(orders.rows), orders.snapshot, orders.forced) == (2, True, True)
    assert orders.complete
    assert isinstance(trades, TradesRead)
    assert len(trades.executions) == 1
    assert isinstance(positions, PositionsRead)
    assert (positions.account, len(positions.positions)) == (ACCOUNT, 2)
    assert 0 < positions.started_ns < positions.ended_ns
    assert isinstance(funds, FundsRead)
    assert (funds.funds.account, funds.now_ns > positions.ended_ns) == (ACCOUNT, True)
    assert isinstance(ledger, LedgerRead)
    assert (ledger.account, ledger.now_ns > funds.now_ns) == (ACCOUNT, True)
    assert [balance.currency for balance in ledger.balances] == ["USD", "EUR", "BASE"]
    assert isinstance(profit, ProfitRead)
    assert [result.account for result in profit.results] == [ACCOUNT]


def test_an_empty_list_of_questions_is_not_sent(
    certificate: Certificate, gateway_script: Script
) -> None:
    told, seen = call(certificate, gateway_script, CallGateway(call=C.SUPPRESS))

    assert (told, seen) == ([CallDone(call=C.SUPPRESS)], [])


def test_a_tickle_keeps_the_token_for_the_stream(
    certificate: Certificate, gateway_script: Script
) -> None:
    async def run() -> str | None:
        told: list[SessionMessage] = []
        async with (
            raw_gateway(certificate, gateway_script) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            HttpSessionGateway(client).call(CallGateway(call=C.TICKLE), told.append)
            await until(lambda: bool(told))
            return client.stream_token

    assert asyncio.run(run()) == "bb665d0f9a0a4a8d9a3f3b6d6a1c6d5e"


def test_the_status_of_an_order_is_told_as_a_row_of_it(
    certificate: Certificate, gateway_script: Script
) -> None:
    name = BrokerOrderId("245323648")

    told, _ = call(
        certificate, gateway_script, CallGateway(call=C.ORDER_STATUS, broker_order_id=name)
    )

    row = OrderRow(
        account=ACCOUNT,
        broker_order_id=name,
        conid=ConId(265598),
        side=Side.BUY,
        total_quantity=Decimal(10),
        filled_quantity=Decimal(3),
        average_price=Decimal("149.98"),
        status=BrokerStatus.SUBMITTED,
        symbol="AAPL",
        order_type=OrderType.LMT,
        limit_price=Decimal(150),
        tif="GTC",
    )
    assert told == [OrderStatusRead(row=row)]


@pytest.mark.parametrize(
    ("status", "text"), [(400, "OrderID 7 doesn't exist"), (503, "Unavailable")]
)
def test_a_status_that_is_refused_is_no_answer(
    certificate: Certificate, status: int, text: str
) -> None:
    script = by_path({"/iserver/account/order/status/7": http(status, {"error": text})})

    (told,), _ = call(
        certificate, script, CallGateway(call=C.ORDER_STATUS, broker_order_id=BrokerOrderId("7"))
    )

    assert isinstance(told, CallFailed)
    assert (told.call, told.failure.kind) == (C.ORDER_STATUS, FailureKind.SERVER_ERROR)
    assert text in told.failure.message


def test_unreadable_rows_are_counted_and_logged_and_the_others_told(
    certificate: Certificate, data: Path
) -> None:
    orders = json.loads((data / "orders.json").read_bytes())
    del orders["orders"][0]["orderId"]
    trades = json.loads((data / "trades.json").read_bytes())
    script = by_path(
        {
            "/iserver/account/orders": http(200, orders),
            "/iserver/account/trades": http(200, [*trades, {**trades[0], "size": -5}]),
        }
    )
    counter = metrics.ANOMALIES.labels("gateway", "unreadable_row")
    before = counter._value.get()

    with capture_logs() as logs:
        told, _ = call(certificate, script, CallGateway(call=C.ORDERS), CallGateway(call=C.TRADES))

    listed, traded = told
    assert isinstance(listed, OrdersRead)
    assert ([row.broker_order_id for row in listed.rows], listed.complete) == (
        ["245323649"],
        False,
    )
    assert isinstance(traded, TradesRead)
    assert (len(traded.executions), traded.complete) == (1, False)
    assert counter._value.get() - before == 2
    assert [(one["event"], one["call"], one["count"], one["detail"]) for one in logs] == [
        ("rows_left_unread", "orders", 1, "orderId and order_id missing"),
        ("rows_left_unread", "trades", 1, "size is -5, at least 0.00000001"),
    ]


@pytest.mark.parametrize("which", [C.TICKLE, C.AUTH_STATUS, C.OPEN_BROKERAGE])
@pytest.mark.parametrize("status", [200, 500])
def test_nothing_of_an_answer_about_the_login_is_told(
    certificate: Certificate, which: SessionCall, status: int
) -> None:
    cut = b'{"name":"fred","session":"hunter2"'

    told, _ = call(certificate, always(http(status, cut)), CallGateway(call=which))

    [failed] = told
    assert isinstance(failed, CallFailed)
    assert "fred" not in failed.failure.message
    assert "hunter2" not in failed.failure.message


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(401, b"Access Denied"), FailureKind.UNAUTHORIZED),
        (http(302, b""), FailureKind.UNAUTHORIZED),
        (http(400, {"error": "Bad Request: no bridge", "statusCode": 400}), FailureKind.NO_BRIDGE),
        (http(500, {"error": "Please query /accounts first"}), FailureKind.NOT_PRIMED),
        (http(503, {"error": "Service Unavailable"}), FailureKind.SERVER_ERROR),
        (http(200, b"<html>"), FailureKind.BAD_ANSWER),
        (http(200, {"orders": 5}), FailureKind.BAD_ANSWER),
        (None, FailureKind.UNREACHABLE),
    ],
)
def test_a_failed_call_is_told_with_its_kind(
    certificate: Certificate, answer: bytes | None, kind: FailureKind
) -> None:
    told, _ = call(certificate, always(answer), CallGateway(call=C.ORDERS))

    [failed] = told
    assert isinstance(failed, CallFailed)
    assert (failed.call, failed.failure.kind) == (C.ORDERS, kind)


def test_429_fails_this_call_and_the_next_without_asking_again(certificate: Certificate) -> None:
    told, seen = call(
        certificate,
        always(http(429, b"Too Many Requests")),
        CallGateway(call=C.TICKLE),
        CallGateway(call=C.AUTH_STATUS),
    )

    assert [
        (failed.call, failed.failure.kind) for failed in told if isinstance(failed, CallFailed)
    ] == [(C.TICKLE, FailureKind.RATE_LIMITED), (C.AUTH_STATUS, FailureKind.RATE_LIMITED)]
    assert len(seen) == 1


def test_a_keep_alive_may_have_little_time_and_says_when_it_began(
    certificate: Certificate,
) -> None:
    before_ns = time.monotonic_ns()

    told, _ = call(certificate, never, CallGateway(call=C.TICKLE, deadline_ms=50))

    [failed] = told
    assert isinstance(failed, CallFailed)
    assert (failed.failure.kind, failed.failure.message) == (
        FailureKind.TIMEOUT,
        "no answer within 50 ms",
    )
    assert failed.began_ns is not None
    assert before_ns < failed.began_ns <= time.monotonic_ns() - 50_000_000


def test_an_account_that_must_be_named_is_a_failure_of_ours(certificate: Certificate) -> None:
    told, seen = call(certificate, never, CallGateway(call=C.POSITIONS))

    [failed] = told
    assert isinstance(failed, CallFailed)
    assert failed.failure.kind is FailureKind.SERVER_ERROR
    assert "positions needs an account" in failed.failure.message
    assert seen == []


def test_the_slow_lists_rest_after_a_restart(certificate: Certificate) -> None:
    """The engine before may have asked right before it ended."""
    slow = Limit(requests=1, per_ms=80)
    lists = {
        C.ORDERS: "/iserver/account/orders",
        C.TRADES: "/iserver/account/trades",
        C.PORTFOLIO_ACCOUNTS: "/portfolio/accounts",
        C.PROFIT: "/iserver/account/pnl/partitioned",
    }
    pacing = replace(QUICK, limits=dict.fromkeys(lists.values(), slow))

    async def run() -> list[float]:
        times: list[float] = []
        async with (
            raw_gateway(certificate, always(http(503, {}))) as gateway,
            client_of(gateway.url, certificate, pacing=pacing) as client,
        ):
            session = HttpSessionGateway(client)
            session.defer_reads()
            began_ns = client.clock()
            for which in lists:
                session.call(
                    CallGateway(call=which),
                    lambda _: times.append((client.clock() - began_ns) / 1e6),
                )
            await until_many(times, len(lists))
            assert len(gateway.seen) == len(lists)
        return times

    assert min(asyncio.run(run())) >= 80
