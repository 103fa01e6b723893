import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.actors import bridge as bridge_file
from engine.domain.messages import (
    CancelOrder,
    HaltScope,
    LoginGuarded,
    NewsStreamed,
    ResumeScope,
    SubmitOrder,
)
from engine.domain.ports import (
    Entry,
    JournalUnavailable,
    OrderFilter,
    Recorded,
    UnknownAccount,
    UnknownOrder,
    UnknownSession,
)
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    Coid,
    Confidence,
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
    House,
    keyed,
    ready_house,
    row,
    submit_request,
)
from tests.domain.risk.samples import position
from tests.fakes import NOON_NS, READY_STATUS, FakeJournal, quiet, run, skip

FIRM = Scope(kind=ScopeKind.FIRM)
MINE = Scope(kind=ScopeKind.ACCOUNT, key=ACCOUNT)


def halt(scope: Scope = MINE, level: TradingState = TradingState.HALT) -> HaltScope:
    return HaltScope(scope=scope, level=level, reason="drill", by="ops")


def resume(scope: Scope = MINE) -> ResumeScope:
    return ResumeScope(scope=scope, reason="over", by="ops")


# --- what is shown -------------------------------------------------------------------------------


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


def test_an_unknown_account_is_said_and_nothing_is_done() -> None:
    async def scene() -> None:
        house = await ready_house()
        nobody = AccountId("DU0000000")

        with pytest.raises(UnknownAccount, match=nobody):
            await house.bridge.submit(submit_request(replace(TICKET, account=nobody)))
        for read in (house.bridge.account, house.bridge.positions, house.bridge.limits):
            with pytest.raises(UnknownAccount, match=nobody):
                read(nobody)

        assert house.journal.written == []

    run(scene())


def test_a_risk_that_is_gone_or_flooded_makes_nothing() -> None:
    async def scene() -> None:
        house = await ready_house(accounts=(ACCOUNT, OTHER))
        await house.board.risks[ACCOUNT].stop()
        with pytest.raises(JournalUnavailable, match=f"risk of {ACCOUNT} does not answer"):
            await house.bridge.submit(submit_request())

        flooded = house.board.risks[OTHER]
        for _ in range(flooded.actor_class.capacity + 1):
            flooded.tell(resume())
        with pytest.raises(JournalUnavailable, match="10000 messages waiting"):
            await house.bridge._ask(flooded, resume(), f"the risk of {OTHER}")

        assert house.journal.written == []

    run(scene())


def test_orders_that_others_sent_are_shown_by_account() -> None:
    async def scene() -> None:
        house = await ready_house(accounts=(ACCOUNT, OTHER))
        strange = replace(row(), coid=Coid("by-hand"), symbol="IBM")

        house.line.feed.bring(NewsStreamed(rows=(strange,)))
        await quiet()

        (seen,) = house.bridge.external_orders(ACCOUNT)
        assert (seen.session, seen.row) == (MAIN, strange)
        assert house.bridge.external_orders(OTHER) == ()
        with pytest.raises(UnknownAccount):
            house.bridge.external_orders(AccountId("DU0000000"))

    run(scene())


def test_a_locked_session_is_let_try_again_and_shown_as_it_is_then() -> None:
    async def scene() -> None:
        guarded = LoginGuarded(
            session=MAIN, failures=5, taken_over=True, latched=True, reason="refused"
        )
        entry = Entry(at_ns=NOON_NS, account=None, order_id=None, message=guarded)
        house = House(journal=FakeJournal([Recorded(seq=1, entry=entry)]))
        line = house.add()
        line.session.status = replace(READY_STATUS, authenticated=False, established=False)
        await house.start()
        (locked,) = house.bridge.sessions()
        line.session.status = READY_STATUS

        view = await house.bridge.retry_login(MAIN, reason="password is new", by="ops")
        await quiet()

        assert (locked.state, locked.login_failures) == (SessionState.LOCKED_OUT, 5)
        assert (view.name, view.login_failures) == (MAIN, 0)
        assert view.state is not SessionState.LOCKED_OUT
        assert house.bridge.health().ready
        assert LoginGuarded in house.journal.written
        with pytest.raises(UnknownSession, match="spare"):
            await house.bridge.retry_login(SessionName("spare"), reason="why", by="ops")

    run(scene())


# --- halts ---------------------------------------------------------------------------------------


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
        record = house.journal.durable[-1]
        assert house.journal.written == [HaltScope]
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


def test_a_halt_covers_an_order_that_is_being_sent_at_that_moment() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True

        submitting = asyncio.ensure_future(house.submit(keyed("a")))
        await quiet()
        halting = asyncio.ensure_future(house.bridge.halt(halt(FIRM), cancel_working=True))
        await quiet()
        house.journal.commit()
        ended = await halting
        house.journal.held = False
        house.journal.commit()
        order = await submitting
        await quiet()

        assert ended == 1
        assert house.bridge.order(order.order_id).pending is Pending.CANCEL

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
        assert house.journal.written == []

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


# --- events --------------------------------------------------------------------------------------


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
        await house.work()  # Three records, after the account's own.
        following = asyncio.ensure_future(followed(house, 2, 9))

        for number in range(5):
            resuming = house.bridge._write(resume(FIRM))
            await (skip(number / 2) if number % 2 else quiet())
            await resuming
        events = await following

        assert [event.seq for event in events] == [3, 4, 5, 6, 7, 8, 9]
        assert [event.type for event in events[:3]] == ["ATTEMPT", "OUTCOME", "RESUME"]

    run(scene())


def test_a_record_that_comes_while_a_page_is_read_wakes_who_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        house = await ready_house()
        read = house.journal.read

        async def read_slowly(
            *, after_seq: int, limit: int, order_id: OrderId | None = None
        ) -> tuple[EventView, ...]:
            page = await read(after_seq=after_seq, limit=limit, order_id=order_id)
            if not house.journal.durable:
                await house.bridge._write(resume(FIRM))
                await quiet()
            return page

        monkeypatch.setattr(house.journal, "read", read_slowly)
        async with asyncio.timeout(60):
            events = await followed(house, 0, 1)

        assert [event.seq for event in events] == [1]

    run(scene())


# --- the end -------------------------------------------------------------------------------------


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
