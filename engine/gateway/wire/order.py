"""The broker's words for orders: the ticket that is sent, and what the answers prove.

Rule 1: the outcome of a request is decided here and nowhere else, by the body first and
the status second. What is not listed is IN_DOUBT.

Rule 2: one ticket goes in one request, so an answer about more than one order is not
understood.
"""

import hashlib
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from engine.domain.messages import Step
from engine.domain.values import (
    BrokerOrderId,
    Coid,
    MessageId,
    OrderType,
    Outcome,
    OutcomeKind,
    Question,
    QuestionId,
    Reason,
    Ticket,
)
from engine.gateway.wire import refusals
from engine.gateway.wire.excerpt import excerpt
from engine.gateway.wire.lenient import (
    BadAnswer,
    Row,
    as_row,
    decode,
    flag,
    identifier,
    rows_in,
    sentence,
    text,
)

_OK: Final = 200
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_TOO_MANY_REQUESTS: Final = 429
_REDIRECTS: Final = range(300, 400)
_SERVER_ERRORS: Final = range(500, 600)

_NO_ORDER: Final = "-1"
"""What the broker writes for the id of an order that it did not make."""
_PROMPT_PREFIX: Final = "notification"
_DECLINES: Final = ("no", "do not", "don't", "cancel", "decline", "reject")
_STANDING: Final = ("always", "never")
"""Options that would also answer for later orders; those are never chosen."""


class TicketEncoder:
    """Writes a ticket as the request body that is journaled, and then sent."""

    def encode(self, ticket: Ticket, coid: Coid) -> bytes:
        """Return the body. Numbers are exact decimals, as the ticket has them."""
        order: dict[str, object] = {
            "acctId": ticket.account,
            "conid": ticket.conid,
            "cOID": coid,
            "orderType": ticket.type.value,
            "side": ticket.side.value,
            "quantity": _raw(ticket.quantity),
        }
        match ticket.type:
            case OrderType.LMT:
                assert ticket.limit_price is not None, "a limit order has a limit price"
                order["price"] = _raw(ticket.limit_price)
            case OrderType.MKT:
                assert ticket.limit_price is None, "a market order has no limit price"
        order["tif"] = ticket.tif.value
        order["outsideRTH"] = ticket.outside_rth
        return msgspec.json.encode({"orders": [order]})


def coid_in(body: bytes) -> str | None:
    """Return the cOID of the one order in a request body, None when there is none."""
    return _member(body, "orders", "cOID")


def local_order_id(body: bytes) -> str | None:
    """Return the cOID that an acknowledgement repeats, None when it does not."""
    return _member(body, None, "local_order_id")


def _member(body: bytes, wrapper: str | None, key: str) -> str | None:
    try:
        document = decode(body)
        if wrapper is not None:
            document = as_row(document, "the body").get(wrapper)
        return next((text(row, key) for row in rows_in(document)), None)
    except BadAnswer:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyCall:
    """How one question is answered: where the answer goes, and its body."""

    path: str
    template: str
    body: bytes


def reply_call(question_id: QuestionId, *, confirmed: bool) -> ReplyCall | None:
    """Return the request that answers a question.

    None when the question is a prompt that has no option for this answer.
    """
    if not question_id.startswith(_PROMPT_PREFIX + ":"):
        return ReplyCall(
            path=f"/iserver/reply/{quote(question_id, safe='')}",
            template="/iserver/reply/{id}",
            body=msgspec.json.encode({"confirmed": confirmed}),
        )
    _, order_id, request_id, *options = question_id.split(":")
    option = unquote(options[0 if confirmed else 1])
    if not option:
        return None
    body = {"orderId": int(order_id), "reqId": unquote(request_id), "text": option}
    path = "/iserver/notification"
    return ReplyCall(path=path, template=path, body=msgspec.json.encode(body))


def prompt_order_id(question_id: QuestionId) -> BrokerOrderId | None:
    """Return the order that a prompt is about; None for an ordinary question."""
    prefix, _, rest = question_id.partition(":")
    return BrokerOrderId(rest.split(":")[0]) if prefix == _PROMPT_PREFIX and rest else None


def classify(step: Step, status: int, body: bytes) -> Outcome:
    """Return what an answer proves. It never raises: what nobody understands is IN_DOUBT."""
    outcome = replace(_judge(step, status, body), http_status=status)
    return replace(outcome, body_sha256=hashlib.sha256(body).hexdigest())


def doubt(code: str, message: str) -> Outcome:
    """Return an IN_DOUBT outcome for an answer that never came, or not whole."""
    return Outcome(kind=OutcomeKind.IN_DOUBT, reason=Reason(code=code, message=message))


def not_sent(code: str, message: str) -> Outcome:
    """Return a NOT_SENT outcome: not one byte of the request left."""
    return Outcome(kind=OutcomeKind.NOT_SENT, reason=Reason(code=code, message=message))


def answer_of_prompt(status: int, body: bytes, broker_order_id: BrokerOrderId) -> Outcome:
    """Return what the answer to a prompt's reply proves: that it was heard, not more.

    The broker answers with a bare text such as `Success`, so the order must be looked up.
    """
    heard = status == _OK and b"error" not in body.lower()
    code = "PROMPT_ANSWERED" if heard else "PROMPT_FAILED"
    outcome = doubt(code, f"HTTP {status}: {excerpt(body)}")
    return replace(
        outcome,
        broker_order_id=broker_order_id,
        http_status=status,
        body_sha256=hashlib.sha256(body).hexdigest(),
    )


def _judge(step: Step, status: int, body: bytes) -> Outcome:
    if status == _TOO_MANY_REQUESTS:
        return not_sent("RATE_LIMITED", f"HTTP 429: {excerpt(body)}")
    try:
        document = decode(body)
    except BadAnswer as error:
        return doubt(_status_code(status, "BAD_ANSWER"), f"HTTP {status}: {error}: {excerpt(body)}")
    match document:
        case [dict() as row] | (dict() as row):
            pass
        case _:
            code = _status_code(status, "UNKNOWN_ANSWER")
            return doubt(code, f"HTTP {status}, not one object: {excerpt(body)}")
    try:
        if row.get("error"):
            return _judge_error(step, status, row)
        if status != _OK:
            return doubt(_status_code(status, "UNKNOWN_ANSWER"), f"HTTP {status}: {excerpt(body)}")
        return _judge_cancel(row, body) if step is Step.CANCEL else _judge_submit(row, body)
    except BadAnswer as error:
        return doubt("UNKNOWN_ANSWER", f"HTTP {status}, {error}: {excerpt(body)}")


def _judge_error(step: Step, status: int, row: Row) -> Outcome:
    words = sentence(row["error"])
    message = words or f"HTTP {status} with an error that is no text"
    if refusals.ALREADY_REGISTERED.pattern.search(words):
        return doubt(refusals.ALREADY_REGISTERED.code, message)
    # An answer that both refuses and names an order proves neither.
    named = identifier(row, "order_id", "orderId")
    if named is not None and named != _NO_ORDER:
        return doubt("ERROR_WITH_ORDER", f"HTTP {status}, about order {named}: {message}")
    refuse = refusals.cancel_refusal_code if step is Step.CANCEL else refusals.refusal_code
    if (code := refuse(words, status)) is not None:
        return Outcome(kind=OutcomeKind.REFUSED, reason=Reason(code=code, message=message))
    return doubt(
        refusals.doubt_code(words) or _status_code(status, "UNKNOWN_ERROR"),
        f"HTTP {status}: {message}",
    )


def _judge_submit(row: Row, body: bytes) -> Outcome:
    if flag(row, "prompt") or ("reqId" in row and "options" in row):
        return _prompt(row)
    broker_order_id = identifier(row, "order_id")
    if broker_order_id is not None:
        status = text(row, "order_status")
        if broker_order_id == _NO_ORDER or (status or "").lower() == "failed":
            words = sentence(row.get("text")) or sentence(row.get("warning_message"))
            reason = Reason(code="ORDER_FAILED", message=words or "the broker gave no reason")
            return Outcome(kind=OutcomeKind.REFUSED, reason=reason, status=status)
        return Outcome(
            kind=OutcomeKind.ACK, broker_order_id=BrokerOrderId(broker_order_id), status=status
        )
    question_id = identifier(row, "id")
    if question_id is not None and "message" in row:
        question = Question(
            question_id=QuestionId(question_id),
            message_ids=tuple(map(MessageId, _texts(row.get("messageIds")))),
            texts=_texts(row["message"]),
        )
        return Outcome(kind=OutcomeKind.QUESTION, question=question)
    return doubt("UNKNOWN_ANSWER", f"neither acknowledgement nor question: {excerpt(body)}")


def _judge_cancel(row: Row, body: bytes) -> Outcome:
    broker_order_id = identifier(row, "order_id")
    if broker_order_id is None or "msg" not in row:
        return doubt("UNKNOWN_ANSWER", f"not a receipt of a cancel: {excerpt(body)}")
    return Outcome(
        kind=OutcomeKind.ACK,
        broker_order_id=BrokerOrderId(broker_order_id),
        status=sentence(row["msg"]) or None,
    )


def _prompt(row: Row) -> Outcome:
    """Return a prompt as a question whose id holds all that its answer needs."""
    order_id, request_id = identifier(row, "orderId"), identifier(row, "reqId")
    words = _texts(row.get("text"))
    options = _texts(row.get("options"))
    accepts = [o for o in options if not o.lower().startswith(_DECLINES + _STANDING)]
    declines = [o for o in options if o.lower().startswith(_DECLINES)]
    accept = accepts[0] if len(accepts) == 1 else ""
    decline = declines[0] if len(declines) == 1 else ""
    if order_id is None or not order_id.isdecimal() or request_id is None:
        return doubt("PROMPT_UNSUPPORTED", "a prompt without orderId and reqId")
    if not (accept or decline):
        return doubt("PROMPT_UNSUPPORTED", f"a prompt with the options {options}")
    parts = (_PROMPT_PREFIX, order_id, *(quote(p, safe="") for p in (request_id, accept, decline)))
    return Outcome(
        kind=OutcomeKind.QUESTION,
        broker_order_id=BrokerOrderId(order_id),
        question=Question(
            question_id=QuestionId(":".join(parts)),
            message_ids=tuple(map(MessageId, _texts(row.get("messageId")))),
            texts=words,
        ),
    )


def _texts(value: object) -> tuple[str, ...]:
    """Return the texts of an array, or of the one text that some builds send instead."""
    items = value if isinstance(value, list) else [value]
    return tuple(sentence(item) for item in items if isinstance(item, str))


def _status_code(status: int, otherwise: str) -> str:
    if status == _UNAUTHORIZED or status in _REDIRECTS:
        return "UNAUTHORIZED"
    if status == _FORBIDDEN:
        return "FORBIDDEN"
    if status in _SERVER_ERRORS:
        return "SERVER_ERROR"
    return otherwise if status == _OK else "UNKNOWN_STATUS"


def _raw(number: Decimal) -> msgspec.Raw:
    """Write a number as JSON without an exponent and without a float in between."""
    assert number.is_finite()
    return msgspec.Raw(format(number, "f").encode())
