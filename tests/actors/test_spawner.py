from engine.actors.order import OrderActor
from engine.domain.messages import DenyOrder, SubmitOrder
from engine.domain.order import Order
from engine.domain.values import OrderId, OrderState, QuestionPolicy, Reason
from tests.actors.house import TICKET, ready_house
from tests.domain.order.samples import approve
from tests.fakes import NOON_NS, quiet, run

DENIED = DenyOrder(
    order_id=OrderId("1-9"),
    ticket=TICKET,
    reason=Reason(code="QTY_EXCEEDS_MAX", message="too many"),
    request_sha256="f" * 64,
)


def test_an_approved_order_starts_with_its_intent_and_its_body() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True
        approved = approve(QuestionPolicy(answers={}))

        house.spawner.start_order(approved)
        await quiet()
        house.journal.commit()

        (intent,) = house.journal.durable
        assert intent.entry.message == SubmitOrder(
            approved=approved, body=f"{approved.coid} BUY 10".encode()
        )
        assert intent.entry.order_id == approved.order_id
        assert house.bridge.order(approved.order_id).state is OrderState.SUBMITTING

    run(scene())


def test_a_denied_order_starts_and_is_over() -> None:
    async def scene() -> None:
        house = await ready_house()

        house.spawner.start_denied(DENIED)
        await quiet()

        view = house.bridge.order(DENIED.order_id)
        assert (view.state, view.reason, view.coid) == (OrderState.DENIED, DENIED.reason, None)
        assert [one.entry.message for one in house.journal.durable] == [DENIED]

    run(scene())


def test_a_rebuilt_order_is_found_and_says_nothing_by_itself() -> None:
    async def scene() -> None:
        house = await ready_house()
        order = Order()
        order.replay(DENIED, NOON_NS)

        actor = house.spawner.rebuild(order)
        await quiet()

        assert isinstance(actor, OrderActor)
        assert actor.order is order
        assert house.board.order_ref(DENIED.order_id) is actor.ref
        assert house.journal.written == []

    run(scene())
