"""An order as the broker wants it written: the request bodies that are journaled and sent.

Rule 1: a number is written as the exact decimal that it is, never through a float.

Rule 2: a body has what its type needs and nothing else; what cannot be written is refused
before it is one.

Rule 3: of a bracket only the entry carries an id of ours. The exits name it as their parent;
the broker wants no id of a client's on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec

from engine.domain.values import (
    AlgoParameter,
    Coid,
    ConId,
    GroupKind,
    OrderType,
    ParameterKind,
    Reason,
    Terms,
    Ticket,
    TimeInForce,
)
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
        return msgspec.json.encode(
            {"orders": [self._order(ticket, _terms(ticket), {"cOID": coid})]}
        )

    def encode_group(self, orders: Sequence[tuple[Ticket, Coid]]) -> bytes:
        """Return the body that places a whole group in one request, its leader first.

        The members of a one-cancels-all group are marked as one, each with its own id.
        """
        places = [ticket.group for ticket, _ in orders]
        assert places, "a group has orders"
        assert all(
            place is not None and (place.index, place.size) == (index, len(orders))
            for index, place in enumerate(places)
        ), "the orders of a group are all there, the leader first"
        leader = orders[0][1]
        return msgspec.json.encode(
            {
                "orders": [
                    self._order(ticket, _terms(ticket), _links(ticket, coid, leader))
                    for ticket, coid in orders
                ]
            }
        )

    def encode_change(
        self, ticket: Ticket, coid: Coid, terms: Terms, *, leader: Coid | None = None
    ) -> bytes:
        """Return the body that gives the order these terms: one bare ticket, all of it.

        The cOID is left out. The address names the order, the broker's list of what a
        modify takes has no cOID in it, and one that is repeated might be refused as
        registered already, which would leave the outcome open. The exit of a bracket
        still names its entry, `leader`: without that it might become an order of its own.
        """
        assert ticket.cash_quantity is None or terms.quantity == ticket.quantity, (
            f"{coid} is for an amount of money, which a modify cannot change into a quantity"
        )
        is_exit = ticket.group is not None and ticket.group.is_exit
        assert is_exit == (leader is not None), f"{coid}: exactly an exit names its entry"
        links: dict[str, object] = {} if leader is None else {"parentId": leader}
        return msgspec.json.encode(self._order(ticket, terms, links))

    def refusal(self, ticket: Ticket) -> Reason | None:
        """Say why this ticket cannot be written at all, None when it can."""
        if ticket.sec_type in FUTURES and self.operator is None:
            message = (
                f"an order for a {ticket.sec_type} must say who enters it (manualIndicator and "
                "extOperator), and the configuration has no futures_operator"
            )
            return Reason(code="EXT_OPERATOR_MISSING", message=message)
        return None

    def _order(self, ticket: Ticket, terms: Terms, links: dict[str, object]) -> dict[str, object]:
        assert self.refusal(ticket) is None, "refusal() comes before a ticket is written"
        order: dict[str, object] = {"acctId": ticket.account, "conid": ticket.conid}
        if ticket.sec_type != _STOCK:
            order["secType"] = f"{ticket.conid}:{ticket.sec_type}"
        order |= links
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
        # The broker's tickets have no field for a date: the engine's own timer cancels.
        tif = TimeInForce.GTC if ticket.tif is TimeInForce.GTD else ticket.tif
        order["tif"] = tif.value
        order["outsideRTH"] = ticket.outside_rth
        if ticket.sec_type in FUTURES and self.operator is not None:
            order["manualIndicator"] = self.operator.manual
            order["extOperator"] = self.operator.ext_operator
        if ticket.algo is not None:
            order["strategy"] = ticket.algo.name
            order["strategyParameters"] = {
                parameter.name: _value(parameter) for parameter in ticket.algo.parameters
            }
        return order


def _terms(ticket: Ticket) -> Terms:
    return Terms(
        quantity=ticket.quantity, limit_price=ticket.limit_price, stop_price=ticket.stop_price
    )


def _links(ticket: Ticket, coid: Coid, leader: Coid) -> dict[str, object]:
    """Return what says how an order hangs together with the others of its request."""
    assert ticket.group is not None, f"{coid} is of a group"
    if ticket.group.is_exit:
        return {"parentId": leader}
    if ticket.group.kind is GroupKind.OCA:
        return {"cOID": coid, "isSingleGroup": True}
    return {"cOID": coid}


def _value(parameter: AlgoParameter) -> object:
    """Write a parameter of an algorithm as the type that the broker names for it."""
    match parameter.kind:
        case ParameterKind.TEXT:
            return parameter.value
        case ParameterKind.NUMBER:
            return _raw(Decimal(parameter.value))
        case ParameterKind.FLAG:
            assert parameter.value in ("true", "false"), f"{parameter.value} is no flag"
            return parameter.value == "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a request body says of itself: of how many orders it is, and their ids.

    The first of `coids` is the one order's, or that of a group's leader. The exits of a
    bracket have none.
    """

    coids: tuple[Coid, ...] = ()
    orders: int = 1

    @property
    def coid(self) -> Coid | None:
        """The id of the order that the answer is for, None when the body names none."""
        return self.coids[0] if self.coids else None


NOTHING_KNOWN: Final = Sent()


def sent_in(body: bytes) -> Sent:
    """Return what a request body says of itself, as far as it can be read."""
    try:
        rows = _tickets_in(body)
        coids = tuple(Coid(coid) for row in rows if (coid := text(row, "cOID")) is not None)
    except BadAnswer:
        return NOTHING_KNOWN
    return Sent(coids=coids, orders=max(1, len(rows)))


def conid_in(body: bytes) -> ConId | None:
    """Return the contract of the orders in a request body, None when there is none."""
    try:
        rows = _tickets_in(body)
        return ConId(need_conid(rows[0], "conid")) if rows else None
    except BadAnswer:
        return None


def _tickets_in(body: bytes) -> tuple[Row, ...]:
    """Return the tickets of a body: those in an array of orders, or a bare one."""
    document = as_row(decode(body), "the body")
    return tuple(rows_in(document.get("orders", document)))


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
