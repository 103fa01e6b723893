"""Contracts, their rules, quotes and bars, and the words of an order that rules speak of."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from engine.domain.values.ids import (
    ConId,
)


class OrderType(StrEnum):
    """The order types of the Client Portal Web API, in its spelling."""

    MKT = "MKT"
    LMT = "LMT"
    STP = "STP"
    STOP_LIMIT = "STOP_LIMIT"
    TRAIL = "TRAIL"
    TRAILLMT = "TRAILLMT"
    MIDPRICE = "MIDPRICE"
    MOC = "MOC"
    LOC = "LOC"
    MIT = "MIT"
    LIT = "LIT"
    REL = "REL"


class TrailingType(StrEnum):
    """How a trailing stop's distance is given: in the price's currency, or in percent."""

    AMOUNT = "amt"
    PERCENT = "%"


class TimeInForce(StrEnum):
    """How long an order stays at the broker.

    OVT is the overnight session, OND overnight and the day after it, PAX five minutes
    (crypto). The API lists GTD, but its tickets have no field for the date.
    """

    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"
    OPG = "OPG"
    OVT = "OVT"
    OND = "OND"
    PAX = "PAX"
    GTD = "GTD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Increment:
    """The price step from `lower_edge` upwards, as the broker's rules list it."""

    lower_edge: Decimal
    increment: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TifRule:
    """A time in force that a contract's rules allow.

    `order_types` is None when it goes with every type of the contract.
    """

    tif: TimeInForce
    order_types: tuple[OrderType, ...] | None = None
    outside_rth: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What the broker says of a contract that can be traded.

    `increments` are sorted by `lower_edge`; `order_types`, `outside_rth_types`,
    `fraction_types` and `cash_types` are ours, those that the contract's rules allow.
    `multiplier` is 1 where the broker gives none. `cash_increment` is the step of a cash
    quantity, in `cash_currency`; None where the rules allow none. `expiry` is `YYYYMMDD`,
    `right` is `C` or `P`.
    """

    conid: ConId
    symbol: str
    sec_type: str
    currency: str
    exchange: str
    name: str
    multiplier: Decimal
    increments: tuple[Increment, ...]
    size_increment: Decimal
    order_types: tuple[OrderType, ...]
    tradable: bool
    tifs: tuple[TifRule, ...] = ()
    outside_rth_types: tuple[OrderType, ...] = ()
    fraction_types: tuple[OrderType, ...] = ()
    cash_types: tuple[OrderType, ...] = ()
    cash_increment: Decimal | None = None
    cash_currency: str | None = None
    underlying_conid: ConId | None = None
    expiry: str | None = None
    strike: Decimal | None = None
    right: str | None = None
    trading_class: str | None = None
    valid_exchanges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The last known market of a contract. A missing value was never received.

    `received_ns` is our monotonic clock when the newest part arrived.
    """

    conid: ConId
    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None
    bid_size: Decimal | None
    ask_size: Decimal | None
    last_size: Decimal | None
    volume: Decimal | None
    prior_close: Decimal | None
    halted: bool
    availability: str
    received_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One closed time bar. `start_ms` is epoch milliseconds; `vwap` is None without volume."""

    conid: ConId
    interval_ms: int
    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    vwap: Decimal | None
    trades: int
