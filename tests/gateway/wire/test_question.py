import json
from typing import Any

import pytest

from engine.domain.values import BrokerOrderId, MessageId, Question, QuestionId
from engine.gateway.wire.lenient import BadAnswer
from engine.gateway.wire.question import (
    ReplyCall,
    is_prompt,
    prompt,
    prompt_order_id,
    question,
    reply_call,
)

PROMPT: dict[str, Any] = {
    "orderId": 123456789,
    "reqId": "22170",
    "dismissable": [],
    "text": "Use the Price\nManagement Algo?",
    "options": ["Use on this order", "Always use", "Do not use"],
    "type": "M",
    "messageId": "p12",
    "prompt": True,
}


def test_a_question_is_answered_at_its_own_address() -> None:
    call = reply_call(QuestionId("99-a/b"), confirmed=True)

    assert call == ReplyCall(
        path="/iserver/reply/99-a%2Fb", template="/iserver/reply/{id}", body=b'{"confirmed":true}'
    )


@pytest.mark.parametrize(
    ("confirmed", "option"), [(True, "Use on this order"), (False, "Do not use")]
)
def test_a_prompt_is_answered_by_the_words_of_its_options(confirmed: bool, option: str) -> None:  # noqa: FBT001 - a table's value
    order_id, asked = prompt(PROMPT)

    call = reply_call(asked.question_id, confirmed=confirmed)

    assert order_id == "123456789"
    assert call is not None
    assert call.path == "/iserver/notification"
    assert json.loads(call.body) == {"orderId": 123456789, "reqId": "22170", "text": option}


def test_a_prompts_question_holds_all_that_its_answer_needs() -> None:
    assert prompt(PROMPT) == (
        BrokerOrderId("123456789"),
        Question(
            question_id=QuestionId(
                "notification:123456789:22170:Use%20on%20this%20order:Do%20not%20use"
            ),
            message_ids=(MessageId("p12"),),
            texts=("Use the Price Management Algo?",),
        ),
    )


def test_the_order_of_a_prompt_is_in_its_question() -> None:
    assert prompt_order_id(prompt(PROMPT)[1].question_id) == "123456789"
    assert prompt_order_id(QuestionId("99097238-9824")) is None


@pytest.mark.parametrize("options", [["Always use", "Do not use"], ["Yes", "OK", "No"]])
def test_an_option_that_is_standing_or_one_of_two_is_never_chosen(options: list[str]) -> None:
    _, asked = prompt({**PROMPT, "options": options})

    assert reply_call(asked.question_id, confirmed=True) is None
    assert reply_call(asked.question_id, confirmed=False) is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reqId": None}, "without orderId and reqId"),
        ({"orderId": "x"}, "without orderId and reqId"),
        ({"orderId": "٣"}, "without orderId and reqId"),
        ({"orderId": "9" * 19}, "without orderId and reqId"),
        ({"options": ["This", "That"]}, "with the options"),
        ({"options": None}, "with the options"),
    ],
)
def test_a_prompt_that_nobody_could_answer_is_an_error(
    change: dict[str, object], words: str
) -> None:
    with pytest.raises(BadAnswer, match=words):
        prompt({**PROMPT, **change})


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (PROMPT, True),
        ({"reqId": 1, "options": []}, True),
        ({"id": "118", "text": "will be cancelled"}, False),
        ({"prompt": False, "reqId": 1}, False),
    ],
)
def test_what_has_options_is_a_prompt(row: dict[str, object], expected: bool) -> None:  # noqa: FBT001 - a table's value
    assert is_prompt(row) is expected


def test_a_row_without_id_and_message_asks_nothing() -> None:
    assert question({"id": "5"}) is None
    assert question({"message": ["sure?"]}) is None
    assert question({"id": 5, "message": "sure?", "messageIds": "o163"}) == Question(
        question_id=QuestionId("5"), message_ids=(MessageId("o163"),), texts=("sure?",)
    )
