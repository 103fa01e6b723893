import asyncio
import io

import pytest

from engine.api.route import BODY_BYTES_MAX, Streams
from engine.domain.values import Mode
from tests.api.fake_engine import QUICK, SECRET, raw, serving

HALT = b'{"scope":"firm","level":"halt","reason":"why"}'
JSON = {"Content-Type": "application/json"}


def head(length: str, *, kind: str = "application/json", more: str = "") -> bytes:
    return (
        "POST /v1/halt HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {SECRET}\r\nContent-Type: {kind}\r\n{length}{more}\r\n"
    ).encode()


def test_ten_megabytes_are_refused_before_they_are_sent() -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await raw(client, head("Content-Length: 10485760\r\n"))

            assert (status, answer["error"]) == (
                413,
                {
                    "code": "BODY_TOO_LARGE",
                    "message": "body of 10485760 bytes, limit is 65536 bytes",
                    "details": {"field": "body", "value": 10485760, "allowed": 65536},
                },
            )
            assert client.engine.halts == []

    asyncio.run(scene())


@pytest.mark.parametrize("path", ["/v1/halt", "/v1/nothing"])
def test_a_client_that_sends_ten_megabytes_all_the_same_gets_the_answer(path: str) -> None:
    async def scene() -> None:
        async with serving(patience=QUICK) as client:
            status, answer = await client.ask(
                "POST", path, data=io.BytesIO(b"x" * 10 * 1024 * 1024), headers=JSON
            )

            assert (status, answer["error"]["code"]) == (413, "BODY_TOO_LARGE")

    asyncio.run(scene())


def test_a_body_without_a_length_is_cut_off_at_the_limit() -> None:
    async def scene() -> None:
        sent = 0

        async def endless() -> object:
            nonlocal sent
            while sent < 100 * BODY_BYTES_MAX:
                sent += 8192
                yield b" " * 8192

        async with serving(patience=QUICK) as client:
            status, answer = await client.ask("POST", "/v1/halt", data=endless(), headers=JSON)

            assert (status, answer["error"]["code"]) == (413, "BODY_TOO_LARGE")

    asyncio.run(scene())


def test_a_body_of_exactly_the_limit_is_read() -> None:
    async def scene() -> None:
        async with serving() as client:
            content = HALT.ljust(BODY_BYTES_MAX)
            status, _ = await client.ask("POST", "/v1/halt", data=content, headers=JSON)

            assert status == 200

    asyncio.run(scene())


def test_a_slow_body_is_given_up() -> None:
    async def scene() -> None:
        async with serving(patience=QUICK) as client:
            status, answer = await raw(client, head("Content-Length: 46\r\n") + HALT[:5])

            assert (status, answer["error"]["code"]) == (408, "BODY_TOO_SLOW")
            assert answer["error"]["message"].startswith("5 bytes of the body came in 0.2 s")
            assert client.engine.halts == []

    asyncio.run(scene())


def test_a_badly_framed_body_is_refused() -> None:
    async def scene() -> None:
        async with serving() as client:
            request = head("Transfer-Encoding: chunked\r\n") + b"zz\r\n{}"
            status, _ = await raw(client, request)

            assert status == 400
            assert client.engine.halts == []

    asyncio.run(scene())


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/jsonp",
        "",
    ],
)
def test_a_body_that_is_not_called_json_is_refused(kind: str) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await raw(client, head("Content-Length: 46\r\n", kind=kind) + HALT)

            assert (status, answer["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
            assert client.engine.halts == []

    asyncio.run(scene())


def test_a_compressed_body_is_refused() -> None:
    async def scene() -> None:
        async with serving() as client:
            more = "Content-Encoding: gzip\r\n"
            status, answer = await raw(client, head("Content-Length: 46\r\n", more=more) + HALT)

            assert (status, answer["error"]["details"]["field"]) == (415, "Content-Encoding")

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("length", "first_line"),
    [
        (46, b"HTTP/1.1 100 Continue\r\n"),
        (10_485_760, b"HTTP/1.1 413 Request Entity Too Large\r\n"),
    ],
)
def test_a_client_that_asks_first_is_told_to_go_on_only_if_it_may(
    length: int, first_line: bytes
) -> None:
    async def scene() -> None:
        async with serving() as client:
            reader, writer = await asyncio.open_connection(*client.address)
            writer.write(head(f"Content-Length: {length}\r\n", more="Expect: 100-continue\r\n"))
            async with asyncio.timeout(5):
                assert await reader.readline() == first_line
                if length < BODY_BYTES_MAX:
                    writer.write(HALT)
                    await reader.readline()
                    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            writer.close()
            await writer.wait_closed()

    asyncio.run(scene())


def test_parameters_that_a_route_does_not_have_are_refused() -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask("GET", "/v1/sessions?verbose=1")

            assert (status, answer["error"]["code"]) == (400, "UNKNOWN_FIELD")
            assert answer["error"]["message"] == '"verbose" is not known here; allowed: none'

    asyncio.run(scene())


def test_a_route_without_fields_takes_no_body_or_an_empty_object() -> None:
    async def scene() -> None:
        async with serving(mode=Mode.PAPER) as client:
            assert (await client.ask("POST", "/v1/drain"))[0] == 202
            assert (await client.ask("POST", "/v1/drain", body={}))[0] == 202
            assert (await client.ask("POST", "/v1/drain", body=[]))[0] == 400

    asyncio.run(scene())


def test_ending_all_streams_ends_those_that_are_open() -> None:
    streams = Streams()
    first, second = streams.open(), streams.open()
    streams.close(first)

    streams.end_all()

    assert (first.is_set(), second.is_set()) == (False, True)
