"""Positions: the broker's answer, and the fills that move it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.messages import PositionFilled, PositionsRead
from engine.domain.risk import holdings as holdings_module
from engine.domain.risk.exposure import NO_DOUBT, Doubt
from engine.domain.risk.moves import Executions
from engine.domain.values import (
    ConId,
    ExecutionId,
    Position,
    Side,
    execution_root,
    is_first_revision,
)
from tests.domain.risk.samples import (
    ACCOUNT,
    CONID,
    NOW_NS,
    SECOND,
    execution,
    filled,
    position,
    told,
)

OTHER = ConId(8314)


class Holdings(holdings_module.Holdings):
    """Holdings that are told of fills, as an account's risk does it."""

    def __init__(self) -> None:
        super().__init__()
        self.executions = Executions()

    def fill(self, message: PositionFilled) -> Decimal | None:
        taken = self.executions.take(message)
        if taken is None:
            return None
        self.move(taken.moves)
        return taken.grown


def read(*positions: Position, second: int) -> PositionsRead:
    """Make an answer that was asked for in `second` and complete a second later."""
    return PositionsRead(
        account=ACCOUNT,
        positions=positions,
        started_ns=NOW_NS + second * SECOND,
        ended_ns=NOW_NS + (second + 1) * SECOND,
    )


def holdings_of(quantity: int) -> Holdings:
    holdings = Holdings()
    holdings.replace(read(position(quantity), second=0))
    return holdings


@pytest.mark.parametrize(
    ("execution_id", "root"),
    [
        ("0000dc8f.6b9035f5.01.01", "0000dc8f.6b9035f5.01"),
        ("0000dc8f.6b9035f5.01.02", "0000dc8f.6b9035f5.01"),
        ("without-segments", "without-segments"),
        ("", ""),
    ],
)
def test_the_last_segment_of_an_execution_is_its_revision(execution_id: str, root: str) -> None:
    assert execution_root(ExecutionId(execution_id)) == root


@pytest.mark.parametrize(
    ("execution_id", "is_first"),
    [
        ("0000dc8f.6b9035f5.01.01", True),
        ("0000dc8f.6b9035f5.01.02", False),
        ("12345", True),
        ("a.\u00b2", True),
    ],
)
def test_only_a_higher_revision_is_a_correction(execution_id: str, is_first: bool) -> None:  # noqa: FBT001 - a case
    assert is_first_revision(ExecutionId(execution_id)) is is_first


def test_nothing_is_known_before_the_first_read() -> None:
    holdings = Holdings()

    holdings.fill(filled("a", 5, second=0))

    assert holdings.quantity(CONID) is None
    assert holdings.read_ns is None
    assert holdings.quantities == {CONID: 5}


def test_what_the_broker_does_not_list_is_flat() -> None:
    holdings = holdings_of(100)

    assert holdings.quantity(CONID) == 100
    assert holdings.quantity(OTHER) == 0
    assert holdings.position(OTHER) is None
    assert holdings.read_ns == NOW_NS + SECOND


def test_fills_move_a_position_and_each_only_once() -> None:
    holdings = holdings_of(100)

    grown = [
        holdings.fill(filled("a", 30, second=20)),
        holdings.fill(filled("a", 30, second=21)),
        holdings.fill(filled("b", 150, second=22, side=Side.SELL)),
    ]

    assert grown == [30, None, 150]
    assert holdings.quantity(CONID) == -20
    assert holdings.doubt(CONID) == NO_DOUBT


def test_a_correction_moves_a_position_by_the_difference() -> None:
    holdings = holdings_of(100)
    found: list[tuple[Any, ...]] = []

    for name, quantity in (("a.01", 30), ("a.03", 20), ("a.02", 40), ("a.03", 20), ("a.04", 20)):
        grown = holdings.fill(filled(name, quantity, second=20))
        found.append((grown, holdings.quantity(CONID)))

    assert found == [(30, 130), (-10, 120), (None, 120), (None, 120), (0, 120)]


def test_a_correction_can_move_a_fill_to_another_side_and_contract() -> None:
    holdings = holdings_of(100)
    moved = replace(execution("a.02", 30, side=Side.SELL), conid=OTHER)
    holdings.fill(filled("a.01", 30, second=20))

    holdings.fill(told(moved, second=20))

    assert holdings.quantities == {CONID: 100, OTHER: -30}


def test_a_correction_of_what_was_read_long_ago_is_in_doubt_until_the_next_read() -> None:
    holdings = Holdings()
    holdings.fill(filled("a.01", 30, second=0))
    holdings.replace(read(position(30), second=100))

    holdings.fill(filled("a.02", 20, second=0, seen=102))
    corrected = holdings.doubt(CONID)
    holdings.replace(read(position(20), second=110))

    assert corrected == Doubt(above=Decimal(10))
    assert holdings.quantity(CONID) == 20
    assert holdings.doubt(CONID) == NO_DOUBT


@pytest.mark.parametrize(
    ("second", "seen", "unsure"),
    [
        (94, 94, False),
        (95, 95, True),
        (100, 100, True),
        (111, 111, True),
        (112, 112, False),
        # The broker's clock is behind ours: what just filled looks old, but not this old.
        (85, 100, True),
        (84, 100, False),
        # It is ahead of ours, or the news is late: what was seen before has filled before.
        (80, 94, False),
    ],
)
def test_a_read_near_a_fill_may_not_contain_it(second: int, seen: int, *, unsure: bool) -> None:
    holdings = holdings_of(100)
    holdings.fill(filled("a", 30, second=second, seen=seen))

    assert holdings.is_unsure(read(position(100), second=100)) is unsure


def test_a_read_that_leaves_no_more_in_doubt_than_the_last_one_is_taken() -> None:
    holdings = holdings_of(100)
    holdings.fill(filled("a", 30, second=3))
    assert holdings.doubt(CONID) == Doubt(below=Decimal(30))
    holdings.fill(filled("b", 7, second=100))

    assert not holdings.is_unsure(read(position(130), second=101))
    holdings.replace(read(position(130), second=101))

    assert holdings.quantity(CONID) == 137
    assert holdings.doubt(CONID) == Doubt(below=Decimal(7))


def test_a_read_that_settles_nothing_is_not_taken() -> None:
    holdings = holdings_of(0)
    for second in (1, 2, 3):
        holdings.fill(filled(f"e-{second}.01", 10, second=second))
    assert holdings.doubt(CONID) == Doubt(below=Decimal(30))

    unsure = [holdings.is_unsure(read(position(30), second=second)) for second in (4, 6, 7, 9)]

    assert unsure == [True, True, False, False], "from 7 on, the first fill is surely in it"
    assert holdings.quantity(CONID) == 30
    holdings.replace(read(position(30), second=9))
    assert holdings.quantity(CONID) == 30
    assert holdings.doubtful == 0


def test_an_account_that_never_stops_trading_is_read_all_the_same() -> None:
    holdings = holdings_of(0)
    for second in range(1, 60):
        holdings.fill(filled(f"e-{second}.01", 1, second=second))
    for number in range(6):
        holdings.fill(filled(f"x-{number}.01", 1, second=58))
    before, later = holdings.doubtful, read(position(65), second=60)

    taken = not holdings.is_unsure(later)
    holdings.replace(later)

    assert taken
    assert (before, holdings.doubtful) == (11, 11)
    assert holdings.quantity(CONID) == 66, "the last second's is likelier not in it"


def test_the_first_read_is_taken_whatever_it_leaves_in_doubt() -> None:
    holdings = Holdings()
    holdings.fill(filled("a", 30, second=0, seen=99))
    holdings.fill(filled("b", 7, second=99))
    first = read(position(130), second=100)

    assert not holdings.is_unsure(first)
    holdings.replace(first)

    assert holdings.quantity(CONID) == 137
    assert holdings.doubt(CONID) == Doubt(below=Decimal(7))
    assert holdings.doubtful == 1


def test_what_filled_just_before_the_first_read_is_likelier_in_it() -> None:
    holdings = Holdings()
    holdings.fill(filled("a", 30, second=97))

    holdings.replace(read(position(30), second=100))

    assert holdings.quantity(CONID) == 30
    assert holdings.doubt(CONID) == Doubt(above=Decimal(30))


@pytest.mark.parametrize(
    ("side", "second", "seen", "quantity", "doubt"),
    [
        (Side.BUY, 84, 102, 100, NO_DOUBT),
        (Side.BUY, 85, 102, 100, Doubt(above=Decimal(30))),
        (Side.SELL, 85, 102, 100, Doubt(below=Decimal(30))),
        (Side.BUY, 98, 102, 100, Doubt(above=Decimal(30))),
        (Side.BUY, 99, 102, 130, Doubt(below=Decimal(30))),
        (Side.BUY, 100, 200, 130, Doubt(below=Decimal(30))),
        (Side.SELL, 111, 111, 70, Doubt(above=Decimal(30))),
        (Side.SELL, 112, 112, 70, NO_DOUBT),
    ],
)
def test_a_fill_told_after_a_read_is_counted_unless_the_read_likelier_has_it(
    side: Side, second: int, seen: int, quantity: int, doubt: Doubt
) -> None:
    holdings = Holdings()
    holdings.replace(read(position(100), second=100))

    grown = holdings.fill(filled("a", 30, second=second, seen=seen, side=side))

    assert grown == 30
    assert holdings.quantity(CONID) == quantity
    assert holdings.doubt(CONID) == doubt


def test_doubts_add_up_and_the_next_settled_read_ends_them() -> None:
    holdings = holdings_of(100)
    for name, side in (("a", Side.BUY), ("b", Side.BUY), ("c", Side.SELL)):
        holdings.fill(filled(name, 10, second=2, side=side))
    doubted = holdings.doubt(CONID)

    holdings.replace(read(position(100), second=20))

    assert doubted == Doubt(below=Decimal(20), above=Decimal(10))
    assert holdings.quantity(CONID) == 100
    assert holdings.doubt(CONID) == NO_DOUBT


def test_a_later_read_is_believed_whatever_was_counted() -> None:
    holdings = holdings_of(100)
    holdings.fill(filled("a", 30, second=20))

    holdings.replace(read(position(90), position(5, OTHER), second=30))

    assert holdings.quantities == {CONID: 90, OTHER: 5}


def test_a_contract_that_is_gone_from_the_read_is_flat() -> None:
    holdings = holdings_of(100)

    holdings.replace(read(second=20))

    assert holdings.quantity(CONID) == 0


def test_what_filled_after_the_read_is_added_to_it() -> None:
    holdings = holdings_of(100)
    holdings.fill(filled("a", 30, second=10))
    holdings.fill(filled("b", 7, second=40))

    holdings.replace(read(position(130), second=20))

    assert holdings.quantity(CONID) == 137


def test_several_rows_of_one_contract_add_up() -> None:
    holdings = Holdings()

    holdings.replace(read(position(100), position(-30), second=0))

    assert holdings.quantity(CONID) == 70


def test_only_reads_that_began_later_are_news() -> None:
    holdings = holdings_of(100)

    assert Holdings().is_news(read(second=0))
    assert not holdings.is_news(read(second=0))
    assert holdings.is_news(read(second=1))
