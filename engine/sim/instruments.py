"""The instruments the simulated venue trades.

Rule: a conid is either the broker's real one or above `FICTITIOUS_CONID_MIN`,
and a fictitious instrument says so in its name.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

FICTITIOUS_CONID_MIN: Final = 900_000_001
_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One contract that can be quoted and traded."""

    conid: int
    symbol: str
    name: str
    sec_type: str
    exchange: str
    start_price: Decimal
    currency: str = "USD"
    tick: Decimal = _CENT
    multiplier: Decimal = Decimal(1)
    expiry: str | None = None
    underlying_conid: int = 0

    @property
    def fictitious(self) -> bool:
        """True when the broker has no such contract."""
        return self.conid >= FICTITIOUS_CONID_MIN

    @property
    def price_digits(self) -> int:
        """How many digits prices are written with."""
        return max(2, -int(self.tick.as_tuple().exponent))

    def price_text(self, price: Decimal) -> str:
        """The price as the broker writes it: fixed digits, no exponent."""
        return f"{price:.{self.price_digits}f}"


def catalogue() -> tuple[Instrument, ...]:
    """All 40 instruments, the real ones first."""
    return _REAL + _fictitious_stocks() + _fictitious_funds() + _fictitious_futures()


_REAL: Final = (
    Instrument(
        conid=265598,
        symbol="AAPL",
        name="APPLE INC",
        sec_type="STK",
        exchange="NASDAQ",
        start_price=Decimal("228.40"),
    ),
    Instrument(
        conid=8314,
        symbol="IBM",
        name="INTL BUSINESS MACHINES CORP",
        sec_type="STK",
        exchange="NYSE",
        start_price=Decimal("189.60"),
    ),
    Instrument(
        conid=756733,
        symbol="SPY",
        name="SS SPDR S&P 500 ETF TRUST-US",
        sec_type="STK",
        exchange="ARCA",
        start_price=Decimal("654.90"),
    ),
    Instrument(
        conid=320227571,
        symbol="QQQ",
        name="INVESCO QQQ TRUST SERIES 1",
        sec_type="STK",
        exchange="NASDAQ",
        start_price=Decimal("588.10"),
    ),
    Instrument(
        conid=515416632,
        symbol="ES",
        name="E-mini S&P 500",
        sec_type="FUT",
        exchange="CME",
        start_price=Decimal("6812.25"),
        tick=Decimal("0.25"),
        multiplier=Decimal(50),
        expiry="20261218",
        underlying_conid=11004968,
    ),
)


def _fictitious_stocks() -> tuple[Instrument, ...]:
    """SIMA to SIMZ; prices from a few dollars to some hundred."""
    return tuple(
        Instrument(
            conid=FICTITIOUS_CONID_MIN + index,
            symbol=f"SIM{letter}",
            name=f"FICTITIOUS STOCK {letter}",
            sec_type="STK",
            exchange="NASDAQ" if index % 2 else "NYSE",
            start_price=Decimal(437 + 3719 * (index * 7 % 26)) * _CENT,
        )
        for index, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    )


def _fictitious_funds() -> tuple[Instrument, ...]:
    return tuple(
        Instrument(
            conid=FICTITIOUS_CONID_MIN + 26 + index,
            symbol=f"SIMFUND{index + 1}",
            name=f"FICTITIOUS FUND {index + 1}",
            sec_type="STK",
            exchange="ARCA",
            start_price=Decimal(2550 + 8125 * index) * _CENT,
        )
        for index in range(5)
    )


def _fictitious_futures() -> tuple[Instrument, ...]:
    return tuple(
        Instrument(
            conid=FICTITIOUS_CONID_MIN + 31 + index,
            symbol=f"SIMFUT{index + 1}",
            name=f"FICTITIOUS FUTURE {index + 1}",
            sec_type="FUT",
            exchange="CME",
            start_price=Decimal(1200 + 850 * index),
            tick=Decimal("0.5"),
            multiplier=Decimal(10),
            expiry="20261218",
            underlying_conid=FICTITIOUS_CONID_MIN + 131 + index,
        )
        for index in range(4)
    )
