"""The feed machine: nothing before system.success, nothing silent for long."""

from engine.domain.feed import (
    BACK_OFF_MS,
    KEEP_ALIVE_MS,
    RENEW_MS,
    SILENCE_MS,
    SUCCESS_MS_MAX,
    Feed,
)
from engine.domain.messages import (
    AuthStreamed,
    CloseSocket,
    CloseStream,
    ConnectSocket,
    DeliverNews,
    FeedEffect,
    FeedMessage,
    HeartbeatSeen,
    NewsStreamed,
    OpenStream,
    ReportAnomaly,
    SendTopic,
    SocketClosed,
    SocketOpened,
    StartTimer,
    StopTimer,
    StreamLost,
    StreamReady,
    StreamRefused,
    SubscribeQuotes,
    SystemSucceeded,
    TellSession,
    TimerFired,
    Topic,
    UnsubscribeQuotes,
)
from engine.domain.values import AccountId, BrokerOrderId, ConId, OrderRow, Source

AAPL, IBM = ConId(265598), ConId(8314)
ROW = OrderRow(account=AccountId("DU1"), broker_order_id=BrokerOrderId("7"))


def told(feed: Feed, *messages: FeedMessage) -> list[FeedEffect]:
    return [effect for message in messages for effect in feed.handle(message, 0)]


def connected(*conids: ConId) -> Feed:
    feed = Feed(conids)
    told(feed, OpenStream(), SocketOpened(), SystemSucceeded(paper=True))
    return feed


def test_nothing_is_sent_before_the_broker_is_there() -> None:
    feed = Feed((AAPL,))

    opened = told(feed, OpenStream(), SocketOpened())
    greeted = told(feed, SystemSucceeded(paper=True))

    assert opened == [
        StopTimer(name="reconnect"),
        ConnectSocket(),
        StartTimer(name="silence", delay_ms=SUCCESS_MS_MAX),
    ]
    assert greeted == [
        SendTopic(topic=Topic.ORDERS),
        SendTopic(topic=Topic.TRADES),
        SendTopic(topic=Topic.RESULTS),
        SendTopic(topic=Topic.QUOTES, conid=AAPL),
        StartTimer(name="silence", delay_ms=SILENCE_MS),
        StartTimer(name="keep_alive", delay_ms=KEEP_ALIVE_MS),
        StartTimer(name="renew", delay_ms=RENEW_MS),
        TellSession(message=StreamReady()),
    ]


def test_silence_closes_the_socket_and_heartbeats_put_it_off() -> None:
    feed = connected()

    beat = told(feed, HeartbeatSeen())
    silent = told(feed, TimerFired(name="silence"))

    assert beat == [StartTimer(name="silence", delay_ms=SILENCE_MS)]
    assert [type(effect) for effect in silent] == [CloseSocket]


def test_a_lost_socket_is_told_and_connected_again_with_everything() -> None:
    feed = connected(AAPL)
    told(feed, SubscribeQuotes(conid=IBM))

    lost = told(feed, SocketClosed(reason="cut"))
    again = told(feed, TimerFired(name="reconnect"), SocketOpened(), SystemSucceeded(paper=True))

    assert TellSession(message=StreamLost(reason="cut")) in lost
    assert StartTimer(name="reconnect", delay_ms=BACK_OFF_MS[0]) in lost
    assert ConnectSocket() in again
    assert [effect.conid for effect in again if isinstance(effect, SendTopic)][3:] == [AAPL, IBM]


def test_failed_connects_come_slower_and_slower() -> None:
    feed = Feed()
    told(feed, OpenStream())

    delays = [
        effect.delay_ms
        for _ in range(3)
        for effect in told(feed, SocketClosed(reason="refused"), TimerFired(name="reconnect"))
        if isinstance(effect, StartTimer)
    ]

    assert delays == list(BACK_OFF_MS[:3])


def test_a_stream_that_nobody_wants_stays_closed() -> None:
    feed = connected()

    closing = told(feed, CloseStream())
    closed = told(feed, SocketClosed(reason="as asked"), TimerFired(name="reconnect"))

    assert closing == [
        StopTimer(name="reconnect"),
        CloseSocket(reason="the session does not need the stream"),
    ]
    assert not any(isinstance(effect, ConnectSocket | TellSession) for effect in closed)


def test_a_stream_that_is_there_is_told_at_once() -> None:
    assert told(connected(), OpenStream()) == [TellSession(message=StreamReady())]


def test_subscriptions_are_sent_once_and_renewed_before_they_end() -> None:
    feed = connected()

    first = told(feed, SubscribeQuotes(conid=AAPL))
    second = told(feed, SubscribeQuotes(conid=AAPL))
    renewed = told(feed, TimerFired(name="renew"))

    assert first == [SendTopic(topic=Topic.QUOTES, conid=AAPL)]
    assert second == []
    assert renewed == [
        SendTopic(topic=Topic.QUOTES, conid=AAPL),
        StartTimer(name="renew", delay_ms=RENEW_MS),
    ]


def test_an_unsubscribed_contract_is_not_asked_for_again() -> None:
    feed = connected(AAPL)

    stopped = told(feed, UnsubscribeQuotes(conid=AAPL))
    again = told(feed, UnsubscribeQuotes(conid=AAPL), TimerFired(name="renew"))

    assert stopped == [SendTopic(topic=Topic.STOP_QUOTES, conid=AAPL)]
    assert again == [StartTimer(name="renew", delay_ms=RENEW_MS)]


def test_the_socket_is_kept_alive() -> None:
    assert told(connected(), TimerFired(name="keep_alive")) == [
        SendTopic(topic=Topic.KEEP_ALIVE),
        StartTimer(name="keep_alive", delay_ms=KEEP_ALIVE_MS),
    ]


def test_news_go_to_the_orders_and_auth_to_the_session() -> None:
    feed = connected()

    news = told(feed, NewsStreamed(rows=(ROW,)))
    auth = told(feed, AuthStreamed(authenticated=False, competing=None))
    refused = told(feed, StreamRefused(topic="smd", text="No accounts"))

    assert news == [DeliverNews(rows=(ROW,), source=Source.STREAM)]
    assert auth == [TellSession(message=AuthStreamed(authenticated=False, competing=None))]
    assert refused == [ReportAnomaly(machine="feed", kind="refused", detail="smd: No accounts")]


def test_timers_of_a_socket_that_is_gone_do_nothing() -> None:
    feed = Feed()

    assert told(feed, *(TimerFired(name=name) for name in ("silence", "keep_alive", "renew"))) == []
