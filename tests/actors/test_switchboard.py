from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine import metrics
from engine.actors import notices
from engine.actors.mailbox import Dispatcher, LoopActor, LoopRef
from engine.actors.switchboard import SessionLines, Switchboard
from engine.actors.views import Views
from engine.domain.messages import (
    CancelOrder,
    DeliverNews,
    ExecutionSeen,
    ExternalOrderSeen,
    ExternalWorking,
    ForgetOrder,
    HaltScope,
    LearnAlias,
    NoticeSeen,
    OrderChanged,
    OrderRowSeen,
    PositionFilled,
    PositionsFilled,
    PromptRaised,
    PromptStreamed,
    StartSession,
    TurnGranted,
    TurnRefused,
    WriteRecord,
)
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    MessageId,
    OrderId,
    OrderState,
    Question,
    QuestionId,
    Reason,
    Scope,
    ScopeKind,
    SessionName,
    Source,
    TradingState,
)
from engine.domain.views import ExternalOrderView
from tests.actors.house import ACCOUNT, BROKER_ID, MAIN, SHARD, coid, fill, row
from tests.domain.risk.samples import view
from tests.fakes import (
    FakeData,
    FakeFeedGateway,
    FakeInstruments,
    FakeJournal,
    FakeOrderGateway,
    HandClock,
    quiet,
    run,
)

ORDER_ID = OrderId("order-1")
STRANGER = BrokerOrderId("999")


class Ear(LoopActor):
    """Remembers what it was told."""

    def __init__(self, dispatcher: Dispatcher, name: str) -> None:
        super().__init__(dispatcher=dispatcher, name=name)
        self.heard: list[Any] = []

    def on_receive(self, message: Any) -> None:
        self.heard.append(message)


class Ears:
    """A switchboard with an ear at each of its lines."""

    def __init__(self) -> None:
        self.dispatcher = Dispatcher()
        self.clock = HandClock()
        self.journal = FakeJournal()
        self.board = Switchboard(
            journal=self.journal, views=Views(), shard=SHARD, clock=self.clock.clock
        )
        self.halts: list[HaltScope] = []
        self.board.halt = self.halts.append
        self.order = Ear(self.dispatcher, "order")
        self.risk = Ear(self.dispatcher, "risk")
        self.session = Ear(self.dispatcher, "session")
        self.feed = Ear(self.dispatcher, "feed")
        self.board.sessions[MAIN] = SessionLines(
            orders=FakeOrderGateway(),
            feed=FakeFeedGateway(),
            instruments=FakeInstruments(),
            data=FakeData(),
            session_ref=self.session.begin(),
            feed_ref=self.feed.begin(),
        )
        self.board.risks[ACCOUNT] = self.risk.begin()
        self.board.session_of[ACCOUNT] = MAIN
        self.order_ref: LoopRef = self.order.begin()
        self.board.connect_order(ORDER_ID, coid(1), self.order_ref)

    def learn(self) -> None:
        self.board.learn_alias(
            LearnAlias(order_id=ORDER_ID, account=ACCOUNT, broker_order_id=BROKER_ID)
        )

    def deliver(self, news: DeliverNews) -> None:
        self.board.deliver(MAIN, news)

    def filled(self, name: str, quantity: int, **more: Any) -> PositionFilled:
        seen_ns = self.clock.monotonic_ns
        execution = fill(name, quantity, **more)
        return PositionFilled(execution=execution, now_ns=seen_ns, seen_ns=seen_ns)


def test_news_finds_its_order_by_our_id_and_by_the_brokers() -> None:
    async def scene() -> None:
        ears = Ears()
        ears.learn()
        by_ours = row(coid=coid(1), broker_id=STRANGER)
        by_theirs = row()
        executions = (fill("1", 4, coid=coid(1), broker_id=None), fill("2", 6))

        ears.deliver(
            DeliverNews(rows=(by_ours, by_theirs), executions=executions, source=Source.POLL)
        )
        await quiet()

        assert ears.order.heard == [
            OrderRowSeen(order_id=ORDER_ID, row=by_ours, source=Source.POLL),
            OrderRowSeen(order_id=ORDER_ID, row=by_theirs, source=Source.POLL),
            ExecutionSeen(order_id=ORDER_ID, execution=executions[0], source=Source.POLL),
            ExecutionSeen(order_id=ORDER_ID, execution=executions[1], source=Source.POLL),
        ]
        assert ears.risk.heard == [], "risk hears of it once it is durable"

    run(scene())


def test_the_same_number_at_another_account_is_another_order() -> None:
    async def scene() -> None:
        ears = Ears()
        ears.learn()

        ears.deliver(DeliverNews(rows=(row(account=AccountId("DU7654321")),), source=Source.STREAM))
        await quiet()

        assert ears.order.heard == []

    run(scene())


def test_what_a_stranger_did_is_handed_over_once_it_is_known() -> None:
    async def scene() -> None:
        ears = Ears()
        first = row(BrokerStatus.PRE_SUBMITTED, filled=4)
        second = row(BrokerStatus.SUBMITTED)
        plain, paid = fill("1", 4), fill("1", 4, commission="1.05")
        other = fill("2", 6)

        ears.deliver(DeliverNews(rows=(first, second), source=Source.STREAM))
        for executions in ((plain,), (plain, other), (paid, other), (plain, other)):
            ears.deliver(DeliverNews(executions=executions, source=Source.POLL))
        ears.learn()
        await quiet()

        assert ears.journal.written == [], "it was ours, only faster than its answer"
        assert ears.order.heard == [
            OrderRowSeen(
                order_id=ORDER_ID,
                row=row(BrokerStatus.SUBMITTED, filled=4),
                source=Source.STREAM,
            ),
            ExecutionSeen(order_id=ORDER_ID, execution=paid, source=Source.STREAM),
            ExecutionSeen(order_id=ORDER_ID, execution=other, source=Source.STREAM),
        ]

    run(scene())


def test_a_strangers_fill_moves_the_position_at_once() -> None:
    async def scene() -> None:
        ears = Ears()

        ears.deliver(
            DeliverNews(
                executions=(fill("1", 4), fill("2", 6, broker_id=None)), source=Source.STREAM
            )
        )
        await quiet()

        fills = (ears.filled("1", 4), ears.filled("2", 6, broker_id=None))
        assert ears.risk.heard == [PositionsFilled(fills=fills)]

    run(scene())


def test_an_alias_of_a_stranger_that_only_filled_hands_over_its_fills() -> None:
    async def scene() -> None:
        ears = Ears()
        ears.deliver(DeliverNews(executions=(fill("1", 4),), source=Source.STREAM))

        ears.learn()
        ears.learn()
        await quiet()

        assert ears.order.heard == [
            ExecutionSeen(order_id=ORDER_ID, execution=fill("1", 4), source=Source.STREAM)
        ]

    run(scene())


def test_an_order_that_is_not_ours_is_written_down_and_shown() -> None:
    async def scene() -> None:
        ears = Ears()
        new, done = (
            row(status, broker_id=STRANGER)
            for status in (BrokerStatus.SUBMITTED, BrokerStatus.FILLED)
        )

        with capture_logs() as logs:
            for seen in (new, new, done):
                ears.deliver(DeliverNews(rows=(seen,), source=Source.POLL))
            await quiet()

        assert [one.entry.message for one in ears.journal.durable] == [
            ExternalOrderSeen(session=MAIN, row=new),
            ExternalOrderSeen(session=MAIN, row=done),
        ]
        assert [one.entry.account for one in ears.journal.durable] == [ACCOUNT, ACCOUNT]
        assert [(line["event"], line["status"]) for line in logs] == [
            ("external_order_seen", BrokerStatus.SUBMITTED),
            ("external_order_seen", BrokerStatus.FILLED),
        ]
        assert ears.board.external(ACCOUNT) == (
            ExternalOrderView(session=MAIN, row=done, seen_at_ns=ears.clock.wall_ns),
        )
        assert ears.order.heard == []

    run(scene())


def test_while_an_order_of_ours_is_sent_a_row_without_reference_may_be_its() -> None:
    async def scene() -> None:
        ears = Ears()
        sent = replace(view(1, seq=0), order_id=ORDER_ID, account=ACCOUNT)
        sent = replace(sent, state=OrderState.SUBMITTING, broker_order_id=None)
        cancel = CancelOrder(order_id=ORDER_ID, cause="me")
        ears.board.publish(WriteRecord(record=cancel, view=sent, confirm=False), 1)

        ears.deliver(DeliverNews(rows=(row(),), source=Source.POLL))
        ears.clock.advance(12_000)
        ears.deliver(DeliverNews(rows=(row(),), source=Source.POLL))
        ears.learn()
        acknowledged = replace(sent, state=OrderState.WORKING, broker_order_id=BROKER_ID)
        ears.board.publish(WriteRecord(record=cancel, view=acknowledged, confirm=False), 2)
        ears.deliver(DeliverNews(rows=(row(broker_id=STRANGER),), source=Source.POLL))
        await quiet()

        assert [one.entry.message for one in ears.journal.durable] == [
            ExternalOrderSeen(session=MAIN, row=row(broker_id=STRANGER))
        ]

    run(scene())


def test_an_order_that_never_was_keeps_no_stranger_waiting() -> None:
    async def scene() -> None:
        ears = Ears()
        sent = replace(view(1, seq=0), order_id=ORDER_ID, account=ACCOUNT)
        sent = replace(sent, state=OrderState.SUBMITTING, broker_order_id=None)
        cancel = CancelOrder(order_id=ORDER_ID, cause="me")
        ears.board.publish(WriteRecord(record=cancel, view=sent, confirm=False), 1)
        ears.board.forget_order(ForgetOrder(order_id=ORDER_ID, account=ACCOUNT))

        ears.deliver(DeliverNews(rows=(row(),), source=Source.POLL))
        await quiet()

        assert ears.journal.written == [ExternalOrderSeen]

    run(scene())


def test_what_cannot_be_written_of_others_is_said_and_stops_nothing() -> None:
    async def scene() -> None:
        ears = Ears()
        ears.journal.fail()

        with capture_logs() as logs:
            ears.deliver(DeliverNews(rows=(row(),), source=Source.POLL))
            await quiet()

        assert [line["event"] for line in logs] == [
            "external_order_seen",
            "observation_not_written",
        ]
        assert len(ears.board.external(ACCOUNT)) == 1

    run(scene())


def test_a_new_risk_can_hear_what_strangers_filled() -> None:
    async def scene() -> None:
        ears = Ears()
        other = AccountId("DU7654321")
        executions = (fill("1", 4), fill("2", 6, account=other))

        ears.deliver(DeliverNews(executions=executions, source=Source.POLL))

        assert ears.board.fills_of_strangers(ACCOUNT) == (ears.filled("1", 4),)

    run(scene())


# --- notices and prompts -----------------------------------------------------------------


def test_a_notice_is_written_and_counted() -> None:
    async def scene() -> None:
        ears = Ears()
        notice = NoticeSeen(session=MAIN, kind="bulletin", notice_id="7", text="Closed tomorrow")
        counter = metrics.NOTICES.labels(MAIN, "bulletin")
        before = counter._value.get()

        ears.board.write_notice(notice)
        await quiet()

        assert [one.entry.message for one in ears.journal.durable] == [notice]
        assert counter._value.get() == before + 1

    run(scene())


def test_a_flood_of_notices_is_counted_and_written_in_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notices, "NOTICES_MAX", 2)

    async def scene() -> None:
        ears = Ears()
        counter = metrics.NOTICES.labels(MAIN, "bulletin")
        before = counter._value.get()
        first, second, third, fourth = (
            NoticeSeen(session=MAIN, kind="bulletin", notice_id=f"{number}", text="Closed")
            for number in range(4)
        )
        other = replace(fourth, session=SessionName("second"))

        for notice in (first, second, third, other):
            ears.board.write_notice(notice)
        ears.clock.advance(60_000)
        ears.board.write_notice(fourth)
        await quiet()

        written = [one.entry.message for one in ears.journal.durable]
        assert written == [first, second, other, fourth]
        assert counter._value.get() == before + 4

    run(scene())


def prompt(broker_order_id: BrokerOrderId) -> PromptStreamed:
    question = Question(
        question_id=QuestionId("29042"), message_ids=(MessageId("p12"),), texts=("Sure?", "Really?")
    )
    return PromptStreamed(broker_order_id=broker_order_id, question=question)


def test_a_prompt_is_for_the_order_that_it_is_about() -> None:
    async def scene() -> None:
        ears = Ears()
        ears.learn()

        ears.board.deliver_prompt(MAIN, prompt(BROKER_ID))
        await quiet()

        raised = PromptRaised(order_id=ORDER_ID, question=prompt(BROKER_ID).question)
        assert ears.order.heard == [raised]
        assert ears.journal.durable == [], "the order writes it, with its answer"

    run(scene())


@pytest.mark.parametrize(
    ("session", "broker_id"), [(MAIN, STRANGER), (SessionName("other"), BROKER_ID)]
)
def test_a_prompt_about_an_order_of_others_is_only_noted(
    session: SessionName, broker_id: BrokerOrderId
) -> None:
    async def scene() -> None:
        ears = Ears()
        ears.learn()

        ears.board.deliver_prompt(session, prompt(broker_id))
        await quiet()

        text = f"about order {broker_id}, which is not ours: Sure? / Really?"
        notice = NoticeSeen(session=session, kind="prompt", notice_id="29042", text=text)
        assert [one.entry.message for one in ears.journal.durable] == [notice]
        assert ears.order.heard == []

    run(scene())


def test_a_prompt_of_others_that_is_repeated_is_noted_once() -> None:
    async def scene() -> None:
        ears = Ears()

        for _ in range(3):
            ears.board.deliver_prompt(MAIN, prompt(STRANGER))
        await quiet()

        assert ears.journal.written == [NoticeSeen]

    run(scene())


def test_a_prompt_that_may_be_about_either_of_two_orders_is_only_noted() -> None:
    async def scene() -> None:
        ears = Ears()
        ears.learn()
        other = AccountId("DU7654321")
        ears.board.session_of[other] = MAIN
        twin = LearnAlias(order_id=OrderId("2"), account=other, broker_order_id=BROKER_ID)
        ears.board.learn_alias(twin)

        ears.board.deliver_prompt(MAIN, prompt(BROKER_ID))
        await quiet()

        assert ears.journal.written == [NoticeSeen]
        assert ears.order.heard == []

    run(scene())


# --- what must not be --------------------------------------------------------------------


def test_an_order_of_ours_that_the_journal_lacks_halts_its_account_once() -> None:
    async def scene() -> None:
        ears = Ears()
        unknown = coid(77)
        ours = row(coid=unknown, broker_id=STRANGER)

        with capture_logs() as logs:
            ears.deliver(DeliverNews(rows=(ours, ours), source=Source.POLL))
            ears.deliver(
                DeliverNews(rows=(replace(ours, broker_order_id=BROKER_ID),), source=Source.POLL)
            )
        await quiet()

        (halt,) = ears.halts
        assert halt == HaltScope(
            scope=Scope(kind=ScopeKind.ACCOUNT, key=ACCOUNT),
            level=TradingState.HALT,
            reason=halt.reason,
            by="engine",
        )
        assert halt.reason.startswith(f"the broker has order {unknown} of this engine")
        assert [line["event"] for line in logs if line["log_level"] == "error"] == [
            "journal_regression_found"
        ]

    run(scene())


@pytest.mark.parametrize("source", [Source.STREAM, Source.POLL])
def test_an_execution_of_an_order_of_ours_that_the_journal_lacks_halts_its_account_once(
    source: Source,
) -> None:
    async def scene() -> None:
        ears = Ears()
        unknown = coid(77)
        ours = fill("a", 5, coid=unknown, broker_id=STRANGER)
        nameless = fill("b", 5, coid=unknown, broker_id=None)

        with capture_logs() as logs:
            ears.deliver(DeliverNews(executions=(ours, nameless), source=source))
            ears.deliver(DeliverNews(executions=(ours,), source=Source.POLL))
        await quiet()

        assert [(halt.scope.key, halt.level, halt.by) for halt in ears.halts] == [
            (ACCOUNT, TradingState.HALT, "engine")
        ]
        assert ears.halts[0].reason.startswith(f"the broker has order {unknown} of this engine")
        assert [line["event"] for line in logs if line["log_level"] == "error"] == [
            "journal_regression_found"
        ]

    run(scene())


def test_a_row_and_an_execution_of_the_same_unknown_order_halt_once() -> None:
    async def scene() -> None:
        ears = Ears()
        unknown = coid(77)
        shown = row(coid=unknown, broker_id=STRANGER)
        traded = fill("a", 5, coid=unknown, broker_id=STRANGER)

        ears.deliver(DeliverNews(rows=(shown,), executions=(traded,), source=Source.POLL))
        await quiet()

        assert len(ears.halts) == 1

    run(scene())


@pytest.mark.parametrize("reference", ["by hand", "EX0002-1-1-AA", "EX0001-1-1-ZZ", None])
def test_an_execution_of_somebody_elses_order_halts_nothing(reference: Any) -> None:
    async def scene() -> None:
        ears = Ears()
        theirs = fill("a", 5, coid=reference, broker_id=STRANGER)

        ears.deliver(DeliverNews(executions=(theirs,), source=Source.POLL))
        await quiet()

        assert ears.halts == []

    run(scene())


@pytest.mark.parametrize("reference", ["by hand", "EX0002-1-1-AA", "EX0001-1-1-ZZ"])
def test_an_order_of_somebody_else_halts_nothing(reference: Any) -> None:
    async def scene() -> None:
        ears = Ears()

        ears.deliver(
            DeliverNews(rows=(row(coid=reference, broker_id=STRANGER),), source=Source.POLL)
        )
        await quiet()

        strange = row(coid=reference, broker_id=STRANGER)
        assert ears.halts == []
        assert ears.risk.heard == [ExternalWorking(row=strange, over=False)]

    run(scene())


def test_what_is_durable_is_shown_and_told() -> None:
    async def scene() -> None:
        ears = Ears()
        cancel = CancelOrder(order_id=ORDER_ID, cause="me")
        written = WriteRecord(record=cancel, view=view(1, seq=0), confirm=False)

        ears.board.publish(written, 7)
        await quiet()

        shown = view(1, seq=0)
        assert ears.board.views.get(ORDER_ID) == replace(shown, seq=7)
        assert ears.risk.heard == [OrderChanged(view=replace(shown, seq=7))]
        assert ears.session.heard == [OrderChanged(view=replace(shown, seq=7))]

    run(scene())


def test_a_durable_fill_moves_the_position_before_the_order_frees_its_rest() -> None:
    async def scene() -> None:
        ears = Ears()
        seen = ExecutionSeen(order_id=ORDER_ID, execution=fill("1", 4), source=Source.STREAM)
        written = WriteRecord(record=seen, view=view(1, seq=0, filled=4), confirm=False)

        ears.board.publish(written, 7)
        await quiet()

        assert ears.risk.heard == [
            ears.filled("1", 4),
            OrderChanged(view=replace(view(1, seq=0, filled=4), seq=7)),
        ]

    run(scene())


def test_an_order_gets_its_turn_unless_there_is_a_reason_against_it() -> None:
    async def scene() -> None:
        ears = Ears()
        granted = TurnGranted(order_id=ORDER_ID, session_epoch=1, send_by_ns=9)
        halted = Reason(code="TRADING_HALTED", message="drill")
        asked: list[LoopRef] = []

        def refuse(ref: LoopRef) -> Reason:
            asked.append(ref)
            return halted

        ears.board.grant_turn(granted)
        ears.board.refuse_turn = refuse
        ears.board.grant_turn(granted)
        ears.board.grant_turn(replace(granted, order_id=OrderId("none")))
        await quiet()

        assert ears.order.heard == [granted, TurnRefused(order_id=ORDER_ID, reason=halted)]
        assert asked == [ears.order_ref]

    run(scene())


def test_what_nobody_is_there_for_is_dropped() -> None:
    async def scene() -> None:
        ears = Ears()
        nobody, nowhere = AccountId("DU0"), SessionName("gone")
        letters = metrics.DEAD_LETTERS.labels("Ear", "stopped")._value.get()
        ears.board.sessions[SessionName("silent")] = SessionLines(
            orders=FakeOrderGateway(),
            feed=FakeFeedGateway(),
            instruments=FakeInstruments(),
            data=FakeData(),
        )

        ears.board.tell_order(OrderId("none"), StartSession())
        ears.board.tell_risk(nobody, StartSession())
        ears.board.tell_session(nowhere, StartSession())
        ears.board.tell_session(SessionName("silent"), StartSession())
        ears.board.tell_feed(SessionName("silent"), StartSession())
        ears.board.publish(
            WriteRecord(
                record=CancelOrder(order_id=ORDER_ID, cause="me"),
                view=replace(view(1, seq=0), account=nobody),
                confirm=False,
            ),
            1,
        )
        await ears.order_ref.stop()
        ears.board.tell_order(ORDER_ID, StartSession())
        await quiet()

        heard = [ears.order, ears.risk, ears.session, ears.feed]
        assert [ear.heard for ear in heard] == [[], [], [], []]
        assert metrics.DEAD_LETTERS.labels("Ear", "stopped")._value.get() == letters + 1

    run(scene())


def test_everybody_has_a_line() -> None:
    async def scene() -> None:
        ears = Ears()

        ears.board.tell_feed(MAIN, "feed")
        ears.board.tell_every_risk("risk")
        await quiet()

        assert (ears.feed.heard, ears.risk.heard) == (["feed"], ["risk"])
        assert ears.board.order_ref(ORDER_ID) is ears.order_ref
        assert list(ears.board.order_refs()) == [ears.order_ref]
        assert ears.board.order_ref(OrderId("none")) is None
        assert ears.board.order_gateway(MAIN) is ears.board.sessions[MAIN].orders
        assert ears.board.order_gateway(SessionName("gone")) is None

    run(scene())


def test_an_order_follows_its_account_to_another_session() -> None:
    async def scene() -> None:
        ears = Ears()
        assert ears.board.session_for(ACCOUNT, SessionName("before")) == MAIN
        assert ears.board.session_for(AccountId("DU0"), SessionName("before")) == "before"

    run(scene())
