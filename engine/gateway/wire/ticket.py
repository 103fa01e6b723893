"""An order as the broker wants it written: the request bodies that are journaled and sent.

Rule 1: a number is written as the exact decimal that it is, never through a float.

Rule 2: a body has what its type needs and nothing else; what cannot be written is refused
before it is one.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec

from engine.domain.values import Coid, ConId, OrderType, Reason, Terms, Ticket, TimeInForce
from engine.gateway.wire.lenient import BadAnswer, Row, as_row, decode, need_conid, rows_in, text

FUTURES: Final = frozenset({"FUT", "FOP"})
"""What US exchanges want the operator of; which exchange it is, a ticket does not say."""
_STOCK: Final = "STK"

LIMIT: Final = "price"
STOP: Final = "auxPrice"
LIMITED: Final = frozenset(
    {OrderType.LMT, OrderType.STOP_LIMIT, OrderType.TRAILLMT, OrderType.LOC, OrderType.LIT}
)
"""Types with a limit price, which is their `price`."""
STOPPED: Final = frozenset({OrderType.STP, OrderType.TRAIL, OrderType.MIT})
"""Types without a limit price whose `price` is the one that triggers."""
STOPPED_BESIDE: Final = frozenset({OrderType.STOP_LIMIT, OrderType.TRAILLMT, OrderType.LIT})
"""Types whose trigger stands beside the limit price, as `auxPrice`."""
CAPPED: Final = frozenset({OrderType.MIDPRICE, OrderType.REL})
"""Types whose `price` is the worst one they may have, if they have one at all."""
TRAILING: Final = frozenset({OrderType.TRAIL, OrderType.TRAILLMT})
_MAY_START_ANYWHERE: Final = frozenset({OrderType.TRAIL})
"""Types whose trigger may be left to the broker: the market, less the distance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who enters the orders for futures, as CME rule 536-B wants it told.

    `ext_operator` is the id that is registered with the exchange; `manual` is True when a
    person decides each order.
    """

    ext_operator: str
    manual: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketEncoder:
    """Writes tickets. Without an `operator`, futures are refused.

    Where `price` and `auxPrice` go is documented for MKT, LMT, STP, STOP_LIMIT, TRAIL,
    TRAILLMT and MIDPRICE. For the others it is inferred from those: LOC is written like
    LMT, MIT like STP, LIT like STOP_LIMIT and REL like MIDPRICE.
    """

    operator: Operator | None = None

    def encode(self, ticket: Ticket, coid: Coid) -> bytes:
        """Return the body that places the order."""
        terms = Terms(
            quantity=ticket.quantity,
            limit_price=ticket.limit_price,
            stop_price=ticket.stop_price,
        )
        return msgspec.json.encode({"orders": [self._order(ticket, terms, coid)]})

    def encode_change(self, ticket: Ticket, coid: Coid, terms: Terms) -> bytes:
        """Return the body that gives the order these terms: one bare ticket, all of it.

        The cOID is left out. The address names the order, the broker's list of what a
        modify takes has no cOID in it, and one that is repeated might be refused as
        registered already, which would leave the outcome open.
        """
        assert ticket.cash_quantity is None or terms.quantity == ticket.quantity, (
            f"{coid} is for an amount of money, which a modify cannot change into a quantity"
        )
        return msgspec.json.encode(self._order(ticket, terms, None))

    def refusal(self, ticket: Ticket) -> Reason | None:
        """Say why this ticket cannot be written at all, None when it can."""
        if ticket.tif is TimeInForce.GTD:
            message = (
                "GTD needs a date, and the broker's order tickets have no field for it; "
                "use GTC and cancel, or DAY"
            )
            return Reason(code="TIF_UNSUPPORTED", message=message)
        if ticket.sec_type in FUTURES and self.operator is None:
            message = (
                f"an order for a {ticket.sec_type} must say who enters it (manualIndicator and "
                "extOperator), and the configuration has no futures_operator"
            )
            return Reason(code="EXT_OPERATOR_MISSING", message=message)
        return None

    def _order(self, ticket: Ticket, terms: Terms, coid: Coid | None) -> dict[str, object]:
        assert self.refusal(ticket) is None, "refusal() comes before a ticket is written"
        order: dict[str, object] = {"acctId": ticket.account, "conid": ticket.conid}
        if ticket.sec_type != _STOCK:
            order["secType"] = f"{ticket.conid}:{ticket.sec_type}"
        if coid is not None:
            order["cOID"] = coid
        order["orderType"] = ticket.type.value
        order["side"] = ticket.side.value
        if ticket.cash_quantity is not None:
            order["cashQty"] = _raw(ticket.cash_quantity)
        else:
            order["quantity"] = _raw(terms.quantity)
        order |= {name: _raw(price) for name, price in _prices(ticket, terms).items()}
        if ticket.type in TRAILING:
            assert ticket.trailing_type is not None, f"{ticket.type} has a trailing type"
            assert ticket.trailing_amount is not None, f"{ticket.type} has a trailing amount"
            order["trailingType"] = ticket.trailing_type.value
            order["trailingAmt"] = _raw(ticket.trailing_amount)
        order["tif"] = ticket.tif.value
        order["outsideRTH"] = ticket.outside_rth
        if ticket.sec_type in FUTURES and self.operator is not None:
            order["manualIndicator"] = self.operator.manual
            order["extOperator"] = self.operator.ext_operator
        return order


def coid_in(body: bytes) -> str | None:
    """Return the cOID of the one order in a request body, None when there is none."""
    try:
        row = _ticket_in(body)
        return None if row is None else text(row, "cOID")
    except BadAnswer:
        return None


def conid_in(body: bytes) -> ConId | None:
    """Return the contract of the one order in a request body, None when there is none."""
    try:
        row = _ticket_in(body)
        return None if row is None else ConId(need_conid(row, "conid"))
    except BadAnswer:
        return None


def _ticket_in(body: bytes) -> Row | None:
    """Return the ticket of a body: one in an array of orders, or a bare one."""
    document = as_row(decode(body), "the body")
    return next(rows_in(document.get("orders", document)), None)


def _prices(ticket: Ticket, terms: Terms) -> dict[str, Decimal]:
    """Return where each price goes; a type that must have one and has none is a bug."""
    kind = ticket.type
    found: dict[str, Decimal | None] = {}
    if kind in LIMITED:
        assert terms.limit_price is not None, f"{kind} has a limit price"
        found[LIMIT] = terms.limit_price
    else:
        assert terms.limit_price is None, f"{kind} has no limit price"
    if kind in STOPPED:
        assert terms.stop_price is not None or kind in _MAY_START_ANYWHERE, (
            f"{kind} has a stop price"
        )
        found[LIMIT] = terms.stop_price
    elif kind in STOPPED_BESIDE:
        assert terms.stop_price is not None, f"{kind} has a stop price"
        found[STOP] = terms.stop_price
    else:
        assert terms.stop_price is None, f"{kind} has no stop price"
    if kind in CAPPED:
        found[LIMIT] = ticket.cap_price
    return {name: price for name, price in found.items() if price is not None}


def _raw(number: Decimal) -> msgspec.Raw:
    """Write a number as JSON without an exponent and without a float in between."""
    assert number.is_finite(), f"{number} is no number"
    return msgspec.Raw(format(number, "f").encode())
