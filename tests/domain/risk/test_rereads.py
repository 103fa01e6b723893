"""Positions that are in doubt are read again within seconds."""

from decimal import Decimal

from engine.domain.messages import PositionsFilled, ReadAccount, StartTimer, TimerFired
from engine.domain.risk.effects import RiskEffect
from engine.domain.risk.rereads import AFTER_FILL_MS, AFTER_READ_MS
from tests.domain.risk.samples import ACCOUNT, CONID, filled, position, read, ready_risk

SETTLE = StartTimer(name="positions", delay_ms=AFTER_FILL_MS)
OVER = TimerFired(name="positions")


def rereads(effects: tuple[RiskEffect, ...]) -> tuple[RiskEffect, ...]:
    return tuple(effect for effect in effects if isinstance(effect, StartTimer | ReadAccount))


def test_each_fill_in_doubt_is_waited_for_and_others_are_not() -> None:
    risk = ready_risk()

    found = [
        risk.handle(PositionsFilled(fills=(filled("a", 10, second=1),))),
        risk.handle(filled("b", 10, second=2)),
        risk.handle(filled("b", 10, second=2)),
        risk.handle(filled("c", 10, second=20)),
    ]

    assert found == [(SETTLE,), (SETTLE,), (), ()]


def test_what_is_still_in_doubt_after_the_wait_is_read_at_once() -> None:
    risk = ready_risk()
    risk.handle(filled("a", 10, second=1))

    asked = risk.handle(OVER)
    settled = risk.handle(read(position(10), second=7))

    assert asked == (ReadAccount(account=ACCOUNT),)
    assert settled == ()
    assert risk.exposure(CONID).highest == risk.exposure(CONID).lowest == 10


def test_a_wait_for_what_another_read_has_settled_asks_for_nothing() -> None:
    risk = ready_risk()
    risk.handle(filled("a", 10, second=1))
    risk.handle(read(position(10), second=7))

    assert risk.handle(OVER) == ()


def test_a_read_that_settles_nothing_leaves_the_wait_for_the_fill_alone() -> None:
    risk = ready_risk()
    risk.handle(filled("a", 10, second=1))

    refused = risk.handle(read(position(10), second=2))

    assert rereads(refused) == ()
    (shown,) = risk.position_views(0)
    assert [shown.quantity, shown.lowest, shown.highest] == list(map(Decimal, (10, 0, 10)))


def test_a_read_that_leaves_doubt_without_a_wait_is_followed_by_another() -> None:
    risk = ready_risk()
    risk.handle(filled("a", 10, second=1))
    risk.handle(OVER)

    refused = risk.handle(read(position(10), second=2))

    assert rereads(refused) == (StartTimer(name="positions", delay_ms=AFTER_READ_MS),)


def test_a_flat_contract_whose_position_is_in_doubt_is_shown() -> None:
    risk = ready_risk()
    risk.handle(read(second=31))

    risk.handle(filled("a", 10, second=28, seen=33))

    (shown,) = risk.position_views(0)
    assert [shown.quantity, shown.lowest, shown.highest] == list(map(Decimal, (0, 0, 10)))
