"""Whole orders through the real actors: risk, order, session and supervisor, over fakes."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from engine import metrics
from engine.domain.messages import (
    AttemptStarted,
    CancelAtBroker,
    CancelOrder,
    ChangeAnswer,
    DenyOrder,
    ExecutionSeen,
    HaltScope,
    ModifyAtBroker,
    ModifyOrder,
    ModifySettled,
    NewsStreamed,
    OrderAnswered,
    OrderExpired,
    OrderRowSeen,
    PlaceAtBroker,
    PromptRaised,
    ReplyAtBroker,
    ReplyDecided,
    RequestChange,
    RequestVerdict,
    SubmitOrder,
)
from engine.domain.ports import JournalUnavailable, OrderFilter, Submitted
from engine.domain.values import (
    BrokerStatus,
    Confidence,
    MessageId,
    OrderState,
    Outcome,
    OutcomeKind,
    Pending,
    Question,
    QuestionId,
    Reason,
    Scope,
    ScopeKind,
    Terms,
    TradingState,
)
from engine.domain.views import OrderView
from tests.actors.house import (
    ACCOUNT,
    ACK,
    ASKED,
    BROKER_ID,
    CONID,
    MAIN,
    REFUSED,
    TICKET,
    TIMEOUT,
    House,
    coid,
    fill,
    keyed,
    ready_house,
    row,
    submit_request,
)
from tests.domain.risk.samples import INSTRUMENT
from tests.fakes import quiet, run, skip

DECLINED = Outcome(
    kind=OutcomeKind.QUESTION,
    question=Question(
        question_id=QuestionId("q-2"), message_ids=(MessageId("o999"),), texts=("Really?",)
    ),
)


def types(house: House) -> list[type]:
    """Return the types of the durable records since the start."""
    return house.journal.written


def stream(house: House, *news: NewsStreamed) -> None:
    house.line.feed.bring(*news)


async def fills(house: House, *names_and_sizes: tuple[str, int]) -> None:
    executions = tuple(fill(name, size) for name, size in names_and_sizes)
    stream(house, NewsStreamed(executions=executions))
    await quiet()


def reserved(house: House) -> tuple[Decimal, Decimal | None]:
    """Return what could still be bought, and what is held."""
    exposure = house.supervisor.risks[ACCOUNT].risk.exposure(CONID)
    return exposure.working_buy, exposure.position


def shown(house: House, view: OrderView) -> tuple[OrderState, Pending]:
    now = house.bridge.order(view.order_id)
    return now.state, now.pending


# --- on the way to the broker ------------------------------------------------------------


def test_nothing_leaves_in_another_login_than_the_one_of_its_turn() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True
        submitting = asyncio.ensure_future(house.bridge.submit(submit_request()))
        await quiet()
        assert house.journal.waiting == [SubmitOrder, AttemptStarted]

        session = house.supervisor.sessions[MAIN].session
        session.epoch += 1  # Lost, opened and warmed up again while the disk was slow.
        house.journal.commit()
        await quiet()
        house.journal.commit()
        await quiet()

        result = submitting.result()
        assert isinstance(result, Submitted)
        now = house.bridge.order(result.order.order_id)
        assert (now.state, now.reason and now.reason.code) == (OrderState.EXPIRED, "LOGIN_LOST")
        assert house.line.orders.calls == []

    run(scene())


def test_nothing_reaches_the_gateway_before_its_attempt_is_durable() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True
        submitting = asyncio.ensure_future(house.bridge.submit(submit_request()))
        steps: list[tuple[Sequence[type], int, bool]] = []

        for _ in range(3):
            await quiet()
            steps.append((house.journal.waiting, len(house.line.orders.calls), submitting.done()))
            if house.journal.waiting:
                house.journal.commit(1)

        assert steps == [
            ([SubmitOrder, AttemptStarted], 0, False),
            ([AttemptStarted], 0, True),
            ([], 1, True),
        ]
        result = submitting.result()
        assert isinstance(result, Submitted)
        assert house.line.orders.calls == [
            PlaceAtBroker(
                order_id=result.order.order_id,
                session=MAIN,
                account=ACCOUNT,
                body=f"{coid(1)} BUY 10".encode(),
                send_by_ns=house.line.orders.placed[0].send_by_ns,
                session_epoch=1,
            )
        ]

    run(scene())


def test_the_body_that_is_journaled_is_the_body_that_is_sent() -> None:
    async def scene() -> None:
        house = await ready_house()
        odd = metrics.ANOMALIES.labels("order", "unexpected_commit")
        before = odd._value.get()

        await house.work()

        assert odd._value.get() == before, "only what the order waits for is confirmed"
        intents = [
            one.entry.message.body
            for one in house.journal.durable
            if isinstance(one.entry.message, SubmitOrder)
        ]
        assert intents == [call.body for call in house.line.orders.placed]

    run(scene())


def test_an_intent_that_cannot_be_written_is_not_sent_and_its_client_hears_so() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.failing = (SubmitOrder,)

        with pytest.raises(JournalUnavailable, match="order 1-1 could not be made durable"):
            await house.submit()
        with pytest.raises(JournalUnavailable, match="the disk is full"):
            await house.submit(keyed("mine-2"))

        assert house.line.orders.calls == []
        assert [problem.code for problem in house.bridge.health().problems] == [
            "JOURNAL_UNAVAILABLE"
        ]
        assert not house.bridge.health().ready

    run(scene())


def test_an_order_that_the_journal_had_no_room_for_can_be_asked_for_again() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.backlog = True
        started_s = asyncio.get_running_loop().time()
        for quantity in (10, 1_001):  # The second one is denied.
            with pytest.raises(JournalUnavailable):
                await house.submit(replace(TICKET, quantity=Decimal(quantity)))
        waited_s = asyncio.get_running_loop().time() - started_s
        free = reserved(house)

        house.journal.backlog = False
        view = await house.submit(replace(TICKET, quantity=Decimal(20)))

        assert waited_s < 1
        assert free == (Decimal(0), Decimal(0))
        assert view.quantity == Decimal(20)
        assert [call.order_id for call in house.line.orders.placed] == [view.order_id]
        assert house.bridge.health().ready

    run(scene())


def test_an_attempt_that_cannot_be_written_sends_nothing() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.failing = (AttemptStarted,)

        view = await house.submit()

        assert view.state is OrderState.SUBMITTING
        assert house.line.orders.calls == []

    run(scene())


def test_an_intent_that_becomes_durable_after_its_client_gave_up_is_never_sent() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True

        with pytest.raises(JournalUnavailable):
            await house.submit()
        house.journal.held = False
        house.journal.commit()
        await quiet()

        (view,) = house.bridge.orders(OrderFilter())
        assert (view.state, view.reason and view.reason.code) == (
            OrderState.CANCELLED,
            "CANCELLED_BEFORE_SENT",
        )
        assert house.line.orders.calls == []
        assert reserved(house) == (Decimal(0), Decimal(0))

    run(scene())


def test_a_question_that_the_policy_knows_is_answered_in_one_conversation() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.QUESTIONS.labels("o163", "accept")
        asked_before = counter._value.get()
        first = await house.work(outcome=ASKED)
        second = await house.submit(keyed("mine-2"))

        between = [type(call) for call in house.line.orders.calls]
        states = (shown(house, first)[0], second.state)
        house.line.orders.answer(ACK)
        await quiet()

        assert between == [PlaceAtBroker, ReplyAtBroker], "the second waits for its turn"
        assert states == (OrderState.AWAITING_REPLY, OrderState.SUBMITTING)
        assert house.line.orders.calls[1] == ReplyAtBroker(
            order_id=first.order_id, session=MAIN, question_id=QuestionId("q-1"), confirmed=True
        )
        assert [call.order_id for call in house.line.orders.placed] == [
            first.order_id,
            second.order_id,
        ]
        assert types(house)[:6] == [
            SubmitOrder, AttemptStarted, OrderAnswered, ReplyDecided, SubmitOrder, OrderAnswered
        ]  # fmt: skip
        assert counter._value.get() == asked_before + 1

    run(scene())


def test_a_question_that_the_policy_does_not_know_is_declined() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.QUESTIONS.labels("o999", "decline")
        declined_before = counter._value.get()
        view = await house.work(outcome=DECLINED)

        house.line.orders.answer(REFUSED)
        await quiet()

        reply = house.line.orders.calls[-1]
        assert isinstance(reply, ReplyAtBroker)
        assert not reply.confirmed
        order = house.bridge.order(view.order_id)
        assert order.state is OrderState.REJECTED
        assert order.reason is not None
        assert order.reason.code == "QUESTION_DECLINED"
        assert counter._value.get() == declined_before + 1

    run(scene())


def test_a_refusal_frees_what_was_reserved_and_is_counted() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.REJECTS.labels("broker", "BAD_PRICE")
        before = counter._value.get()
        await house.submit()
        while_sent = reserved(house)

        house.line.orders.answer(REFUSED)
        await quiet()

        assert while_sent == (Decimal(10), Decimal(0))
        assert reserved(house) == (Decimal(0), Decimal(0))
        assert counter._value.get() == before + 1

    run(scene())


def test_an_order_that_risk_refuses_is_durable_and_never_sent() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.REJECTS.labels("risk", "QTY_EXCEEDS_MAX")
        before = counter._value.get()

        view = await house.submit(replace(TICKET, quantity=Decimal(1_001)))

        assert view.state is OrderState.DENIED
        assert view.coid is None
        assert view.seq == house.journal.last_seq
        assert types(house) == [DenyOrder]
        assert house.line.orders.calls == []
        assert counter._value.get() == before + 1

    run(scene())


def test_an_order_that_gets_no_turn_ends_unsent() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.submit()
        second = await house.submit(keyed("mine-2"))

        await skip(31)

        order = house.bridge.order(second.order_id)
        assert (order.state, order.reason and order.reason.code) == (
            OrderState.EXPIRED,
            "TURN_TIMEOUT",
        )
        assert len(house.line.orders.placed) == 1
        assert types(house)[-1] is OrderExpired

    run(scene())


def test_an_order_whose_account_was_halted_while_it_waited_is_not_sent() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.submit()
        second = await house.submit(keyed("mine-2"))
        scope = Scope(kind=ScopeKind.ACCOUNT, key=ACCOUNT)
        halt = HaltScope(scope=scope, level=TradingState.HALT, reason="odd", by="engine")
        house.board.tell_risk(ACCOUNT, halt)
        await quiet()

        house.line.orders.answer(ACK)
        await quiet()

        order = house.bridge.order(second.order_id)
        assert (order.state, order.reason and order.reason.code) == (
            OrderState.EXPIRED,
            "TRADING_HALTED",
        )
        assert len(house.line.orders.placed) == 1

    run(scene())


# --- one key, one order --------------------------------------------------------------------


def test_two_requests_with_one_key_make_one_order() -> None:
    async def scene() -> None:
        house = await ready_house()

        first, second = await asyncio.gather(
            house.bridge.submit(submit_request()), house.bridge.submit(submit_request())
        )
        await quiet()

        assert isinstance(first, Submitted)
        assert isinstance(second, Submitted)
        assert (first.answer.verdict, second.answer.verdict) == (
            RequestVerdict.APPROVED,
            RequestVerdict.REPEATED,
        )
        assert first.order.order_id == second.order.order_id
        assert len(house.line.orders.placed) == 1

    run(scene())


def test_another_order_under_a_known_key_is_a_conflict_and_changes_nothing() -> None:
    async def scene() -> None:
        house = await ready_house()
        first = await house.work()

        result = await house.bridge.submit(submit_request(replace(TICKET, quantity=Decimal(11))))
        await quiet()

        assert isinstance(result, Submitted)
        assert (result.answer.verdict, result.order) == (RequestVerdict.CONFLICT, first)
        assert len(house.line.orders.placed) == 1
        assert types(house) == [SubmitOrder, AttemptStarted, OrderAnswered]

    run(scene())


# --- at the broker ---------------------------------------------------------------------------


def test_fills_are_published_and_move_the_position_once() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.FILLS.labels(metrics.account_label(ACCOUNT))
        before = counter._value.get()
        view = await house.work()

        await fills(house, ("1", 4))
        partly = house.bridge.order(view.order_id)
        between = reserved(house)
        await fills(house, ("1", 4), ("2", 6))
        stream(house, NewsStreamed(executions=(fill("2", 6, commission="1.05"),)))
        await quiet()

        assert (partly.state, partly.filled_quantity) == (OrderState.PARTIALLY_FILLED, Decimal(4))
        assert between == (Decimal(6), Decimal(4))
        order = house.bridge.order(view.order_id)
        assert (order.state, order.filled_quantity, order.average_price) == (
            OrderState.FILLED,
            Decimal(10),
            Decimal(100),
        )
        assert order.seq == house.journal.last_seq
        assert reserved(house) == (Decimal(0), Decimal(10))
        assert types(house)[3:] == [ExecutionSeen] * 3, "the commission is a record, too"
        assert counter._value.get() == before + 2, "and no fill"

    run(scene())


def test_a_change_is_logged_once_with_what_a_person_would_look_for() -> None:
    async def scene() -> None:
        house = await ready_house()
        with capture_logs() as logs:
            view = await house.work()
            stream(house, NewsStreamed(rows=(row(BrokerStatus.PRE_SUBMITTED),)))
            await fills(house, ("1", 10))

        assert [
            (line["state"], line["filled_quantity"], line["order_id"], line["coid"])
            for line in logs
            if line["event"] == "order_changed"
        ] == [
            ("SUBMITTING", "0", view.order_id, coid(1)),
            ("ACCEPTED", "0", view.order_id, coid(1)),
            ("FILLED", "10", view.order_id, coid(1)),
        ]

    run(scene())


def test_rows_that_overtake_the_answer_are_handed_over_with_it() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.submit()

        stream(house, NewsStreamed(rows=(row(BrokerStatus.SUBMITTED),)))
        stream(house, NewsStreamed(executions=(fill("1", 10),)))
        await quiet()
        early = shown(house, view)[0]
        held = reserved(house)[1]
        house.line.orders.answer(ACK)
        await quiet()

        assert early is OrderState.SUBMITTING
        assert held == Decimal(10), "the position has moved, whosever the order was"
        order = house.bridge.order(view.order_id)
        assert (order.state, order.filled_quantity) == (OrderState.FILLED, Decimal(10))
        assert reserved(house) == (Decimal(0), Decimal(10))

    run(scene())


def test_a_lost_answer_is_doubt_until_the_broker_shows_the_order() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work(outcome=TIMEOUT)
        doubtful = shown(house, view)[0]
        next_ = await house.submit(keyed("mine-2"))
        sent = len(house.line.orders.placed)

        house.line.session.rows = (row(BrokerStatus.SUBMITTED, coid=coid(1)),)
        await skip(3)

        assert doubtful is OrderState.IN_DOUBT
        assert sent == 2, "the lane is free again"
        order = house.bridge.order(view.order_id)
        assert (order.state, order.broker_order_id) == (OrderState.WORKING, BROKER_ID)
        assert OrderRowSeen in types(house)
        assert [call.order_id for call in house.line.orders.placed] == [
            view.order_id,
            next_.order_id,
        ], "nothing was sent twice"

    run(scene())


def test_doubt_that_lasts_is_parked_and_stays_reserved() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work(outcome=TIMEOUT)

        await skip(200)

        order = house.bridge.order(view.order_id)
        assert (order.state, order.reason and order.reason.code) == (OrderState.PARKED, "NO_PROOF")
        assert reserved(house)[0] == Decimal(10)
        assert len(house.line.orders.placed) == 1

    run(scene())


def test_a_fill_of_an_order_that_was_over_is_counted_as_late() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.LATE_FILLS.labels(metrics.account_label(ACCOUNT))
        before = counter._value.get()
        view = await house.work()
        stream(house, NewsStreamed(rows=(row(BrokerStatus.CANCELLED, filled=0),)))
        await quiet()
        over = shown(house, view)[0]

        await fills(house, ("1", 3))

        assert over is OrderState.CANCELLED
        assert house.bridge.order(view.order_id).filled_quantity == Decimal(3)
        assert counter._value.get() == before + 1

    run(scene())


# --- cancels ---------------------------------------------------------------------------------


def test_a_cancel_is_durable_before_it_is_sent() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        house.journal.held = True

        cancelling = asyncio.ensure_future(house.bridge.cancel(view.order_id, by="me"))
        await quiet()
        before = (house.journal.waiting, len(house.line.orders.calls))
        house.journal.commit()
        cancelled = await cancelling
        await quiet()

        assert before == ([CancelOrder], 1)
        assert cancelled.pending is Pending.CANCEL
        assert house.line.orders.calls[-1] == CancelAtBroker(
            order_id=view.order_id, session=MAIN, account=ACCOUNT, broker_order_id=BROKER_ID
        )

    run(scene())


def test_a_cancel_is_sent_even_when_the_journal_cannot_keep_it() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        house.journal.fail()

        asked = await house.bridge.cancel(view.order_id, by="me")

        assert asked.order_id == view.order_id
        assert [type(call) for call in house.line.orders.calls] == [PlaceAtBroker, CancelAtBroker]

    run(scene())


def test_a_cancel_that_was_refused_can_be_asked_for_again() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        await house.bridge.cancel(view.order_id, by="me")
        await quiet()
        house.line.orders.answer(REFUSED)
        await quiet()
        refused = shown(house, view)

        again = await house.bridge.cancel(view.order_id, by="me")
        await quiet()

        assert refused == (OrderState.ACCEPTED, Pending.NONE)
        assert again.pending is Pending.CANCEL
        assert [type(call) for call in house.line.orders.calls] == [
            PlaceAtBroker, CancelAtBroker, CancelAtBroker
        ]  # fmt: skip

    run(scene())


def test_an_order_that_waits_for_its_turn_is_cancelled_unsent() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.submit()
        second = await house.submit(keyed("mine-2"))

        cancelled = await house.bridge.cancel(second.order_id, by="me")
        house.line.orders.answer(ACK)
        await quiet()

        assert (cancelled.state, cancelled.reason) == (
            OrderState.CANCELLED,
            Reason(code="CANCELLED_BEFORE_SENT", message="cancelled unsent: me"),
        )
        assert len(house.line.orders.placed) == 1

    run(scene())


def test_a_cancel_of_an_order_in_doubt_fires_when_it_is_seen() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work(outcome=TIMEOUT)
        await house.bridge.cancel(view.order_id, by="me")
        await quiet()
        before = len(house.line.orders.calls)

        stream(house, NewsStreamed(rows=(row(BrokerStatus.SUBMITTED, coid=coid(1)),)))
        await quiet()

        assert before == 1
        assert [type(call) for call in house.line.orders.calls] == [PlaceAtBroker, CancelAtBroker]

    run(scene())


# --- modifies ------------------------------------------------------------------------------------

TERMS = Terms(quantity=Decimal(15), limit_price=Decimal(101), stop_price=None)


async def change(house: House, view: OrderView, terms: Terms = TERMS) -> ChangeAnswer:
    """Ask risk for new terms and tell the order what it approved."""
    request = RequestChange(
        view=house.bridge.order(view.order_id),
        ticket=TICKET,
        terms=terms,
        by="ops",
        instrument=INSTRUMENT,
        quote=house.quote(),
        now_ns=house.clock.monotonic_ns(),
    )
    answer = await house.board.risks[ACCOUNT].ask(request)
    assert isinstance(answer, ChangeAnswer)
    if answer.change is not None:
        modify = ModifyOrder(order_id=view.order_id, change=answer.change, body=b"changed")
        house.board.tell_order(view.order_id, modify)
    await quiet()
    return answer


def modifies(result: str) -> float:
    counted: float = metrics.MODIFIES.labels(result)._value.get()
    return counted


def test_a_modify_is_durable_before_it_is_sent_and_holds_the_larger() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        before = modifies("applied")

        await change(house, view)
        during = house.bridge.order(view.order_id)
        held = reserved(house)
        house.line.orders.answer(ACK)
        await quiet()

        after = house.bridge.order(view.order_id)
        sent = house.line.orders.calls[-1]
        assert isinstance(sent, ModifyAtBroker)
        assert sent == ModifyAtBroker(
            order_id=view.order_id,
            session=MAIN,
            account=ACCOUNT,
            broker_order_id=BROKER_ID,
            body=b"changed",
            send_by_ns=sent.send_by_ns,
            session_epoch=1,
        )
        assert types(house)[-3:] == [ModifyOrder, OrderAnswered, ModifySettled]
        assert (during.pending, during.wanted, during.quantity) == (
            Pending.REPLACE,
            TERMS,
            Decimal(10),
        )
        assert held[0] == reserved(house)[0] == 15
        assert (after.pending, after.quantity, after.limit_price) == (
            Pending.NONE,
            Decimal(15),
            Decimal(101),
        )
        assert modifies("applied") == before + 1

    run(scene())


def test_a_refused_modify_gives_back_what_it_had_reserved() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        before = modifies("refused")

        await change(house, view)
        house.line.orders.answer(REFUSED)
        await quiet()

        after = house.bridge.order(view.order_id)
        assert reserved(house)[0] == 10
        assert (after.quantity, after.pending) == (Decimal(10), Pending.NONE)
        assert after.reason == REFUSED.reason
        assert modifies("refused") == before + 1

    run(scene())


def test_a_modify_that_waits_when_its_account_is_halted_is_not_sent() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        before = modifies("not_sent")
        await house.submit(keyed("mine-2"))  # It has the lane.
        await change(house, view)
        scope = Scope(kind=ScopeKind.ACCOUNT, key=ACCOUNT)
        halt = HaltScope(scope=scope, level=TradingState.HALT, reason="odd", by="engine")
        house.board.tell_risk(ACCOUNT, halt)
        await quiet()

        house.line.orders.answer(ACK)
        await quiet()

        after = house.bridge.order(view.order_id)
        assert not any(isinstance(call, ModifyAtBroker) for call in house.line.orders.calls)
        assert after.reason is not None
        assert after.reason.code == "TRADING_HALTED"
        assert modifies("not_sent") == before + 1
        assert (await change(house, view)).refused == Reason(
            code="TRADING_HALTED",
            message="account=DU1234567 trading_state=halt"
            " needs trading state normal (account:DU1234567 halted by engine: odd)",
        )

    run(scene())


@pytest.mark.parametrize("level", [TradingState.CANCEL_ONLY, TradingState.HALT])
def test_under_a_halt_a_modifys_question_is_declined_and_the_order_stays(
    level: TradingState,
) -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        await change(house, view)
        scope = Scope(kind=ScopeKind.ACCOUNT, key=ACCOUNT)
        halt = HaltScope(scope=scope, level=level, reason="odd", by="engine")
        await house.bridge.halt(halt, cancel_working=False)
        await quiet()

        house.line.orders.answer(ASKED)
        await quiet()
        reply = house.line.orders.calls[-1]
        house.line.orders.answer(REFUSED)
        await quiet()

        after = house.bridge.order(view.order_id)
        assert isinstance(reply, ReplyAtBroker)
        assert not reply.confirmed
        assert after.reason is not None
        assert after.reason.code == "QUESTION_DECLINED"
        assert (after.pending, after.wanted, after.quantity) == (Pending.NONE, None, Decimal(10))
        assert after.state is view.state
        assert reserved(house)[0] == 10
        assert not any(isinstance(call, CancelAtBroker) for call in house.line.orders.calls)

    run(scene())


def test_a_modify_in_doubt_is_settled_by_the_brokers_row() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        await change(house, view)
        house.line.orders.answer(TIMEOUT)
        await quiet()
        during = house.bridge.order(view.order_id)

        shows = replace(row(coid=coid(1)), total_quantity=Decimal(15), limit_price=Decimal(101))
        stream(house, NewsStreamed(rows=(shows,)))
        await quiet()

        after = house.bridge.order(view.order_id)
        assert (during.pending, during.confidence) == (Pending.REPLACE, Confidence.UNCONFIRMED)
        assert (after.pending, after.quantity) == (Pending.NONE, Decimal(15))
        assert sum(isinstance(call, ModifyAtBroker) for call in house.line.orders.calls) == 1

    run(scene())


def test_a_restart_brings_a_modify_back_open_with_the_larger_reserved() -> None:
    async def scene() -> None:
        first = await ready_house()
        view = await first.work()
        await change(first, view)

        house = await ready_house(first.journal.durable, epoch=2)

        order = house.bridge.order(view.order_id)
        assert (order.pending, order.wanted) == (Pending.REPLACE, TERMS)
        assert reserved(house)[0] == 15
        assert house.line.orders.calls == []

    run(scene())


def test_a_prompt_is_answered_by_the_policy_and_counted() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.QUESTIONS.labels("p12", "decline")
        before = counter._value.get()
        view = await house.work()
        question = Question(
            question_id=QuestionId("notification:1:2:Yes:No"),
            message_ids=(MessageId("p12"),),
            texts=("Use it?",),
        )

        house.board.tell_order(
            view.order_id, PromptRaised(order_id=view.order_id, question=question)
        )
        await quiet()

        assert house.line.orders.calls[-1] == ReplyAtBroker(
            order_id=view.order_id,
            session=MAIN,
            question_id=question.question_id,
            confirmed=False,
        )
        assert types(house)[-2:] == [PromptRaised, ReplyDecided]
        assert counter._value.get() == before + 1
        assert shown(house, view)[0] is OrderState.ACCEPTED

    run(scene())
