"""The far end of a WebSocket, and a feed that listens to it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from engine.domain.messages import FeedMessage
from engine.gateway.client import GatewayClient
from engine.gateway.feed import WebSocketFeed
from tests.gateway.raw_gateway import (
    Certificate,
    Seen,
    Stream,
    accepted,
    client_of,
    frame,
    raw_gateway,
    read_frame,
    until,
    until_many,
)


class Venue:
    """The far end of the WebSocket: it sends what the test wants, and keeps what came."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.streams: list[Stream] = []
        self.greeting = b""

    async def script(self, seen: Seen, stream: Stream) -> None:
        reader, writer = stream
        writer.write(accepted(seen) + self.greeting)
        self.streams.append(stream)
        with suppress(asyncio.IncompleteReadError):
            while True:
                self.frames.append(await read_frame(reader))

    def send(self, *messages: object) -> None:
        """Send these in one piece, which the client reads at once."""
        self.streams[-1][1].write(b"".join(map(frame, messages)))

    def send_raw(self, data: bytes) -> None:
        self.streams[-1][1].write(data)

    def hang_up(self) -> None:
        self.streams[-1][1].close()


class Listener:
    """A feed, what it told, and the venue at its other end."""

    def __init__(self, feed: WebSocketFeed, venue: Venue, client: GatewayClient) -> None:
        self.feed = feed
        self.venue = venue
        self.client = client
        self.told: list[FeedMessage] = []

    async def connect(self) -> None:
        before = len(self.told)
        self.feed.connect(self.told.append)
        await until_many(self.told, before + 1)
        await until(lambda: bool(self.venue.streams))

    async def wait(self, count: int) -> list[FeedMessage]:
        await until_many(self.told, count)
        return self.told


def listen(
    certificate: Certificate,
    work: Callable[[Listener], Awaitable[None]],
    *,
    greeting: bytes = b"",
    intervals_ms: tuple[int, ...] = (1_000, 60_000),
) -> list[FeedMessage]:
    """Connect, do the work, close, and return everything that was told."""

    async def run() -> list[FeedMessage]:
        venue = Venue()
        venue.greeting = greeting
        async with (
            raw_gateway(certificate, venue.script) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            feed = WebSocketFeed(client, intervals_ms=intervals_ms, bars_kept=3)
            listener = Listener(feed, venue, client)
            await listener.connect()
            await work(listener)
            await feed.close_all()
            return listener.told

    return asyncio.run(run())


async def nothing(_listener: Listener) -> None:
    """Only connect and close."""
