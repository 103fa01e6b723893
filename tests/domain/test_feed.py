"""The feed machine: nothing before system.success, nothing silent for long."""

from dataclasses import replace
from itertools import pairwise

import pytest

from engine.domain.feed import (
    BACK_OFF_MS,
    KEEP_ALIVE_MS,
    QUOTES_PER_S,
    RENEW_MS,
    RENEW_SPREAD_MS,
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
    DeliverPrompt,
    FeedEffect,
    FeedMessage,
    HeartbeatSeen,
    NewsStreamed,
    NoticeSeen,
    OpenStream,
    PromptStreamed,
    RefreshStream,
    ReportAnomaly,
    RowsStreamed,
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
    WriteNotice,
)
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    ConId,
    OrderRow,
    Question,
    QuestionId,
    SessionName,
    Source,
)

MAIN = SessionName("main")

AAPL, IBM = ConId(265598), ConId(8314)
ROW = OrderRow(account=AccountId("DU1"), broker_order_id=BrokerOrderId("7"))


def told(feed: Feed, *messages: FeedMessage, now_ms: int = 0) -> list[FeedEffect]:
    now_ns = now_ms * 1_000_000
    return [effect for message in messages for effect in feed.handle(message, now_ns)]


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
        StartTimer(name="renew", delay_ms=RENEW_MS),
        StartTimer(name="silence", delay_ms=SILENCE_MS),
        StartTimer(name="keep_alive", delay_ms=KEEP_ALIVE_MS),
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
    early = told(feed, TimerFired(name="renew"), now_ms=RENEW_MS - 1)
    renewed = told(feed, TimerFired(name="renew"), now_ms=RENEW_MS)

    wait = StartTimer(name="renew", delay_ms=RENEW_MS)
    assert first == [SendTopic(topic=Topic.QUOTES, conid=AAPL), wait]
    assert second == []
    assert early == [StartTimer(name="renew", delay_ms=1)]
    assert renewed == [SendTopic(topic=Topic.QUOTES, conid=AAPL), wait]


class Renewals:
    """A connected feed whose timer `renew` is let fire in its time."""

    def __init__(self, count: int) -> None:
        self.feed = Feed(ConId(number) for number in range(count))
        self.sent: list[tuple[int, int | None]] = []
        self.now_ms = 0
        self._due_ms = 0
        self._take(told(self.feed, OpenStream(), SocketOpened(), SystemSucceeded(paper=True)))

    def _take(self, effects: list[FeedEffect]) -> None:
        for effect in effects:
            if isinstance(effect, SendTopic) and effect.topic is Topic.QUOTES:
                self.sent.append((self.now_ms, effect.conid))
            if isinstance(effect, StartTimer) and effect.name == "renew":
                self._due_ms = self.now_ms + effect.delay_ms

    def run(self, until_ms: int) -> None:
        while self._due_ms <= until_ms:
            self.now_ms = self._due_ms
            self._take(told(self.feed, TimerFired(name="renew"), now_ms=self.now_ms))


def test_ninety_contracts_are_asked_for_a_few_in_a_second() -> None:
    renewals = Renewals(90)

    renewals.run(60_000)

    assert len(renewals.sent) == 90
    assert renewals.sent[-1][0] == 17_000
    for now_ms, _ in renewals.sent:
        in_a_second = sum(now_ms <= other < now_ms + 1_000 for other, _ in renewals.sent)
        assert in_a_second <= QUOTES_PER_S


def test_each_of_ninety_contracts_is_renewed_after_eight_to_nine_minutes() -> None:
    renewals = Renewals(90)

    renewals.run(3_600_000)

    times: dict[int | None, list[int]] = {}
    for now_ms, conid in renewals.sent:
        times.setdefault(conid, []).append(now_ms)
    gaps = [after - before for one in times.values() for before, after in pairwise(one)]
    assert len(times) == 90
    assert min(gaps) >= 480_000
    assert max(gaps) <= 541_000
    minutes = [sum(at // 60_000 == minute for at, _ in renewals.sent) for minute in range(8, 10)]
    assert max(minutes) < 90, "not all of them in one minute"


def test_renewals_are_spread_over_a_minute() -> None:
    renewals = Renewals(90)
    renewals.run(480_000 + 80_000)

    second = sorted(now_ms for now_ms, _ in renewals.sent)[90:]

    assert len(second) == 90
    assert second[-1] - second[0] >= 60_000
    assert max(after - before for before, after in pairwise(second)) < 5_000


def test_an_unsubscribed_contract_is_not_asked_for_again() -> None:
    feed = connected(AAPL, IBM)

    stopped = told(feed, UnsubscribeQuotes(conid=AAPL))
    again = told(feed, UnsubscribeQuotes(conid=AAPL))
    renewed = told(feed, TimerFired(name="renew"), now_ms=RENEW_MS + RENEW_SPREAD_MS)
    told(feed, UnsubscribeQuotes(conid=IBM))

    assert stopped == [SendTopic(topic=Topic.STOP_QUOTES, conid=AAPL)]
    assert again == []
    assert renewed[0] == SendTopic(topic=Topic.QUOTES, conid=IBM)
    assert told(feed, TimerFired(name="renew")) == []


def test_a_mute_topic_is_asked_for_anew() -> None:
    refreshed = told(connected(), RefreshStream())

    assert refreshed == [
        SendTopic(topic=Topic.STOP_ORDERS),
        SendTopic(topic=Topic.STOP_TRADES),
        SendTopic(topic=Topic.ORDERS),
        SendTopic(topic=Topic.TRADES),
    ]
    assert told(Feed(), RefreshStream()) == [], "the connection asks for them anyway"


def test_a_notice_is_news_once_however_often_the_broker_connects() -> None:
    feed = connected()
    notice = NoticeSeen(session=MAIN, kind="bulletin", notice_id="7", text="Closed tomorrow")
    nameless = NoticeSeen(session=MAIN, kind="notice", notice_id="", text="Order 7 was cancelled")
    other = replace(nameless, text="Order 8 was cancelled")

    seen = told(feed, notice, nameless, notice, other, nameless)

    assert seen == [WriteNotice(notice=one) for one in (notice, nameless, other)]


def test_only_so_many_notices_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.domain.feed.NOTICES_MAX", 1)
    feed = connected()
    one, two = (NoticeSeen(session=MAIN, kind="bulletin", notice_id=name, text="") for name in "12")

    seen = told(feed, one, two, two, one)

    assert seen == [WriteNotice(notice=notice) for notice in (one, two, one)]


def test_a_prompt_goes_to_its_order() -> None:
    question = Question(question_id=QuestionId("1"), message_ids=(), texts=("Sure?",))
    prompt = PromptStreamed(broker_order_id=BrokerOrderId("7"), question=question)

    assert told(connected(), prompt) == [DeliverPrompt(prompt=prompt)]


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

    assert news == [
        TellSession(message=RowsStreamed(rows=(ROW,), executions=())),
        DeliverNews(rows=(ROW,), source=Source.STREAM),
    ]
    assert auth == [TellSession(message=AuthStreamed(authenticated=False, competing=None))]
    assert refused == [ReportAnomaly(machine="feed", kind="refused", detail="smd: No accounts")]


def test_timers_of_a_socket_that_is_gone_do_nothing() -> None:
    feed = Feed()

    assert told(feed, *(TimerFired(name=name) for name in ("silence", "keep_alive", "renew"))) == []
