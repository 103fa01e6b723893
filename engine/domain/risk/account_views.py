"""How an account and its positions are shown."""

from engine.domain.messages import SessionChanged
from engine.domain.risk.exposure import ZERO, Exposure
from engine.domain.risk.figures import Figures, age_ms
from engine.domain.risk.holdings import Holdings
from engine.domain.risk.reconcile import Reconciler
from engine.domain.values import AccountId, ConId, Reason, TradingState
from engine.domain.views import AccountView, PositionView


def account_view(
    account: AccountId,
    session: SessionChanged,
    *,
    trading_state: TradingState,
    ready: bool,
    reason: Reason | None,
    figures: Figures,
    reconciler: Reconciler,
    external_orders: int,
    now_ns: int,
) -> AccountView:
    """Show an account: may it trade, why not, and its money."""
    agreed_ns = reconciler.agreed_ns
    return AccountView(
        account=account,
        session=session.session,
        session_state=session.state,
        trading_state=trading_state,
        ready=ready,
        reason=reason,
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
        reconciliation=reconciler.shown,
        reconcile_step=reconciler.shown_step,
        reconciled_age_ms=None if agreed_ns is None else age_ms(agreed_ns, now_ns),
        breaks=reconciler.breaks,
        external_orders=external_orders,
    )


def position_view(
    account: AccountId,
    conid: ConId,
    holdings: Holdings,
    exposure: Exposure,
    *,
    symbol: str,
    now_ns: int,
) -> PositionView:
    """Show what is held of a contract; `symbol` is what orders call it."""
    quantity = holdings.quantities.get(conid, ZERO)
    position = holdings.position(conid)
    # What the broker worked out for another quantity is not true any more.
    valued = position if position and position.quantity == quantity else None
    read_ns = holdings.read_ns
    return PositionView(
        account=account,
        conid=conid,
        symbol=position.symbol if position else symbol,
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
