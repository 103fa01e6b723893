"""Orders and risks fail in the middle of their work, and the engine goes on truly."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from engine.actors.order import OrderActor
from engine.actors.risk import RiskActor
from engine.domain.messages import (
    AttemptStarted,
    CancelOrder,
    ChangeAnswer,
    ExecutionSeen,
    Failure,
    FailureKind,
    HaltScope,
    ModifyOrder,
    NewsStreamed,
    OrderAnswered,
    OrderDoubted,
    PlaceAtBroker,
    ReplyAtBroker,
    RequestChange,
    SessionCall,
    SubmitOrder,
    TurnGranted,
)
from engine.domain.ports import JournalUnavailable, Submitted
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    Confidence,
    OrderId,
    OrderState,
    Scope,
    Terms,
    TradingState,
)
from engine.domain.views import OrderView
from tests.actors.failures import (
    MINE,
    POISON,
    REBUILT_S,
    escalations,
    failing,
    fill_in_parts,
    killing,
    order_ref,
    poison,
    restarts,
    trading_state,
    wear_out,
    working_buy,
)
from tests.actors.house import (
    ACCOUNT,
    ACK,
    ASKED,
    CONID,
    OTHER,
    TICKET,
    House,
    coid,
    fill,
    keyed,
    ready_house,
    row,
    submit_request,
)
from tests.domain.risk.samples import INSTRUMENT, position
from tests.fakes import FakeJournal, quiet, run, skip

pytestmark = pytest.mark.usefixtures("quiet_logs")


# --- orders ----------------------------------------------------------------------------------


def test_a_failed_order_comes_back_unconfirmed_and_the_broker_confirms_it() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        before, ref = restarts(OrderActor), order_ref(house, view)
        failed = ref.actor

        ref.tell(POISON)
        await quiet()
        meanwhile = house.bridge.health()
        await skip(REBUILT_S)
        unconfirmed = house.bridge.order(view.order_id)
        house.line.feed.bring(NewsStreamed(rows=(row(BrokerStatus.PRE_SUBMITTED),)))
        await quiet()

        assert [(one.code, one.message[:21]) for one in meanwhile.problems] == [
            ("ACTOR_FAILED", "OrderActor (1-1): Ass")
        ]
        assert not meanwhile.ready
        assert house.bridge.health().ready
        assert house.bridge.health().problems == ()
        assert order_ref(house, view) is ref
        assert ref.actor is not failed
        assert unconfirmed == replace(view, confidence=Confidence.UNCONFIRMED)
        assert house.bridge.order(view.order_id).confidence is Confidence.CONFIRMED
        assert house.bridge.order(view.order_id).state is view.state
        assert restarts(OrderActor) == before + 1
        assert trading_state(house) is TradingState.NORMAL
        assert len(house.line.orders.calls) == 1, "nothing is sent twice"

    run(scene())


def test_news_that_came_while_an_order_was_away_is_not_lost() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()

        order_ref(house, view).tell(POISON)
        await quiet()
        house.line.feed.bring(NewsStreamed(executions=(fill("1", 4),)))
        await skip(REBUILT_S)

        assert house.bridge.order(view.order_id).filled_quantity == Decimal(4)
        assert working_buy(house) == Decimal(6)

    run(scene())


def test_news_that_an_order_died_of_is_read_again_soon() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        await skip(20)
        house.line.session.executions = (fill("1", 4, coid=coid(1)),)
        read = len(house.line.session.calls)

        with failing(OrderActor, ExecutionSeen) as met:
            house.line.feed.bring(NewsStreamed(executions=house.line.session.executions))
            await skip(REBUILT_S)
        lost = house.bridge.order(view.order_id).filled_quantity
        await skip(8)

        assert len(met) == 1
        assert lost == Decimal(0)
        assert house.bridge.order(view.order_id).filled_quantity == Decimal(4)
        assert SessionCall.TRADES in house.line.session.calls[read:]

    run(scene())


def test_a_request_on_the_wire_keeps_the_lane_and_its_answer_reaches_the_rebuilt_order() -> None:
    async def scene() -> None:
        house = await ready_house()
        first = await house.submit()
        second = await house.submit(keyed("mine-2"))

        await poison(order_ref(house, first))
        doubted = house.bridge.order(first.order_id)
        sent_before = [call.order_id for call in house.line.orders.placed]
        house.line.orders.answer(ACK)
        await quiet()

        assert doubted.state is OrderState.IN_DOUBT
        assert sent_before == [first.order_id], "the conversation was not over"
        assert house.bridge.order(first.order_id).state is OrderState.ACCEPTED
        assert [call.order_id for call in house.line.orders.placed] == [
            first.order_id,
            second.order_id,
        ]

    run(scene())


def test_an_answer_that_comes_while_its_order_is_away_ends_the_conversation() -> None:
    async def scene() -> None:
        house = await ready_house()
        first = await house.submit()
        second = await house.submit(keyed("mine-2"))

        order_ref(house, first).tell(POISON)
        await quiet()
        house.line.orders.answer(ACK)
        await skip(REBUILT_S)

        assert house.bridge.order(first.order_id).state is OrderState.ACCEPTED
        assert [call.order_id for call in house.line.orders.placed] == [
            first.order_id,
            second.order_id,
        ]

    run(scene())


def test_a_question_to_a_rebuilt_order_is_answered_in_the_same_conversation() -> None:
    async def scene() -> None:
        house = await ready_house()
        first = await house.submit()
        await house.submit(keyed("mine-2"))

        await poison(order_ref(house, first))
        house.line.orders.answer(ASKED)
        await quiet()
        asked = [type(call) for call in house.line.orders.calls]
        house.line.orders.answer(ACK)
        await quiet()

        assert asked == [PlaceAtBroker, ReplyAtBroker]
        assert house.bridge.order(first.order_id).state is OrderState.ACCEPTED
        assert len(house.line.orders.placed) == 2, "the lane was free after the answer"

    run(scene())


def test_a_question_that_came_while_its_order_was_away_keeps_the_lane() -> None:
    async def scene() -> None:
        house = await ready_house()
        first = await house.submit()
        await house.submit(keyed("mine-2"))

        order_ref(house, first).tell(POISON)
        await quiet()
        house.line.orders.answer(ASKED)
        await skip(REBUILT_S)
        asked = [type(call) for call in house.line.orders.calls]
        house.line.orders.answer(ACK)
        await quiet()

        assert asked == [PlaceAtBroker, ReplyAtBroker]
        assert len(house.line.orders.placed) == 2

    run(scene())


def test_an_end_that_was_written_but_not_shown_is_shown_after_the_rebuild(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()

        def fail(*_arguments: object) -> None:
            text = "as told"
            raise RuntimeError(text)

        with monkeypatch.context() as patch:
            patch.setattr(house.board, "publish", fail)
            house.line.feed.bring(NewsStreamed(executions=(fill("1", 10),)))
            await quiet()
        await skip(REBUILT_S)

        assert house.bridge.order(view.order_id).state is OrderState.FILLED
        assert house.bridge.order(view.order_id).seq == house.journal.last_seq
        assert working_buy(house) == Decimal(0)

    run(scene())


def test_an_order_that_failed_with_its_answer_is_found_by_looking() -> None:
    async def scene() -> None:
        house = await ready_house()
        with failing(OrderActor, OrderAnswered) as met:
            view = await house.work()
        house.line.session.rows = (row(BrokerStatus.SUBMITTED, coid=coid(1)),)
        await skip(5)
        second = await house.submit(keyed("mine-2"))

        assert len(met) == 1
        assert OrderDoubted in house.journal.written
        assert house.bridge.order(view.order_id).state is OrderState.WORKING
        assert [call.order_id for call in house.line.orders.placed] == [
            view.order_id,
            second.order_id,
        ]

    run(scene())


def test_a_request_that_never_left_frees_the_lane_and_leaves_doubt() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.orders.error = OSError("no route")
        first = await house.submit()
        house.line.orders.error = None
        await skip(REBUILT_S)
        second = await house.submit(keyed("mine-2"))

        assert house.bridge.order(first.order_id).state is OrderState.IN_DOUBT
        assert [call.order_id for call in house.line.orders.placed] == [second.order_id]

    run(scene())


def test_an_order_that_failed_with_its_turn_is_never_sent_and_gives_it_back() -> None:
    async def scene() -> None:
        house = await ready_house()
        with failing(OrderActor, TurnGranted) as met:
            first = await house.submit()
            await skip(REBUILT_S)
        second = await house.submit(keyed("mine-2"))

        assert len(met) == 1
        assert house.bridge.order(first.order_id).state is OrderState.EXPIRED
        assert working_buy(house) == Decimal(10), "that of the second"
        assert [call.order_id for call in house.line.orders.placed] == [second.order_id]

    run(scene())


def test_a_commit_of_the_predecessor_never_makes_its_successor_send() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True
        asking = asyncio.create_task(house.bridge.submit(submit_request()))
        await quiet()
        house.journal.commit(1)
        await asking
        await quiet()
        assert house.journal.waiting == [AttemptStarted]

        house.board.tell_order(OrderId("1-1"), POISON)
        await quiet()
        house.journal.commit()
        await skip(REBUILT_S)
        house.journal.commit()
        await quiet()

        assert house.line.orders.calls == []
        assert house.bridge.order(OrderId("1-1")).state is OrderState.IN_DOUBT

    run(scene())


def test_a_cancel_that_an_order_failed_with_is_told_again() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()

        with failing(OrderActor, CancelOrder) as met:
            await house.bridge.cancel(view.order_id, by="me")
            await quiet()

        assert len(met) == 1
        assert CancelOrder in house.journal.written
        assert len(house.line.orders.calls) == 2, "the place and the cancel"

    run(scene())


def test_an_order_that_failed_before_anything_was_written_never_was() -> None:
    async def scene() -> None:
        house = await ready_house()

        with (
            failing(OrderActor, SubmitOrder),
            pytest.raises(JournalUnavailable, match="nothing was sent"),
        ):
            await house.bridge.submit(submit_request())
        again = await house.submit()

        assert again.order_id == OrderId("1-2"), "its key is free again"
        assert working_buy(house) == Decimal(10)
        assert house.bridge.health().problems == ()

    run(scene())


def test_an_order_that_keeps_failing_is_given_up_and_its_account_halted_for_good() -> None:
    async def scene() -> None:
        house = await ready_house(accounts=(ACCOUNT, OTHER))
        view = await house.work()
        other = await house.work(
            keyed("mine-2", replace(TICKET, account=OTHER)),
            outcome=replace(ACK, broker_order_id=BrokerOrderId("2")),
        )
        before = escalations(OrderActor)

        with capture_logs() as logs:
            await wear_out(order_ref(house, view))
        again = House(journal=FakeJournal(house.journal.durable, epoch=2))
        again.add(accounts=(ACCOUNT, OTHER))
        again.line.session.rows = (row(BrokerStatus.SUBMITTED),)
        await again.start()

        assert not order_ref(house, view).is_alive()
        assert escalations(OrderActor) == before + 1
        assert [line["actor"] for line in logs if line["event"] == "actor_given_up"] == [
            f"OrderActor ({view.order_id})"
        ]
        assert [one.code for one in house.bridge.health().problems] == ["ACTOR_GIVEN_UP"]
        assert house.bridge.order(view.order_id).confidence is Confidence.UNCONFIRMED
        assert house.bridge.order(other.order_id).confidence is Confidence.CONFIRMED
        for one in (house, again):
            assert trading_state(one) is TradingState.HALT
            assert one.supervisor.risks[OTHER].risk.trading_state is TradingState.NORMAL
        assert again.bridge.order(view.order_id).state is OrderState.WORKING

    run(scene())


def test_an_order_given_up_keeps_the_lane_until_its_request_is_answered() -> None:
    async def scene() -> None:
        house = await ready_house(accounts=(ACCOUNT, OTHER))
        first = await house.submit()

        await wear_out(order_ref(house, first))
        second = await house.submit(keyed("mine-2", replace(TICKET, account=OTHER)))
        before = len(house.line.orders.placed)
        house.line.orders.answer(ACK)
        await quiet()

        assert before == 1
        assert [call.order_id for call in house.line.orders.placed] == [
            first.order_id,
            second.order_id,
        ]

    run(scene())


MESSAGES_OF_A_LIFE = 24


def test_an_undisturbed_order_has_no_more_messages_than_it_is_killed_at() -> None:
    async def scene() -> None:
        house = await ready_house()
        with killing((OrderActor,), lambda _number, _message: False) as told:
            view = await house.submit()
            await fill_in_parts(house, view)

        assert 14 <= len(told) <= MESSAGES_OF_A_LIFE

    run(scene())


@pytest.mark.parametrize("killed", range(1, MESSAGES_OF_A_LIFE + 1))
def test_an_order_killed_at_any_message_ends_in_the_same_state(killed: int) -> None:
    async def scene() -> None:
        house = await ready_house()
        with killing((OrderActor,), lambda number, _message: number == killed):
            try:
                view = await house.submit()
            except JournalUnavailable:
                assert killed == 1, "only the intent itself makes an order that never was"
                return
            await skip(1)
            after = await fill_in_parts(house, view)

        if house.line.orders.placed:
            assert (after.state, after.filled_quantity, after.average_price) == (
                OrderState.FILLED, Decimal(10), Decimal(100)
            )  # fmt: skip
            assert after.confidence is Confidence.CONFIRMED
            assert working_buy(house) == Decimal(0)
        else:
            assert after.state in {OrderState.EXPIRED, OrderState.IN_DOUBT}
        assert len(house.line.orders.placed) <= 1
        assert house.bridge.health().ready

    run(scene())


# --- risk ------------------------------------------------------------------------------------


def test_a_failed_risk_counts_the_same_exposure_and_reads_its_positions_again() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.session.positions = (position(4),)
        await house.work()
        house.line.feed.bring(NewsStreamed(executions=(fill("1", 4),)))
        await skip(31)
        risk = house.supervisor.risks[ACCOUNT]
        before, started = risk.risk.exposure(CONID), restarts(RiskActor)
        down = Failure(kind=FailureKind.SERVER_ERROR, message="503")
        house.line.session.failures[SessionCall.POSITIONS] = down

        await poison(risk.ref)
        rebuilt = house.supervisor.risks[ACCOUNT].risk
        unread = (rebuilt.positions_known, rebuilt.exposure(CONID).working_buy)
        ready_unread = house.bridge.account(ACCOUNT).ready
        house.line.session.failures.clear()
        await skip(61)

        assert house.supervisor.risks[ACCOUNT] is not risk
        assert unread == (False, Decimal(6))
        assert not ready_unread
        assert rebuilt.exposure(CONID) == before
        assert house.bridge.account(ACCOUNT).ready
        assert restarts(RiskActor) == started + 1

    run(scene())


def test_a_failed_risk_knows_its_keys() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()

        await poison(house.board.risks[ACCOUNT])
        repeated = await house.submit()

        assert repeated.order_id == view.order_id
        assert len(house.line.orders.placed) == 1

    run(scene())


def test_whoever_asks_a_failed_risk_hears_of_it_and_nothing_is_sent_for_him() -> None:
    async def scene() -> None:
        house = await ready_house()
        ref = house.board.risks[ACCOUNT]

        ref.tell(POISON)
        with pytest.raises(JournalUnavailable, match="failed"):
            await house.bridge.submit(submit_request())
        with pytest.raises(JournalUnavailable, match="being rebuilt"):
            await house.bridge.submit(submit_request())
        await skip(REBUILT_S)

        assert house.journal.written == []
        assert (await house.submit()).state is OrderState.SUBMITTING

    run(scene())


def test_an_order_whose_approval_failed_half_way_is_never_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        house = await ready_house()
        show = RiskActor._show

        def fail_once(*_arguments: object) -> None:
            monkeypatch.setattr(RiskActor, "_show", show)
            text = "as told"
            raise RuntimeError(text)

        monkeypatch.setattr(RiskActor, "_show", fail_once)
        with pytest.raises(RuntimeError, match="as told"):
            await house.bridge.submit(submit_request())
        await skip(REBUILT_S)

        assert house.bridge.order(OrderId("1-1")).state is OrderState.CANCELLED
        assert house.line.orders.calls == []
        assert working_buy(house) == Decimal(0)
        assert (await house.submit()).order_id == OrderId("1-1")

    run(scene())


def test_an_order_whose_intent_is_under_way_is_reserved_before_its_risk_is_back() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True
        asking = asyncio.create_task(house.bridge.submit(submit_request()))
        await quiet()
        ref = house.board.risks[ACCOUNT]

        ref.tell(POISON)
        await skip(5)
        paused = ref.paused
        house.journal.commit()
        await skip(REBUILT_S)

        assert paused, "it waits for the record"
        assert not ref.paused
        assert working_buy(house) == Decimal(10)
        answer = await asking
        assert isinstance(answer, Submitted)
        assert answer.order.order_id == OrderId("1-1")

    run(scene())


def test_a_change_that_waits_for_a_failed_order_is_reserved_before_its_risk_is_back() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        order, risk = order_ref(house, view), house.board.risks[ACCOUNT]
        answer = await risk.ask(wider(house, view))
        assert isinstance(answer, ChangeAnswer)
        assert answer.change is not None

        await poison(order)
        order.tell(POISON)  # Its second rebuild takes longer than the first one of its risk.
        await quiet()
        order.tell(ModifyOrder(order_id=view.order_id, change=answer.change, body=b"changed"))
        risk.tell(POISON)
        await skip(0.15)
        early = (order.paused, risk.paused)
        await skip(1)

        changed = house.bridge.order(view.order_id)
        assert early == (True, True), "it waits for the record of the change"
        assert (order.paused, risk.paused) == (False, False)
        # The turn to send it came while the risk was away.
        assert (changed.wanted, changed.reason and changed.reason.code) == (
            None,
            "RISK_UNAVAILABLE",
        )
        assert working_buy(house) == Decimal(10)

    run(scene())


def wider(house: House, view: OrderView) -> RequestChange:
    return RequestChange(
        view=house.bridge.order(view.order_id),
        ticket=TICKET,
        terms=Terms(quantity=Decimal(15), limit_price=Decimal(101), stop_price=None),
        by="ops",
        instrument=INSTRUMENT,
        quote=house.quote(),
        now_ns=house.clock.monotonic_ns(),
    )


def test_no_turn_is_taken_while_the_risk_is_away() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.submit()
        waiting = await house.submit(keyed("mine-2"))

        house.board.risks[ACCOUNT].tell(POISON)
        await quiet()
        house.line.orders.answer(ACK)
        await quiet()

        view = house.bridge.order(waiting.order_id)
        assert (view.state, view.reason and view.reason.code) == (
            OrderState.EXPIRED,
            "RISK_UNAVAILABLE",
        )

    run(scene())


def test_a_halt_that_came_while_risk_was_away_holds() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.board.risks[ACCOUNT].tell(POISON)
        await quiet()

        halt = HaltScope(scope=MINE, level=TradingState.HALT, reason="drill", by="ops")
        await house.bridge.halt(halt, cancel_working=False)
        await skip(REBUILT_S)

        assert trading_state(house) is TradingState.HALT

    run(scene())


def test_an_account_whose_risk_was_given_up_is_shown_as_halted() -> None:
    async def scene() -> None:
        house = await ready_house()
        assert house.bridge.account(ACCOUNT).ready

        await wear_out(house.board.risks[ACCOUNT])
        await skip(1)

        shown = house.bridge.account(ACCOUNT)
        assert (shown.trading_state, shown.ready) == (TradingState.HALT, False)
        assert house.board.risks[ACCOUNT].stopped
        with pytest.raises(JournalUnavailable, match="does not answer"):
            await house.submit()
        assert house.line.orders.calls == []

    run(scene())


def test_a_risk_that_keeps_failing_halts_its_account_and_no_other() -> None:
    async def scene() -> None:
        house = await ready_house(accounts=(ACCOUNT, OTHER))

        await wear_out(house.board.risks[ACCOUNT])
        with pytest.raises(JournalUnavailable, match="is stopped"):
            await house.bridge.submit(submit_request())
        other = await house.submit(replace(TICKET, account=OTHER))

        assert halted_scopes(house) == [MINE]
        assert set(house.supervisor.halts) == {MINE}
        assert [call.order_id for call in house.line.orders.placed] == [other.order_id]

    run(scene())


def halted_scopes(house: House) -> list[Scope]:
    messages = [one.entry.message for one in house.journal.durable]
    return [message.scope for message in messages if isinstance(message, HaltScope)]
