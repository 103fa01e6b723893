"""REST: questions and prompts apart from the reply to one, and previews of orders."""

from typing import Any, Final

from engine.sim.accounts import commission_for, margin_for
from engine.sim.answers import Answer, Call, error, refused, whole_number
from engine.sim.order_requests import batch_in, brokerage_of
from engine.sim.routes import POST, Route
from engine.sim.rows import amount
from engine.sim.session import SUPPRESSED_MAX, Tier
from engine.sim.tickets import Refusal, tickets_in
from engine.sim.world import PROMPT_OPTIONS, World


def notification(world: World, call: Call) -> Answer:
    """The answer to a prompt about an order that was taken; the answer to it is a bare text."""
    body = call.body if isinstance(call.body, dict) else {}
    order_id, request_id, said = body.get("orderId"), body.get("reqId"), body.get("text")
    if said not in PROMPT_OPTIONS:
        return error(f"Bad Request: text is {said}, allowed are {', '.join(PROMPT_OPTIONS)}", 400)
    number = whole_number(str(order_id))
    if number is None or not world.venue.answer_prompt(number, str(request_id)):
        return error(f"Bad Request: no prompt {request_id} is open for order {order_id}", 400)
    return Answer(body="Success")


def what_if(world: World, call: Call) -> Answer:
    """What an order would cost; all values are texts with thousands separators."""
    batch = batch_in(world, call.parts["account"], tickets_in(call.body))
    if isinstance(batch, Refusal):
        return refused(batch)
    # Of a bracket it is the entry that costs something.
    ticket = batch.leader
    instrument = world.venue.instrument(ticket.conid)
    quote = world.market.quote(ticket.conid)
    price = ticket.limit_price or (quote.ask if ticket.is_buy else quote.bid)
    value = price * ticket.quantity * instrument.multiplier
    commission = commission_for(instrument, ticket.quantity * 0, ticket.quantity)
    margin = margin_for(instrument, ticket.quantity, price)
    values = world.venue.valuation(ticket.account)
    held = world.venue.accounts[ticket.account].positions.get(ticket.conid)
    before = held.quantity if held else ticket.quantity * 0
    change = ticket.quantity if ticket.is_buy else -ticket.quantity

    def steps(current: Any, moved: Any) -> dict[str, str]:
        return {
            "current": amount(current, 0),
            "change": amount(moved, 0),
            "after": amount(current + moved, 0),
        }

    has_data = world.session.has_market_data(ticket.conid, call.now_ms)
    return Answer(
        body={
            "amount": {
                "amount": f"{amount(value)} USD ({amount(ticket.quantity, 0)} Shares)",
                "commission": f"{amount(commission)} USD",
                "total": f"{amount(value + commission)} USD",
            },
            "equity": steps(values.net_liquidation, -commission),
            "initial": steps(values.initial_margin, margin),
            "maintenance": steps(values.initial_margin, margin),
            "position": steps(before, change),
            "warn": None
            if has_data
            else "21/You are trying to submit an order without having market data.",
            "error": None,
        }
    )


def suppress(world: World, call: Call) -> Answer:
    """The ids not to ask any more in this session; the list replaces the former one."""
    ids = call.body.get("messageIds") if isinstance(call.body, dict) else None
    if not isinstance(ids, list) or not ids or len(ids) > SUPPRESSED_MAX:
        text_ = f"Bad Request: messageIds needs 1 to {SUPPRESSED_MAX} ids"
        return Answer(body={"error": text_}, status=500)
    brokerage_of(world).suppressed = frozenset(str(message_id) for message_id in ids)
    return Answer(body={"status": "submitted"})


def suppress_reset(world: World, _: Call) -> Answer:
    """Ask everything again."""
    brokerage_of(world).suppressed = frozenset()
    return Answer(body={"status": "submitted"})


ROUTES: Final = (
    Route(
        methods=POST,
        pattern="/iserver/account/{account}/orders/whatif",
        handler=what_if,
        tier=Tier.PRIMED,
        is_order_request=True,
    ),
    Route(methods=POST, pattern="/iserver/notification", handler=notification, tier=Tier.PRIMED),
    Route(
        methods=POST, pattern="/iserver/questions/suppress", handler=suppress, tier=Tier.BROKERAGE
    ),
    Route(
        methods=POST,
        pattern="/iserver/questions/suppress/reset",
        handler=suppress_reset,
        tier=Tier.BROKERAGE,
    ),
)
