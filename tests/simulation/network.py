"""A network in memory: connections that are slow, that break anywhere, that fall silent.

Rule 1: within one connection bytes keep their order and are delivered once. Everything
else may happen: they come late, in other pieces, up to some byte only, or never.

Rule 2: a connection belongs to who made it and who took it. When a process is killed, its
connections are reset, as its operating system would do.

Rule 3: what is written is noted before it is under way: `on_write` sees every byte that a
process gave out of its hands, also those that never arrive.
"""

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace

from tests.simulation.loop import Process, VirtualLoop, running_process

HIGH_WATER_BYTES: Final = 64 * 1024


@dataclass(slots=True, kw_only=True)
class Conditions:
    """How one line behaves just now; `Weather` draws them, and clears them in the end.

    `cut` and `silence` are the chances that a new connection breaks, or falls silent, after
    `fate_bytes` bytes at most, in one direction.
    """

    delay_ms: tuple[float, float] = (0.05, 1.0)
    split: float = 0.0
    refuse: float = 0.0
    cut: float = 0.0
    silence: float = 0.0
    fate_bytes: int = 2_000
    down: bool = False


@dataclass(slots=True, kw_only=True)
class _Direction:
    """Bytes on their way from one end to the other."""

    sender: "End"
    receiver: "End"
    waiting: deque[bytes] = field(default_factory=deque)
    waiting_bytes: int = 0
    left: int | None = None
    """After so many more bytes the connection meets its fate; None: never."""
    closing: Callable[[], None] | None = None
    handle: asyncio.TimerHandle | None = None


class End(asyncio.Transport):
    """One end of a connection, as asyncio's protocols know it."""

    def __init__(self, connection: "Connection", context: contextvars.Context) -> None:
        super().__init__()
        self.connection = connection
        self.context = context
        self.owner: Process | None = context.run(running_process)
        self.protocol: Any = None
        self.out: _Direction | None = None
        self.closed = False
        self._buffered = False
        self._paused_reading = False
        self._paused_writing = False
        self._inbox: deque[bytes] = deque()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 40_000) if name in {"peername", "sockname"} else default

    def is_closing(self) -> bool:
        return self.closed

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        found: asyncio.BaseProtocol = self.protocol
        return found

    # --- writing -----------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.closed or not data or (self.owner is not None and self.owner.killed):
            return
        self.connection.send(self, bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return 0 if self.out is None else self.out.waiting_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 0, HIGH_WATER_BYTES

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        del high, low

    def can_write_eof(self) -> bool:
        return False

    def watch_buffer(self) -> None:
        """Tell the protocol to wait when too much is on its way, and when to go on."""
        full = self.get_write_buffer_size() > HIGH_WATER_BYTES
        if full is not self._paused_writing and not self.closed:
            self._paused_writing = full
            tell = self.protocol.pause_writing if full else self.protocol.resume_writing
            self.connection.loop.call_soon(tell, context=self.context)

    # --- reading -----------------------------------------------------------------------------

    def is_reading(self) -> bool:
        return not self._paused_reading

    def pause_reading(self) -> None:
        self._paused_reading = True

    def resume_reading(self) -> None:
        self._paused_reading = False
        if self._inbox:
            self.connection.loop.call_soon(self._read_inbox, context=self.context)

    def receive(self, data: bytes) -> None:
        """Take what arrived; called in this end's own context."""
        if self.closed or (self.owner is not None and self.owner.killed):
            return
        if self._inbox or self._paused_reading or self._buffered:
            self._inbox.append(data)
            self._read_inbox()
        else:
            self.protocol.data_received(data)

    def _read_inbox(self) -> None:
        while self._inbox and not self._paused_reading and not self.closed:
            data = self._inbox.popleft()
            if not self._buffered:
                self.protocol.data_received(data)
                continue
            while data and not self.closed:
                buffer: Any = self.protocol.get_buffer(-1)
                count = min(len(buffer), len(data))
                buffer[:count] = data[:count]
                self.protocol.buffer_updated(count)
                data = data[count:]

    # --- the end -----------------------------------------------------------------------------

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._lose_soon(None)
            self.connection.end(self, None)

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            self._lose_soon(None)
            self.connection.end(self, ConnectionResetError("the peer aborted the connection"))

    def lose(self, error: Exception | None) -> None:
        """Hear that the connection is gone; called in this end's own context."""
        if not self.closed:
            self.closed = True
            if error is None:
                self.protocol.eof_received()
            self.protocol.connection_lost(error)
            self.connection.discard()

    def _lose_soon(self, error: Exception | None) -> None:
        self.connection.loop.call_soon(self.protocol.connection_lost, error, context=self.context)


class Connection:
    """Two ends and what is on its way between them."""

    def __init__(self, line: "Line", context: contextvars.Context) -> None:
        self.line = line
        self.loop = line.network.loop
        self.client = End(self, context)
        self.server = End(self, line.context)
        self._there = _Direction(sender=self.client, receiver=self.server)
        self._back = _Direction(sender=self.server, receiver=self.client)
        self.client.out, self.server.out = self._there, self._back
        self.silent = False
        self._falls_silent = False
        self._draw_fate()

    def _draw_fate(self) -> None:
        conditions, chance = self.line.conditions, self.line.chance
        drawn = chance.random()
        if drawn >= conditions.cut + conditions.silence:
            return
        self._falls_silent = drawn >= conditions.cut
        direction = chance.choice((self._there, self._back))
        direction.left = chance.randint(0, conditions.fate_bytes)

    def send(self, sender: End, data: bytes) -> None:
        """Take bytes and let them be delivered later."""
        direction = self._there if sender is self.client else self._back
        if sender is self.client and self.line.on_write is not None:
            self.line.on_write(self, data)
        if self.silent:
            return
        fate = direction.left is not None and len(data) >= direction.left
        if direction.left is not None:
            data, direction.left = data[: direction.left], direction.left - len(data)
        if data:
            direction.waiting.append(data)
            direction.waiting_bytes += len(data)
        if fate:
            self._meet_fate(direction)
        elif direction.handle is None:
            self._schedule(direction)
        if direction.waiting_bytes > HIGH_WATER_BYTES:
            sender.watch_buffer()

    def _meet_fate(self, direction: _Direction) -> None:
        """Fall silent at this byte, or break once what came before it has arrived."""
        direction.left = None
        if self._falls_silent:
            self.silent = True
            self.line.struck["silence"] += 1
            return
        self.line.struck["cut"] += 1
        direction.closing = self.reset
        if direction.handle is None:
            self._schedule(direction)

    def _schedule(self, direction: _Direction) -> None:
        low, high = self.line.conditions.delay_ms
        delay_s = (low + (high - low) * self.line.chance.random()) / 1000
        direction.handle = self.loop.call_later(
            delay_s, self._deliver, direction, context=direction.receiver.context
        )

    def _deliver(self, direction: _Direction) -> None:
        direction.handle = None
        if self.silent:
            return
        waiting = direction.waiting
        data = waiting.popleft() if len(waiting) == 1 else b"".join(waiting)
        waiting.clear()
        direction.waiting_bytes = 0
        conditions, chance = self.line.conditions, self.line.chance
        if conditions.split and len(data) > 1 and chance.random() < conditions.split:
            cut = chance.randrange(1, len(data))
            waiting.append(data[cut:])
            direction.waiting_bytes = len(data) - cut
            data = data[:cut]
        if data:
            direction.receiver.receive(data)
        if direction.waiting and direction.handle is None:
            self._schedule(direction)
        elif direction.closing is not None and direction.handle is None:
            closing, direction.closing = direction.closing, None
            # A socket hears of the end in a read of its own, after what came before.
            self.loop.call_soon(closing, context=direction.receiver.context)
        if direction.sender._paused_writing:
            direction.sender.watch_buffer()

    def end(self, ended: End, error: Exception | None) -> None:
        """One end is gone: the other hears of it once everything on the way has arrived."""
        direction = self._there if ended is self.client else self._back
        self.discard()
        if self.silent:
            return
        direction.closing = lambda: direction.receiver.lose(error)
        if direction.handle is None:
            self._schedule(direction)

    def reset(self) -> None:
        """Break the connection for both ends."""
        self.discard()
        for end in (self.client, self.server):
            if not end.closed and not (end.owner is not None and end.owner.killed):
                self.loop.call_soon(
                    end.lose, ConnectionResetError("connection reset"), context=end.context
                )

    def discard(self) -> None:
        """Forget the connection once both ends are gone."""
        if self.client.closed and self.server.closed:
            self.line.connections.pop(self, None)


class Line:
    """An address that can be connected to, and how the way there is."""

    def __init__(self, network: "Network", host: str, seed: str) -> None:
        self.network = network
        self.host = host
        self.chance = random.Random(seed)
        self.conditions = Conditions()
        self.context: contextvars.Context = contextvars.copy_context()
        self.factory: Callable[[], asyncio.BaseProtocol] | None = None
        self.on_write: Callable[[Connection, bytes], None] | None = None
        self.connections: dict[Connection, None] = {}
        self.struck: dict[str, int] = {"refuse": 0, "cut": 0, "silence": 0}

    def listen(self, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """Take connections from now on, in the caller's context."""
        self.factory = factory
        self.context = contextvars.copy_context()

    def reset_all(self, *, silent_only: bool = False) -> None:
        """Break every connection, or those that fell silent."""
        for connection in tuple(self.connections):
            if connection.silent or not silent_only:
                connection.reset()

    def silence_all(self) -> None:
        """Let every connection that there is fall silent."""
        for connection in self.connections:
            connection.silent = True

    async def connect(self, protocol: Any) -> None:
        """Connect a client's protocol; raises `OSError` when nobody takes it."""
        low, high = self.conditions.delay_ms
        await asyncio.sleep(self.chance.uniform(low, high) / 1000)
        refused = self.conditions.down or self.factory is None
        if refused or self.chance.random() < self.conditions.refuse:
            self.struck["refuse"] += 1
            text = f"connection to {self.host} refused"
            raise ConnectionRefusedError(text)
        assert self.factory is not None
        connection = Connection(self, contextvars.copy_context())
        self.connections[connection] = None
        server = self.context.run(self.factory)
        connection.client.set_protocol(protocol)
        connection.server.set_protocol(server)
        protocol.connection_made(connection.client)
        self.context.run(server.connection_made, connection.server)


class Network:
    """All lines of one day."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop = loop
        self._seed = seed
        self._lines: dict[str, Line] = {}

    def line(self, host: str) -> Line:
        """Return the way to an address, which is made when it is first asked for."""
        if host not in self._lines:
            self._lines[host] = Line(self, host, f"line:{self._seed}:{host}")
        return self._lines[host]

    def kill(self, process: Process) -> None:
        """Reset what a killed process had open; its own ends hear nothing any more."""
        for line in self._lines.values():
            for connection in tuple(line.connections):
                for end in (connection.client, connection.server):
                    if end.owner is process and not end.closed:
                        end.closed = True
                        gone = ConnectionResetError("the peer's process is gone")
                        connection.end(end, gone)

    def connector(self, **options: Any) -> "MemoryConnector":
        """Make what `aiohttp` connects with; takes what `TCPConnector` takes."""
        options.pop("ssl", None)
        return MemoryConnector(self, **options)


class MemoryConnector(aiohttp.BaseConnector):
    """Connects by name over the network in memory; there is no TLS on it."""

    def __init__(self, network: Network, **options: Any) -> None:
        super().__init__(**options)
        self._network = network

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the signature is aiohttp's
    ) -> Any:
        del traces, timeout
        protocol = self._factory()
        try:
            await self._network.line(f"{req.url.host}:{req.url.port}").connect(protocol)
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        return protocol
