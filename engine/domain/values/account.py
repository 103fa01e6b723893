"""What an account holds and owns."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from engine.domain.values.ids import (
    AccountId,
    ConId,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What an account holds of a contract; short is negative."""

    account: AccountId
    conid: ConId
    symbol: str
    quantity: Decimal
    average_price: Decimal | None
    market_price: Decimal | None
    market_value: Decimal | None
    unrealized_pnl: Decimal | None
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """An account's money as the broker's summary gives it; None where it gives nothing."""

    account: AccountId
    currency: str
    net_liquidation: Decimal | None
    available_funds: Decimal | None
    excess_liquidity: Decimal | None
    buying_power: Decimal | None = None
    initial_margin: Decimal | None = None
    maintenance_margin: Decimal | None = None
    gross_position_value: Decimal | None = None
    total_cash: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CashBalance:
    """One currency of an account's ledger; `BASE` is all of it in the account's currency."""

    currency: str
    cash: Decimal | None
    settled_cash: Decimal | None
    net_liquidation: Decimal | None
    exchange_rate: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfitAndLoss:
    """An account's running result as the broker streams it."""

    account: AccountId
    daily: Decimal | None
    unrealized: Decimal | None
    net_liquidation: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionBreak:
    """A holding that neither the orders nor the trades explain. Nothing is invented for it."""

    conid: ConId
    symbol: str
    expected: Decimal
    found: Decimal


class Reconciliation(StrEnum):
    """How an account stands against the broker.

    EXPLAINING is only shown, never written: something differs, and has the time in which
    executions may still explain it.
    """

    PENDING = "pending"
    CLEAN = "clean"
    EXPLAINING = "explaining"
    BREAKS = "breaks"
