"""Which prices each order type uses, and when it meets the market.

Rule 1: a price that a type does not use is refused, never ignored: its client meant
something by it.
"""

from typing import Final

from engine.domain.values import OrderType, Ticket, TimeInForce

LIMITED: Final = frozenset(
    {OrderType.LMT, OrderType.STOP_LIMIT, OrderType.TRAILLMT, OrderType.LOC, OrderType.LIT}
)
"""Types that have a limit price."""

STOPPED: Final = frozenset(
    {OrderType.STP, OrderType.STOP_LIMIT, OrderType.TRAILLMT, OrderType.MIT, OrderType.LIT}
)
"""Types that have a price which triggers them."""

MAYBE_STOPPED: Final = frozenset({OrderType.TRAIL})
"""Types that may have one; without it the broker starts the trail at the market."""

TRAILING: Final = frozenset({OrderType.TRAIL, OrderType.TRAILLMT})

MAYBE_CAPPED: Final = frozenset({OrderType.MIDPRICE, OrderType.REL})
"""Types that may have a worst price; without it they follow the market wherever it goes."""


def meets_market_now(ticket: Ticket) -> bool:
    """Tell whether the order trades at what the market is now, with no price of its own.

    Stops, trails and orders for the open or the close meet another market than this one.
    Its spread says nothing of theirs; their worth is counted all the same.
    """
    if ticket.type is OrderType.MKT:
        return ticket.tif is not TimeInForce.OPG
    return ticket.type in MAYBE_CAPPED and ticket.cap_price is None
