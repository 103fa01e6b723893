from dataclasses import replace
from decimal import Decimal

from engine.domain.messages import CallGateway, HaltScope, NewsStreamed, SessionCall
from engine.domain.values import Scope, ScopeKind, SessionName, SessionState, TradingState
from tests.actors.house import (
    ACCOUNT,
    CONID,
    MAIN,
    OTHER,
    TIMEOUT,
    House,
    fill,
    keyed,
    ready_house,
)
from tests.fakes import quiet, run

HALT = HaltScope(
    scope=Scope(kind=ScopeKind.FIRM), level=TradingState.CANCEL_ONLY, reason="drill", by="ops"
)


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


def test_a_session_that_starts_is_told_the_orders_that_the_broker_showed_lately() -> None:
    async def scene() -> None:
        house = await ready_house()
        working = await house.work()
        denied = await house.submit(replace(keyed("mine-2"), quantity=Decimal(1_001)))
        doubtful = await house.work(keyed("mine-3"), outcome=TIMEOUT)
        roster = house.supervisor._roster

        known = roster.known(MAIN)

        assert denied.broker_order_id is doubtful.broker_order_id is None
        assert [view.order_id for view in known] == [working.order_id]
        assert roster.known(SessionName("other")) == ()

    run(scene())


def test_a_new_risk_is_told_all_that_is_so() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        roster = house.supervisor._roster
        ref = house.board.order_ref(view.order_id)
        assert ref is not None
        order = ref.actor.order  # type: ignore[attr-defined] # an order's
        house.supervisor.halt(HALT)
        actor = roster.make_risk(ACCOUNT, MAIN)

        roster.inform(actor, [(order, house.journal.last_seq)])

        risk = actor.risk
        shown = risk.account_view(house.clock.monotonic_ns())
        assert risk.exposure(CONID).working_buy == Decimal(10)
        assert (shown.session_state, shown.trading_state) == (SessionState.READY, HALT.level)
        assert shown.reconcile_step == "positions", "the lists were read, its holdings were not"
        assert roster.journal.kept.reconciled[ACCOUNT].record.account == ACCOUNT

    run(scene())
