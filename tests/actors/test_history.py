from dataclasses import replace

from structlog.testing import capture_logs

from engine.actors.history import History, replay
from engine.domain.messages import (
    CancelOrder,
    EngineStarted,
    HaltScope,
    JournalMessage,
    LimitsLoaded,
    LoginGuarded,
    NoticeSeen,
    ResumeScope,
    SubmitOrder,
)
from engine.domain.ports import Entry, Recorded
from engine.domain.values import (
    OrderId,
    OrderState,
    QuestionPolicy,
    Scope,
    ScopeKind,
    TradingState,
)
from tests.actors.house import ACCOUNT, MAIN
from tests.domain.order.samples import approve
from tests.fakes import NOON_NS

APPROVED = approve(QuestionPolicy(answers={}))
INTENT = SubmitOrder(approved=APPROVED, body=b"{}")
FIRM = Scope(kind=ScopeKind.FIRM)
HALT = HaltScope(scope=FIRM, level=TradingState.HALT, reason="drill", by="ops")
GUARD = LoginGuarded(session=MAIN, failures=1, taken_over=False, latched=False, reason="refused")


def recorded(*messages: JournalMessage, order_id: OrderId | None = None) -> list[Recorded]:
    return [
        Recorded(
            seq=seq,
            entry=Entry(at_ns=NOON_NS, account=ACCOUNT, order_id=order_id, message=message),
        )
        for seq, message in enumerate(messages, start=1)
    ]


def test_records_of_an_order_make_the_order_and_name_its_last_place() -> None:
    order_id = APPROVED.order_id
    records = recorded(INTENT, CancelOrder(order_id=order_id, cause="enough"), order_id=order_id)

    (found,) = replay(records).orders.values()

    assert (found[0].state, found[1]) == (OrderState.CANCELLED, 2)


def test_records_without_the_first_one_are_skipped_and_said() -> None:
    order_id = APPROVED.order_id
    records = recorded(CancelOrder(order_id=order_id, cause="enough"), order_id=order_id)

    with capture_logs() as logs:
        history = replay(records)

    assert history == History()
    assert [(line["event"], line["seq"]) for line in logs] == [("record_skipped", 1)]


def test_the_strictest_halt_holds_until_it_is_resumed() -> None:
    milder = replace(HALT, level=TradingState.REDUCE_ONLY)
    resume = ResumeScope(scope=FIRM, reason="over", by="ops")

    assert replay(recorded(HALT, milder)).halts == {FIRM: HALT}
    assert replay(recorded(milder, HALT)).halts == {FIRM: HALT}
    assert replay(recorded(HALT, resume)).halts == {}


def test_the_newest_guard_of_a_session_counts() -> None:
    newer = replace(GUARD, failures=2)

    assert replay(recorded(GUARD, newer)).guards == {MAIN: newer}


def test_what_is_only_news_makes_nothing() -> None:
    records = recorded(
        EngineStarted(version="1", mode="paper"),
        LimitsLoaded(version=1, policy_hash="0", approved_by=(), changes=()),
        NoticeSeen(session=MAIN, kind="bulletin", notice_id="1", text="Hello"),
    )

    assert replay(records) == History()
