"""What the orders of a group reserve together."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.risk.exposure import ZERO, Reservation
from engine.domain.risk.groups import (
    count_rest,
    count_together,
    entry_of,
    exits_of,
    largest_rest,
    measure,
)
from engine.domain.values import ConId, GroupKind, GroupPlace, OrderId, Side
from tests.domain.risk.samples import CONID

LEADER = OrderId("order-0")


def member(
    kind: GroupKind,
    index: int,
    side: Side,
    quantity: int,
    *,
    filled: int = 0,
    told: int | None = None,
    over: bool = False,
) -> Reservation:
    """Make a member whose fills are all told, unless `told` says how much of them is."""
    return Reservation(
        order_id=OrderId(f"order-{index}"),
        conid=CONID,
        symbol="AAPL",
        side=side,
        quantity=Decimal(quantity),
        filled_quantity=Decimal(filled),
        told_quantity=Decimal(filled if told is None else told),
        before_quantity=ZERO,
        terminal=over,
        seq=1,
        group=GroupPlace(kind=kind, leader=LEADER, index=index, size=3),
    )


def bracket(
    entry_filled: int = 0, *, first_filled: int = 0, entry_told: int | None = None
) -> tuple[Reservation, ...]:
    return (
        member(GroupKind.BRACKET, 0, Side.BUY, 100, filled=entry_filled, told=entry_told),
        member(GroupKind.BRACKET, 1, Side.SELL, 100, filled=first_filled),
        member(GroupKind.BRACKET, 2, Side.SELL, 80),
    )


def both_sides(members: tuple[Reservation, ...]) -> tuple[int, int]:
    counted = count_together(members)
    return int(counted[Side.BUY]), int(counted[Side.SELL])


@pytest.mark.parametrize(
    ("entry_filled", "first_filled", "counted"),
    [
        (0, 0, (100, 0)),
        (30, 0, (70, 30)),
        (90, 0, (10, 90)),
        (100, 0, (0, 100)),
        (100, 40, (0, 60)),
        (100, 100, (0, 0)),
        # More was closed than was open: what may follow is bounded by nothing held.
        (50, 60, (50, 0)),
    ],
)
def test_exits_count_once_and_no_further_than_their_entry_has_filled(
    entry_filled: int, first_filled: int, counted: tuple[int, int]
) -> None:
    assert both_sides(bracket(entry_filled, first_filled=first_filled)) == counted


def test_a_fill_of_the_entry_that_the_position_lacks_counts_on_its_side_still() -> None:
    assert both_sides(bracket(30, entry_told=10)) == (90, 30)


def test_a_fill_of_an_exit_that_the_position_lacks_counts_in_any_case() -> None:
    entry, first, second = bracket(100)
    missing = replace(first, filled_quantity=Decimal(100), terminal=True)

    assert both_sides((entry, missing, second)) == (0, 100)


def test_exits_without_their_entry_count_in_full_but_once() -> None:
    _, first, second = bracket()

    assert both_sides((first, second)) == (0, 100)


def test_of_orders_that_cancel_each_other_the_largest_of_each_side_counts() -> None:
    members = (
        member(GroupKind.OCA, 0, Side.BUY, 100),
        member(GroupKind.OCA, 1, Side.SELL, 70),
        member(GroupKind.OCA, 2, Side.SELL, 80, filled=30),
        member(GroupKind.OCA, 3, Side.SELL, 90, over=True),
    )

    assert both_sides(members) == (100, 70)


def test_what_filled_of_them_and_is_not_held_counts_on_top() -> None:
    members = (
        member(GroupKind.OCA, 0, Side.SELL, 100, filled=40, told=0),
        member(GroupKind.OCA, 1, Side.SELL, 90),
    )

    assert both_sides(members) == (0, 40 + 90)


def test_what_is_left_without_one_of_them() -> None:
    members = bracket(70)
    first = members[1].order_id

    assert count_together(members, without=first) == {Side.BUY: 30, Side.SELL: 70}
    assert count_together(members, without=LEADER) == {Side.BUY: 0, Side.SELL: 70}
    assert count_rest(members, Side.SELL, without=first) == 70
    assert count_rest(members, Side.BUY, without=first) == 0
    assert largest_rest(members, Side.SELL, without=first) == 80


def test_entry_and_exits_are_told_apart() -> None:
    entry, first, second = members = bracket()
    oca = (member(GroupKind.OCA, 0, Side.BUY, 1),)

    assert entry_of(members) == entry
    assert exits_of(members) == (first, second)
    assert exits_of((entry, replace(first, terminal=True), second)) == (second,)
    assert entry_of(oca) is None


def test_a_group_is_measured_whole_though_its_entry_is_over() -> None:
    entry, first, second = bracket(100)
    members = (replace(entry, terminal=True), first, second)

    exposure = measure(
        CONID, Decimal(100), (first, second), members=lambda leader: members * (leader == LEADER)
    )

    assert [exposure.working_buy, exposure.working_sell] == [0, 100]
    assert (exposure.orders_total, exposure.orders_buy, exposure.orders_sell) == (2, 0, 2)


def test_a_group_in_another_contract_takes_its_places_only() -> None:
    members = bracket(100)

    exposure = measure(ConId(8314), ZERO, members, members=lambda _leader: members)

    assert [exposure.working_sell, exposure.orders_total, exposure.orders_sell] == [0, 3, 0]
