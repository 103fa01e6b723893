"""Positions: the broker's answer, and the fills that move it."""

from decimal import Decimal

import pytest

from engine.domain.messages import PositionFilled, PositionsRead
from engine.domain.risk.holdings import Break, Holdings
from engine.domain.values import ConId, Position, Side
from tests.domain.risk.samples import ACCOUNT, CONID, NOW_NS, SECOND, execution, position

OTHER = ConId(8314)


def fill(name: str, quantity: int, *, second: int, side: Side = Side.BUY) -> PositionFilled:
    return PositionFilled(
        execution=execution(name, quantity, side=side), now_ns=NOW_NS + second * SECOND
    )


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


def test_nothing_is_known_before_the_first_read() -> None:
    holdings = Holdings()

    holdings.fill(fill("a", 5, second=0))

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

    told = [
        holdings.fill(fill("a", 30, second=10)),
        holdings.fill(fill("a", 30, second=11)),
        holdings.fill(fill("b", 150, second=12, side=Side.SELL)),
    ]

    assert told == [True, False, True]
    assert holdings.quantity(CONID) == -20


@pytest.mark.parametrize(
    ("seen", "unsure"), [(94, False), (95, True), (100, True), (101, True), (102, False)]
)
def test_a_read_near_a_fill_may_not_contain_it(seen: int, *, unsure: bool) -> None:
    holdings = holdings_of(100)
    holdings.fill(fill("a", 30, second=seen))

    assert holdings.is_unsure(read(position(100), second=100)) is unsure


def test_a_later_read_is_believed_and_its_breaks_are_named() -> None:
    holdings = holdings_of(100)
    holdings.fill(fill("a", 30, second=10))

    breaks = holdings.replace(read(position(90), position(5, OTHER), second=20))

    assert breaks == (
        Break(conid=OTHER, counted=Decimal(0), broker=Decimal(5)),
        Break(conid=CONID, counted=Decimal(130), broker=Decimal(90)),
    )
    assert holdings.quantities == {CONID: 90, OTHER: 5}


def test_a_contract_that_is_gone_from_the_read_is_a_break() -> None:
    holdings = holdings_of(100)

    breaks = holdings.replace(read(second=20))

    assert breaks == (Break(conid=CONID, counted=Decimal(100), broker=Decimal(0)),)
    assert holdings.quantity(CONID) == 0


def test_the_first_read_breaks_nothing_and_an_equal_one_neither() -> None:
    holdings = Holdings()

    assert holdings.replace(read(position(100), second=0)) == ()
    holdings.fill(fill("a", 30, second=10))
    assert holdings.replace(read(position(130), second=20)) == ()


def test_what_filled_after_the_read_is_added_to_it() -> None:
    holdings = holdings_of(100)
    holdings.fill(fill("a", 30, second=10))
    holdings.fill(fill("b", 7, second=25))

    breaks = holdings.replace(read(position(130), second=20))

    assert breaks == ()
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


def test_news_of_an_old_fill_does_not_move_what_was_read_after_it() -> None:
    holdings = Holdings()
    holdings.replace(read(position(100), second=100))

    told = holdings.fill(fill("a", 30, second=10))

    assert not told
    assert holdings.quantity(CONID) == 100
