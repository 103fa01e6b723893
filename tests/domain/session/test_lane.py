"""The submit lane: one turn at a time."""

from engine.domain.session import SEND_WINDOW_MS, SubmitLane
from engine.domain.values import OrderId

ONE, TWO = OrderId("1-1"), OrderId("1-2")


def test_turns_go_by_arrival() -> None:
    lane = SubmitLane()
    lane.join(ONE)
    lane.join(TWO)

    first = lane.next_turn(3, 5)
    busy = lane.next_turn(3, 5)
    lane.leave(ONE)
    second = lane.next_turn(3, 6)

    assert first is not None
    assert (first.order_id, first.session_epoch, first.send_by_ns) == (
        ONE,
        3,
        5 + SEND_WINDOW_MS * 1_000_000,
    )
    assert busy is None
    assert second is not None
    assert second.order_id == TWO


def test_leaving_without_a_turn_changes_nothing() -> None:
    lane = SubmitLane()

    lane.leave(ONE)

    assert lane.next_turn(1, 0) is None


def test_who_waits_can_be_sent_away() -> None:
    lane = SubmitLane()
    lane.occupy(ONE)
    lane.join(TWO)

    waiting = lane.clear_waiting()
    lane.leave(ONE)

    assert waiting == (TWO,)
    assert lane.next_turn(1, 0) is None


def test_a_turn_ends_when_orders_may_not_be_sent_any_more() -> None:
    lane = SubmitLane()
    lane.join(ONE)

    turn = lane.next_turn(1, 5, open_ms=300)

    assert turn is not None
    assert turn.send_by_ns == 5 + 300 * 1_000_000
