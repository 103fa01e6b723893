"""What can be done to a running gateway from outside, once and by name.

Rule: an action is checked before anything is done; what it did is in its answer.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from engine.sim.gateway import SimGateway
from engine.sim.tickets import Refusal, Ticket, parse_ticket

Arguments = Mapping[str, Any]
Done = dict[str, Any]


class ActionError(ValueError):
    """An action cannot be done; the text says why."""


def act(gateway: SimGateway, name: str, arguments: Arguments = MappingProxyType({})) -> Done:
    """Do one action and say what came of it.

    It is called in the gateway's own loop; another thread uses the control port.

    Raises:
        ActionError: There is no such action, or its arguments cannot be used.
    """
    check(gateway, name, arguments)
    do, _ = ACTIONS[name]
    return do(gateway, arguments)


def check(gateway: SimGateway, name: str, arguments: Arguments = MappingProxyType({})) -> None:
    """Refuse what could not be done whatever became of the orders; nothing is done.

    Raises:
        ActionError: As for `act`.
    """
    if name not in ACTIONS:
        message = f"{name} is no action; known are {', '.join(sorted(ACTIONS))}"
        raise ActionError(message)
    _, allowed = ACTIONS[name]
    unknown = sorted(set(arguments) - set(allowed))
    if unknown:
        message = f"{name} takes {', '.join(allowed) or 'nothing'}, given is {', '.join(unknown)}"
        raise ActionError(message)
    if name == "external":
        _ticket_of(gateway, arguments)
        return
    for argument in {*arguments, *_NEEDED.get(name, ())}:
        _FORMS[argument](arguments, argument)
    if name == "trade_at":
        _market_price(gateway, arguments)


def _cut_connections(gateway: SimGateway, arguments: Arguments) -> Done:
    world, seconds = gateway.world, _number(arguments, "seconds", 0)
    world.down_until_ms = world.clock_ms() + int(seconds * 1000)
    return {"cut": gateway.cut_connections(), "down_for_s": float(seconds)}


def _close_websockets(gateway: SimGateway, _: Arguments) -> Done:
    gateway.faults.close_websockets()
    return {"sockets": len(gateway.world.subscribers)}


def _silence(gateway: SimGateway, arguments: Arguments) -> Done:
    world, seconds = gateway.world, _number(arguments, "seconds")
    world.silent_until_ms = world.clock_ms() + int(seconds * 1000)
    return {"silent_for_s": float(seconds)}


def _restart(gateway: SimGateway, arguments: Arguments) -> Done:
    seconds = _number(arguments, "seconds", 0)
    logged_in = gateway.config.logged_in
    if "logged_in" in arguments:
        logged_in = _flag(arguments, "logged_in")
    gateway.restart(down_s=float(seconds), logged_in=logged_in)
    return {"down_for_s": float(seconds), "logged_in": logged_in}


def _reset_brokerage(gateway: SimGateway, _: Arguments) -> Done:
    gateway.faults.reset_brokerage()
    return {"open_orders": sum(row.working for row in gateway.venue.orders.values())}


def _log_in(gateway: SimGateway, _: Arguments) -> Done:
    gateway.world.session.log_in(gateway.world.clock_ms())
    return {"username": gateway.config.username}


def _log_out(gateway: SimGateway, _: Arguments) -> Done:
    gateway.world.session.log_out()
    gateway.faults.close_websockets()
    return {"username": gateway.config.username}


def _compete(gateway: SimGateway, _: Arguments) -> Done:
    gateway.faults.competing = True
    return {"competing": True}


def _prompt(gateway: SimGateway, arguments: Arguments) -> Done:
    order_id, world = int(_number(arguments, "order")), gateway.world
    wait_ms = world.config.prompt_wait_ms
    if not gateway.venue.prompt(order_id, world.clock_ms(), wait_ms=wait_ms):
        message = f"order {order_id} is not working"
        raise ActionError(message)
    return {"order": order_id, "request_id": gateway.venue.prompts[order_id].request_id}


def _notice(gateway: SimGateway, arguments: Arguments) -> Done:
    gateway.world.tell_notice(_text(arguments, "text"))
    return {"sockets": len(gateway.world.subscribers)}


def _bulletin(gateway: SimGateway, arguments: Arguments) -> Done:
    gateway.world.tell_bulletin(_text(arguments, "text"))
    return {"sockets": len(gateway.world.subscribers)}


def _external(gateway: SimGateway, arguments: Arguments) -> Done:
    """Place the order of a ticket as another client of the account would."""
    ticket = _ticket_of(gateway, arguments)
    order = gateway.venue.place_external(ticket, gateway.world.clock_ms())
    return {"order": order.order_id}


def _ticket_of(gateway: SimGateway, arguments: Arguments) -> Ticket:
    account = str(arguments.get("account", gateway.config.accounts[0]))
    if account not in gateway.venue.accounts:
        message = f"account is {account}, known are {', '.join(gateway.venue.accounts)}"
        raise ActionError(message)
    raw = {"orderType": "MKT", "tif": "DAY", "side": "BUY", "quantity": 1, **arguments}
    raw.pop("account", None)
    if "manualIndicator" not in raw:
        raw |= {"manualIndicator": True, "extOperator": "other"}
    ticket = parse_ticket(raw, account=account, instruments=gateway.world.market.instruments)
    sized = ticket if isinstance(ticket, Refusal) else gateway.venue.sized(ticket)
    if isinstance(sized, Refusal):
        raise ActionError(sized.text)
    return sized


def _cancel_external(gateway: SimGateway, arguments: Arguments) -> Done:
    order_id = int(_number(arguments, "order"))
    refusal = gateway.venue.cancel(order_id, gateway.world.clock_ms())
    if refusal is not None:
        raise ActionError(refusal.text)
    return {"order": order_id}


def _trade_at(gateway: SimGateway, arguments: Arguments) -> Done:
    conid, price = _market_price(gateway, arguments)
    market = gateway.world.market
    market.trade_at(conid, price, gateway.world.clock_ms())
    quote = market.quote(conid)
    return {"conid": conid, "bid": str(quote.bid), "ask": str(quote.ask)}


def _market_price(gateway: SimGateway, arguments: Arguments) -> tuple[int, Decimal]:
    conid, market = int(_number(arguments, "conid")), gateway.world.market
    instrument = market.instruments.get(conid)
    if instrument is None or instrument.strike is not None:
        message = f"conid is {conid}, which is no contract with a market of its own"
        raise ActionError(message)
    price = _number(arguments, "price")
    if price < instrument.tick:
        message = f"price is {price}, the least is {instrument.tick}"
        raise ActionError(message)
    return conid, price


def _number(arguments: Arguments, name: str, missing: int | None = None) -> Decimal:
    value = arguments.get(name, missing)
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite() or number < 0:
        message = f"{name} is {value!r}, needed is a number of 0 or more"
        raise ActionError(message)
    return number


def _text(arguments: Arguments, name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value:
        message = f"{name} is {value!r}, needed is a text"
        raise ActionError(message)
    return value


def _flag(arguments: Arguments, name: str) -> bool:
    value = arguments.get(name)
    if not isinstance(value, bool):
        message = f"{name} is {value!r}, allowed is true or false"
        raise ActionError(message)
    return value


_FORMS: Final[Mapping[str, Callable[[Arguments, str], object]]] = {
    "conid": _number,
    "logged_in": _flag,
    "order": _number,
    "price": _number,
    "seconds": _number,
    "text": _text,
}
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "silence": ("seconds",),
    "prompt": ("order",),
    "notice": ("text",),
    "bulletin": ("text",),
    "cancel_external": ("order",),
    "trade_at": ("conid", "price"),
}
"""What an action cannot do without."""

_TICKET_FIELDS: Final = (
    "account",
    "conid",
    "side",
    "quantity",
    "cashQty",
    "orderType",
    "tif",
    "price",
    "auxPrice",
    "trailingType",
    "trailingAmt",
)
ACTIONS: Final[Mapping[str, tuple[Callable[[SimGateway, Arguments], Done], tuple[str, ...]]]] = {
    "cut_connections": (_cut_connections, ("seconds",)),
    "close_websockets": (_close_websockets, ()),
    "silence": (_silence, ("seconds",)),
    "restart": (_restart, ("seconds", "logged_in")),
    "reset_brokerage": (_reset_brokerage, ()),
    "log_in": (_log_in, ()),
    "log_out": (_log_out, ()),
    "compete": (_compete, ()),
    "prompt": (_prompt, ("order",)),
    "notice": (_notice, ("text",)),
    "bulletin": (_bulletin, ("text",)),
    "external": (_external, _TICKET_FIELDS),
    "cancel_external": (_cancel_external, ("order",)),
    "trade_at": (_trade_at, ("conid", "price")),
}
