"""The actor of one session's WebSocket."""

from collections.abc import Iterable
from typing import assert_never

from engine import log, metrics
from engine.actors.mailbox import Dispatcher
from engine.actors.shell import Clock, Shell, post
from engine.actors.switchboard import Switchboard
from engine.domain.feed import Feed
from engine.domain.messages import (
    CloseSocket,
    ConnectSocket,
    DeliverNews,
    DeliverPrompt,
    DeliverToRisk,
    FeedEffect,
    FeedMessage,
    ReportAnomaly,
    SendTopic,
    SocketClosed,
    StartTimer,
    StopTimer,
    TellSession,
    WriteNotice,
)
from engine.domain.ports import FeedGateway
from engine.domain.values import ConId, SessionName

_LOG = log.get("actors/feed")


class FeedActor(Shell):
    """One WebSocket: connects, subscribes, and hands on what it brings."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        clock: Clock,
        switchboard: Switchboard,
        session: SessionName,
        gateway: FeedGateway,
        conids: Iterable[ConId],
    ) -> None:
        super().__init__(dispatcher=dispatcher, name=session, clock=clock)
        self.feed = Feed(conids)
        self._session = session
        self._switchboard = switchboard
        self._gateway = gateway

    def on_receive(self, message: FeedMessage) -> None:
        """Let the machine decide, then do it."""
        if isinstance(message, SocketClosed):
            _LOG.info("stream_closed", session=self._session, reason=message.reason)
            if self.feed.connected:
                metrics.WS_RECONNECTS.labels(self._session).inc()
        for effect in self.feed.handle(message, self.clock.monotonic_ns()):
            self.perform(effect)
        metrics.WS_CONNECTED.labels(self._session).set(self.feed.connected)
        metrics.SUBSCRIPTIONS.labels(self._session).set(len(self.feed.subscriptions))

    def perform(self, effect: FeedEffect) -> None:
        """Do one thing that the feed asked for."""
        match effect:
            case ConnectSocket():
                self._gateway.connect(lambda message: post(self.ref, message))
            case CloseSocket(reason=reason):
                self._gateway.close(reason)
            case SendTopic():
                self._gateway.send(effect)
            case TellSession(message=message):
                self._switchboard.tell_session(self._session, message)
            case WriteNotice(notice=notice):
                self._switchboard.write_notice(notice)
            case DeliverPrompt(prompt=prompt):
                self._switchboard.deliver_prompt(self._session, prompt)
            case DeliverNews():
                self._switchboard.deliver(self._session, effect)
            case DeliverToRisk(account=account, message=for_risk):
                self._switchboard.tell_risk(account, for_risk)
            case StartTimer():
                self.start_timer(effect)
            case StopTimer():
                self.stop_timer(effect)
            case ReportAnomaly():
                self.report(effect)
            case _:
                assert_never(effect)
