"""What can be done from outside to orders, executions, positions and prices.

Rule: the broker and its exchanges do all of this; no client of the gateway can.
"""

from decimal import Decimal
from typing import Final

from engine.sim.arguments import ActionError, Arguments, Done, number_of, signed_of, text_of
from engine.sim.gateway import SimGateway
from engine.sim.orders import Order
from engine.sim.tickets import Refusal, Ticket, parse_ticket


def external(gateway: SimGateway, arguments: Arguments) -> Done:
    """Place the order of a ticket as another client of the account would."""
    ticket = ticket_of(gateway, arguments)
    order = gateway.venue.place_external(ticket, gateway.world.clock_ms())
    return {"order": order.order_id}


def ticket_of(gateway: SimGateway, arguments: Arguments) -> Ticket:
    """The ticket of an order of another client.

    Raises:
        ActionError: The broker would refuse it.
    """
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


def cancel_external(gateway: SimGateway, arguments: Arguments) -> Done:
    """Cancel an order as another client of the account would."""
    order_id = int(number_of(arguments, "order"))
    refusal = gateway.venue.cancel(order_id, gateway.world.clock_ms())
    if refusal is not None:
        raise ActionError(refusal.text)
    return {"order": order_id}


def trade_at(gateway: SimGateway, arguments: Arguments) -> Done:
    """Move a market to a price at which it trades."""
    conid, price = market_price(gateway, arguments)
    market = gateway.world.market
    market.trade_at(conid, price, gateway.world.clock_ms())
    quote = market.quote(conid)
    return {"conid": conid, "bid": str(quote.bid), "ask": str(quote.ask)}


def market_price(gateway: SimGateway, arguments: Arguments) -> tuple[int, Decimal]:
    """A contract with a market of its own, and a price it may have.

    Raises:
        ActionError: It has none, or may not.
    """
    conid, market = int(number_of(arguments, "conid")), gateway.world.market
    instrument = market.instruments.get(conid)
    if instrument is None or instrument.strike is not None:
        message = f"conid is {conid}, which is no contract with a market of its own"
        raise ActionError(message)
    price = number_of(arguments, "price")
    if price < instrument.tick:
        message = f"price is {price}, the least is {instrument.tick}"
        raise ActionError(message)
    return conid, price


def bust(gateway: SimGateway, arguments: Arguments) -> Done:
    """Take an execution back; any of its revisions names it."""
    return _revise(gateway, arguments, quantity=Decimal(0))


def correct(gateway: SimGateway, arguments: Arguments) -> Done:
    """Give an execution another price, a smaller quantity, or both."""
    if not {"price", "quantity"} & set(arguments):
        message = "correct needs a price, a quantity, or both"
        raise ActionError(message)
    quantity = number_of(arguments, "quantity") if "quantity" in arguments else None
    return _revise(gateway, arguments, quantity=quantity)


def _revise(gateway: SimGateway, arguments: Arguments, *, quantity: Decimal | None) -> Done:
    name, venue = text_of(arguments, "execution"), gateway.venue
    try:
        index = venue.execution_index(name.rpartition(".")[0])
    except KeyError as error:
        message = f"execution is {name}, which is none of this venue"
        raise ActionError(message) from error
    old = venue.executions[index]
    if quantity is not None and quantity > old.quantity:
        message = f"quantity is {quantity}, at most the {old.quantity} that traded"
        raise ActionError(message)
    new = venue.correct(
        index,
        gateway.world.clock_ms(),
        quantity=old.quantity if quantity is None else quantity,
        price=number_of(arguments, "price") if "price" in arguments else old.price,
    )
    return {
        "execution": new.execution_id,
        "quantity": str(new.quantity),
        "price": str(new.price),
    }


def renumber(gateway: SimGateway, arguments: Arguments) -> Done:
    """Give one order, or every working one, another id."""
    venue, now_ms = gateway.venue, gateway.world.clock_ms()
    if "order" in arguments:
        old_ids = [_order_of(gateway, arguments).order_id]
    else:
        old_ids = [row.order_id for row in venue.orders.values() if row.working]
    return {str(old_id): venue.renumber(old_id, now_ms) for old_id in old_ids}


def incarnate(gateway: SimGateway, arguments: Arguments) -> Done:
    """Make a second order with the terms and the client order id of a first one."""
    order = _order_of(gateway, arguments)
    second = gateway.venue.incarnate(order.order_id, order.ticket, gateway.world.clock_ms())
    return {"order": order.order_id, "second": second.order_id}


def _order_of(gateway: SimGateway, arguments: Arguments) -> Order:
    order_id = int(number_of(arguments, "order"))
    order = gateway.venue.orders.get(order_id)
    if order is None:
        message = f"OrderID {order_id} doesn't exist"
        raise ActionError(message)
    return order


def move_position(gateway: SimGateway, arguments: Arguments) -> Done:
    """Change a position without an order or a trade, as a transfer does."""
    account = str(arguments.get("account", gateway.config.accounts[0]))
    conid, quantity = int(number_of(arguments, "conid")), signed_of(arguments, "quantity")
    if account not in gateway.venue.accounts or conid not in gateway.world.market.instruments:
        message = f"account is {account} and conid {conid}, one of them is not known"
        raise ActionError(message)
    held = gateway.venue.move_position(account, conid, quantity)
    return {"account": account, "conid": conid, "position": str(held)}


def end_day(gateway: SimGateway, _: Arguments) -> Done:
    """End the venue's day: orders for the day end with it."""
    return {"ended": list(gateway.venue.end_day(gateway.world.clock_ms()))}


def answer_cancels(gateway: SimGateway, _: Arguments) -> Done:
    """Let the cancels that nobody answered take effect."""
    return {"cancelled": list(gateway.venue.answer_cancels(gateway.world.clock_ms()))}


TICKET_FIELDS: Final = (
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
