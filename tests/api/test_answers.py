from dataclasses import replace
from decimal import Decimal

import pytest

from engine.api.answers import OrderBody, ReasonBody, time_text
from engine.domain.values import OrderState, Reason
from tests.api.fake_engine import ORDER


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


def test_an_order_shows_no_exponent_and_no_digest() -> None:
    view = replace(
        ORDER,
        quantity=Decimal("1E+3"),
        filled_quantity=Decimal("0E-2"),
        average_price=None,
        state=OrderState.REJECTED,
        reason=Reason(code="R", message="m"),
    )

    text = OrderBody.of(view).model_dump_json()

    assert '"quantity":"1000","filled_quantity":"0.00","remaining_quantity":"1000.00"' in text
    assert '"reason":{"code":"R","message":"m"}' in text
    assert view.request_sha256 not in text


def test_no_reason_is_null() -> None:
    assert ReasonBody.of(None) is None
