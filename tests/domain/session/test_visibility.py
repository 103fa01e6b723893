"""How late the broker's lists are, and what dates them."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.messages import OrdersRead, RowsStreamed, TradesRead
from engine.domain.session import ObserveVisibility
from engine.domain.session import visibility as limits
from engine.domain.session.effects import View
from engine.domain.session.visibility import Progress, Visibility
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    ConId,
    Execution,
    ExecutionId,
    OrderRow,
    OrderState,
    Side,
)
from engine.domain.views import OrderView
from tests.domain.risk.samples import view
from tests.domain.session.told import ACCOUNT

S = 1_000_000_000
A, B = BrokerOrderId("1"), BrokerOrderId("2")


def row(
    name: BrokerOrderId = A,
    filled: int | None = 0,
    status: BrokerStatus = BrokerStatus.SUBMITTED,
    account: AccountId = ACCOUNT,
) -> OrderRow:
    return OrderRow(
        account=account,
        broker_order_id=name,
        status=status,
        filled_quantity=None if filled is None else Decimal(filled),
    )


def ours(state: OrderState, filled: int = 0, name: BrokerOrderId | None = A) -> OrderView:
    return replace(
        view(1, seq=1),
        account=ACCOUNT,
        broker_order_id=name,
        state=state,
        filled_quantity=Decimal(filled),
        created_at_ns=1_008 * S,
    )


def execution(name: str) -> Execution:
    return Execution(
        execution_id=ExecutionId(name),
        account=ACCOUNT,
        broker_order_id=A,
        coid=None,
        conid=ConId(1),
        side=Side.BUY,
        quantity=Decimal(1),
        price=Decimal(1),
        commission=None,
        at_ms=0,
    )


class Broker:
    """A login whose times are seconds; wall time begins at 1,000 s."""

    def __init__(self, *rows: OrderRow, **first: Any) -> None:
        self.visibility = Visibility()
        self.orders(0, *rows, **first)

    def tell(self, at_s: int, *rows: OrderRow, fills: Iterable[str] = ()) -> None:
        ids = tuple(ExecutionId(name) for name in fills)
        message = RowsStreamed(rows=rows, executions=ids)
        self.visibility.tell(message, at_s * S, (1_000 + at_s) * S)

    def answer(self, at_s: int, order: OrderView) -> None:
        self.visibility.answer(order, at_s * S, (1_000 + at_s) * S)

    def orders(
        self,
        at_s: int,
        *rows: OrderRow,
        asked_s: int | None = None,
        complete: bool = True,
        account: AccountId | None = None,
    ) -> list[ObserveVisibility]:
        message = OrdersRead(
            rows=rows, snapshot=True, forced=False, complete=complete, account=account
        )
        asked_ns = (at_s if asked_s is None else asked_s) * S
        wall_ns = (1_000 + at_s) * S
        return list(self.visibility.read_orders(message, asked_ns, at_s * S, wall_ns))

    def trades(self, at_s: int, *names: str) -> list[ObserveVisibility]:
        message = TradesRead(executions=tuple(execution(name) for name in names))
        return list(self.visibility.read_trades(message, at_s * S, at_s * S))

    def canaries(self, since_s: int) -> tuple[BrokerOrderId, ...]:
        return self.visibility.canaries(ACCOUNT, (1_000 + since_s) * S)

    @property
    def behind(self) -> bool:
        return self.visibility.is_list_behind(ACCOUNT)


@pytest.mark.parametrize(
    ("shown", "told", "reaches"),
    [
        ((0, False), (0, False), True),
        ((1, False), (0, False), True),
        ((0, False), (1, False), False),
        ((0, False), (0, True), False),
        ((0, True), (0, True), True),
        ((5, False), (3, True), True),
        ((3, True), (5, False), False),
    ],
)
def test_an_order_only_goes_forward(
    shown: tuple[int, bool], told: tuple[int, bool], *, reaches: bool
) -> None:
    one, other = (
        Progress(filled_quantity=Decimal(filled), ended=ended) for filled, ended in (shown, told)
    )

    assert one.reaches(other) is reaches


@pytest.mark.parametrize(
    "news", [row(filled=1), row(status=BrokerStatus.CANCELLED)], ids=["fill", "end"]
)
def test_a_change_that_was_told_and_is_listed_dates_the_list(news: OrderRow) -> None:
    broker = Broker(row())

    broker.tell(10, news)
    before = broker.canaries(9)
    broker.orders(12, news)

    assert before == ()
    assert broker.canaries(9) == (A,)
    assert broker.canaries(10) == (), "it dates nothing later"
    assert not broker.behind


@pytest.mark.parametrize(
    "news",
    [
        row(),
        row(filled=None),
        row(status=BrokerStatus.PRE_SUBMITTED),
        row(B, 3, BrokerStatus.FILLED),
    ],
    ids=["as it stood", "a part of it", "a status that comes and goes", "one that is over"],
)
def test_what_is_no_change_dates_nothing(news: OrderRow) -> None:
    broker = Broker(row())

    broker.tell(10, news)
    broker.orders(12, row(), row(B, 3, BrokerStatus.FILLED))

    assert broker.canaries(0) == ()
    assert not broker.behind


def test_what_is_heard_before_the_first_list_may_be_so_for_days() -> None:
    visibility = Visibility()
    visibility.tell(RowsStreamed(rows=(row(),)), 10 * S, 1_010 * S)

    read = OrdersRead(rows=(row(),), snapshot=True, forced=False)
    list(visibility.read_orders(read, 12 * S, 12 * S, 1_012 * S))

    assert visibility.canaries(ACCOUNT, 0) == ()


@pytest.mark.parametrize(
    "first",
    [{"complete": False}, {"account": ACCOUNT}],
    ids=["a row of it could not be read", "it is of one account"],
)
def test_a_list_that_is_not_whole_makes_no_order_new(first: dict[str, Any]) -> None:
    broker = Broker(**first)

    broker.tell(10, row())
    broker.orders(12, row())

    assert broker.canaries(0) == ()


def test_what_the_list_showed_first_is_its_own_and_dates_nothing() -> None:
    broker = Broker(row())
    broker.orders(10, row(filled=1))

    broker.tell(11, row(filled=1))
    broker.orders(15, row(filled=1))

    assert broker.canaries(0) == ()


def test_a_list_that_is_ahead_of_what_was_told_is_not_behind() -> None:
    broker = Broker(row())
    broker.tell(10, row(filled=1))

    broker.orders(12, row(filled=2))

    assert (broker.behind, broker.canaries(9)) == (False, (A,))


def test_a_list_that_lacks_what_was_told_before_it_was_asked_for_is_behind() -> None:
    broker = Broker(row())
    broker.tell(10, row(filled=1))

    broker.orders(15, row())

    assert (broker.behind, broker.canaries(0)) == (True, ())
    assert broker.visibility.lag_ms_max == 5_000
    assert not broker.visibility.is_list_behind(AccountId("DU0"))


def test_a_list_that_was_asked_for_before_need_not_show_it() -> None:
    broker = Broker(row())
    broker.tell(10, row(filled=1))

    broker.orders(15, row(), asked_s=9)

    assert (broker.behind, broker.visibility.lag_ms_max) == (False, 0)


def test_a_list_that_goes_back_is_behind_and_not_late_by_hours() -> None:
    broker = Broker(row())
    broker.tell(10, row(filled=1))
    broker.orders(15, row(filled=1))

    broker.orders(7_200)

    assert (broker.behind, broker.canaries(0)) == (True, ())
    assert broker.visibility.lag_ms_max == 0


def test_the_lag_is_the_largest_of_the_login_and_never_shrinks() -> None:
    broker = Broker(row())
    for at_s, filled in ((100, 1), (200, 2)):
        broker.tell(at_s, row(filled=filled))
        broker.orders(at_s + 5, row(filled=filled - 1))
        broker.orders(at_s + 30 // filled, row(filled=filled))

    assert broker.visibility.lag_ms_max == 30_000


def test_a_first_look_that_shows_it_is_no_lag_however_long_nobody_looked() -> None:
    broker = Broker(row())
    broker.tell(10, row(filled=1))

    broker.orders(600, row(filled=1))

    assert broker.visibility.lag_ms_max == 0


def test_changes_that_follow_each_other_quickly_are_each_waited_for() -> None:
    broker = Broker(row())
    for at_s in range(10, 40):
        broker.tell(at_s, row(filled=at_s))

    broker.orders(40, row(filled=12))

    assert broker.behind
    assert broker.visibility.lag_ms_max == 40_000 - 13_000
    assert broker.canaries(11) == (A,)


def test_an_order_of_which_much_is_told_is_remembered_by_its_oldest_changes() -> None:
    broker = Broker(row())
    for at_s in range(1, limits.UNSHOWN_MAX + 10):
        broker.tell(at_s, row(filled=at_s))

    broker.orders(1_000, row())

    assert broker.visibility.lag_ms_max == 999_000


def test_an_acknowledged_order_is_measured_until_the_list_shows_it() -> None:
    broker = Broker()
    broker.answer(10, ours(OrderState.PENDING_NEW))

    missing = broker.orders(15)
    found = broker.orders(20, row())
    again = broker.orders(25, row())

    assert (missing, again) == ([], [])
    assert found == [ObserveVisibility(view=View.ORDERS, after_ms=10_000)]
    assert broker.visibility.lag_ms_max == 10_000
    assert (broker.canaries(7), broker.canaries(8)) == ((A,), ()), "by when it was made"


def test_a_new_order_of_somebody_else_is_waited_for_and_dates_nothing() -> None:
    broker = Broker()
    broker.tell(10, row())

    broker.orders(15)
    behind = broker.behind
    broker.orders(20, row())

    assert (behind, broker.behind) == (True, False)
    assert broker.visibility.lag_ms_max == 10_000
    assert broker.canaries(0) == ()


def test_an_order_that_the_list_showed_before_its_answer_came_is_dated_and_not_measured() -> None:
    broker = Broker()
    broker.tell(9, row())
    broker.orders(10, row())

    broker.answer(11, ours(OrderState.PENDING_NEW))

    assert broker.orders(15, row()) == []
    assert broker.canaries(7) == (A,)


def test_an_order_that_the_stream_told_first_is_measured_from_there() -> None:
    broker = Broker()
    broker.tell(9, row())
    broker.answer(10, ours(OrderState.ACCEPTED))

    found = broker.orders(12, row())

    assert found == [ObserveVisibility(view=View.ORDERS, after_ms=3_000)]


@pytest.mark.parametrize(
    "order",
    [ours(OrderState.IN_DOUBT), ours(OrderState.WORKING, name=None), ours(OrderState.CANCELLED)],
    ids=["in doubt", "without a name", "one that is over"],
)
def test_an_answer_that_acknowledges_nothing_is_not_waited_for(order: OrderView) -> None:
    broker = Broker()

    broker.answer(10, order)
    broker.orders(15)

    assert not broker.behind


def test_an_execution_that_the_trades_lack_makes_them_late() -> None:
    broker = Broker()
    broker.tell(10, fills=("a.01",))

    early = broker.trades(15)
    behind = broker.visibility.are_trades_behind
    found = broker.trades(30, "a.01")

    assert (early, behind) == ([], True)
    assert found == [ObserveVisibility(view=View.TRADES, after_ms=20_000)]
    assert not broker.visibility.are_trades_behind
    assert broker.visibility.lag_ms_max == 20_000


def test_trades_that_were_asked_for_before_need_not_show_it() -> None:
    broker = Broker()
    broker.tell(16, fills=("a.01",))

    broker.trades(15)

    assert not broker.visibility.are_trades_behind


def test_another_revision_is_the_same_execution() -> None:
    broker = Broker()
    broker.tell(10, fills=("a.01",))

    broker.trades(15, "a.02")
    broker.tell(16, fills=("a.03",))
    broker.trades(20, "a.02")

    assert not broker.visibility.are_trades_behind


def test_the_list_of_one_account_says_nothing_about_another() -> None:
    broker = Broker(row(), row(B, account=AccountId("DU0")))
    broker.tell(10, row(B, 1, account=AccountId("DU0")))

    broker.orders(15, row(), account=ACCOUNT)

    assert not broker.visibility.is_list_behind(AccountId("DU0"))


def test_it_is_known_since_when_an_order_was_heard_of() -> None:
    broker = Broker(row())
    broker.tell(10, row(B))

    known = [broker.visibility.known_since(ACCOUNT, BrokerOrderId(name)) for name in "123"]

    assert known == [1_000 * S, 1_010 * S, None]


def test_a_new_login_begins_with_nothing() -> None:
    broker = Broker(row())
    broker.tell(10, row(filled=1), fills=("a.01",))
    broker.orders(15, row())
    broker.trades(15)

    broker.visibility.begin_login()

    assert (broker.behind, broker.visibility.are_trades_behind) == (False, False)
    assert broker.visibility.lag_ms_max == 0
    assert broker.visibility.known_since(ACCOUNT, A) is None


def test_the_oldest_orders_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KNOWN_MAX", 2)

    broker = Broker(*(row(BrokerOrderId(name)) for name in "123"))

    known = [broker.visibility.known_since(ACCOUNT, BrokerOrderId(name)) for name in "123"]
    assert [since is not None for since in known] == [False, True, True]
