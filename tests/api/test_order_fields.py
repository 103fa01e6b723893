from decimal import Decimal

import pytest
from pydantic_core import PydanticCustomError

from engine.api.order_fields import is_broker_order_id, read_parameter, read_time
from engine.domain.values import ParameterKind


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-12-18T21:00:00Z", 1_797_627_600_000),
        ("2026-12-18T16:00:00-05:00", 1_797_627_600_000),
        ("2026-12-18T21:00:00.123999+00:00", 1_797_627_600_123),
    ],
)
def test_a_moment_is_read_with_its_offset(text: str, milliseconds: int) -> None:
    assert read_time(text) == milliseconds


@pytest.mark.parametrize(
    "value",
    [
        "2026-12-18",
        "2026-12-18T21:00:00",
        "2026-12-18 21:00:00Z",
        "2026-12-18T21:00Z",
        "20261218T210000Z",
        "2026-12-32T00:00:00Z",
        "2026-12-18T25:00:00Z",
        "2026-12-18T21:00:00+99:00",
        "0000-01-01T00:00:00Z",
        "",
        1_797_627_600,
        None,
        True,
    ],
)
def test_what_is_no_moment_is_refused(value: object) -> None:
    with pytest.raises(PydanticCustomError):
        read_time(value)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (True, ParameterKind.FLAG, "true"),
        (False, ParameterKind.FLAG, "false"),
        (0, ParameterKind.NUMBER, "0"),
        (-3, ParameterKind.NUMBER, "-3"),
        (Decimal("0.10"), ParameterKind.NUMBER, "0.1"),
        (Decimal("1E+2"), ParameterKind.NUMBER, "100"),
        ("Urgent", ParameterKind.TEXT, "Urgent"),
        ("0.10", ParameterKind.TEXT, "0.10"),
        ("15:30:00 US/Eastern", ParameterKind.TEXT, "15:30:00 US/Eastern"),
    ],
)
def test_a_parameter_keeps_what_it_was_written_as(
    value: object, kind: ParameterKind, text: str
) -> None:
    assert read_parameter(value) == (kind, text)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "  ",
        "a\nb",
        "x" * 65,
        None,
        [],
        {},
        10**20,
        Decimal("1E-9"),
        Decimal("NaN"),
        Decimal("sNaN"),
    ],
)
def test_what_is_no_parameter_is_refused(value: object) -> None:
    with pytest.raises(PydanticCustomError):
        read_parameter(value)


@pytest.mark.parametrize(
    ("text", "good"),
    [("987", True), ("a-1.b_2", True), ("", False), ("a b", False), ("1/2", False)],
)
def test_the_brokers_id_of_an_order_is_short_and_plain(text: str, *, good: bool) -> None:
    assert is_broker_order_id(text) is good
