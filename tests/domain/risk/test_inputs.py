"""What the checks derive from their inputs: units, and whether anything becomes larger."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.risk import Former, Inputs
from engine.domain.risk.inputs import with_terms
from engine.domain.risk.pricing import Missing
from engine.domain.values import OrderType, Terms
from tests.domain.risk.samples import BUY, INPUTS, SELL, TYPED, holding


def changed(quantity: str, limit: str | None, *, held: int = 0) -> Inputs:
    """Return the inputs of a change of 10 at 100."""
    terms = Terms(
        quantity=Decimal(quantity),
        limit_price=None if limit is None else Decimal(limit),
        stop_price=None,
    )
    former = Former(
        terms=Terms(quantity=Decimal(10), limit_price=Decimal(100), stop_price=None),
        filled_quantity=Decimal(held),
        held_quantity=Decimal(held),
        units_max=Decimal(0),
    )
    return replace(INPUTS, ticket=with_terms(BUY, terms), former=former)


@pytest.mark.parametrize(
    ("quantity", "limit", "growing", "easing"),
    [
        ("10", "100", False, True),
        ("9", "99.99", False, True),
        ("10", "100.01", False, False),
        ("11", "99", True, False),
        ("10", None, False, False),
        ("NaN", "100", True, False),
        ("10", "NaN", False, False),
    ],
)
def test_a_change_eases_when_nothing_of_it_is_larger(
    quantity: str, limit: str | None, *, growing: bool, easing: bool
) -> None:
    inputs = changed(quantity, limit)

    assert (inputs.growing, inputs.easing) == (growing, easing)


def test_a_new_order_always_grows_and_never_eases() -> None:
    assert (INPUTS.growing, INPUTS.easing, INPUTS.harmless) == (True, False, False)


def test_the_units_that_have_filled_are_not_open_any_more() -> None:
    inputs = changed("12", "100", held=4)

    assert (inputs.units, inputs.open_units) == (Decimal(12), Decimal(8))


def test_an_order_reduces_when_all_that_is_open_of_it_does() -> None:
    sell = replace(INPUTS, ticket=SELL, exposure=holding(10))
    more = replace(sell, ticket=replace(SELL, quantity=Decimal(11)))
    unquoted = replace(
        sell,
        ticket=replace(SELL, quantity=Decimal(0), cash_quantity=Decimal(1)),
        quote=None,
        quote_age_ms=None,
    )

    assert (sell.reducing, more.reducing, unquoted.reducing) == (True, False, False)
    assert isinstance(unquoted.units, Missing)


def test_terms_change_a_ticket_and_leave_the_rest() -> None:
    ticket = TYPED[OrderType.STOP_LIMIT]
    terms = Terms(quantity=Decimal(3), limit_price=Decimal(7), stop_price=Decimal(6))

    assert with_terms(ticket, terms) == replace(
        ticket, quantity=Decimal(3), limit_price=Decimal(7), stop_price=Decimal(6)
    )
