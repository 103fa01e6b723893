"""The risk of one account: who may send what, and what is reserved for it.

Rule 1: a request is checked and reserved in one step, so that two in a row can never both
pass on the same room. A key that was used before never makes a second order.

Rule 2: only an order's own durable news releases what it reserved, or that it never got
any and never will.

Rule 3: a message that was handled before, or that is older than one that was, changes
nothing.
"""

from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Final, assert_never

from engine.domain.messages import (
    ChangeAnswer,
    DenyOrder,
    FundsRead,
    HaltScope,
    LedgerRead,
    OrderChanged,
    OrderForgotten,
    PositionFilled,
    PositionsFilled,
    PositionsRead,
    ProfitSeen,
    ReportAnomaly,
    RequestAnswer,
    RequestChange,
    RequestOrder,
    RequestVerdict,
    ResumeScope,
    SessionChanged,
    TimerFired,
)
from engine.domain.risk.checks import check_order
from engine.domain.risk.effects import (
    LimitsChanged,
    ObserveChecks,
    RiskEffect,
    RiskMessage,
    StartDenied,
    StartOrder,
)
from engine.domain.risk.exposure import ZERO, Exposure, Reservation, measure
from engine.domain.risk.figures import Figures, age_ms
from engine.domain.risk.holdings import Holdings
from engine.domain.risk.inputs import Former, Inputs, with_terms
from engine.domain.risk.limits import EXACT, Limits, limits_view
from engine.domain.risk.pricing import Missing
from engine.domain.risk.rereads import Rereads
from engine.domain.risk.reservations import Reservations
from engine.domain.risk.verdict import Code
from engine.domain.values import (
    LIVE,
    AccountId,
    ApprovedChange,
    ApprovedTicket,
    ClientOrderId,
    ConId,
    OrderId,
    Quote,
    Reason,
    Scope,
    ScopeKind,
    SessionName,
    SessionState,
    Terms,
    Ticket,
    TradingState,
)
from engine.domain.views import AccountView, LimitsView, OrderView, PositionView

Effects = tuple[RiskEffect, ...]

CHANGE_LOST_NS: Final = 60_000_000_000
"""A change that the order's news has not shown after so long never reached the order."""


class AccountRisk:
    """Everything that decides over one account's orders. It knows no clock and no socket."""

    def __init__(
        self,
        account: AccountId,
        session: SessionName,
        limits: Limits,
        *,
        file_error: str | None = None,
    ) -> None:
        assert limits.account == account
        self.account: Final = account
        self._session = SessionChanged(
            session=session,
            state=SessionState.DOWN,
            ready=False,
            epoch=0,
            reason=Reason(code=SessionState.DOWN.value, message="the session has not started"),
        )
        self._limits = limits
        self._file_error = file_error
        self._halts: dict[Scope, HaltScope] = {}
        self._holdings = Holdings()
        self._rereads = Rereads(account, self._holdings)
        self._keys: dict[ClientOrderId, tuple[OrderId, str]] = {}
        self._unwritten: dict[OrderId, ClientOrderId] = {}
        self._reservations = Reservations()
        self._figures = Figures()

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self._limits

    def knows(self, key: ClientOrderId) -> bool:
        """True when this key's order is durable; then a request makes nothing new."""
        known = self._keys.get(key)
        return known is not None and known[0] not in self._unwritten

    @property
    def trading_state(self) -> TradingState:
        """The strictest of the file and of the halts of the firm, the groups, the account."""
        return self._strictest(None)[0]

    def is_halted(self, scope: Scope) -> bool:
        """True while exactly this scope is halted, by a person or by the engine."""
        return scope in self._halts

    def sending_refusal(self, ticket: Ticket) -> Reason | None:
        """Say why a ticket that was approved must not be sent any more, None when it may be.

        A halt that came while the order waited for its turn holds for it, too.
        """
        state, source = self._strictest(ticket)
        if state in {TradingState.CANCEL_ONLY, TradingState.HALT}:
            text = f"account={self.account} trading_state={state} ({source})"
            return Reason(code=Code.TRADING_HALTED, message=text)
        return None

    @property
    def positions_known(self) -> bool:
        """True once the broker's holdings were read; before, nothing may be increased."""
        return self._holdings.known

    def request(self, message: RequestOrder) -> tuple[RequestAnswer, Effects]:
        """Approve and reserve, or deny. A key that was used before has no effects at all."""
        ticket = message.ticket
        assert ticket.account == self.account
        if known := self._keys.get(ticket.client_order_id):
            order_id, request_sha256 = known
            same = request_sha256 == message.request_sha256
            verdict = RequestVerdict.REPEATED if same else RequestVerdict.CONFLICT
            return RequestAnswer(verdict=verdict, order_id=order_id), ()
        inputs = self._inputs(message)
        verdicts = check_order(inputs)
        observe = ObserveChecks(account=self.account, verdicts=verdicts)
        self._keys[ticket.client_order_id] = (message.order_id, message.request_sha256)
        self._unwritten[message.order_id] = ticket.client_order_id
        if reason := verdicts[-1].reason:
            answer = RequestAnswer(verdict=RequestVerdict.DENIED, order_id=message.order_id)
            return answer, (observe, StartDenied(denied=_deny(message, reason)))
        with localcontext(EXACT):
            units = inputs.units
        assert not isinstance(units, Missing), "an order without a quantity passed its checks"
        self._reservations.reserve(message, units)
        answer = RequestAnswer(verdict=RequestVerdict.APPROVED, order_id=message.order_id)
        approved = self._approve(message, ZERO if ticket.cash_quantity is None else units)
        return answer, (observe, StartOrder(approved=approved))

    def change(self, message: RequestChange) -> tuple[ChangeAnswer, Effects]:
        """Approve new terms and reserve the larger, or say why not. It denies no order."""
        view = message.view
        assert view.account == self.account
        reservation = self._reservations.get(view.order_id)
        refused = self._unchangeable(message, reservation)
        if refused is not None or reservation is None:
            return ChangeAnswer(refused=refused, change=None), ()
        verdicts = check_order(self._inputs_of_change(message, reservation))
        observe = ObserveChecks(account=self.account, verdicts=verdicts, change=True)
        if reason := verdicts[-1].reason:
            return ChangeAnswer(refused=reason, change=None), (observe,)
        self._reservations.change(view.order_id, message.terms, message.now_ns)
        change = ApprovedChange(
            order_id=view.order_id,
            terms=message.terms,
            policy_hash=self._limits.policy_hash,
            by=message.by,
        )
        return ChangeAnswer(refused=None, change=change), (observe,)

    def handle(self, message: RiskMessage) -> Effects:
        """Take the news and return what must be done; mostly nothing."""
        match message:
            case OrderChanged(view=view):
                return self._follow(view)
            case OrderForgotten(order_id=order_id):
                return self._forget(order_id)
            case PositionFilled():
                return self._fill((message,))
            case PositionsFilled(fills=fills):
                return self._fill(fills)
            case PositionsRead():
                return (*self._replace_positions(message), *self._rereads.after_read())
            case TimerFired():
                return self._rereads.after_wait()
            case FundsRead() | LedgerRead() | ProfitSeen():
                self._note_figures(message)
            case SessionChanged():
                self._session = message
            case LimitsChanged(limits=limits, file_error=file_error):
                assert limits.account == self.account
                self._limits, self._file_error = limits, file_error
            case HaltScope():
                return self._halt(message)
            case ResumeScope():
                self._halts.pop(message.scope, None)
            case _:
                assert_never(message)
        return ()

    def exposure(self, conid: ConId, *, without: OrderId | None = None) -> Exposure:
        """Return the account's standing in one contract, but for one order."""
        return measure(
            conid,
            self._holdings.quantity(conid),
            self._reservations.open,
            doubt=self._holdings.doubt(conid),
            without=without,
        )

    def account_view(self, now_ns: int) -> AccountView:
        """Show the account. It is ready when at least reducing orders can be sent."""
        figures = self._figures
        return AccountView(
            account=self.account,
            session=self._session.session,
            session_state=self._session.state,
            trading_state=self.trading_state,
            ready=self._session.ready
            and self.positions_known
            and self.trading_state in (TradingState.NORMAL, TradingState.REDUCE_ONLY),
            reason=self._obstacle(),
            currency=figures.currency,
            net_liquidation=figures.aged("net_liquidation", now_ns),
            available_funds=figures.aged("available_funds", now_ns),
            daily_pnl=figures.aged("daily_pnl", now_ns),
            unrealized_pnl=figures.aged("unrealized_pnl", now_ns),
            excess_liquidity=figures.aged("excess_liquidity", now_ns),
            buying_power=figures.aged("buying_power", now_ns),
            initial_margin=figures.aged("initial_margin", now_ns),
            maintenance_margin=figures.aged("maintenance_margin", now_ns),
            gross_position_value=figures.aged("gross_position_value", now_ns),
            total_cash=figures.aged("total_cash", now_ns),
            cash=figures.cash,
            cash_age_ms=figures.cash_age_ms(now_ns),
        )

    def position_views(self, now_ns: int) -> tuple[PositionView, ...]:
        """Show every contract that is held or worked, by conid."""
        held = self._holdings
        conids = {conid for conid, quantity in held.quantities.items() if quantity}
        conids |= held.doubted
        conids |= {reservation.conid for reservation in self._reservations.open}
        return tuple(self._position_view(conid, now_ns) for conid in sorted(conids))

    def limits_view(self) -> LimitsView:
        """Show the limits in force, and why a newer file is not."""
        return limits_view(self._limits, self._file_error)

    def _inputs(self, message: RequestOrder) -> Inputs:
        state, source = self._strictest(message.ticket)
        return Inputs(
            ticket=message.ticket,
            instrument=message.instrument,
            quote=message.quote,
            quote_age_ms=_quote_age_ms(message.quote, message.now_ns),
            limits=self._limits,
            exposure=self.exposure(message.ticket.conid),
            session_ready=self._session.ready,
            session_reason=self._session.reason,
            trading_state=state,
            trading_source=source,
            obstacle=message.obstacle,
        )

    def _inputs_of_change(self, message: RequestChange, reservation: Reservation) -> Inputs:
        """Return the order with its new terms, as if it were new and the old one gone."""
        view = message.view
        state, source = self._strictest(message.ticket)
        return Inputs(
            ticket=with_terms(message.ticket, message.terms),
            instrument=message.instrument,
            quote=message.quote,
            quote_age_ms=_quote_age_ms(message.quote, message.now_ns),
            limits=self._limits,
            exposure=self.exposure(view.conid, without=view.order_id),
            session_ready=self._session.ready,
            session_reason=self._session.reason,
            trading_state=state,
            trading_source=source,
            former=Former(
                terms=Terms(
                    quantity=view.quantity,
                    limit_price=view.limit_price,
                    stop_price=view.stop_price,
                ),
                filled_quantity=max(reservation.filled_quantity, reservation.told_quantity),
                held_quantity=reservation.held_quantity,
                units_max=view.quantity_max,
            ),
        )

    def _unchangeable(
        self, message: RequestChange, reservation: Reservation | None
    ) -> Reason | None:
        """Say why the order takes no change now, whatever its terms."""
        view = message.view
        if reservation is None or reservation.terminal or view.state not in LIVE:
            text = f"order {view.order_id} is {view.state}, only a live order can be modified"
            return Reason(code=Code.NOT_MODIFIABLE, message=text)
        since_ns = self._reservations.changing_since_ns(view.order_id)
        if since_ns is None and view.wanted is None:
            return None
        lost = since_ns is not None and message.now_ns - since_ns >= CHANGE_LOST_NS
        if lost and view.wanted is None and not self._reservations.is_change_seen(view.order_id):
            return None  # What it reserved stays reserved; see `Reservations`.
        text = f"order {view.order_id} has a modify that is not settled yet"
        return Reason(code=Code.REPLACE_PENDING, message=text)

    def _approve(self, message: RequestOrder, units_max: Decimal) -> ApprovedTicket:
        return ApprovedTicket(
            ticket=message.ticket,
            order_id=message.order_id,
            coid=message.coid,
            session=self._session.session,
            questions=self._limits.questions,
            policy_hash=self._limits.policy_hash,
            request_sha256=message.request_sha256,
            quantity_max=units_max,
        )

    def _follow(self, view: OrderView) -> Effects:
        assert view.account == self.account
        self._unwritten.pop(view.order_id, None)
        if not self._reservations.follow(view, held=not self.positions_known):
            return ()
        key = (view.order_id, view.request_sha256)
        if self._keys.setdefault(view.client_order_id, key) == key:
            return ()
        detail = f"order {view.order_id} has the key {view.client_order_id!r} of another order"
        return (ReportAnomaly(machine="risk", kind="key_used_twice", detail=detail),)

    def _forget(self, order_id: OrderId) -> Effects:
        key = self._unwritten.get(order_id)
        reservation = self._reservations.get(order_id)
        if reservation is not None and (key is None or reservation.told_quantity):
            what = f"filled {reservation.told_quantity}" if key else f"record {reservation.seq}"
            detail = f"order {order_id} was to be forgotten, but the account has its {what}"
            return (ReportAnomaly(machine="risk", kind="forgotten_too_late", detail=detail),)
        if key is not None:
            del self._unwritten[order_id]
            del self._keys[key]
            self._reservations.forget(order_id)
        return ()

    def _fill(self, fills: tuple[PositionFilled, ...]) -> Effects:
        for fill in fills:
            assert fill.execution.account == self.account
            grown = self._holdings.fill(fill)
            if grown is not None:
                self._reservations.fill(fill.execution, grown)
        return self._rereads.after_fill()

    def _replace_positions(self, message: PositionsRead) -> Effects:
        assert message.account == self.account
        if not self._holdings.is_news(message):
            return ()
        if self._holdings.is_unsure(message):
            detail = f"a fill of {self.account} came while its positions were read"
            return (ReportAnomaly(machine="risk", kind="positions_unsure", detail=detail),)
        breaks = self._holdings.replace(message)
        return tuple(
            ReportAnomaly(
                machine="risk",
                kind="position_differs",
                detail=(
                    f"account={self.account} conid={found.conid}"
                    f" counted={found.counted} broker={found.broker}"
                ),
            )
            for found in breaks
        )

    def _halt(self, message: HaltScope) -> Effects:
        if message.level is TradingState.NORMAL:
            detail = f"a halt of {message.scope} to normal, only a resume lifts one"
            return (ReportAnomaly(machine="risk", kind="halt_to_normal", detail=detail),)
        latched = self._halts.get(message.scope)
        if latched is None or message.level.strictness > latched.level.strictness:
            self._halts[message.scope] = message
        return ()

    def _strictest(self, ticket: Ticket | None) -> tuple[TradingState, str]:
        """Return the state that applies, and who or what says so."""
        source = f"trading_state, {self._limits.source('trading_state')}"
        found = (self._limits.trading_state, source)
        for scope in self._scopes(ticket):
            halt = self._halts.get(scope)
            if halt is not None and halt.level.strictness > found[0].strictness:
                found = (halt.level, f"{scope} halted by {halt.by}: {halt.reason}")
        return found

    def _scopes(self, ticket: Ticket | None) -> Iterator[Scope]:
        yield Scope(kind=ScopeKind.FIRM)
        for group in self._limits.groups:
            yield Scope(kind=ScopeKind.GROUP, key=group)
        yield Scope(kind=ScopeKind.ACCOUNT, key=self.account)
        if ticket is not None:
            yield Scope(kind=ScopeKind.INSTRUMENT, key=str(ticket.conid))
            if ticket.strategy is not None:
                yield Scope(kind=ScopeKind.STRATEGY, key=ticket.strategy)

    def _obstacle(self) -> Reason | None:
        """Return what stands in the way of an increasing order, None when nothing does."""
        if not self._session.ready:
            down = Reason(code=self._session.state.value, message="the session is not ready")
            return self._session.reason or down
        state, source = self._strictest(None)
        if state is not TradingState.NORMAL:
            reducing = state is TradingState.REDUCE_ONLY
            code = Code.TRADING_REDUCE_ONLY if reducing else Code.TRADING_HALTED
            return Reason(code=code.value, message=f"trading state {state} ({source})")
        if not self.positions_known:
            return Reason(code=Code.POSITION_UNKNOWN.value, message="positions were not read yet")
        return None

    def _position_view(self, conid: ConId, now_ns: int) -> PositionView:
        exposure = self.exposure(conid)
        quantity = self._holdings.quantities.get(conid, ZERO)
        position = self._holdings.position(conid)
        # What the broker worked out for another quantity is not true any more.
        valued = position if position and position.quantity == quantity else None
        read_ns = self._holdings.read_ns
        return PositionView(
            account=self.account,
            conid=conid,
            symbol=position.symbol if position else self._reservations.symbol(conid),
            quantity=quantity,
            lowest=quantity - exposure.doubt.below,
            highest=quantity + exposure.doubt.above,
            working_buy=exposure.working_buy,
            working_sell=exposure.working_sell,
            average_price=valued.average_price if valued else None,
            market_price=position.market_price if position else None,
            market_value=valued.market_value if valued else None,
            unrealized_pnl=valued.unrealized_pnl if valued else None,
            currency=(position.currency or None) if position else None,
            age_ms=None if read_ns is None else age_ms(read_ns, now_ns),
        )

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


def _deny(message: RequestOrder, reason: Reason) -> DenyOrder:
    return DenyOrder(
        order_id=message.order_id,
        ticket=message.ticket,
        reason=reason,
        request_sha256=message.request_sha256,
    )


def _quote_age_ms(quote: Quote | None, now_ns: int) -> int | None:
    return None if quote is None else age_ms(quote.received_ns, now_ns)
