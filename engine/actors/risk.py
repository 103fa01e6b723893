"""The actor of one account's risk."""

from collections.abc import Callable
from typing import TypeAlias, assert_never

from engine import log, metrics
from engine.actors.mailbox import Dispatcher
from engine.actors.shell import Clock, Shell
from engine.actors.spawner import Spawner
from engine.domain.messages import (
    ChangeAnswer,
    FundsRead,
    ProfitSeen,
    ReadAccount,
    ReportAnomaly,
    RequestAnswer,
    RequestChange,
    RequestOrder,
    StartTimer,
)
from engine.domain.risk import (
    AccountRisk,
    ObserveChecks,
    RiskEffect,
    RiskMessage,
    StartDenied,
    StartOrder,
)

_LOG = log.get("actors/risk")

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
        read_account: Callable[[ReadAccount], None],
    ) -> None:
        super().__init__(dispatcher=dispatcher, name=risk.account, clock=clock)
        self.risk = risk
        self._spawner = spawner
        self._read_account = read_account

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
        metrics.RISK_STATE.labels(label).set(self.risk.trading_state.strictness)
        if isinstance(message, FundsRead | ProfitSeen):
            view = self.risk.account_view(self.clock.monotonic_ns())
            for gauge, figure in (
                (metrics.NET_LIQUIDATION, view.net_liquidation),
                (metrics.DAILY_PNL, view.daily_pnl),
            ):
                if figure.value is not None:
                    gauge.labels(label).set(float(figure.value))

    def perform(self, effect: RiskEffect) -> None:
        """Do one thing that risk asked for."""
        match effect:
            case StartOrder(approved=approved):
                self._spawner.start_order(approved)
            case StartDenied(denied=denied):
                self._spawner.start_denied(denied)
            case ObserveChecks():
                self._observe(effect)
            case ReadAccount():
                self._read_account(effect)
            case StartTimer():
                self.start_timer(effect)
            case ReportAnomaly():
                self.report(effect)
            case _:
                assert_never(effect)

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
