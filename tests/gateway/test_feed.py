import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from engine import metrics
from engine.domain.messages import (
    AuthStreamed,
    FeedMessage,
    HeartbeatSeen,
    NewsStreamed,
    SendTopic,
    SocketClosed,
    SocketOpened,
    StreamRefused,
    SystemSucceeded,
    Topic,
)
from engine.domain.values import Bar, ConId, Quote
from engine.gateway.client import GatewayClient
from engine.gateway.feed import WebSocketFeed
from tests.gateway.raw_gateway import (
    SESSION,
    Certificate,
    Seen,
    Stream,
    accepted,
    always,
    client_of,
    frame,
    http,
    never,
    raw_gateway,
    read_frame,
    until,
    until_many,
)

AAPL = ConId(265598)
MINUTE_MS = 1_699_999_980_000
SUCCESS = {"topic": "system", "success": "user", "isFT": False, "isPaper": True}
ROW = {"acct": "DU1234567", "account": "DU1234567", "orderId": 7}


def tick(at_ms: int, **fields: str) -> dict[str, object]:
    return {
        "server_id": "q2", "conidEx": "265598", "conid": 265598, "_updated": at_ms,
        **fields, "topic": "smd+265598",
    }  # fmt: skip


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
    certificate: Certificate, work: Callable[[Listener], Awaitable[None]], *, greeting: bytes = b""
) -> list[FeedMessage]:
    """Connect, do the work, close, and return everything that was told."""

    async def run() -> list[FeedMessage]:
        venue = Venue()
        venue.greeting = greeting
        async with (
            raw_gateway(certificate, venue.script) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            feed = WebSocketFeed(client, bars_kept=3)
            listener = Listener(feed, venue, client)
            await listener.connect()
            await work(listener)
            await feed.close_all()
            return listener.told

    return asyncio.run(run())


async def nothing(_listener: Listener) -> None:
    """Only connect and close."""


STOPPED = SocketClosed(reason="the engine is stopping")


def test_a_connection_is_opened_and_closed_once(certificate: Certificate) -> None:
    assert listen(certificate, nothing) == [SocketOpened(), STOPPED]


def test_nothing_is_sent_before_somebody_asks(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        listener.venue.send(SUCCESS)
        await listener.wait(2)
        assert listener.venue.frames == []

    assert listen(certificate, work) == [SocketOpened(), SystemSucceeded(paper=True), STOPPED]


def test_what_came_with_the_handshake_is_told_after_it(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        await listener.wait(2)

    told = listen(certificate, work, greeting=frame(SUCCESS))

    assert told == [SocketOpened(), SystemSucceeded(paper=True), STOPPED]


def test_topics_are_asked_for_in_masked_text_frames(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        for topic in (Topic.ORDERS, Topic.TRADES, Topic.RESULTS, Topic.KEEP_ALIVE):
            listener.feed.send(SendTopic(topic=topic))
        listener.feed.send(SendTopic(topic=Topic.QUOTES, conid=AAPL))
        listener.feed.send(SendTopic(topic=Topic.STOP_QUOTES, conid=AAPL))
        await until_many(listener.venue.frames, 6)
        assert listener.venue.frames == [
            (1, b"sor+{}"),
            (1, b'str+{"realtimeUpdatesOnly":false,"days":1}'),
            (1, b"spl+{}"),
            (1, b"tic"),
            (
                1,
                b'smd+265598+{"fields":["31","84","85","86","88","7059","87","7762","7741","6509"]}',
            ),
            (1, b"umd+265598+{}"),
        ]

    listen(certificate, work)


def test_messages_are_told_in_order_and_the_news_of_one_read_together(
    certificate: Certificate,
) -> None:
    async def work(listener: Listener) -> None:
        listener.venue.send(
            {"topic": "sor", "args": [ROW, {**ROW, "status": "Submitted"}]},
            {"topic": "system", "hb": 1712596911593},
            {"topic": "sts", "args": {"competing": True}},
            {"topic": "spl", "args": {"DU1234567.Core": {"dpl": 5.5}}},
            {"topic": "sor", "args": [{**ROW, "status": "Filled"}]},
            {"topic": "tic", "alive": True},
            {"error": "No accounts", "code": 500, "topic": "smd"},
        )
        await listener.wait(6)

    told = listen(certificate, work)

    news = told[5]
    assert isinstance(news, NewsStreamed)
    assert told[:5] == [
        SocketOpened(),
        HeartbeatSeen(),
        AuthStreamed(authenticated=None, competing=True),
        HeartbeatSeen(),
        StreamRefused(topic="smd", text="No accounts"),
    ]
    assert [row.status for row in news.rows] == [None, "Submitted", "Filled"]
    assert [result.daily for result in news.results] == [Decimal("5.5")]


def test_one_json_in_several_final_frames_is_one_message(certificate: Certificate) -> None:
    whole = json.dumps(SUCCESS).encode()

    async def work(listener: Listener) -> None:
        listener.venue.send_raw(frame(whole[:20]) + frame(whole[20:21]))
        listener.venue.send_raw(frame(whole[21:]))
        await listener.wait(2)

    assert listen(certificate, work)[1] == SystemSucceeded(paper=True)


def test_a_quote_is_pulled_with_exact_prices_and_the_time_of_our_clock(
    certificate: Certificate,
) -> None:
    async def work(listener: Listener) -> None:
        feed = listener.feed
        assert feed.quote(AAPL) is None
        before_ns = listener.client.clock()
        listener.venue.send(
            tick(MINUTE_MS, **{"31": "189.60", "84": "189.56", "86": "189.61", "88": "1,300",
                               "7741": "188", "6509": "RpB"}),
            {"topic": "system", "hb": 1},
        )  # fmt: skip
        await listener.wait(2)
        quote = feed.quote(AAPL)
        assert quote is not None
        assert before_ns < quote.received_ns < listener.client.clock()
        assert quote == Quote(
            conid=AAPL,
            bid=Decimal("189.56"),
            ask=Decimal("189.61"),
            last=Decimal("189.6"),
            bid_size=Decimal(1300),
            ask_size=None,
            last_size=None,
            volume=None,
            prior_close=Decimal(188),
            halted=False,
            availability="RpB",
            received_ns=quote.received_ns,
        )
        assert str(quote.bid_size) == "1300"

    listen(certificate, work)


def test_closed_bars_are_kept_newest_last_and_only_so_many(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        feed = listener.feed
        feed.send(SendTopic(topic=Topic.QUOTES, conid=AAPL))
        for second in range(6):
            listener.venue.send(
                tick(
                    MINUTE_MS + second * 1_000,
                    **{"31": f"100.{second}", "7059": "5", "7762": str(1_000 + second * 10)},
                )
            )
        await until(lambda: len(feed.bars(AAPL, 1_000, 10)) == 3)
        bars = feed.bars(AAPL, 1_000, 10)
        assert bars[-1].start_ms - bars[0].start_ms == 2_000
        assert feed.bars(AAPL, 1_000, 1) == bars[-1:]
        assert feed.bars(AAPL, 1_000, 0) == ()
        assert feed.bars(ConId(5), 1_000, 10) == ()
        price = bars[-1].open
        assert bars[-1] == Bar(
            conid=AAPL,
            interval_ms=1_000,
            start_ms=bars[-1].start_ms,
            open=price,
            high=price,
            low=price,
            close=price,
            volume=Decimal(10),
            vwap=price,
            trades=1,
        )

    listen(certificate, work)


def test_the_clock_closes_the_last_bar(certificate: Certificate) -> None:
    """The ticks lie in the past, so the first look at the clock ends their bars."""

    async def work(listener: Listener) -> None:
        listener.feed.send(SendTopic(topic=Topic.QUOTES, conid=AAPL))
        listener.venue.send(tick(MINUTE_MS, **{"31": "100", "7059": "5"}))
        await until(lambda: bool(listener.feed.bars(AAPL, 60_000, 1)))
        [bar] = listener.feed.bars(AAPL, 60_000, 1)
        assert (bar.start_ms, bar.close, bar.volume) == (MINUTE_MS, Decimal(100), Decimal(5))

    listen(certificate, work)


def test_a_subscription_that_is_renewed_keeps_its_open_bars(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        quotes = SendTopic(topic=Topic.QUOTES, conid=AAPL)
        listener.feed.send(quotes)
        listener.venue.send(tick(MINUTE_MS, **{"31": "100", "7059": "5"}), {"topic": "tic"})
        await listener.wait(2)
        listener.feed.send(quotes)
        await until(lambda: bool(listener.feed.bars(AAPL, 60_000, 1)))
        await until_many(listener.venue.frames, 2)

    listen(certificate, work)


def test_pings_are_answered_and_nothing_else_is_said(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        listener.venue.send_raw(frame(b"are you there", opcode=9))
        await until_many(listener.venue.frames, 1)
        assert listener.venue.frames == [(10, b"are you there")]

    listen(certificate, work)


def test_a_close_is_echoed_and_told(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        listener.venue.send_raw(frame((1000).to_bytes(2, "big"), opcode=8))
        await listener.wait(2)
        await until_many(listener.venue.frames, 1)
        assert listener.venue.frames == [(8, (1000).to_bytes(2, "big"))]

    assert listen(certificate, work) == [
        SocketOpened(),
        SocketClosed(reason="the gateway closed with 1000"),
    ]


def test_a_broken_protocol_is_told_counted_and_answered_with_its_code(
    certificate: Certificate,
) -> None:
    errors = metrics.WS_PROTOCOL_ERRORS.labels(SESSION)
    before = errors._value.get()

    async def work(listener: Listener) -> None:
        listener.venue.send_raw(frame(SUCCESS) + b"\xff\x00")
        await listener.wait(3)
        await until_many(listener.venue.frames, 1)
        assert listener.venue.frames == [(8, (1002).to_bytes(2, "big"))]

    told = listen(certificate, work)

    assert told[1] == SystemSucceeded(paper=True)
    assert isinstance(told[2], SocketClosed)
    assert told[2].reason.startswith("the gateway broke the protocol: ")
    assert len(told) == 3
    assert errors._value.get() == before + 1


def test_a_connection_that_is_lost_is_told_once(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        listener.venue.hang_up()
        await listener.wait(2)
        listener.feed.send(SendTopic(topic=Topic.ORDERS))
        listener.feed.close("too late")

    assert listen(certificate, work) == [
        SocketOpened(),
        SocketClosed(reason="the connection was closed"),
    ]


def test_closing_says_goodbye_with_1000_and_tells_the_reason(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        listener.feed.close("silent for 30 s")
        await until_many(listener.venue.frames, 1)
        assert listener.venue.frames == [(8, (1000).to_bytes(2, "big"))]

    assert listen(certificate, work) == [SocketOpened(), SocketClosed(reason="silent for 30 s")]


def test_a_new_connection_starts_without_the_old_quotes_and_keeps_the_bars(
    certificate: Certificate,
) -> None:
    async def work(listener: Listener) -> None:
        listener.feed.send(SendTopic(topic=Topic.QUOTES, conid=AAPL))
        listener.venue.send(tick(MINUTE_MS, **{"31": "100", "7059": "5"}))
        await until(lambda: bool(listener.feed.bars(AAPL, 60_000, 1)))
        assert listener.feed.quote(AAPL) is not None
        listener.feed.close("again")
        await listener.connect()
        assert listener.feed.quote(AAPL) is None
        assert len(listener.feed.bars(AAPL, 60_000, 1)) == 1

    assert listen(certificate, work) == [
        SocketOpened(),
        SocketClosed(reason="again"),
        SocketOpened(),
        STOPPED,
    ]


def test_the_age_of_the_heartbeat_counts_from_the_handshake_on(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        now_ns = listener.client.clock()
        listener.client.clock = lambda: now_ns
        at_first_ms = listener.feed.heartbeat_age_ms()
        assert at_first_ms is not None

        now_ns += 25_000_000_000
        assert listener.feed.heartbeat_age_ms() == at_first_ms + 25_000

        listener.venue.send({"topic": "system", "hb": 1})
        await listener.wait(2)
        assert listener.feed.heartbeat_age_ms() == 0

        listener.feed.close("done")
        assert listener.feed.heartbeat_age_ms() is None

    listen(certificate, work)


def test_a_stream_that_waits_for_the_session_is_told_it(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        listener.client.stream_token = "abc"
        listener.venue.send({"message": "waiting for session"})
        await until_many(listener.venue.frames, 1)
        assert listener.venue.frames == [(1, b'{"session":"abc"}')]

    listen(certificate, work)


def test_what_is_for_people_or_for_nobody_is_logged(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        listener.venue.send(
            {"topic": "ntf", "args": [{"id": "1", "text": "Order will be cancelled"}]},
            {"message": "waiting for session"},
            b"ech+hb",
            {"topic": "tic"},
        )
        await listener.wait(2)

    with capture_logs() as logs:
        listen(certificate, work)

    assert [entry["event"] for entry in logs] == [
        "broker_notice_received",
        "stream_wants_session",
        "stream_message_unread",
    ]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (always(http(401, b"Access Denied")), "HTTP 401 instead of a WebSocket: Access Denied"),
        (always(None), "Server disconnected"),
    ],
)
def test_a_connect_that_fails_is_told_as_closed(
    certificate: Certificate, script: Callable[[Seen, Stream], Awaitable[bytes | None]], reason: str
) -> None:
    async def run() -> tuple[list[FeedMessage], int | None]:
        told: list[FeedMessage] = []
        async with (
            raw_gateway(certificate, script) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            feed = WebSocketFeed(client)
            feed.connect(told.append)
            await until_many(told, 1)
            await feed.close_all()
            return told, feed.heartbeat_age_ms()

    assert asyncio.run(run()) == ([SocketClosed(reason=f"no WebSocket: {reason}")], None)


def test_a_connect_that_is_no_longer_wanted_is_closed_once(certificate: Certificate) -> None:
    """Closed while the handshake is under way, and again when the client ends."""

    async def run() -> list[FeedMessage]:
        told: list[FeedMessage] = []
        async with raw_gateway(certificate, never) as gateway:
            async with client_of(gateway.url, certificate) as client:
                feed = WebSocketFeed(client)
                feed.connect(told.append)
                await until_many(gateway.seen, 1)
                feed.close("changed our mind")
                await feed.close_all()
            return told

    assert asyncio.run(run()) == [SocketClosed(reason="changed our mind")]


def test_a_handshake_under_way_ends_with_the_client(certificate: Certificate) -> None:
    async def run() -> list[FeedMessage]:
        told: list[FeedMessage] = []
        async with raw_gateway(certificate, never) as gateway:
            async with client_of(gateway.url, certificate) as client:
                WebSocketFeed(client).connect(told.append)
                await until_many(gateway.seen, 1)
            return told

    assert asyncio.run(run()) == [STOPPED]


def test_a_handshake_that_ends_after_it_was_unwanted_opens_nothing(
    certificate: Certificate,
) -> None:
    async def run() -> list[FeedMessage]:
        told: list[FeedMessage] = []
        go = asyncio.Event()
        ended = asyncio.Event()

        async def script(seen: Seen, stream: Stream) -> None:
            reader, writer = stream
            await go.wait()
            writer.write(accepted(seen) + frame(SUCCESS))
            await reader.read()
            ended.set()

        async with (
            raw_gateway(certificate, script) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            feed = WebSocketFeed(client)
            feed.connect(told.append)
            await until_many(gateway.seen, 1)
            feed.close("changed our mind")
            go.set()
            await ended.wait()
        return told

    assert asyncio.run(run()) == [SocketClosed(reason="changed our mind")]
