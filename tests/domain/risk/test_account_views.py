"""What an account's risk shows of itself."""

from dataclasses import replace
from decimal import Decimal

from engine.domain.messages import (
    FundsRead,
    OrderChanged,
    ProfitSeen,
)
from engine.domain.risk import AccountRisk
from engine.domain.values import (
    ConId,
    Funds,
    ProfitAndLoss,
    Reason,
    Reconciliation,
    SessionState,
    Side,
    TradingState,
)
from engine.domain.views import AccountView, Aged, PositionView
from tests.domain.risk.samples import (
    ACCOUNT,
    CONID,
    MINE,
    NOW_NS,
    READY,
    RECONCILED,
    SECOND,
    SELL,
    SESSION,
    filled,
    halt,
    limits,
    position,
    read,
    ready_risk,
    request,
    view,
)


def account_view(risk: AccountRisk, *, second: int = 0) -> AccountView:
    return risk.account_view(NOW_NS + second * SECOND)


def test_the_account_shows_its_money_with_its_age() -> None:
    risk = ready_risk()
    funds = Funds(
        account=ACCOUNT,
        currency="USD",
        net_liquidation=Decimal(1_000),
        available_funds=Decimal(900),
        excess_liquidity=None,
    )
    result = ProfitAndLoss(
        account=ACCOUNT, daily=Decimal(5), unrealized=None, net_liquidation=Decimal(1_005)
    )

    risk.handle(FundsRead(funds=funds, now_ns=NOW_NS))
    risk.handle(ProfitSeen(result=result, now_ns=NOW_NS + 2 * SECOND))
    risk.handle(FundsRead(funds=funds, now_ns=NOW_NS + SECOND))

    assert account_view(risk, second=3) == AccountView(
        account=ACCOUNT,
        session=SESSION,
        session_state=SessionState.READY,
        trading_state=TradingState.NORMAL,
        ready=True,
        reason=None,
        currency="USD",
        net_liquidation=Aged(value=Decimal(1_005), age_ms=1_000),
        available_funds=Aged(value=Decimal(900), age_ms=2_000),
        daily_pnl=Aged(value=Decimal(5), age_ms=1_000),
        unrealized_pnl=Aged(value=None, age_ms=None),
        reconciliation=Reconciliation.CLEAN,
        reconciled_age_ms=3_000,
    )


def test_an_account_says_why_it_is_not_ready() -> None:
    risk = AccountRisk(ACCOUNT, SESSION, limits(), file_error="bad")
    found = [account_view(risk)]
    for message in (
        replace(READY, ready=False, state=SessionState.WARMING),
        READY,
        replace(RECONCILED, step="orders", done=False),
        read(),
        RECONCILED,
        halt(MINE, TradingState.REDUCE_ONLY),
        halt(MINE, TradingState.CANCEL_ONLY),
    ):
        risk.handle(message)
        found.append(account_view(risk))

    by_ops = "account:DU1234567 halted by ops: drill"
    waits = "the account is not compared with the broker yet: waits for"
    assert [(shown.ready, shown.reason) for shown in found] == [
        (False, Reason(code="DOWN", message="the session has not started")),
        (False, Reason(code="WARMING", message="the session is not ready")),
        (False, Reason(code="ACCOUNT_NOT_RECONCILED", message=f"{waits} a login")),
        (False, Reason(code="ACCOUNT_NOT_RECONCILED", message=f"{waits} orders")),
        (False, Reason(code="ACCOUNT_NOT_RECONCILED", message=f"{waits} orders")),
        (True, None),
        (
            True,
            Reason(code="TRADING_REDUCE_ONLY", message=f"trading state reduce_only ({by_ops})"),
        ),
        (False, Reason(code="TRADING_HALTED", message=f"trading state cancel_only ({by_ops})")),
    ]
    assert risk.limits_view().file_error == "bad"


def test_positions_show_the_brokers_values_while_they_are_true() -> None:
    risk = ready_risk(position(10))
    risk.request(request(1))
    untouched = risk.position_views(NOW_NS + SECOND + 1)

    risk.handle(filled("a", 4, number=1, second=10))
    moved = risk.position_views(NOW_NS + 20 * SECOND)

    expected = PositionView(
        account=ACCOUNT,
        conid=CONID,
        symbol="AAPL",
        quantity=Decimal(10),
        lowest=Decimal(10),
        highest=Decimal(10),
        working_buy=Decimal(10),
        working_sell=Decimal(0),
        average_price=Decimal(90),
        market_price=Decimal(100),
        market_value=Decimal(1_000),
        unrealized_pnl=Decimal(100),
        currency="USD",
        age_ms=1_000,
    )
    assert untouched == (expected,)
    assert moved == (
        replace(
            expected,
            quantity=Decimal(14),
            lowest=Decimal(10),
            highest=Decimal(14),
            working_buy=Decimal(6),
            average_price=None,
            market_value=None,
            unrealized_pnl=None,
            age_ms=20_000,
        ),
    )


def test_positions_show_contracts_that_are_only_worked_or_only_filled() -> None:
    risk = AccountRisk(ACCOUNT, SESSION, limits())
    risk.handle(OrderChanged(view=view(1, replace(SELL, conid=ConId(8314), symbol="IBM"), seq=1)))
    risk.handle(filled("a", 4, second=1))

    shown = risk.position_views(NOW_NS)

    worked, held = shown
    assert (worked.conid, worked.symbol, worked.age_ms) == (ConId(8314), "IBM", None)
    assert (worked.quantity, worked.working_sell) == (Decimal(0), Decimal(10))
    assert (held.conid, held.symbol, held.age_ms) == (CONID, "", None)
    assert (held.quantity, held.working_sell) == (Decimal(4), Decimal(0))


def test_a_flat_contract_is_not_shown() -> None:
    risk = ready_risk(position(4))

    risk.handle(filled("a", 4, second=20, side=Side.SELL))

    assert risk.position_views(NOW_NS) == ()
