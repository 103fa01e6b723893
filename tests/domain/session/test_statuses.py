"""An order that works and is not listed is asked for; that it is not proves nothing."""

from dataclasses import replace
from itertools import pairwise
from typing import TypeGuard

from engine.domain.messages import (
    CallGateway,
    DeliverNews,
    FailureKind,
    OrderChanged,
    OrdersRead,
    OrderStatusRead,
    RequestLookup,
    SessionCall,
    StreamLost,
    StreamReady,
    TimerFired,
)
from engine.domain.session import Effect, MissOrder
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderState,
    Side,
    Source,
)
from engine.domain.views import OrderView
from tests.domain.risk.samples import view
from tests.domain.session.test_search import COID, CONID
from tests.domain.session.told import ACCOUNT, FUNDS, LIST, NAME, POSITIONS, TRADES, Told, failed

ONE, TWO = BrokerOrderId("7"), BrokerOrderId("8")
ROW = OrderRow(account=ACCOUNT, broker_order_id=ONE, status=BrokerStatus.SUBMITTED)
OVER = replace(ROW, status=BrokerStatus.CANCELLED)
REFUSED = failed(SessionCall.ORDER_STATUS, FailureKind.SERVER_ERROR)


def order(number: int = 1, name: BrokerOrderId = ONE) -> OrderView:
    made = replace(view(number, seq=1), account=ACCOUNT, broker_order_id=name)
    return replace(made, state=OrderState.WORKING, order_id=OrderId(f"1-{number}"))


def working(*orders: OrderView) -> Told:
    told = Told().ready()
    for one in orders or (order(),):
        told.tell(OrderChanged(view=one))
    return told


def poll(told: Told, answer: OrdersRead = LIST) -> tuple[Effect, ...]:
    return told.wait(10_000).tell(TimerFired(name="poll"), answer, TRADES)


def asked(effects: tuple[Effect, ...]) -> list[BrokerOrderId | None]:
    return [
        effect.broker_order_id
        for effect in effects
        if isinstance(effect, CallGateway) and effect.call is SessionCall.ORDER_STATUS
    ]


def is_list(effect: Effect) -> TypeGuard[CallGateway]:
    return isinstance(effect, CallGateway) and effect.call is SessionCall.ORDERS


def missed(effects: tuple[Effect, ...]) -> list[OrderId]:
    return [effect.order_id for effect in effects if isinstance(effect, MissOrder)]


def test_an_order_that_two_lists_lack_is_asked_for() -> None:
    told = working()

    first, second = poll(told), poll(told)

    assert (asked(first), asked(second)) == ([], [ONE])
    assert (
        CallGateway(call=SessionCall.ORDER_STATUS, account=ACCOUNT, broker_order_id=ONE) in second
    )


def test_what_its_status_says_is_news_of_it() -> None:
    told = working()
    poll(told), poll(told)

    effects = told.tell(OrderStatusRead(row=OVER))

    assert effects == (DeliverNews(rows=(OVER,), source=Source.LOOKUP),)


def test_an_order_that_is_listed_is_not_asked_for() -> None:
    told = working()
    listed = replace(LIST, rows=(ROW,))

    effects = [asked(poll(told, answer)) for answer in (LIST, listed, LIST, listed)]

    assert effects == [[]] * 4


def test_an_order_that_has_ended_is_not_asked_for() -> None:
    told = working()
    poll(told)

    told.tell(OrderChanged(view=replace(order(), state=OrderState.CANCELLED)))

    assert [asked(poll(told)) for _ in range(3)] == [[]] * 3


def test_one_that_works_and_is_not_listed_is_asked_for_again_and_confirmed_each_time() -> None:
    told = working()
    effects: list[tuple[Effect, ...]] = []

    for _ in range(6):
        effects.append(poll(told))
        if asked(effects[-1]):
            told.tell(OrderStatusRead(row=ROW))

    assert [asked(one) for one in effects] == [[], [ONE]] * 3
    assert [missed(one) for one in effects] == [[]] * 6


def test_without_an_answer_it_is_asked_for_ever_more_rarely_and_unconfirmed_once() -> None:
    told = working()
    effects: list[tuple[Effect, ...]] = []

    for _ in range(16):
        effects.append(poll(told))
        if asked(effects[-1]):
            told.tell(REFUSED)

    lists = range(1, 17)
    assert [number for number in lists if asked(effects[number - 1])] == [2, 4, 8, 16]
    assert [number for number in lists if missed(effects[number - 1])] == [3]


def test_the_list_after_each_of_these_clears_the_filters_that_may_hide_the_order() -> None:
    told = working()
    forced: list[int] = []

    for number in range(1, 18):
        call = next(one for one in told.wait(10_000).tell(TimerFired(name="poll")) if is_list(one))
        forced += [number] if call.force else []
        if call.force:
            told.tell(replace(LIST, forced=True), TRADES, TimerFired(name="poll"))
        if asked(told.tell(LIST, TRADES)):
            told.tell(REFUSED)

    assert forced == [3, 5, 9, 17]


def test_no_two_lists_in_a_row_clear_the_filters_while_another_order_is_looked_for() -> None:
    told = working()
    told.tell(
        RequestLookup(
            order_id=OrderId("1-9"),
            session=NAME,
            account=ACCOUNT,
            coid=COID,
            conid=CONID,
            side=Side.BUY,
            sent_at_ns=told.wall_ns,
            session_epoch=told.session.epoch,
            provable=True,
        )
    )
    forced: list[bool] = []

    for _ in range(40):
        effects = told.wait(5_000).tell(TimerFired(name="poll"))
        for call in filter(is_list, effects):
            forced.append(call.force)
            if asked(told.tell(replace(LIST, forced=call.force), TRADES)):
                told.tell(REFUSED)

    assert sum(forced) > 10
    assert not any(one and other for one, other in pairwise(forced))


def test_several_are_asked_for_one_after_the_other() -> None:
    told = working(order(1, ONE), order(2, TWO))
    poll(told)

    first = poll(told)
    second = told.tell(REFUSED)
    last = told.tell(OrderStatusRead(row=replace(ROW, broker_order_id=TWO)))

    assert (asked(first), asked(second), asked(last)) == ([ONE], [TWO], [])


def test_one_that_ended_while_it_waited_to_be_asked_for_is_left_out() -> None:
    told = working(order(1, ONE), order(2, TWO))
    poll(told), poll(told)

    told.tell(OrderChanged(view=replace(order(2, TWO), state=OrderState.FILLED)))

    assert asked(told.tell(REFUSED)) == []


def test_while_one_is_asked_for_no_other_is() -> None:
    told = working()
    poll(told), poll(told)

    assert [asked(poll(told)) for _ in range(2)] == [[], []]


def test_lists_that_are_not_whole_or_of_before_it_was_known_lack_nothing() -> None:
    told = Told().ready()
    told.tell(TimerFired(name="poll"))
    told.tell(OrderChanged(view=order()))
    told.tell(LIST, TRADES)
    partial = replace(LIST, complete=False)

    effects = [*(poll(told, partial) for _ in range(4)), poll(told)]

    assert [asked(one) for one in effects] == [[]] * 5


def test_a_new_login_begins_to_count_anew() -> None:
    told = working()
    poll(told)
    told.tell(failed(SessionCall.ORDERS, FailureKind.NO_BRIDGE))
    told.ready_again()  # Its first list is whole, and lacks it.

    assert [asked(poll(told)) for _ in range(2)] == [[ONE], []]


def test_an_answer_of_a_login_before_is_news_and_asks_for_nothing() -> None:
    told = working(order(1, ONE), order(2, TWO))
    poll(told), poll(told)
    told.tell(failed(SessionCall.ORDERS, FailureKind.NO_BRIDGE))
    told.ready_again()

    effects = told.tell(OrderStatusRead(row=ROW))

    assert effects == (DeliverNews(rows=(ROW,), source=Source.LOOKUP),)


def test_an_order_that_got_another_name_is_looked_for_under_that() -> None:
    told = working()
    told.tell(OrderChanged(view=order(1, TWO)))

    poll(told)

    assert asked(poll(told)) == [TWO]


def test_what_was_asked_for_before_all_is_read_anew_holds_nothing_up() -> None:
    told = working()
    poll(told), poll(told)
    told.tell(StreamLost(reason="closed"), StreamReady(), POSITIONS, LIST, TRADES, FUNDS)
    told.tell(REFUSED)  # To what was asked for before.

    assert [ONE] in [asked(poll(told)) for _ in range(2)]
