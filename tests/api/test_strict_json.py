from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api.strict_json import BadJson, canonical, plain, read, write


def test_fractions_are_decimals_to_the_last_digit() -> None:
    value = read(b'{"price": 0.1000000000000000055511151231257827, "n": 3, "e": 1e2}')

    assert value == {
        "price": Decimal("0.1000000000000000055511151231257827"),
        "n": 3,
        "e": Decimal("1E+2"),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"NaN", "NaN is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b'{"a": 1, "a": 1}', '"a" is given twice'),
        (b'{"a": {"b": 1, "b": 2}}', '"b" is given twice'),
        (b'"\\ud800"', "half a surrogate pair"),
        (b'{"\\udfff": 1}', "half a surrogate pair"),
        (b"\xef\xbb\xbf{}", "line 1 column 1"),
        (b"{} {}", "Extra data"),
        (b"", "line 1 column 1"),
        (b"{'a': 1}", "line 1 column 2"),
        (b'"\xc3\x28"', "byte 1 is not UTF-8"),
        (b'{"a": 1}'.decode().encode("utf-16"), "not UTF-8"),
        (b"[" * 33 + b"]" * 33, "nested too deeply, limit is 32 levels"),
        (b"[" * 60000, "nested too deeply"),
        (b"9" * 65, "a number of 65 digits, limit is 64 digits"),
        (b"1e99999999999999999999", "exponent out of range"),
    ],
)
def test_what_readers_could_understand_differently_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(BadJson, match=words.replace("(", "\\(")):
        read(text)


def test_thirty_two_levels_are_read() -> None:
    assert read(b"[" * 32 + b"]" * 32)


def with_texts(value: object) -> object:
    """What a value is after writing and reading: its decimals are strings."""
    match value:
        case Decimal():
            return read(write(value))
        case dict():
            return {name: with_texts(inner) for name, inner in value.items()}
        case list():
            return [with_texts(inner) for inner in value]
        case _:
            return value


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        value = read(data)
    except BadJson:
        return

    assert read(write(value)) == with_texts(value)


def test_decimals_are_written_as_strings_of_plain_digits() -> None:
    assert write({"a": Decimal("1E+2"), "b": "é", "c": Decimal("1E+999999")}) == (
        '{"a":"100","b":"é","c":"1E+999999"}'.encode()
    )


def test_the_canonical_spelling_is_sorted_and_ascii() -> None:
    assert canonical({"b": Decimal("0.5"), "a": "é"}) == b'{"a":"\\u00e9","b":"0.5"}'


def test_plain_has_no_exponent() -> None:
    assert [plain(Decimal(text)) for text in ("1E+3", "-2.50", "1E-7")] == [
        "1000",
        "-2.50",
        "0.0000001",
    ]
