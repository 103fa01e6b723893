"""`engine sessions`."""

import json

from tests.cli.bodies import SESSIONS
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal


def test_a_session_is_shown_with_the_reason_it_is_not_ready(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("GET", "/v1/sessions", SESSIONS)

    ended = terminal.types("sessions")

    header, line = ended.lines
    assert header == [
        "session", "state", "since", "reason", "accounts", "gateway", "epoch", "socket",
    ]  # fmt: skip
    assert [*line[:2], *line[3:]] == [
        "main",
        "LOGIN_REQUIRED",
        "LOGIN_REQUIRED: log in at https://127.0.0.1:5000",
        "DU1111111, DU2222222",
        "https://127.0.0.1:5000",
        "3",
        "no",
    ]


def test_json_is_what_the_api_sent(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/sessions", SESSIONS)

    ended = terminal.types("sessions", "--json")

    assert (ended.code, json.loads(ended.stdout), ended.stderr) == (0, SESSIONS, "")


def test_an_engine_without_sessions_says_so(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/sessions", {"sessions": []})

    ended = terminal.types("sessions")

    assert (ended.code, ended.stdout) == (0, "no session is configured\n")
