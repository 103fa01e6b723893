"""The actor of one gateway session."""

from collections.abc import Callable, Iterable
from typing import assert_never

from engine import log, metrics
from engine.actors.mailbox import Dispatcher
from engine.actors.shell import Clock, Shell, post
from engine.actors.switchboard import Switchboard
from engine.domain.messages import (
    AnnounceSession,
    CallFailed,
    CallGateway,
    CloseStream,
    DeliverNews,
    DeliverToRisk,
    GrantTurn,
    OpenStream,
    ParkOrder,
    RefuseTurn,
    ReportAnomaly,
    SessionCall,
    SessionChanged,
    SessionEffect,
    SessionMessage,
    StartTimer,
    StopTimer,
    TimerFired,
)
from engine.domain.ports import SessionGateway
from engine.domain.session import Session, SessionSettings
from engine.domain.values import AccountId, Reason, SessionName, SessionState

_LOG = log.get("actors/session")


class SessionActor(Shell):
    """One session: logs in, warms up, keeps alive, and gives turns."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        clock: Clock,
        switchboard: Switchboard,
        settings: SessionSettings,
        gateway: SessionGateway,
        on_accounts: Callable[[SessionName, Iterable[AccountId]], None],
    ) -> None:
        super().__init__(dispatcher=dispatcher, name=settings.name, clock=clock)
        self.session = Session(settings)
        self.since_ns = clock.wall_ns()
        self._switchboard = switchboard
        self._gateway = gateway
        self._on_accounts = on_accounts

    def on_receive(self, message: SessionMessage) -> None:
        """Let the machine decide, then do it."""
        if isinstance(message, CallFailed):
            self._observe_failure(message)
        for effect in self.session.handle(message, self.clock.monotonic_ns()):
            self.perform(effect)

    def perform(self, effect: SessionEffect) -> None:
        """Do one thing that the session asked for."""
        board, name = self._switchboard, self.session.settings.name
        match effect:
            case CallGateway():
                self._gateway.call(effect, lambda message: post(self.ref, message))
            case GrantTurn(granted=granted):
                board.grant_turn(granted)
            case RefuseTurn(refused=refused):
                board.tell_order(refused.order_id, refused)
            case ParkOrder(order_id=order_id):
                board.tell_order(order_id, TimerFired(name="park"))
            case OpenStream() | CloseStream():
                board.tell_feed(name, effect)
            case AnnounceSession(changed=changed):
                self._announce(changed)
            case DeliverNews():
                board.deliver(name, effect)
            case DeliverToRisk(account=account, message=message):
                board.tell_risk(account, message)
            case StartTimer():
                self.start_timer(effect)
            case StopTimer():
                self.stop_timer(effect)
            case ReportAnomaly():
                self.report(effect)
            case _:
                assert_never(effect)

    def close(self, reason: Reason) -> None:
        """Show the session as down, because it or its feed failed."""
        session = self.session
        session.state, session.reason = SessionState.DOWN, reason
        self._announce(
            SessionChanged(
                session=session.settings.name,
                state=session.state,
                ready=False,
                epoch=session.epoch,
                reason=reason,
            )
        )

    def _announce(self, changed: SessionChanged) -> None:
        self.since_ns = self.clock.wall_ns()
        reason = changed.reason
        _LOG.info(
            "session_changed",
            session=changed.session,
            state=changed.state,
            reason=None if reason is None else f"{reason.code}: {reason.message}",
        )
        for state in SessionState:
            metrics.SESSION_STATE.labels(changed.session, state).set(state is changed.state)
        metrics.SESSION_EPOCH.labels(changed.session).set(changed.epoch)
        # With `accounts: all` they are known only now.
        self._on_accounts(changed.session, self.session.accounts)
        for account in self.session.accounts:
            self._switchboard.tell_risk(account, changed)

    def _observe_failure(self, message: CallFailed) -> None:
        if message.call is SessionCall.TICKLE:
            metrics.TICKLE_FAILURES.labels(self.session.settings.name).inc()
        _LOG.warning(
            "gateway_call_failed",
            session=self.session.settings.name,
            call=message.call,
            kind=message.failure.kind,
            failure=message.failure.message,
        )
