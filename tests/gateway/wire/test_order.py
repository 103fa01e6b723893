import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.messages import Step
from engine.domain.values import (
    BrokerOrderId,
    Coid,
    MessageId,
    Outcome,
    OutcomeKind,
    Question,
    QuestionId,
    Reason,
)
from engine.gateway.wire.order import answer_of_prompt, classify
from engine.gateway.wire.ticket import Sent

K = OutcomeKind

ACK = [{"order_id": "1370093239", "order_status": "PreSubmitted", "encrypt_message": "1"}]
QUESTION = [
    {
        "id": "99097238-9824-4830-84ef-46979aa22593",
        "message": ["You are submitting an order without market data.\nAre you sure?"],
        "isSuppressed": False,
        "messageIds": ["o354"],
        "messageOptions": ["Yes", "No"],
    }
]
PROMPT = {
    "orderId": 123456789,
    "reqId": "22170",
    "dismissable": [],
    "text": "Use the Price Management Algo?",
    "options": ["Use on this order", "Always use", "Do not use"],
    "type": "M",
    "messageId": "p12",
    "prompt": True,
}
CANCELLED = {
    "msg": "Request was submitted", "order_id": 602801486, "conid": 265598, "account": "U1234567",
}  # fmt: skip
DUPLICATE = "Order couldn't be submitted: Local order ID=my-coid-1 is already registered."


def body(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def error(text: str) -> dict[str, str]:
    return {"error": text}


@pytest.mark.parametrize(
    ("step", "status", "answer", "kind", "code"),
    [
        # Acknowledgements, as array and bare, id as text and number.
        (Step.PLACE, 200, ACK, K.ACK, None),
        (Step.PLACE, 200, ACK[0], K.ACK, None),
        (Step.PLACE, 200, [{"order_id": 1370093239, "order_status": "Submitted"}], K.ACK, None),
        (Step.REPLY, 200, ACK, K.ACK, None),
        (Step.CANCEL, 200, CANCELLED, K.ACK, None),
        (Step.CANCEL, 200, [CANCELLED], K.ACK, None),
        (Step.CANCEL, 200, {**CANCELLED, "conid": -1, "account": None}, K.ACK, None),
        # Questions.
        (Step.PLACE, 200, QUESTION, K.QUESTION, None),
        (Step.REPLY, 200, QUESTION, K.QUESTION, None),
        (Step.PLACE, 200, PROMPT, K.QUESTION, None),
        (Step.REPLY, 200, [PROMPT], K.QUESTION, None),
        # A modify is acknowledged and asked about as a new order is.
        (Step.MODIFY, 200, ACK, K.ACK, None),
        (Step.MODIFY, 200, ACK[0], K.ACK, None),
        (Step.MODIFY, 200, QUESTION, K.QUESTION, None),
        (Step.MODIFY, 200, PROMPT, K.QUESTION, None),
        (Step.MODIFY, 400, error("OrderID 123 doesn't exist"), K.REFUSED, "ORDER_UNKNOWN"),
        (Step.MODIFY, 200, error("OrderID 123 doesn't exist"), K.REFUSED, "ORDER_UNKNOWN"),
        (Step.MODIFY, 400, error("Order is inactive"), K.REFUSED, "ORDER_INACTIVE"),
        (Step.MODIFY, 200, error("Can't modify a filled order."), K.REFUSED, "NOT_MODIFIABLE"),
        (
            Step.MODIFY, 200, error("Order is being cancelled and cannot be modified."),
            K.REFUSED, "NOT_MODIFIABLE",
        ),
        (
            Step.MODIFY, 200, error("We cannot accept an order at the limit price you selected."),
            K.REFUSED, "LIMIT_PRICE_REFUSED",
        ),
        (Step.MODIFY, 429, b"Too Many Requests", K.NOT_SENT, "RATE_LIMITED"),
        # Which order a modify calls failed, the old or the new one, nobody knows.
        (Step.MODIFY, 200, [{**ACK[0], "order_id": "-1"}], K.IN_DOUBT, "ORDER_FAILED"),
        (Step.MODIFY, 200, [{**ACK[0], "order_status": "Failed"}], K.IN_DOUBT, "ORDER_FAILED"),
        (Step.MODIFY, 200, error(DUPLICATE), K.IN_DOUBT, "ALREADY_REGISTERED"),
        (Step.MODIFY, 200, error("Something new"), K.IN_DOUBT, "UNKNOWN_ERROR"),
        (Step.MODIFY, 500, error("OrderID 123 doesn't exist"), K.IN_DOUBT, "SERVER_ERROR"),
        (Step.MODIFY, 503, error("Service Unavailable"), K.IN_DOUBT, "SERVER_ERROR"),
        # Refusals that are proven.
        (Step.PLACE, 200, [{**ACK[0], "order_id": "-1"}], K.REFUSED, "ORDER_FAILED"),
        (Step.PLACE, 200, [{**ACK[0], "order_status": "Failed"}], K.REFUSED, "ORDER_FAILED"),
        (
            Step.PLACE, 200, error("We cannot accept an order at the limit price you selected. x"),
            K.REFUSED, "LIMIT_PRICE_REFUSED",
        ),
        (
            Step.PLACE, 400, {"error": "Bad Request: accountId is not valid: X", "statusCode": 400},
            K.REFUSED, "ACCOUNT_INVALID",
        ),
        (Step.REPLY, 200, error("Order not confirmed "), K.REFUSED, "NOT_CONFIRMED"),
        (Step.CANCEL, 200, error("OrderID 123 doesn't exist"), K.REFUSED, "ORDER_UNKNOWN"),
        (Step.CANCEL, 400, error("OrderID 123 doesn't exist"), K.REFUSED, "ORDER_UNKNOWN"),
        (Step.CANCEL, 400, error("Order is inactive"), K.REFUSED, "ORDER_INACTIVE"),
        # Not accepted, for certain.
        (Step.PLACE, 429, b"Too Many Requests", K.NOT_SENT, "RATE_LIMITED"),
        (Step.CANCEL, 429, error("slow down"), K.NOT_SENT, "RATE_LIMITED"),
        (Step.REPLY, 429, b"", K.NOT_SENT, "RATE_LIMITED"),
        # A 429 that names an order proves nothing.
        (Step.PLACE, 429, ACK, K.IN_DOUBT, "UNKNOWN_STATUS"),
        (Step.CANCEL, 429, CANCELLED, K.IN_DOUBT, "UNKNOWN_STATUS"),
        (Step.PLACE, 429, {**error("slow down"), "orderId": 5}, K.IN_DOUBT, "ERROR_WITH_ORDER"),
        # An acknowledgement that asks something is neither.
        (Step.PLACE, 200, [{**QUESTION[0], "order_id": "5"}], K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.REPLY, 200, [{**QUESTION[0], **ACK[0]}], K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.MODIFY, 200, [{**QUESTION[0], "order_id": "-1"}], K.IN_DOUBT, "UNKNOWN_ANSWER"),
        # Doubt with a known reason.
        (Step.PLACE, 200, error(DUPLICATE), K.IN_DOUBT, "ALREADY_REGISTERED"),
        (Step.PLACE, 400, error(DUPLICATE), K.IN_DOUBT, "ALREADY_REGISTERED"),
        (Step.REPLY, 500, error(DUPLICATE), K.IN_DOUBT, "ALREADY_REGISTERED"),
        (Step.REPLY, 400, error("reply id not found: '99'"), K.IN_DOUBT, "REPLY_ID_NOT_FOUND"),
        (Step.REPLY, 200, error("reply id not found: '99'"), K.IN_DOUBT, "REPLY_ID_NOT_FOUND"),
        (Step.PLACE, 400, error("Bad Request: no bridge"), K.IN_DOUBT, "NO_BRIDGE"),
        (Step.PLACE, 400, error("Init session first"), K.IN_DOUBT, "NO_BRIDGE"),
        (
            Step.PLACE, 500, error("Bad Request: Please query /accounts first"),
            K.IN_DOUBT, "NOT_PRIMED",
        ),
        (Step.PLACE, 401, b"Access Denied", K.IN_DOUBT, "UNAUTHORIZED"),
        (Step.PLACE, 302, b"", K.IN_DOUBT, "UNAUTHORIZED"),
        (Step.PLACE, 403, b"<html>Access Denied</html>", K.IN_DOUBT, "FORBIDDEN"),
        (Step.PLACE, 503, error("Service Unavailable"), K.IN_DOUBT, "SERVER_ERROR"),
        (Step.REPLY, 503, error("Service Unavailable"), K.IN_DOUBT, "SERVER_ERROR"),
        (Step.CANCEL, 503, error("Service Unavailable"), K.IN_DOUBT, "SERVER_ERROR"),
        (Step.PLACE, 500, error("unknown"), K.IN_DOUBT, "SERVER_ERROR"),
        # A proof beside the wrong status is none.
        (Step.PLACE, 503, ACK, K.IN_DOUBT, "SERVER_ERROR"),
        (Step.PLACE, 401, ACK, K.IN_DOUBT, "UNAUTHORIZED"),
        (Step.PLACE, 201, ACK, K.IN_DOUBT, "UNKNOWN_STATUS"),
        (Step.PLACE, 500, error("Order not confirmed "), K.IN_DOUBT, "SERVER_ERROR"),
        (Step.CANCEL, 500, error("Order is inactive"), K.IN_DOUBT, "SERVER_ERROR"),
        # A refusal that names an order is none.
        (
            Step.PLACE, 200, {**error("Order not confirmed "), "order_id": "123"},
            K.IN_DOUBT, "ERROR_WITH_ORDER",
        ),
        (
            Step.REPLY, 400, [{**error("No trading permission"), "orderId": 123}],
            K.IN_DOUBT, "ERROR_WITH_ORDER",
        ),
        (
            Step.PLACE, 200, {**error("Order not confirmed "), "order_id": {}},
            K.IN_DOUBT, "UNKNOWN_ANSWER",
        ),
        (
            Step.PLACE, 200, {**error("Order not confirmed "), "order_id": None},
            K.REFUSED, "NOT_CONFIRMED",
        ),
        (
            Step.PLACE, 200, {**error("Order not confirmed "), "order_id": "-1"},
            K.REFUSED, "NOT_CONFIRMED",
        ),
        # A proof of another step is none.
        (Step.PLACE, 200, error("Order is inactive"), K.IN_DOUBT, "UNKNOWN_ERROR"),
        (Step.CANCEL, 200, ACK, K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.CANCEL, 200, QUESTION, K.IN_DOUBT, "UNKNOWN_ANSWER"),
        # What nobody understands.
        (Step.PLACE, 200, error("Something new"), K.IN_DOUBT, "UNKNOWN_ERROR"),
        (Step.PLACE, 200, {"error": {"code": 1}}, K.IN_DOUBT, "UNKNOWN_ERROR"),
        (Step.PLACE, 400, error("Something new"), K.IN_DOUBT, "UNKNOWN_STATUS"),
        (Step.PLACE, 404, b"<html><h1>Resource not found</h1>", K.IN_DOUBT, "UNKNOWN_STATUS"),
        (Step.PLACE, 200, b"", K.IN_DOUBT, "BAD_ANSWER"),
        (Step.PLACE, 200, b"<html>login</html>", K.IN_DOUBT, "BAD_ANSWER"),
        (Step.PLACE, 200, body(ACK)[:-5], K.IN_DOUBT, "BAD_ANSWER"),
        (Step.PLACE, 200, [], K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.PLACE, 200, None, K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.PLACE, 200, "Success", K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.PLACE, 200, [5], K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.PLACE, 200, {}, K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.PLACE, 200, ACK + ACK, K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.PLACE, 200, ACK + QUESTION, K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.PLACE, 200, [{"order_id": None}], K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.PLACE, 200, [{"order_id": True}], K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.PLACE, 200, [{"order_id": {}}], K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.PLACE, 200, [{"order_id": "7" * 65}], K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.PLACE, 200, b'[{"order_id": 1e999999999}]', K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.PLACE, 200, [{**QUESTION[0], "id": "q" * 65}], K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.PLACE, 200, [{"id": "5"}], K.IN_DOUBT, "UNKNOWN_ANSWER"),
        (Step.CANCEL, 200, {"msg": "Request was submitted"}, K.IN_DOUBT, "UNKNOWN_ANSWER"),
        # Prompts that cannot be answered.
        (Step.PLACE, 200, {**PROMPT, "reqId": None}, K.IN_DOUBT, "PROMPT_UNSUPPORTED"),
        (Step.PLACE, 200, {**PROMPT, "orderId": "x"}, K.IN_DOUBT, "PROMPT_UNSUPPORTED"),
        (
            Step.PLACE, 200, {**PROMPT, "options": ["This", "That"]},
            K.IN_DOUBT, "PROMPT_UNSUPPORTED",
        ),
    ],
)  # fmt: skip
def test_what_an_answer_proves(
    step: Step, status: int, answer: object, kind: OutcomeKind, code: str | None
) -> None:
    outcome = classify(step, status, body(answer))

    assert (outcome.kind, outcome.reason and outcome.reason.code) == (kind, code)
    assert outcome.http_status == status
    assert outcome.body_sha256 == hashlib.sha256(body(answer)).hexdigest()
    assert (kind is K.ACK) == (outcome.broker_order_id is not None and outcome.question is None)


def test_an_acknowledgement_is_kept_whole() -> None:
    outcome = classify(Step.PLACE, 200, body(ACK))

    assert outcome == Outcome(
        kind=K.ACK,
        broker_order_id=BrokerOrderId("1370093239"),
        status="PreSubmitted",
        http_status=200,
        body_sha256=hashlib.sha256(body(ACK)).hexdigest(),
    )


def test_a_question_is_kept_whole_on_one_line() -> None:
    outcome = classify(Step.PLACE, 200, body(QUESTION))

    assert outcome.question == Question(
        question_id=QuestionId("99097238-9824-4830-84ef-46979aa22593"),
        message_ids=(MessageId("o354"),),
        texts=("You are submitting an order without market data. Are you sure?",),
    )


@pytest.mark.parametrize("ids", [None, [], 5, [7]])
def test_a_question_without_message_ids_has_none(ids: object) -> None:
    outcome = classify(Step.PLACE, 200, body([{**QUESTION[0], "messageIds": ids}]))

    assert outcome.question is not None
    assert outcome.question.message_ids == ()


def test_a_refusal_says_what_the_broker_said() -> None:
    outcome = classify(
        Step.PLACE, 200, body([{"order_id": "-1", "order_status": "Failed", "text": "No\nroom."}])
    )

    assert outcome.reason == Reason(code="ORDER_FAILED", message="No room.")


@given(
    step=st.sampled_from(Step),
    status=st.integers(100, 599).filter(lambda status: status not in {200, 400, 429}),
    answer=st.binary(max_size=60) | st.sampled_from([body(ACK), body(QUESTION), body(CANCELLED)]),
)
def test_no_other_status_ever_proves_anything(step: Step, status: int, answer: bytes) -> None:
    assert classify(step, status, answer).kind is K.IN_DOUBT


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["order_id", "id", "message", "error", "msg", "prompt", "x"]), inner
        )
    ),
    max_leaves=8,
)


@given(step=st.sampled_from(Step), status=st.sampled_from([200, 400]), answer=JSON)
def test_any_document_has_an_outcome(step: Step, status: int, answer: Any) -> None:
    outcome = classify(step, status, body(answer))

    assert (outcome.kind in {K.ACK, K.QUESTION}) == (outcome.reason is None)


@pytest.mark.parametrize(
    ("status", "answer", "code"),
    [
        (200, b'"Success"', "PROMPT_ANSWERED"),
        (200, b"Request was submitted", "PROMPT_ANSWERED"),
        (200, b'{"error":"gone"}', "PROMPT_FAILED"),
        (503, b"", "PROMPT_FAILED"),
    ],
)
def test_an_answered_prompt_still_needs_a_lookup(status: int, answer: bytes, code: str) -> None:
    outcome = answer_of_prompt(status, answer, BrokerOrderId("5"))

    assert (outcome.kind, outcome.broker_order_id) == (K.IN_DOUBT, "5")
    assert outcome.reason is not None
    assert outcome.reason.code == code


def test_an_acknowledgement_may_repeat_the_coid_but_no_other() -> None:
    sent = Sent(coids=(Coid("EXab-1-2-ZZ"),))
    ours = body([{**ACK[0], "local_order_id": "EXab-1-2-ZZ"}])
    others = body([{**ACK[0], "local_order_id": "EXab-9-9-ZZ"}])

    outcomes = [classify(Step.PLACE, 200, answer, sent) for answer in (body(ACK), ours, others)]

    assert [outcome.kind for outcome in outcomes] == [K.ACK, K.ACK, K.IN_DOUBT]
    assert outcomes[2].reason == Reason(
        code="ANSWER_MISMATCH", message="the answer is about EXab-9-9-ZZ, asked was EXab-1-2-ZZ"
    )
