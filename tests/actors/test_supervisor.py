import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from engine import metrics
from engine.actors.mailbox import LoopActor
from engine.actors.order import OrderActor
from engine.actors.session import SessionActor
from engine.domain.messages import (
    AttemptStarted,
    DeliverNews,
    DenyOrder,
    EngineStarted,
    HaltScope,
    JournalMessage,
    LimitsLoaded,
    NewsStreamed,
    OrderAnswered,
    OrderDoubted,
    OrderExpired,
    PlaceAtBroker,
    ResumeScope,
    SessionCall,
    SubmitOrder,
)
from engine.domain.ports import Entry, OrderFilter, Recorded
from engine.domain.risk import RiskPolicy
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderState,
    Reason,
    Scope,
    ScopeKind,
    SessionName,
    Source,
    TradingState,
)
from engine.journal.rebuild import Snapshots
from tests.actors.house import (
    ACCOUNT,
    ACK,
    ASKED,
    CONID,
    MAIN,
    OTHER,
    POLICY,
    TICKET,
    TIMEOUT,
    House,
    coid,
    fill,
    keyed,
    ready_house,
    row,
)
from tests.domain.risk.samples import ROOMY, settings
from tests.fakes import NOON_NS, FakeJournal, quiet, run, skip

FIRM = Scope(kind=ScopeKind.FIRM)
MINE = Scope(kind=ScopeKind.ACCOUNT, key=ACCOUNT)


def halt(scope: Scope, level: TradingState = TradingState.HALT, *, why: str = "drill") -> HaltScope:
    return HaltScope(scope=scope, level=level, reason=why, by="ops")


def recorded(*messages: JournalMessage) -> list[Recorded]:
    """Give messages that are of no order their places in a journal."""
    return [
        Recorded(seq=seq, entry=Entry(at_ns=NOON_NS, account=None, order_id=None, message=message))
        for seq, message in enumerate(messages, start=1)
    ]


async def restarted(house: House, *, name: SessionName = MAIN, listed: bool = True) -> House:
    """Start another engine on what is durable in the journal of this one."""
    journal = FakeJournal(house.journal.durable, epoch=house.journal.epoch + 1)
    again = House(journal=journal)
    line = again.add(name, house.line.session.accounts, listed=listed)
    line.session.rows = house.line.session.rows
    line.session.positions = house.line.session.positions
    await again.start()
    return again


def states(house: House) -> dict[OrderId, OrderState]:
    return {view.order_id: view.state for view in house.board.views}


def working_buy(house: House) -> Decimal:
    return house.supervisor.risks[ACCOUNT].risk.exposure(CONID).working_buy


# --- restarts --------------------------------------------------------------------------------


def test_a_restart_brings_back_orders_reservations_and_keys() -> None:
    async def scene() -> None:
        house = await ready_house()
        working = await house.work()
        house.line.feed.bring(NewsStreamed(executions=(fill("1", 4),)))
        await quiet()
        denied = await house.submit(keyed("mine-2", replace(TICKET, quantity=Decimal(1_001))))
        before = {view.order_id: view for view in house.board.views}

        again = await restarted(house)

        assert {view.order_id: view for view in again.board.views} == before
        assert working_buy(again) == Decimal(6)
        assert (await again.submit()).order_id == working.order_id
        repeated = await again.submit(keyed("mine-2", replace(TICKET, quantity=Decimal(1_001))))
        assert repeated.order_id == denied.order_id
        assert again.line.orders.calls == []
        assert again.journal.written == []

    run(scene())


def test_an_order_that_came_back_hears_its_news() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        again = await restarted(house)

        again.line.feed.bring(NewsStreamed(executions=(fill("1", 10),)))
        await quiet()

        assert again.bridge.order(view.order_id).state is OrderState.FILLED
        assert again.bridge.order(view.order_id).seq == again.journal.last_seq

    run(scene())


def test_an_attempt_without_an_answer_comes_back_in_doubt_and_is_found() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.submit()
        assert house.journal.written == [SubmitOrder, AttemptStarted]
        house.line.session.rows = (row(BrokerStatus.SUBMITTED, coid=coid(1)),)

        again = await restarted(house)
        doubted = again.journal.written[0]
        await skip(5)

        assert doubted is OrderDoubted
        assert again.bridge.order(view.order_id).state is OrderState.WORKING
        assert again.line.orders.calls == [], "nothing is sent twice"

    run(scene())


def test_an_intent_without_an_attempt_expires_and_frees_what_it_reserved() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.submit()
        waiting = await house.submit(keyed("mine-2"))
        house.line.orders.answer(TIMEOUT)

        again = await restarted(house)

        view = again.bridge.order(waiting.order_id)
        assert (view.state, view.reason and view.reason.code) == (
            OrderState.EXPIRED,
            "EXPIRED_UNSENT",
        )
        assert OrderExpired in again.journal.written
        assert working_buy(again) == Decimal(10), "that of the order that was sent"

    run(scene())


def test_an_open_question_comes_back_in_doubt() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work(outcome=ASKED)

        again = await restarted(house)

        assert states(again) == {view.order_id: OrderState.IN_DOUBT}
        assert again.line.orders.calls == []

    run(scene())


def test_orders_of_a_login_with_all_accounts_are_known_before_it_is_logged_in() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.work()
        journal = FakeJournal(house.journal.durable, epoch=2)
        again = House(journal=journal)
        again.add(listed=False)

        again.supervisor.rebuild(await Snapshots(journal, records=1).rebuild())

        assert working_buy(again) == Decimal(10)

    run(scene())


def test_a_denied_order_of_a_login_with_all_accounts_keeps_its_key() -> None:
    async def scene() -> None:
        house = await ready_house()
        denied = await house.submit(replace(TICKET, quantity=Decimal(1_001)))

        again = await restarted(house, listed=False)
        repeated = await again.submit(replace(TICKET, quantity=Decimal(1_001)))

        assert repeated.order_id == denied.order_id
        assert again.journal.written == []

    run(scene())


def test_an_engine_starts_on_a_journal_of_a_session_that_was_renamed() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work(outcome=TIMEOUT)
        house.line.session.rows = (row(BrokerStatus.SUBMITTED, coid=coid(1)),)
        renamed = SessionName("renamed")

        again = await restarted(house, name=renamed)
        await skip(5)
        cancelled = await again.bridge.cancel(view.order_id, by="me")
        await quiet()

        assert cancelled.state is OrderState.WORKING
        assert len(again.lines[renamed].orders.calls) == 1
        assert working_buy(again) == Decimal(10)
        assert again.bridge.health().ready

    run(scene())


def test_an_order_of_an_account_that_is_configured_no_more_is_shown_and_kept() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        journal = FakeJournal(house.journal.durable, epoch=2)
        again = House(journal=journal)
        again.add(SessionName("other"), (OTHER,))
        await again.start()

        cancelled = await again.bridge.cancel(view.order_id, by="me")
        await quiet()

        assert cancelled.order_id == view.order_id
        assert cancelled.pending == "cancel"
        assert list(again.supervisor.risks) == [OTHER]
        assert again.bridge.orders(OrderFilter())[0].confidence == "stale"
        assert again.bridge.health().problems == ()

    run(scene())


def test_a_journal_may_hold_more_orders_than_a_mailbox() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.submit(replace(TICKET, quantity=Decimal(1_001)))
        (denied,) = house.journal.story
        capacity = LoopActor.capacity
        records = [_another(denied, number) for number in range(capacity + 2)]

        again = await ready_house(records, epoch=2)

        assert len(again.bridge.orders(OrderFilter())) == capacity + 2

    run(scene())


def test_more_orders_may_come_back_than_a_session_has_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        house = await ready_house()
        for number in range(3):
            await house.submit(keyed(f"mine-{number}"))
            house.line.orders.answer(replace(ACK, broker_order_id=BrokerOrderId(f"8{number}")))
            await quiet()
        monkeypatch.setattr(SessionActor, "capacity", 2)

        again = await restarted(house)

        assert again.bridge.health().ready

    run(scene())


def test_after_a_restart_a_row_may_still_be_of_an_order_in_doubt() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.work(outcome=TIMEOUT)
        again = await restarted(house)
        assert [type(one.entry.message) for one in again.journal.story[-1:]] == [OrderAnswered]
        nameless = row(BrokerStatus.SUBMITTED)

        again.line.feed.bring(NewsStreamed(rows=(nameless,)))
        await skip(5)
        again.line.feed.bring(NewsStreamed(rows=(nameless,)))
        await quiet()
        early = again.bridge.external_orders(ACCOUNT)
        await skip(15)
        again.line.feed.bring(NewsStreamed(rows=(nameless,)))
        await quiet()

        assert early == ()
        assert len(again.bridge.external_orders(ACCOUNT)) == 1

    run(scene())


def _another(denied: Recorded, number: int) -> Recorded:
    message = denied.entry.message
    assert isinstance(message, DenyOrder)
    order_id = OrderId(f"1-{number}")
    ticket = keyed(f"mine-{number}")
    copy = replace(message, order_id=order_id, ticket=ticket)
    return Recorded(seq=number + 1, entry=replace(denied.entry, order_id=order_id, message=copy))


def test_records_of_an_order_without_its_first_one_are_skipped() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.work()
        (_, *rest) = house.journal.story

        with capture_logs() as logs:
            again = await ready_house(rest, epoch=2)

        assert states(again) == {}
        assert [line["records"] for line in logs if line["event"] == "records_skipped"] == [2]

    run(scene())


# --- halts -----------------------------------------------------------------------------------


def trading_states(house: House) -> dict[AccountId, TradingState]:
    return {account: actor.risk.trading_state for account, actor in house.supervisor.risks.items()}


async def house_of(*messages: JournalMessage, listed: bool = True) -> House:
    house = House(journal=FakeJournal(recorded(*messages), epoch=2))
    house.add(accounts=(ACCOUNT, OTHER), listed=listed)
    await house.start()
    return house


def test_a_halt_survives_a_restart_also_for_accounts_that_show_later() -> None:
    async def scene() -> None:
        for listed in (True, False):
            house = await house_of(halt(MINE), listed=listed)

            assert trading_states(house) == {
                ACCOUNT: TradingState.HALT,
                OTHER: TradingState.NORMAL,
            }

    run(scene())


def test_a_resume_survives_a_restart() -> None:
    async def scene() -> None:
        house = await house_of(
            halt(MINE), halt(FIRM), ResumeScope(scope=MINE, reason="over", by="ops"),
            ResumeScope(scope=FIRM, reason="over", by="ops"),
        )  # fmt: skip

        assert trading_states(house) == {
            ACCOUNT: TradingState.NORMAL,
            OTHER: TradingState.NORMAL,
        }
        assert house.supervisor.halts == {}

    run(scene())


def test_a_milder_halt_never_replaces_a_stricter_one() -> None:
    async def scene() -> None:
        strict = halt(FIRM)
        house = await house_of(strict, halt(FIRM, TradingState.REDUCE_ONLY))

        house.supervisor.halt(halt(FIRM, TradingState.CANCEL_ONLY))
        await quiet()

        assert house.supervisor.halts == {FIRM: strict}
        assert set(trading_states(house).values()) == {TradingState.HALT}

    run(scene())


def test_records_of_the_engine_itself_are_no_orders() -> None:
    async def scene() -> None:
        house = await house_of(
            EngineStarted(version="1", mode="paper"),
            LimitsLoaded(version=1, policy_hash="0", approved_by=(), changes=()),
        )

        assert states(house) == {}

    run(scene())


# --- limits ----------------------------------------------------------------------------------


TIGHT = RiskPolicy(version=2, defaults={**ROOMY, **settings({"order.max_qty.STK": 5})})


def test_new_limits_hold_for_the_next_order() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.supervisor.refuse_policy("line 3 is wrong")
        await quiet()
        while_refused = (house.bridge.limits(ACCOUNT), house.bridge.health())

        house.supervisor.apply_policy(TIGHT)
        view = await house.submit()

        assert (while_refused[0].version, while_refused[0].file_error) == (1, "line 3 is wrong")
        assert while_refused[1].problems == (
            Reason(code="RISK_FILE_REFUSED", message="line 3 is wrong"),
        )
        assert while_refused[1].ready, "the last good limits are in force"
        assert house.supervisor.policy is TIGHT
        assert house.supervisor.file_error is None
        limits = house.bridge.limits(ACCOUNT)
        assert (limits.version, limits.file_error) == (2, None)
        assert view.reason is not None
        assert view.reason.code == "QTY_EXCEEDS_MAX"

    run(scene())


def test_new_limits_reach_everybody_though_one_risk_is_dead() -> None:
    async def scene() -> None:
        house = await ready_house(accounts=(ACCOUNT, OTHER))
        await house.supervisor.risks[ACCOUNT].ref.stop()

        house.supervisor.apply_policy(TIGHT)
        house.supervisor.refuse_policy("line 3 is wrong")
        await quiet()

        assert house.bridge.limits(OTHER).version == 2
        assert house.bridge.limits(OTHER).file_error == "line 3 is wrong"

    run(scene())


def test_an_account_that_shows_later_knows_that_the_file_is_refused() -> None:
    async def scene() -> None:
        house = House()
        house.add(listed=False)
        house.supervisor.refuse_policy("line 3 is wrong")

        await house.start()

        assert house.bridge.limits(ACCOUNT).file_error == "line 3 is wrong"
        assert house.bridge.limits(ACCOUNT).version == POLICY.version

    run(scene())


# --- failures --------------------------------------------------------------------------------


def test_an_actor_of_no_known_kind_is_a_problem_only() -> None:
    async def scene() -> None:
        house = await ready_house()
        stranger = LoopActor(dispatcher=house.dispatcher, name="stranger").begin()

        stranger.tell("anything")
        await quiet()

        assert [reason.code for reason in house.bridge.health().problems] == ["ACTOR_FAILED"]
        assert trading_states(house) == {ACCOUNT: TradingState.NORMAL}

    run(scene())


def test_a_mailbox_that_was_full_makes_the_session_ask_the_broker_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(OrderActor, "capacity", 5)

    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        ref = house.board.order_ref(view.order_id)
        assert ref is not None
        letters = metrics.DEAD_LETTERS.labels("OrderActor", "full")
        before, polls = letters._value.get(), house.line.session.calls.count(SessionCall.ORDERS)
        flood = NewsStreamed(executions=tuple(fill(str(n), 0) for n in range(ref.actor.capacity)))
        news = NewsStreamed(executions=(fill("late", 4),))
        house.line.session.executions = (fill("late", 4),)

        for one in (flood, news, news):
            house.board.deliver(MAIN, DeliverNews(executions=one.executions, source=Source.STREAM))
        dropped = letters._value.get() - before
        await skip(2)

        assert dropped == 1, "the one on its way and the capacity are taken, then one of the two"
        assert house.line.session.calls.count(SessionCall.ORDERS) == polls + 1
        assert house.bridge.order(view.order_id).filled_quantity == Decimal(4)

    run(scene())


def test_an_account_keeps_the_session_that_had_it_first() -> None:
    async def scene() -> None:
        house = await ready_house()
        risk = house.supervisor.risks[ACCOUNT]

        house.supervisor.add_accounts(SessionName("other"), (ACCOUNT,))

        assert house.supervisor.risks[ACCOUNT] is risk
        assert house.board.session_of[ACCOUNT] == MAIN

    run(scene())


# --- the end ---------------------------------------------------------------------------------


def test_stopping_lets_a_conversation_end_and_sends_nothing_else() -> None:
    async def scene() -> None:
        house = await ready_house()
        talking = await house.submit()
        waiting = await house.submit(keyed("mine-2"))

        stopping = asyncio.create_task(house.supervisor.stop())
        await skip(1)
        still_talking = not stopping.done()
        house.line.orders.answer(ACK)
        await stopping

        assert still_talking
        assert states(house) == {
            talking.order_id: OrderState.ACCEPTED,
            waiting.order_id: OrderState.EXPIRED,
        }
        assert [type(call) for call in house.line.orders.calls] == [PlaceAtBroker]
        assert not any(ref.is_alive() for ref in house.board.order_refs())
        assert not house.supervisor.sessions[MAIN].ref.is_alive()
        assert not house.supervisor.feeds[MAIN].ref.is_alive()
        assert not house.supervisor.risks[ACCOUNT].ref.is_alive()

    run(scene())


def test_stopping_gives_a_conversation_only_so_long_and_the_next_start_knows() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.submit()

        await house.supervisor.stop(timeout_s=15)
        again = await restarted(house)

        assert house.line.orders.calls == house.line.orders.placed, "nothing is cancelled"
        assert states(again) == {view.order_id: OrderState.IN_DOUBT}

    run(scene())


def test_mail_that_comes_after_the_stop_is_dead_letters() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.submit()
        letters = metrics.DEAD_LETTERS.labels("OrderActor", "stopped")
        before = letters._value.get()

        await house.supervisor.stop(timeout_s=1)
        house.line.orders.answer(ACK)
        await skip(60)

        assert letters._value.get() == before + 1
        assert states(house) == {view.order_id: OrderState.SUBMITTING}

    run(scene())


def test_a_clean_stop_makes_no_dead_letters() -> None:
    async def scene() -> None:
        house = await ready_house()
        letters = [
            metrics.DEAD_LETTERS.labels(name, "stopped") for name in ("FeedActor", "SessionActor")
        ]
        before = [letter._value.get() for letter in letters]

        await house.supervisor.stop()
        house.line.feed.close("the engine is stopping")
        await quiet()

        assert [letter._value.get() for letter in letters] == before

    run(scene())


def test_nobody_is_rebuilt_after_the_stop() -> None:
    async def scene() -> None:
        house = await ready_house()
        session = house.supervisor.sessions[MAIN]

        session.ref.tell("what no session understands")
        await quiet()
        await house.supervisor.stop()
        await skip(60)

        assert house.supervisor.sessions[MAIN] is session
        assert not session.ref.is_alive()

    run(scene())
