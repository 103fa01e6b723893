"""New exits for an entry whose own are missing: once, and no more than is open."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from engine.actors.replacements import AGAIN_NS, REFUSED_MAX
from engine.domain.messages import ReplaceExit, RequestAnswer, RequestVerdict
from engine.domain.ports import EngineDraining, SubmitRequest, Submitted
from engine.domain.values import ClientOrderId, GroupKind, OrderId, OrderState
from engine.domain.views import OrderView
from tests.actors.house import MAIN, House, ready_house
from tests.actors.test_order_requests_groups import IDS, LEGS, PROFIT, bracket, request
from tests.domain.risk.samples import ANYTHING
from tests.fakes import FakeInstruments, quiet, run, skip

WANTED = ReplaceExit(exit_id=IDS[2], quantity=Decimal(10))


class Desk:
    """Takes the replacements instead of risk, and shows them in the state that a test wants."""

    def __init__(self, house: House, state: OrderState = OrderState.WORKING) -> None:
        self.requests: list[SubmitRequest] = []
        self.state = state
        self.error: Exception | None = None
        self._house = house
        house.bridge._replacements._submit = self.submit

    async def submit(self, wanted: SubmitRequest) -> Submitted:
        self.requests.append(wanted)
        if self.error is not None:
            raise self.error
        like = self._house.bridge.order(IDS[1])
        made: list[OrderView] = []
        for number, ticket in enumerate((wanted.ticket, *wanted.followers)):
            view = replace(
                like,
                order_id=OrderId(f"9-{len(self.requests)}{number}"),
                client_order_id=ticket.client_order_id,
                quantity=ticket.quantity,
                filled_quantity=Decimal(0),
                state=self.state,
                group=None,
                updated_at_ns=self._house.clock.wall_ns(),
            )
            self._house.board.views.put(view)
            made.append(view)
        answer = RequestAnswer(verdict=RequestVerdict.APPROVED, order_id=made[0].order_id)
        return Submitted(answer=answer, order=made[0], followers=tuple(made[1:]))

    @property
    def asked(self) -> list[tuple[ClientOrderId, Decimal]]:
        """The key and the quantity of the first of each request."""
        return [(one.ticket.client_order_id, one.ticket.quantity) for one in self.requests]


async def with_bracket() -> House:
    house = await ready_house()
    house.board.sessions[MAIN].instruments = FakeInstruments(ANYTHING)
    await bracket(house)
    return house


async def ask(house: House, wanted: ReplaceExit = WANTED) -> None:
    house.board.replace_exit(wanted)
    await quiet()


def test_all_exits_are_replaced_by_a_group_in_which_one_ends_the_other() -> None:
    async def scene() -> None:
        house = await with_bracket()
        desk = Desk(house)

        await ask(house)

        (made,) = desk.requests
        assert made.group is GroupKind.OCA
        assert [
            (one.client_order_id, one.type, one.side, one.quantity, one.group)
            for one in (made.ticket, *made.followers)
        ] == [
            (f"{leg.client_order_id}:replaced", leg.type, leg.side, Decimal(10), None)
            for leg in LEGS
        ]

    run(scene())


def test_the_only_exit_is_replaced_by_one_order() -> None:
    async def scene() -> None:
        house = await ready_house()
        await bracket(house, request(legs=(PROFIT,)))
        desk = Desk(house)

        await ask(house, ReplaceExit(exit_id=IDS[1], quantity=Decimal(4)))

        (made,) = desk.requests
        assert (made.group, made.followers, made.ticket.quantity) == (None, (), Decimal(4))

    run(scene())


def test_what_is_replaced_is_not_replaced_again_and_what_more_is_open_is() -> None:
    async def scene() -> None:
        house = await with_bracket()
        desk = Desk(house)

        await ask(house, replace(WANTED, quantity=Decimal(4)))
        await ask(house, replace(WANTED, quantity=Decimal(4)))
        await ask(house, WANTED)
        await ask(house, WANTED)

        assert desk.asked == [
            ("mine-1:1:replaced", Decimal(4)),
            ("mine-1:1:replaced.2", Decimal(6)),
        ]

    run(scene())


def test_a_refusal_is_tried_again_less_and_less_often_and_not_for_ever() -> None:
    async def scene() -> None:
        house = await with_bracket()
        desk = Desk(house, OrderState.DENIED)
        at_s: list[int] = []
        for second in range(0, 3_000, 10):
            before = len(desk.requests)
            await ask(house)
            at_s.extend([second] * (len(desk.requests) - before))
            await skip(10)

        waits = [later - earlier for earlier, later in pairwise(at_s)]
        assert len(at_s) == REFUSED_MAX
        assert waits == [AGAIN_NS // 10**9 * 2**number for number in range(REFUSED_MAX - 1)]

    run(scene())


def test_nothing_is_replaced_while_the_account_cannot_send() -> None:
    async def scene() -> None:
        house = await with_bracket()
        desk = Desk(house)
        house.bridge._replacements._is_ready = lambda _account: False

        await ask(house)

        assert desk.requests == []

    run(scene())


def test_an_order_that_is_no_exit_is_not_replaced() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.work()
        desk = Desk(house)

        await ask(house, ReplaceExit(exit_id=IDS[0], quantity=Decimal(1)))
        await ask(house, ReplaceExit(exit_id=OrderId("9-9"), quantity=Decimal(1)))

        assert desk.requests == []

    run(scene())


def test_a_stopping_engine_replaces_nothing_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def scene() -> None:
        house = await with_bracket()
        desk = Desk(house)
        desk.error = EngineDraining("the engine is stopping and takes no new orders")

        await ask(house)

        assert len(desk.requests) == 1
        assert house.bridge._replacements._under_way == {}

    run(scene())
    assert "exit_not_replaced" in capsys.readouterr().out
