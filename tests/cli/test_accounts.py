"""`engine accounts`."""

import json

import pytest

from tests.cli.bodies import ACCOUNTS
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal


def test_an_account_is_shown_with_its_money_and_the_age_of_it(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("GET", "/v1/accounts", ACCOUNTS)

    ended = terminal.types("accounts")

    assert ended.lines == [
        [
            "account", "session", "ready", "trading", "reconciled", "others", "reason", "currency",
            "net liquidation", "available funds", "buying power", "total cash",
            "daily pnl", "unrealized pnl",
        ],
        [
            "DU1111111", "main", "yes", "reduce_only", "1 break (65 s)", "2", "-", "USD",
            "1000000.10 (1 s)", "900000 (1 s)", "3600000 (1 s)", "1000000.10 (1 s)",
            "-12.5 (300 ms)", "-",
        ],
    ]  # fmt: skip


def test_json_is_what_the_api_sent(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/accounts", ACCOUNTS)

    ended = terminal.types("accounts", "--json")

    assert (ended.code, json.loads(ended.stdout), ended.stderr) == (0, ACCOUNTS, "")


def test_one_account_is_shown_with_every_figure_and_its_cash(
    api: FakeApi, terminal: Terminal
) -> None:
    (account,) = ACCOUNTS["accounts"]
    api.answers("GET", "/v1/accounts/DU1111111", account)

    ended = terminal.types("accounts", "DU1111111")

    assert ended.lines[-11:] == [
        ["total_cash", "1000000.10 (1 s)"],
        ["external_orders", "2"],
        ["reconciled", "1 break (65 s)"],
        [],
        ["holdings that nothing explains; resume the account once they are understood"],
        ["conid", "symbol", "expected", "found"],
        ["265598", "AAPL", "100", "-40"],
        [],
        ["cash by currency, read 4 s ago"],
        ["currency", "cash", "settled cash", "net liquidation", "exchange rate"],
        ["EUR", "100.25", "-", "100.25", "1.1"],
    ]


def test_an_account_whose_cash_was_never_read_says_so(api: FakeApi, terminal: Terminal) -> None:
    (account,) = ACCOUNTS["accounts"]
    api.answers("GET", "/v1/accounts/DU1111111", account | {"cash": [], "cash_age_ms": None})

    ended = terminal.types("accounts", "DU1111111")

    assert ended.stdout.endswith("\nits cash by currency was never read\n")


@pytest.mark.parametrize(
    ("changes", "cell"),
    [
        ({"reconciliation": "pending", "reconcile_step": "orders"}, "pending: orders"),
        ({"reconciliation": "pending"}, "pending"),
        (
            {"reconciliation": "explaining", "reconcile_step": "1 position differs"},
            "explaining: 1 position differs",
        ),
        ({"reconciliation": "clean", "reconciled_age_ms": 1500}, "clean (1 s)"),
        ({"reconciliation": "clean"}, "clean"),
    ],
)
def test_an_account_shows_how_it_stands_against_the_broker(
    changes: dict[str, object], cell: str, api: FakeApi, terminal: Terminal
) -> None:
    (account,) = ACCOUNTS["accounts"]
    agreed = account | {"breaks": [], "reconcile_step": None, "reconciled_age_ms": None}
    api.answers("GET", "/v1/accounts", {"accounts": [agreed | changes]})
    api.answers("GET", "/v1/accounts/DU1111111", agreed | changes)

    ended = terminal.types("accounts")
    alone = terminal.types("accounts", "DU1111111")

    assert ended.lines[1][4] == cell
    assert ["reconciled", cell] in alone.lines
    assert "nothing explains" not in alone.stdout
