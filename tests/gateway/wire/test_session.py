from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.domain.messages import AccountsRead, AuthStatus, FailureKind
from engine.domain.values import AccountId, ConId, Funds, Position
from engine.gateway.wire import session as wire
from engine.gateway.wire.lenient import BadAnswer, decode

ACCOUNT = AccountId("DU1234567")


def document(data: Path, name: str) -> object:
    return wire.read(200, (data / name).read_bytes())


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b"Access Denied", FailureKind.UNAUTHORIZED),
        (302, b"", FailureKind.UNAUTHORIZED),
        (400, b'{"error":"Bad Request: no bridge","statusCode":400}', FailureKind.NO_BRIDGE),
        (500, b'{"error":"Init session first"}', FailureKind.NO_BRIDGE),
        (400, b'{"error":"Bad Request: Please query /accounts first"}', FailureKind.NOT_PRIMED),
        (500, b'{"error":"Bad Request: Please query /accounts first"}', FailureKind.NOT_PRIMED),
        (429, b"Too Many Requests", FailureKind.RATE_LIMITED),
        (429, b'{"error":"slow down"}', FailureKind.RATE_LIMITED),
        (503, b'{"error":"Service Unavailable","statusCode":503}', FailureKind.SERVER_ERROR),
        (500, b"", FailureKind.SERVER_ERROR),
        (403, b"<html>Access Denied</html>", FailureKind.SERVER_ERROR),
        (404, b"<h1>Resource not found</h1>", FailureKind.SERVER_ERROR),
        (200, b'{"error":"failed to process request"}', FailureKind.SERVER_ERROR),
        (200, b"<html>login</html>", FailureKind.BAD_ANSWER),
        (200, b"", FailureKind.BAD_ANSWER),
        (200, b'{"orders":[', FailureKind.BAD_ANSWER),
    ],
)
def test_a_failed_call_has_its_kind(status: int, body: bytes, kind: FailureKind) -> None:
    with pytest.raises(wire.CallRefused) as refused:
        wire.read(status, body)

    assert refused.value.failure.kind is kind
    assert refused.value.status == status


def test_a_null_error_is_none() -> None:
    assert wire.read(200, b'{"error":null,"x":1}') == {"error": None, "x": 1}


def test_an_open_brokerage_session_is_read(data: Path) -> None:
    assert wire.auth_status(document(data, "auth_status.json")) == AuthStatus(
        authenticated=True, connected=True, competing=False, established=True
    )


def test_what_a_logged_out_gateway_leaves_out_is_not_so() -> None:
    row = decode(b'{"authenticated":false,"competing":false,"connected":false,"fail":"gone"}')

    assert wire.auth_status(row) == AuthStatus(
        authenticated=False, connected=False, competing=False, established=None, message="gone"
    )
    assert not wire.auth_status({}).ready


def test_a_tickle_brings_the_status_and_the_token(data: Path) -> None:
    status, token = wire.tickle(document(data, "tickle.json"))

    assert status == AuthStatus(
        authenticated=True, connected=True, competing=False, established=None
    )
    assert token == "bb665d0f9a0a4a8d9a3f3b6d6a1c6d5e"


def test_a_tickle_without_a_bridge_says_so() -> None:
    with pytest.raises(wire.CallRefused) as refused:
        wire.tickle({"session": "x", "iserver": {"error": "no bridge"}})

    assert refused.value.failure.kind is FailureKind.NO_BRIDGE


@pytest.mark.parametrize("row", [{}, {"iserver": None}, {"iserver": {}}, []])
def test_a_tickle_without_a_status_is_no_answer(row: object) -> None:
    with pytest.raises(BadAnswer):
        wire.tickle(row)


def test_accounts_are_those_that_can_trade(data: Path) -> None:
    assert wire.accounts(document(data, "accounts.json")) == AccountsRead(
        accounts=(ACCOUNT, AccountId("DU7654321")), paper=True
    )


def test_paper_or_live_is_never_guessed(data: Path) -> None:
    row: Any = document(data, "accounts.json")
    del row["isPaper"]

    with pytest.raises(BadAnswer, match="isPaper missing"):
        wire.accounts(row)


def test_accounts_that_are_no_texts_are_refused() -> None:
    with pytest.raises(BadAnswer, match="accounts is not an array of texts"):
        wire.accounts({"accounts": [5], "isPaper": True})


def test_a_list_of_orders_says_whether_it_is_a_snapshot(data: Path) -> None:
    rows, snapshot = wire.orders(document(data, "orders.json"))

    assert ([row.broker_order_id for row in rows], snapshot) == (["245323648", "245323649"], True)
    assert wire.orders({"orders": [], "snapshot": False}) == ((), False)


def test_a_list_with_one_unreadable_order_proves_nothing(data: Path) -> None:
    row: Any = document(data, "orders.json")
    del row["orders"][1]["orderId"]

    with pytest.raises(BadAnswer, match="orderId missing"):
        wire.orders(row)
    with pytest.raises(BadAnswer, match="orders is NoneType, expected an array"):
        wire.orders({"snapshot": True})


def test_positions_are_read_with_ids_of_either_type(data: Path) -> None:
    assert wire.positions(ACCOUNT, document(data, "positions2.json")) == (
        Position(
            account=ACCOUNT,
            conid=ConId(320227571),
            symbol="QQQ",
            quantity=Decimal(3),
            average_price=Decimal("610.5"),
            market_price=Decimal("612.25"),
            market_value=Decimal("1836.75"),
            unrealized_pnl=Decimal("5.25"),
            currency="USD",
        ),
        Position(
            account=ACCOUNT,
            conid=ConId(265598),
            symbol="AAPL",
            quantity=Decimal(-10),
            average_price=None,
            market_price=None,
            market_value=None,
            unrealized_pnl=None,
            currency="USD",
        ),
    )


def test_a_position_without_its_size_is_an_error() -> None:
    with pytest.raises(BadAnswer, match="position missing"):
        wire.positions(ACCOUNT, [{"conid": 5, "currency": "USD"}])


def test_funds_are_exact_and_null_is_none(data: Path) -> None:
    assert wire.funds(ACCOUNT, document(data, "summary.json")) == Funds(
        account=ACCOUNT,
        currency="USD",
        net_liquidation=Decimal("1005165.5"),
        available_funds=Decimal("971870.25"),
        excess_liquidity=None,
    )


def test_a_summary_without_a_currency_is_an_error() -> None:
    with pytest.raises(BadAnswer, match="names no currency"):
        wire.funds(ACCOUNT, {"netliquidation": {"amount": 5}})


def test_bodies_are_what_the_broker_expects() -> None:
    assert wire.open_brokerage_body(compete=True) == b'{"publish":true,"compete":true}'
    assert wire.suppress_body(("o163", "o354")) == b'{"messageIds":["o163","o354"]}'
