"""Fills between an order's reservation and the position: corrected, late, dated wrongly."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.messages import OrderChanged, PositionsFilled
from engine.domain.risk import AccountRisk, Code, Exposure
from engine.domain.risk.exposure import Doubt
from engine.domain.values import BrokerOrderId, OrderState, Side, TradingState
from tests.domain.risk.samples import (
    ACCOUNT,
    BUY,
    CONID,
    FIRM,
    READY,
    SELL,
    SESSION,
    execution,
    filled,
    halt,
    limits,
    position,
    read,
    ready_risk,
    refusal,
    request,
    told,
    view,
)

BUY_100 = replace(BUY, quantity=Decimal(100))
HALF_DONE = OrderState.PARTIALLY_FILLED
NOTHING = Decimal(0)


def standing(risk: AccountRisk) -> tuple[Any, Any]:
    exposure = risk.exposure(CONID)
    return exposure.position, exposure.working_buy


def test_a_corrected_fill_keeps_the_rest_of_its_order_reserved() -> None:
    risk = ready_risk()
    risk.request(request(1, BUY_100))
    for revision in ("01", "02"):
        risk.handle(filled(f"e.01.{revision}", 60, number=1, second=20))
        seq = int(revision) + 1
        risk.handle(OrderChanged(view=view(1, BUY_100, seq=seq, state=HALF_DONE, filled=60)))
    before_the_read = standing(risk)

    risk.handle(read(position(60), second=40))

    assert before_the_read == (60, 40)
    assert standing(risk) == (60, 40)


def test_a_correction_moves_the_difference_and_an_older_revision_nothing() -> None:
    risk = ready_risk()
    risk.request(request(1, BUY_100))
    found = []

    for name, quantity in (("e.01", 60), ("e.03", 50), ("e.02", 80), ("e.03", 50), ("e.04", 55)):
        risk.handle(filled(name, quantity, number=1, second=20))
        risk.handle(read(second=20))
        found.append(standing(risk))

    assert found == [(60, 40), (50, 50), (50, 50), (50, 50), (55, 45)]


def test_a_fill_told_after_the_read_that_may_have_it_is_held_once_or_twice() -> None:
    risk = ready_risk(position(100))
    risk.handle(halt(FIRM, TradingState.REDUCE_ONLY))
    risk.handle(read(position(200), second=31))

    risk.handle(filled("x.01.01", 100, second=30, seen=32))

    exposure = risk.exposure(CONID)
    assert exposure.doubt == Doubt(below=Decimal(100))
    assert exposure.position == 300
    assert refusal(risk, request(1, replace(SELL, quantity=Decimal(300)))) == (
        Code.TRADING_REDUCE_ONLY
    )
    assert refusal(risk, request(2, replace(SELL, quantity=Decimal(200)))) is None


@pytest.mark.parametrize("skew", [-9, -7, -1, 0, 1, 7])
def test_no_skew_of_the_brokers_clock_makes_a_filled_order_vanish(skew: int) -> None:
    risk = ready_risk()
    risk.request(request(1, BUY_100))
    risk.handle(filled("e.01", 100, number=1, second=min(40 + skew, 40), seen=40))
    done = view(1, BUY_100, seq=2, state=OrderState.FILLED, filled=100)
    risk.handle(OrderChanged(view=done))

    risk.handle(read(second=40))
    stale = risk.exposure(CONID).worst(Side.BUY, NOTHING)
    risk.handle(read(position(100), second=46))

    assert stale == 100
    assert risk.exposure(CONID) == Exposure(position=Decimal(100))


@pytest.mark.parametrize("skew", [-9, -7, 0, 7])
def test_a_fill_that_follows_a_read_counts_whatever_its_date(skew: int) -> None:
    risk = ready_risk()
    risk.request(request(1, BUY_100))
    risk.handle(read(second=40))

    risk.handle(filled("e.01", 100, number=1, second=min(41 + skew, 41), seen=41))

    exposure = risk.exposure(CONID)
    assert exposure.worst(Side.BUY, NOTHING) == 100
    assert (exposure.lowest, exposure.highest) == (Decimal(0), Decimal(100))


def test_a_replay_of_old_executions_is_one_message_and_moves_nothing() -> None:
    risk = ready_risk(position(100))
    risk.handle(read(position(100), second=100))
    before = risk.exposure(CONID)
    old = tuple(filled(f"x-{number}.01", 5, second=-60, seen=101) for number in range(1_000))

    effects = risk.handle(PositionsFilled(fills=old))

    assert effects == ()
    assert risk.exposure(CONID) == before


def test_fills_that_come_together_are_counted_each() -> None:
    risk = ready_risk()
    risk.request(request(1, BUY_100))
    fills = tuple(filled(f"e-{number}.01", 5, number=1, second=20) for number in range(3))

    risk.handle(PositionsFilled(fills=(*fills, *fills)))

    assert standing(risk) == (15, 85)


def test_a_fill_that_came_before_its_orders_name_is_claimed_once_that_is_known() -> None:
    risk = ready_risk()
    risk.request(request(1, BUY_100))
    broker_id = BrokerOrderId("777")
    for name, quantity in (("e.01", 50), ("e.02", 60)):
        strange = replace(execution(name, quantity), broker_order_id=broker_id)
        risk.handle(told(strange, second=20))
    nameless = standing(risk)

    for seq in (2, 3):
        named = view(1, BUY_100, seq=seq, state=HALF_DONE, filled=60)
        risk.handle(OrderChanged(view=replace(named, broker_order_id=broker_id)))

    assert nameless == (60, 100)
    assert standing(risk) == (60, 40)


def test_a_correction_that_names_the_order_of_a_strange_fill_claims_it_once() -> None:
    risk = ready_risk()
    risk.request(request(1, BUY_100))
    broker_id = BrokerOrderId("777")
    risk.handle(told(replace(execution("e.01", 50), broker_order_id=broker_id), second=20))

    named = replace(execution("e.02", 60, number=1), broker_order_id=broker_id)
    risk.handle(told(named, second=20))
    changed = view(1, BUY_100, seq=2, state=HALF_DONE, filled=60)
    risk.handle(OrderChanged(view=replace(changed, broker_order_id=broker_id)))

    assert standing(risk) == (60, 40)


def test_what_a_rebuilt_order_had_filled_is_in_the_first_read() -> None:
    risk = AccountRisk(ACCOUNT, SESSION, limits())
    risk.handle(READY)
    risk.handle(OrderChanged(view=view(1, BUY_100, seq=4, state=HALF_DONE, filled=60)))
    risk.handle(read(position(60), second=0))
    found = [standing(risk)]

    risk.handle(filled("new.01", 20, number=1, second=20))
    found.append(standing(risk))
    risk.handle(OrderChanged(view=view(1, BUY_100, seq=5, state=HALF_DONE, filled=80)))
    found.append(standing(risk))

    assert found == [(60, 40), (80, 40), (80, 20)], "counted twice for a moment, never not at all"


def test_rebuilt_fills_that_are_told_again_are_held_once() -> None:
    risk = AccountRisk(ACCOUNT, SESSION, limits())
    risk.handle(READY)
    risk.handle(OrderChanged(view=view(1, BUY_100, seq=4, state=HALF_DONE, filled=60)))
    risk.handle(read(position(60), second=100))

    risk.handle(filled("old.01", 60, number=1, second=50, seen=101))

    assert standing(risk) == (60, 40)


def test_an_order_that_is_first_heard_of_after_the_read_is_not_in_it() -> None:
    risk = ready_risk()

    risk.handle(OrderChanged(view=view(1, BUY_100, seq=4, state=HALF_DONE, filled=60)))

    assert standing(risk) == (0, 100)
