import pytest

from engine.api.answers import ReasonBody, time_or_none, time_text


@pytest.mark.parametrize(
    ("at_ns", "expected"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_763_812_800_123_456_789, "2025-11-22T12:00:00.123456Z"),
        (1_763_812_799_999_999_999, "2025-11-22T11:59:59.999999Z"),
        (253_402_300_799_999_999_999, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_are_utc_to_the_microsecond_and_never_rounded_up(at_ns: int, expected: str) -> None:
    assert time_text(at_ns) == expected


def test_no_reason_is_null() -> None:
    assert ReasonBody.of(None) is None


def test_no_time_is_null() -> None:
    assert time_or_none(None) is None
    assert time_or_none(0) == "1970-01-01T00:00:00.000000Z"
