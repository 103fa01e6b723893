"""Sessions and feeds fail in the middle of their work, and the engine goes on truly."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from engine import metrics
from engine.actors.feed import FeedActor
from engine.actors.session import SessionActor
from engine.domain.messages import (
    AttemptStarted,
    AuthStatusRead,
    NewsStreamed,
    PromptStreamed,
    SessionCall,
    StartSession,
    SubscribeQuotes,
    Topic,
)
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    ConId,
    MessageId,
    OrderId,
    OrderState,
    Question,
    QuestionId,
    SessionName,
    SessionState,
    TradingState,
)
from tests.actors.failures import (
    POISON,
    REBUILT_S,
    RECONCILED_S,
    escalations,
    failing,
    poison,
    restarts,
    trading_state,
    wear_out,
)
from tests.actors.house import (
    ACCOUNT,
    ACK,
    BROKER_ID,
    CONID,
    MAIN,
    OTHER,
    TIMEOUT,
    House,
    coid,
    fill,
    keyed,
    ready_house,
    row,
    submit_request,
)
from tests.fakes import quiet, run, skip

pytestmark = pytest.mark.usefixtures("quiet_logs")


# --- sessions --------------------------------------------------------------------------------


def test_a_failed_session_logs_in_again_with_a_higher_epoch() -> None:
    async def scene() -> None:
        house = await ready_house()
        (before,) = house.bridge.sessions()

        house.board.tell_session(MAIN, POISON)
        await quiet()
        (down,) = house.bridge.sessions()
        await skip(REBUILT_S)
        (after,) = house.bridge.sessions()

        assert (before.state, before.epoch) == (SessionState.READY, 1)
        assert down.state is SessionState.DOWN
        assert down.reason is not None
        assert down.reason.code == "ACTOR_FAILED"
        assert (after.state, after.epoch, after.accounts) == (SessionState.READY, 2, (ACCOUNT,))
        assert house.bridge.health().ready
        assert (await house.work()).state is OrderState.ACCEPTED

    run(scene())


def test_the_conversation_on_the_wire_keeps_the_lane_of_a_rebuilt_session() -> None:
    async def scene() -> None:
        house = await ready_house()
        talking = await house.submit()
        waiting = await house.submit(keyed("mine-2"))

        await poison(house.supervisor.sessions[MAIN].ref)
        third = await house.submit(keyed("mine-3"))
        before = [call.order_id for call in house.line.orders.placed]
        house.line.orders.answer(ACK)
        await quiet()

        refused = house.bridge.order(waiting.order_id)
        assert (refused.state, refused.reason and refused.reason.code) == (
            OrderState.EXPIRED,
            "SESSION_RESTARTED",
        )
        assert before == [talking.order_id]
        assert [call.order_id for call in house.line.orders.placed] == [
            talking.order_id,
            third.order_id,
        ]

    run(scene())


PROMPT = PromptStreamed(
    broker_order_id=BROKER_ID,
    question=Question(
        question_id=QuestionId("29042"), message_ids=(MessageId("o163"),), texts=("Sure?",)
    ),
)


def test_an_answer_to_a_prompt_has_no_turn_that_a_rebuilt_session_would_wait_for() -> None:
    async def scene() -> None:
        house = await ready_house()
        prompted = await house.work()
        house.line.feed.bring(PROMPT)
        await quiet()
        assert house.supervisor._roster.lines[MAIN].wire.conversations == (prompted.order_id,)

        await poison(house.supervisor.sessions[MAIN].ref)
        await skip(RECONCILED_S)
        second = await house.submit(keyed("mine-2"))

        placed = [call.order_id for call in house.line.orders.placed]
        assert placed == [prompted.order_id, second.order_id]

    run(scene())


def test_a_prompt_on_the_wire_does_not_hide_whose_turn_it_is() -> None:
    async def scene() -> None:
        house = await ready_house()
        prompted = await house.work()
        house.line.feed.bring(PROMPT)
        await quiet()
        talking = await house.submit(keyed("mine-2"))

        await poison(house.supervisor.sessions[MAIN].ref)
        await skip(RECONCILED_S)
        third = await house.submit(keyed("mine-3"))
        before = [call.order_id for call in house.line.orders.placed]
        house.line.orders.answer(replace(ACK, broker_order_id=BrokerOrderId("8")))
        await quiet()
        house.line.orders.answer(replace(ACK, broker_order_id=BrokerOrderId("8")))
        await quiet()

        assert before == [prompted.order_id, talking.order_id]
        assert [call.order_id for call in house.line.orders.placed][2:] == [third.order_id]

    run(scene())


@pytest.mark.parametrize("order_first", [True, False])
def test_a_prompted_order_and_its_session_that_both_fail_leave_the_lane_free(
    *, order_first: bool
) -> None:
    async def scene() -> None:
        house = await ready_house()
        prompted = await house.work()
        house.line.feed.bring(PROMPT)
        await quiet()
        order = house.board.order_ref(prompted.order_id)
        assert order is not None
        refs = [order, house.supervisor.sessions[MAIN].ref]

        for ref in refs if order_first else reversed(refs):
            ref.tell(POISON)
        await skip(1)
        await skip(RECONCILED_S)
        second = await house.submit(keyed("mine-2"))

        assert house.line.orders.placed[-1].order_id == second.order_id

    run(scene())


def test_a_rebuilt_session_subscribes_anew() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.session.status = replace(house.line.session.status, authenticated=False)
        await poison(house.supervisor.sessions[MAIN].ref)
        subscribed = [one for one in house.line.feed.sent if one.topic is Topic.ORDERS]

        house.line.session.status = replace(house.line.session.status, authenticated=True)
        await skip(60)

        assert house.bridge.health().ready
        again = [one for one in house.line.feed.sent if one.topic is Topic.ORDERS]
        assert len(again) == len(subscribed) + 1, "what was subscribed ended with the session"

    run(scene())


def test_the_epoch_never_goes_back_even_if_the_start_fails_again() -> None:
    async def scene() -> None:
        house = await ready_house()

        with failing(SessionActor, StartSession) as met:
            await poison(house.supervisor.sessions[MAIN].ref)
            await skip(1)

        assert len(met) == 1
        (session,) = house.bridge.sessions()
        assert (session.state, session.epoch) == (SessionState.READY, 2)

    run(scene())


def test_a_turn_that_was_given_just_before_sends_nothing_and_is_given_back() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True
        asking = asyncio.create_task(house.bridge.submit(submit_request()))
        await quiet()
        house.journal.commit(1)
        await asking
        await quiet()
        assert house.journal.waiting == [AttemptStarted]

        await poison(house.supervisor.sessions[MAIN].ref)
        house.journal.held = False
        house.journal.commit()
        await quiet()
        second = await house.submit(keyed("mine-2"))
        first = house.bridge.order(OrderId("1-1"))

        assert first.state is OrderState.EXPIRED
        assert first.reason is not None
        assert first.reason.code == "LOGIN_LOST"
        assert [call.order_id for call in house.line.orders.placed] == [second.order_id]

    run(scene())


def test_a_turn_that_was_given_back_while_the_session_was_away_is_free() -> None:
    async def scene() -> None:
        house = await ready_house()
        first = await house.submit()

        house.board.tell_session(MAIN, POISON)
        await quiet()
        house.line.orders.answer(ACK)
        await skip(REBUILT_S)
        await skip(RECONCILED_S)
        second = await house.submit(keyed("mine-2"))

        assert [call.order_id for call in house.line.orders.placed] == [
            first.order_id,
            second.order_id,
        ]

    run(scene())


def test_a_rebuilt_session_goes_on_looking() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work(outcome=TIMEOUT)

        await poison(house.supervisor.sessions[MAIN].ref)
        house.line.session.rows = (row(BrokerStatus.SUBMITTED, coid=coid(1)),)
        await skip(5)

        assert house.bridge.order(view.order_id).state is OrderState.WORKING

    run(scene())


def test_an_answer_to_a_session_that_failed_is_not_taken_for_its_successors() -> None:
    async def scene() -> None:
        house = await ready_house()
        late = house.supervisor._roster.lines[MAIN].session
        assert late is not None
        letters = metrics.DEAD_LETTERS.labels("SessionActor", "predecessor")
        before = letters._value.get()
        house.line.session.held = {SessionCall.ORDERS}
        await poison(house.supervisor.sessions[MAIN].ref)
        state = house.bridge.sessions()[0].state

        answers: list[object] = []
        late._through(answers.append)("an old answer")
        await quiet()

        assert answers == []
        assert letters._value.get() == before + 1
        assert house.bridge.sessions()[0].state is state

    run(scene())


def test_an_answer_that_waited_for_a_failed_session_does_not_log_its_successor_in() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.session.held = {SessionCall.AUTH_STATUS}
        session = house.supervisor.sessions[MAIN].ref

        session.tell(POISON)
        session.tell(AuthStatusRead(call=SessionCall.TICKLE, status=house.line.session.status))
        await skip(REBUILT_S)

        assert house.bridge.sessions()[0].state is SessionState.DOWN
        assert house.line.session.calls[-1] is SessionCall.AUTH_STATUS

    run(scene())


def test_a_session_that_keeps_failing_is_down_and_its_accounts_are_halted() -> None:
    async def scene() -> None:
        house = House()
        house.add(MAIN, (ACCOUNT,))
        house.add(SessionName("other"), (OTHER,))
        await house.start()

        await wear_out(house.supervisor.sessions[MAIN].ref)
        await skip(300)

        assert [(one.name, one.state) for one in house.bridge.sessions()] == [
            ("main", SessionState.DOWN),
            ("other", SessionState.READY),
        ]
        assert trading_state(house) is TradingState.HALT
        assert house.supervisor.risks[OTHER].risk.trading_state is TradingState.NORMAL
        assert escalations(SessionActor) >= 1
        assert [one.code for one in house.bridge.health().problems] == ["ACTOR_GIVEN_UP"]

    run(scene())


# --- feeds -----------------------------------------------------------------------------------


def test_a_failed_feed_opens_another_stream_with_the_same_subscriptions() -> None:
    async def scene() -> None:
        house = await ready_house()
        more = ConId(8314)
        house.board.tell_feed(MAIN, SubscribeQuotes(conid=more))
        await quiet()
        ref = house.supervisor.feeds[MAIN].ref
        epoch = house.bridge.sessions()[0].epoch

        ref.tell(POISON)
        await quiet()
        degraded = house.bridge.sessions()[0].state
        await skip(REBUILT_S)

        assert degraded is SessionState.DEGRADED
        assert list(house.supervisor.feeds[MAIN].feed.subscriptions) == [CONID, more]
        (session,) = house.bridge.sessions()
        assert (session.state, session.epoch) == (SessionState.READY, epoch)
        assert session.socket_connected
        assert restarts(FeedActor) >= 1

    run(scene())


def test_news_that_a_feed_failed_with_is_read_again() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        house.line.session.executions = (fill("1", 4),)

        with failing(FeedActor, NewsStreamed) as met:
            house.line.feed.bring(NewsStreamed(executions=house.line.session.executions))
            await skip(REBUILT_S)

        assert len(met) == 1
        assert house.bridge.order(view.order_id).filled_quantity == Decimal(4)

    run(scene())


def test_a_feed_that_keeps_failing_closes_its_session_for_good() -> None:
    async def scene() -> None:
        house = await ready_house()
        ref = house.supervisor.feeds[MAIN].ref

        await wear_out(ref)
        await skip(300)

        (session,) = house.bridge.sessions()
        assert (session.state, session.reason and session.reason.code) == (
            SessionState.DOWN,
            "ACTOR_GIVEN_UP",
        )
        assert not session.socket_connected
        assert trading_state(house) is TradingState.HALT

    run(scene())
