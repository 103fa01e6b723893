"""What executions do to positions, and when."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import OrderChanged
from engine.domain.risk import Code
from engine.domain.risk.exposure import NO_DOUBT, Doubt
from engine.domain.risk.moves import Executions, Move, Span
from engine.domain.values import TradingState
from tests.domain.risk.samples import (
    BUY,
    CONID,
    MINE,
    NOW_NS,
    SECOND,
    SELL,
    filled,
    halt,
    ready_risk,
    refusal,
    request,
    view,
)


def at(earliest: int, likely: int, latest: int) -> Move:
    return Move(
        conid=CONID,
        quantity=Decimal(10),
        earliest_ns=NOW_NS + earliest * SECOND,
        likely_ns=NOW_NS + likely * SECOND,
        latest_ns=NOW_NS + latest * SECOND,
    )


READ = Span(started_ns=NOW_NS + 100 * SECOND, ended_ns=NOW_NS + 101 * SECOND)


@pytest.mark.parametrize(
    ("move", "found"),
    [
        (at(84, 94, 94), (True, False, False)),
        (at(85, 95, 95), (False, True, True)),
        (at(91, 98, 100), (False, True, True)),
        (at(91, 99, 101), (False, True, False)),
        (at(101, 111, 111), (False, True, False)),
        (at(102, 112, 112), (False, False, False)),
    ],
)
def test_a_move_is_in_an_answer_or_in_doubt_or_not_in_it(
    move: Move, found: tuple[bool, bool, bool]
) -> None:
    assert (move.is_in(READ), move.is_doubtful(READ), move.is_likely_in(READ)) == found


def test_an_execution_moves_once_and_a_newer_revision_the_difference() -> None:
    executions = Executions()
    found = []

    for name, quantity in (("a.01", 30), ("a.01", 30), ("a.03", 20), ("a.02", 25), ("a.04", 0)):
        taken = executions.take(filled(name, quantity, second=0))
        found.append(None if taken is None else [int(move.quantity) for move in taken.moves])

    assert found == [[30], None, [-10], None, [-20]]


def test_a_fill_cannot_be_older_than_the_approval_of_its_order() -> None:
    message = filled("a", 10, second=50)
    begun_ns = NOW_NS + 48 * SECOND

    unknown = Executions().take(message)
    known = Executions().take(message, begun_ns=begun_ns)
    odd = Executions().take(message, begun_ns=NOW_NS + 60 * SECOND)

    assert unknown is not None
    assert known is not None
    assert odd is not None
    assert [unknown.moves[0], known.moves[0]] == [at(40, 50, 50), at(48, 50, 50)]
    assert odd.moves[0] == at(60, 60, 60), "our own clock is believed first"


def test_an_order_of_after_a_read_can_be_closed_as_soon_as_it_has_filled() -> None:
    """Nothing is in doubt: the positions were read before there was such an order."""
    found = []
    for approved_second in (0, 1):
        risk = ready_risk()
        now_ns = NOW_NS + approved_second * SECOND
        risk.request(replace(request(1), now_ns=now_ns))
        risk.handle(filled("new.01", 10, number=1, second=2))
        risk.handle(OrderChanged(view=view(1, BUY, seq=2, filled=10)))
        risk.handle(halt(MINE, TradingState.REDUCE_ONLY))
        found.append((risk.exposure(CONID).doubt, refusal(risk, request(2, SELL))))

    assert found == [
        (Doubt(below=Decimal(10)), Code.TRADING_REDUCE_ONLY),
        (NO_DOUBT, None),
    ], "the read was complete just after second 0"
