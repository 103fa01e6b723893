import json
from typing import Any

import pytest

from engine.domain.values import BrokerOrderId, MessageId, Question, QuestionId
from engine.gateway.wire.lenient import BadAnswer
from engine.gateway.wire.question import (
    ReplyCall,
    is_prompt,
    one_of_several,
    prompt,
    prompt_order_id,
    question,
    reply_calls,
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
    calls = reply_calls(QuestionId("99-a/b"), confirmed=True)

    assert calls == (
        ReplyCall(
            path="/iserver/reply/99-a%2Fb",
            template="/iserver/reply/{id}",
            body=b'{"confirmed":true}',
        ),
    )


@pytest.mark.parametrize(("confirmed", "word"), [(True, b"true"), (False, b"false")])
def test_the_questions_about_a_group_are_answered_alike_one_after_the_other(
    confirmed: bool,  # noqa: FBT001 - a table's value
    word: bytes,
) -> None:
    together = one_of_several((QuestionId("99-a"), QuestionId("b:c/d")))

    calls = reply_calls(together, confirmed=confirmed)

    assert together == "several:99-a:b%3Ac%2Fd"
    assert [(call.path, call.body) for call in calls] == [
        ("/iserver/reply/99-a", b'{"confirmed":' + word + b"}"),
        ("/iserver/reply/b%3Ac%2Fd", b'{"confirmed":' + word + b"}"),
    ]
    assert prompt_order_id(together) is None


@pytest.mark.parametrize(
    ("confirmed", "option"), [(True, "Use on this order"), (False, "Do not use")]
)
def test_a_prompt_is_answered_by_the_words_of_its_options(confirmed: bool, option: str) -> None:  # noqa: FBT001 - a table's value
    order_id, asked = prompt(PROMPT)

    [call] = reply_calls(asked.question_id, confirmed=confirmed)

    assert order_id == "123456789"
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

    assert reply_calls(asked.question_id, confirmed=True) == ()
    assert len(reply_calls(asked.question_id, confirmed=False)) == 1


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
