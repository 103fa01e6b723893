"""What can be done to a running gateway from outside, once and by name.

Rule: an action is checked before anything is done; what it did is in its answer.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from engine.sim.arguments import (
    ActionError,
    Arguments,
    Done,
    flag_of,
    number_of,
    signed_of,
    text_of,
)
from engine.sim.gateway import SimGateway
from engine.sim.venue_actions import (
    TICKET_FIELDS,
    answer_cancels,
    bust,
    cancel_external,
    correct,
    end_day,
    external,
    incarnate,
    market_price,
    move_position,
    renumber,
    ticket_of,
    trade_at,
)


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
        ticket_of(gateway, arguments)
        return
    for argument in {*arguments, *_NEEDED.get(name, ())}:
        _FORMS[argument](arguments, argument)
    if name == "trade_at":
        market_price(gateway, arguments)


def _cut_connections(gateway: SimGateway, arguments: Arguments) -> Done:
    world, seconds = gateway.world, number_of(arguments, "seconds", 0)
    world.down_until_ms = world.clock_ms() + int(seconds * 1000)
    return {"cut": gateway.cut_connections(), "down_for_s": float(seconds)}


def _close_websockets(gateway: SimGateway, _: Arguments) -> Done:
    gateway.faults.close_websockets()
    return {"sockets": len(gateway.world.subscribers)}


def _silence(gateway: SimGateway, arguments: Arguments) -> Done:
    world, seconds = gateway.world, number_of(arguments, "seconds")
    world.silent_until_ms = world.clock_ms() + int(seconds * 1000)
    return {"silent_for_s": float(seconds)}


def _restart(gateway: SimGateway, arguments: Arguments) -> Done:
    seconds = number_of(arguments, "seconds", 0)
    logged_in = gateway.config.logged_in
    if "logged_in" in arguments:
        logged_in = flag_of(arguments, "logged_in")
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
    order_id, world = int(number_of(arguments, "order")), gateway.world
    wait_ms = world.config.prompt_wait_ms
    if not gateway.venue.prompt(order_id, world.clock_ms(), wait_ms=wait_ms):
        message = f"order {order_id} is not working"
        raise ActionError(message)
    return {"order": order_id, "request_id": gateway.venue.prompts[order_id].request_id}


def _notice(gateway: SimGateway, arguments: Arguments) -> Done:
    gateway.world.tell_notice(text_of(arguments, "text"))
    return {"sockets": len(gateway.world.subscribers)}


def _bulletin(gateway: SimGateway, arguments: Arguments) -> Done:
    gateway.world.tell_bulletin(text_of(arguments, "text"))
    return {"sockets": len(gateway.world.subscribers)}


def _pause(gateway: SimGateway, arguments: Arguments) -> Done:
    world, seconds = gateway.world, number_of(arguments, "seconds")
    world.paused_until_ms = world.clock_ms() + int(seconds * 1000)
    return {"paused_for_s": float(seconds)}


def _maintenance(gateway: SimGateway, arguments: Arguments) -> Done:
    world, seconds = gateway.world, number_of(arguments, "seconds")
    world.maintained_until_ms = world.clock_ms() + int(seconds * 1000)
    world.apply_faults()
    return {"maintained_for_s": float(seconds), "then": "log_in"}


def _change_certificate(gateway: SimGateway, _: Arguments) -> Done:
    if not gateway.change_certificate():
        message = "this gateway speaks no TLS"
        raise ActionError(message)
    return {"pin_sha256": gateway.pin_sha256}


def _select_account(gateway: SimGateway, arguments: Arguments) -> Done:
    account = text_of(arguments, "account")
    brokerage = gateway.world.session.brokerage
    if account not in gateway.config.accounts or brokerage is None:
        known = ", ".join(gateway.config.accounts)
        message = f"account is {account}, known to an open brokerage session are {known}"
        raise ActionError(message)
    brokerage.selected_account = account
    return {"selected": account}


_FORMS: Final[Mapping[str, Callable[[Arguments, str], object]]] = {
    "account": text_of,
    "conid": number_of,
    "execution": text_of,
    "logged_in": flag_of,
    "order": number_of,
    "price": number_of,
    "quantity": signed_of,
    "seconds": number_of,
    "text": text_of,
}
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "silence": ("seconds",),
    "prompt": ("order",),
    "notice": ("text",),
    "bulletin": ("text",),
    "cancel_external": ("order",),
    "trade_at": ("conid", "price"),
    "pause": ("seconds",),
    "maintenance": ("seconds",),
    "select_account": ("account",),
    "bust": ("execution",),
    "correct": ("execution",),
    "incarnate": ("order",),
    "move_position": ("conid", "quantity"),
}
"""What an action cannot do without."""

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
    "external": (external, TICKET_FIELDS),
    "cancel_external": (cancel_external, ("order",)),
    "trade_at": (trade_at, ("conid", "price")),
    "pause": (_pause, ("seconds",)),
    "maintenance": (_maintenance, ("seconds",)),
    "change_certificate": (_change_certificate, ()),
    "select_account": (_select_account, ("account",)),
    "bust": (bust, ("execution",)),
    "correct": (correct, ("execution", "price", "quantity")),
    "renumber": (renumber, ("order",)),
    "incarnate": (incarnate, ("order",)),
    "move_position": (move_position, ("account", "conid", "quantity")),
    "end_day": (end_day, ()),
    "answer_cancels": (answer_cancels, ()),
}
