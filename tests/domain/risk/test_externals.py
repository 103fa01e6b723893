"""What orders of others in the account count."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import ExternalWorking, OrderChanged
from engine.domain.risk import AccountRisk, Code, RiskMessage
from engine.domain.risk.exposure import Exposure
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    ConId,
    Execution,
    OrderRow,
    OrderState,
    Side,
    TradingState,
)
from tests.domain.risk.samples import (
    ACCOUNT,
    BUY,
    CONID,
    MINE,
    NOW_NS,
    SELL,
    execution,
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

THEIRS = BrokerOrderId("777")
ROW = OrderRow(
    account=ACCOUNT,
    broker_order_id=THEIRS,
    conid=CONID,
    side=Side.BUY,
    total_quantity=Decimal(100),
    filled_quantity=Decimal(0),
    status=BrokerStatus.SUBMITTED,
    symbol="AAPL",
)


def working(row: OrderRow = ROW, *, filled: int = 0, over: bool = False) -> ExternalWorking:
    return ExternalWorking(row=replace(row, filled_quantity=Decimal(filled)), over=over)


def fill(name: str, quantity: int) -> Execution:
    return replace(execution(name, quantity), broker_order_id=THEIRS)


def counted(risk: AccountRisk) -> tuple[int, int]:
    exposure = risk.exposure(CONID)
    return int(exposure.position or 0), int(exposure.working_buy)


def test_what_it_may_fill_counts_and_so_does_its_place() -> None:
    risk = ready_risk()

    risk.handle(working())

    assert risk.exposure(CONID) == Exposure(
        position=Decimal(0), working_buy=Decimal(100), orders_total=1, orders_buy=1
    )
    assert risk.account_view(NOW_NS).external_orders == 1
    (shown,) = risk.position_views(NOW_NS)
    assert [shown.symbol, shown.working_buy] == ["AAPL", 100]


def test_our_order_is_refused_for_the_room_that_theirs_has_taken() -> None:
    within = limits({"position.max_qty": 105})
    risk = ready_risk(within=within)

    risk.handle(working())

    assert refusal(ready_risk(within=within), request(1)) is None
    assert refusal(risk, request(2)) == Code.POSITION_LIMIT


def test_their_orders_count_against_the_number_that_may_work() -> None:
    risk = ready_risk(within=limits({"working.max_total": 1}))
    risk.handle(working())

    assert refusal(risk, request(1)) == Code.MAX_OPEN_ORDERS


def test_an_exit_of_theirs_leaves_nothing_for_ours_to_reduce() -> None:
    risk = ready_risk(position(100))
    risk.handle(working(replace(ROW, side=Side.SELL)))
    risk.handle(halt(MINE, TradingState.REDUCE_ONLY))

    assert refusal(risk, request(1, SELL)) == Code.TRADING_REDUCE_ONLY


def test_a_fill_moves_from_what_may_fill_to_what_is_held_in_whatever_order_it_is_told() -> None:
    found = []
    for row_first in (True, False):
        risk = ready_risk()
        risk.handle(working())
        news: list[RiskMessage] = [working(filled=40), told(fill("a", 40), second=60)]
        for message in news if row_first else reversed(news):
            risk.handle(message)
            found.append(counted(risk))

    assert found == [(0, 100), (40, 60), (40, 60), (40, 60)]


def test_what_the_positions_have_without_its_executions_counts_no_more() -> None:
    """It filled before anybody here was told of executions."""
    risk = ready_risk(position(40))
    risk.handle(working(filled=40))
    found = [counted(risk)]

    for second in (30, 34, 40):
        risk.handle(read(position(40), second=second))
        found.append(counted(risk))
    risk.handle(told(fill("late", 40), second=-60))
    found.append(counted(risk))

    assert found == [(40, 100), (40, 100), (40, 100), (40, 60), (40, 60)]


def test_one_that_ended_counts_until_its_fills_are_told() -> None:
    risk = ready_risk()
    risk.handle(working())

    risk.handle(working(filled=70, over=True))
    ended = risk.exposure(CONID), risk.account_view(NOW_NS).external_orders
    risk.handle(told(fill("a", 70), second=60))

    assert ended == (Exposure(position=Decimal(0), working_buy=Decimal(70)), 0)
    assert risk.exposure(CONID) == Exposure(position=Decimal(70))


def test_one_that_ended_unfilled_counts_no_more() -> None:
    risk = ready_risk()
    risk.handle(working())

    risk.handle(working(over=True))

    assert risk.exposure(CONID) == Exposure(position=Decimal(0))


def test_one_that_was_over_when_it_was_first_seen_never_counts() -> None:
    risk = ready_risk()

    risk.handle(working(filled=100, over=True))

    assert risk.exposure(CONID) == Exposure(position=Decimal(0))


@pytest.mark.parametrize("row", [replace(ROW, conid=None), replace(ROW, side=None)])
def test_one_of_which_too_little_was_told_takes_its_place_only(row: OrderRow) -> None:
    risk = ready_risk()

    risk.handle(working(row))

    assert risk.exposure(CONID) == Exposure(position=Decimal(0), orders_total=1)
    assert risk.exposure(ConId(0)).orders_total == 1
    assert risk.position_views(NOW_NS) == ()


def test_one_that_becomes_ours_counts_once() -> None:
    risk = ready_risk(position(40))
    risk.handle(working(filled=40))
    risk.handle(read(position(40), second=30))
    risk.handle(read(position(40), second=60))
    ticket = replace(BUY, quantity=Decimal(100))
    adopted = replace(
        view(1, ticket, seq=9, state=OrderState.PARTIALLY_FILLED, filled=40),
        broker_order_id=THEIRS,
        adopted=True,
    )

    risk.handle(OrderChanged(view=adopted))
    risk.handle(working(filled=40))

    assert counted(risk) == (40, 60)
    assert risk.account_view(NOW_NS).external_orders == 0
