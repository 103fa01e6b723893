"""REST: placing orders, and answering the questions about them.

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

from engine.sim.answers import Answer, Call, Fate, refused, text, unavailable
from engine.sim.order_requests import (
    asked_about,
    backend_gave_up,
    batch_in,
    brokerage_of,
    questions,
)
from engine.sim.orders import Order
from engine.sim.rest_changes import change
from engine.sim.routes import POST, Route
from engine.sim.rows import acknowledgement, failed_row
from engine.sim.session import Question, Tier
from engine.sim.tickets import Batch, Refusal, tickets_in
from engine.sim.world import World, prompt_row

_log = structlog.get_logger("engine.sim")

_LOGIN_PAGE: Final = "<html><head><title>Login</title></head><body>Please log in</body></html>"
_MEMBER_REFUSED: Final = "The order was not accepted with the others of its request."


def place(world: World, call: Call) -> Answer:
    """New orders: acknowledged, asked about or refused."""
    account, raw = call.parts["account"], tickets_in(call.body)
    if world.faults.takes("next_order_429"):
        return text("Too Many Requests", 429)
    rows = [row for row in raw or () if isinstance(row, dict)]
    first: dict[str, Any] = rows[0] if rows else {}
    coid = first.get("cOID")
    coids = tuple(str(row["cOID"]) for row in rows if row.get("cOID") is not None)
    world.venue.record(account=account, body=call.body, coid=coid, now_ms=call.now_ms, coids=coids)
    _log.info("order_received", account=account, coid=coid, conid=first.get("conid"))
    batch = batch_in(world, account, raw)
    if isinstance(batch, Refusal):
        return refused(batch)
    rejection = world.faults.takes_text("reject_next")
    refusal = Refusal(text=rejection) if rejection else _refusal(world, batch, call.now_ms)
    if refusal is not None:
        return refused(refusal)
    rounds = questions(world, batch)
    if rounds:
        return asked_about(world, world.session.ask(batch, rounds))
    return _go_live(world, batch, call.now_ms)


def reply(world: World, call: Call) -> Answer:
    """The answer to the open question; it may lead to the next one."""
    brokerage, question_id = brokerage_of(world), call.parts["id"]
    late = brokerage.invalidated.pop(question_id, None)
    if late is not None:
        return _late_reply(world, late, call)
    question = brokerage.question
    known = question is not None and question.question_id == question_id
    if question is None or not known or world.faults.takes("reply_not_found"):
        brokerage.question = None if known else question
        return Answer(body={"error": f"reply id not found: '{question_id}'"}, status=400)
    brokerage.question = None
    confirmed = call.body.get("confirmed") if isinstance(call.body, dict) else None
    if confirmed is not True:
        return Answer(body={"error": "Order not confirmed "})
    if question.remaining:
        follow_up = world.session.ask(
            question.batch, question.remaining, replaces=question.replaces
        )
        return asked_about(world, follow_up)
    refusal = _refusal(world, question.batch, call.now_ms, replaces=question.replaces)
    if refusal is not None:
        return refused(refusal)
    if question.replaces is not None:
        return change(world, question.replaces, question.batch.leader, call.now_ms)
    return _go_live(world, question.batch, call.now_ms)


def _refusal(
    world: World, batch: Batch, now_ms: int, *, replaces: int | None = None
) -> Refusal | None:
    """Why one of these tickets would not be accepted now, or None."""
    for ticket in batch.tickets:
        found = world.venue.refusal(ticket, now_ms, replaces=replaces)
        if found is not None:
            taken = "already registered" in found.text
            if taken and world.faults.shows("duplicate_coid_400"):
                return replace(found, status=400)
            return found
    return None


def _late_reply(world: World, question: Question, call: Call) -> Answer:
    """A reply to an invalidated question: 503, and in the worst case the order lives."""
    confirmed = isinstance(call.body, dict) and call.body.get("confirmed") is True
    refusal = _refusal(world, question.batch, call.now_ms)
    if confirmed and refusal is None and world.faults.shows("invalidated_question_goes_live"):
        world.venue.accept_all(question.batch, call.now_ms)
    return unavailable()


def _go_live(world: World, batch: Batch, now_ms: int) -> Answer:
    """Accept the orders, unless a fault loses them; the answer may be lost too."""
    faults = world.faults
    if faults.takes("hang_order_without_accept"):
        return Answer(body=None, fate=Fate.NEVER_SENT)
    if faults.takes("status_503_without_accept"):
        return backend_gave_up(world)
    if faults.takes("accept_late"):
        _accept_later(world, batch, now_ms + faults.span_ms("accept_late_s"))
        return backend_gave_up(world)
    if faults.takes("account_switches"):
        world.select_next_account()
    if faults.takes("order_vanishes"):
        return Answer(body=[_vanished(world, batch, index) for index in _as_answered(batch)])
    orders, rows = _accepted(world, batch, now_ms)
    leader, answer = orders[0], Answer(body=rows)
    if faults.takes("prompt_next"):
        world.venue.prompt(leader.order_id, now_ms, wait_ms=world.config.prompt_wait_ms)
    if leader.working and faults.takes("advanced_reject_next"):
        world.venue.prompt(leader.order_id, now_ms, wait_ms=world.config.prompt_wait_ms)
        answer = Answer(body=prompt_row(world.venue.prompts[leader.order_id]))
    reason = faults.takes_text("cancel_next")
    if reason is not None:
        world.venue.cancel_by_system(leader.order_id, reason, now_ms)
    return _delivered(world, answer)


def _accepted(
    world: World, batch: Batch, now_ms: int
) -> tuple[tuple[Order, ...], list[dict[str, Any]]]:
    """The orders that live now, and the rows that answer for all of the request."""
    faults, last = world.faults, len(batch.tickets) - 1
    inactive = faults.takes("inactive_next")
    is_refused = last > 0 and faults.takes("group_member_refused")
    is_lost = last > 0 and not is_refused and faults.takes("group_member_lost")
    orders = world.venue.accept_all(
        batch,
        now_ms,
        rejected_because="The order was not transmitted." if inactive else None,
        without=(last,) if is_refused or is_lost else (),
    )
    for order in orders:
        world.sight.new_order(order.order_id, now_ms)
    rows = [acknowledgement(order) for order in orders]
    if is_refused:
        rows.append(failed_row(_MEMBER_REFUSED))
    if is_lost:
        rows.append(_vanished(world, batch, last, parent=orders[0]))
    # The broker's rows do not follow those of the request: exits come before their entry.
    return orders, rows[::-1]


def _as_answered(batch: Batch) -> range:
    """The places of the tickets in the order of the rows that answer them."""
    return range(len(batch.tickets) - 1, -1, -1)


def _vanished(
    world: World, batch: Batch, index: int, parent: Order | None = None
) -> dict[str, Any]:
    """The row of an order that was acknowledged and is nowhere."""
    ticket = batch.tickets[index]
    row = {
        "order_id": str(world.venue.unused_order_id()),
        "order_status": "PreSubmitted",
        "encrypt_message": "1",
    }
    if ticket.coid is not None:
        row["local_order_id"] = ticket.coid
    if parent is not None and batch.is_bracket:
        row["parent_order_id"] = str(parent.order_id)
    return row


def _accept_later(world: World, batch: Batch, due_ms: int) -> None:
    """Let the orders live at that time, unless the venue has a reason against it then."""

    def accept() -> None:
        if _refusal(world, batch, due_ms) is None:
            world.venue.accept_all(batch, due_ms)

    world.later(due_ms, accept)


def _delivered(world: World, answer: Answer) -> Answer:
    """The answer as it reaches the client, when the orders of a request live."""
    faults = world.faults
    if faults.takes("hang_next_order"):
        return replace(answer, fate=Fate.NEVER_SENT)
    if faults.takes("status_503_with_accept"):
        return backend_gave_up(world)
    if faults.takes("answer_late"):
        return replace(answer, delay_ms=faults.span_ms("answer_late_s"))
    if faults.takes("empty_answer"):
        return replace(answer, body="", is_text=True)
    if faults.takes("truncated_answer"):
        whole = answer.encoded()
        return replace(answer, body=whole[: len(whole) // 2].decode(), is_text=True)
    if faults.takes("html_answer"):
        return replace(answer, body=_LOGIN_PAGE, is_text=True, content_type="text/html")
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
    Route(methods=POST, pattern="/iserver/reply/{id}", handler=reply, tier=Tier.PRIMED),
)
