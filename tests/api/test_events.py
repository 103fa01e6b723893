import asyncio
import json

import aiohttp
import pytest
from aiohttp import WSMsgType

from engine.api.events import event_text, follow, sse_text
from engine.domain.views import EventView
from tests.api.fake_engine import QUICK, SECRET, Client, FakeEngine, event, raw, serving

SHOWN = {
    "seq": 1,
    "at": "2025-11-22T12:00:00.123456Z",
    "type": "OrderAnswered",
    "account": "DU1234567",
    "order_id": "1-1",
}


async def read_sse(
    answer: aiohttp.ClientResponse, count: int
) -> list[tuple[int, dict[str, object]]]:
    found: list[tuple[int, dict[str, object]]] = []
    last_id = 0
    while len(found) < count:
        line = (await answer.content.readline()).decode().rstrip("\n")
        if line.startswith("id: "):
            last_id = int(line[4:])
        elif line.startswith("data: "):
            found.append((last_id, json.loads(line[6:])))
    return found


async def read_socket(client: Client, path: str, count: int) -> list[int]:
    async with client.http.ws_connect(client.server.url + path) as socket:
        return [(await socket.receive_json())["seq"] for _ in range(count)]


def test_an_event_is_its_record_with_the_body_as_the_journal_spells_it() -> None:
    text = event_text(event(1, b'{"price":"1.50","n":0.10}'))

    assert text.endswith('"body":{"price":"1.50","n":0.10}}')
    assert json.loads(text) == SHOWN | {"body": {"price": "1.50", "n": 0.1}}


def test_an_event_about_no_order_has_no_order_id() -> None:
    about_none = EventView(
        seq=2, at_ns=0, type="EngineStarted", account=None, order_id=None, body=b"{}"
    )

    assert json.loads(event_text(about_none)) == {
        "seq": 2,
        "at": "1970-01-01T00:00:00.000000Z",
        "type": "EngineStarted",
        "account": None,
        "body": {},
    }


def test_a_server_sent_event_is_one_line_whatever_the_body_holds() -> None:
    text = sse_text(event(7, '{"a":\r\n"line\u2028end"}'.encode()))

    assert text.startswith("id: 7\ndata: {")
    assert text.count("\n") == 3
    assert json.loads(text.split("\n")[1][6:])["body"] == {"a": "line\u2028end"}


def test_sse_brings_what_was_and_then_what_comes() -> None:
    async def scene() -> None:
        async with serving(patience=QUICK) as client:
            await client.engine.record(2)
            url = client.server.url + "/v1/events?from_seq=0"
            async with client.http.get(url, headers={"Accept": "text/event-stream"}) as answer:
                assert answer.content_type == "text/event-stream"
                first = await read_sse(answer, 2)
                await client.engine.record()
                then = await read_sse(answer, 1)

            assert [seq for seq, _ in first + then] == [1, 2, 3]
            assert first[0][1] == SHOWN | {"body": {"number": 1, "padding": ""}}
            await client.engine.until_followers(0)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?from_seq=3", {}),
        ("", {"Last-Event-ID": "3"}),
        ("?from_seq=1", {"Last-Event-ID": "3"}),
    ],
)
def test_sse_goes_on_after_the_last_event_that_the_client_has(
    query: str, headers: dict[str, str]
) -> None:
    async def scene() -> None:
        async with serving() as client:
            await client.engine.record(5)
            url = client.server.url + "/v1/events" + query
            async with client.http.get(url, headers=headers) as answer:
                assert [seq for seq, _ in await read_sse(answer, 2)] == [4, 5]

    asyncio.run(scene())


def test_a_socket_resumes_without_a_gap_or_a_repeat() -> None:
    async def scene() -> None:
        async with serving() as client:
            await client.engine.record(4)
            first = await read_socket(client, "/v1/events?from_seq=0", 3)
            await client.engine.record(2)
            then = await read_socket(client, f"/v1/events?from_seq={first[-1]}", 3)

            assert first + then == [1, 2, 3, 4, 5, 6]
            await client.engine.until_followers(0)

    asyncio.run(scene())


def test_a_client_that_sends_on_the_stream_is_sent_away() -> None:
    async def scene() -> None:
        async with serving() as client:
            async with client.http.ws_connect(client.server.url + "/v1/events") as socket:
                await socket.send_str("hello")
                message = await socket.receive(timeout=5)

                assert (message.type, message.data) == (WSMsgType.CLOSE, 1003)
            await client.engine.until_followers(0)

    asyncio.run(scene())


UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@pytest.mark.parametrize("headers", ["", UPGRADE])
def test_a_client_that_does_not_read_is_let_go_and_nobody_else_notices(headers: str) -> None:
    async def scene() -> None:
        async with serving(patience=QUICK) as client:
            _, deaf = await asyncio.open_connection(*client.address, limit=1024)
            deaf.transport.pause_reading()  # type: ignore[attr-defined] # a socket's transport has it
            request = (
                f"GET /v1/events HTTP/1.1\r\n{headers}Host: localhost\r\n"
                f"Authorization: Bearer {SECRET}\r\n\r\n"
            )
            deaf.write(request.encode())
            await client.engine.until_followers(1)
            await client.engine.record(200, padding=100_000)

            listening = asyncio.create_task(read_socket(client, "/v1/events?from_seq=195", 5))
            assert await listening == [196, 197, 198, 199, 200]
            await client.engine.until_followers(0)

            deaf.transport.abort()

    asyncio.run(scene())


def test_a_silent_stream_shows_signs_of_life() -> None:
    async def scene() -> None:
        async with serving(patience=QUICK) as client:
            url = client.server.url + "/v1/events"
            async with client.http.get(url) as answer:
                lines = [await answer.content.readline() for _ in range(4)]

            assert lines == [b": nothing new\n", b"\n"] * 2

    asyncio.run(scene())


def test_stopping_ends_the_streams_in_order() -> None:
    async def scene() -> None:
        async with serving() as client:
            url = client.server.url + "/v1/events"
            async with client.http.ws_connect(url) as socket, client.http.get(url) as answer:
                await client.engine.record()
                await socket.receive_json()
                await read_sse(answer, 1)

                stopping = asyncio.create_task(client.server.stop())
                message = await socket.receive(timeout=5)
                await socket.close()

                assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
                assert (await answer.content.read()).strip() == b""
                await stopping

            assert client.engine.followers == 0

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/v1/events?from_seq=-1", {}, (400, "BAD_FIELD")),
        ("/v1/events?from=1", {}, (400, "UNKNOWN_FIELD")),
        ("/v1/events", {"Last-Event-ID": "abc"}, (400, "BAD_FIELD")),
        ("/v1/events", {"Accept": "application/json"}, (406, "NOT_ACCEPTABLE")),
        ("/v1/events", {"Upgrade": "websocket"}, (400, "BAD_UPGRADE")),
    ],
)
def test_a_stream_that_cannot_be_is_an_error(
    path: str, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask("GET", path, headers=headers)

            assert (status, answer["error"]["code"]) == expected

    asyncio.run(scene())


def test_a_socket_from_a_foreign_page_is_refused() -> None:
    async def scene() -> None:
        async with serving() as client:
            request = (
                "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.test\r\n"
                f"{UPGRADE}Authorization: Bearer {SECRET}\r\n\r\n"
            )
            status, answer = await raw(client, request.encode())

            assert (status, answer["error"]["code"]) == (403, "ORIGIN_NOT_ALLOWED")

    asyncio.run(scene())


def test_following_ends_with_the_events() -> None:
    async def scene() -> None:
        engine = FakeEngine()
        await engine.record(2)
        written: list[EventView | None] = []

        async def write(view: EventView | None) -> None:
            written.append(view)
            if view is None:
                ended.set()

        ended = asyncio.Event()
        await follow(engine.events(0), ended=ended, keep_alive_seconds=0.01, write=write)

        assert written == [*engine.journal, None]
        assert engine.followers == 0

    asyncio.run(scene())
