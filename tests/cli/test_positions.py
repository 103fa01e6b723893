"""`engine positions`."""

import json

from tests.cli.bodies import POSITIONS
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal

PATH = "/v1/accounts/DU1111111/positions"


def test_a_position_is_shown_with_what_open_orders_could_add(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("GET", PATH, POSITIONS)

    ended = terminal.types("positions", "DU1111111")

    header, line = ended.lines
    assert dict(zip(header, line, strict=True)) == {
        "conid": "265598",
        "symbol": "AAPL",
        "quantity": "-40",
        "in doubt": "-",
        "working buy": "60",
        "working sell": "0",
        "average price": "189.25",
        "market price": "-",
        "market value": "-",
        "unrealized pnl": "-",
        "currency": "USD",
        "age": "2 s",
    }


def test_a_position_in_doubt_is_shown_with_its_bounds(api: FakeApi, terminal: Terminal) -> None:
    (position,) = POSITIONS["positions"]
    doubted = {**position, "lowest": "-70", "highest": "-40"}
    api.answers("GET", PATH, {**POSITIONS, "positions": [doubted]})

    ended = terminal.types("positions", "DU1111111")

    header, line = ended.lines
    shown = dict(zip(header, line, strict=True))
    assert (shown["quantity"], shown["in doubt"]) == ("-40", "-70 to -40")


def test_json_is_what_the_api_sent(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", PATH, POSITIONS)

    ended = terminal.types("positions", "DU1111111", "--json")

    assert (ended.code, json.loads(ended.stdout), ended.stderr) == (0, POSITIONS, "")


def test_an_account_cannot_lead_to_another_path(api: FakeApi, terminal: Terminal) -> None:
    ended = terminal.types("positions", "../drain?x=1")

    assert ended.code == 1
    assert [request.path for request in api.requests] == [
        "/v1/accounts/..%2Fdrain%3Fx%3D1/positions"
    ]


def test_an_unknown_account_is_a_failure(api: FakeApi, terminal: Terminal) -> None:
    api.refuses("GET", PATH, 404, "UNKNOWN_ACCOUNT", "no session has it")

    ended = terminal.types("positions", "DU1111111")

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == "engine: UNKNOWN_ACCOUNT: no session has it\n"
