from dataclasses import fields

from engine.domain.messages import (
    AttemptStarted,
    CancelOrder,
    ExecutionSeen,
    OrderAnswered,
    OrderRecord,
    OrderRowSeen,
    Step,
    SubmitOrder,
)
from engine.domain.order import Order
from engine.domain.order.facts import OrderFacts
from engine.domain.order.image import OrderImage, image_of, last_news_ns, order_of
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    OrderRow,
    OrderState,
    Outcome,
    OutcomeKind,
    QuestionPolicy,
    Source,
)
from tests.actors.house import fill
from tests.domain.order.samples import approve
from tests.fakes import NOON_NS

APPROVED = approve(QuestionPolicy(answers={}))
ORDER, ACCOUNT = APPROVED.order_id, APPROVED.ticket.account
BROKER_ID = BrokerOrderId("245323648")
STORY: tuple[OrderRecord, ...] = (
    SubmitOrder(approved=APPROVED, body=b"{}"),
    AttemptStarted(order_id=ORDER, number=1, session_epoch=1),
    OrderAnswered(
        order_id=ORDER,
        step=Step.PLACE,
        outcome=Outcome(kind=OutcomeKind.ACK, broker_order_id=BROKER_ID, status="Submitted"),
    ),
    ExecutionSeen(order_id=ORDER, execution=fill("1", 4), source=Source.STREAM),
    ExecutionSeen(order_id=ORDER, execution=fill("1", 4, commission="1.01"), source=Source.POLL),
    CancelOrder(order_id=ORDER, cause="enough"),
    OrderRowSeen(
        order_id=ORDER,
        row=OrderRow(
            account=ACCOUNT, broker_order_id=BROKER_ID, status=BrokerStatus.PENDING_CANCEL
        ),
        source=Source.STREAM,
    ),
)


def told(records: tuple[OrderRecord, ...], order: Order) -> Order:
    for number, record in enumerate(records):
        order.replay(record, NOON_NS + number)
    return order


def test_an_image_has_a_field_for_every_attribute_of_an_order() -> None:
    assert {one.name for one in fields(OrderImage)} == {
        name.lstrip("_") for name in OrderFacts.__slots__
    }


def test_an_order_comes_back_from_its_image_at_any_moment() -> None:
    for length in range(1, len(STORY) + 1):
        order = told(STORY[:length], Order())

        again = order_of(image_of(order))

        assert image_of(again) == image_of(order)
        assert again.view(7) == order.view(7)
        assert again.resume(NOON_NS) == order.resume(NOON_NS)


def test_what_comes_after_an_image_makes_the_same_order() -> None:
    whole = told(STORY, Order())

    for length in range(1, len(STORY)):
        again = order_of(image_of(told(STORY[:length], Order())))
        for number, record in enumerate(STORY[length:], start=length):
            again.replay(record, NOON_NS + number)

        assert image_of(again) == image_of(whole)

    assert whole.state is OrderState.PARTIALLY_FILLED


def test_an_order_says_when_the_last_was_heard_of_it() -> None:
    assert last_news_ns(told(STORY, Order())) == NOON_NS + len(STORY) - 1
