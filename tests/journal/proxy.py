"""A proxy on loopback, before a server's socket, that can cut a connection at a moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

CHUNK_BYTES = 65_536
KEY_DATA = b"K\0\0\0\x0c"  # what the number of the server's process follows


@dataclass(slots=True)
class Proxy:
    """Passes everything on until it is told to cut."""

    upstream: Path
    port: int = 0
    refuses: bool = False
    """Whether new connections are closed at once."""
    cut_requests: int = 0
    """So many requests to come are lost with their connection."""
    cut_answers: int = 0
    """So many requests to come are passed on, and their answer is lost with the connection."""
    process_id: bytes | None = None
    """What the server calls its process, as a connection pooler would change it."""
    connections: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refuses:
            writer.close()
            return
        to_server = await asyncio.open_unix_connection(str(self.upstream))
        tasks = {
            asyncio.create_task(self._forth(reader, to_server[1])),
            asyncio.create_task(self._back(to_server[0], writer)),
        }
        self._tasks |= tasks
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._tasks -= tasks
            for end in (writer, to_server[1]):
                end.transport.abort()

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if self.cut_requests:
                self.cut_requests -= 1
                return
            writer.write(chunk)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if self.cut_answers:
                self.cut_answers -= 1
                return
            if self.process_id is not None:
                before, key, after = chunk.partition(KEY_DATA)
                chunk = before + key + (self.process_id + after[4:] if key else after)
            writer.write(chunk)


@asynccontextmanager
async def proxy_to(upstream: Path) -> AsyncIterator[Proxy]:
    """A proxy on a free port of loopback."""
    proxy = Proxy(upstream=upstream)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in proxy._tasks:
            task.cancel()
        await server.wait_closed()
