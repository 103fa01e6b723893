"""Market data fields by their numbers, in the formats the broker writes.

Rule: every value is a text; a field that has no value is left out.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final

from engine.sim.instruments import Instrument
from engine.sim.market import Quote

SERVER_ID: Final = "q1"
_MILLION: Final = 1_000_000
_THOUSAND: Final = 1000


def compact(count: int) -> str:
    """A volume as field 87 shows it: `5.66M`, `812K`, `431`."""
    if count >= _MILLION:
        return f"{Decimal(count) / _MILLION:.2f}M"
    if count >= _THOUSAND:
        return f"{count // _THOUSAND}K"
    return str(count)


def field_texts(fields: Iterable[str], instrument: Instrument, quote: Quote) -> dict[str, str]:
    """The requested fields that have a value now."""
    found: dict[str, str] = {}
    for name in fields:
        text = _FIELDS[name](instrument, quote) if name in _FIELDS else None
        if text is not None:
            found[name] = text
    return found


def _last(instrument: Instrument, quote: Quote) -> str:
    """`C` marks a price that is still yesterday's close."""
    if quote.last is None:
        return f"C{instrument.price_text(quote.prior_close)}"
    return instrument.price_text(quote.last)


def _price(instrument: Instrument, price: Decimal | None) -> str | None:
    return None if price is None else instrument.price_text(price)


def _change(instrument: Instrument, quote: Quote) -> str | None:
    return _price(instrument, None if quote.last is None else quote.last - quote.prior_close)


def _change_percent(_: Instrument, quote: Quote) -> str | None:
    if quote.last is None:
        return None
    return f"{(quote.last - quote.prior_close) / quote.prior_close * 100:.2f}%"


_FIELDS: Final[Mapping[str, Callable[[Instrument, Quote], str | None]]] = {
    "31": _last,
    "55": lambda instrument, _: instrument.symbol,
    "70": lambda instrument, quote: _price(instrument, quote.high),
    "71": lambda instrument, quote: _price(instrument, quote.low),
    "82": _change,
    "83": _change_percent,
    "84": lambda instrument, quote: instrument.price_text(quote.bid),
    "85": lambda _, quote: f"{quote.ask_size:,}",
    "86": lambda instrument, quote: instrument.price_text(quote.ask),
    "87": lambda _, quote: compact(quote.volume),
    "88": lambda _, quote: f"{quote.bid_size:,}",
    "6004": lambda _, __: "SMART",
    "6008": lambda instrument, _: str(instrument.conid),
    "6070": lambda instrument, _: instrument.sec_type,
    "6119": lambda _, __: SERVER_ID,
    "6509": lambda _, __: "RpB",
    "7051": lambda instrument, _: instrument.name,
    "7059": lambda _, quote: f"{quote.last_size:,}" if quote.last_size else None,
    "7184": lambda _, __: "1",
    "7221": lambda instrument, _: instrument.exchange,
    "7282": lambda instrument, _: compact(1_000_000 + instrument.conid % 9_000_000),
    "7295": lambda instrument, quote: _price(instrument, quote.open),
    "7635": lambda instrument, quote: instrument.price_text((quote.bid + quote.ask) / 2),
    "7741": lambda instrument, quote: instrument.price_text(quote.prior_close),
    "7762": lambda _, quote: str(quote.volume),
    "7768": lambda _, __: "1",
}
