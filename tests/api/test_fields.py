from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from engine.api.fields import (
    read_boolean,
    read_conid_text,
    read_decimal,
    read_expiry,
    read_interval,
    read_trailing_type,
)
from engine.domain.values import TrailingType


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        (1, "1"),
        ("1.0", "1"),
        ("007.50", "7.5"),
        (Decimal("1E+9"), "1000000000"),
        (Decimal("1E-8"), "0.00000001"),
        ("9999999999.99999999", "9999999999.99999999"),
        (Decimal("100.00"), "100"),
    ],
)
def test_a_decimal_has_one_spelling(given_value: object, expected: str) -> None:
    assert format(read_decimal(given_value), "f") == expected


@pytest.mark.parametrize(
    "wrong",
    [
        0, -1, "0", "-1", "+1", "", " 1", "1 ", "1,000", "1_000", "1e5", "0x1", "NaN", "Infinity",
        "\u0661", "1.", ".5", 1.5, True, None, [], {}, Decimal("NaN"), Decimal("Infinity"),
        Decimal("-0"), Decimal("1E+10"), Decimal("1E-9"), Decimal("1E+999999"), 10**40,
        "0.123456789", "10000000000", Decimal("1E-999999"),
    ],
)  # fmt: skip
def test_what_is_no_sane_amount_is_refused(wrong: object) -> None:
    with pytest.raises(PydanticCustomError, match="a decimal above 0"):
        read_decimal(wrong)


@given(st.decimals(min_value=Decimal("0.00000001"), max_value=Decimal(9999999999), places=8))
def test_every_amount_within_the_limits_keeps_its_value(amount: Decimal) -> None:
    read = read_decimal(amount)

    assert read == amount
    assert read_decimal(format(amount, "f")).as_tuple() == read.as_tuple()


@pytest.mark.parametrize("text", ["0", "-1", "1.0", "AAPL", "", "2147483648", "²"])
def test_a_conid_in_a_path_is_plain_digits(text: str) -> None:
    with pytest.raises(PydanticCustomError, match="a whole number from 1 to 2147483647"):
        read_conid_text(text)


def test_booleans_and_intervals_are_taken_as_they_are() -> None:
    assert (read_boolean(value=True), read_interval("1m"), read_conid_text("8314")) == (
        True,
        "1m",
        8314,
    )


@pytest.mark.parametrize("wrong", [0, 1, "true", None])
def test_what_is_no_boolean_is_refused(wrong: object) -> None:
    with pytest.raises(PydanticCustomError, match="true, false"):
        read_boolean(wrong)


@pytest.mark.parametrize("wrong", ["2s", "1S", "60", "", None])
def test_a_bar_has_a_length_that_the_feed_makes(wrong: object) -> None:
    with pytest.raises(PydanticCustomError, match="1s, 1m"):
        read_interval(wrong)


@pytest.mark.parametrize("text", ["20261218", "202612", "20240229"])
def test_an_expiry_is_a_day_or_a_month_of_the_calendar(text: str) -> None:
    assert read_expiry(text) == text


@pytest.mark.parametrize(
    "wrong",
    ["2026", "20261", "20261301", "20260229", "202600", "000012", "DEC26", "", 202612, None],
)
def test_what_is_in_no_calendar_is_no_expiry(wrong: object) -> None:
    with pytest.raises(PydanticCustomError, match="a day YYYYMMDD or a month YYYYMM"):
        read_expiry(wrong)


def test_a_trailing_type_has_the_brokers_word_and_a_plain_one() -> None:
    assert read_trailing_type("percent") is read_trailing_type("%") is TrailingType.PERCENT


@pytest.mark.parametrize("wrong", ["AMT", "", "bps", 1, None, ["amt"]])
def test_what_is_no_trailing_type_is_refused(wrong: object) -> None:
    with pytest.raises(PydanticCustomError, match="amt, %"):
        read_trailing_type(wrong)
