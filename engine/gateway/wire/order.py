"""What the broker's answers to order requests prove.

Rule 1: the outcome of a request is decided here and nowhere else, by the body first and
the status second. What is not listed is IN_DOUBT.

Rule 2: one order goes in one request, or one group of them; so an answer about more orders
than were sent is not understood.

Rule 3: a modify that failed proves the old terms only by a listed text. An order that the
broker calls failed may be the old one or the new one.
"""

import hashlib
import re
from dataclasses import replace
from typing import Final

import msgspec

from engine.domain.messages import Step
from engine.domain.values import BrokerOrderId, Outcome, OutcomeKind, Reason
from engine.gateway.wire import group, refusals
from engine.gateway.wire.excerpt import excerpt
from engine.gateway.wire.group import NO_ORDER, is_failed
from engine.gateway.wire.lenient import (
    BadAnswer,
    Row,
    decode,
    identifier,
    rows_in,
    sentence,
    text,
)
from engine.gateway.wire.question import is_prompt, prompt, question
from engine.gateway.wire.ticket import NOTHING_KNOWN, Sent

_OK: Final = 200
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_TOO_MANY_REQUESTS: Final = 429
_REDIRECTS: Final = range(300, 400)
_SERVER_ERRORS: Final = range(500, 600)
_REFUSALS: Final = {
    Step.PLACE: refusals.refusal_code,
    Step.REPLY: refusals.refusal_code,
    Step.CANCEL: refusals.cancel_refusal_code,
    Step.MODIFY: refusals.modify_refusal_code,
}

_NAMES_AN_ORDER: Final = re.compile(rb"order_?id", re.IGNORECASE)


def classify(step: Step, status: int, body: bytes, sent: Sent = NOTHING_KNOWN) -> Outcome:
    """Return what the answer to a request for `sent` proves.

    It never raises: what nobody understands is IN_DOUBT.
    """
    outcome = replace(_judge(step, status, body, sent), http_status=status)
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


def _judge(step: Step, status: int, body: bytes, sent: Sent) -> Outcome:
    if status == _TOO_MANY_REQUESTS and not _NAMES_AN_ORDER.search(body):
        return not_sent("RATE_LIMITED", f"HTTP 429: {excerpt(body)}")
    try:
        document = decode(body)
    except BadAnswer as error:
        return doubt(_status_code(status, "BAD_ANSWER"), f"HTTP {status}: {error}: {excerpt(body)}")
    rows = tuple(rows_in(document))
    listed = len(document) if isinstance(document, list) else 1
    together = _is_group(step, sent) and len(rows) > 1 and status == _OK
    if len(rows) != listed or (len(rows) != 1 and not together):
        code = _status_code(status, "UNKNOWN_ANSWER")
        return doubt(code, f"HTTP {status}, not one object: {excerpt(body)}")
    try:
        return group.judge(rows, sent) if together else _judge_row(step, status, rows[0], sent)
    except BadAnswer as error:
        return doubt("UNKNOWN_ANSWER", f"HTTP {status}, {error}: {excerpt(body)}")


def _judge_row(step: Step, status: int, row: Row, sent: Sent) -> Outcome:
    if row.get("error"):
        return _judge_error(step, status, row)
    if status != _OK:
        return doubt(_status_code(status, "UNKNOWN_ANSWER"), f"HTTP {status}: {_shown(row)}")
    if step is Step.CANCEL:
        return _judge_cancel(row)
    return _judge_submit(step, row, sent)


def _is_group(step: Step, sent: Sent) -> bool:
    return sent.orders > 1 and step in (Step.PLACE, Step.REPLY)


def _judge_error(step: Step, status: int, row: Row) -> Outcome:
    words = sentence(row["error"])
    message = words or f"HTTP {status} with an error that is no text"
    if refusals.ALREADY_REGISTERED.pattern.search(words):
        return doubt(refusals.ALREADY_REGISTERED.code, message)
    # An answer that both refuses and names an order proves neither.
    named = identifier(row, "order_id", "orderId")
    if named is not None and named != NO_ORDER:
        return doubt("ERROR_WITH_ORDER", f"HTTP {status}, about order {named}: {message}")
    if (code := _REFUSALS[step](words, status)) is not None:
        return Outcome(kind=OutcomeKind.REFUSED, reason=Reason(code=code, message=message))
    return doubt(
        refusals.doubt_code(words) or _status_code(status, "UNKNOWN_ERROR"),
        f"HTTP {status}: {message}",
    )


def _judge_submit(step: Step, row: Row, sent: Sent) -> Outcome:
    if is_prompt(row):
        return _prompted(row)
    broker_order_id = identifier(row, "order_id")
    asked = question(row)
    if broker_order_id is not None and asked is not None:
        return doubt("UNKNOWN_ANSWER", f"acknowledgement and question in one: {_shown(row)}")
    if broker_order_id is not None and _is_group(step, sent):
        return group.judge((row,), sent)
    if broker_order_id is not None:
        status = text(row, "order_status")
        found = text(row, "local_order_id")
        if found is not None and sent.coid is not None and found != sent.coid:
            return doubt("ANSWER_MISMATCH", f"the answer is about {found}, asked was {sent.coid}")
        if is_failed(broker_order_id, status):
            words = sentence(row.get("text")) or sentence(row.get("warning_message"))
            reason = Reason(code="ORDER_FAILED", message=words or "the broker gave no reason")
            if step is Step.MODIFY:
                return Outcome(kind=OutcomeKind.IN_DOUBT, reason=reason, status=status)
            return Outcome(kind=OutcomeKind.REFUSED, reason=reason, status=status)
        return Outcome(
            kind=OutcomeKind.ACK, broker_order_id=BrokerOrderId(broker_order_id), status=status
        )
    if asked is not None:
        return Outcome(kind=OutcomeKind.QUESTION, question=asked)
    return doubt("UNKNOWN_ANSWER", f"neither acknowledgement nor question: {_shown(row)}")


def _judge_cancel(row: Row) -> Outcome:
    broker_order_id = identifier(row, "order_id")
    if broker_order_id is None or "msg" not in row:
        return doubt("UNKNOWN_ANSWER", f"not a receipt of a cancel: {_shown(row)}")
    return Outcome(
        kind=OutcomeKind.ACK,
        broker_order_id=BrokerOrderId(broker_order_id),
        status=sentence(row["msg"]) or None,
    )


def _prompted(row: Row) -> Outcome:
    try:
        broker_order_id, asked = prompt(row)
    except BadAnswer as error:
        return doubt("PROMPT_UNSUPPORTED", str(error))
    return Outcome(kind=OutcomeKind.QUESTION, broker_order_id=broker_order_id, question=asked)


def _shown(row: Row) -> str:
    return excerpt(msgspec.json.encode(row))


def _status_code(status: int, otherwise: str) -> str:
    if status == _UNAUTHORIZED or status in _REDIRECTS:
        return "UNAUTHORIZED"
    if status == _FORBIDDEN:
        return "FORBIDDEN"
    if status in _SERVER_ERRORS:
        return "SERVER_ERROR"
    return otherwise if status == _OK else "UNKNOWN_STATUS"
