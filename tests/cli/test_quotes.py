"""`engine quotes`."""

import json

from tests.cli.bodies import QUOTES
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal


def test_quotes_are_shown_and_the_missing_ones_named(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/quotes", QUOTES)

    ended = terminal.types("quotes", "265598", "8314")

    assert api.requests[0].query == {"conids": "265598,8314"}
    assert ended.lines == [
        [
            "conid", "bid size", "bid", "ask", "ask size", "last", "last size", "volume",
            "halted", "availability", "age", "source",
        ],
        [
            "265598", "300", "189.20", "189.25", "100", "189.2", "-", "5660000",
            "no", "RpB", "120 ms", "stream",
        ],
    ]  # fmt: skip
    assert (ended.code, ended.stderr) == (
        1,
        (
            "engine: no quote is known of 8314; the broker told none: is there such a contract "
            "(`engine instruments --conid`), and may the login see its market?\n"
        ),
    )


def test_why_there_is_no_snapshot_is_said(api: FakeApi, terminal: Terminal) -> None:
    reason = {"code": "TIMEOUT", "message": "no answer in 5,000 ms"}
    api.answers("GET", "/v1/quotes", QUOTES | {"reason": reason})

    ended = terminal.types("quotes", "265598", "8314")

    assert ended.code == 1
    assert ended.stderr == "engine: no quote is known of 8314; TIMEOUT: no answer in 5,000 ms\n"


def test_json_is_what_the_api_sent(api: FakeApi, terminal: Terminal) -> None:
    complete = QUOTES | {"missing": []}
    api.answers("GET", "/v1/quotes", complete)

    ended = terminal.types("quotes", "265598", "--json")
    api.answers("GET", "/v1/quotes", QUOTES)
    partial = terminal.types("quotes", "265598", "8314", "--json")

    assert (ended.code, json.loads(ended.stdout), ended.stderr) == (0, complete, "")
    assert (partial.code, json.loads(partial.stdout)) == (1, QUOTES)


def test_a_symbol_is_no_conid(api: FakeApi, terminal: Terminal) -> None:
    ended = terminal.types("quotes", "AAPL")

    assert (ended.code, api.requests) == (2, [])
