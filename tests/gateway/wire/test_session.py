import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.domain.messages import AccountsRead, AuthStatus, FailureKind
from engine.domain.values import (
    AccountId,
    CashBalance,
    ConId,
    Funds,
    Position,
    ProfitAndLoss,
    Side,
)
from engine.gateway.wire import session as wire
from engine.gateway.wire.lenient import BadAnswer, as_rows, decode

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
        (403, b'{"error":"Access Denied"}', FailureKind.SERVER_ERROR),
        (403, b"", FailureKind.SERVER_ERROR),
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


TOKEN = "bb665d0f9a0a4a8d9a3f3b6d6a1c6d5e"


@pytest.mark.parametrize("status", [200, 302, 401, 429, 500])
@pytest.mark.parametrize(
    "body",
    [
        f'{{"session":"{TOKEN}","ssoExpires":460311,"iserver":{{"authSt'.encode(),
        f'{{"session":"{TOKEN}","error":{{"x":1}}}}'.encode(),
        f'{{"session":"{TOKEN}","error":"no session {TOKEN}"}}'.encode(),
        f"<html>{TOKEN}".encode(),
    ],
)
def test_no_failure_shows_the_sessions_token(status: int, body: bytes) -> None:
    for private in (False, True):
        with pytest.raises(wire.CallRefused) as refused:
            wire.read(status, body, private=private)

        message = refused.value.failure.message
        assert TOKEN[:8] not in message
        assert not (private and "ssoExpires" in message)


def test_what_is_about_the_login_is_not_repeated() -> None:
    with pytest.raises(wire.CallRefused) as refused:
        wire.read(500, b'{"user":"fred","ssoExpires":1}', private=True)

    assert refused.value.failure.message == "HTTP 500"


def test_an_odd_token_in_a_tickle_is_none_and_is_not_shown() -> None:
    status = {"authStatus": {"authenticated": True, "message": f"bound to {TOKEN}"}}

    told = wire.tickle({"session": [TOKEN], "iserver": status})

    assert (told.status.message, told.token) == ("bound to ***", None)


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


def test_a_tickle_brings_the_status_the_end_of_the_login_and_the_token(data: Path) -> None:
    assert wire.tickle(document(data, "tickle.json")) == wire.Tickle(
        status=AuthStatus(authenticated=True, connected=True, competing=False, established=None),
        sso_expires_ms=460_311,
        token="bb665d0f9a0a4a8d9a3f3b6d6a1c6d5e",
    )


@pytest.mark.parametrize(
    ("expires", "left_ms"), [(None, None), ("soon", None), ("1500", 1500), (1.5, 1), (-1, 0)]
)
def test_the_end_of_the_login_may_not_be_told(expires: object, left_ms: int | None) -> None:
    row = {"ssoExpires": expires, "iserver": {"authStatus": {}}}

    assert wire.tickle(decode(json.dumps(row).encode())).sso_expires_ms == left_ms


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


@pytest.mark.parametrize("name", ["", " ", "D" * 65])
def test_an_account_without_a_name_is_refused(name: str) -> None:
    with pytest.raises(BadAnswer, match="account"):
        wire.accounts({"accounts": ["DU1234567", name], "isPaper": True})


def test_accounts_that_are_no_texts_are_refused() -> None:
    with pytest.raises(BadAnswer, match="accounts is not an array of texts"):
        wire.accounts({"accounts": [5], "isPaper": True})


def test_a_list_of_orders_says_whether_it_is_a_snapshot(data: Path) -> None:
    found = wire.orders(document(data, "orders.json"))

    assert [row.broker_order_id for row in found.rows] == ["245323648", "245323649"]
    assert (found.unread, found.snapshot) == ((), True)
    assert wire.orders({"orders": [], "snapshot": False}) == wire.OrdersList(
        rows=(), unread=(), snapshot=False
    )


def test_one_unreadable_order_is_left_out_and_told(data: Path) -> None:
    row: Any = document(data, "orders.json")
    del row["orders"][1]["orderId"]
    row["orders"].append(5)

    found = wire.orders(row)

    assert [row.broker_order_id for row in found.rows] == ["245323648"]
    assert found.unread == ("orderId and order_id missing", "the order is int, expected an object")


def test_what_is_no_list_of_orders_is_an_error() -> None:
    with pytest.raises(BadAnswer, match="orders is NoneType, expected an array"):
        wire.orders({"snapshot": True})


def test_one_unreadable_trade_is_left_out_and_told(data: Path) -> None:
    [trade] = as_rows(document(data, "trades.json"), "trades")

    found = wire.trades([{**trade, "size": -5}, {**trade, "side": "SLD"}])

    assert [one.side for one in found.rows] == [Side.SELL]
    assert found.unread == ("size is -5, at least 0.00000001",)
    with pytest.raises(BadAnswer, match="trades is dict, expected an array"):
        wire.trades({})


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


def test_a_position_counts_whatever_its_currency_is() -> None:
    [position] = wire.positions(ACCOUNT, [{"conid": 5, "position": -3, "currency": None}])

    assert (position.conid, position.quantity, position.currency) == (5, Decimal(-3), "")


def test_one_position_that_cannot_be_read_is_an_error_of_the_list() -> None:
    good = {"conid": 5, "position": 3, "currency": "USD"}

    with pytest.raises(BadAnswer, match="position is 'NaN', expected a number"):
        wire.positions(ACCOUNT, [good, {**good, "position": "NaN"}])
    with pytest.raises(BadAnswer, match="conid is 0, a contract's id is above 0"):
        wire.positions(ACCOUNT, [good, {**good, "conid": 0}])


def test_funds_are_exact_and_null_is_none(data: Path) -> None:
    assert wire.funds(ACCOUNT, document(data, "summary.json")) == Funds(
        account=ACCOUNT,
        currency="USD",
        net_liquidation=Decimal("1005165.5"),
        available_funds=Decimal("971870.25"),
        excess_liquidity=None,
        buying_power=Decimal(3887481),
        initial_margin=Decimal("33295.25"),
        maintenance_margin=Decimal("30268.41"),
        gross_position_value=Decimal(133181),
        total_cash=Decimal("871984.5"),
    )


@pytest.mark.parametrize("currency", [None, "", 5, {"x": 1}])
def test_a_summary_without_a_currency_still_has_its_figures(currency: object) -> None:
    row = {"netliquidation": {"amount": 5, "currency": currency, "isNull": False}}

    assert wire.funds(ACCOUNT, row) == Funds(
        account=ACCOUNT,
        currency="",
        net_liquidation=Decimal(5),
        available_funds=None,
        excess_liquidity=None,
    )


def test_an_unreadable_figure_hides_no_other() -> None:
    row = {
        "netliquidation": {"amount": "NaN", "currency": "USD"},
        "availablefunds": {"amount": "1,000", "currency": "USD"},
        "excessliquidity": None,
    }

    assert wire.funds(ACCOUNT, row) == Funds(
        account=ACCOUNT,
        currency="USD",
        net_liquidation=None,
        available_funds=Decimal(1000),
        excess_liquidity=None,
    )


def test_the_ledger_has_the_money_by_currency_and_all_of_it(data: Path) -> None:
    assert wire.ledger(document(data, "ledger.json")) == (
        CashBalance(
            currency="USD",
            cash=Decimal("871984.5"),
            settled_cash=Decimal("870000.25"),
            net_liquidation=Decimal("1000000.5"),
            exchange_rate=Decimal(1),
        ),
        CashBalance(
            currency="EUR",
            cash=Decimal(-120),
            settled_cash=None,
            net_liquidation=Decimal("4700.125"),
            exchange_rate=Decimal("1.0989"),
        ),
        CashBalance(
            currency="BASE",
            cash=Decimal("871852.632"),
            settled_cash=Decimal("869868.382"),
            net_liquidation=Decimal("1005165.5"),
            exchange_rate=Decimal(1),
        ),
    )


def test_a_ledger_that_was_not_opened_is_empty_and_one_without_rows_is_none() -> None:
    assert wire.ledger({}) == ()
    assert wire.ledger({"usd": {"cashbalance": 1}, "USD": 5}) == ()
    with pytest.raises(BadAnswer, match="the ledger is list, expected an object"):
        wire.ledger([])


def test_results_are_those_of_the_accounts_and_not_of_their_models(data: Path) -> None:
    found = wire.profits(document(data, "pnl_partitioned.json"))

    assert found.rows == (
        ProfitAndLoss(
            account=ACCOUNT,
            daily=Decimal("-12510.5"),
            unrealized=Decimal("256000.25"),
            net_liquidation=Decimal(1290000),
        ),
    )
    assert found.unread == ()


def test_the_first_answer_of_a_session_has_no_results_and_is_no_error() -> None:
    assert wire.profits({"upnl": {}}).rows == ()
    with pytest.raises(BadAnswer, match="spl args is NoneType, expected an object"):
        wire.profits({})


def test_bodies_are_what_the_broker_expects() -> None:
    assert wire.open_brokerage_body(compete=True) == b'{"publish":true,"compete":true}'
    assert wire.suppress_body(("o163", "o354")) == b'{"messageIds":["o163","o354"]}'
