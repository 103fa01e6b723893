"""The actor of one account's risk."""

from functools import partial
from typing import Final, TypeAlias, assert_never

from engine import log, metrics
from engine.actors.mailbox import Dispatcher
from engine.actors.shell import Clock, Shell
from engine.actors.spawner import Spawner
from engine.actors.switchboard import Switchboard
from engine.domain.messages import (
    AccountReconciled,
    ChangeAnswer,
    FundsRead,
    PositionsRead,
    ProfitSeen,
    ReadAccount,
    ReconcileAccount,
    ReportAnomaly,
    RequestAnswer,
    RequestChange,
    RequestOrder,
    ResumeScope,
    SessionChanged,
    StartTimer,
    WriteReconciled,
)
from engine.domain.ports import Committed, Entry, NotCommitted
from engine.domain.risk import (
    AccountRisk,
    HaltAccount,
    ObserveChecks,
    RiskEffect,
    RiskMessage,
    StartDenied,
    StartOrder,
)
from engine.domain.values import Reconciliation, TradingState

_LOG = log.get("actors/risk")

_NS: Final = 1_000_000_000

_Heard: TypeAlias = RequestOrder | RequestChange | RiskMessage


class RiskActor(Shell):
    """One account: lets orders pass or refuses them, and knows what is reserved."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        clock: Clock,
        risk: AccountRisk,
        spawner: Spawner,
        switchboard: Switchboard,
    ) -> None:
        super().__init__(dispatcher=dispatcher, name=risk.account, clock=clock)
        self.risk = risk
        self._spawner = spawner
        self._switchboard = switchboard
        self._state_shown: TradingState | None = None

    def on_receive(self, message: _Heard) -> RequestAnswer | ChangeAnswer | None:
        """Let the machine decide, then do it; a request is answered at once."""
        answer: RequestAnswer | ChangeAnswer | None = None
        match message:
            case RequestOrder():
                answer, effects = self.risk.request(message)
            case RequestChange():
                answer, effects = self.risk.change(message)
            case _:
                effects = self.risk.handle(message)
        for effect in effects:
            self.perform(effect)
        self._show(message)
        return answer

    def _show(self, message: _Heard) -> None:
        label = metrics.account_label(self.risk.account)
        state = self.risk.trading_state
        if state is not self._state_shown:
            self._state_shown = state
            metrics.RISK_STATE.labels(label).set(state.strictness)
        now_ns = self.clock.monotonic_ns()
        match message:
            case FundsRead() | ProfitSeen():
                view = self.risk.account_view(now_ns)
                for gauge, figure in (
                    (metrics.NET_LIQUIDATION, view.net_liquidation),
                    (metrics.DAILY_PNL, view.daily_pnl),
                ):
                    if figure.value is not None:
                        gauge.labels(label).set(float(figure.value))
            case PositionsRead() | ReconcileAccount() | SessionChanged() | ResumeScope():
                view = self.risk.account_view(now_ns)
                pending = view.reconciliation is Reconciliation.PENDING
                metrics.ACCOUNT_RECONCILED.labels(label).set(not pending)
                metrics.RECONCILE_BREAKS.labels(label).set(len(view.breaks))
                if self.risk.agreed_ns is not None:
                    agreed_ns = self.clock.wall_ns() - (now_ns - self.risk.agreed_ns)
                    metrics.RECONCILED_TIMESTAMP.labels(label).set(agreed_ns / _NS)
            case _:
                pass

    def perform(self, effect: RiskEffect) -> None:
        """Do one thing that risk asked for."""
        match effect:
            case StartOrder(approved=approved, followers=followers):
                self._spawner.start_order(approved, followers)
            case StartDenied(denied=denied):
                self._spawner.start_denied(denied)
            case ObserveChecks() if effect.change or effect.verdicts[-1].reason is not None:
                self._observe(effect)
            case ObserveChecks():  # An order that passed is in a hurry.
                observe = partial(self.guarded, self._observe, effect)
                self.ref.dispatcher.afterwards.leave(observe)
            case WriteReconciled(reconciled=reconciled):
                self._write(reconciled)
            case HaltAccount():
                halt = self.risk.halt_of(effect)
                _LOG.error("account_breaks_found", account=self.risk.account, why=effect.reason)
                self._switchboard.halt(halt)
            case ReadAccount():
                self._switchboard.tell_session(self.risk.session, effect)
            case StartTimer():
                self.start_timer(effect)
            case ReportAnomaly():
                self.report(effect)
            case _:
                assert_never(effect)

    def _write(self, reconciled: AccountReconciled) -> None:
        _LOG.info(
            "account_reconciled",
            account=reconciled.account,
            session=reconciled.session,
            result=reconciled.result,
            orders=reconciled.orders,
            executions=reconciled.executions,
            breaks=len(reconciled.breaks),
        )
        entry = Entry(
            at_ns=self.clock.wall_ns(),
            account=reconciled.account,
            order_id=None,
            message=reconciled,
            session=reconciled.session,
        )
        self._switchboard.journal.append(entry, _written)

    def _observe(self, effect: ObserveChecks) -> None:
        label = metrics.account_label(effect.account)
        for verdict in effect.verdicts:
            if verdict.utilisation is not None:
                metrics.RISK_UTILISATION.labels(label, verdict.check).set(
                    float(verdict.utilisation)
                )
            if verdict.reason is not None:
                metrics.RISK_DENIALS.labels(label, verdict.check).inc()
                _LOG.warning(
                    "change_refused" if effect.change else "order_denied",
                    account=effect.account,
                    check=verdict.check,
                    code=verdict.reason.code,
                    why=verdict.reason.message,
                )


def _written(result: Committed | NotCommitted) -> None:
    """Without its record the next start compares with an older one; nothing is lost."""
    if isinstance(result, NotCommitted):
        _LOG.error("reconciliation_not_written", reason=result.reason.message)
