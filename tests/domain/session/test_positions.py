"""Whether what traded explains how a holding moved."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import PositionsRead
from engine.domain.session.positions import EXECUTIONS_NS, SLACK_NS, PositionReads
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    ConId,
    Execution,
    ExecutionId,
    Position,
    Side,
)
from tests.domain.session.told import ACCOUNT

S = 1_000_000_000
NOON_S = 1_795_348_800
CONID = ConId(265598)
SLACK_S = SLACK_NS // S


def read(at_s: int, quantity: int | None, *, account: AccountId = ACCOUNT) -> PositionsRead:
    position = Position(
        account=account,
        conid=CONID,
        symbol="AAPL",
        quantity=Decimal(quantity or 0),
        average_price=None,
        market_price=None,
        market_value=None,
        unrealized_pnl=None,
        currency="USD",
    )
    return PositionsRead(
        account=account,
        positions=() if quantity is None else (position,),
        started_ns=at_s * S,
        ended_ns=at_s * S + 1,
    )


def trade(name: str, at_s: int, quantity: int, *, conid: ConId = CONID) -> Execution:
    return Execution(
        execution_id=ExecutionId(f"{name}.01"),
        account=ACCOUNT,
        broker_order_id=BrokerOrderId("7"),
        coid=None,
        conid=conid,
        side=Side.BUY if quantity > 0 else Side.SELL,
        quantity=Decimal(abs(quantity)),
        price=Decimal(1),
        commission=None,
        at_ms=(NOON_S + at_s) * 1_000,
    )


class Reads:
    """Reads of positions; monotonic seconds, and the same from noon on in wall time."""

    def __init__(self, *reads: PositionsRead) -> None:
        self.reads = PositionReads()
        for one in reads:
            self.reads.read(one, one.ended_ns, NOON_S * S + one.ended_ns)

    def explained(self, *trades: Execution, before_s: int = 1_500) -> bool:
        self.reads.trade(trades, (NOON_S + 3_000) * S)
        wall_ns = (NOON_S + before_s) * S
        before, after = self.reads.before(ACCOUNT, wall_ns), self.reads.after(ACCOUNT, wall_ns)
        assert before is not None
        assert after is not None
        return self.reads.explain(ACCOUNT, CONID, before, after)


@pytest.mark.parametrize(
    ("before", "after", "trades"),
    [
        (10, 10, ()),
        (None, None, ()),
        (10, 15, (trade("a", 1_500, 5),)),
        (10, None, (trade("a", 1_500, -10),)),
        (-4, 3, (trade("a", 1_200, 10), trade("b", 1_700, -3))),
        (10, 10, (trade("a", 1_500, 5, conid=ConId(1)),)),
    ],
)
def test_trades_between_two_reads_explain_what_moved(
    before: int | None, after: int | None, trades: tuple[Execution, ...]
) -> None:
    assert Reads(read(1_000, before), read(2_000, after)).explained(*trades)


@pytest.mark.parametrize(
    ("before", "after", "trades"),
    [
        (10, 11, ()),
        (10, 10, (trade("a", 1_500, 5),)),
        (10, 15, (trade("a", 1_500, -5),)),
        (10, 15, (trade("a", 1_500, 5, conid=ConId(1)),)),
        (10, 15, (trade("a", 1_000 - SLACK_S - 1, 5),)),
        (10, 15, (trade("a", 2_000 + SLACK_S + 1, 5),)),
    ],
)
def test_what_no_trades_explain_is_said(
    before: int, after: int, trades: tuple[Execution, ...]
) -> None:
    assert not Reads(read(1_000, before), read(2_000, after)).explained(*trades)


@pytest.mark.parametrize(
    "at_s", [1_001 - SLACK_S, 1_000 + SLACK_S, 2_001 - SLACK_S, 2_000 + SLACK_S]
)
@pytest.mark.parametrize("moved", [0, 5])
def test_a_trade_near_a_read_may_be_in_it_or_not(at_s: int, moved: int) -> None:
    reads = Reads(read(1_000, 10), read(2_000, 10 + moved))

    assert reads.explained(trade("a", at_s, 5))


def test_trades_near_a_read_are_in_it_in_their_order() -> None:
    near = (trade("a", 990, 1), trade("b", 1_000, 10), trade("c", 1_010, 100))

    explained = [
        moved for moved in range(112) if Reads(read(1_000, 0), read(2_000, moved)).explained(*near)
    ]

    assert explained == [0, 100, 110, 111]


def test_a_newer_revision_replaces_the_execution() -> None:
    reads = Reads(read(1_000, 10), read(2_000, 13))
    corrected = replace(trade("a", 1_500, 3), execution_id=ExecutionId("a.02"))

    assert reads.explained(trade("a", 1_500, 5), corrected)


def test_a_trade_of_yesterday_is_forgotten() -> None:
    reads = Reads(read(1_000, 10), read(2_000, 15))
    reads.reads.trade((trade("a", 1_500, 5),), (NOON_S + 1_501) * S + EXECUTIONS_NS)

    assert not reads.explained()


def test_the_newest_read_that_had_ended_is_the_one_before() -> None:
    reads = Reads(*(read(at_s, at_s) for at_s in (100, 200, 300))).reads

    found = [reads.before(ACCOUNT, (NOON_S + at_s) * S + 1) for at_s in (99, 200, 299, 900)]

    assert [one and one.quantities[CONID] for one in found] == [None, 200, 200, 300]


def test_only_a_read_that_begins_later_is_one_after() -> None:
    reads = Reads(read(100, 1), read(200, 2)).reads

    found = [reads.after(ACCOUNT, (NOON_S + at_s) * S) for at_s in (199, 200)]

    assert [one and one.quantities[CONID] for one in found] == [2, None]


def test_an_account_that_was_never_read_has_neither() -> None:
    reads = PositionReads()

    assert (reads.before(ACCOUNT, 1), reads.after(ACCOUNT, 1)) == (None, None)
