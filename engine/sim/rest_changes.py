"""REST: changing and cancelling orders.

Rule: a cancel is answered with a receipt; the order may fill all the same.
"""

from dataclasses import replace
from typing import Final

from engine.sim.answers import Answer, Call, Fate, error, refused, unavailable, whole_number
from engine.sim.order_requests import asked_about, backend_gave_up, one_ticket, questions
from engine.sim.orders import ChangeRequest, Order
from engine.sim.routes import DELETE, POST, Route
from engine.sim.rows import acknowledgement
from engine.sim.session import Tier
from engine.sim.tickets import Batch, Refusal, Ticket
from engine.sim.world import World


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
    ticket = one_ticket(world, account, [call.body])
    if isinstance(ticket, Refusal):
        return refused(ticket)
    # Its own client order id may be repeated in a modify, or left out.
    ticket = replace(ticket, coid=order.ticket.coid, parent_coid=order.ticket.parent_coid)
    refusal = world.venue.refusal(ticket, call.now_ms, replaces=order_id)
    if refusal is not None:
        return refused(refusal)
    batch = Batch(tickets=(ticket,))
    rounds = questions(world, batch, modifies=True)
    if rounds:
        return asked_about(world, world.session.ask(batch, rounds, replaces=order_id))
    return change(world, order_id, ticket, call.now_ms)


def change(world: World, order_id: int, ticket: Ticket, now_ms: int) -> Answer:
    """Give the order its new terms, unless a fault loses them; the answer may be lost too."""
    faults, venue = world.faults, world.venue
    if faults.takes("modify_503_without_accept"):
        return backend_gave_up(world)
    if venue.orders[order_id].working and faults.takes("second_incarnation"):
        venue.incarnate(order_id, ticket, now_ms)
        return backend_gave_up(world)
    refusal = venue.modify(order_id, ticket, now_ms)
    if refusal is not None:
        return refused(refusal)
    answer = Answer(body=[acknowledgement(venue.orders[order_id])])
    if faults.takes("modify_hang"):
        return replace(answer, fate=Fate.NEVER_SENT)
    if faults.takes("modify_503_with_accept"):
        return backend_gave_up(world)
    return _late(world, answer)


def cancel(world: World, call: Call) -> Answer:
    """A cancel that was taken; the order is not cancelled yet. `-1` means all of the account."""
    account, order_id = call.parts["account"], whole_number(call.parts["order"])
    venue = world.venue
    if account not in venue.accounts:
        return error(f"Bad Request: accountId is not valid: {account}", 400)
    if order_id == -1:
        for order in tuple(venue.orders.values()):
            if order.ticket.account == account and order.working:
                venue.cancel(order.order_id, call.now_ms)
        body = {"msg": "Request was submitted", "order_id": -1, "conid": -1, "account": None}
        return Answer(body=body)
    found = venue.orders.get(order_id) if order_id is not None else None
    if found is None or order_id is None or found.ticket.account != account:
        return _no_such_order(call)
    faults = world.faults
    if faults.takes("cancel_503"):
        return unavailable()
    if found.working and faults.takes("cancel_ignored"):
        return _cancel_taken(found)
    if found.working and faults.takes("cancel_unanswered"):
        venue.unanswered.add(order_id)
    if found.working and faults.takes("fill_after_cancel"):
        venue.fills_after_cancel.add(order_id)
    refusal = venue.cancel(order_id, call.now_ms)
    if refusal is not None:
        return Answer(body={"error": refusal.text}, status=refusal.status)
    if found.working and faults.takes("cancel_at_once"):
        venue.cancel_now(order_id, call.now_ms)
    answer = _cancel_taken(found)
    if faults.takes("cancel_hang"):
        return replace(answer, fate=Fate.NEVER_SENT)
    if faults.takes("cancel_503_with_accept"):
        return unavailable()
    return _late(world, answer)


def _late(world: World, answer: Answer) -> Answer:
    if not world.faults.takes("change_answer_late"):
        return answer
    return replace(answer, delay_ms=world.faults.span_ms("answer_late_s"))


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


ROUTES: Final = (
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
)
