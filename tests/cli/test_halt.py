"""`engine halt` and `engine resume`."""

import json

import pytest

from tests.cli.bodies import HALTED, RESUMED
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal

HALT = ("halt", "--level", "cancel_only", "--reason", "news")
RESUME = ("resume", "--scope", "firm", "--reason", "over")


def test_a_halt_sends_scope_level_and_reason(api: FakeApi, terminal: Terminal) -> None:
    api.answers("POST", "/v1/halt", HALTED)

    ended = terminal.types(*HALT, "--scope", "account:DU1111111", "--cancel-working")

    assert [request.body for request in api.requests] == [
        {
            "scope": "account:DU1111111",
            "level": "cancel_only",
            "reason": "news",
            "cancel_working": True,
        }
    ]
    assert (ended.code, ended.stdout) == (
        0,
        "account:DU1111111 is at cancel_only; cancels asked for: 3\n",
    )


def test_a_halt_cancels_nothing_unless_told(api: FakeApi, terminal: Terminal) -> None:
    api.answers("POST", "/v1/halt", HALTED)

    ended = terminal.types(*HALT, "--scope", "firm")

    assert api.requests[0].body["cancel_working"] is False
    assert ended.stdout == "firm is at cancel_only\n"


@pytest.mark.parametrize(
    "scope", ["", "all", "account", "account:", "instrument:AAPL", "firm:x", "group:a b"]
)
def test_what_is_no_scope_is_a_usage_error(scope: str, api: FakeApi, terminal: Terminal) -> None:
    ended = terminal.types(*HALT, "--scope", scope)

    assert (ended.code, api.requests) == (2, [])


@pytest.mark.parametrize("left_out", ["--scope", "--level", "--reason"])
def test_a_halt_needs_all_three(left_out: str, api: FakeApi, terminal: Terminal) -> None:
    options = {"--scope": "firm", "--level": "halt", "--reason": "news"}
    del options[left_out]

    ended = terminal.types("halt", *(word for option in options.items() for word in option))

    assert (ended.code, api.requests) == (2, [])
    assert left_out in ended.stderr


def test_normal_is_no_level_of_a_halt(api: FakeApi, terminal: Terminal) -> None:
    ended = terminal.types("halt", "--scope", "firm", "--level", "normal", "--reason", "x")

    assert (ended.code, api.requests) == (2, [])


def test_a_resume_says_whether_there_was_a_halt(api: FakeApi, terminal: Terminal) -> None:
    api.answers("POST", "/v1/resume", RESUMED)
    resumed = terminal.types(*RESUME)
    api.answers("POST", "/v1/resume", RESUMED | {"resumed": False})
    not_halted = terminal.types(*RESUME)

    assert [request.body for request in api.requests] == [{"scope": "firm", "reason": "over"}] * 2
    assert (resumed.code, resumed.stdout) == (0, "firm is resumed\n")
    assert (not_halted.code, not_halted.stdout) == (0, "firm was not halted\n")


def test_json_is_what_the_api_sent(api: FakeApi, terminal: Terminal) -> None:
    api.answers("POST", "/v1/halt", HALTED)
    api.answers("POST", "/v1/resume", RESUMED)

    halted = terminal.types(*HALT, "--scope", "firm", "--json")
    resumed = terminal.types(*RESUME, "--json")

    assert json.loads(halted.stdout) == HALTED
    assert json.loads(resumed.stdout) == RESUMED


def test_a_token_that_may_only_read_is_a_failure(api: FakeApi, terminal: Terminal) -> None:
    api.refuses("POST", "/v1/halt", 403, "READ_ONLY", "this token may only read")

    ended = terminal.types(*HALT, "--scope", "firm")

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == "engine: READ_ONLY: this token may only read\n"
