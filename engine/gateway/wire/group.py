"""What an answer about several orders proves: those of a bracket, or of a one-cancels-all group.

Rule 1: a group is not atomic. The broker may take some of its orders and refuse the others,
and its rows come in any order; so no row is told by its place.

Rule 2: the answer is the leader's. It acknowledges only when one row certainly is the
leader: it repeats the leader's id and names no parent, or it is the parent that the other
rows name. Everything else leaves doubt, with the rows kept as evidence.

Rule 3: of a row that was refused nobody can say whose it is.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from engine.domain.values import (
    AnswerRow,
    BrokerOrderId,
    Coid,
    Outcome,
    OutcomeKind,
    Question,
    Reason,
)
from engine.gateway.wire.lenient import BadAnswer, Row, identifier, sentence, text
from engine.gateway.wire.question import is_prompt, one_of_several, question
from engine.gateway.wire.ticket import Sent

NO_ORDER: Final = "-1"
"""What the broker writes for the id of an order that it did not make."""
_FAILED: Final = "failed"
_NO_REASON: Final = "the broker gave no reason"


def is_failed(order_id: str | None, status: str | None) -> bool:
    """Tell whether a row is about an order that the broker did not make."""
    return order_id == NO_ORDER or (status or "").lower() == _FAILED


def judge(rows: Sequence[Row], sent: Sent) -> Outcome:
    """Return what the rows of one answer prove about the group that was sent."""
    asked = [asked for row in rows if (asked := question(row)) is not None]
    if len(asked) == len(rows) and not any("order_id" in row for row in rows):
        return _asked(asked)
    read: list[AnswerRow] = []
    unread: list[str] = []
    for row in rows:
        try:
            read.append(_row(row))
        except BadAnswer as error:
            unread.append(str(error))
    if unread:
        return _unclear(read, unread[0])
    return judge_rows(read, sent)


def merge(outcomes: Sequence[Outcome], sent: Sent) -> Outcome:
    """Return what the answers to several questions of one group prove together."""
    kinds = {outcome.kind for outcome in outcomes}
    rows = [row for outcome in outcomes for row in outcome.rows]
    if kinds == {OutcomeKind.REFUSED} and not rows:
        return outcomes[0]
    if kinds == {OutcomeKind.QUESTION}:
        return _asked([each.question for each in outcomes if each.question is not None])
    if kinds <= {OutcomeKind.ACK, OutcomeKind.IN_DOUBT} and all(each.rows for each in outcomes):
        return judge_rows(rows, sent)
    words = ", ".join(
        each.kind if each.reason is None else f"{each.kind} ({each.reason.message})"
        for each in outcomes
    )
    return _unclear(rows, f"the answers to its {len(outcomes)} questions differ: {words}")


def judge_rows(rows: Sequence[AnswerRow], sent: Sent) -> Outcome:
    """Return what rows that were read prove about the group that was sent."""
    made = [row for row in rows if row.broker_order_id is not None]
    ids = {row.broker_order_id for row in made}
    coids = Counter(row.coid for row in made if row.coid is not None and row.parent_id is None)
    strange = set(coids) - set(sent.coids)
    if len(rows) > sent.orders or len(ids) < len(made):
        return _unclear(rows, f"{len(rows)} rows, with ids repeated or for {sent.orders} orders")
    if strange:
        message = f"the answer is about {', '.join(sorted(strange))}, asked was {sent.coid}"
        return _doubt("ANSWER_MISMATCH", message, rows)
    if not made and len(rows) == sent.orders:
        words = next((row.text for row in rows if row.text), _NO_REASON)
        reason = Reason(code="ORDER_FAILED", message=words)
        return Outcome(kind=OutcomeKind.REFUSED, reason=reason, rows=tuple(rows))
    leaders = {row.broker_order_id for row in made if row.coid == sent.coid is not None}
    leaders -= {row.broker_order_id for row in made if row.parent_id is not None}
    leaders |= ids & {row.parent_id for row in made if row.parent_id is not None}
    if len(leaders) != 1 or max(coids.values(), default=1) > 1:
        return _unclear(rows, "no one row is certainly the first order's")
    [leader] = [row for row in made if row.broker_order_id in leaders]
    return Outcome(
        kind=OutcomeKind.ACK,
        broker_order_id=leader.broker_order_id,
        status=leader.status,
        rows=tuple(rows),
    )


def _row(row: Row) -> AnswerRow:
    order_id = identifier(row, "order_id")
    if row.get("error"):
        message = f"a row with an error: {sentence(row['error']) or 'without words'}"
        raise BadAnswer(message)
    if order_id is None or is_prompt(row) or question(row) is not None:
        message = "a row that is no plain acknowledgement"
        raise BadAnswer(message)
    status = text(row, "order_status")
    coid, parent_id = identifier(row, "local_order_id"), identifier(row, "parent_order_id")
    failed = is_failed(order_id, status)
    return AnswerRow(
        broker_order_id=None if failed else BrokerOrderId(order_id),
        coid=None if coid is None else Coid(coid),
        parent_id=None if parent_id is None else BrokerOrderId(parent_id),
        status=status,
        text=sentence(row.get("text")) or sentence(row.get("warning_message")) or None,
    )


def _asked(asked: Sequence[Question]) -> Outcome:
    """Return several questions, one for each order, as the one that is answered for all."""
    if len(asked) == 1:
        return Outcome(kind=OutcomeKind.QUESTION, question=asked[0])
    together = Question(
        question_id=one_of_several(tuple(each.question_id for each in asked)),
        message_ids=tuple(dict.fromkeys(id_ for each in asked for id_ in each.message_ids)),
        texts=tuple(dict.fromkeys(words for each in asked for words in each.texts)),
    )
    return Outcome(kind=OutcomeKind.QUESTION, question=together)


def _unclear(rows: Sequence[AnswerRow], message: str) -> Outcome:
    return _doubt("GROUP_UNCLEAR", f"{message}; the orders are looked up", rows)


def _doubt(code: str, message: str, rows: Sequence[AnswerRow]) -> Outcome:
    reason = Reason(code=code, message=message)
    return Outcome(kind=OutcomeKind.IN_DOUBT, reason=reason, rows=tuple(rows))
