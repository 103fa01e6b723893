"""The fills of an order: each counted once, corrected, busted and charged."""

import itertools
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.order.merge import Fills, is_declared
from engine.domain.values import BrokerOrderId, Execution, ExecutionId
from tests.domain.order.samples import BROKER_ID, fill

SECOND = BrokerOrderId("7")


def booked(*executions: Execution) -> Fills:
    fills = Fills()
    for execution in executions:
        fills.add(execution)
    return fills


@pytest.mark.parametrize(
    ("executions", "quantity", "counted"),
    [
        ((), 0, 0),
        ((fill(1, 6), fill(1, 6)), 6, 6),
        ((fill(1, 6), fill(1, 5, revision=2)), 5, 6),
        ((fill(1, 6), fill(1, 8, revision=2)), 8, 8),
        ((fill(1, 6), fill(1, 0, revision=2), fill(2, 4)), 4, 10),
        ((fill(1, 6), fill(1, 4, revision=9), fill(1, 3, revision=10)), 3, 6),
    ],
    ids=["none", "repeated", "less", "more", "busted", "many revisions"],
)
def test_a_fill_counts_at_its_newest_revision_in_any_order(
    executions: tuple[Execution, ...], quantity: int, counted: int
) -> None:
    ends = {
        (fills.quantity, fills.counted(), fills.all())
        for fills in (booked(*order) for order in itertools.permutations(executions))
    }

    assert [(one, two) for one, two, _ in ends] == [(Decimal(quantity), Decimal(counted))]


def test_all_revisions_rebuild_the_same_fills() -> None:
    fills = booked(fill(2, 4), fill(1, 6, fee="1"), fill(1, 5, revision=2))

    again = booked(*fills.all())

    assert again.all() == fills.all()
    assert again.quantity == Decimal(9)


def test_a_later_commission_replaces_the_one_before_and_none_takes_it_away() -> None:
    fills = booked(fill(1, 6), fill(1, 6, fee="1"), fill(1, 6, fee="1.05"), fill(1, 6))

    assert [one.commission for one in fills.all()] == [Decimal("1.05")]


@pytest.mark.parametrize(
    ("execution", "news"),
    [
        (fill(1, 6), False),
        (fill(1, 6, fee="1"), False),
        (fill(1, 6, fee="2"), True),
        (fill(1, 5, revision=2), True),
        (fill(2, 6), True),
    ],
)
def test_only_what_changes_something_is_news(execution: Execution, *, news: bool) -> None:
    fills = booked(fill(1, 6, fee="1"))

    assert fills.is_news(execution) is news


def test_the_average_price_leaves_out_what_was_busted() -> None:
    fills = booked(fill(1, 6, "100"), fill(2, 2, "104"), fill(3, 9, "7"), fill(3, 0, revision=2))

    assert fills.average_price == Decimal(101)
    assert booked(fill(1, 0)).average_price is None


def test_fills_of_second_orders_are_told_apart() -> None:
    fills = booked(fill(1, 6), fill(2, 3, broker_id=SECOND))

    assert (fills.of(BROKER_ID), fills.of(SECOND), fills.counted((SECOND,))) == (
        Decimal(6),
        Decimal(3),
        Decimal(6),
    )


def test_what_a_person_declared_was_not_shown() -> None:
    declared = replace(fill(1, 6), execution_id=ExecutionId("declared-1-1.01"))

    assert is_declared(declared)
    assert not is_declared(fill(1, 6))
    assert booked(declared).counted() == 0
