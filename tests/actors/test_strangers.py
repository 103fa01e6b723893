"""Orders that nobody knows: told in time, never too early, and claimed when they are ours."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine import metrics
from engine.actors import strangers
from engine.actors.strangers import Strangers
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    Coid,
    OrderRow,
    SessionName,
    Source,
)
from tests.actors.house import ACCOUNT, BROKER_ID, MAIN, fill, row
from tests.fakes import HandClock

OTHERS = Coid("by hand")


class Door:
    """Strangers at the door, and what is told of them."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.told: list[tuple[SessionName, OrderRow]] = []
        self.sending: set[AccountId] = set()
        self.strangers = Strangers(
            clock=self.clock.clock,
            on_external=lambda session, row: self.told.append((session, row)),
            is_sending=self.sending.__contains__,
        )

    def see(self, *rows: OrderRow, source: Source = Source.STREAM) -> None:
        for one in rows:
            self.strangers.meet(MAIN, one, source)


def working() -> float:
    return float(metrics.EXTERNAL_ORDERS.labels(MAIN)._value.get())


def test_a_streamed_row_is_told_once_it_had_its_time_to_be_claimed() -> None:
    door = Door()

    door.see(row())
    door.strangers.settle()
    early = list(door.told)
    door.clock.advance(2_000)
    door.strangers.settle()

    assert early == []
    assert door.told == [(MAIN, row())]


def test_a_row_with_somebody_elses_reference_is_told_at_once() -> None:
    door = Door()

    door.see(row(coid=OTHERS))
    door.see(row(BrokerStatus.CANCELLED))

    both = [(MAIN, row(coid=OTHERS)), (MAIN, row(BrokerStatus.CANCELLED, coid=OTHERS))]
    assert door.told == both


def test_a_polled_row_is_whole_and_told_at_once() -> None:
    door = Door()

    door.see(row(), source=Source.POLL)

    assert door.told == [(MAIN, row())]


def test_while_we_send_to_the_account_a_row_waits_for_the_answer() -> None:
    door = Door()
    door.sending.add(ACCOUNT)

    door.see(row(), source=Source.POLL)
    door.clock.advance(14_999)
    door.strangers.settle()
    early = list(door.told)
    door.clock.advance(1)
    door.strangers.settle()

    assert early == []
    assert door.told == [(MAIN, row())]


def test_only_a_new_status_is_news() -> None:
    door = Door()
    told = row(BrokerStatus.SUBMITTED)

    door.see(told, told, row(None, filled=3), row(BrokerStatus.FILLED), source=Source.POLL)

    assert [seen.status for _, seen in door.told] == [BrokerStatus.SUBMITTED, BrokerStatus.FILLED]
    assert door.told[-1][1].filled_quantity == Decimal(3), "parts are put together"


def test_a_row_that_tells_no_status_tells_nothing_yet() -> None:
    door = Door()
    unknown = replace(row(None), unknown_status="Dreaming")

    door.see(row(None), source=Source.POLL)
    before = list(door.told)
    door.see(unknown, source=Source.POLL)

    assert (before, door.told) == ([], [(MAIN, unknown)])


def test_a_claimed_order_is_no_stranger_any_more() -> None:
    door = Door()
    door.see(row())
    door.strangers.meet_fill(MAIN, fill("1", 4))

    claimed = door.strangers.claim(ACCOUNT, BROKER_ID)
    door.clock.advance(60_000)
    door.strangers.settle()

    assert claimed is not None
    assert claimed.row == row()
    assert list(claimed.executions.values()) == [fill("1", 4)]
    assert door.strangers.claim(ACCOUNT, BROKER_ID) is None
    assert (door.told, door.strangers.external(ACCOUNT)) == ([], ())


def test_those_that_work_are_counted_until_they_are_over_or_ours() -> None:
    door = Door()
    second = BrokerOrderId("2")
    counts = []

    for news in (row(), row(broker_id=second), row(BrokerStatus.FILLED, broker_id=second)):
        door.see(news, source=Source.POLL)
        counts.append(working())
    door.strangers.claim(ACCOUNT, BROKER_ID)
    counts.append(working())

    assert counts == [1, 2, 1, 0]


def test_the_newest_are_shown_first_and_only_those_of_the_account() -> None:
    door = Door()
    other = AccountId("DU7654321")
    second = row(broker_id=BrokerOrderId("2"))

    door.see(row(), second, row(account=other), source=Source.POLL)
    door.see(row(broker_id=BrokerOrderId("3")))

    shown = door.strangers.external(ACCOUNT)
    assert [one.row for one in shown] == [second, row()]
    assert [(one.session, one.seen_at_ns) for one in shown] == [(MAIN, door.clock.wall_ns)] * 2


def test_the_oldest_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "STRANGERS_MAX", 2)
    door = Door()
    rows = [row(broker_id=BrokerOrderId(name)) for name in ("1", "2", "3")]

    door.see(*rows, source=Source.POLL)

    assert working() == 2
    assert [one.row for one in door.strangers.external(ACCOUNT)] == [rows[2], rows[1]]


def test_a_session_with_many_strangers_takes_no_others_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(strangers, "STRANGERS_MAX", 2)
    door = Door()
    theirs = row(account=AccountId("DU7"), broker_id=BrokerOrderId("1"))
    door.strangers.meet(SessionName("second"), theirs, Source.POLL)

    door.see(*(row(broker_id=BrokerOrderId(f"9{number}")) for number in range(3)))
    door.see(*(row(broker_id=BrokerOrderId(f"9{number}")) for number in range(3)))

    assert [one.row for one in door.strangers.external(AccountId("DU7"))] == [theirs]
    assert door.strangers.claim(ACCOUNT, BrokerOrderId("90")) is None
    assert door.strangers.claim(ACCOUNT, BrokerOrderId("92")) is not None


def test_an_execution_that_knows_its_commission_stays() -> None:
    door = Door()
    plain, paid = fill("1", 4), fill("1", 4, commission="1.05")

    for execution in (plain, paid, plain, fill("2", 6, broker_id=None)):
        door.strangers.meet_fill(MAIN, execution)

    assert list(door.strangers.executions(ACCOUNT)) == [paid]
    assert list(door.strangers.executions(AccountId("DU7654321"))) == []
