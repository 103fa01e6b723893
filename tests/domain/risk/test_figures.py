"""An account's money: the newest of each figure, with its age."""

from decimal import Decimal

from engine.domain.messages import FundsRead, LedgerRead
from engine.domain.risk.figures import Figures, age_ms
from engine.domain.values import AccountId, CashBalance, Funds
from engine.domain.views import NEVER, Aged

ACCOUNT = AccountId("DU1234567")
MS = 1_000_000


def funds(total_cash: int | None, *, at_ms: int) -> FundsRead:
    told = Funds(
        account=ACCOUNT,
        currency="USD",
        net_liquidation=None,
        available_funds=None,
        excess_liquidity=Decimal(7),
        total_cash=None if total_cash is None else Decimal(total_cash),
    )
    return FundsRead(funds=told, now_ns=at_ms * MS)


def ledger(cash: int, *, at_ms: int) -> LedgerRead:
    balance = CashBalance(
        currency="EUR",
        cash=Decimal(cash),
        settled_cash=None,
        net_liquidation=None,
        exchange_rate=None,
    )
    return LedgerRead(account=ACCOUNT, balances=(balance,), now_ns=at_ms * MS)


def test_an_older_figure_and_a_missing_one_change_nothing() -> None:
    figures = Figures()

    figures.note_funds(funds(100, at_ms=10))
    figures.note_funds(funds(90, at_ms=9))
    figures.note_funds(funds(None, at_ms=20))

    assert figures.aged("total_cash", 30 * MS) == Aged(value=Decimal(100), age_ms=20)
    assert figures.aged("excess_liquidity", 30 * MS) == Aged(value=Decimal(7), age_ms=10)
    assert figures.aged("buying_power", 30 * MS) == NEVER


def test_the_newest_ledger_is_the_whole_of_it() -> None:
    figures = Figures()
    before = (figures.cash, figures.cash_age_ms(0))

    figures.note_ledger(ledger(5, at_ms=10))
    figures.note_ledger(ledger(4, at_ms=9))

    assert before == ((), None)
    assert figures.cash == ledger(5, at_ms=10).balances
    assert figures.cash_age_ms(12 * MS) == 2


def test_an_age_is_rounded_up_and_never_negative() -> None:
    assert age_ms(0, 1) == 1
    assert age_ms(5, 0) == 0
