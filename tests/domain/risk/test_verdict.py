"""What a check answers."""

from dataclasses import replace
from decimal import Decimal

from engine.domain.risk.limits import Limit
from engine.domain.risk.verdict import Check, Code, Verdict, compare, refuse
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


def test_the_smallest_limit_that_can_be_written_has_a_utilisation() -> None:
    limit = replace(LIMIT, value=Decimal("1E-999999"))

    verdict = Verdict(check=Check.ORDER_QUANTITY, value=Decimal(1_000), limit=limit)

    assert verdict.utilisation == Decimal("1E+1000002")
