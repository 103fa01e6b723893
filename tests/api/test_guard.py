import asyncio
import io
import json

import pytest

from engine import log, metrics
from engine.api.guard import FailureCount
from engine.api.token import TokenScope
from tests.api.fake_engine import ORDER, SECRET, FakeEngine, raw, serving, token

RIGHT = f"Authorization: Bearer {SECRET}\r\n"


def counted(route: str, method: str, status: str) -> float:
    labels = {"route": route, "method": method, "status": status}
    return metrics.REGISTRY.get_sample_value("engine_api_requests_total", labels) or 0.0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8700", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8700", 200),
        ("engine.example", 200),
        ("engine.example:443", 200),
        ("evil.test", 421),
        ("localhost.evil.test", 421),
        ("localhost:8700.evil.test", 421),
        ("127.0.0.1@evil.test", 421),
        ("127.0.0.2", 421),
        ("[::1", 421),
        ("[::1]evil.test", 421),
        ("", 421),
    ],
)
def test_only_our_own_names_are_answered(host: str, status: int) -> None:
    async def scene() -> None:
        async with serving(allowed_hosts=("engine.example",)) as client:
            request = f"GET /v1/sessions HTTP/1.1\r\nHost: {host}\r\n{RIGHT}\r\n"
            answered, answer = await raw(client, request.encode())

            assert answered == status
            if status == 421:
                assert answer["error"]["code"] == "HOST_NOT_ALLOWED"
                assert answer["error"]["details"]["allowed"] == [
                    "127.0.0.1", "[::1]", "engine.example", "localhost",
                ]  # fmt: skip

    asyncio.run(scene())


@pytest.mark.parametrize("path", ["/livez", "/docs", "/nothing", "/v1/sessions"])
def test_a_foreign_host_gets_nothing_at_all(path: str) -> None:
    async def scene() -> None:
        async with serving() as client:
            request = f"GET {path} HTTP/1.1\r\nHost: evil.test\r\n{RIGHT}\r\n"

            assert (await raw(client, request.encode()))[0] == 421

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8700", "Origin": "http://localhost:8700"}, 200),
        ({"Host": "localhost:8700", "Origin": "http://localhost:8702"}, 403),
        ({"Host": "localhost:8700", "Origin": "https://localhost:8700"}, 403),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_no_foreign_page_gets_an_answer(headers: dict[str, str], status: int) -> None:
    async def scene() -> None:
        async with serving() as client:
            answered, answer = await client.ask("GET", "/v1/sessions", headers=headers)

            assert answered == status
            if status == 403:
                assert answer["error"]["code"] == "ORIGIN_NOT_ALLOWED"

    asyncio.run(scene())


def test_a_preflight_is_refused_and_allows_nothing() -> None:
    async def scene() -> None:
        async with serving() as client:
            headers = {"Origin": "http://evil.test", "Access-Control-Request-Method": "POST"}
            url = client.server.url + "/v1/halt"
            async with client.http.options(url, headers=headers) as answer:
                assert answer.status == 403
                assert not [name for name in answer.headers if name.startswith("Access-Control")]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "TOKEN_MISSING"),
        ("", "TOKEN_WRONG"),
        ("Bearer", "TOKEN_WRONG"),
        ("Bearer wrong", "TOKEN_WRONG"),
        (f"Bearer {SECRET}x", "TOKEN_WRONG"),
        (f"Basic {SECRET}", "TOKEN_WRONG"),
        (SECRET, "TOKEN_WRONG"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/nothing", "/metrics"])
def test_without_the_token_there_is_nothing(
    path: str, authorization: str | None, code: str
) -> None:
    async def scene() -> None:
        async with serving() as client:
            header = "" if authorization is None else f"Authorization: {authorization}\r\n"
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n"
            status, answer = await raw(client, request.encode())

            assert (status, answer["error"]["code"]) == (401, code)
            assert SECRET not in str(answer)

    asyncio.run(scene())


def test_a_401_says_how_to_authenticate() -> None:
    async def scene() -> None:
        async with serving() as client:
            url = client.server.url + "/v1/sessions"
            async with client.http.get(url, headers={"Authorization": "Bearer wrong"}) as answer:
                assert answer.headers["WWW-Authenticate"] == 'Bearer realm="engine"'

    asyncio.run(scene())


def test_after_ten_wrong_tokens_in_a_minute_come_429s_but_the_right_one_passes() -> None:
    async def scene() -> None:
        async with serving() as client:
            wrong = {"Authorization": "Bearer guess"}
            statuses = [
                (await client.ask("GET", "/v1/sessions", headers=wrong))[0] for _ in range(12)
            ]

            assert statuses == [401] * 10 + [429] * 2
            assert (await client.ask("GET", "/v1/sessions"))[0] == 200

    asyncio.run(scene())


def test_failures_are_forgotten_after_a_minute_and_kept_apart_by_source() -> None:
    now = 0.0
    failures = FailureCount(clock=lambda: now)

    first = [failures.add("a") for _ in range(11)]
    other = failures.add("b")
    now = 60.0
    later = failures.add("a")

    assert (first, other, later) == ([False] * 10 + [True], False, False)


def test_failures_of_many_sources_take_bounded_memory() -> None:
    failures = FailureCount(clock=lambda: 0.0)

    for number in range(5000):
        failures.add(f"10.0.{number // 256}.{number % 256}")

    assert len(failures._failures) == FailureCount.SOURCES_MAX


MUTATIONS = [
    ("POST", "/v1/accounts/DU1234567/orders"),
    ("DELETE", "/v1/orders/1-1"),
    ("POST", "/v1/halt"),
    ("POST", "/v1/resume"),
    ("PUT", "/v1/subscriptions/265598"),
    ("DELETE", "/v1/subscriptions/265598"),
    ("POST", "/v1/drain"),
]


@pytest.mark.parametrize(("method", "path"), MUTATIONS)
def test_a_read_only_token_changes_nothing(method: str, path: str) -> None:
    async def scene() -> None:
        engine = FakeEngine(order_views={ORDER.order_id: ORDER})
        async with serving(engine, token=token(TokenScope.READ)) as client:
            status, answer = await client.ask(method, path)

            assert (status, answer["error"]["code"]) == (403, "READ_ONLY_TOKEN")
            assert (engine.submitted, engine.cancels, engine.halts, engine.resumes) == (
                [], [], [], [],
            )  # fmt: skip
            assert (engine.streamed, engine.drained) == ({}, False)

    asyncio.run(scene())


def test_every_mutation_leaves_an_audit_line_without_its_secrets() -> None:
    async def scene() -> None:
        stream = io.StringIO()
        log.configure(stream=stream)
        async with serving(FakeEngine(order_views={ORDER.order_id: ORDER})) as client:
            await client.ask("DELETE", "/v1/orders/1-1")
            await client.ask("GET", "/v1/orders/1-1")
            await client.ask(
                "POST", "/v1/accounts/DU1234567/orders", body={"strategy": "private-strategy"}
            )
            await client.ask("POST", "/v1/drain", headers={"Authorization": "Bearer private-guess"})
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]

        calls = [
            tuple(
                line[key]
                for key in ("route", "method", "status", "account", "order_id", "token_id")
            )
            for line in lines
            if line["event"] == "api_called"
        ]
        mine = token().id
        assert calls == [
            ("/v1/orders/{order_id}", "DELETE", 202, None, "1-1", mine),
            ("/v1/accounts/{account}/orders", "POST", 400, "DU***4567", None, mine),
            ("/v1/drain", "POST", 401, None, None, None),
        ]
        assert "private" not in stream.getvalue()
        assert SECRET not in stream.getvalue()

    asyncio.run(scene())


def test_requests_are_counted_by_route_not_by_address() -> None:
    async def scene() -> None:
        shown = counted("/v1/orders/{order_id}", "GET", "404")
        lost = counted("unmatched", "other", "404")
        async with serving() as client:
            await client.ask("GET", "/v1/orders/1-777")
            await client.ask("PROPFIND", "/coffee")

        assert counted("/v1/orders/{order_id}", "GET", "404") == shown + 1
        assert counted("unmatched", "other", "404") == lost + 1

    asyncio.run(scene())


def test_an_unforeseen_failure_is_logged_and_told_without_its_words() -> None:
    async def scene() -> None:
        stream = io.StringIO()
        log.configure(stream=stream)
        async with serving(FakeEngine(fail=RuntimeError("inner words"))) as client:
            status, answer = await client.ask("GET", "/v1/sessions")

        assert (status, answer["error"]["code"]) == (500, "INTERNAL")
        assert "inner words" not in str(answer)
        assert "RuntimeError: inner words" in stream.getvalue()
        assert "Traceback" in stream.getvalue()

    asyncio.run(scene())
