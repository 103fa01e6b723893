import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.messages import (
    JOURNALED,
    HaltScope,
    JournalMessage,
    LimitsLoaded,
    OrderAnswered,
)
from engine.domain.values import (
    Answer,
    MessageId,
    OutcomeKind,
    QuestionPolicy,
    Scope,
    ScopeKind,
    TradingState,
)
from engine.journal import JournalUnsupported
from engine.journal.codec import RECORD_TYPES, decode, encode, record_type
from tests.journal.samples import acknowledged, attempt, questioned, submit


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Every value of a type that a message may hold."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{name: values(hint) for name, hint in hints.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*(values(argument) for argument in arguments))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*(values(argument) for argument in arguments))
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is Mapping:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    if isinstance(kind, typing.NewType):
        return values(kind.__supertype__)
    if kind is Decimal:
        return st.decimals(allow_nan=False, allow_infinity=False)
    if kind is int:
        return st.integers(-(2**63), 2**63 - 1)
    return st.from_type(kind)


@given(st.one_of(*(values(kind) for kind in JOURNALED)))
def test_every_message_comes_back_as_it_was(message: JournalMessage) -> None:
    name, body = record_type(message), encode(message)

    found = decode(name, body)

    assert found == message
    assert type(found) is type(message)
    assert encode(found) == body


def test_every_kind_of_message_has_its_own_record_type() -> None:
    assert len(RECORD_TYPES) == len(set(RECORD_TYPES)) == len(JOURNALED) + 1
    assert [
        record_type(one) for one in (submit(1), attempt(1), acknowledged(1), questioned(1))
    ] == [
        "INTENT",
        "ATTEMPT",
        "OUTCOME",
        "QUESTION",
    ]


@given(values(OrderAnswered))
def test_an_answer_is_a_question_only_when_it_asks(answer: OrderAnswered) -> None:
    expected = "QUESTION" if answer.outcome.kind is OutcomeKind.QUESTION else "OUTCOME"

    assert record_type(answer) == expected


def test_bytes_are_canonical() -> None:
    assert encode(attempt(1)) == b'{"number":1,"order_id":"1-1","session_epoch":1}'
    limits = LimitsLoaded(version=3, policy_hash="é", approved_by=("cio",), changes=())
    assert encode(limits) == (
        '{"approved_by":["cio"],"changes":[],"policy_hash":"é","version":3}'.encode()
    )


def test_money_is_text_to_the_last_digit_and_wire_bytes_are_exact() -> None:
    body = bytes(range(256))

    written = json.loads(encode(submit(1, body=body)))
    found = decode("INTENT", encode(submit(1, body=body)))

    assert written["approved"]["ticket"]["limit_price"] == "189.50"
    assert found == submit(1, body=body)


def test_a_read_only_mapping_is_written_like_any_other() -> None:
    message = submit(1)
    questions = QuestionPolicy(answers=MappingProxyType(dict(message.approved.questions.answers)))
    shielded = dataclasses.replace(
        message, approved=dataclasses.replace(message.approved, questions=questions)
    )

    assert encode(shielded) == encode(message)


def test_the_order_of_a_mapping_does_not_show() -> None:
    message = submit(1)

    def written(names: list[str]) -> bytes:
        policy = QuestionPolicy(answers={MessageId(name): Answer.ACCEPT for name in names})
        approved = dataclasses.replace(message.approved, questions=policy)
        return encode(dataclasses.replace(message, approved=approved))

    assert written(["a", "o354", "z"]) == written(["z", "a", "o354"])


def test_a_field_of_a_newer_version_is_skipped_and_an_older_record_gets_the_default() -> None:
    newer = json.loads(encode(acknowledged(1)))
    newer["since_next_year"] = {"x": [1]}
    newer["outcome"]["also_new"] = True
    older = json.loads(encode(acknowledged(1)))
    for name in ("question", "reason", "http_status", "body_sha256"):
        del older["outcome"][name]

    assert decode("OUTCOME", json.dumps(newer).encode()) == acknowledged(1)
    assert decode("OUTCOME", json.dumps(older).encode()) == acknowledged(1)


def test_a_record_that_this_version_cannot_read_is_named() -> None:
    with pytest.raises(JournalUnsupported, match=r"of the type 'SPLIT', this version knows INTENT"):
        decode("SPLIT", b"{}")
    with pytest.raises(JournalUnsupported, match=r"type ATTEMPT that this version cannot read: .*"):
        decode("ATTEMPT", b'{"order_id":"1-1"}')


def test_a_halt_reads_like_the_command_that_made_it() -> None:
    halt = HaltScope(
        scope=Scope(kind=ScopeKind.GROUP, key="desk"),
        level=TradingState.CANCEL_ONLY,
        reason="lunch",
        by="cli",
    )

    assert encode(halt) == (
        b'{"by":"cli","level":"cancel_only","reason":"lunch","scope":{"key":"desk","kind":"group"}}'
    )
