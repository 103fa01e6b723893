"""`engine accounts`."""

import json

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
            "account", "session", "ready", "trading", "reason", "currency",
            "net liquidation", "available funds", "daily pnl", "unrealized pnl",
        ],
        [
            "DU1111111", "main", "yes", "reduce_only", "-", "USD",
            "1000000.10 (1 s)", "900000 (1 s)", "-12.5 (300 ms)", "-",
        ],
    ]  # fmt: skip


def test_json_is_what_the_api_sent(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/accounts", ACCOUNTS)

    ended = terminal.types("accounts", "--json")

    assert (ended.code, json.loads(ended.stdout), ended.stderr) == (0, ACCOUNTS, "")
