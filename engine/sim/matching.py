"""When an order trades, and at what price: the order types, one quote at a time.

Rule 1: nothing here changes an order but `follow`, which moves a trailing stop.

Rule 2: what was triggered stays triggered, and trades as the type it turned into.
"""

from dataclasses import replace
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from random import Random
from typing import Final

from engine.sim.instruments import Instrument
from engine.sim.market import Quote
from engine.sim.orders import Order
from engine.sim.tickets import TRAILING, Refusal, Ticket

PIECES_MAX: Final = 4
_STOPS: Final = frozenset({"STP", "STOP_LIMIT", *TRAILING})
_IF_TOUCHED: Final = frozenset({"MIT", "LIT"})
_ON_CLOSE: Final = frozenset({"MOC", "LOC"})


class Waits(Enum):
    """What an order waits for before it works."""

    NOTHING = "nothing"
    A_PRICE = "a_price"
    AN_AUCTION = "an_auction"


def sized(ticket: Ticket, instrument: Instrument, touch_price: Decimal) -> Ticket | Refusal:
    """The ticket with the quantity that its cash quantity buys at its limit or at the touch."""
    if ticket.cash_quantity is None:
        return ticket
    price = ticket.limit_price or touch_price
    unit = instrument.size_increment
    steps = ticket.cash_quantity // (price * instrument.multiplier * unit)
    if not steps:
        return Refusal(
            text=f"The cash quantity {ticket.cash_quantity} {instrument.currency} buys less "
            f"than {unit:f} at {price}."
        )
    return replace(ticket, quantity=steps * unit)


def pieces(quantity: Decimal, unit: Decimal, chance: Random) -> tuple[Decimal, ...]:
    """The parts in which a quantity trades: two to four, unless it is one unit."""
    units = int(quantity / unit)
    count = 1 if units == 1 else chance.randint(2, min(PIECES_MAX, units))
    cuts = sorted(chance.sample(range(1, units), count - 1)) if count > 1 else []
    return tuple((high - low) * unit for low, high in pairwise([0, *cuts, units]))


def waits_for(ticket: Ticket) -> Waits:
    """What a new order of these terms waits for."""
    if ticket.order_type in _ON_CLOSE or ticket.tif == "OPG":
        return Waits.AN_AUCTION
    if ticket.order_type in _STOPS or ticket.order_type in _IF_TOUCHED:
        return Waits.A_PRICE
    return Waits.NOTHING


def middle(quote: Quote) -> Decimal:
    """The price between bid and ask, which may be off the tick grid."""
    return (quote.bid + quote.ask) / 2


def touch(ticket: Ticket, quote: Quote) -> Decimal:
    """The price that a market order of this side trades at."""
    return quote.ask if ticket.is_buy else quote.bid


def start_trailing(order: Order, quote: Quote, instrument: Instrument) -> None:
    """Put the stop of a trailing order where its terms, or else the market, say."""
    ticket = order.ticket
    order.stop_price = order.limit_price = None
    if ticket.order_type in TRAILING:
        order.stop_price = ticket.stop_price
        order.limit_price = ticket.limit_price
        follow(order, quote, instrument)


def follow(order: Order, quote: Quote, instrument: Instrument) -> None:
    """Move a trailing stop after the market, never away from it."""
    ticket = order.ticket
    if ticket.trailing_amount is None:
        return
    last = middle(quote) if quote.last is None else quote.last
    amount = ticket.trailing_amount
    distance = last * amount / 100 if ticket.trailing_type == "%" else amount
    wanted = last + distance if ticket.is_buy else last - distance
    wanted = max(instrument.tick, instrument.on_tick(wanted, up=ticket.is_buy))
    held = order.stop_price
    if held is not None:
        wanted = min(held, wanted) if ticket.is_buy else max(held, wanted)
    order.stop_price = wanted
    if ticket.limit_price is not None and ticket.stop_price is not None:
        # The limit keeps the distance to the stop that it was sent with.
        limit = wanted + ticket.limit_price - ticket.stop_price
        order.limit_price = max(instrument.tick, instrument.on_tick(limit, up=not ticket.is_buy))


def triggers(order: Order, quote: Quote) -> bool:
    """True when the last trade reached the stop or the trigger."""
    ticket, last = order.ticket, quote.last
    stop = ticket.stop_price if order.stop_price is None else order.stop_price
    if last is None or stop is None:
        return False
    # A stop waits for the market to get worse, an if-touched order for it to get better.
    rising = ticket.is_buy != (ticket.order_type in _IF_TOUCHED)
    return last >= stop if rising else last <= stop


def trade_price(order: Order, quote: Quote, instrument: Instrument) -> Decimal | None:
    """What an order that works trades at now, None when the market is not there."""
    ticket = order.ticket
    limit = ticket.limit_price if order.limit_price is None else order.limit_price
    match ticket.order_type:
        case "MIDPRICE":
            price = instrument.on_tick(middle(quote), up=not ticket.is_buy)
        case "REL":
            return _pegged(order, quote)
        case _:
            price = touch(ticket, quote)
    return price if within(price, limit, is_buy=ticket.is_buy) else None


def within(price: Decimal, limit: Decimal | None, *, is_buy: bool) -> bool:
    """True when a price is not worse than a limit."""
    if limit is None:
        return True
    return price <= limit if is_buy else price >= limit


def auction_price(quote: Quote, instrument: Instrument) -> Decimal:
    """The one price of an auction."""
    return instrument.on_tick(middle(quote), up=False)


def _pegged(order: Order, quote: Quote) -> Decimal | None:
    """A relative order rests at its own side's touch and trades when others come to it."""
    ticket = order.ticket
    near = quote.bid if ticket.is_buy else quote.ask
    cap = ticket.limit_price
    if cap is not None:
        near = min(near, cap) if ticket.is_buy else max(near, cap)
    if quote.last is None or quote.volume <= order.volume_seen:
        return None
    return near if within(quote.last, near, is_buy=ticket.is_buy) else None
