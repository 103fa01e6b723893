import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from engine import metrics
from engine.domain.messages import (
    AuthStreamed,
    FeedMessage,
    HeartbeatSeen,
    NewsStreamed,
    NoticeSeen,
    PromptStreamed,
    SendTopic,
    SocketClosed,
    SocketOpened,
    StreamRefused,
    SystemSucceeded,
    Topic,
)
from engine.domain.values import BrokerOrderId, ConId, MessageId, Question, QuestionId
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
    until_many,
)
from tests.gateway.stream_venue import Listener, Venue, listen, nothing

AAPL = ConId(265598)
SUCCESS = {"topic": "system", "success": "user", "isFT": False, "isPaper": True}
ROW = {"acct": "DU1234567", "account": "DU1234567", "orderId": 7}


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


def test_notices_bulletins_and_prompts_are_told_in_their_order(certificate: Certificate) -> None:
    prompt = {
        "orderId": 7, "reqId": "5", "text": "Sure?", "options": ["Yes", "No"], "messageId": "p12",
    }  # fmt: skip

    async def work(listener: Listener) -> None:
        listener.venue.send(
            {"topic": "blt", "args": [{"id": 9, "exchanges": None, "message": "closed today"}]},
            {"topic": "ntf", "args": [{"id": "1", "text": "Order will be cancelled"}, prompt]},
        )
        await listener.wait(4)

    told = listen(certificate, work)

    asked = Question(
        question_id=QuestionId("notification:7:5:Yes:No"),
        message_ids=(MessageId("p12"),),
        texts=("Sure?",),
    )
    assert told[1:4] == [
        NoticeSeen(session=SESSION, kind="bulletin", notice_id="9", text="closed today"),
        NoticeSeen(session=SESSION, kind="notice", notice_id="1", text="Order will be cancelled"),
        PromptStreamed(broker_order_id=BrokerOrderId("7"), question=asked),
    ]


def test_what_is_for_nobody_is_logged(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        listener.venue.send(
            {"message": "waiting for session"},
            b"ech+hb",
            {"topic": "tic"},
        )
        await listener.wait(2)

    with capture_logs() as logs:
        listen(certificate, work)

    assert [entry["event"] for entry in logs] == [
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


def test_the_beginning_of_a_message_that_never_ends_is_counted_as_lost(
    certificate: Certificate,
) -> None:
    async def work(listener: Listener) -> None:
        listener.venue.send(b'{"topic":"sor","args":[{"acct"', SUCCESS)
        await listener.wait(2)

    with capture_logs() as logs:
        told = listen(certificate, work)

    assert told == [SocketOpened(), SystemSucceeded(paper=True), STOPPED]
    assert [(entry["event"], entry["count"]) for entry in logs] == [("stream_pieces_dropped", 1)]


def test_a_gateway_that_does_not_let_go_is_dropped(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        transport = listener.venue.streams[-1][1].transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()

    assert listen(certificate, work) == [SocketOpened(), STOPPED]


def test_a_listener_that_fails_ends_the_stream_instead_of_hiding_it(
    certificate: Certificate,
) -> None:
    async def run() -> list[FeedMessage]:
        told: list[FeedMessage] = []

        def tell(message: FeedMessage) -> None:
            told.append(message)
            if isinstance(message, SystemSucceeded):
                raise ZeroDivisionError

        venue = Venue()
        venue.greeting = frame(SUCCESS)
        async with (
            raw_gateway(certificate, venue.script) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            feed = WebSocketFeed(client)
            feed.connect(tell)
            await until_many(told, 3)
            await feed.close_all()
        return told

    with capture_logs() as logs:
        told = asyncio.run(run())

    assert told == [
        SocketOpened(),
        SystemSucceeded(paper=True),
        SocketClosed(reason="ZeroDivisionError: "),
    ]
    assert [entry["event"] for entry in logs] == ["stream_failed"]


def test_a_client_that_closes_takes_its_stream_along(certificate: Certificate) -> None:
    async def run() -> list[FeedMessage]:
        told: list[FeedMessage] = []
        venue = Venue()
        async with raw_gateway(certificate, venue.script) as gateway:
            async with client_of(gateway.url, certificate) as client:
                WebSocketFeed(client).connect(told.append)
                await until_many(told, 1)
            await until_many(told, 2)
        return told

    assert asyncio.run(run()) == [
        SocketOpened(),
        SocketClosed(reason="the connection was closed"),
    ]
