"""What an order is worth: the price that its checks calculate with, or why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Final

from engine.domain.risk.exposure import ZERO
from engine.domain.risk.limits import FINEST, LARGEST, Limit, format_number
from engine.domain.risk.verdict import Code
from engine.domain.values import Instrument, Quote, Side, Ticket, TrailingType

SMALLEST: Final = Decimal("1e-8")
"""Prices have at most 8 decimal places; the market data has no more."""

PERCENT: Final = Decimal(100)

CASH_SLIP: Final = Decimal("0.01")
"""By how much a price may fall between its quote and the fill of a cash quantity."""

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
    if not (_is_sane(instrument.multiplier) and _is_sane(instrument.size_increment)):
        return False
    for step in instrument.increments:
        if not (_is_sane(step.increment) and step.lower_edge.is_finite()):
            return False
    return bool(instrument.increments)


def _is_sane(step: Decimal) -> bool:
    return step.is_finite() and FINEST <= step <= LARGEST


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
    """Price an order at the worst of its own prices and the touch; no type is exempt.

    A stop is counted at its trigger or the touch: what comes after the trigger nobody
    knows. A trail of a BUY begins its distance above the touch. An order without any
    price of its own is counted at the touch. A reducing one without a touch is priced at
    the worst of its own.
    """
    if instrument is None or not has_rules(instrument):
        return miss_rules(ticket)
    if instrument.currency != currency:
        return Missing(
            code=Code.FX_RATE_MISSING,
            needs=f"a contract in {currency} (units.notional_ccy)",
            figures={"currency": instrument.currency},
        )
    own = own_prices(ticket)
    if isinstance(touch, Missing):
        if not reducing or not own:
            return touch
        touch = max(own)
    # A SELL is taken at the higher price, too: that is what the short side is worth.
    price = max(touch, _trail_start(ticket, touch), *own)
    return Priced(price=price, touch=touch, multiplier=instrument.multiplier)


def own_prices(ticket: Ticket) -> tuple[Decimal, ...]:
    """Return the prices that the ticket names itself."""
    prices = (ticket.limit_price, ticket.stop_price, ticket.cap_price)
    return tuple(price for price in prices if price is not None)


def count_units(
    ticket: Ticket, instrument: Instrument | None, bid: Decimal | Missing
) -> Decimal | Missing:
    """Return how many units may fill at most: for a cash quantity, at the lowest price.

    That is the worst end of it, because less of a price buys more units. The market may
    have fallen by `CASH_SLIP` when the order fills.
    """
    cash = ticket.cash_quantity
    if cash is None:
        return ticket.quantity
    if not cash.is_finite() or cash <= ZERO:
        return ZERO  # No amount of money; its own check says so.
    if instrument is None or not has_rules(instrument):
        return miss_rules(ticket)
    if isinstance(bid, Missing):
        return bid
    prices = (price for price in own_prices(ticket) if price.is_finite() and price > ZERO)
    lowest = min((bid, *prices)) * (1 - CASH_SLIP) * instrument.multiplier
    step = instrument.size_increment
    steps = (cash / lowest / step).to_integral_value(ROUND_CEILING)
    return steps * step


def _trail_start(ticket: Ticket, touch: Decimal) -> Decimal:
    """Return where a trailing BUY would be triggered at the latest."""
    if ticket.trailing_amount is None or ticket.side is Side.SELL:
        return touch
    if ticket.trailing_type is TrailingType.PERCENT:
        return touch + touch * ticket.trailing_amount / PERCENT
    return touch + ticket.trailing_amount
