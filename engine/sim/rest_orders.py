"""REST: placing, answering, changing and cancelling orders.

Rule 1: one question is open per session; any other order request invalidates
it, and the reply then gets a 503.

Rule 2: every order POST that got as far as a handler is recorded at the venue,
whatever becomes of it, so that a test can count what was sent.

Rule 3: faults for the next order strike where the order would go live, which
may be the POST or the last reply.
"""

from dataclasses import replace
from typing import Any, Final

import structlog

from engine.sim.accounts import commission_for, margin_for
from engine.sim.answers import Answer, Call, Fate, error, refused, text, unavailable, whole_number
from engine.sim.orders import ChangeRequest, Order
from engine.sim.questions import question_body, questions_for, with_faults
from engine.sim.routes import DELETE, POST, Route
from engine.sim.rows import acknowledgement, amount
from engine.sim.session import SUPPRESSED_MAX, Brokerage, Question, Tier
from engine.sim.tickets import Refusal, Ticket, parse_ticket, tickets_in
from engine.sim.world import PROMPT_OPTIONS, World, prompt_row

_log = structlog.get_logger("engine.sim")


def place(world: World, call: Call) -> Answer:
    """A new order: acknowledged, asked about or refused."""
    account, raw = call.parts["account"], tickets_in(call.body)
    if world.faults.takes("next_order_429"):
        return text("Too Many Requests", 429)
    first = raw[0] if raw and isinstance(raw[0], dict) else {}
    coid = first.get("cOID")
    world.venue.record(account=account, body=call.body, coid=coid, now_ms=call.now_ms)
    _log.info("order_received", account=account, coid=coid, conid=first.get("conid"))
    ticket = _ticket(world, account, raw)
    if isinstance(ticket, Refusal):
        return refused(ticket)
    rejection = world.faults.takes_text("reject_next")
    refusal = Refusal(text=rejection) if rejection else world.venue.refusal(ticket, call.now_ms)
    if refusal is not None:
        return refused(refusal)
    message_ids = with_faults(
        _questions(world, ticket, modifies=False),
        unknown=_struck(world, "unknown_question"),
        rounds_min=world.faults.question_rounds,
    )
    if message_ids:
        question = world.session.ask(ticket, message_ids)
        return Answer(body=question_body(question, message_ids[0]))
    return _go_live(world, ticket, call.now_ms)


def reply(world: World, call: Call) -> Answer:
    """The answer to the open question; it may lead to the next one."""
    brokerage, question_id = _brokerage(world), call.parts["id"]
    late = brokerage.invalidated.pop(question_id, None)
    if late is not None:
        return _late_reply(world, late, call)
    question = brokerage.question
    if question is None or question.question_id != question_id:
        return Answer(body={"error": f"reply id not found: '{question_id}'"}, status=400)
    brokerage.question = None
    confirmed = call.body.get("confirmed") if isinstance(call.body, dict) else None
    if confirmed is not True:
        return Answer(body={"error": "Order not confirmed "})
    if question.remaining:
        follow_up = world.session.ask(
            question.ticket, question.remaining, replaces=question.replaces
        )
        return Answer(body=question_body(follow_up, question.remaining[0]))
    refusal = world.venue.refusal(question.ticket, call.now_ms, replaces=question.replaces)
    if refusal is not None:
        return refused(refusal)
    if question.replaces is not None:
        return _change(world, question.replaces, question.ticket, call.now_ms)
    return _go_live(world, question.ticket, call.now_ms)


def modify(world: World, call: Call) -> Answer:
    """New terms for a working order, as one bare ticket."""
    account, order_id = call.parts["account"], whole_number(call.parts["order"])
    order = world.venue.orders.get(order_id) if order_id is not None else None
    request = ChangeRequest(
        order_id=order_id or 0, account=account, body=call.body, at_ms=call.now_ms
    )
    world.venue.change_requests.append(request)
    if order is None or order_id is None or order.ticket.account != account or not order.working:
        return _no_such_order(call)
    ticket = _ticket(world, account, [call.body])
    if isinstance(ticket, Refusal):
        return refused(ticket)
    # Its own client order id may be repeated in a modify, or left out.
    ticket = replace(ticket, coid=order.ticket.coid)
    refusal = world.venue.refusal(ticket, call.now_ms, replaces=order_id)
    if refusal is not None:
        return refused(refusal)
    message_ids = _questions(world, ticket, modifies=True)
    if message_ids:
        question = world.session.ask(ticket, message_ids, replaces=order_id)
        return Answer(body=question_body(question, message_ids[0]))
    return _change(world, order_id, ticket, call.now_ms)


def cancel(world: World, call: Call) -> Answer:
    """A cancel that was taken; the order is not cancelled yet. `-1` means all of the account."""
    account, order_id = call.parts["account"], whole_number(call.parts["order"])
    if account not in world.venue.accounts:
        return _invalid_account(account)
    if order_id == -1:
        for order in tuple(world.venue.orders.values()):
            if order.ticket.account == account and order.working:
                world.venue.cancel(order.order_id, call.now_ms)
        body = {"msg": "Request was submitted", "order_id": -1, "conid": -1, "account": None}
        return Answer(body=body)
    order_found = world.venue.orders.get(order_id) if order_id is not None else None
    if order_found is None or order_id is None or order_found.ticket.account != account:
        return _no_such_order(call)
    if world.faults.takes("cancel_503"):
        return unavailable()
    if order_found.working and world.faults.takes("cancel_ignored"):
        return _cancel_taken(order_found)
    refusal = world.venue.cancel(order_id, call.now_ms)
    if refusal is not None:
        return Answer(body={"error": refusal.text}, status=refusal.status)
    answer = _cancel_taken(order_found)
    if world.faults.takes("cancel_hang"):
        return replace(answer, fate=Fate.NEVER_SENT)
    return unavailable() if world.faults.takes("cancel_503_with_accept") else answer


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
    ticket = _ticket(world, call.parts["account"], tickets_in(call.body))
    if isinstance(ticket, Refusal):
        return refused(ticket)
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
    _brokerage(world).suppressed = frozenset(str(message_id) for message_id in ids)
    return Answer(body={"status": "submitted"})


def suppress_reset(world: World, _: Call) -> Answer:
    """Ask everything again."""
    _brokerage(world).suppressed = frozenset()
    return Answer(body={"status": "submitted"})


def _brokerage(world: World) -> Brokerage:
    assert world.session.brokerage is not None, "the router checked the brokerage tier"
    return world.session.brokerage


def _invalid_account(account: str) -> Answer:
    return error(f"Bad Request: accountId is not valid: {account}", 400)


def _no_such_order(call: Call) -> Answer:
    return Answer(body={"error": f"OrderID {call.parts['order']} doesn't exist"}, status=400)


def _cancel_taken(order: Order) -> Answer:
    # A cancel that took effect at once answers without conid and account.
    ended = not order.working
    return Answer(
        body={
            "msg": "Request was submitted",
            "order_id": order.order_id,
            "conid": -1 if ended else order.ticket.conid,
            "account": None if ended else order.ticket.account,
        }
    )


def _struck(world: World, name: str) -> bool:
    """True when a switched fault is on; that it struck is counted."""
    is_on = bool(getattr(world.faults, name))
    if is_on:
        world.faults.struck[name] += 1
    return is_on


def _ticket(world: World, account: str, raw: list[Any] | None) -> Ticket | Refusal:
    """The one ticket of a request."""
    if account not in world.venue.accounts:
        return Refusal(text=f"Bad Request: accountId is not valid: {account}", status=400)
    if raw is None:
        return Refusal(text="Bad Request: orders are missing", status=400)
    if len(raw) > 1:
        return Refusal(text=f"Bad Request: {len(raw)} orders in one request, at most 1", status=400)
    ticket = parse_ticket(raw[0], account=account, instruments=world.market.instruments)
    return ticket if isinstance(ticket, Refusal) else world.venue.sized(ticket)


def _questions(world: World, ticket: Ticket, *, modifies: bool) -> tuple[str, ...]:
    quote, brokerage = world.market.quote(ticket.conid), _brokerage(world)
    return questions_for(
        ticket,
        rules=world.config.questions,
        touch=quote.ask if ticket.is_buy else quote.bid,
        has_market_data=world.session.has_market_data(ticket.conid, world.clock_ms()),
        suppressed=brokerage.suppressed,
        modifies=modifies,
    )


def _late_reply(world: World, question: Question, call: Call) -> Answer:
    """A reply to an invalidated question: 503, and in the worst case the order lives."""
    confirmed = isinstance(call.body, dict) and call.body.get("confirmed") is True
    refusal = world.venue.refusal(question.ticket, call.now_ms)
    if confirmed and refusal is None and _struck(world, "invalidated_question_goes_live"):
        world.venue.accept(question.ticket, call.now_ms)
    return unavailable()


def _change(world: World, order_id: int, ticket: Ticket, now_ms: int) -> Answer:
    """Give the order its new terms, unless a fault loses them; the answer may be lost too."""
    faults = world.faults
    if faults.takes("modify_503_without_accept"):
        return unavailable()
    refusal = world.venue.modify(order_id, ticket, now_ms)
    if refusal is not None:
        return refused(refusal)
    answer = Answer(body=acknowledgement(world.venue.orders[order_id]))
    if faults.takes("modify_hang"):
        return replace(answer, fate=Fate.NEVER_SENT)
    return unavailable() if faults.takes("modify_503_with_accept") else answer


def _go_live(world: World, ticket: Ticket, now_ms: int) -> Answer:
    """Accept the order, unless a fault loses it; the answer may be lost too."""
    faults = world.faults
    if faults.takes("hang_order_without_accept"):
        return Answer(body=None, fate=Fate.NEVER_SENT)
    if faults.takes("status_503_without_accept"):
        return unavailable()
    inactive = faults.takes("inactive_next")
    order = world.venue.accept(
        ticket, now_ms, rejected_because="The order was not transmitted." if inactive else None
    )
    answer = Answer(body=acknowledgement(order))
    if faults.takes("prompt_next"):
        world.venue.prompt(order.order_id, now_ms, wait_ms=world.config.prompt_wait_ms)
    if order.working and faults.takes("advanced_reject_next"):
        world.venue.prompt(order.order_id, now_ms, wait_ms=world.config.prompt_wait_ms)
        answer = Answer(body=prompt_row(world.venue.prompts[order.order_id]))
    reason = faults.takes_text("cancel_next")
    if reason is not None:
        world.venue.cancel_by_system(order.order_id, reason, now_ms)
    if faults.takes("hang_next_order"):
        return replace(answer, fate=Fate.NEVER_SENT)
    if faults.takes("status_503_with_accept"):
        return unavailable()
    bytes_max = faults.takes_drop()
    return answer if bytes_max is None else replace(answer, fate=Fate.CUT, bytes_max=bytes_max)


ROUTES: Final = (
    Route(
        methods=POST,
        pattern="/iserver/account/{account}/orders",
        handler=place,
        tier=Tier.PRIMED,
        is_order_request=True,
    ),
    Route(
        methods=POST,
        pattern="/iserver/account/{account}/orders/whatif",
        handler=what_if,
        tier=Tier.PRIMED,
        is_order_request=True,
    ),
    Route(
        methods=POST,
        pattern="/iserver/account/{account}/order/{order}",
        handler=modify,
        tier=Tier.PRIMED,
        is_order_request=True,
    ),
    Route(
        methods=DELETE,
        pattern="/iserver/account/{account}/order/{order}",
        handler=cancel,
        tier=Tier.PRIMED,
        is_order_request=True,
    ),
    Route(methods=POST, pattern="/iserver/reply/{id}", handler=reply, tier=Tier.PRIMED),
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
