"""What a check answers."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.risk.limits import Limit, format_number
from engine.domain.risk.verdict import Check, Code, Verdict, compare, figures_of, refuse
from engine.domain.values import AccountId, Reason

LIMIT = Limit(name="order.max_qty.STK", value=Decimal("50.0"), unit="units", source="risk.yaml:3")


def test_a_refusal_names_the_figures_and_what_was_needed() -> None:
    verdict = refuse(
        Check.PRICE, Code.PRICE_NOT_POSITIVE, AccountId("DU1"), needs="more", price=Decimal("-1.50")
    )

    assert verdict == Verdict(
        check=Check.PRICE,
        reason=Reason(
            code="PRICE_NOT_POSITIVE",
            message="account=DU1 price=-1.5 needs more",
        ),
    )
    assert not verdict.passed
    assert verdict.utilisation is None
    assert verdict.reason is not None
    assert type(verdict.reason.code) is str


def test_a_comparison_keeps_its_figures_when_it_passes() -> None:
    verdict = compare(
        Check.ORDER_QUANTITY,
        Code.QTY_EXCEEDS_MAX,
        AccountId("DU1"),
        field="quantity",
        value=Decimal(50),
        limit=LIMIT,
    )

    assert verdict == Verdict(check=Check.ORDER_QUANTITY, value=Decimal(50), limit=LIMIT)
    assert verdict.utilisation == 1


def test_a_comparison_that_fails_shows_value_limit_unit_and_source() -> None:
    verdict = compare(
        Check.ORDER_QUANTITY,
        Code.QTY_EXCEEDS_MAX,
        AccountId("DU1"),
        field="quantity",
        value=Decimal("50.01"),
        limit=LIMIT,
        sec_type="STK",
    )

    assert verdict.reason == Reason(
        code="QTY_EXCEEDS_MAX",
        message="account=DU1 quantity=50.01 units"
        " limit=50 units (order.max_qty.STK, risk.yaml:3) sec_type=STK",
    )


@given(
    value=st.decimals(min_value=51, max_value=Decimal("1E30"), places=4),
    unit=st.sampled_from(["units", "USD", "bps"]),
    source=st.sampled_from(["risk.yaml:3", "built-in", "a folder (old)/risk.yaml:12"]),
    sec_type=st.sampled_from([None, "STK"]),
)
def test_a_program_reads_the_figures_of_a_comparison_back(
    value: Decimal, unit: str, source: str, sec_type: str | None
) -> None:
    inputs = {} if sec_type is None else {"sec_type": sec_type}
    verdict = compare(
        Check.ORDER_QUANTITY,
        Code.QTY_EXCEEDS_MAX,
        AccountId("DU1"),
        field="quantity",
        value=value,
        limit=replace(LIMIT, unit=unit, source=source),
        **inputs,
    )

    assert verdict.reason is not None
    assert figures_of(verdict.reason) == {
        "account": "DU1",
        "field": "quantity",
        "value": format_number(value),
        "unit": unit,
        "allowed": "50",
        "limit": "order.max_qty.STK",
        "source": source,
        "inputs": inputs,
    }


@pytest.mark.parametrize(
    ("figures", "read"),
    [
        ({}, {"inputs": {}}),
        ({"side": "SELL"}, {"field": "side", "value": "SELL", "inputs": {}}),
        (
            {"limit_price": Decimal("1.50"), "tick": Decimal("0.010")},
            {"field": "limit_price", "value": "1.5", "inputs": {"tick": "0.01"}},
        ),
    ],
)
def test_a_program_reads_the_figures_of_any_other_refusal_back(
    figures: dict[str, object], read: dict[str, object]
) -> None:
    needs = "a bid below the ask (RULES: a=b needs c)"
    verdict = refuse(Check.PRICE, Code.PRICE_INVALID_TICK, AccountId("DU1"), needs=needs, **figures)

    assert verdict.reason is not None
    assert figures_of(verdict.reason) == {"account": "DU1", "allowed": needs, **read}


def test_what_no_check_wrote_has_no_figures() -> None:
    text = "account=DU1 trading_state=HALT (risk.yaml:3)"

    assert figures_of(Reason(code="TRADING_HALTED", message=text)) == {}


def test_the_smallest_limit_that_can_be_written_has_a_utilisation() -> None:
    limit = replace(LIMIT, value=Decimal("1E-999999"))

    verdict = Verdict(check=Check.ORDER_QUANTITY, value=Decimal(1_000), limit=limit)

    assert verdict.utilisation == Decimal("1E+1000002")
