"""A relay before a gateway, which sees when an order's request comes out of an engine."""

import asyncio
from contextlib import suppress
from typing import Final

REQUEST_BYTES: Final = range(330, 500)
"""An order's request has so many on the wire. Reads have fewer, and a TLS handshake has more."""


class Relay:
    """Passes bytes on between an engine and the gateway; `seen` is set by an order's request."""

    def __init__(self, url: str) -> None:
        self.seen = asyncio.Event()
        self._port = int(url.rpartition(":")[2])
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._serving: list[asyncio.Task[None]] = []

    async def start(self) -> str:
        """Listen; return the address to use instead of the gateway's."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """End it, with all of its connections."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio serves each connection in a task"
        self._serving.append(task)
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, back]
        passing = [self._pass_on(reader, back, self.seen), self._pass_on(there, writer, None)]
        with suppress(ConnectionError):  # An engine that stops leaves its answers unread.
            await asyncio.gather(*passing)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seen: asyncio.Event | None,
    ) -> None:
        while data := await reader.read(1 << 16):
            if seen is not None and len(data) in REQUEST_BYTES:
                seen.set()
            writer.write(data)
            await writer.drain()
        writer.close()
