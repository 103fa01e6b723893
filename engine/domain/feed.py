"""The life of a session's WebSocket: connect, be heard, subscribe, notice silence.

Rule 1: nothing is sent before `system.success`. The gateway answers the handshake before
it is connected upstream, and drops what comes in between without a word.

Rule 2: a pong proves nothing about the broker. Alive is a heartbeat, or an answer to
`tic`, within `SILENCE_MS`.

Rule 3: a market data stream ends by itself after 15 minutes, so each is asked for again
well before. Whatever is subscribed survives a reconnect.
"""

from collections.abc import Iterable, Iterator
from typing import Final, assert_never

from engine.domain.messages import (
    AuthStreamed,
    CloseSocket,
    CloseStream,
    ConnectSocket,
    DeliverNews,
    DeliverToRisk,
    FeedEffect,
    FeedMessage,
    HeartbeatSeen,
    NewsStreamed,
    OpenStream,
    ProfitSeen,
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
from engine.domain.values import ConId, Source

SILENCE_MS: Final = 28_000
"""The broker beats every 10 s; after this much silence the socket is dead."""

SUCCESS_MS_MAX: Final = 20_000
"""With its upstream gone the gateway keeps a socket open and silent for ever."""

KEEP_ALIVE_MS: Final = 20_000
"""A `tic` at least every 60 s keeps the socket; more often, it also tests it."""

RENEW_MS: Final = 500_000
"""Streams end after 15 minutes; they are renewed after 8 and a third."""

BACK_OFF_MS: Final = (500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000)


class Feed:
    """Decides what a session's WebSocket does next. `handle` returns it, in order."""

    def __init__(self, conids: Iterable[ConId] = ()) -> None:
        self.subscriptions: dict[ConId, None] = dict.fromkeys(conids)
        self.connected = False
        self._wanted = False
        self._socket = False
        self._tries = 0

    def handle(self, message: FeedMessage, now_ns: int) -> tuple[FeedEffect, ...]:
        """Take one message; `now_ns` is the monotonic clock."""
        return tuple(self._react(message, now_ns))

    def _react(self, message: FeedMessage, now_ns: int) -> Iterator[FeedEffect]:
        match message:
            case OpenStream():
                yield from self._open()
            case CloseStream():
                yield from self._close()
            case SubscribeQuotes(conid=conid):
                yield from self._subscribe(conid)
            case UnsubscribeQuotes(conid=conid):
                if self.subscriptions.pop(conid, 0) is None and self.connected:
                    yield SendTopic(topic=Topic.STOP_QUOTES, conid=conid)
            case SocketOpened():
                yield StartTimer(name="silence", delay_ms=SUCCESS_MS_MAX)
            case SocketClosed(reason=reason):
                yield from self._closed(reason)
            case SystemSucceeded():
                yield from self._greet()
            case HeartbeatSeen():
                if self.connected:
                    yield StartTimer(name="silence", delay_ms=SILENCE_MS)
            case AuthStreamed():
                yield TellSession(message=message)
            case NewsStreamed():
                yield from self._deliver(message, now_ns)
            case StreamRefused(topic=topic, text=text):
                yield ReportAnomaly(machine="feed", kind="refused", detail=f"{topic}: {text}")
            case TimerFired(name=name):
                yield from self._timer(name)
            case _:
                assert_never(message)

    def _open(self) -> Iterator[FeedEffect]:
        self._wanted = True
        if self.connected:
            yield TellSession(message=StreamReady())
        elif not self._socket:
            self._socket = True
            yield StopTimer(name="reconnect")
            yield ConnectSocket()

    def _close(self) -> Iterator[FeedEffect]:
        self._wanted = False
        self.connected = False
        yield StopTimer(name="reconnect")
        if self._socket:
            yield CloseSocket(reason="the session does not need the stream")

    def _greet(self) -> Iterator[FeedEffect]:
        if not self._wanted or self.connected:
            return
        self.connected = True
        self._tries = 0
        yield SendTopic(topic=Topic.ORDERS)
        yield SendTopic(topic=Topic.TRADES)
        yield SendTopic(topic=Topic.RESULTS)
        for conid in self.subscriptions:
            yield SendTopic(topic=Topic.QUOTES, conid=conid)
        yield StartTimer(name="silence", delay_ms=SILENCE_MS)
        yield StartTimer(name="keep_alive", delay_ms=KEEP_ALIVE_MS)
        yield StartTimer(name="renew", delay_ms=RENEW_MS)
        yield TellSession(message=StreamReady())

    def _subscribe(self, conid: ConId) -> Iterator[FeedEffect]:
        if conid in self.subscriptions:
            return
        self.subscriptions[conid] = None
        if self.connected:
            yield SendTopic(topic=Topic.QUOTES, conid=conid)

    def _closed(self, reason: str) -> Iterator[FeedEffect]:
        was_connected, self.connected = self.connected, False
        self._socket = False
        for name in ("silence", "keep_alive", "renew"):
            yield StopTimer(name=name)
        if not self._wanted:
            return
        if was_connected:
            yield TellSession(message=StreamLost(reason=reason))
        yield StartTimer(
            name="reconnect", delay_ms=BACK_OFF_MS[min(self._tries, len(BACK_OFF_MS) - 1)]
        )
        self._tries += 1

    def _deliver(self, message: NewsStreamed, now_ns: int) -> Iterator[FeedEffect]:
        if message.rows or message.executions:
            yield DeliverNews(
                rows=message.rows, executions=message.executions, source=Source.STREAM
            )
        for result in message.results:
            yield DeliverToRisk(
                account=result.account, message=ProfitSeen(result=result, now_ns=now_ns)
            )

    def _timer(self, name: str) -> Iterator[FeedEffect]:
        match name:
            case "silence" if self._socket:
                yield CloseSocket(reason="no heartbeat from the broker in time")
            case "keep_alive" if self.connected:
                yield SendTopic(topic=Topic.KEEP_ALIVE)
                yield StartTimer(name="keep_alive", delay_ms=KEEP_ALIVE_MS)
            case "renew" if self.connected:
                for conid in self.subscriptions:
                    yield SendTopic(topic=Topic.QUOTES, conid=conid)
                yield StartTimer(name="renew", delay_ms=RENEW_MS)
            case "reconnect" if self._wanted and not self._socket:
                self._socket = True
                yield ConnectSocket()
            case _:
                return  # A timer of a socket that is gone.
