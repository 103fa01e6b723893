"""The life of a session's WebSocket: connect, be heard, subscribe, notice silence.

Rule 1: nothing is sent before `system.success`. The gateway answers the handshake before
it is connected upstream, and drops what comes in between without a word.

Rule 2: a pong proves nothing about the broker. Alive is a heartbeat, or an answer to
`tic`, within `SILENCE_MS`.

Rule 3: a market data stream ends by itself after 15 minutes, so each is asked for again
after 8 to 9, each at a time of its own. Whatever is subscribed survives a reconnect.

Rule 4: the broker tells the same notices again with every connection; each is news once.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, assert_never

from engine.domain.messages import (
    AuthStreamed,
    CloseSocket,
    CloseStream,
    ConnectSocket,
    DeliverNews,
    DeliverPrompt,
    DeliverToRisk,
    FeedEffect,
    FeedMessage,
    HeartbeatSeen,
    NewsStreamed,
    NoticeSeen,
    OpenStream,
    ProfitSeen,
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
from engine.domain.values import ConId, Source

SILENCE_MS: Final = 28_000
"""The broker beats every 10 s; after this much silence the socket is dead."""

SUCCESS_MS_MAX: Final = 20_000
"""With its upstream gone the gateway keeps a socket open and silent for ever."""

KEEP_ALIVE_MS: Final = 20_000
"""A `tic` at least every 60 s keeps the socket; more often, it also tests it."""

RENEW_MS: Final = 480_000
RENEW_SPREAD_MS: Final = 60_000
"""A contract is asked for again after 8 minutes and its own share of this one."""

QUOTES_PER_S: Final = 5
"""So many contracts are asked for in a second, when all of them are due at once."""

NOTICES_MAX: Final = 10_000
"""So many notices are remembered, so as not to tell them again."""

_MS: Final = 1_000_000
_SPREAD_STEP_MS: Final = 37_082
"""The spread divided by the golden ratio: however many there are, they are far apart."""

BACK_OFF_MS: Final = (500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000)


@dataclass(slots=True)
class Subscription:
    """A contract whose market is streamed. `index` is its number, `due_ns` its next request."""

    index: int
    due_ns: int = 0

    @property
    def renew_ms(self) -> int:
        """How long after a request it is asked for again; the same for as long as it lives."""
        return RENEW_MS + self.index * _SPREAD_STEP_MS % RENEW_SPREAD_MS


class Feed:
    """Decides what a session's WebSocket does next. `handle` returns it, in order."""

    def __init__(self, conids: Iterable[ConId] = ()) -> None:
        self.subscriptions: dict[ConId, Subscription] = {
            conid: Subscription(index) for index, conid in enumerate(dict.fromkeys(conids))
        }
        self.connected = False
        self._next_index = len(self.subscriptions)
        self._notices: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._wanted = False
        self._socket = False
        self._tries = 0
        self._sent_ns: list[int] = []

    def handle(self, message: FeedMessage, now_ns: int) -> tuple[FeedEffect, ...]:
        """Take one message; `now_ns` is the monotonic clock."""
        return tuple(self._react(message, now_ns))

    def _react(self, message: FeedMessage, now_ns: int) -> Iterator[FeedEffect]:
        match message:
            case OpenStream():
                yield from self._open()
            case CloseStream():
                yield from self._close()
            case RefreshStream():
                yield from self._refresh()
            case SubscribeQuotes(conid=conid):
                yield from self._subscribe(conid, now_ns)
            case UnsubscribeQuotes(conid=conid):
                if self.subscriptions.pop(conid, None) is not None and self.connected:
                    yield SendTopic(topic=Topic.STOP_QUOTES, conid=conid)
            case SocketOpened() | SocketClosed() | SystemSucceeded() | HeartbeatSeen():
                yield from self._socket_moved(message, now_ns)
            case AuthStreamed():
                yield TellSession(message=message)
            case NewsStreamed():
                yield from self._deliver(message, now_ns)
            case NoticeSeen():
                yield from self._notice(message)
            case PromptStreamed():
                yield DeliverPrompt(prompt=message)
            case StreamRefused(topic=topic, text=text):
                yield ReportAnomaly(machine="feed", kind="refused", detail=f"{topic}: {text}")
            case TimerFired(name=name):
                yield from self._timer(name, now_ns)
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

    def _refresh(self) -> Iterator[FeedEffect]:
        """Ask for the topics that have no heartbeat anew; one of them went mute."""
        if self.connected:
            yield SendTopic(topic=Topic.STOP_ORDERS)
            yield SendTopic(topic=Topic.STOP_TRADES)
            yield SendTopic(topic=Topic.ORDERS)
            yield SendTopic(topic=Topic.TRADES)

    def _socket_moved(
        self, message: SocketOpened | SocketClosed | SystemSucceeded | HeartbeatSeen, now_ns: int
    ) -> Iterator[FeedEffect]:
        match message:
            case SocketOpened():
                yield StartTimer(name="silence", delay_ms=SUCCESS_MS_MAX)
            case SocketClosed(reason=reason):
                yield from self._closed(reason)
            case SystemSucceeded():
                yield from self._greet(now_ns)
            case HeartbeatSeen():
                if self.connected:
                    yield StartTimer(name="silence", delay_ms=SILENCE_MS)
            case _:
                assert_never(message)

    def _greet(self, now_ns: int) -> Iterator[FeedEffect]:
        if not self._wanted or self.connected:
            return
        self.connected = True
        self._tries = 0
        yield SendTopic(topic=Topic.ORDERS)
        yield SendTopic(topic=Topic.TRADES)
        yield SendTopic(topic=Topic.RESULTS)
        for subscription in self.subscriptions.values():
            subscription.due_ns = now_ns
        yield from self._renew(now_ns)
        yield StartTimer(name="silence", delay_ms=SILENCE_MS)
        yield StartTimer(name="keep_alive", delay_ms=KEEP_ALIVE_MS)
        yield TellSession(message=StreamReady())

    def _subscribe(self, conid: ConId, now_ns: int) -> Iterator[FeedEffect]:
        if conid in self.subscriptions:
            return
        self.subscriptions[conid] = Subscription(self._next_index, now_ns)
        self._next_index += 1
        if self.connected:
            yield from self._renew(now_ns)

    def _renew(self, now_ns: int) -> Iterator[FeedEffect]:
        """Ask for the contracts that are due, a few in a second; the rest comes in its time."""
        since_ns = now_ns - 1_000 * _MS
        self._sent_ns = [at_ns for at_ns in self._sent_ns if at_ns > since_ns]
        by_due = sorted(self.subscriptions.items(), key=lambda item: item[1].due_ns)
        for conid, subscription in by_due:
            if subscription.due_ns > now_ns or len(self._sent_ns) >= QUOTES_PER_S:
                break
            self._sent_ns.append(now_ns)
            subscription.due_ns = now_ns + subscription.renew_ms * _MS
            yield SendTopic(topic=Topic.QUOTES, conid=conid)
        if not self.subscriptions:
            return
        next_ns = min(one.due_ns for one in self.subscriptions.values())
        if len(self._sent_ns) >= QUOTES_PER_S:
            next_ns = max(next_ns, self._sent_ns[0] + 1_000 * _MS)
        # Rounded up: a timer that fires before its time would find nothing due.
        yield StartTimer(name="renew", delay_ms=max(-((now_ns - next_ns) // _MS), 1))

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
            ids = tuple(one.execution_id for one in message.executions)
            yield TellSession(message=RowsStreamed(rows=message.rows, executions=ids))
            yield DeliverNews(
                rows=message.rows, executions=message.executions, source=Source.STREAM
            )
        for result in message.results:
            yield DeliverToRisk(
                account=result.account, message=ProfitSeen(result=result, now_ns=now_ns)
            )

    def _notice(self, notice: NoticeSeen) -> Iterator[FeedEffect]:
        key = (notice.kind, notice.notice_id or notice.text)
        if key in self._notices:
            return
        self._notices[key] = None
        if len(self._notices) > NOTICES_MAX:
            self._notices.popitem(last=False)
        yield WriteNotice(notice=notice)

    def _timer(self, name: str, now_ns: int) -> Iterator[FeedEffect]:
        match name:
            case "silence" if self._socket:
                yield CloseSocket(reason="no heartbeat from the broker in time")
            case "keep_alive" if self.connected:
                yield SendTopic(topic=Topic.KEEP_ALIVE)
                yield StartTimer(name="keep_alive", delay_ms=KEEP_ALIVE_MS)
            case "renew" if self.connected:
                yield from self._renew(now_ns)
            case "reconnect" if self._wanted and not self._socket:
                self._socket = True
                yield ConnectSocket()
            case _:
                return  # A timer of a socket that is gone.
