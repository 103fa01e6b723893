import asyncio
from dataclasses import replace

import pytest

from engine import metrics
from engine.actors.views import Views, shown
from engine.domain.history import lay_to_rest
from engine.domain.messages import OrderExpired, SubmitOrder
from engine.domain.order import Order
from engine.domain.ports import OrderFilter
from engine.domain.values import (
    AccountId,
    ClientOrderId,
    Confidence,
    OrderId,
    OrderState,
    QuestionPolicy,
    Reason,
)
from engine.domain.views import OrderView
from engine.journal.snapshot_body import PACKING
from tests.domain.order.samples import approve
from tests.domain.risk.samples import ACCOUNT, view
from tests.fakes import NOON_NS, quiet, run

OTHER = AccountId("DU7654321")


def ids(views: tuple[OrderView, ...]) -> list[OrderId]:
    return [one.order_id for one in views]


def find(views: Views, wanted: OrderFilter) -> list[OrderId]:
    return ids(views.find(wanted, is_ready=lambda _account: True))


def filled_views() -> Views:
    views = Views()
    views.put(view(1, seq=1, state=OrderState.WORKING))
    views.put(replace(view(2, seq=2, state=OrderState.FILLED), account=OTHER))
    views.put(view(3, seq=3, state=OrderState.DENIED))
    views.put(view(1, seq=4, state=OrderState.PARTIALLY_FILLED))
    return views


def test_the_newest_view_of_an_order_is_shown() -> None:
    views = filled_views()

    assert views.get(OrderId("order-1")) == view(1, seq=4, state=OrderState.PARTIALLY_FILLED)
    assert views.get(OrderId("order-9")) is None
    assert ids(tuple(views)) == ["order-1", "order-2", "order-3"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (OrderFilter(), ["order-3", "order-2", "order-1"]),
        (OrderFilter(account=ACCOUNT), ["order-3", "order-1"]),
        (OrderFilter(state=OrderState.FILLED), ["order-2"]),
        (OrderFilter(state=OrderState.WORKING), []),
        (OrderFilter(open_only=True), ["order-1"]),
        (OrderFilter(client_order_id=ClientOrderId("key-3")), ["order-3"]),
        (OrderFilter(account=OTHER, client_order_id=ClientOrderId("key-3")), []),
        (OrderFilter(client_order_id=ClientOrderId("key-9")), []),
        (OrderFilter(limit=2), ["order-3", "order-2"]),
        (OrderFilter(account=ACCOUNT, limit=1), ["order-3"]),
        (OrderFilter(limit=9), ["order-3", "order-2", "order-1"]),
    ],
)
def test_a_filter_finds_the_newest_first(wanted: OrderFilter, found: list[str]) -> None:
    views = filled_views()

    assert find(views, wanted) == found


def test_an_open_order_of_a_session_that_is_not_ready_is_stale() -> None:
    open_, over = view(1, seq=1), view(2, seq=2, state=OrderState.FILLED)
    doubtful = replace(open_, confidence=Confidence.UNCONFIRMED)

    assert shown(open_, ready=True) == open_
    assert shown(open_, ready=False) == replace(open_, confidence=Confidence.STALE)
    assert shown(over, ready=False) == over
    assert shown(doubtful, ready=False) == doubtful


def test_a_listing_is_stale_where_its_session_is_not_ready() -> None:
    views = Views()
    views.put(view(1, seq=1))
    views.put(replace(view(2, seq=2), account=OTHER))

    found = views.find(OrderFilter(), is_ready=lambda account: account == ACCOUNT)

    assert [one.confidence for one in found] == [Confidence.STALE, Confidence.CONFIRMED]


def test_two_accounts_may_use_the_same_key() -> None:
    views = filled_views()
    views.put(replace(view(4, seq=5), account=OTHER, client_order_id=ClientOrderId("key-3")))

    assert find(views, OrderFilter(client_order_id=ClientOrderId("key-3"))) == [
        "order-4",
        "order-3",
    ]


def test_a_listing_looks_at_no_more_orders_than_it_shows() -> None:
    views, asked = Views(), list[AccountId]()
    for number in range(1, 6):
        views.put(view(number, seq=number))

    def is_ready(account: AccountId) -> bool:
        asked.append(account)
        return False

    found = views.find(OrderFilter(limit=2), is_ready=is_ready)

    assert ids(found) == ["order-5", "order-4"]
    assert asked == [ACCOUNT, ACCOUNT]


def test_orders_are_counted_by_state_and_doubt_by_account() -> None:
    views = Views()
    doubt = metrics.ORDERS_IN_DOUBT.labels(metrics.account_label(ACCOUNT))

    views.put(view(1, seq=1, state=OrderState.IN_DOUBT))
    views.put(view(2, seq=2, state=OrderState.PARKED))
    in_doubt = (doubt._value.get(), metrics.ORDERS.labels(OrderState.IN_DOUBT)._value.get())
    views.put(view(1, seq=3, state=OrderState.WORKING))

    assert in_doubt == (2, 1)
    assert doubt._value.get() == 1
    assert metrics.ORDERS.labels(OrderState.IN_DOUBT)._value.get() == 0
    assert metrics.ORDERS.labels(OrderState.WORKING)._value.get() == 1


def is_filled(one: OrderView | None) -> bool:
    return one is not None and one.state is OrderState.FILLED


def test_everybody_who_waits_for_an_order_is_woken_when_it_is_so_far() -> None:
    async def scene() -> None:
        views = Views()
        filled = view(1, seq=3, state=OrderState.FILLED)
        waiting = [
            asyncio.ensure_future(views.wait_for(OrderId("order-1"), is_filled, timeout_s=60))
            for _ in range(2)
        ]
        await quiet()

        views.put(view(1, seq=1))
        await quiet()
        early = [one.done() for one in waiting]
        views.put(filled)

        assert await asyncio.gather(*waiting) == [filled, filled]
        assert early == [False, False]

    run(scene())


def test_who_need_not_wait_does_not() -> None:
    async def scene() -> None:
        views = Views()
        filled = view(1, seq=3, state=OrderState.FILLED)
        views.put(filled)
        before_s = asyncio.get_running_loop().time()

        found = await views.wait_for(OrderId("order-1"), is_filled, timeout_s=60)

        assert found == filled
        assert asyncio.get_running_loop().time() == before_s

    run(scene())


def test_when_the_time_is_over_the_order_is_returned_as_it_is() -> None:
    async def scene() -> None:
        views = Views()
        working = view(1, seq=1)
        views.put(working)
        before_s = asyncio.get_running_loop().time()

        found = await views.wait_for(OrderId("order-1"), is_filled, timeout_s=2.5)
        missing = await views.wait_for(OrderId("order-2"), is_filled, timeout_s=0)

        assert (found, missing) == (working, None)
        assert asyncio.get_running_loop().time() == pytest.approx(before_s + 2.5)

    run(scene())


def test_who_waits_for_an_order_that_will_never_be_hears_of_it() -> None:
    async def scene() -> None:
        views = Views()
        order_id = OrderId("order-1")
        waiting = asyncio.ensure_future(
            views.wait_for(
                order_id, lambda one: is_filled(one) or views.is_forgotten(order_id), timeout_s=60
            )
        )
        await quiet()
        before_s = asyncio.get_running_loop().time()

        views.forget(order_id)

        assert await waiting is None
        assert asyncio.get_running_loop().time() == before_s
        assert not views.is_forgotten(OrderId("order-2"))

    run(scene())


def test_who_gave_up_waiting_is_in_nobodys_way() -> None:
    async def scene() -> None:
        views = Views()
        filled = view(1, seq=3, state=OrderState.FILLED)
        order_id = OrderId("order-1")
        impatient = asyncio.ensure_future(views.wait_for(order_id, is_filled, timeout_s=60))
        patient = asyncio.ensure_future(views.wait_for(order_id, is_filled, timeout_s=60))
        await quiet()

        impatient.cancel()
        views.put(filled)

        assert await patient == filled
        assert impatient.cancelled()

    run(scene())


# --- rest ------------------------------------------------------------------------------------

APPROVED = approve(QuestionPolicy(answers={}))
UNSENT = Reason(code="EXPIRED_UNSENT", message="restarted")


def ended() -> Order:
    order = Order()
    order.replay(SubmitOrder(approved=APPROVED, body=b"{}"), NOON_NS)
    order.replay(OrderExpired(order_id=APPROVED.order_id, reason=UNSENT), NOON_NS)
    return order


def rested() -> tuple[Views, OrderView]:
    views, order = Views(PACKING), ended()
    views.put(order.view(7))
    views.rest(lay_to_rest(order, 7, PACKING))
    return views, order.view(7)


def test_an_order_at_rest_is_shown_as_it_was_and_is_not_among_those_that_act() -> None:
    views, shown_before = rested()
    key = shown_before.client_order_id

    assert views.get(shown_before.order_id) == shown_before
    assert find(views, OrderFilter(client_order_id=key)) == [shown_before.order_id]
    assert find(views, OrderFilter(state=OrderState.EXPIRED)) == [shown_before.order_id]
    assert find(views, OrderFilter(open_only=True)) == []
    assert list(views) == []
    assert [one.order_id for one in views.at_rest()] == [shown_before.order_id]


def test_the_key_of_an_order_at_rest_is_that_accounts_only() -> None:
    views, shown_before = rested()
    key, account = shown_before.client_order_id, shown_before.account

    assert views.ended_key(account, key) == (shown_before.order_id, shown_before.request_sha256)
    assert views.ended_key(OTHER, key) is None
    assert views.ended_key(account, ClientOrderId("another")) is None
    views.put(shown_before)
    assert views.ended_key(account, key) is None, "its risk knows it"


def test_an_order_that_is_shown_again_rests_no_more() -> None:
    views, shown_before = rested()
    resting = views.resting(shown_before.order_id)

    views.put(shown_before)

    assert resting is not None
    assert views.resting(shown_before.order_id) is None
    assert views.resting(OrderId("order-9")) is None
    assert list(views) == [shown_before]


def test_orders_at_rest_are_counted_by_their_state() -> None:
    def expired() -> float | None:
        return metrics.REGISTRY.get_sample_value("engine_orders", {"state": "EXPIRED"})

    views, shown_before = rested()
    once = expired()
    views.put(shown_before)

    assert (once, expired()) == (1, 1)


def test_who_waits_for_an_order_at_rest_has_it_at_once() -> None:
    async def scene() -> None:
        views, shown_before = rested()

        found = await views.wait_for(
            shown_before.order_id, lambda view: view is not None, timeout_s=60
        )

        assert found == shown_before

    run(scene())
