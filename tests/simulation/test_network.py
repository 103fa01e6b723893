"""The network in memory: bytes keep their order, and everything else may happen to them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.network import Conditions, Line, Network


class Peer(asyncio.Protocol):
    """Remembers all that it hears."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.heard = b""
        self.lost: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class BufferedPeer(asyncio.BufferedProtocol):
    """Hears through a small buffer of its own."""

    def __init__(self) -> None:
        self.buffer = bytearray(4)
        self.heard = b""

    def get_buffer(self, _sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.heard += self.buffer[:nbytes]

    def connection_lost(self, exc: Exception | None) -> None:
        del exc


def live(work: Callable[[Line], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()

    async def run() -> None:
        await work(Network(loop, seed=1).line("gateway"))

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


async def connected(line: Line) -> tuple[Peer, Peer]:
    client, server = Peer(), Peer()
    line.listen(lambda: server)
    await line.connect(client)
    return client, server


def test_bytes_arrive_once_and_in_order_however_they_are_cut_up() -> None:
    async def work(line: Line) -> None:
        line.conditions = Conditions(delay_ms=(0.1, 500.0), split=0.9)
        client, server = await connected(line)
        for number in range(50):
            client.write(b"%d " % number)
            await asyncio.sleep(0.01)
        await asyncio.sleep(60)
        assert server.heard == b"".join(b"%d " % number for number in range(50))

    live(work)


def test_a_cut_lets_through_what_came_before_its_byte_and_both_ends_hear_of_it() -> None:
    async def work(line: Line) -> None:
        line.conditions = Conditions(cut=1.0, fate_bytes=20)
        client, server = await connected(line)
        client.write(b"x" * 50)
        server.write(b"y" * 50)
        await asyncio.sleep(1)
        heard = len(server.heard), len(client.heard)
        assert min(heard) <= 20
        assert isinstance(client.lost[0], ConnectionResetError)
        assert isinstance(server.lost[0], ConnectionResetError)
        assert line.connections == {}

    live(work)


def test_silence_is_heard_by_nobody_until_the_connection_is_reset() -> None:
    async def work(line: Line) -> None:
        client, server = await connected(line)
        line.silence_all()
        client.write(b"hello")
        await asyncio.sleep(60)
        assert (server.heard, client.lost, server.lost) == (b"", [], [])
        line.reset_all(silent_only=True)
        await asyncio.sleep(1)
        assert [len(client.lost), len(server.lost)] == [1, 1]

    live(work)


def test_closing_delivers_what_was_written_and_then_the_end() -> None:
    async def work(line: Line) -> None:
        client, server = await connected(line)
        client.write(b"goodbye")
        assert client.transport is not None
        client.transport.close()
        client.write(b"too late")
        await asyncio.sleep(1)
        assert (server.heard, server.lost, client.lost) == (b"goodbye", [None], [None])

    live(work)


def test_a_killed_process_is_silent_but_what_it_wrote_is_under_way() -> None:
    async def work(line: Line) -> None:
        loop = line.network.loop
        process, client, server = Process("engine"), Peer(), Peer()
        line.listen(lambda: server)
        await loop.start(process, line.connect(client))
        client.write(b"an order")
        line.network.kill(process)
        loop.kill(process)
        client.write(b"another one")
        await asyncio.sleep(1)
        assert server.heard == b"an order"
        assert isinstance(server.lost[0], ConnectionResetError)
        assert client.lost == []

    live(work)


def test_nobody_listens_at_an_address_that_is_down() -> None:
    async def work(line: Line) -> None:
        line.listen(Peer)
        line.conditions.down = True
        with pytest.raises(ConnectionRefusedError, match="gateway refused"):
            await line.connect(Peer())

    live(work)


def test_a_protocol_with_a_buffer_gets_all_of_what_does_not_fit_at_once() -> None:
    async def work(line: Line) -> None:
        client, server = await connected(line)
        assert client.transport is not None
        buffered = BufferedPeer()
        client.transport.set_protocol(buffered)
        server.write(b"more than four bytes")
        await asyncio.sleep(1)
        assert buffered.heard == b"more than four bytes"

    live(work)


def test_a_paused_reader_hears_later_and_loses_nothing() -> None:
    async def work(line: Line) -> None:
        client, server = await connected(line)
        assert server.transport is not None
        server.transport.pause_reading()
        client.write(b"patience")
        await asyncio.sleep(1)
        assert server.heard == b""
        server.transport.resume_reading()
        await asyncio.sleep(1)
        assert server.heard == b"patience"

    live(work)
