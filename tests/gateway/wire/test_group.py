import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.messages import Step
from engine.domain.values import (
    AnswerRow,
    BrokerOrderId,
    Coid,
    MessageId,
    Outcome,
    OutcomeKind,
    Question,
    QuestionId,
    Reason,
)
from engine.gateway.wire.group import merge
from engine.gateway.wire.order import classify
from engine.gateway.wire.ticket import Sent

K = OutcomeKind
ENTRY, OTHER = Coid("EXab-1-2-ZZ"), Coid("EXab-1-3-ZZ")
BRACKET = Sent(coids=(ENTRY,), orders=3)
OCA = Sent(coids=(ENTRY, OTHER), orders=2)

PARENT = {"order_id": "100", "order_status": "Submitted"}
NAMED = {**PARENT, "local_order_id": ENTRY}
PROFIT = {"order_id": "101", "order_status": "PreSubmitted", "parent_order_id": "100"}
LOSS = {"order_id": "102", "order_status": "PreSubmitted", "parent_order_id": "100"}
PLAIN_PROFIT = {"order_id": "101", "order_status": "PreSubmitted"}
PLAIN_LOSS = {"order_id": "102", "order_status": "PreSubmitted"}
FAILED = {"order_id": "-1", "order_status": "Failed", "text": "No\nroom."}


def asked(question_id: str, message_id: str) -> dict[str, Any]:
    return {"id": question_id, "message": [f"Sure of {message_id}?"], "messageIds": [message_id]}


def answered(answer: object, sent: Sent = BRACKET, *, step: Step = Step.PLACE) -> Outcome:
    return classify(step, 200, json.dumps(answer).encode(), sent)


def test_the_answer_to_a_bracket_is_kept_row_by_row() -> None:
    answer = [LOSS, {**FAILED, "text": None, "warning_message": "Odd."}, NAMED]

    outcome = answered(answer)

    assert outcome == Outcome(
        kind=K.ACK,
        broker_order_id=BrokerOrderId("100"),
        status="Submitted",
        http_status=200,
        body_sha256=hashlib.sha256(json.dumps(answer).encode()).hexdigest(),
        rows=(
            AnswerRow(
                broker_order_id=BrokerOrderId("102"),
                parent_id=BrokerOrderId("100"),
                status="PreSubmitted",
            ),
            AnswerRow(broker_order_id=None, status="Failed", text="Odd."),
            AnswerRow(broker_order_id=BrokerOrderId("100"), coid=ENTRY, status="Submitted"),
        ),
    )


@pytest.mark.parametrize("step", [Step.PLACE, Step.REPLY])
@pytest.mark.parametrize(
    "answer",
    [
        [NAMED, PROFIT, LOSS],
        [PROFIT, LOSS, NAMED],
        [PLAIN_PROFIT, NAMED, PLAIN_LOSS],
        # The entry does not repeat its id, but the exits name it.
        [PROFIT, PARENT, LOSS],
        # An exit may repeat its parent's id, and is not the entry for that.
        [{**PROFIT, "local_order_id": ENTRY}, NAMED, LOSS],
        [{**PROFIT, "local_order_id": ENTRY}, {**LOSS, "local_order_id": ENTRY}, PARENT],
        # The broker need not answer for all.
        [NAMED],
        NAMED,
        [NAMED, FAILED],
    ],
)
def test_an_entry_is_told_by_its_id_or_by_its_exits_in_any_order(
    answer: object, step: Step
) -> None:
    outcome = answered(answer, step=step)

    assert (outcome.kind, outcome.broker_order_id) == (K.ACK, "100")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        # Which is the entry nobody can say by its place.
        ([PARENT, PLAIN_PROFIT, PLAIN_LOSS], "GROUP_UNCLEAR"),
        ([FAILED, {"order_id": "101", "order_status": "Inactive"}], "GROUP_UNCLEAR"),
        ([PARENT], "GROUP_UNCLEAR"),
        (PARENT, "GROUP_UNCLEAR"),
        ([PROFIT], "GROUP_UNCLEAR"),
        ([PROFIT, LOSS], "GROUP_UNCLEAR"),
        # Two rows say that they are the entry, or an id comes twice.
        ([NAMED, {**NAMED, "order_id": "103"}, PROFIT], "GROUP_UNCLEAR"),
        ([{**NAMED, "order_id": "103"}, PROFIT, PARENT], "GROUP_UNCLEAR"),
        ([NAMED, PROFIT, PROFIT], "GROUP_UNCLEAR"),
        # More orders than were sent.
        ([NAMED, PROFIT, LOSS, {**LOSS, "order_id": "103"}], "GROUP_UNCLEAR"),
        # Not all of them are spoken of, so not all of them are refused.
        ([FAILED], "GROUP_UNCLEAR"),
        ([FAILED, FAILED], "GROUP_UNCLEAR"),
        # Acknowledgement and question, error or prompt in one.
        ([NAMED, asked("99-a", "o163"), LOSS], "GROUP_UNCLEAR"),
        ([NAMED, {**asked("99-a", "o163"), "order_id": "101"}], "GROUP_UNCLEAR"),
        ([asked("99-b", "o163"), {**asked("99-a", "o163"), "order_id": "101"}], "GROUP_UNCLEAR"),
        ([NAMED, {"error": "No trading permissions."}], "GROUP_UNCLEAR"),
        ([NAMED, {"order_id": "5", "reqId": "1", "options": ["Yes", "No"]}], "GROUP_UNCLEAR"),
        ([NAMED, {"order_status": "Submitted"}], "GROUP_UNCLEAR"),
        ([NAMED, {"order_id": {}}], "GROUP_UNCLEAR"),
        # Somebody else's id.
        ([{**PARENT, "local_order_id": "EXab-9-9-ZZ"}, PROFIT], "ANSWER_MISMATCH"),
        # What is no order at all.
        ([NAMED, 5], "UNKNOWN_ANSWER"),
        ([], "UNKNOWN_ANSWER"),
        ([NAMED, {**asked("q" * 65, "o163")}], "UNKNOWN_ANSWER"),
    ],
)
def test_what_is_not_certain_of_a_group_leaves_doubt(answer: object, code: str) -> None:
    outcome = answered(answer)

    assert (outcome.kind, outcome.reason and outcome.reason.code) == (K.IN_DOUBT, code)
    assert outcome.broker_order_id is None


def test_the_rows_of_a_doubtful_answer_are_kept_as_evidence() -> None:
    outcome = answered([NAMED, asked("99-a", "o163"), FAILED])

    assert [(row.broker_order_id, row.coid, row.text) for row in outcome.rows] == [
        ("100", ENTRY, None),
        (None, None, "No room."),
    ]


def test_a_group_whose_every_order_failed_is_refused() -> None:
    outcome = answered([{**FAILED, "text": ""}, FAILED, FAILED])

    assert outcome.kind is K.REFUSED
    assert outcome.reason == Reason(code="ORDER_FAILED", message="No room.")
    assert len(outcome.rows) == 3


def test_a_group_that_is_refused_as_a_whole_is_refused() -> None:
    outcome = answered({"error": "No trading permissions."})

    assert (outcome.kind, outcome.rows) == (K.REFUSED, ())


def test_the_members_of_a_group_where_one_cancels_all_are_told_by_their_ids() -> None:
    answer = [{"order_id": "201", "local_order_id": OTHER}, {**NAMED, "order_id": "200"}]

    outcome = answered(answer, OCA)

    assert (outcome.kind, outcome.broker_order_id) == (K.ACK, "200")
    assert [(row.broker_order_id, row.coid) for row in outcome.rows] == [
        ("201", OTHER),
        ("200", ENTRY),
    ]


def test_of_a_group_where_one_cancels_all_the_first_may_be_missing() -> None:
    outcome = answered([{"order_id": "201", "local_order_id": OTHER}, FAILED], OCA)

    assert (outcome.kind, len(outcome.rows)) == (K.IN_DOUBT, 2)


def test_several_questions_are_one() -> None:
    answer = [asked("99-a", "o163"), asked("99-b", "o382"), asked("99-c", "o163")]

    outcome = answered(answer)

    assert outcome.question == Question(
        question_id=QuestionId("several:99-a:99-b:99-c"),
        message_ids=(MessageId("o163"), MessageId("o382")),
        texts=("Sure of o163?", "Sure of o382?"),
    )


def test_one_question_about_a_group_is_asked_as_it_is() -> None:
    outcome = answered([asked("99-a", "o163")])

    assert outcome.question is not None
    assert (outcome.kind, outcome.question.question_id) == (K.QUESTION, "99-a")


@pytest.mark.parametrize("step", [Step.CANCEL, Step.MODIFY])
def test_only_what_places_a_group_is_answered_for_several_orders(step: Step) -> None:
    outcome = answered([NAMED, PROFIT, LOSS], step=step)

    assert (outcome.kind, outcome.rows) == (K.IN_DOUBT, ())


@pytest.mark.parametrize("status", [400, 500, 503])
def test_rows_beside_another_status_prove_nothing(status: int) -> None:
    body = json.dumps([NAMED, PROFIT, LOSS]).encode()

    outcome = classify(Step.PLACE, status, body, BRACKET)

    assert outcome.kind is K.IN_DOUBT


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "order_id": st.sampled_from(["100", "101", "102", "-1", 5, None, {}]),
                "order_status": st.sampled_from(["Submitted", "Failed", "", 7]),
                "local_order_id": st.sampled_from([ENTRY, OTHER, "", None]),
                "parent_order_id": st.sampled_from(["100", "101", None]),
                "id": st.just("99-a"),
                "message": st.just(["Sure?"]),
                "error": st.just("x"),
            },
        ),
        max_size=5,
    )
)
def test_no_answer_acknowledges_a_group_without_a_row_of_its_leader(rows: list[Any]) -> None:
    outcome = answered(rows)

    assert (outcome.kind in {K.ACK, K.QUESTION}) == (outcome.reason is None)
    if outcome.kind is K.ACK:
        [leader] = [r for r in outcome.rows if r.broker_order_id == outcome.broker_order_id]
        named_by = [r for r in outcome.rows if r.parent_id == leader.broker_order_id]
        assert leader.parent_id is None or named_by
        assert leader.coid == ENTRY or named_by


def doubtful(*rows: AnswerRow) -> Outcome:
    reason = Reason(code="GROUP_UNCLEAR", message="unclear")
    return Outcome(kind=K.IN_DOUBT, reason=reason, rows=rows)


def test_the_answers_to_several_questions_are_judged_together() -> None:
    entry = AnswerRow(broker_order_id=BrokerOrderId("100"), coid=ENTRY, status="Submitted")
    profit = AnswerRow(broker_order_id=BrokerOrderId("101"))
    loss = AnswerRow(broker_order_id=BrokerOrderId("102"))
    placed = Outcome(kind=K.ACK, broker_order_id=BrokerOrderId("100"), rows=(entry,))

    merged = merge([doubtful(profit), placed, doubtful(loss)], BRACKET)

    assert merged == Outcome(
        kind=K.ACK,
        broker_order_id=BrokerOrderId("100"),
        status="Submitted",
        rows=(profit, entry, loss),
    )


def test_answers_that_differ_leave_doubt_with_the_rows_of_those_that_were_placed() -> None:
    entry = AnswerRow(broker_order_id=BrokerOrderId("100"), coid=ENTRY)
    placed = Outcome(kind=K.ACK, broker_order_id=BrokerOrderId("100"), rows=(entry,))
    refused = Outcome(kind=K.REFUSED, reason=Reason(code="NOT_CONFIRMED", message="no"))

    merged = merge([placed, refused], BRACKET)

    assert merged.kind is K.IN_DOUBT
    assert merged.reason == Reason(
        code="GROUP_UNCLEAR",
        message="the answers to its 2 questions differ: ack, refused (no); "
        "the orders are looked up",
    )
    assert merged.rows == (entry,)


def test_a_group_that_is_declined_for_every_order_is_refused() -> None:
    refused = Outcome(kind=K.REFUSED, reason=Reason(code="NOT_CONFIRMED", message="no"))

    assert merge([refused, refused, refused], BRACKET) == refused


def test_more_questions_to_every_order_are_asked_together() -> None:
    first = answered([asked("99-a", "o163")])
    second = answered([asked("99-b", "o382")])

    merged = merge([first, second], BRACKET)

    assert merged.question is not None
    assert merged.question.question_id == "several:99-a:99-b"
