"""What requests about orders have in common: their tickets, questions and lost answers."""

from dataclasses import replace
from typing import Any, Final

from engine.sim.answers import Answer, Fate, unavailable
from engine.sim.questions import question_body, questions_for, rounds_of, with_faults
from engine.sim.session import Brokerage, Question
from engine.sim.tickets import Batch, Refusal, Ticket, batch_of, parse_ticket
from engine.sim.world import World

_LONG_CHAIN: Final = (2, 12)


def brokerage_of(world: World) -> Brokerage:
    """The brokerage session of a request that needs one."""
    assert world.session.brokerage is not None, "the router checked the brokerage tier"
    return world.session.brokerage


def batch_in(world: World, account: str, raw: list[Any] | None) -> Batch | Refusal:
    """The tickets of a request, in its order but with the entry of a bracket first."""
    if account not in world.venue.accounts:
        return Refusal(text=f"Bad Request: accountId is not valid: {account}", status=400)
    if raw is None:
        return Refusal(text="Bad Request: orders are missing", status=400)
    tickets: list[Ticket] = []
    for row in raw:
        parsed = parse_ticket(row, account=account, instruments=world.market.instruments)
        sized = parsed if isinstance(parsed, Refusal) else world.venue.sized(parsed)
        if isinstance(sized, Refusal):
            return sized
        tickets.append(sized)
    return batch_of(tuple(tickets))


def one_ticket(world: World, account: str, raw: list[Any] | None) -> Ticket | Refusal:
    """The only ticket of a request."""
    if raw is not None and len(raw) > 1:
        return Refusal(text=f"Bad Request: {len(raw)} orders in one request, at most 1", status=400)
    # A change repeats all that its order was sent with, also what it belongs to.
    bare = [{**row, "parentId": None} if isinstance(row, dict) else row for row in raw or ()]
    batch = batch_in(world, account, bare or None)
    return batch if isinstance(batch, Refusal) else batch.leader


def questions(world: World, batch: Batch, *, modifies: bool = False) -> tuple[tuple[str, ...], ...]:
    """The rounds of questions to ask before these tickets pass; empty when there are none."""
    ids: dict[str, None] = {}
    for ticket in batch.tickets:
        quote = world.market.quote(ticket.conid)
        asked = questions_for(
            ticket,
            rules=world.config.questions,
            touch=quote.ask if ticket.is_buy else quote.bid,
            has_market_data=world.session.has_market_data(ticket.conid, world.clock_ms()),
            suppressed=brokerage_of(world).suppressed,
            modifies=modifies,
        )
        ids.update(dict.fromkeys(asked))
    if modifies:
        return rounds_of(tuple(ids))
    faults = world.faults
    rounds_min = faults.question_rounds
    if faults.shows("long_question_chain"):
        rounds_min = max(rounds_min, faults.number(*_LONG_CHAIN))
    chain = with_faults(tuple(ids), unknown=faults.shows("unknown_question"), rounds_min=rounds_min)
    return rounds_of(chain, bundled=bool(chain) and faults.shows("bundled_questions"))


def asked_about(world: World, question: Question) -> Answer:
    """The answer that asks a question."""
    body = question_body(
        question,
        without_ids=world.faults.shows("question_without_ids"),
        in_html=world.faults.shows("html_question"),
    )
    answer = Answer(body=body)
    if world.faults.takes("question_lost"):
        return replace(answer, fate=Fate.NEVER_SENT)
    if world.faults.takes("question_late"):
        return replace(answer, delay_ms=world.faults.span_ms("answer_late_s"))
    return answer


def backend_gave_up(world: World) -> Answer:
    """503, after as long as the gateway waits for its backend."""
    return replace(unavailable(), delay_ms=world.faults.span_ms("late_503_s"))
