import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.actors import bridge as bridge_file
from engine.domain.messages import (
    CancelOrder,
    HaltScope,
    NewsStreamed,
    RequestVerdict,
    ResumeScope,
    SendTopic,
    SubmitOrder,
    Topic,
)
from engine.domain.ports import (
    AmbiguousSymbol,
    EngineDraining,
    JournalUnavailable,
    OrderFilter,
    Submitted,
    UnknownAccount,
    UnknownOrder,
)
from engine.domain.values import (
    AccountId,
    Bar,
    BrokerOrderId,
    BrokerStatus,
    Confidence,
    ConId,
    Instrument,
    OrderId,
    OrderState,
    Pending,
    Reason,
    Scope,
    ScopeKind,
    SessionName,
    SessionState,
    TradingState,
)
from engine.domain.views import EventView, OrderView
from tests.actors.house import (
    ACCOUNT,
    ACK,
    ASKED,
    BROKER_ID,
    CONID,
    MAIN,
    OTHER,
    REFUSED,
    TICKET,
    TIMEOUT,
    House,
    fill,
    keyed,
    ready_house,
    row,
    submit_request,
)
from tests.domain.risk.samples import INSTRUMENT, position
from tests.fakes import FakeInstruments, quiet, run, skip

FIRM = Scope(kind=ScopeKind.FIRM)
MINE = Scope(kind=ScopeKind.ACCOUNT, key=ACCOUNT)
NEW = replace(INSTRUMENT, conid=ConId(8314), symbol="IBM", exchange="NYSE")
TWIN = replace(INSTRUMENT, conid=ConId(9999), exchange="LSE")
BY_SYMBOL = replace(TICKET, conid=ConId(0))


def halt(scope: Scope = MINE, level: TradingState = TradingState.HALT) -> HaltScope:
    return HaltScope(scope=scope, level=level, reason="drill", by="ops")


def resume(scope: Scope = MINE) -> ResumeScope:
    return ResumeScope(scope=scope, reason="over", by="ops")


def now_s() -> float:
    return asyncio.get_running_loop().time()


# --- submits ---------------------------------------------------------------------------------


def test_an_unknown_account_is_said_and_nothing_is_done() -> None:
    async def scene() -> None:
        house = await ready_house()
        nobody = AccountId("DU0000000")

        with pytest.raises(UnknownAccount, match=nobody):
            await house.bridge.submit(submit_request(replace(TICKET, account=nobody)))
        for read in (house.bridge.account, house.bridge.positions, house.bridge.limits):
            with pytest.raises(UnknownAccount, match=nobody):
                read(nobody)

        assert house.journal.durable == []

    run(scene())


def test_a_symbol_becomes_the_contract_that_it_means() -> None:
    async def scene() -> None:
        house = await ready_house()

        view = await house.submit(BY_SYMBOL)

        assert (view.conid, view.symbol) == (CONID, "AAPL")
        assert house.line.instruments.asked == ["AAPL"]

    run(scene())


def test_an_ambiguous_symbol_makes_nothing_and_lists_what_it_may_mean() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.instruments = FakeInstruments(INSTRUMENT, TWIN)
        house.board.sessions[MAIN].instruments = house.line.instruments

        result = await house.bridge.submit(submit_request(BY_SYMBOL))
        unique = await house.bridge.submit(submit_request(BY_SYMBOL, exchange="NASDAQ"))

        assert result == AmbiguousSymbol(symbol="AAPL", candidates=(INSTRUMENT, TWIN))
        assert isinstance(unique, Submitted)
        assert unique.order.conid == CONID
        assert await house.bridge.instrument("AAPL", exchange=None) == result
        assert await house.bridge.instrument("AAPL", exchange="LSE") == TWIN

    run(scene())


def test_a_contract_that_the_broker_does_not_know_is_refused_by_risk() -> None:
    async def scene() -> None:
        house = await ready_house()

        view = await house.submit(replace(TICKET, conid=ConId(1)))

        assert (view.state, view.reason and view.reason.code) == (
            OrderState.DENIED,
            "INSTRUMENT_UNKNOWN",
        )

    run(scene())


def test_a_session_that_is_not_ready_refuses_without_asking_the_broker() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.supervisor.sessions[MAIN].close(Reason(code="GATEWAY_DOWN", message="gone"))
        await quiet()

        view = await house.submit()

        assert (view.state, view.reason and view.reason.code) == (
            OrderState.DENIED,
            "SESSION_NOT_READY",
        )
        assert house.line.instruments.asked == []

    run(scene())


def test_a_contract_that_is_not_streamed_is_streamed_for_its_first_quote() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.board.sessions[MAIN].instruments = FakeInstruments(NEW)
        submitting = asyncio.ensure_future(
            house.bridge.submit(submit_request(replace(TICKET, conid=NEW.conid)))
        )
        await skip(1)
        asked = house.line.feed.sent[-1]
        early = submitting.done()

        house.line.feed.quotes[NEW.conid] = replace(house.quote(), conid=NEW.conid)
        result = await submitting

        assert asked == SendTopic(topic=Topic.QUOTES, conid=NEW.conid)
        assert not early
        assert isinstance(result, Submitted)
        assert result.answer.verdict is RequestVerdict.APPROVED

    run(scene())


def test_without_a_quote_in_time_risk_refuses() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.feed.quotes.clear()
        started_s = now_s()

        result = await house.bridge.submit(submit_request())

        assert isinstance(result, Submitted)
        assert result.order.reason is not None
        assert result.order.reason.code == "NO_REFERENCE_PRICE"
        assert now_s() - started_s == pytest.approx(bridge_file.QUOTE_S_MAX, abs=0.1)

    run(scene())


def test_a_stopping_engine_takes_no_orders_and_makes_none() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.feed.quotes.clear()
        waiting = asyncio.ensure_future(house.bridge.submit(submit_request()))
        await quiet()

        house.bridge.drain()
        house.bridge.drain()

        with pytest.raises(EngineDraining, match="takes no new orders"):
            await house.bridge.submit(submit_request(keyed("mine-2")))
        with pytest.raises(EngineDraining):
            await waiting
        assert house.journal.durable == []
        assert house.drains == 1
        assert house.bridge.health().draining
        assert not house.bridge.health().ready

    run(scene())


def test_a_risk_that_is_gone_or_flooded_makes_nothing() -> None:
    async def scene() -> None:
        house = await ready_house(accounts=(ACCOUNT, OTHER))
        await house.board.risks[ACCOUNT].stop()
        flooded = house.board.risks[OTHER]
        for _ in range(flooded.actor_class.capacity + 1):
            flooded.tell(resume())

        with pytest.raises(JournalUnavailable, match=f"risk of {ACCOUNT} does not answer"):
            await house.bridge._ask_risk(submit_request(), TICKET, INSTRUMENT, house.quote())
        other = replace(TICKET, account=OTHER)
        with pytest.raises(JournalUnavailable, match="10000 messages waiting"):
            await house.bridge._ask_risk(submit_request(other), other, INSTRUMENT, house.quote())

        assert house.journal.durable == []

    run(scene())


def test_a_repeat_of_an_order_that_is_not_durable_cancels_nothing() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True
        first = asyncio.ensure_future(house.bridge.submit(submit_request()))
        await skip(5)
        house.bridge.journal_failed(Reason(code="JOURNAL_UNAVAILABLE", message="slow"))
        conflict = submit_request(replace(TICKET, quantity=Decimal(11)))
        answer = await house.bridge._ask_risk(conflict, conflict.ticket, INSTRUMENT, house.quote())

        house.journal.commit()
        result = await first

        assert answer.verdict is RequestVerdict.CONFLICT
        assert isinstance(result, Submitted)
        assert result.order.state is OrderState.SUBMITTING
        assert CancelOrder not in house.journal.written

    run(scene())


# --- what is shown ---------------------------------------------------------------------------


def test_orders_are_shown_with_what_their_session_lets_us_believe() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()

        house.supervisor.sessions[MAIN].close(Reason(code="GATEWAY_DOWN", message="gone"))

        stale = replace(view, confidence=Confidence.STALE)
        assert house.bridge.order(view.order_id) == stale
        assert house.bridge.orders(OrderFilter(open_only=True)) == (stale,)
        with pytest.raises(UnknownOrder, match="nothing"):
            house.bridge.order(OrderId("nothing"))

    run(scene())


def test_sessions_accounts_and_positions_are_shown() -> None:
    async def scene() -> None:
        house = House()
        house.add().session.positions = (position(7),)
        house.bridge.started = False
        before = house.bridge.health()

        await house.start()

        assert (before.started, before.ready, before.alive) == (False, False, True)
        health = house.bridge.health()
        assert (health.started, health.ready, health.problems) == (True, True, ())
        (session,) = health.sessions
        assert (session.name, session.state, session.gateway, session.epoch) == (
            MAIN,
            SessionState.READY,
            "https://main.invalid:5000",
            1,
        )
        assert (session.socket_connected, session.last_heartbeat_age_ms) == (True, 0)
        assert house.bridge.account(ACCOUNT) == house.bridge.accounts()[0]
        assert house.bridge.account(ACCOUNT).ready
        assert [(held.conid, held.quantity) for held in house.bridge.positions(ACCOUNT)] == [
            (CONID, Decimal(7))
        ]
        assert house.bridge.limits(ACCOUNT).groups == ("desk",)

    run(scene())


# --- cancels and waits -----------------------------------------------------------------------


def test_a_cancel_of_an_unknown_order_is_said() -> None:
    async def scene() -> None:
        house = await ready_house()

        with pytest.raises(UnknownOrder):
            await house.bridge.cancel(OrderId("nothing"), by="me")

    run(scene())


def test_an_order_that_is_over_is_returned_as_it_is() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work(outcome=REFUSED)

        assert await house.bridge.cancel(view.order_id, by="me") == view
        assert CancelOrder not in house.journal.written

    run(scene())


def test_a_cancel_is_asked_for_once_however_often_it_comes() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()

        first = await house.bridge.cancel(view.order_id, by="me")
        second = await house.bridge.cancel(view.order_id, by="you")
        await quiet()

        assert first == second
        assert first.pending is Pending.CANCEL
        assert house.journal.written.count(CancelOrder) == 1
        assert len(house.line.orders.calls) == 2

    run(scene())


def test_a_cancel_that_is_not_durable_in_time_returns_the_order_as_it_is() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        house.journal.held = True
        started_s = now_s()

        unchanged = await house.bridge.cancel(view.order_id, by="me")

        assert unchanged == view
        assert now_s() - started_s == pytest.approx(bridge_file.ASK_S_MAX)

    run(scene())


def test_waiting_for_an_acknowledgement_ends_when_the_broker_has_spoken() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work(outcome=ASKED)
        waiting = asyncio.ensure_future(
            house.bridge.wait(view.order_id, terminal=False, timeout_ms=60_000)
        )
        await skip(1)
        while_asked = (house.bridge.order(view.order_id).state, waiting.done())

        house.line.orders.answer(ACK)

        assert while_asked == (OrderState.AWAITING_REPLY, False)
        assert (await waiting).state is OrderState.ACCEPTED

    run(scene())


@pytest.mark.parametrize(
    ("outcome", "state"), [(TIMEOUT, OrderState.IN_DOUBT), (REFUSED, OrderState.REJECTED)]
)
def test_doubt_and_refusal_are_answers_too(outcome: object, state: OrderState) -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.submit()
        waiting = asyncio.ensure_future(
            house.bridge.wait(view.order_id, terminal=False, timeout_ms=60_000)
        )

        house.line.orders.answer(outcome)  # type: ignore[arg-type] # parametrized
        started_s = now_s()

        assert (await waiting).state is state
        assert now_s() == started_s

    run(scene())


def test_waiting_for_the_end_ends_with_the_last_fill() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        waiting = asyncio.ensure_future(
            house.bridge.wait(view.order_id, terminal=True, timeout_ms=60_000)
        )
        house.line.feed.bring(NewsStreamed(executions=(fill("1", 4),)))
        await quiet()
        early = waiting.done()

        house.line.feed.bring(NewsStreamed(executions=(fill("2", 6),)))

        assert (await waiting).state is OrderState.FILLED
        assert not early

    run(scene())


def test_waiting_ends_with_its_time() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        started_s = now_s()

        unchanged = await house.bridge.wait(view.order_id, terminal=True, timeout_ms=1_500)

        assert unchanged == view
        assert now_s() - started_s == pytest.approx(1.5)
        with pytest.raises(UnknownOrder):
            await house.bridge.wait(OrderId("nothing"), terminal=True, timeout_ms=1)

    run(scene())


# --- halts -----------------------------------------------------------------------------------


def test_a_halt_is_in_force_at_once_and_returns_when_it_is_durable() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True

        halting = asyncio.ensure_future(house.bridge.halt(halt(), cancel_working=False))
        await quiet()
        before = (house.bridge.account(ACCOUNT).trading_state, halting.done())
        house.journal.commit()

        assert before == (TradingState.HALT, False)
        assert await halting == 0
        (record,) = house.journal.durable
        assert (record.entry.message, record.entry.account) == (halt(), ACCOUNT)

    run(scene())


def test_a_halt_that_cannot_be_written_holds_all_the_same_and_says_so() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.fail()

        with pytest.raises(JournalUnavailable, match="the disk is full"):
            await house.bridge.halt(halt(FIRM), cancel_working=False)

        assert house.bridge.account(ACCOUNT).trading_state is TradingState.HALT

    run(scene())


@pytest.mark.parametrize(
    ("scope", "ends"),
    [
        (FIRM, {"a", "b", "c"}),
        (Scope(kind=ScopeKind.GROUP, key="desk"), {"a", "b"}),
        (Scope(kind=ScopeKind.GROUP, key="nobody"), set()),
        (MINE, {"a", "b"}),
        (Scope(kind=ScopeKind.ACCOUNT, key=OTHER), {"c"}),
        (Scope(kind=ScopeKind.STRATEGY, key="momentum"), {"b"}),
        (Scope(kind=ScopeKind.INSTRUMENT, key=str(CONID)), {"a", "b", "c"}),
        (Scope(kind=ScopeKind.INSTRUMENT, key="1"), set()),
    ],
)
def test_a_halt_with_cancel_working_cancels_what_it_covers(scope: Scope, ends: set[str]) -> None:
    async def scene() -> None:
        house = await ready_house(accounts=(ACCOUNT, OTHER))
        tickets = (
            keyed("a"),
            replace(keyed("b"), strategy="momentum"),
            replace(keyed("c"), account=OTHER),
            keyed("over"),
        )
        for number, ticket in enumerate(tickets):
            outcome = replace(ACK, broker_order_id=BrokerOrderId(f"{BROKER_ID}{number}"))
            await house.work(ticket, outcome=REFUSED if number == 3 else outcome)

        cancels = await house.bridge.halt(
            halt(scope, TradingState.REDUCE_ONLY), cancel_working=True
        )
        await quiet()

        assert cancels == len(ends)
        assert ends == {
            view.client_order_id
            for view in house.bridge.orders(OrderFilter())
            if view.pending is Pending.CANCEL
        }

    run(scene())


async def _waiting_house() -> tuple[House, OrderView, OrderView, OrderView]:
    """Start a house with an order at the broker, one in conversation and one in the lane."""
    house = await ready_house()
    working = await house.work()
    asked = await house.submit(keyed("asked"))
    in_lane = await house.submit(keyed("in lane"))
    return house, working, asked, in_lane


def test_a_halt_ends_what_was_not_sent_yet_and_declines_open_questions() -> None:
    async def scene() -> None:
        house, working, asked, in_lane = await _waiting_house()

        ended = await house.bridge.halt(halt(FIRM), cancel_working=False)
        house.line.orders.answer(ASKED)
        await quiet()

        assert ended == 2
        assert house.bridge.order(in_lane.order_id).state is OrderState.CANCELLED
        assert house.bridge.order(working.order_id) == working
        assert house.bridge.order(asked.order_id).pending is Pending.CANCEL
        reply = house.line.orders.calls[-1]
        assert getattr(reply, "confirmed", None) is False
        assert len(house.line.orders.placed) == 2

    run(scene())


def test_a_mild_halt_leaves_what_waits_alone() -> None:
    async def scene() -> None:
        house, *_ = await _waiting_house()

        ended = await house.bridge.halt(halt(FIRM, TradingState.REDUCE_ONLY), cancel_working=False)
        await quiet()

        assert ended == 0
        assert CancelOrder not in house.journal.written

    run(scene())


def test_a_resume_is_durable_before_it_is_in_force() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.bridge.halt(halt(), cancel_working=False)
        house.journal.held = True

        resuming = asyncio.ensure_future(house.bridge.resume(resume()))
        await quiet()
        before = house.bridge.account(ACCOUNT).trading_state
        house.journal.commit()
        lifted = await resuming
        await quiet()

        assert (before, lifted) == (TradingState.HALT, True)
        assert house.bridge.account(ACCOUNT).trading_state is TradingState.NORMAL

    run(scene())


def test_a_resume_of_what_is_not_halted_is_no_record() -> None:
    async def scene() -> None:
        house = await ready_house()

        lifted = await house.bridge.resume(resume(FIRM))

        assert not lifted
        assert house.journal.durable == []

    run(scene())


def test_a_resume_that_cannot_be_written_leaves_the_halt() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.bridge.halt(halt(FIRM), cancel_working=False)
        house.journal.fail()

        with pytest.raises(JournalUnavailable):
            await house.bridge.resume(resume(FIRM))

        assert house.bridge.account(ACCOUNT).trading_state is TradingState.HALT

    run(scene())


def test_a_halt_of_the_engine_itself_is_lifted_by_a_person() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.board.tell_risk(ACCOUNT, replace(halt(), by="engine"))
        await quiet()

        lifted = await house.bridge.resume(resume())
        await quiet()

        assert lifted
        assert house.bridge.account(ACCOUNT).trading_state is TradingState.NORMAL

    run(scene())


# --- market data -----------------------------------------------------------------------------


def bar(number: int) -> Bar:
    price = Decimal(100 + number)
    return Bar(
        conid=CONID,
        interval_ms=1_000,
        start_ms=number * 1_000,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=Decimal(0),
        vwap=None,
        trades=0,
    )


async def two_sessions() -> House:
    house = House()
    house.add(MAIN, (ACCOUNT,), conids=())
    house.add(SessionName("other"), (OTHER,), conids=(CONID,))
    house.lines[MAIN].feed.quotes.clear()
    await house.start()
    return house


def test_a_quote_comes_from_whichever_session_has_it_with_its_age() -> None:
    async def scene() -> None:
        house = await two_sessions()
        quote = house.quote()
        house.lines[SessionName("other")].feed.quotes[CONID] = quote
        await skip(0.25)

        assert house.bridge.quotes([CONID, ConId(1)]) == ((quote, 250),)

    run(scene())


def test_bars_come_from_whichever_session_has_them() -> None:
    async def scene() -> None:
        house = await two_sessions()
        house.lines[SessionName("other")].feed.bars_of[CONID] = tuple(map(bar, range(3)))

        assert house.bridge.bars(CONID, interval_ms=1_000, limit=2) == (bar(1), bar(2))
        assert house.bridge.bars(CONID, interval_ms=60_000, limit=2) == ()

    run(scene())


def test_a_contract_is_streamed_until_it_is_not_wanted_any_more() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.board.sessions[MAIN].instruments = FakeInstruments(NEW)

        found = await house.bridge.subscribe(NEW.conid)
        again = await house.bridge.subscribe(NEW.conid)
        await quiet()
        streamed = house.bridge.subscriptions()
        stopped = await house.bridge.unsubscribe(NEW.conid)
        await quiet()

        assert (found, again) == (NEW, NEW)
        assert streamed == (NEW.conid, CONID)
        assert stopped
        assert house.bridge.subscriptions() == (CONID,)
        assert not await house.bridge.unsubscribe(NEW.conid)
        assert [one.topic for one in house.line.feed.sent if one.conid == NEW.conid] == [
            Topic.QUOTES,
            Topic.STOP_QUOTES,
        ]

    run(scene())


def test_an_unknown_contract_is_not_streamed() -> None:
    async def scene() -> None:
        house = await ready_house()

        found = await house.bridge.subscribe(ConId(1))
        await quiet()

        assert found == Reason(code="UNKNOWN_CONTRACT", message="no contract 1")
        assert house.bridge.subscriptions() == (CONID,)

    run(scene())


def test_no_more_contracts_are_streamed_than_the_broker_streams() -> None:
    async def scene() -> None:
        house = House()
        maximum = bridge_file.SUBSCRIPTIONS_MAX
        streamed = tuple(ConId(number + 1) for number in range(maximum))
        house.add(conids=streamed)
        await house.start()
        known = replace(NEW, conid=streamed[0])
        house.board.sessions[MAIN].instruments = FakeInstruments(NEW, known)

        refused = await house.bridge.subscribe(NEW.conid)
        already = await house.bridge.subscribe(known.conid)
        await quiet()

        assert refused == Reason(
            code="SUBSCRIPTIONS_FULL", message="90 contracts are streamed, the limit is 90"
        )
        assert already == known
        assert house.bridge.subscriptions() == streamed

    run(scene())


def test_contracts_are_looked_up_where_a_session_is_ready() -> None:
    async def scene() -> None:
        house = await two_sessions()
        house.supervisor.sessions[MAIN].close(Reason(code="GATEWAY_DOWN", message="gone"))

        found = await house.bridge.instrument("AAPL", exchange=None)
        house.supervisor.sessions[SessionName("other")].close(
            Reason(code="GATEWAY_DOWN", message="gone, too")
        )
        also_found = await house.bridge.instrument("AAPL", exchange=None)

        assert isinstance(found, Instrument)
        assert also_found == found
        assert house.lines[SessionName("other")].instruments.asked == ["AAPL"]
        assert house.lines[MAIN].instruments.asked == ["AAPL"]

    run(scene())


# --- events ----------------------------------------------------------------------------------


async def followed(house: House, after_seq: int, until_seq: int) -> list[EventView]:
    found = []
    async for event in house.bridge.events(after_seq):
        found.append(event)
        if event.seq == until_seq:
            break
    return found


def test_events_are_followed_without_a_gap_while_they_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bridge_file, "EVENTS_PAGE", 2)

    async def scene() -> None:
        house = await ready_house()
        await house.work()  # Three records.
        following = asyncio.ensure_future(followed(house, 1, 8))

        for number in range(5):
            resuming = house.bridge._write(resume(FIRM))
            await (skip(number / 2) if number % 2 else quiet())
            await resuming
        events = await following

        assert [event.seq for event in events] == [2, 3, 4, 5, 6, 7, 8]
        assert [event.type for event in events[:3]] == ["ATTEMPT", "OUTCOME", "RESUME"]

    run(scene())


def test_a_record_that_comes_while_a_page_is_read_wakes_who_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        house = await ready_house()
        read = house.journal.read

        async def read_slowly(*, after_seq: int, limit: int) -> tuple[EventView, ...]:
            page = await read(after_seq=after_seq, limit=limit)
            if not house.journal.durable:
                await house.bridge._write(resume(FIRM))
                await quiet()
            return page

        monkeypatch.setattr(house.journal, "read", read_slowly)
        async with asyncio.timeout(60):
            events = await followed(house, 0, 1)

        assert [event.seq for event in events] == [1]

    run(scene())


# --- the end ---------------------------------------------------------------------------------


def test_an_engine_is_settled_when_no_order_waits_for_an_answer() -> None:
    async def scene() -> None:
        house = await ready_house()
        idle = house.bridge.settled
        await house.submit()
        house.bridge.drain()
        settling = asyncio.ensure_future(house.bridge.settle())
        await quiet()
        house.line.orders.answer(ASKED)
        await quiet()
        early = (house.bridge.settled, settling.done())

        house.line.orders.answer(ACK)
        await settling

        assert idle
        assert early == (False, False)
        assert house.bridge.settled

    run(scene())


def test_an_order_at_the_broker_does_not_keep_the_engine_from_stopping() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.work()
        house.line.feed.bring(NewsStreamed(rows=(row(BrokerStatus.SUBMITTED),)))
        await quiet()

        await house.bridge.settle()

        assert house.bridge.settled
        assert SubmitOrder in house.journal.written

    run(scene())
