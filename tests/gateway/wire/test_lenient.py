from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.wire import lenient
from engine.gateway.wire.lenient import BadAnswer


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"v":1}', "1"),
        (b'{"v":"1"}', "1"),
        (b'{"v":1.10}', "1.1"),
        (b'{"v":100.0}', "100"),
        (b'{"v":-0.0}', "0"),
        (b'{"v":"1,300"}', "1300"),
        (b'{"v":"1,234,567.50"}', "1234567.5"),
        (b'{"v":2.0E8}', "200000000"),
        (b'{"v":" -0.5 "}', "-0.5"),
        (b'{"v":".5"}', "0.5"),
        (b'{"v":"+7."}', "7"),
        (b'{"v":0.1000000000000000055511151231}', "0.1000000000000000055511151231"),
    ],
)
def test_a_number_is_read_exactly_in_every_form_and_kept_in_one(body: bytes, expected: str) -> None:
    row = lenient.as_row(lenient.decode(body), "it")

    assert str(lenient.number(row, "v")) == expected


@pytest.mark.parametrize("blank", ["", " ", "None", "null", "N/A", None])
def test_a_blank_says_nothing(blank: str | None) -> None:
    assert lenient.number({"v": blank}, "v") is None
    assert lenient.text({"v": blank}, "v") is None
    assert lenient.number({}, "v") is None


@pytest.mark.parametrize(
    "value",
    ["abc", "1,5", "1,30", "NaN", "Infinity", "-inf", "1e400", "1e18", "5.66M", ",", ".", "e5",
     "1" * 40, "0." + "1" * 29, True, [], {}, "1_000", "٣", 10**18, Decimal("1E-19")],
)  # fmt: skip
def test_what_is_no_number_is_an_error_and_never_a_guess(value: object) -> None:
    with pytest.raises(BadAnswer, match=r"v is .*, expected a number"):
        lenient.number({"v": value}, "v")
    assert lenient.loose_number({"v": value}, "v") is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=0, max_value=10**9))
def test_a_decimal_survives_both_ways_of_writing_it(number: Decimal) -> None:
    body = b'{"bare":%b,"quoted":"%b"}' % ((format(number, "f").encode(),) * 2)

    row = lenient.as_row(lenient.decode(body), "it")

    assert lenient.number(row, "bare") == lenient.number(row, "quoted") == number


@pytest.mark.parametrize("value", [7, "7", Decimal("7.0")])
def test_an_id_is_the_same_text_as_number_and_as_text(value: object) -> None:
    assert lenient.text({"id": value}, "id") == "7"


@pytest.mark.parametrize("value", [[], {}, Decimal("7.5")])
def test_what_is_no_text_is_an_error(value: object) -> None:
    with pytest.raises(BadAnswer, match=r"id is .*, expected a text"):
        lenient.text({"id": value}, "id")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"<html>", b'{"a":1}x', b"[" * 100_000, b'"\xff"', b"NaN", b"Access Denied",
     b'"\\ud800"', b"9" * 5_000],
)  # fmt: skip
def test_what_is_not_one_json_document_is_an_error(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="not JSON"):
        lenient.decode(body)


def test_a_number_with_an_absurd_exponent_does_not_break_the_document_around_it() -> None:
    row = lenient.as_row(lenient.decode(b'{"a":1e9999999999999999999,"b":2}'), "it")

    assert lenient.number(row, "b") == 2
    with pytest.raises(BadAnswer):
        lenient.number(row, "a")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_a_bad_answer_and_nothing_worse(body: bytes) -> None:
    with suppress(BadAnswer):
        lenient.decode(body)


def test_a_whole_number_has_no_fraction() -> None:
    assert lenient.whole({"v": "5.0"}, "v") == 5
    assert lenient.whole({}, "v") is None
    with pytest.raises(BadAnswer, match=r"v is 5\.5, expected a whole number"):
        lenient.whole({"v": "5.5"}, "v")
    with pytest.raises(BadAnswer, match="v missing"):
        lenient.need_whole({}, "v")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (False, False), (1, True), ("0", False), ("true", True), ("yes", None),
     (None, None), (2, None), ([], None)],
)  # fmt: skip
def test_a_flag_is_yes_no_or_not_said(value: object, expected: bool | None) -> None:  # noqa: FBT001 - a table's value
    assert lenient.flag({"f": value}, "f") is expected


def test_needed_members_are_named_when_they_are_missing() -> None:
    with pytest.raises(BadAnswer, match="account and acct missing"):
        lenient.need_text({"acct": ""}, "account", "acct")
    with pytest.raises(BadAnswer, match="size missing"):
        lenient.need_number({"size": None}, "size")


def test_shapes_are_named_when_they_are_wrong() -> None:
    with pytest.raises(BadAnswer, match="orders is dict, expected an array"):
        lenient.as_rows({}, "orders")
    with pytest.raises(BadAnswer, match=r"orders\[1\] is int, expected an object"):
        lenient.as_rows([{}, 5], "orders")


def test_rows_are_taken_from_an_array_or_a_bare_object() -> None:
    assert list(lenient.rows_in([{"a": 1}, 5, {"b": 2}])) == [{"a": 1}, {"b": 2}]
    assert list(lenient.rows_in({"a": 1})) == [{"a": 1}]
    assert list(lenient.rows_in("text")) == []


def test_a_sentence_is_one_short_line() -> None:
    assert lenient.sentence("  a\n b\t c ") == "a b c"
    assert len(lenient.sentence("x" * 900)) == 500
    assert lenient.sentence(5) == ""


@pytest.mark.parametrize("value", ["x" * 65, 10**64])
def test_an_id_is_not_longer_than_the_brokers_ids(value: object) -> None:
    with pytest.raises(BadAnswer, match="id has 65 characters, at most 64"):
        lenient.identifier({"id": value}, "id")
    assert lenient.identifier({"id": " ", "other": "x" * 64}, "id", "other") == "x" * 64
    assert lenient.identifier({"id": ""}, "id", "other") is None


def test_an_id_with_an_absurd_exponent_is_refused_before_it_is_written_out() -> None:
    row = lenient.as_row(lenient.decode(b'{"id":1e999999999}'), "it")

    with pytest.raises(BadAnswer, match="id is '1E"):
        lenient.text(row, "id")


@pytest.mark.parametrize("value", [0, -1, "-0.5", "0.000000009", "1e-18"])
def test_a_size_or_step_is_never_so_small_that_nothing_can_be_divided_by_it(value: object) -> None:
    with pytest.raises(BadAnswer, match=r"v is .*, at least 0\.00000001"):
        lenient.positive({"v": value}, "v")
    assert lenient.need_positive({"v": "0.00000001"}, "v") == Decimal("1e-8")
    with pytest.raises(BadAnswer, match="v missing"):
        lenient.need_positive({}, "v")


def test_a_total_may_be_zero_and_is_never_negative() -> None:
    assert lenient.not_negative({"v": 0}, "v") == 0
    with pytest.raises(BadAnswer, match="v is -1, at least 0"):
        lenient.not_negative({"v": -1}, "v")


@pytest.mark.parametrize("value", [0, -1])
def test_a_contracts_id_is_above_zero(value: int) -> None:
    with pytest.raises(BadAnswer, match=f"conid is {value}, a contract's id is above 0"):
        lenient.need_conid({"conid": value}, "conid")


def test_of_a_value_that_cannot_be_read_no_secret_is_repeated() -> None:
    with pytest.raises(BadAnswer, match="v is dict, expected a number"):
        lenient.number({"v": {"session": "hunter2"}}, "v")
    with pytest.raises(BadAnswer, match=r"v is '\*\*\*', expected a number"):
        lenient.number({"v": "bb665d0f9a0a4a8d9a3f3b6d6a1c6d5e"}, "v")
