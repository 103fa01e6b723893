"""The risk of one account: who may send what, and what is reserved for it.

Rule 1: a request is checked and reserved in one step, so that two in a row can never both
pass on the same room. A key that was used before never makes a second order.

Rule 2: only an order's own durable news releases what it reserved, or that it never got
any and never will.

Rule 3: a message that was handled before, or that is older than one that was, changes
nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Final, TypeAlias, assert_never

from engine.domain.messages import (
    ChangeAnswer,
    ExternalWorking,
    FundsRead,
    HaltScope,
    LedgerRead,
    OrderChanged,
    OrderForgotten,
    PositionFilled,
    PositionsFilled,
    PositionsRead,
    ProfitSeen,
    ReconcileAccount,
    ReportAnomaly,
    RequestAnswer,
    RequestChange,
    RequestOrder,
    ResumeScope,
    SessionChanged,
    TimerFired,
)
from engine.domain.risk.account_views import account_view, position_view
from engine.domain.risk.approvals import Approvals
from engine.domain.risk.effects import (
    HaltAccount,
    LastReconciled,
    LimitsChanged,
    RiskEffect,
    RiskMessage,
)
from engine.domain.risk.exposure import ZERO, Exposure, Reservation
from engine.domain.risk.externals import NO_CONTRACT, Externals
from engine.domain.risk.figures import Figures
from engine.domain.risk.groups import measure
from engine.domain.risk.holdings import Holdings, span_of
from engine.domain.risk.limits import Limits, limits_view
from engine.domain.risk.moves import Executions
from engine.domain.risk.reconcile import TIMER, Reconciler
from engine.domain.risk.rereads import Rereads
from engine.domain.risk.reservations import Reservations
from engine.domain.risk.restrictions import Restrictions
from engine.domain.risk.verdict import Code
from engine.domain.values import (
    AccountId,
    ClientOrderId,
    ConId,
    OrderId,
    Reason,
    Reconciliation,
    Scope,
    SessionName,
    SessionState,
    Side,
    Ticket,
    TradingState,
)
from engine.domain.views import AccountView, LimitsView, OrderView, PositionView

Effects: TypeAlias = tuple[RiskEffect, ...]


class AccountRisk:
    """Everything that decides over one account's orders. It knows no clock and no socket."""

    def __init__(
        self,
        account: AccountId,
        session: SessionName,
        limits: Limits,
        *,
        file_error: str | None = None,
        ended_key: Callable[[ClientOrderId], tuple[OrderId, str] | None] = lambda _key: None,
    ) -> None:
        """`ended_key` finds the order of a key that is over for so long that it sleeps."""
        assert limits.account == account
        self.account: Final = account
        self.session: Final = session
        self._session = SessionChanged(
            session=session,
            state=SessionState.DOWN,
            ready=False,
            epoch=0,
            reason=Reason(code=SessionState.DOWN.value, message="the session has not started"),
        )
        self._restrictions = Restrictions(limits, file_error)
        self._executions = Executions()
        self._holdings = Holdings()
        self._rereads = Rereads(account, self._holdings)
        self._reservations = Reservations()
        self._reconciler = Reconciler(
            account, session, self._may_fill, self._reservations.is_currency
        )
        self._approvals = Approvals(
            self._restrictions,
            self._reservations,
            exposure=lambda conid, without: self.exposure(conid, without=without),
            standing=lambda: (self._session, self._reconciler.step),
            ended_key=ended_key,
        )
        self._externals = Externals(self._reservations.strange_quantity)
        self._figures = Figures()

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self._restrictions.limits

    def knows(self, key: ClientOrderId) -> bool:
        """True when this key's order is durable; then a request makes nothing new."""
        return self._approvals.knows(key)

    @property
    def trading_state(self) -> TradingState:
        """The strictest of the file and of the halts of the firm, the groups, the account."""
        return self._restrictions.strictest(None)[0]

    def is_halted(self, scope: Scope) -> bool:
        """True while exactly this scope is halted, by a person or by the engine."""
        return self._restrictions.is_halted(scope)

    def sending_refusal(self, ticket: Ticket) -> Reason | None:
        """Say why a ticket that was approved must not be sent any more, None when it may be.

        A halt that came while the order waited for its turn holds for it, too, and so does
        a new login that was not compared yet.
        """
        state, source = self._restrictions.strictest(ticket)
        if state in {TradingState.CANCEL_ONLY, TradingState.HALT}:
            text = f"account={self.account} trading_state={state} ({source})"
            return Reason(code=Code.TRADING_HALTED, message=text)
        if self.reconciliation is Reconciliation.PENDING:
            text = f"account={self.account} waits for {self._reconciler.step}"
            return Reason(code=Code.ACCOUNT_NOT_RECONCILED, message=text)
        return None

    @property
    def positions_known(self) -> bool:
        """True once the broker's holdings were read; before, nothing may be increased."""
        return self._holdings.known

    @property
    def reconciliation(self) -> Reconciliation:
        """How the account stands against the broker; nothing is sent while it is pending."""
        return self._reconciler.status

    @property
    def agreed_ns(self) -> int | None:
        """When the broker's last answer that agreed in everything was complete."""
        return self._reconciler.agreed_ns

    def request(self, message: RequestOrder) -> tuple[RequestAnswer, Effects]:
        """Approve and reserve, or deny; of a group all or none.

        A key that was used before has no effects at all.
        """
        assert message.ticket.account == self.account
        return self._approvals.request(message)

    def change(self, message: RequestChange) -> tuple[ChangeAnswer, Effects]:
        """Approve new terms and reserve the larger, or say why not. It denies no order."""
        assert message.view.account == self.account
        return self._approvals.change(message)

    def handle(self, message: RiskMessage) -> Effects:
        """Take the news and return what must be done; mostly nothing."""
        return tuple(self._react(message))

    def _react(self, message: RiskMessage) -> Iterator[RiskEffect]:
        match message:
            case OrderChanged(view=view):
                yield from self._follow(view)
            case OrderForgotten(order_id=order_id):
                yield from self._approvals.forget(order_id)
            case PositionFilled():
                yield from self._fill((message,))
            case PositionsFilled(fills=fills):
                yield from self._fill(fills)
            case ExternalWorking(row=row):
                assert row.account == self.account
                if not self._reservations.is_known(row.broker_order_id):
                    self._externals.take(message)
            case TimerFired() | PositionsRead() | ReconcileAccount() | LastReconciled():
                yield from self._compare(message)
            case FundsRead() | LedgerRead() | ProfitSeen():
                self._note_figures(message)
            case SessionChanged():
                self._session = message
                self._reconciler.begin(message.epoch)
            case LimitsChanged(limits=limits, file_error=file_error):
                assert limits.account == self.account
                self._restrictions.limits = limits
                self._restrictions.file_error = file_error
            case HaltScope():
                yield from self._restrictions.halt(message)
            case ResumeScope():
                yield from self._resume(message)
            case _:
                assert_never(message)

    def exposure(self, conid: ConId, *, without: OrderId | None = None) -> Exposure:
        """Return the account's standing in one contract, but for one order."""
        quantity = self._holdings.quantity(conid)
        doubt = self._holdings.doubt(conid)
        if quantity is not None:
            doubt = self._reconciler.doubt(conid, quantity, doubt)
        return measure(
            conid,
            quantity,
            (*self._reservations.open, *self._externals.open),
            doubt=doubt,
            without=without,
            members=self._reservations.members,
        )

    def _may_fill(self, conid: ConId) -> dict[Side, Decimal]:
        """Return what all open orders of a contract may fill, each for itself."""
        found = {Side.BUY: ZERO, Side.SELL: ZERO}
        for reservation in (*self._reservations.open, *self._externals.open):
            if reservation.conid == conid:
                found[reservation.side] += reservation.open_quantity
        return found

    def reservation(self, order_id: OrderId) -> Reservation | None:
        """Return what an order holds of the limits, None when there is no such order."""
        return self._reservations.get(order_id)

    def account_view(self, now_ns: int) -> AccountView:
        """Show the account. It is ready when at least reducing orders can be sent."""
        state = self.trading_state
        ready = (
            self._session.ready
            and self.positions_known
            and self.reconciliation is not Reconciliation.PENDING
            and state in (TradingState.NORMAL, TradingState.REDUCE_ONLY)
        )
        return account_view(
            self.account,
            self._session,
            trading_state=state,
            ready=ready,
            reason=self._obstacle(),
            figures=self._figures,
            reconciler=self._reconciler,
            external_orders=self._externals.count,
            now_ns=now_ns,
        )

    def position_views(self, now_ns: int) -> tuple[PositionView, ...]:
        """Show every contract that is held or worked, by conid."""
        held = self._holdings
        conids = {conid for conid, quantity in held.quantities.items() if quantity}
        conids |= held.doubted.union(self._reconciler.conids)
        conids |= {reservation.conid for reservation in self._reservations.open}
        conids |= {external.conid for external in self._externals.open} - {NO_CONTRACT}
        return tuple(
            position_view(
                self.account,
                conid,
                self._holdings,
                self.exposure(conid),
                symbol=self._symbol(conid),
                now_ns=now_ns,
            )
            for conid in sorted(conids)
        )

    def limits_view(self) -> LimitsView:
        """Show the limits in force, and why a newer file is not."""
        return limits_view(self.limits, self._restrictions.file_error)

    def _symbol(self, conid: ConId) -> str:
        theirs = (external.symbol for external in self._externals.open if external.conid == conid)
        return self._reservations.symbol(conid) or next(theirs, "")

    def _follow(self, view: OrderView) -> Iterator[RiskEffect]:
        assert view.account == self.account
        self._approvals.note_written(view.order_id)
        settled = ZERO
        if view.broker_order_id is not None:
            settled = self._externals.claim(view.broker_order_id)
        held = not self.positions_known
        if self._reservations.follow(view, held=held, settled=settled):
            yield from self._approvals.note_key(view)

    def _fill(self, fills: Iterable[PositionFilled]) -> Iterator[RiskEffect]:
        for fill in fills:
            assert fill.execution.account == self.account
            begun_ns = self._reservations.begun_ns(fill.execution)
            taken = self._executions.take(fill, begun_ns=begun_ns)
            if taken is not None:
                self._holdings.move(taken.moves)
                self._reconciler.move(taken.moves)
                self._reservations.fill(fill.execution, taken.grown)
        self._externals.after_fill()
        yield from self._rereads.after_fill()

    def _compare(
        self, message: TimerFired | PositionsRead | ReconcileAccount | LastReconciled
    ) -> Iterator[RiskEffect]:
        match message:
            case TimerFired(name=name):
                own = name == TIMER
                yield from self._reconciler.after_wait() if own else self._rereads.after_wait()
                return
            case PositionsRead():
                found = self._take_positions(message)
            case ReconcileAccount(account=account):
                assert account == self.account
                found = self._reconciler.follow(message)
            case LastReconciled():
                self._reconciler.restore(message)
                return
            case _:
                assert_never(message)
        for effect in found:
            if isinstance(effect, HaltAccount):
                # At once: a request may be next. Whoever performs it makes it durable.
                yield from self._restrictions.halt(self.halt_of(effect))
            yield effect

    def halt_of(self, effect: HaltAccount) -> HaltScope:
        """Return the halt of this account that the engine itself asks for."""
        return HaltScope(
            scope=self._restrictions.mine,
            level=TradingState.REDUCE_ONLY,
            reason=effect.reason,
            by="engine",
        )

    def _take_positions(self, message: PositionsRead) -> Iterator[RiskEffect]:
        assert message.account == self.account
        if self._holdings.is_news(message):
            if self._holdings.is_unsure(message):
                detail = f"a fill of {self.account} came while its positions were read"
                yield ReportAnomaly(machine="risk", kind="positions_unsure", detail=detail)
            else:
                self._holdings.replace(message)
            self._externals.after_read(span_of(message))
        yield from self._reconciler.compare(message)
        yield from self._rereads.after_read()

    def _resume(self, message: ResumeScope) -> Iterator[RiskEffect]:
        self._restrictions.resume(message.scope)
        if message.scope == self._restrictions.mine:
            yield from self._reconciler.accept()

    def _obstacle(self) -> Reason | None:
        """Return what stands in the way of an increasing order, None when nothing does."""
        if not self._session.ready:
            down = Reason(code=self._session.state.value, message="the session is not ready")
            return self._session.reason or down
        if step := self._reconciler.step:
            text = f"the account is not compared with the broker yet: waits for {step}"
            return Reason(code=Code.ACCOUNT_NOT_RECONCILED.value, message=text)
        state, source = self._restrictions.strictest(None)
        if state is not TradingState.NORMAL:
            reducing = state is TradingState.REDUCE_ONLY
            code = Code.TRADING_REDUCE_ONLY if reducing else Code.TRADING_HALTED
            return Reason(code=code.value, message=f"trading state {state} ({source})")
        return None

    def _note_figures(self, message: FundsRead | LedgerRead | ProfitSeen) -> None:
        match message:
            case FundsRead(funds=funds):
                assert funds.account == self.account
                self._figures.note_funds(message)
            case LedgerRead(account=account):
                assert account == self.account
                self._figures.note_ledger(message)
            case ProfitSeen(result=result):
                assert result.account == self.account
                self._figures.note_profit(message)
            case _:
                assert_never(message)
