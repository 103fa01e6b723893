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
        "login by", "no submits until",
    ]  # fmt: skip
    assert [*line[:2], *line[3:]] == [
        "main",
        "LOGIN_REQUIRED",
        "LOGIN_REQUIRED: log in at https://127.0.0.1:5000",
        "DU1111111, DU2222222",
        "https://127.0.0.1:5000",
        "3",
        "no",
        "2026-01-05T15:10:00.000000Z (2 refused)",
        "-",
    ]


def test_json_is_what_the_api_sent(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/sessions", SESSIONS)

    ended = terminal.types("sessions", "--json")

    assert (ended.code, json.loads(ended.stdout), ended.stderr) == (0, SESSIONS, "")


def test_an_engine_without_sessions_says_so(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/sessions", {"sessions": []})

    ended = terminal.types("sessions")

    assert (ended.code, ended.stdout) == (0, "no session is configured\n")


def test_a_locked_session_is_let_try_again(api: FakeApi, terminal: Terminal) -> None:
    session = SESSIONS["sessions"][0] | {"state": "BROKERAGE_INIT"}
    api.answers("POST", "/v1/sessions/main/login", session, status=202)

    ended = terminal.types("sessions", "retry", "main", "--reason", "password is new")

    assert (ended.code, ended.stdout) == (
        0,
        "session main may log in again; it is BROKERAGE_INIT\n",
    )
    assert [(request.path, request.body) for request in api.requests] == [
        ("/v1/sessions/main/login", {"reason": "password is new"})
    ]


def test_a_retry_is_shown_to_programs_as_the_api_sent_it(api: FakeApi, terminal: Terminal) -> None:
    session = SESSIONS["sessions"][0]
    api.answers("POST", "/v1/sessions/main/login", session, status=202)

    ended = terminal.types("sessions", "retry", "main", "--reason", "why", "--json")

    assert (ended.code, json.loads(ended.stdout)) == (0, session)


def test_a_retry_needs_a_session_and_a_reason(api: FakeApi, terminal: Terminal) -> None:
    without_reason = terminal.types("sessions", "retry", "main")
    without_name = terminal.types("sessions", "retry", "--reason", "why")

    assert (without_reason.code, without_name.code, api.requests) == (2, 2, [])
