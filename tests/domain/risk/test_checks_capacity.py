"""The checks of capacity: positions in the worst case, and working orders."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.risk import Check, Code, Exposure, Inputs, Verdict
from engine.domain.risk import checks as c
from engine.domain.risk.exposure import Doubt
from tests.domain.risk.samples import BUY, INPUTS, SELL, holding, limits

REDUCING = replace(INPUTS, ticket=SELL, exposure=holding(100))


def code(verdict: Verdict) -> str | None:
    return verdict.reason.code if verdict.reason else None


def message(verdict: Verdict) -> str:
    assert verdict.reason is not None
    return verdict.reason.message


def test_r20_unknown_positions_refuse_every_order() -> None:
    verdict = c.check_position(replace(INPUTS, exposure=Exposure(position=None)))

    assert message(verdict) == (
        "account=DU1234567 conid=265598"
        " needs the broker's holdings of the account, which were not read yet"
    )


@pytest.mark.parametrize(
    ("ticket", "exposure", "worst"),
    [
        (BUY, Exposure(position=Decimal(50)), 60),
        (BUY, Exposure(position=Decimal(50), working_buy=Decimal(30)), 90),
        (BUY, Exposure(position=Decimal(50), working_sell=Decimal(30)), 60),
        (BUY, Exposure(position=Decimal(-5), working_buy=Decimal(30)), 35),
        (SELL, Exposure(position=Decimal(-50)), 60),
        (SELL, Exposure(position=Decimal(-50), working_sell=Decimal(30)), 90),
        (SELL, Exposure(position=Decimal(50), working_sell=Decimal(45)), 50),
        (SELL, Exposure(position=Decimal(5)), 5),
    ],
)
def test_r20_adds_up_the_worst_case(ticket: Any, exposure: Exposure, worst: int) -> None:
    wide = limits({"position.max_qty": 100, "position.max_notional.abs": 10**9})

    verdict = c.check_position(replace(INPUTS, ticket=ticket, exposure=exposure, limits=wide))

    assert verdict.passed
    assert verdict.value == worst


def test_r20_the_limit_itself_passes_and_one_more_does_not() -> None:
    tight = limits({"position.max_qty": 60, "position.max_notional.abs": 10**9})
    inputs = replace(INPUTS, limits=tight, exposure=holding(50))

    above = c.check_position(replace(inputs, ticket=replace(BUY, quantity=Decimal(11))))

    assert c.check_position(inputs).utilisation == 1
    assert message(above) == (
        "account=DU1234567 worst_long=61 units"
        " limit=60 units (position.max_qty, risk.yaml:1)"
        " position=50 working_buy=0 working_sell=0 quantity=11"
    )


def test_r20_values_the_worst_case() -> None:
    tight = limits({"position.max_notional.abs": 6_000})
    inputs = replace(INPUTS, limits=tight, exposure=holding(-50), ticket=SELL)

    verdict = c.check_position(inputs)
    dearer = c.check_position(replace(inputs, ticket=replace(SELL, limit_price=Decimal(101))))

    assert verdict.passed
    assert verdict.value == 6_000
    assert message(dearer) == (
        "account=DU1234567 worst_short_notional=6060 USD"
        " limit=6000 USD (position.max_notional.abs, risk.yaml:1)"
        " position=-50 working_buy=0 working_sell=0 quantity=10"
        " price=101 multiplier=1 quote_age_ms=0"
    )


def test_r20_counts_from_the_worse_end_of_a_position_in_doubt() -> None:
    tight = limits({"position.max_qty": 60, "position.max_notional.abs": 10**9})
    doubt = Doubt(below=Decimal(30), above=Decimal(1))
    exposure = Exposure(position=Decimal(50), doubt=doubt)
    inputs = replace(INPUTS, limits=tight, exposure=exposure)
    low = replace(exposure, position=Decimal(-40), doubt=Doubt(below=Decimal(30)))

    above = c.check_position(inputs)
    past = c.check_position(
        replace(inputs, exposure=low, ticket=replace(BUY, quantity=Decimal(80)))
    )

    assert message(above) == (
        "account=DU1234567 worst_long=61 units"
        " limit=60 units (position.max_qty, risk.yaml:1)"
        " position=50 position_lowest=20 position_highest=51"
        " working_buy=0 working_sell=0 quantity=10"
    )
    assert past.value == 70


def test_r20_what_is_past_the_limit_may_only_be_reduced() -> None:
    tight = limits({"position.max_qty": 60})
    past = replace(INPUTS, limits=tight, exposure=holding(-100))
    turning = replace(past, ticket=replace(BUY, quantity=Decimal(110)))

    assert c.check_position(past) == Verdict(check=Check.POSITION)
    assert code(c.check_position(turning)) == Code.POSITION_LIMIT


def test_r20_needs_a_price_like_any_increase() -> None:
    assert (
        code(c.check_position(replace(INPUTS, quote=None, quote_age_ms=None)))
        == Code.NO_REFERENCE_PRICE
    )
    assert code(c.check_position(replace(INPUTS, instrument=None))) == Code.INSTRUMENT_UNKNOWN


def test_r25_counts_the_order_itself() -> None:
    full = Exposure(position=Decimal(0), orders_total=20, orders_buy=1)
    last = replace(full, orders_total=19)

    assert c.check_working_orders(replace(INPUTS, exposure=last)).utilisation == 1
    assert message(c.check_working_orders(replace(INPUTS, exposure=full))) == (
        "account=DU1234567 working_orders=21 orders"
        " limit=20 orders (working.max_total, risk.yaml:5)"
    )


def test_r25_counts_each_side_of_a_contract() -> None:
    crowded = Exposure(position=Decimal(0), orders_total=5, orders_sell=5)

    verdict = c.check_working_orders(replace(INPUTS, exposure=crowded, ticket=SELL))

    assert c.check_working_orders(replace(INPUTS, exposure=crowded)).passed
    assert message(verdict) == (
        "account=DU1234567 working_orders=6 orders"
        " limit=5 orders (working.max_per_conid_side, risk.yaml:6) conid=265598 side=SELL"
    )


@pytest.mark.parametrize("check", [c.check_position, c.check_working_orders])
def test_capacity_does_not_stop_a_reducing_order(check: Callable[[Inputs], Verdict]) -> None:
    exposure = Exposure(position=Decimal(10_000), orders_total=100, orders_sell=15)

    assert check(replace(REDUCING, exposure=exposure)).passed
