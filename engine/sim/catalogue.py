"""The instruments the simulated venue lists.

Rule: the list depends on the day alone, and a contract keeps its conid from one
day to the next, so that a venue that lives on knows what its accounts hold.
"""

from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

from engine.sim.instruments import CENT, FICTITIOUS_CONID_MIN, Instrument

DEFAULT_DAY: Final = date(2026, 11, 2)
OPTION_CONID_MIN: Final = 910_000_000
OPTION_MONTHS: Final = 3
OPTION_BANDS: Final = ((Decimal(0), CENT), (Decimal(3), Decimal("0.05")))
_AAPL_CONID: Final = 265598
_STRIKES: Final = range(200, 265, 5)
_STRIKE_STEP: Final = 5
_CONIDS_A_MONTH: Final = 1000
_FIRST_YEAR: Final = 2020
_MONTHS_A_YEAR: Final = 12
_FRIDAY: Final = 4


def catalogue(day: date = DEFAULT_DAY) -> tuple[Instrument, ...]:
    """Everything listed on a day, the broker's real contracts first."""
    return (
        _REAL
        + _fictitious_stocks()
        + _fictitious_funds()
        + _fictitious_futures()
        + _LATER_FUTURES
        + _MANY_LISTINGS
        + option_chain(day)
    )


@lru_cache(maxsize=4)
def option_chain(day: date) -> tuple[Instrument, ...]:
    """Calls and puts on AAPL for the next monthly expiries that are not over on `day`."""
    index = (day.year - _FIRST_YEAR) * _MONTHS_A_YEAR + day.month - 1
    if third_friday(day.year, day.month) < day:
        index += 1
    return tuple(
        option(_option_conid(month, strike, put=right == "P"))
        for month in range(index, index + OPTION_MONTHS)
        for strike in _STRIKES
        for right in "CP"
    )


def option(conid: int) -> Instrument:
    """The option behind a conid of a chain, also of one that is not listed any more."""
    month, rest = divmod(conid - OPTION_CONID_MIN, _CONIDS_A_MONTH)
    step, is_put = divmod(rest, 2)
    year, month_before = divmod(month, _MONTHS_A_YEAR)
    strike = Decimal(step * _STRIKE_STEP)
    return Instrument(
        conid=conid,
        symbol="AAPL",
        name="FICTITIOUS OPTION ON APPLE INC",
        sec_type="OPT",
        exchange="SMART",
        # Nobody asks: an option is priced by what it is written on.
        start_price=CENT,
        increments=OPTION_BANDS,
        multiplier=Decimal(100),
        expiry=f"{third_friday(_FIRST_YEAR + year, month_before + 1):%Y%m%d}",
        underlying_conid=_AAPL_CONID,
        strike=strike,
        right="P" if is_put else "C",
    )


def is_option(conid: int) -> bool:
    """True for a conid that `option` can read."""
    return conid >= OPTION_CONID_MIN


def third_friday(year: int, month: int) -> date:
    """The day on which monthly options end."""
    first = date(year, month, 1)
    return first + timedelta(days=(_FRIDAY - first.weekday()) % 7 + 14)


def _option_conid(month: int, strike: int, *, put: bool) -> int:
    return OPTION_CONID_MIN + month * _CONIDS_A_MONTH + strike // _STRIKE_STEP * 2 + put


def _stock(
    conid: int, symbol: str, name: str, exchange: str, price: str, *, overnight: bool = False
) -> Instrument:
    return Instrument(
        conid=conid,
        symbol=symbol,
        name=name,
        sec_type="STK",
        exchange=exchange,
        start_price=Decimal(price),
        overnight=overnight,
    )


def _sp_future(conid: int, name: str, expiry: str, price: str) -> Instrument:
    return Instrument(
        conid=conid,
        symbol="ES",
        name=name,
        sec_type="FUT",
        exchange="CME",
        start_price=Decimal(price),
        tick=Decimal("0.25"),
        multiplier=Decimal(50),
        expiry=expiry,
        underlying_conid=11004968,
    )


_REAL: Final = (
    _stock(_AAPL_CONID, "AAPL", "APPLE INC", "NASDAQ", "228.40", overnight=True),
    _stock(8314, "IBM", "INTL BUSINESS MACHINES CORP", "NYSE", "189.60"),
    _stock(756733, "SPY", "SS SPDR S&P 500 ETF TRUST-US", "ARCA", "654.90", overnight=True),
    _stock(320227571, "QQQ", "INVESCO QQQ TRUST SERIES 1", "NASDAQ", "588.10", overnight=True),
    _sp_future(515416632, "E-mini S&P 500", "20261218", "6812.25"),
    Instrument(
        conid=12087792,
        symbol="EUR",
        name="European Monetary Union Euro",
        sec_type="CASH",
        exchange="IDEALPRO",
        start_price=Decimal("1.08500"),
        tick=Decimal("0.00005"),
    ),
    Instrument(
        conid=479624278,
        symbol="BTC",
        name="Bitcoin cryptocurrency",
        sec_type="CRYPTO",
        exchange="PAXOS",
        start_price=Decimal("91250.00"),
        tick=Decimal("0.25"),
        size_increment=Decimal("0.00000001"),
    ),
    Instrument(
        conid=416904,
        symbol="SPX",
        name="S&P 500 Stock Index",
        sec_type="IND",
        exchange="CBOE",
        start_price=Decimal("6790.50"),
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
            start_price=Decimal(437 + 3719 * (index * 7 % 26)) * CENT,
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
            start_price=Decimal(2550 + 8125 * index) * CENT,
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


_LATER_FUTURES: Final = (
    _sp_future(FICTITIOUS_CONID_MIN + 40, "FICTITIOUS E-mini S&P 500", "20270319", "6868.50"),
    _sp_future(FICTITIOUS_CONID_MIN + 41, "FICTITIOUS E-mini S&P 500", "20270618", "6921.75"),
)

# SIMDUAL: one company on three exchanges in three currencies, and another with
# its symbol. SIMTWIN: two companies with one symbol in one country.
_MANY_LISTINGS: Final = tuple(
    Instrument(
        conid=FICTITIOUS_CONID_MIN + 50 + index,
        symbol=symbol,
        name=f"FICTITIOUS {name}",
        sec_type="STK",
        exchange=exchange,
        currency=currency,
        start_price=Decimal(price),
    )
    for index, (symbol, name, exchange, currency, price) in enumerate(
        (
            ("SIMDUAL", "COMPANY DUAL", "NYSE", "USD", "84.20"),
            ("SIMDUAL", "COMPANY DUAL", "IBIS", "EUR", "77.60"),
            ("SIMDUAL", "COMPANY DUAL", "EBS", "CHF", "72.90"),
            ("SIMDUAL", "MINE OF THE SAME SYMBOL", "TSE", "CAD", "12.35"),
            ("SIMTWIN", "FIRST TWIN", "NYSE", "USD", "31.40"),
            ("SIMTWIN", "SECOND TWIN", "AMEX", "USD", "7.85"),
        )
    )
)
