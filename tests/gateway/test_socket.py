import asyncio

import aiohttp
import pytest

from engine.gateway.client import Pacing, TlsPolicy
from engine.gateway.pacing import Waiter
from engine.gateway.socket import HandshakeRefused, SocketProtocol, open_socket
from tests.gateway.raw_gateway import (
    Certificate,
    Script,
    Seen,
    Stream,
    accepted,
    always,
    client_of,
    http,
    never,
    raw_gateway,
    until,
)


class Received:
    """What a socket brought: its bytes, in order, and how it ended."""

    def __init__(self) -> None:
        self.data = b""
        self.reads: list[int] = []
        self.opened_after: int | None = None
        self.lost: list[str] = []

    def opened(self) -> None:
        self.opened_after = len(self.data)

    def take(self, data: memoryview) -> None:
        self.data += bytes(data)
        self.reads.append(len(data))


def read_socket(
    certificate: Certificate, script: Script, bytes_wanted: int, *, tls: TlsPolicy | None = None
) -> tuple[Received, list[Seen]]:
    """Open the socket, read this many bytes, and close it."""

    async def run() -> tuple[Received, list[Seen]]:
        received = Received()
        protocol = SocketProtocol(received.take, received.lost.append)
        async with (
            raw_gateway(certificate, script) as gateway,
            client_of(gateway.url, certificate, tls=tls) as client,
        ):
            await open_socket(client, protocol, received.opened)
            await until(lambda: len(received.data) >= bytes_wanted or bool(received.lost))
            protocol.close()
            await protocol.ended
            return received, gateway.seen

    return asyncio.run(run())


def refusal(certificate: Certificate, script: Script) -> str:
    """Why there is no socket."""
    with pytest.raises(HandshakeRefused) as refused:
        read_socket(certificate, script, 0)
    return str(refused.value)


def test_the_handshake_asks_for_a_websocket_and_no_extension(certificate: Certificate) -> None:
    async def script(seen: Seen, _stream: Stream) -> bytes:
        return accepted(seen)

    _, [seen] = read_socket(certificate, script, 0)

    assert (seen.method, seen.target) == ("GET", "/v1/api/ws")
    assert seen.headers["upgrade"] == "websocket"
    assert seen.headers["connection"] == "Upgrade"
    assert seen.headers["sec-websocket-version"] == "13"
    assert "sec-websocket-extensions" not in seen.headers


@pytest.mark.parametrize("size", [1, 1_000, 70_000, 1_000_000])
def test_what_came_with_the_101_is_read_first_and_nothing_is_lost(
    certificate: Certificate, size: int
) -> None:
    sent = bytes(i % 251 for i in range(size))

    async def script(seen: Seen, stream: Stream) -> bytes:
        _, writer = stream
        writer.write(accepted(seen) + sent[: size // 2])
        await writer.drain()
        return sent[size // 2 :]

    received, _ = read_socket(certificate, script, size)

    assert received.opened_after == 0
    assert received.data == sent


def test_bytes_that_come_one_by_one_come_in_order(certificate: Certificate) -> None:
    sent = bytes(range(200))

    async def script(seen: Seen, stream: Stream) -> bytes:
        _, writer = stream
        for byte in accepted(seen) + sent:
            writer.write(bytes([byte]))
            await writer.drain()
        return b""

    received, _ = read_socket(certificate, script, len(sent))

    assert received.data == sent


def test_the_socket_works_with_a_ca_file_as_well(certificate: Certificate) -> None:
    async def script(seen: Seen, _stream: Stream) -> bytes:
        return accepted(seen) + b"hello"

    tls = TlsPolicy(verify="ca", ca_file=certificate.file)
    received, _ = read_socket(certificate, script, 5, tls=tls)

    assert received.data == b"hello"


def test_an_end_is_reported_once(certificate: Certificate) -> None:
    async def script(seen: Seen, stream: Stream) -> None:
        _, writer = stream
        writer.write(accepted(seen) + b"bye")
        await writer.drain()

    received, _ = read_socket(certificate, script, 1_000)

    assert received.data == b"bye"
    assert received.lost == ["the connection was closed"]


def test_a_wrong_accept_key_is_refused(certificate: Certificate) -> None:
    async def script(seen: Seen, _stream: Stream) -> bytes:
        return accepted(seen).replace(b"sec-websocket-accept: ", b"sec-websocket-accept: x")

    assert refusal(certificate, script) == (
        "the gateway's Sec-WebSocket-Accept does not answer our key"
    )


def test_an_extension_that_was_not_offered_is_refused(certificate: Certificate) -> None:
    async def script(seen: Seen, _stream: Stream) -> bytes:
        extension = b"\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n"
        return accepted(seen).replace(b"\r\n\r\n", extension)

    assert "extension that was not offered" in refusal(certificate, script)


def test_another_protocol_is_refused(certificate: Certificate) -> None:
    async def script(seen: Seen, _stream: Stream) -> bytes:
        return accepted(seen).replace(b"upgrade: websocket", b"upgrade: h2c")

    assert "something else than a WebSocket" in refusal(certificate, script)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http(401, b"Access Denied"), "HTTP 401 instead of a WebSocket: Access Denied"),
        (http(302, b""), "HTTP 302 instead of a WebSocket: "),
        (http(200, {}), "HTTP 200 instead of a WebSocket: {}"),
    ],
)
def test_an_answer_that_is_no_101_says_why(
    certificate: Certificate, answer: bytes, words: str
) -> None:
    assert refusal(certificate, always(answer)) == words


def test_429_for_the_handshake_stops_everything(certificate: Certificate) -> None:
    async def run() -> list[str]:
        received = Received()
        told: list[str] = []
        async with (
            raw_gateway(certificate, always(http(429, b"Too Many Requests"))) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            for _ in range(2):
                protocol = SocketProtocol(received.take, received.lost.append)
                with pytest.raises(HandshakeRefused) as refused:
                    await open_socket(client, protocol, received.opened)
                told.append(str(refused.value))
            assert len(gateway.seen) == 1
        return told

    first, second = asyncio.run(run())

    assert first == "HTTP 429 instead of a WebSocket: Too Many Requests"
    assert second.startswith("the broker refused the pace before; nothing is sent for another ")


def test_a_connection_that_breaks_in_the_handshake_is_refused(certificate: Certificate) -> None:
    assert "disconnected" in refusal(certificate, always(None)).lower()


def test_another_certificate_gets_no_handshake(certificate: Certificate) -> None:
    with pytest.raises(HandshakeRefused):
        read_socket(certificate, never, 0, tls=TlsPolicy(verify="pin", pin_sha256="0" * 64))


def test_a_socket_that_lives_takes_no_place_from_requests(certificate: Certificate) -> None:
    async def script(seen: Seen, _stream: Stream) -> bytes:
        return accepted(seen)

    async def run() -> list[int | None]:
        received = Received()
        one_place = Pacing(in_flight=1)
        async with (
            raw_gateway(certificate, script) as gateway,
            client_of(gateway.url, certificate, pacing=one_place) as client,
        ):
            protocols = [SocketProtocol(received.take, received.lost.append) for _ in range(2)]
            for protocol in protocols:
                await open_socket(client, protocol, received.opened)
            for protocol in protocols:
                protocol.close()
                await protocol.ended
        return [received.opened_after, len(received.lost)]

    assert asyncio.run(run()) == [0, 2]


def test_a_gateway_that_never_answers_the_handshake_is_given_up(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.gateway.socket._HANDSHAKE_S", 0.05)

    assert refusal(certificate, never) == "no WebSocket handshake within 0.05 s"


def test_a_handshake_that_gives_up_leaves_the_turn_of_another_alone(
    certificate: Certificate,
) -> None:
    first = asyncio.Event()

    async def script(seen: Seen, stream: Stream) -> bytes | None:
        if first.is_set():
            return accepted(seen)
        first.set()
        return await never(seen, stream)

    async def run() -> list[bool]:
        received = Received()
        async with (
            raw_gateway(certificate, script) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            protocol = SocketProtocol(received.take, received.lost.append)
            hung = asyncio.create_task(open_socket(client, protocol, received.opened))
            await first.wait()
            turn = await client.upgrade_turn()
            assert isinstance(turn, Waiter)
            hung.cancel()
            await asyncio.gather(hung, return_exceptions=True)
            before = turn.departed
            (await client.open("/ws", {"Sec-WebSocket-Key": "k"}, turn)).close()
            client.upgrade_done(turn)
            return [before, turn.departed]

    assert asyncio.run(run()) == [False, True]


def test_a_handshake_whose_connection_opens_into_a_penalty_is_not_sent(
    certificate: Certificate,
) -> None:
    async def run() -> int:
        async with (
            raw_gateway(certificate, always(None)) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            turn = await client.upgrade_turn()
            assert isinstance(turn, Waiter)
            client._turns.penalise("/x", began_ns=0)
            with pytest.raises(aiohttp.ClientConnectionError, match="refused the pace while"):
                await client.open("/ws", {}, turn)
            client.upgrade_done(turn)
            return len(gateway.seen)

    assert asyncio.run(run()) == 0
