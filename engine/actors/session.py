"""The actor of one gateway session."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, assert_never

from engine import log, metrics
from engine.actors.mailbox import Dispatcher
from engine.actors.shell import Clock, Shell, post
from engine.actors.switchboard import Switchboard
from engine.domain.messages import (
    AccountReconciled,
    AnnounceSession,
    CallFailed,
    CallGateway,
    CloseStream,
    DeliverNews,
    DeliverToRisk,
    GrantTurn,
    LoginGuarded,
    OpenStream,
    OrderParked,
    OrderProvenAbsent,
    ParkOrder,
    ProveAbsent,
    ReconcileAccount,
    RefreshStream,
    RefuseTurn,
    ReportAnomaly,
    SessionCall,
    SessionChanged,
    SessionMessage,
    StartTimer,
    StopTimer,
    TimerFired,
    WriteGuard,
    WriteReconciled,
)
from engine.domain.ports import Committed, Entry, NotCommitted, SessionGateway
from engine.domain.session import Effect, MissOrder, ObserveVisibility, Session, SessionSettings
from engine.domain.values import AccountId, Reason, SessionName, SessionState

_LOG = log.get("actors/session")

_MUTE_TOPICS: Final = {"sor_silent": "sor", "str_silent": "str"}


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
        self._login_shown: tuple[int | None, bool, int] | None = None

    def on_receive(self, message: SessionMessage) -> None:
        """Let the machine decide, then do it."""
        if isinstance(message, CallFailed):
            self._observe_failure(message)
        was_overdue, accounts = self.session.login_overdue, self.session.accounts
        now_ns, wall_ns = self.clock.monotonic_ns(), self.clock.wall_ns()
        effects = self.session.handle(message, now_ns, wall_ns)
        if self.session.accounts != accounts:
            # With `accounts: all` they are known only now, and something may be for them.
            self._on_accounts(self.session.settings.name, self.session.accounts)
        for effect in effects:
            self.perform(effect)
        self._show_login(was_overdue=was_overdue)

    def perform(self, effect: Effect) -> None:
        """Do one thing that the session asked for."""
        board, name = self._switchboard, self.session.settings.name
        match effect:
            case CallGateway():
                self._gateway.call(effect, lambda message: post(self.ref, message))
            case GrantTurn() | RefuseTurn() | ParkOrder() | ProveAbsent() | MissOrder():
                self._tell_order(effect)
            case OpenStream() | CloseStream() | RefreshStream():
                board.tell_feed(name, effect)
            case AnnounceSession(changed=changed):
                self._announce(changed)
            case WriteGuard() | WriteReconciled():
                self._write(effect)
            case DeliverNews():
                board.deliver(name, effect)
            case DeliverToRisk():
                self._deliver_to_risk(effect)
            case ObserveVisibility(view=view, after_ms=after_ms):
                metrics.VISIBILITY_SECONDS.labels(name, view).observe(after_ms / 1_000)
            case StartTimer():
                self.start_timer(effect)
            case StopTimer():
                self.stop_timer(effect)
            case ReportAnomaly():
                self.report(effect)
                if (topic := _MUTE_TOPICS.get(effect.kind)) is not None:
                    metrics.STREAM_DIVERGENCE.labels(name, topic).inc()
            case _:
                assert_never(effect)

    def _tell_order(
        self, effect: GrantTurn | RefuseTurn | ParkOrder | ProveAbsent | MissOrder
    ) -> None:
        board = self._switchboard
        match effect:
            case GrantTurn(granted=granted):
                board.grant_turn(granted)
            case RefuseTurn(refused=refused):
                board.tell_order(refused.order_id, refused)
            case ParkOrder(order_id=order_id):
                board.tell_order(order_id, _parked(effect))
            case ProveAbsent(order_id=order_id, evidence=evidence):
                _LOG.info("order_proven_absent", order_id=order_id, list_reads=evidence.list_reads)
                board.tell_order(order_id, OrderProvenAbsent(order_id=order_id, evidence=evidence))
            case MissOrder(order_id=order_id):
                _LOG.warning("order_not_listed", order_id=order_id)
                board.tell_order(order_id, TimerFired(name="unseen"))
            case _:
                assert_never(effect)

    def _deliver_to_risk(self, effect: DeliverToRisk) -> None:
        board, name = self._switchboard, self.session.settings.name
        # With `accounts: all` another session may show an account, too; one trades it.
        is_ours = board.session_of.get(effect.account) == name
        if is_ours or not isinstance(effect.message, ReconcileAccount):
            board.tell_risk(effect.account, effect.message)

    def close(self, reason: Reason) -> None:
        """Show the session as down, because it or its feed failed."""
        self._announce(self.session.fail(reason))

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
        self._on_accounts(changed.session, self.session.accounts)
        for account in self.session.accounts:
            # With `accounts: all` another session may show an account, too; one trades it.
            if self._switchboard.session_of.get(account) == changed.session:
                self._switchboard.tell_risk(account, changed)

    def _write(self, effect: WriteGuard | WriteReconciled) -> None:
        name, account = self.session.settings.name, None
        match effect:
            case WriteGuard(guard=guard):
                _LOG.warning(
                    "login_guarded",
                    session=name,
                    failures=guard.failures,
                    taken_over=guard.taken_over,
                    latched=guard.latched,
                    reason=guard.reason,
                )
                message: LoginGuarded | AccountReconciled = guard
            case WriteReconciled(reconciled=reconciled):
                message, account = reconciled, reconciled.account
            case _:
                assert_never(effect)
        entry = Entry(
            at_ns=self.clock.wall_ns(),
            account=account,
            order_id=None,
            message=message,
            session=name,
        )
        self._switchboard.journal.append(entry, partial(_written, name, account))

    def _show_login(self, *, was_overdue: bool) -> None:
        session, name = self.session, self.session.settings.name
        by_ns = session.login_by_ns
        shown = (by_ns, session.login_overdue, session.login_failures)
        if shown == self._login_shown:
            return
        self._login_shown = shown
        # Without a deadline there is no number, and nothing compares with none.
        deadline_s = math.nan if by_ns is None else by_ns / 1e9
        metrics.SESSION_LOGIN_DEADLINE.labels(name).set(deadline_s)
        metrics.SESSION_LOGIN_OVERDUE.labels(name).set(session.login_overdue)
        metrics.SESSION_LOGIN_FAILURES.labels(name).set(session.login_failures)
        if session.login_overdue and not was_overdue:
            reason = None if session.reason is None else session.reason.message
            _LOG.error("login_overdue", session=name, state=session.state, reason=reason)

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


def _parked(effect: ParkOrder) -> OrderParked:
    """Say in words what was looked at, and what a proof lacks."""
    evidence = effect.evidence
    text = (
        "the broker neither showed the order nor proved its absence in "
        f"{effect.healthy_ms // 1_000} s; a person must look"
    )
    if evidence is not None and evidence.missing:
        text = f"{text}: {'; '.join(evidence.missing)}"
    reason = Reason(code="NO_PROOF", message=text)
    return OrderParked(order_id=effect.order_id, reason=reason, evidence=evidence)


def _written(
    session: SessionName, account: AccountId | None, result: Committed | NotCommitted
) -> None:
    """It is in force already; only a restart would forget it."""
    if not isinstance(result, NotCommitted):
        return
    if account is None:
        _LOG.error("login_guard_not_written", session=session, reason=result.reason.message)
    else:
        _LOG.error("reconciliation_not_written", account=account, reason=result.reason.message)
