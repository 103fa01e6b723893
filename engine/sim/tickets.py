"""Order tickets: what a client asked for, checked the way the broker checks.

Rule 1: a ticket that was parsed is acceptable; whatever is not becomes a
`Refusal` with the status and the text the broker would answer.

Rule 2: numbers arrive as `Decimal` or `int` and never pass through a float.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from engine.sim.instruments import Instrument

COID_LENGTH_MAX: Final = 64
ORDER_TYPES: Final = frozenset({"MKT", "LMT", "STP", "STOP_LIMIT"})
TIFS: Final = frozenset({"DAY", "GTC", "IOC"})
_QUANTITY_MAX: Final = 10_000_000
_PRICE_MAX: Final = 10_000_000


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

    `limit_price` is None for MKT and STP, `stop_price` for MKT and LMT. On the
    wire a stop price is in `price` for STP and in `auxPrice` for STOP_LIMIT.
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

    @property
    def is_buy(self) -> bool:
        """True for BUY, False for SELL."""
        return self.side == "BUY"


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
    return _parse_terms(raw, account, instrument)


def _parse_terms(raw: Mapping[str, Any], account: str, instrument: Instrument) -> Ticket | Refusal:
    words = _words(raw, instrument)
    if isinstance(words, Refusal):
        return words
    side, order_type, tif, coid = words
    quantity = _quantity(raw.get("quantity"))
    if isinstance(quantity, Refusal):
        return quantity
    prices = _prices(raw, order_type, instrument)
    if isinstance(prices, Refusal):
        return prices
    return Ticket(
        account=account,
        conid=instrument.conid,
        order_type=order_type,
        side=side,
        quantity=quantity,
        tif=tif,
        limit_price=prices[0],
        stop_price=prices[1],
        coid=coid,
        outside_rth=raw.get("outsideRTH") is True,
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
    if order_type not in ORDER_TYPES:
        text = f"Order type {order_type} is not supported for this contract."
        return Refusal(text=text)
    if tif not in TIFS:
        return Refusal(text=f"Invalid time in force: {tif}")
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


def _quantity(value: Any) -> Decimal | Refusal:
    quantity = _number(value)
    if quantity is None:
        return Refusal(text=f"Bad Request: quantity is not valid: {value}", status=400)
    if quantity <= 0:
        return Refusal(text=f"The order size must be above zero, it is {value}.")
    if quantity != quantity.to_integral_value():
        return Refusal(text=f"Fractional-sized order cannot be placed: {value}, increment is 1.")
    if quantity > _QUANTITY_MAX:
        return Refusal(text=f"The order size {value} exceeds the maximum of {_QUANTITY_MAX}.")
    return quantity


def _prices(
    raw: Mapping[str, Any], order_type: str, instrument: Instrument
) -> tuple[Decimal | None, Decimal | None] | Refusal:
    """The limit and the stop price, each on the tick grid."""
    wanted = {
        "MKT": (None, None),
        "LMT": ("price", None),
        "STP": (None, "price"),
        "STOP_LIMIT": ("price", "auxPrice"),
    }[order_type]
    found: list[Decimal | None] = []
    for name in wanted:
        if name is None:
            found.append(None)
            continue
        price = _number(raw.get(name))
        if price is None:
            text = f"Bad Request: {name} is not valid for {order_type}: {raw.get(name)}"
            return Refusal(text=text, status=400)
        if not 0 < price <= _PRICE_MAX:
            text = f"The price must be above zero and at most {_PRICE_MAX}, {name} is {price}."
            return Refusal(text=text)
        if price % instrument.tick:
            return Refusal(
                text="The price does not conform to the minimum price variation for this "
                f"contract: {name} is {price}, the increment is {instrument.tick}."
            )
        found.append(price)
    return found[0], found[1]
