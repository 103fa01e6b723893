"""An account's money as the broker tells it, each figure with its age.

Rule 1: a figure that is older than the one that is kept changes nothing, and one that was
not told keeps what was known.
"""

from decimal import Decimal
from typing import Final

from engine.domain.messages import FundsRead, LedgerRead, ProfitSeen
from engine.domain.values import CashBalance
from engine.domain.views import NEVER, Aged

NS_PER_MS: Final = 1_000_000

_OF_FUNDS: Final = (
    "net_liquidation",
    "available_funds",
    "excess_liquidity",
    "buying_power",
    "initial_margin",
    "maintenance_margin",
    "gross_position_value",
    "total_cash",
)


class Figures:
    """The newest figures of one account."""

    def __init__(self) -> None:
        self.currency: str | None = None
        self.cash: tuple[CashBalance, ...] = ()
        self._cash_ns: int | None = None
        self._seen: dict[str, tuple[Decimal, int]] = {}

    def note_funds(self, message: FundsRead) -> None:
        """Take over a summary."""
        funds = message.funds
        self.currency = funds.currency or self.currency
        for name in _OF_FUNDS:
            self._note(name, getattr(funds, name), message.now_ns)

    def note_ledger(self, message: LedgerRead) -> None:
        """Take over the cash of every currency: a whole ledger, not a part of one."""
        if self._cash_ns is None or self._cash_ns <= message.now_ns:
            self.cash, self._cash_ns = message.balances, message.now_ns

    def note_profit(self, message: ProfitSeen) -> None:
        """Take over a running result."""
        result = message.result
        self._note("net_liquidation", result.net_liquidation, message.now_ns)
        self._note("daily_pnl", result.daily, message.now_ns)
        self._note("unrealized_pnl", result.unrealized, message.now_ns)

    def aged(self, name: str, now_ns: int) -> Aged:
        """Return a figure with its age."""
        if name not in self._seen:
            return NEVER
        value, seen_ns = self._seen[name]
        return Aged(value=value, age_ms=age_ms(seen_ns, now_ns))

    def cash_age_ms(self, now_ns: int) -> int | None:
        """Return the age of the ledger, None before the first."""
        return None if self._cash_ns is None else age_ms(self._cash_ns, now_ns)

    def _note(self, name: str, value: Decimal | None, now_ns: int) -> None:
        if value is not None and self._seen.get(name, (value, 0))[1] <= now_ns:
            self._seen[name] = (value, now_ns)


def age_ms(then_ns: int, now_ns: int) -> int:
    """Return the age in milliseconds, rounded up and never negative."""
    return max(-((then_ns - now_ns) // NS_PER_MS), 0)
