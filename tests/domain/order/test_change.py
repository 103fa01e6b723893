"""What a row proves of a change, for each type of order."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.order.change import Shown, shown_by, terms_of
from engine.domain.values import OrderType, Terms
from tests.domain.order.samples import TICKET, row, terms

OLD, NEW = terms(10, "100"), terms(20, "101")


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (OLD, Shown.OLD),
        (NEW, Shown.NEW),
        (terms(20, "100"), Shown.NOTHING),  # a bit of both
        (terms(15, "100.5"), Shown.NOTHING),  # somebody else's
        (terms(20, None), Shown.NEW),
        (terms(10, None), Shown.OLD),
    ],
)
def test_a_row_shows_the_terms_that_it_tells_apart(told: Terms, shown: Shown) -> None:
    assert shown_by(row(shows=told), OrderType.LMT, old=OLD, new=NEW) is shown


def test_a_row_without_terms_shows_nothing() -> None:
    assert shown_by(row(), OrderType.LMT, old=OLD, new=NEW) is Shown.NOTHING


def test_terms_that_are_no_others_are_in_force_whatever_a_row_says() -> None:
    assert shown_by(row(), OrderType.LMT, old=OLD, new=terms(10, "100.0")) is Shown.NEW


def test_what_is_the_same_in_both_proves_nothing() -> None:
    dearer = terms(10, "101")
    quantity_only = replace(row(), total_quantity=Decimal(10))

    assert shown_by(quantity_only, OrderType.LMT, old=OLD, new=dearer) is Shown.NOTHING
    assert shown_by(row(shows=dearer), OrderType.LMT, old=OLD, new=dearer) is Shown.NEW


@pytest.mark.parametrize("kind", [OrderType.STP, OrderType.MIT])
@pytest.mark.parametrize("field", ["limit_price", "stop_price"])
def test_the_only_price_of_a_stop_is_its_stop(kind: OrderType, field: str) -> None:
    old, new = terms(10, None, "90"), terms(10, None, "95")
    shows_new = replace(row(), **{field: Decimal(95)})  # type: ignore[arg-type] # a price's name

    assert shown_by(shows_new, kind, old=old, new=new) is Shown.NEW


@pytest.mark.parametrize("kind", [OrderType.STOP_LIMIT, OrderType.LIT])
def test_an_order_with_two_prices_shows_both(kind: OrderType) -> None:
    old, new = terms(10, "100", "90"), terms(10, "101", "91")

    assert shown_by(row(shows=new), kind, old=old, new=new) is Shown.NEW
    assert shown_by(row(shows=terms(10, "101", "90")), kind, old=old, new=new) is Shown.NOTHING


@pytest.mark.parametrize("kind", [OrderType.TRAIL, OrderType.TRAILLMT])
def test_the_prices_of_a_trail_follow_the_market_and_prove_nothing(kind: OrderType) -> None:
    old, new = terms(10, "100", "90"), terms(20, "101", "91")
    moved = terms(20, "100.5", "90.5")

    assert shown_by(row(shows=moved), kind, old=old, new=new) is Shown.NEW
    assert (
        shown_by(row(shows=moved), kind, old=old, new=replace(new, quantity=Decimal(10)))
        is Shown.NOTHING
    )


def test_an_order_begins_with_the_terms_of_its_ticket() -> None:
    assert terms_of(TICKET) == OLD
