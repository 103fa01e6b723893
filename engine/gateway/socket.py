"""The WebSocket's connection: opened by aiohttp, then read by ourselves.

aiohttp does TLS and the HTTP half of the handshake. Then the transport gets our own
protocol: the socket is read straight into one buffer, which the decoder reads in place.
"""

import asyncio
import base64
import os
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from engine._rust_core import accept_key
from engine.gateway.client import GatewayClient, NoAnswer
from engine.gateway.pacing import Waiter
from engine.gateway.wire.excerpt import excerpt

_BUFFER_BYTES: Final = 128 * 1024
_HANDSHAKE_S: Final = 10
_SWITCHING_PROTOCOLS: Final = 101
_REFUSAL_BYTES_MAX: Final = 4096


class HandshakeRefused(Exception):  # noqa: N818 - says what the gateway did
    """There is no WebSocket, and why."""


class SocketProtocol(asyncio.BufferedProtocol):
    """Hands every socket read to `on_bytes`, and the end to `on_lost`, once.

    What `on_bytes` gets is valid only until it returns.
    """

    def __init__(
        self, on_bytes: Callable[[memoryview], None], on_lost: Callable[[str], None]
    ) -> None:
        self._on_bytes = on_bytes
        self._on_lost = on_lost
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._transport: asyncio.Transport | None = None
        self._response: aiohttp.ClientResponse | None = None
        self._before: asyncio.BaseProtocol | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take_over(self, response: aiohttp.ClientResponse, opened: Callable[[], None]) -> None:
        """Read `response`'s connection from now on, what was read with its head first.

        `opened` is called before any of it is passed on.
        """
        connection = response.connection
        assert connection is not None
        assert connection.protocol is not None
        tail = _Tail()
        connection.protocol.set_parser(tail, None)
        transport = connection.transport
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._response = transport, response
        self._before = transport.get_protocol()
        transport.set_protocol(self)
        opened()
        if tail.read:
            self._on_bytes(memoryview(bytes(tail.read)))

    def write(self, data: bytes) -> None:
        """Send `data`, unless the connection is gone or going."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection once everything written is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next read goes; always the same place, as reads are taken whole."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass one socket read on."""
        self._on_bytes(self._buffer[:nbytes])

    def eof_received(self) -> bool:
        """Let the transport close; a WebSocket has no half-open state."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end, and let aiohttp free what it keeps of the connection."""
        assert isinstance(self._before, asyncio.Protocol)
        self._before.connection_lost(exc)
        assert self._response is not None
        self._response.close()
        self._transport = None
        if not self.ended.done():
            self.ended.set_result(None)
        self._on_lost(f"the connection was lost: {exc}" if exc else "the connection was closed")


class _Tail:
    """The parser hook of aiohttp's protocol; takes what came right after the 101."""

    def __init__(self) -> None:
        self.read = bytearray()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.read += data
        return False, b""

    def feed_eof(self) -> None:
        """Learn nothing: the new protocol hears of the end itself."""


async def open_socket(
    client: GatewayClient, protocol: SocketProtocol, opened: Callable[[], None]
) -> None:
    """Open the WebSocket and hand it to `protocol`, right after calling `opened`.

    Raises `HandshakeRefused`.
    """
    turn = await client.upgrade_turn()
    if isinstance(turn, NoAnswer):
        raise HandshakeRefused(turn.message)
    try:
        async with asyncio.timeout(_HANDSHAKE_S):
            await _shake_hands(client, turn, protocol, opened)
    except TimeoutError as error:
        message = f"no WebSocket handshake within {_HANDSHAKE_S} s"
        raise HandshakeRefused(message) from error
    except (aiohttp.ClientError, OSError) as error:
        raise HandshakeRefused(str(error) or type(error).__name__) from error
    finally:
        client.upgrade_done(turn)


async def _shake_hands(
    client: GatewayClient, turn: Waiter, protocol: SocketProtocol, opened: Callable[[], None]
) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    headers: dict[str, Any] = {
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
    }
    response = await client.open("/ws", headers, turn)
    try:
        refusal = await _refusal(response, key)
        if refusal is None:
            protocol.take_over(response, opened)
    except BaseException:
        response.close()
        raise
    if refusal is not None:
        response.close()
        raise HandshakeRefused(refusal)


async def _refusal(response: aiohttp.ClientResponse, key: str) -> str | None:
    """Return why this answer opens no WebSocket for us, None when it does."""
    if response.status != _SWITCHING_PROTOCOLS:
        body = await response.content.read(_REFUSAL_BYTES_MAX)
        return f"HTTP {response.status} instead of a WebSocket: {excerpt(body)}"
    if response.headers.get("Upgrade", "").lower() != "websocket":
        return "the gateway upgraded to something else than a WebSocket"
    if response.headers.get("Sec-WebSocket-Accept") != accept_key(key):
        return "the gateway's Sec-WebSocket-Accept does not answer our key"
    if "Sec-WebSocket-Extensions" in response.headers:
        return "the gateway wants a WebSocket extension that was not offered"
    return None
