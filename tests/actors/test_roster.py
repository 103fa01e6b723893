from decimal import Decimal

from engine.domain.messages import CallGateway, NewsStreamed, SessionCall
from engine.domain.values import SessionName
from tests.actors.house import ACCOUNT, CONID, MAIN, OTHER, House, fill, ready_house
from tests.fakes import quiet, run


def test_accounts_are_found_by_their_session_in_order_of_configuration() -> None:
    async def scene() -> None:
        house = House()
        house.add(MAIN, (OTHER, ACCOUNT))

        roster = house.supervisor._roster

        assert roster.accounts_of(MAIN) == (OTHER, ACCOUNT)
        assert roster.accounts_of(SessionName("other")) == ()

    run(scene())


def test_a_new_instance_cuts_the_line_of_the_one_before() -> None:
    async def scene() -> None:
        house = await ready_house()
        roster = house.supervisor._roster
        before = roster.lines[MAIN].session
        assert before is not None
        told: list[object] = []

        roster.make_session(MAIN)
        before.call(CallGateway(call=SessionCall.SUPPRESS), told.append)
        await quiet()

        assert told == []
        assert roster.lines[MAIN].session is not before

    run(scene())


def test_a_risk_is_told_of_an_order_and_of_all_that_it_filled() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        house.line.feed.bring(NewsStreamed(executions=(fill("1", 4),)))
        await quiet()
        roster = house.supervisor._roster
        ref = house.board.order_ref(view.order_id)
        assert ref is not None
        actor = roster.make_risk(ACCOUNT, MAIN)

        roster.reserve(actor, ref.actor.order, house.journal.last_seq)  # type: ignore[attr-defined] # an order's

        assert actor.risk.exposure(CONID).working_buy == Decimal(6)

    run(scene())
