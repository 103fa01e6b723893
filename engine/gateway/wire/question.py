"""What the broker asks, and how each kind of question is answered.

Rule 1: an ordinary question is answered at its own address. A prompt, which comes as an
answer or over the stream, is answered at `/iserver/notification` in the words of one of
its options; its question id holds all that this needs, so that a journal does, too.

Rule 2: an option that would also answer for later orders is never chosen.

Rule 3: an answer about a group may ask one question for each of its orders. They are one
question here, and whoever answers it answers all of them alike, one after the other.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from engine.domain.values import BrokerOrderId, MessageId, Question, QuestionId
from engine.gateway.wire.lenient import BadAnswer, Row, flag, identifier, sentence

_PROMPT_PREFIX: Final = "notification"
_SEVERAL_PREFIX: Final = "several"
_DECLINES: Final = ("no", "do not", "don't", "cancel", "decline", "reject")
_STANDING: Final = ("always", "never")
_ORDER_ID_DIGITS_MAX: Final = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyCall:
    """How one question is answered: where the answer goes, and its body."""

    path: str
    template: str
    body: bytes


def reply_calls(question_id: QuestionId, *, confirmed: bool) -> tuple[ReplyCall, ...]:
    """Return the requests that answer a question, in the order that they are made.

    There is one, but for a group that asks for each of its orders; there is none when the
    question is a prompt that has no option for this answer.
    """
    prefix, _, rest = question_id.partition(":")
    if prefix == _SEVERAL_PREFIX and rest:
        return tuple(_reply(unquote(each), confirmed=confirmed) for each in rest.split(":"))
    if prefix != _PROMPT_PREFIX or question_id == _PROMPT_PREFIX:
        return (_reply(question_id, confirmed=confirmed),)
    order_id, request_id, *options = rest.split(":")
    option = unquote(options[0 if confirmed else 1])
    if not option:
        return ()
    body = {"orderId": int(order_id), "reqId": unquote(request_id), "text": option}
    path = "/iserver/notification"
    return (ReplyCall(path=path, template=path, body=msgspec.json.encode(body)),)


def _reply(question_id: str, *, confirmed: bool) -> ReplyCall:
    return ReplyCall(
        path=f"/iserver/reply/{quote(question_id, safe='')}",
        template="/iserver/reply/{id}",
        body=msgspec.json.encode({"confirmed": confirmed}),
    )


def one_of_several(question_ids: tuple[QuestionId, ...]) -> QuestionId:
    """Return the id that stands for all of these questions."""
    return QuestionId(":".join((_SEVERAL_PREFIX, *(quote(each, safe="") for each in question_ids))))


def prompt_order_id(question_id: QuestionId) -> BrokerOrderId | None:
    """Return the order that a prompt is about; None for an ordinary question."""
    prefix, _, rest = question_id.partition(":")
    return BrokerOrderId(rest.split(":")[0]) if prefix == _PROMPT_PREFIX and rest else None


def question(row: Row) -> Question | None:
    """Return the ordinary question that a row asks, None when it asks none."""
    question_id = identifier(row, "id")
    if question_id is None or "message" not in row:
        return None
    return Question(
        question_id=QuestionId(question_id),
        message_ids=tuple(map(MessageId, _texts(row.get("messageIds")))),
        texts=_texts(row["message"]),
    )


def is_prompt(row: Row) -> bool:
    """Tell whether a row is a prompt; some builds leave out the flag that says so."""
    return bool(flag(row, "prompt")) or ("reqId" in row and "options" in row)


def prompt(row: Row) -> tuple[BrokerOrderId, Question]:
    """Return the order that a prompt is about, and the prompt as a question.

    Raises `BadAnswer` when nobody could answer it.
    """
    order_id, request_id = identifier(row, "orderId"), identifier(row, "reqId")
    options = _texts(row.get("options"))
    accepts = [o for o in options if not o.lower().startswith(_DECLINES + _STANDING)]
    declines = [o for o in options if o.lower().startswith(_DECLINES)]
    accept = accepts[0] if len(accepts) == 1 else ""
    decline = declines[0] if len(declines) == 1 else ""
    if order_id is None or not _is_order_id(order_id) or request_id is None:
        message = "a prompt without orderId and reqId"
        raise BadAnswer(message)
    if not (accept or decline):
        message = f"a prompt with the options {options}"
        raise BadAnswer(message)
    parts = (_PROMPT_PREFIX, order_id, *(quote(p, safe="") for p in (request_id, accept, decline)))
    return BrokerOrderId(order_id), Question(
        question_id=QuestionId(":".join(parts)),
        message_ids=tuple(map(MessageId, _texts(row.get("messageId")))),
        texts=_texts(row.get("text")),
    )


def _is_order_id(text: str) -> bool:
    """Tell whether an id can be written as the number that the answer has to have."""
    return text.isascii() and text.isdecimal() and len(text) <= _ORDER_ID_DIGITS_MAX


def _texts(value: object) -> tuple[str, ...]:
    """Return the texts of an array, or of the one text that some builds send instead."""
    items = value if isinstance(value, list) else [value]
    return tuple(sentence(item) for item in items if isinstance(item, str))
