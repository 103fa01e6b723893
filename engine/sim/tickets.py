"""Order tickets: what a client asked for, checked the way the broker checks.

Rule 1: a ticket that was parsed is acceptable; whatever is not becomes a
`Refusal` with the status and the text the broker would answer.

Rule 2: numbers arrive as `Decimal` or `int` and never pass through a float.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from engine.sim.algos import algo_refusal
from engine.sim.instruments import Instrument
from engine.sim.trading_rules import RULE_WORDS, rules_for

COID_LENGTH_MAX: Final = 64
_QUANTITY_MAX: Final = 10_000_000
_PRICE_MAX: Final = 10_000_000
_PERCENT_MAX: Final = 100

_PRICES: Final[Mapping[str, tuple[str | None, str | None]]] = {
    # order type: where its limit (or cap) is, and where its stop (or trigger) is
    "MKT": (None, None),
    "LMT": ("price", None),
    "STP": (None, "price"),
    "STOP_LIMIT": ("price", "auxPrice"),
    "TRAIL": (None, "price"),
    "TRAILLMT": ("price", "auxPrice"),
    "MIDPRICE": ("price", None),
    "MOC": (None, None),
    "LOC": ("price", None),
    "MIT": (None, "price"),
    "LIT": ("price", "auxPrice"),
    "REL": ("price", None),
}
_OPTIONAL_PRICE: Final = frozenset({"TRAIL", "MIDPRICE", "REL"})
TRAILING: Final = frozenset({"TRAIL", "TRAILLMT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The broker's no: most come with HTTP 200 and an `error` text."""

    text: str
    status: int = 200

    def body(self) -> dict[str, Any]:
        """The JSON the client gets."""
        if self.status == 200:  # noqa: PLR2004 - the code is the plain name here
            return {"error": self.text}
        return {"error": self.text, "statusCode": self.status}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One acceptable order request.

    `limit_price` is the limit, or the cap of MIDPRICE and REL; `stop_price` is
    the stop, or the trigger of MIT and LIT; either is None when the type has
    none or it was left out. `trailing_amount` is in the price's unit or, with
    `trailing_type` "%", in percent. With a `cash_quantity` the `quantity` is
    zero until the venue has worked it out. `parent_coid` makes it an exit of the
    bracket whose entry has that client order id; `single_group` makes it a member
    of a group of which one cancels all others.
    """

    account: str
    conid: int
    order_type: str
    side: str
    quantity: Decimal
    tif: str
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    coid: str | None = None
    outside_rth: bool = False
    trailing_type: str | None = None
    trailing_amount: Decimal | None = None
    cash_quantity: Decimal | None = None
    parent_coid: str | None = None
    single_group: bool = False
    algo: str | None = None
    algo_parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_buy(self) -> bool:
        """True for BUY, False for SELL."""
        return self.side == "BUY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The tickets of one request: one, a bracket (its entry first), or a group.

    The members of a group cancel each other; so do the exits of a bracket.
    """

    tickets: tuple[Ticket, ...]

    @property
    def leader(self) -> Ticket:
        """The entry of a bracket, the first of a group, or the only one."""
        return self.tickets[0]

    @property
    def is_bracket(self) -> bool:
        """True for an entry with its exits."""
        return len(self.tickets) > 1 and not self.leader.single_group


def batch_of(tickets: tuple[Ticket, ...]) -> Batch | Refusal:
    """The tickets of one request as what they are together, or the refusal of them."""
    if len(tickets) == 1:
        [only] = tickets
        if only.parent_coid is not None:
            text = f"Bad Request: parentId {only.parent_coid} is no order of this request"
            return Refusal(text=text, status=400)
        return Batch(tickets=tickets)
    if all(ticket.single_group for ticket in tickets):
        if any(ticket.parent_coid is not None for ticket in tickets):
            text = "Bad Request: isSingleGroup and parentId cannot be combined"
            return Refusal(text=text, status=400)
        return Batch(tickets=tickets)
    entries = [ticket for ticket in tickets if ticket.parent_coid is None]
    exits = [ticket for ticket in tickets if ticket.parent_coid is not None]
    if len(entries) != 1 or any(ticket.single_group for ticket in tickets):
        text = (
            f"Bad Request: {len(tickets)} orders in one request, allowed is one order with "
            "others that name it as parentId, or orders that all have isSingleGroup"
        )
        return Refusal(text=text, status=400)
    [entry] = entries
    for ticket in exits:
        if entry.coid is None or ticket.parent_coid != entry.coid:
            text = f"Bad Request: parentId {ticket.parent_coid} is no order of this request"
            return Refusal(text=text, status=400)
        if ticket.coid is not None:
            text = f"Bad Request: cOID is not allowed with parentId, it is {ticket.coid}"
            return Refusal(text=text, status=400)
    return Batch(tickets=(entry, *exits))


def tickets_in(body: Any) -> list[Any] | None:
    """The raw tickets of an order request, None when there are none.

    Both the object with `orders` and the bare array are accepted.
    """
    orders = body.get("orders") if isinstance(body, dict) else body
    return orders if isinstance(orders, list) and orders else None


def parse_ticket(
    raw: Any, *, account: str, instruments: Mapping[int, Instrument]
) -> Ticket | Refusal:
    """The ticket in `raw`, or the broker's refusal of it."""
    if not isinstance(raw, dict):
        return Refusal(text="Bad Request: order is not an object", status=400)
    named = raw.get("acctId", account)
    if named != account:
        return Refusal(text=f"Bad Request: accountId is not valid: {named}", status=400)
    conid = _conid(raw)
    instrument = instruments.get(conid) if conid is not None else None
    if instrument is None:
        found = raw.get("conid", raw.get("conidex"))
        return Refusal(text=f"Bad Request: conid is not valid: {found}", status=400)
    sec_type = raw.get("secType")
    if sec_type not in (None, f"{conid}:{instrument.sec_type}", instrument.sec_type):
        return Refusal(text=f"Bad Request: secType is not valid: {sec_type}", status=400)
    return _parse_terms(raw, account, instrument)


def _parse_terms(raw: Mapping[str, Any], account: str, instrument: Instrument) -> Ticket | Refusal:
    words = _words(raw, instrument)
    if isinstance(words, Refusal):
        return words
    side, order_type, tif, coid = words
    sizes = _sizes(raw, order_type, side, instrument)
    if isinstance(sizes, Refusal):
        return sizes
    prices = _prices(raw, order_type, instrument)
    if isinstance(prices, Refusal):
        return prices
    trail = _trail(raw) if order_type in TRAILING else (None, None)
    if isinstance(trail, Refusal):
        return trail
    algo = _algo(raw, order_type, instrument)
    if isinstance(algo, Refusal):
        return algo
    return Ticket(
        account=account,
        conid=instrument.conid,
        order_type=order_type,
        side=side,
        quantity=sizes[0],
        tif=tif,
        limit_price=prices[0],
        stop_price=prices[1],
        coid=coid,
        outside_rth=raw.get("outsideRTH") is True,
        trailing_type=trail[0],
        trailing_amount=trail[1],
        cash_quantity=sizes[1],
        parent_coid=None if raw.get("parentId") is None else str(raw["parentId"]),
        single_group=raw.get("isSingleGroup") is True,
        algo=algo[0],
        algo_parameters=algo[1],
    )


def _conid(raw: Mapping[str, Any]) -> int | None:
    """The conid as a number; it wins over `conidex` when both are given."""
    value = raw.get("conid")
    if value is None:
        value = str(raw.get("conidex", "")).partition("@")[0]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None


def _words(
    raw: Mapping[str, Any], instrument: Instrument
) -> tuple[str, str, str, str | None] | Refusal:
    side, order_type, tif = (str(raw.get(name)) for name in ("side", "orderType", "tif"))
    coid = raw.get("cOID")
    if side not in {"BUY", "SELL"}:
        return Refusal(text=f"Bad Request: side is not valid: {side}", status=400)
    if instrument.sec_type == "IND":
        return Refusal(text="No trading permissions: an index cannot be traded.")
    forbidden = rules_for(instrument).refusal(
        order_type, tif, outside_rth=raw.get("outsideRTH") is True
    )
    if forbidden is not None:
        return Refusal(text=forbidden)
    if coid is not None and not (isinstance(coid, str) and 0 < len(coid) <= COID_LENGTH_MAX):
        text = f"Bad Request: cOID must be text of 1 to {COID_LENGTH_MAX} characters: {coid}"
        return Refusal(text=text, status=400)
    # CME rule 536-B: an order for a US future says who entered it, and how.
    if instrument.sec_type == "FUT" and not (
        isinstance(raw.get("manualIndicator"), bool) and raw.get("extOperator")
    ):
        return Refusal(text="manualIndicator and extOperator are required for futures orders.")
    return side, order_type, tif, coid


def _number(value: Any) -> Decimal | None:
    """A finite number, given as a JSON number or as text."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    try:
        number = Decimal(value)
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


def _sizes(
    raw: Mapping[str, Any], order_type: str, side: str, instrument: Instrument
) -> tuple[Decimal, Decimal | None] | Refusal:
    """The quantity and the cash quantity; one of them is given, and the first is zero then."""
    if raw.get("cashQty") is None:
        quantity = _quantity(raw.get("quantity"), instrument)
        return quantity if isinstance(quantity, Refusal) else (quantity, None)
    cash = _number(raw["cashQty"])
    if cash is None or raw.get("quantity") is not None:
        text = (
            f"Bad Request: cashQty is {raw['cashQty']} and quantity {raw.get('quantity')}, "
            "needed is one of them"
        )
        return Refusal(text=text, status=400)
    if RULE_WORDS[order_type] not in rules_for(instrument).cash_quantity or side != "BUY":
        return Refusal(
            text=f"Cash quantity cannot be used for this order: {side} {order_type} of "
            f"{instrument.sec_type}."
        )
    if not 0 < cash <= _PRICE_MAX:
        return Refusal(text=f"The cash quantity must be above zero, it is {cash}.")
    return Decimal(0), cash


def _quantity(value: Any, instrument: Instrument) -> Decimal | Refusal:
    quantity = _number(value)
    if quantity is None:
        return Refusal(text=f"Bad Request: quantity is not valid: {value}", status=400)
    if quantity <= 0:
        return Refusal(text=f"The order size must be above zero, it is {value}.")
    if quantity > _QUANTITY_MAX:
        return Refusal(text=f"The order size {value} exceeds the maximum of {_QUANTITY_MAX}.")
    if quantity % instrument.size_increment:
        return Refusal(
            text=f"Fractional-sized order cannot be placed: {value}, "
            f"increment is {instrument.size_increment:f}."
        )
    return quantity


def _prices(
    raw: Mapping[str, Any], order_type: str, instrument: Instrument
) -> tuple[Decimal | None, Decimal | None] | Refusal:
    """The limit and the stop price, each on the tick grid."""
    found: list[Decimal | None] = []
    for name in _PRICES[order_type]:
        left_out = name is None or (order_type in _OPTIONAL_PRICE and raw.get(name) is None)
        if name is None or left_out:
            found.append(None)
            continue
        price = _number(raw.get(name))
        if price is None:
            text = f"Bad Request: {name} is not valid for {order_type}: {raw.get(name)}"
            return Refusal(text=text, status=400)
        if not 0 < price <= _PRICE_MAX:
            text = f"The price must be above zero and at most {_PRICE_MAX}, {name} is {price}."
            return Refusal(text=text)
        increment = instrument.increment(price)
        if price % increment:
            return Refusal(
                text="The price does not conform to the minimum price variation for this "
                f"contract: {name} is {price}, the increment is {increment}."
            )
        found.append(price)
    return found[0], found[1]


def _trail(raw: Mapping[str, Any]) -> tuple[str, Decimal] | Refusal:
    """How far a trailing stop stays behind the market."""
    kind, amount = raw.get("trailingType"), _number(raw.get("trailingAmt"))
    if kind not in ("amt", "%") or amount is None:
        text = (
            "Bad Request: trailingType and trailingAmt are required for a trailing order, "
            f"they are {kind} and {raw.get('trailingAmt')}"
        )
        return Refusal(text=text, status=400)
    most = _PERCENT_MAX if kind == "%" else _PRICE_MAX
    if not 0 < amount < most:
        text = f"The trailing amount must be above zero and below {most}, it is {amount}."
        return Refusal(text=text)
    return kind, amount


def _algo(
    raw: Mapping[str, Any], order_type: str, instrument: Instrument
) -> tuple[str | None, dict[str, str]] | Refusal:
    """The algorithm of an order and its parameters."""
    name, parameters = raw.get("strategy"), raw.get("strategyParameters")
    if name is None:
        return None, {}
    if not isinstance(parameters, dict | None):
        text = f"Bad Request: strategyParameters is not an object: {parameters}"
        return Refusal(text=text, status=400)
    given: dict[str, Any] = parameters or {}
    forbidden = algo_refusal(str(name), given, order_type=order_type, instrument=instrument)
    if forbidden is not None:
        return Refusal(text=forbidden)
    return str(name), {key: str(value) for key, value in given.items()}
