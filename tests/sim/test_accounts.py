from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from engine.sim.accounts import STARTING_CASH, Account, Position, commission_for
from engine.sim.catalogue import catalogue

BY_CONID = {row.conid: row for row in catalogue()}
AAPL, ES, EURO = (BY_CONID[conid] for conid in (265598, 515416632, 12087792))
EUROPEAN = next(row for row in catalogue() if row.currency == "EUR")
NOTHING = Decimal(0)


def trade(account: Account, quantity: int, price: str, commission: str = "0") -> None:
    account.trade(
        AAPL,
        signed_quantity=Decimal(quantity),
        price=Decimal(price),
        commission=Decimal(commission),
    )


def test_a_purchase_moves_cash_into_a_position() -> None:
    account = Account(account_id="DU1")

    trade(account, 10, "100", commission="1")

    assert account.cash == STARTING_CASH - 1001
    assert account.positions[AAPL.conid] == Position(
        quantity=Decimal(10), average_price=Decimal(100), realized=Decimal(-1)
    )


def test_a_sale_through_zero_realises_the_long_and_opens_a_short() -> None:
    account = Account(account_id="DU1")

    trade(account, 10, "100")
    trade(account, 10, "110")
    trade(account, -30, "120")

    assert account.positions[AAPL.conid] == Position(
        quantity=Decimal(-10), average_price=Decimal(120), realized=Decimal(300)
    )


def test_a_future_moves_cash_by_its_profit_only() -> None:
    account = Account(account_id="DU1")

    for quantity, price in ((2, "6800"), (-2, "6810")):
        account.trade(
            ES, signed_quantity=Decimal(quantity), price=Decimal(price), commission=NOTHING
        )

    assert account.cash == STARTING_CASH + 2 * 10 * 50


def test_a_currency_pair_moves_two_cash_balances_and_is_worth_nothing_on_top() -> None:
    account = Account(account_id="DU1")
    rates = {"EUR": Decimal("1.1"), "USD": Decimal(1)}

    account.trade(EURO, signed_quantity=Decimal(10_000), price=Decimal("1.1"), commission=NOTHING)
    values = account.valuation(lambda _: Decimal("1.1"), BY_CONID.__getitem__, rates.__getitem__)

    assert (account.cash, account.foreign) == (STARTING_CASH - 11_000, {"EUR": Decimal(10_000)})
    assert (values.net_liquidation, values.cash) == (STARTING_CASH, STARTING_CASH)
    assert values.gross_position == 0


def test_a_stock_in_another_currency_is_paid_in_it_and_valued_in_dollars() -> None:
    account = Account(account_id="DU1")
    rates = {"EUR": Decimal("1.1"), "USD": Decimal(1)}

    account.trade(EUROPEAN, signed_quantity=Decimal(10), price=Decimal(80), commission=NOTHING)
    values = account.valuation(lambda _: Decimal(90), BY_CONID.__getitem__, rates.__getitem__)

    assert (account.cash, account.foreign) == (STARTING_CASH, {"EUR": Decimal(-800)})
    assert values.net_liquidation == STARTING_CASH + 100 * Decimal("1.1")


def test_the_minimum_commission_of_an_order_is_charged_once() -> None:
    first = commission_for(AAPL, NOTHING, Decimal(100))
    second = commission_for(AAPL, Decimal(100), Decimal(100))
    third = commission_for(AAPL, Decimal(200), Decimal(100))

    assert (first, second, third) == (Decimal(1), Decimal(0), Decimal("0.5"))


@given(
    st.lists(
        st.tuples(st.integers(-500, 500).filter(bool), st.integers(1, 50_000)),
        max_size=30,
    )
)
def test_net_liquidation_is_what_the_trades_paid(trades: list[tuple[int, int]]) -> None:
    account = Account(account_id="DU1")
    paid, held = Decimal(0), Decimal(0)

    for quantity, cents in trades:
        price = Decimal(cents) / 100
        trade(account, quantity, str(price), commission="1")
        paid += quantity * price + 1
        held += quantity

    values = account.valuation(lambda _: Decimal(200), BY_CONID.__getitem__)
    assert values.cash == STARTING_CASH - paid
    assert values.net_liquidation == STARTING_CASH - paid + held * 200
    assert abs(values.daily - (values.net_liquidation - STARTING_CASH)) < Decimal("1e-12")
