from dataclasses import replace

from engine.actors.order import OrderActor
from engine.domain.messages import AdoptOrder, DenyOrder, StartFollowers, SubmitOrder
from engine.domain.order import Order
from engine.domain.values import (
    ApprovedTicket,
    GroupKind,
    OrderId,
    OrderState,
    QuestionPolicy,
    Reason,
)
from tests.actors.house import MAIN, TICKET, ready_house
from tests.domain.order import company
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
        house.journal.commit(1)
        await quiet()

        (intent,) = house.journal.of_orders
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
        assert [one.entry.message for one in house.journal.of_orders] == [DENIED]

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
        assert house.journal.of_orders == []

    run(scene())


def group() -> tuple[ApprovedTicket, ...]:
    return company.approve(company.LEGS, GroupKind.BRACKET)


def test_a_group_starts_with_its_leader_and_one_body_for_all() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True
        leader, *followers = group()

        house.spawner.start_order(leader, followers)
        await quiet()

        assert house.journal.waiting == [SubmitOrder]
        house.journal.commit()
        (intent,) = house.journal.of_orders
        body = "\n".join(f"{one.coid} {one.ticket.side} 10" for one in (leader, *followers))
        assert intent.entry.message == SubmitOrder(
            approved=leader, body=body.encode(), followers=tuple(followers)
        )

    run(scene())


def test_followers_are_on_their_way_to_the_journal_at_once_and_start_once() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True
        leader, *followers = group()
        start = StartFollowers(leader=leader.order_id, followers=tuple(followers))

        house.spawner.start_followers(start)
        house.spawner.start_followers(start)
        waiting = house.journal.waiting
        house.journal.commit()
        house.spawner.start_followers(start)
        await quiet()

        assert waiting == [SubmitOrder, SubmitOrder]
        assert [one.entry.message for one in house.journal.of_orders] == [
            SubmitOrder(approved=one, body=b"") for one in followers
        ]

    run(scene())


def test_an_order_that_is_adopted_has_no_id_of_ours_on_the_wire() -> None:
    async def scene() -> None:
        house = await ready_house()
        adopted = AdoptOrder(
            order_id=OrderId("1-7"),
            session=MAIN,
            row=replace(company.exit_row(company.PROFIT), parent_id=None, oca_group=None),
            by="ops",
        )

        house.spawner.start_adopted(adopted)
        await quiet()

        view = house.bridge.order(adopted.order_id)
        assert (view.coid, view.broker_order_id, view.adopted) == (None, "902", True)

    run(scene())
