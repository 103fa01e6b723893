from decimal import Decimal

import pytest

from engine.sim.answers import decode, encode, error, refused, whole_number
from engine.sim.tickets import Refusal


def test_numbers_are_read_exactly_and_written_as_the_broker_does() -> None:
    assert decode('{"price":228.40,"quantity":10}') == {"price": Decimal("228.40"), "quantity": 10}
    assert encode({"price": Decimal("228.40"), "size": 10.0}) == b'{"price":228.4,"size":10.0}'


@pytest.mark.parametrize("payload", ["", "{", "[" * 100_000, b"\xff", "9" * 5000])
def test_what_is_no_json_is_nothing(payload: str | bytes) -> None:
    assert decode(payload) is None


def test_a_nan_stays_a_text_and_never_becomes_a_number() -> None:
    assert decode('{"quantity":NaN}') == {"quantity": "NaN"}


@pytest.mark.parametrize(
    ("text", "number"),
    [("17", 17), ("-1", -1), ("", None), ("1.5", None), ("\u0663", None), ("9" * 19, None)],
)
def test_a_whole_number_is_ascii_digits_of_sane_length(text: str, number: int | None) -> None:
    assert whole_number(text) == number


def test_refusals_come_with_200_and_a_bare_error_or_with_their_status() -> None:
    assert refused(Refusal(text="no")).body == {"error": "no"}
    assert refused(Refusal(text="no", status=400)) == error("no", 400)
    assert refused(Refusal(text="Access Denied", status=401)).encoded() == b"Access Denied"
