"""Orders that nobody knows: told in time, never too early, and claimed when they are ours."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine import metrics
from engine.actors import strangers
from engine.actors.strangers import SWEEP_NS, UNSEEN_NS_MAX, Strangers
from engine.domain.messages import ExternalWorking
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
        self.working: list[ExternalWorking] = []
        self.sending: set[AccountId] = set()
        self.strangers = Strangers(
            clock=self.clock.clock,
            on_external=lambda session, row: self.told.append((session, row)),
            on_working=self.working.append,
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


def test_risk_hears_what_may_still_fill_whenever_that_changes() -> None:
    door = Door()
    at_work = row(coid=OTHERS, filled=0)

    door.see(at_work, at_work, row(None, filled=3), row(BrokerStatus.FILLED, filled=10))

    assert [(one.row.filled_quantity, one.over) for one in door.working] == [
        (Decimal(0), False),
        (Decimal(3), False),
        (Decimal(10), True),
    ]


def test_what_was_over_when_it_was_first_seen_is_no_news_for_risk() -> None:
    door = Door()

    door.see(row(BrokerStatus.CANCELLED, coid=OTHERS), source=Source.POLL)

    assert door.working == []
    assert door.strangers.working(ACCOUNT) == ()


def test_what_may_be_ours_counts_nowhere_before_it_had_its_time() -> None:
    door = Door()
    door.see(row())
    early = list(door.working)

    door.clock.advance(2_000)
    door.strangers.settle()

    assert early == []
    assert door.working == [ExternalWorking(row=row(), over=False)]
    assert door.strangers.working(ACCOUNT) == tuple(door.working)


def test_what_was_claimed_counts_no_more_as_somebody_elses() -> None:
    door = Door()
    door.see(row(coid=OTHERS))

    door.strangers.claim(ACCOUNT, BROKER_ID)

    assert door.working == [
        ExternalWorking(row=row(coid=OTHERS), over=False),
        ExternalWorking(row=row(coid=OTHERS), over=True),
    ]


def test_what_no_list_shows_for_a_day_counts_no_more() -> None:
    door = Door()
    door.see(row(coid=OTHERS))

    door.clock.advance(UNSEEN_NS_MAX // 1_000_000)
    door.strangers.settle()
    still = door.strangers.working(ACCOUNT)
    door.clock.advance(SWEEP_NS // 1_000_000)
    door.strangers.settle()

    assert len(still) == 1
    assert door.strangers.working(ACCOUNT) == ()
    assert door.working[-1].over


def test_what_the_journal_has_already_is_not_told_again_after_a_restart() -> None:
    door = Door()
    door.strangers.remember([row(coid=OTHERS)])

    door.see(row(coid=OTHERS))
    again = list(door.told)
    door.see(row(BrokerStatus.CANCELLED, coid=OTHERS))

    assert again == []
    assert [seen.status for _, seen in door.told] == [BrokerStatus.CANCELLED]
    assert len(door.working) == 2, "risk has lost it, and hears it all the same"


def test_those_that_name_an_entry_are_found_by_it() -> None:
    door = Door()
    child = replace(row(broker_id=BrokerOrderId("2")), parent_id=BROKER_ID)

    door.see(row(), child, row(broker_id=BrokerOrderId("3")))

    assert door.strangers.rows_naming(ACCOUNT, BROKER_ID) == (child,)
    door.strangers.claim(ACCOUNT, child.broker_order_id)
    assert door.strangers.rows_naming(ACCOUNT, BROKER_ID) == ()


def test_a_stranger_is_found_with_its_session_and_whether_it_is_over() -> None:
    door = Door()
    door.see(row(BrokerStatus.FILLED))

    assert door.strangers.find(ACCOUNT, BROKER_ID) == (MAIN, row(BrokerStatus.FILLED), True)
    assert door.strangers.find(ACCOUNT, BrokerOrderId("2")) is None


def test_one_whose_entry_was_renumbered_is_found_by_the_new_number_only() -> None:
    door = Door()
    child = replace(row(broker_id=BrokerOrderId("2")), parent_id=BROKER_ID)
    renamed = replace(child, parent_id=BrokerOrderId("901"))
    door.see(child, renamed)

    named = [door.strangers.rows_naming(ACCOUNT, BrokerOrderId(one)) for one in (BROKER_ID, "901")]
    door.strangers.claim(ACCOUNT, BrokerOrderId("2"))

    assert named == [(), (renamed,)]
    assert door.strangers.rows_naming(ACCOUNT, BROKER_ID) == ()


def test_one_whose_adoption_is_not_durable_counts_on_and_is_put_back_as_it_was() -> None:
    door = Door()
    door.see(row(), source=Source.POLL)
    before = door.strangers.external(ACCOUNT)

    claimed = door.strangers.claim(ACCOUNT, BROKER_ID, durable=False)
    meanwhile = working(), door.strangers.external(ACCOUNT)
    assert claimed is not None
    door.strangers.put_back(ACCOUNT, BROKER_ID, claimed)

    assert [one.over for one in door.working] == [False]
    assert meanwhile == (0, ())
    assert (working(), door.strangers.external(ACCOUNT)) == (1, before)
    assert door.strangers.working(ACCOUNT) == tuple(door.working)


def test_one_that_was_met_anew_meanwhile_is_not_put_back() -> None:
    door = Door()
    door.see(row(), source=Source.POLL)
    claimed = door.strangers.claim(ACCOUNT, BROKER_ID, durable=False)
    assert claimed is not None
    door.see(row(BrokerStatus.CANCELLED), source=Source.POLL)

    door.strangers.put_back(ACCOUNT, BROKER_ID, claimed)

    (shown,) = door.strangers.external(ACCOUNT)
    assert shown.row == row(BrokerStatus.CANCELLED)
