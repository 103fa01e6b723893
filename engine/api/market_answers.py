"""What clients get about markets: contracts, subscriptions, quotes and bars.

Rule: as in `answers.py`; decimals are strings of plain digits, what never came is null.
"""

from typing import Final, Self

from engine.api.answers import DecimalText, Shown, TimeText, time_text
from engine.domain.values import Bar, Instrument, OrderType, Quote

_NS_PER_MS: Final = 10**6


class IncrementBody(Shown):
    """The price step from `lower_edge` upwards."""

    lower_edge: DecimalText
    increment: DecimalText


class InstrumentBody(Shown):
    """A contract and its trading rules."""

    conid: int
    symbol: str
    sec_type: str
    currency: str
    exchange: str
    name: str
    multiplier: DecimalText
    increments: tuple[IncrementBody, ...]
    size_increment: DecimalText
    order_types: tuple[OrderType, ...]
    tradable: bool

    @classmethod
    def of(cls, instrument: Instrument) -> Self:
        """Return the body of a contract."""
        return cls(
            conid=instrument.conid,
            symbol=instrument.symbol,
            sec_type=instrument.sec_type,
            currency=instrument.currency,
            exchange=instrument.exchange,
            name=instrument.name,
            multiplier=instrument.multiplier,
            increments=tuple(
                IncrementBody(lower_edge=step.lower_edge, increment=step.increment)
                for step in instrument.increments
            ),
            size_increment=instrument.size_increment,
            order_types=instrument.order_types,
            tradable=instrument.tradable,
        )


class InstrumentsAnswer(Shown):
    """Every contract that the symbol can mean."""

    instruments: tuple[InstrumentBody, ...]


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

    @classmethod
    def of(cls, quote: Quote, age_ms: int) -> Self:
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
        )


class QuotesAnswer(Shown):
    """The known quotes, and the contracts of which no quote is known."""

    quotes: tuple[QuoteBody, ...]
    missing: tuple[int, ...]


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
    """The newest closed bars, oldest first."""

    conid: int
    interval: str
    bars: tuple[BarBody, ...]
