import asyncio
from typing import Any

import pytest

from engine.domain.messages import HaltScope, ResumeScope
from engine.domain.ports import JournalUnavailable
from engine.domain.values import Scope, ScopeKind, TradingState
from tests.api.fake_engine import FakeEngine, serving, token

BY = f"api:{token().id}"
ACCOUNT = {
    "account": "DU1234567",
    "session": "main",
    "session_state": "READY",
    "trading_state": "normal",
    "ready": True,
    "reason": None,
    "currency": "USD",
    "net_liquidation": {"value": "1000000", "age_ms": 12},
    "available_funds": {"value": "250000.50", "age_ms": 12},
    "daily_pnl": {"value": "-12.5", "age_ms": 7},
    "unrealized_pnl": {"value": None, "age_ms": None},
    "excess_liquidity": {"value": "240000", "age_ms": 12},
    "buying_power": {"value": "1000000", "age_ms": 12},
    "initial_margin": {"value": None, "age_ms": None},
    "maintenance_margin": {"value": None, "age_ms": None},
    "gross_position_value": {"value": None, "age_ms": None},
    "total_cash": {"value": "-20.5", "age_ms": 12},
    "cash": [
        {
            "currency": "EUR",
            "cash": "100.25",
            "settled_cash": None,
            "net_liquidation": "100.25",
            "exchange_rate": "1.1",
        }
    ],
    "cash_age_ms": 900,
    "reconciliation": "breaks",
    "reconcile_step": None,
    "reconciled_age_ms": 4000,
    "breaks": [{"conid": 265598, "symbol": "AAPL", "expected": "100", "found": "-40"}],
    "external_orders": 1,
}
LIMIT = {"name": "order_notional_max", "value": "50000"}
LIMITS = {
    "account": "DU1234567",
    "groups": ["desk"],
    "version": 7,
    "policy_hash": "c0ffee",
    "file_error": None,
}


def test_accounts_are_listed_and_shown() -> None:
    async def scene() -> None:
        async with serving() as client:
            assert await client.ask("GET", "/v1/accounts") == (200, {"accounts": [ACCOUNT]})
            assert await client.ask("GET", "/v1/accounts/DU1234567") == (200, ACCOUNT)

    asyncio.run(scene())


def test_orders_of_others_are_shown_in_the_brokers_words() -> None:
    async def scene() -> None:
        async with serving() as client:
            known = await client.ask("GET", "/v1/accounts/DU1234567/external_orders")
            unknown = await client.ask("GET", "/v1/accounts/DU9/external_orders")

            assert known == (
                200,
                {
                    "account": "DU1234567",
                    "orders": [
                        {
                            "session": "main",
                            "broker_order_id": "987",
                            "order_ref": "by-hand",
                            "conid": 265598,
                            "symbol": "AAPL",
                            "side": "SELL",
                            "type": "Limit",
                            "quantity": "5",
                            "filled_quantity": None,
                            "average_price": None,
                            "limit_price": "200",
                            "stop_price": None,
                            "tif": "GTC",
                            "status": "Submitted",
                            "seen_at": "2025-11-22T12:00:00.123456Z",
                        }
                    ],
                },
            )
            assert (unknown[0], unknown[1]["error"]["code"]) == (404, "UNKNOWN_ACCOUNT")

    asyncio.run(scene())


def test_positions_are_shown() -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask("GET", "/v1/accounts/DU1234567/positions")

            assert status == 200
            assert answer["positions"][0] == {
                "account": "DU1234567",
                "conid": 265598,
                "symbol": "AAPL",
                "quantity": "-100",
                "lowest": "-130",
                "highest": "-100",
                "working_buy": "10",
                "working_sell": "0",
                "average_price": "189.25",
                "market_price": None,
                "market_value": None,
                "unrealized_pnl": None,
                "currency": "USD",
                "age_ms": 40,
            }

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("query", "source"),
    [
        ("", None),
        ("?explain=false", None),
        ("?explain=true", "risk.yaml:12"),
        ("?explain=1", "risk.yaml:12"),
    ],
)
def test_limits_name_their_source_when_asked_to(query: str, source: str | None) -> None:
    async def scene() -> None:
        async with serving() as client:
            expected = LIMITS | {"limits": [LIMIT | {"source": source}]}

            answer = await client.ask("GET", f"/v1/accounts/DU1234567/limits{query}")

            assert answer == (200, expected)

    asyncio.run(scene())


@pytest.mark.parametrize("rest", ["", "/positions", "/limits"])
def test_an_account_that_is_not_there_is_not_found(rest: str) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask("GET", f"/v1/accounts/DU9{rest}")

            assert (status, answer["error"]["code"]) == (404, "UNKNOWN_ACCOUNT")

    asyncio.run(scene())


def test_a_halt_and_its_resume_reach_the_engine() -> None:
    async def scene() -> None:
        body = {
            "scope": "group:desk",
            "level": "cancel_only",
            "cancel_working": True,
            "reason": "fat finger",
        }
        async with serving() as client:
            halted = await client.ask("POST", "/v1/halt", body=body)
            resumed = await client.ask(
                "POST", "/v1/resume", body={"scope": "group:desk", "reason": "found it"}
            )

            scope = Scope(kind=ScopeKind.GROUP, key="desk")
            assert halted == (
                200,
                {
                    "scope": "group:desk",
                    "level": "cancel_only",
                    "reason": "fat finger",
                    "cancels_requested": 2,
                },
            )
            assert resumed == (
                200,
                {"scope": "group:desk", "resumed": True, "reason": "found it"},
            )
            halt = HaltScope(
                scope=scope, level=TradingState.CANCEL_ONLY, reason="fat finger", by=BY
            )
            assert client.engine.halts == [(halt, True)]
            assert client.engine.resumes == [ResumeScope(scope=scope, reason="found it", by=BY)]

    asyncio.run(scene())


def test_resuming_what_is_not_halted_says_so() -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask(
                "POST", "/v1/resume", body={"scope": "account:GONE", "reason": "tidy"}
            )

            assert (status, answer["resumed"]) == (200, False)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"scope": "account:DU9"}, (404, "account")),
        ({"scope": "group:dsek"}, (400, "scope")),
        ({"scope": "everything"}, (400, "scope")),
        ({"level": "normal"}, (400, "level")),
        ({"reason": " "}, (400, "reason")),
        ({"cancel_working": "yes"}, (400, "cancel_working")),
        ({"force": True}, (400, "force")),
    ],
)
def test_a_halt_that_would_halt_nothing_is_an_error(
    change: dict[str, Any], expected: tuple[int, str]
) -> None:
    async def scene() -> None:
        body = {"scope": "firm", "level": "halt", "reason": "why"}
        async with serving() as client:
            status, answer = await client.ask("POST", "/v1/halt", body=body | change)

            assert (status, answer["error"]["details"]["field"]) == expected
            assert client.engine.halts == []

    asyncio.run(scene())


def test_a_halt_that_is_not_durable_is_an_error() -> None:
    async def scene() -> None:
        body = {"scope": "firm", "level": "halt", "reason": "why"}
        async with serving(FakeEngine(fail=JournalUnavailable())) as client:
            status, answer = await client.ask("POST", "/v1/halt", body=body)

            assert (status, answer["error"]["code"]) == (503, "JOURNAL_UNAVAILABLE")

    asyncio.run(scene())
