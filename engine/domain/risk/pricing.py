"""What an order is worth: the price that its checks calculate with, or why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from engine.domain.risk.exposure import ZERO
from engine.domain.risk.limits import FINEST, LARGEST, Limit, format_number
from engine.domain.risk.verdict import Code
from engine.domain.values import Instrument, Quote, Side, Ticket

SMALLEST: Final = Decimal("1e-8")
"""Prices have at most 8 decimal places; the market data has no more."""

NOT_LIVE: Final = frozenset("DZYNO")
"""First letters of the broker's availability: delayed, frozen, both, not subscribed, and
no market data agreement signed. `R` is real time; a text that says nothing is not judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """An input that an order cannot be priced without, and what was found instead."""

    code: Code
    needs: str
    figures: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """The worst price of an order, and the market's own on its side; both for one unit.

    Money is price times quantity times `multiplier`.
    """

    price: Decimal
    touch: Decimal
    multiplier: Decimal


def has_rules(instrument: Instrument) -> bool:
    """Return whether tick, lot and multiplier are there and make sense."""
    steps = [instrument.multiplier, instrument.size_increment]
    steps += [step.increment for step in instrument.increments]
    edges = [step.lower_edge for step in instrument.increments]
    return (
        bool(edges)
        and all(step.is_finite() and FINEST <= step <= LARGEST for step in steps)
        and all(edge.is_finite() for edge in edges)
    )


def miss_rules(ticket: Ticket) -> Missing:
    """Say that the contract of an order has no trading rules, or that there is none."""
    if ticket.conid:
        needs, figures = "a contract with trading rules", {"conid": ticket.conid}
        return Missing(code=Code.INSTRUMENT_UNKNOWN, needs=needs, figures=figures)
    return Missing(
        code=Code.INSTRUMENT_UNKNOWN,
        needs="a symbol that names one contract",
        figures={"symbol": repr(ticket.symbol)},
    )


def read_touch(
    quote: Quote | None, age_ms: int | None, side: Side, age_ms_max: Limit
) -> Decimal | Missing:
    """Return the price that an order of `side` meets: the ask for BUY, the bid for SELL."""
    if quote is None or age_ms is None:
        return Missing(code=Code.NO_REFERENCE_PRICE, needs="a quote of the contract")
    if quote.availability[:1] in NOT_LIVE:
        return Missing(
            code=Code.NO_REFERENCE_PRICE,
            needs="a real-time quote",
            figures={"availability": quote.availability},
        )
    if age_ms > age_ms_max.value:
        shown = f"{format_number(age_ms_max.value)} ms ({age_ms_max.name}, {age_ms_max.source})"
        return Missing(
            code=Code.STALE_PRICE,
            needs=f"a quote of at most {shown}",
            figures={"quote_age_ms": age_ms},
        )
    name, price = ("ask", quote.ask) if side is Side.BUY else ("bid", quote.bid)
    if price is None or not price.is_finite() or price <= ZERO:
        # The broker writes -1 for a side that nobody quotes.
        return Missing(code=Code.NO_REFERENCE_PRICE, needs=f"{name} above 0", figures={name: price})
    if not SMALLEST <= price <= LARGEST:
        needs = f"{name} of {SMALLEST:f} to {LARGEST:f}"
        return Missing(code=Code.NO_REFERENCE_PRICE, needs=needs, figures={name: price})
    return price


def price_order(
    ticket: Ticket,
    instrument: Instrument | None,
    touch: Decimal | Missing,
    *,
    currency: str,
    reducing: bool,
) -> Priced | Missing:
    """Price an order at the worse of its limit and the touch, a market order at the touch.

    A reducing limit order without a touch is priced at its limit.
    """
    if instrument is None or not has_rules(instrument):
        return miss_rules(ticket)
    if instrument.currency != currency:
        return Missing(
            code=Code.FX_RATE_MISSING,
            needs=f"a contract in {currency} (units.notional_ccy)",
            figures={"currency": instrument.currency},
        )
    if isinstance(touch, Missing):
        if not reducing or ticket.limit_price is None:
            return touch
        touch = ticket.limit_price
    # A SELL is taken at the higher price, too: that is what the short side is worth.
    price = touch if ticket.limit_price is None else max(ticket.limit_price, touch)
    return Priced(price=price, touch=touch, multiplier=instrument.multiplier)
