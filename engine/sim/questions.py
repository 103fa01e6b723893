"""Which questions the broker asks before it takes an order.

Rule: the ids are the broker's; the unknown one is unknown on purpose.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from engine.sim.session import Question, price_is_far
from engine.sim.tickets import Ticket

UNKNOWN_MESSAGE_ID: Final = "o99999"
_FALLBACK_ROUND: Final = "o10164"

MESSAGES: Final[Mapping[str, str]] = {
    "o163": "The following order exceeds the price percentage limit.\n"
    "The limit price exceeds the Percentage constraint of 3%.\n"
    "Are you sure you want to submit this order?",
    "o354": "You are submitting an order without market data. We strongly recommend against this "
    "as it may result in erroneous and unexpected trades.\n"
    "Are you sure you want to submit this order?",
    "o383": "The order size exceeds the Size Limit of 500.\n"
    "Are you sure you want to submit this order?",
    "o451": "The order value exceeds the Total Value Limit of your presets.\n"
    "Are you sure you want to submit this order?",
    "o10138": "The size modification exceeds the size modification limit.\n"
    "Are you sure you want to submit this order?",
    "o10151": "A Market Order is an instruction to trade your order at any available price. "
    "Are you sure you want to submit this order?",
    "o10164": "Traders are responsible for understanding cash quantity details, which are provided "
    "on a best efforts basis only.",
    "o10223": "You are about to submit a cash quantity order.\n"
    "Are you sure you want to submit this order?",
    "o10331": "You are about to submit a stop order. Please be aware of the various stop order "
    "types available and the risks associated with each one.\n"
    "Are you sure you want to submit this order?",
}


def questions_for(
    ticket: Ticket,
    *,
    rules: Mapping[str, tuple[str, ...]],
    touch: Decimal,
    has_market_data: bool,
    suppressed: frozenset[str],
    modifies: bool = False,
) -> tuple[str, ...]:
    """The message ids to ask for this ticket, in order; empty when it may pass."""
    configured = rules.get(ticket.order_type, ()) + rules.get("*", ())
    if ticket.cash_quantity is not None:
        configured += rules.get("CASH_QUANTITY", ())
    if modifies:
        configured = rules.get("MODIFY", ())

    def applies(message_id: str) -> bool:
        if message_id == "o163":
            return ticket.limit_price is not None and price_is_far(ticket.limit_price, touch)
        return not (message_id == "o354" and has_market_data)

    return tuple(
        message_id
        for message_id in dict.fromkeys(configured)
        if message_id not in suppressed and applies(message_id)
    )


def with_faults(message_ids: tuple[str, ...], *, unknown: bool, rounds_min: int) -> tuple[str, ...]:
    """The same questions with an unknown one in front, and asked `rounds_min` times at least."""
    ids = ((UNKNOWN_MESSAGE_ID,) if unknown else ()) + message_ids
    filler = ids[-1] if ids else _FALLBACK_ROUND
    return ids + (filler,) * (rounds_min - len(ids))


def rounds_of(
    message_ids: tuple[str, ...], *, bundled: bool = False
) -> tuple[tuple[str, ...], ...]:
    """The ids as they are asked: one after another, or all at once."""
    return (message_ids,) if bundled else tuple((message_id,) for message_id in message_ids)


def question_body(
    question: Question, *, without_ids: bool = False, in_html: bool = False
) -> list[dict[str, Any]]:
    """The question as the client gets it; the order is not live yet."""
    texts = [
        MESSAGES.get(message_id, f"The rule {message_id} applies to this order. Continue?")
        for message_id in question.asked
    ]
    if in_html:
        texts = [f"<html><body><h4>{text}</h4></body></html>" for text in texts]
    body: dict[str, Any] = {
        "id": question.question_id,
        "message": texts,
        "isSuppressed": False,
        "messageIds": list(question.asked),
        "messageOptions": ["Yes", "No"],
    }
    if without_ids:
        del body["messageIds"]
    return [body]
