import asyncio

import pytest

from engine.api.token import TokenScope
from tests.api.fake_engine import serving, token

MAIN = {
    "name": "main",
    "state": "READY",
    "reason": None,
    "accounts": ["DU1234567"],
    "gateway": "https://127.0.0.1:5000",
    "epoch": 3,
    "since": "2025-11-22T12:00:00.123456Z",
    "socket_connected": True,
    "last_heartbeat_age_ms": 250,
    "login_by": "2025-11-22T12:10:00.123456Z",
    "login_failures": 2,
    "no_submit_until": None,
}
LOGIN = "/v1/sessions/main/login"


def test_sessions_are_listed() -> None:
    async def scene() -> None:
        async with serving() as client:
            assert await client.ask("GET", "/v1/sessions") == (200, {"sessions": [MAIN]})

    asyncio.run(scene())


def test_a_locked_session_may_try_again_when_a_person_says_why() -> None:
    async def scene() -> None:
        async with serving() as client:
            answered = await client.ask("POST", LOGIN, body={"reason": "password is new"})

            now = MAIN | {"state": "BROKERAGE_INIT", "login_failures": 0}
            assert answered == (202, now)
            assert client.engine.retries == [("main", "password is new", f"api:{token().id}")]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/sessions/spare/login", {"reason": "why"}, (404, "UNKNOWN_SESSION")),
        (LOGIN, {}, (400, "BAD_FIELD")),
        (LOGIN, {"reason": " "}, (400, "BAD_FIELD")),
        (LOGIN, {"reason": "why", "force": True}, (400, "UNKNOWN_FIELD")),
    ],
)
def test_a_retry_that_is_not_understood_does_nothing(
    path: str, body: object, expected: tuple[int, str]
) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask("POST", path, body=body)

            assert (status, answer["error"]["code"]) == expected
            assert client.engine.retries == []

    asyncio.run(scene())


def test_a_read_only_token_lets_nobody_log_in() -> None:
    async def scene() -> None:
        async with serving(token=token(TokenScope.READ)) as client:
            status, _ = await client.ask("POST", LOGIN, body={"reason": "why"})

            assert (status, client.engine.retries) == (403, [])

    asyncio.run(scene())
