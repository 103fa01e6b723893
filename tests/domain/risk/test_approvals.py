"""The keys of orders that sleep; requests and changes are in test_account*.py."""

from decimal import Decimal

from engine.domain.messages import (
    OrderChanged,
    OrderForgotten,
    ReportAnomaly,
    RequestAnswer,
    RequestVerdict,
)
from engine.domain.risk import AccountRisk
from engine.domain.risk.exposure import Exposure
from engine.domain.values import ClientOrderId, OrderId, OrderState
from engine.domain.views import OrderView
from tests.domain.risk.samples import (
    ACCOUNT,
    CONID,
    READY,
    RECONCILED,
    SESSION,
    filled,
    limits,
    position,
    read,
    request,
    view,
)

FIRST = OrderId("order-1")
KEY = ClientOrderId("key-1")
DONE = view(1, seq=9, state=OrderState.FILLED, filled=10)


class Scene:
    """A risk, and the orders that sleep as their keeper knows them."""

    def __init__(self) -> None:
        self.asleep: dict[ClientOrderId, tuple[OrderId, str]] = {}
        self.risk = AccountRisk(ACCOUNT, SESSION, limits(), ended_key=self.asleep.get)
        self.risk.handle(READY)
        self.risk.handle(read(position(10)))
        self.risk.handle(RECONCILED)

    def trade(self, done: OrderView = DONE) -> None:
        self.risk.request(request(1))
        self.risk.handle(filled("a.01", 10, number=1, second=60))
        self.risk.handle(OrderChanged(view=done))


def test_the_key_of_an_order_that_sleeps_is_taken() -> None:
    scene = Scene()
    scene.asleep[KEY] = (FIRST, "digest")

    assert scene.risk.knows(KEY)
    assert scene.risk.request(request(1)) == (
        RequestAnswer(verdict=RequestVerdict.REPEATED, order_id=FIRST),
        (),
    )
    assert scene.risk.request(request(1, sha="other"))[0].verdict is RequestVerdict.CONFLICT


def test_an_order_that_goes_to_sleep_is_dropped_and_its_key_is_not_free() -> None:
    scene = Scene()
    scene.trade()
    scene.asleep[KEY] = (FIRST, "digest")

    effects = scene.risk.handle(OrderForgotten(order_id=FIRST))

    assert effects == ()
    assert scene.risk.request(request(1))[0].verdict is RequestVerdict.REPEATED
    assert scene.risk.exposure(CONID) == Exposure(position=Decimal(20))


def test_an_order_that_nobody_keeps_is_not_dropped() -> None:
    scene = Scene()
    scene.trade()

    effects = scene.risk.handle(OrderForgotten(order_id=FIRST))

    detail = "order order-1 was to be forgotten, but the account has its record 9"
    assert effects == (ReportAnomaly(machine="risk", kind="forgotten_too_late", detail=detail),)
    assert scene.risk.request(request(1))[0].verdict is RequestVerdict.REPEATED


def test_an_order_that_may_still_fill_does_not_sleep() -> None:
    scene = Scene()
    scene.trade(view(1, seq=9, state=OrderState.PARTIALLY_FILLED, filled=4))
    scene.asleep[KEY] = (FIRST, "digest")

    (effect,) = scene.risk.handle(OrderForgotten(order_id=FIRST))

    assert isinstance(effect, ReportAnomaly)


def test_news_wakes_an_order_with_nothing_counted_twice() -> None:
    scene = Scene()
    scene.trade()
    scene.asleep[KEY] = (FIRST, "digest")
    scene.risk.handle(OrderForgotten(order_id=FIRST))

    scene.risk.handle(filled("a.01", 10, number=1, second=60))
    scene.risk.handle(OrderChanged(view=DONE))
    woken = scene.risk.exposure(CONID)
    scene.risk.handle(filled("a.02", 7, number=1, second=60, seen=90))
    scene.risk.handle(OrderChanged(view=view(1, seq=11, state=OrderState.FILLED, filled=7)))
    corrected = scene.risk.exposure(CONID)

    assert woken == Exposure(position=Decimal(20))
    assert [corrected.position, corrected.working_buy] == [17, 0]


def test_a_late_fill_of_an_order_that_sleeps_moves_the_position() -> None:
    scene = Scene()
    scene.trade()
    scene.asleep[KEY] = (FIRST, "digest")
    scene.risk.handle(OrderForgotten(order_id=FIRST))

    scene.risk.handle(filled("late.01", 5, number=1, second=200))
    scene.risk.handle(OrderChanged(view=view(1, seq=12, state=OrderState.FILLED, filled=15)))

    assert scene.risk.exposure(CONID) == Exposure(position=Decimal(25))
