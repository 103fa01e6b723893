"""`engine bars`."""

import json

from tests.cli.bodies import BARS
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal


def test_bars_are_listed(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/bars/265598", BARS)

    ended = terminal.types("bars", "265598", "--interval", "1m", "--limit", "5")

    assert api.requests[0].query == {"interval": "1m", "limit": "5"}
    assert ended.lines == [
        ["start", "open", "high", "low", "close", "volume", "vwap", "trades"],
        [
            "2026-01-05T15:00:00.000000Z", "189.20", "189.30", "189.10", "189.25",
            "1200", "-", "7",
        ],
    ]  # fmt: skip


def test_bars_of_the_past_are_asked_for_by_period_and_bar(api: FakeApi, terminal: Terminal) -> None:
    history = BARS | {"interval": "5min", "period": "1d", "source": "history", "bars": []}
    api.answers("GET", "/v1/bars/265598", history)

    ended = terminal.types("bars", "265598", "--period", "1d", "--bar", "5min", "--outside-rth")

    assert api.requests[0].query == {"period": "1d", "bar": "5min", "outside_rth": "true"}
    assert ended.stdout == "no 5min bar of 265598 has closed\n"


def test_without_a_period_the_newest_streamed_bars_are_listed(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("GET", "/v1/bars/265598", BARS)

    terminal.types("bars", "265598")

    assert api.requests[0].query == {"interval": "1s", "limit": "20"}


def test_json_is_what_the_api_sent(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/bars/265598", BARS)

    ended = terminal.types("bars", "265598", "--json")

    assert (ended.code, json.loads(ended.stdout), ended.stderr) == (0, BARS, "")


def test_no_bar_is_a_sentence(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/bars/265598", BARS | {"bars": []})

    ended = terminal.types("bars", "265598")

    assert (ended.code, ended.stdout) == (0, "no 1s bar of 265598 has closed\n")
