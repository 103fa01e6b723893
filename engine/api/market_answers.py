"""What clients get about markets: contracts, subscriptions, quotes and bars.

Rule: as in `answers.py`; decimals are strings of plain digits, what never came is null.
"""

from enum import StrEnum
from typing import Final, Self

from engine.api.answers import DecimalText, ReasonBody, Shown, TimeText, time_text
from engine.domain.values import Bar, Instrument, OrderType, Quote, TifRule, TimeInForce

_NS_PER_MS: Final = 10**6


class MarketSource(StrEnum):
    """Where a figure of the market comes from."""

    STREAM = "stream"
    SNAPSHOT = "snapshot"
    HISTORY = "history"


class IncrementBody(Shown):
    """The price step from `lower_edge` upwards."""

    lower_edge: DecimalText
    increment: DecimalText


class TifBody(Shown):
    """A time in force that the rules allow; null `order_types` means every type."""

    tif: TimeInForce
    order_types: tuple[OrderType, ...] | None
    outside_rth: bool

    @classmethod
    def of(cls, rule: TifRule) -> Self:
        """Return the body of a rule."""
        return cls(tif=rule.tif, order_types=rule.order_types, outside_rth=rule.outside_rth)


class InstrumentBody(Shown):
    """A contract and its trading rules.

    `conid` and `multiplier` are null in a listing whose entry still wants an expiry, a
    strike or a right: until then it is no contract.
    The lists of types say what may be traded outside regular hours, in fractions, and for
    an amount of money (in steps of `cash_increment`, in `cash_currency`). `age_ms` is how
    long ago the broker was asked; null for a contract that was only listed.
    """

    conid: int | None
    symbol: str
    sec_type: str
    currency: str
    exchange: str
    name: str
    multiplier: DecimalText | None
    increments: tuple[IncrementBody, ...]
    size_increment: DecimalText
    order_types: tuple[OrderType, ...]
    tradable: bool
    tifs: tuple[TifBody, ...]
    outside_rth_types: tuple[OrderType, ...]
    fraction_types: tuple[OrderType, ...]
    cash_types: tuple[OrderType, ...]
    cash_increment: DecimalText | None
    cash_currency: str | None
    underlying_conid: int | None
    expiry: str | None
    strike: DecimalText | None
    right: str | None
    trading_class: str | None
    valid_exchanges: tuple[str, ...]
    age_ms: int | None

    @classmethod
    def of(cls, instrument: Instrument, age_ms: int | None = None) -> Self:
        """Return the body of a contract."""
        return cls(
            conid=instrument.conid or None,
            symbol=instrument.symbol,
            sec_type=instrument.sec_type,
            currency=instrument.currency,
            exchange=instrument.exchange,
            name=instrument.name,
            multiplier=instrument.multiplier if instrument.conid else None,
            increments=tuple(
                IncrementBody(lower_edge=step.lower_edge, increment=step.increment)
                for step in instrument.increments
            ),
            size_increment=instrument.size_increment,
            order_types=instrument.order_types,
            tradable=instrument.tradable,
            tifs=tuple(map(TifBody.of, instrument.tifs)),
            outside_rth_types=instrument.outside_rth_types,
            fraction_types=instrument.fraction_types,
            cash_types=instrument.cash_types,
            cash_increment=instrument.cash_increment,
            cash_currency=instrument.cash_currency,
            underlying_conid=instrument.underlying_conid,
            expiry=instrument.expiry,
            strike=instrument.strike,
            right=instrument.right,
            trading_class=instrument.trading_class,
            valid_exchanges=instrument.valid_exchanges,
            age_ms=age_ms,
        )


class InstrumentsAnswer(Shown):
    """The contracts that the query can mean; `count` is how many there are in all.

    Where it means several, what is shown of each is what the broker's search told.
    """

    instruments: tuple[InstrumentBody, ...]
    count: int


class SubscriptionsAnswer(Shown):
    """The contracts whose market is streamed."""

    subscriptions: tuple[int, ...]


class SubscriptionAnswer(Shown):
    """Whether a contract's market is streamed; a new subscription shows the contract."""

    conid: int
    subscribed: bool
    instrument: InstrumentBody | None


class QuoteBody(Shown):
    """The last known market of a contract; a value that never came is null."""

    conid: int
    bid: DecimalText | None
    ask: DecimalText | None
    last: DecimalText | None
    bid_size: DecimalText | None
    ask_size: DecimalText | None
    last_size: DecimalText | None
    volume: DecimalText | None
    prior_close: DecimalText | None
    halted: bool
    availability: str
    age_ms: int
    source: MarketSource

    @classmethod
    def of(cls, quote: Quote, age_ms: int, source: MarketSource = MarketSource.STREAM) -> Self:
        """Return the body of a quote."""
        return cls(
            conid=quote.conid,
            bid=quote.bid,
            ask=quote.ask,
            last=quote.last,
            bid_size=quote.bid_size,
            ask_size=quote.ask_size,
            last_size=quote.last_size,
            volume=quote.volume,
            prior_close=quote.prior_close,
            halted=quote.halted,
            availability=quote.availability,
            age_ms=age_ms,
            source=source,
        )


class QuotesAnswer(Shown):
    """The known quotes, and the contracts of which no quote is known.

    `reason` says why the broker gave no snapshot of those; null when it was not asked, or
    had none.
    """

    quotes: tuple[QuoteBody, ...]
    missing: tuple[int, ...]
    reason: ReasonBody | None


class BarBody(Shown):
    """One closed time bar; `vwap` is null in a bar without volume."""

    start: TimeText
    open: DecimalText
    high: DecimalText
    low: DecimalText
    close: DecimalText
    volume: DecimalText
    vwap: DecimalText | None
    trades: int

    @classmethod
    def of(cls, bar: Bar) -> Self:
        """Return the body of a bar."""
        return cls(
            start=time_text(bar.start_ms * _NS_PER_MS),
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
            vwap=bar.vwap,
            trades=bar.trades,
        )


class BarsAnswer(Shown):
    """Closed bars, oldest first.

    Of the broker's history `period` is what was asked, and `interval` is its `bar`, in
    which `m` means months.
    """

    conid: int
    interval: str
    bars: tuple[BarBody, ...]
    period: str | None
    source: MarketSource
