"""What one contract of the simulated venue is.

Rule: a conid is either the broker's real one or above `FICTITIOUS_CONID_MIN`,
and a fictitious instrument says so in its name.
"""

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

FICTITIOUS_CONID_MIN: Final = 900_000_001
CENT: Final = Decimal("0.01")
_MONTHS: Final = (
    "JAN",
    "FEB",
    "MAR",
    "APR",
    "MAY",
    "JUN",
    "JUL",
    "AUG",
    "SEP",
    "OCT",
    "NOV",
    "DEC",
)
_FUTURE_LETTERS: Final = "FGHJKMNQUVXZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One contract that can be quoted and, unless it is an index, traded.

    `increments` are the tick sizes by the price they start at; without any,
    `tick` is the only one. `strike` and `right` are those of an option,
    `expiry` is that of an option or a future as `yyyymmdd`.
    """

    conid: int
    symbol: str
    name: str
    sec_type: str
    exchange: str
    start_price: Decimal
    currency: str = "USD"
    tick: Decimal = CENT
    increments: tuple[tuple[Decimal, Decimal], ...] = ()
    size_increment: Decimal = Decimal(1)
    multiplier: Decimal = Decimal(1)
    expiry: str | None = None
    underlying_conid: int = 0
    strike: Decimal | None = None
    right: str | None = None
    overnight: bool = False

    @property
    def fictitious(self) -> bool:
        """True when the broker has no such contract."""
        return self.conid >= FICTITIOUS_CONID_MIN

    @property
    def is_us(self) -> bool:
        """True for what trades in dollars, which here is what trades in the United States."""
        return self.currency == "USD"

    @property
    def price_digits(self) -> int:
        """How many digits prices are written with."""
        return max(2, -int(self.tick.as_tuple().exponent))

    @property
    def bands(self) -> tuple[tuple[Decimal, Decimal], ...]:
        """The lowest price and the tick size of each price band."""
        return self.increments or ((Decimal(0), self.tick),)

    @property
    def month(self) -> str | None:
        """The contract month as `DEC26`, None without an expiry."""
        if self.expiry is None:
            return None
        return f"{_MONTHS[int(self.expiry[4:6]) - 1]}{self.expiry[2:4]}"

    @property
    def local_symbol(self) -> str:
        """The exchange's own name of the contract."""
        if self.expiry is None:
            return f"{self.symbol}.{self.currency}" if self.sec_type == "CASH" else self.symbol
        if self.strike is None:
            return f"{self.symbol}{_FUTURE_LETTERS[int(self.expiry[4:6]) - 1]}{self.expiry[3]}"
        return f"{self.symbol:<6}{self.expiry[2:]}{self.right}{int(self.strike * 1000):08d}"

    @property
    def terms(self) -> str | None:
        """What tells a derivative from its neighbours, as `DEC 18 '26 230 Call`."""
        if self.expiry is None:
            return None
        day = date(int(self.expiry[:4]), int(self.expiry[4:6]), int(self.expiry[6:]))
        written = f"{_MONTHS[day.month - 1]} {day.day} '{self.expiry[2:4]}"
        if self.strike is None:
            return written
        strike = f"{self.strike.normalize():f}"
        return f"{written} {strike} {'Call' if self.right == 'C' else 'Put'}"

    def price_text(self, price: Decimal) -> str:
        """The price as the broker writes it: fixed digits, no exponent."""
        return f"{price:.{self.price_digits}f}"

    def increment(self, price: Decimal) -> Decimal:
        """The tick size at a price."""
        return next(step for edge, step in reversed(self.bands) if price >= edge)

    def on_tick(self, price: Decimal, *, up: bool) -> Decimal:
        """The nearest price on the tick grid, not below `price` when `up`, else not above it."""
        step = self.increment(max(Decimal(0), price))
        rounding = ROUND_CEILING if up else ROUND_FLOOR
        return (price / step).to_integral_value(rounding) * step
