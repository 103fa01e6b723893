from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.actors.wire import FeedLine, OrderWire, SessionLine
from engine.domain.messages import (
    CallGateway,
    CancelAtBroker,
    HeartbeatSeen,
    ModifyAtBroker,
    OrderAnswered,
    PlaceAtBroker,
    ReplyAtBroker,
    SendTopic,
    SessionCall,
    SocketOpened,
    Step,
    SystemSucceeded,
    Topic,
)
from engine.domain.values import OrderId, QuestionId
from tests.actors.house import ACCOUNT, ACK, ASKED, BROKER_ID, CONID, MAIN, TIMEOUT
from tests.domain.risk.samples import QUOTE
from tests.fakes import (
    FakeFeedGateway,
    FakeOrderGateway,
    FakeSessionGateway,
    OrderCall,
    loop_clock,
    quiet,
    run,
)

ORDER = OrderId("1-1")
PLACE = PlaceAtBroker(
    order_id=ORDER, session=MAIN, account=ACCOUNT, body=b"{}", send_by_ns=0, session_epoch=1
)
REPLY = ReplyAtBroker(order_id=ORDER, session=MAIN, question_id=QuestionId("q"), confirmed=True)
CANCEL = CancelAtBroker(
    order_id=OrderId("1-2"), session=MAIN, account=ACCOUNT, broker_order_id=BROKER_ID
)
MODIFY = ModifyAtBroker(
    order_id=OrderId("1-3"),
    session=MAIN,
    account=ACCOUNT,
    broker_order_id=BROKER_ID,
    body=b"{}",
    send_by_ns=0,
    session_epoch=1,
)


def test_a_conversation_is_on_the_wire_until_its_answer_was_told() -> None:
    inner = FakeOrderGateway()
    wire = OrderWire(inner)
    seen: list[object] = []
    wire.on_answer = lambda order_id: seen.append((order_id, wire.conversations))

    wire.place(PLACE, seen.append)
    wire.modify(MODIFY, seen.append)
    both = wire.conversations
    inner.answer(ASKED)
    wire.reply(REPLY, seen.append)
    again = wire.conversations
    inner.answer(ACK)
    inner.answer(ACK)

    assert inner.calls == [PLACE, MODIFY, REPLY]
    assert both == (ORDER, MODIFY.order_id)
    assert again == (MODIFY.order_id, ORDER)
    assert wire.conversations == ()
    assert seen == [
        OrderAnswered(order_id=ORDER, step=Step.PLACE, outcome=ASKED),
        (ORDER, (MODIFY.order_id,)),
        OrderAnswered(order_id=MODIFY.order_id, step=Step.MODIFY, outcome=ACK),
        (MODIFY.order_id, (ORDER,)),
        OrderAnswered(order_id=ORDER, step=Step.REPLY, outcome=ACK),
        (ORDER, ()),
    ]


class LateGateway(FakeOrderGateway):
    """A gateway that tells an answer once more, as late, as long as the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.tells: list[tuple[Step, OrderId, Callable[[OrderAnswered], None]]] = []

    def _take(self, call: OrderCall, step: Step, tell: Callable[[OrderAnswered], None]) -> None:
        super()._take(call, step, tell)
        self.tells.append((step, call.order_id, tell))

    def answer_late(self, index: int) -> OrderAnswered:
        step, order_id, tell = self.tells[index]
        late = OrderAnswered(order_id=order_id, step=step, outcome=ACK, late=True)
        tell(late)
        return late


def test_a_late_answer_ends_no_conversation_that_began_since() -> None:
    inner = LateGateway()
    wire = OrderWire(inner)
    told: list[OrderAnswered] = []
    ended: list[OrderId] = []
    wire.on_answer = ended.append
    wire.place(PLACE, told.append)
    inner.answer(TIMEOUT)
    wire.modify(replace(MODIFY, order_id=ORDER), told.append)

    late = inner.answer_late(0)
    open_ = wire.conversations
    inner.answer(ACK)

    assert told[1] == late
    assert (open_, wire.conversations) == ((ORDER,), ())
    assert ended == [ORDER, ORDER], "once for each conversation"


def test_a_late_answer_to_a_cancel_is_counted_once() -> None:
    inner = LateGateway()
    wire = OrderWire(inner)
    wire.cancel(CANCEL, lambda _answer: None)
    wire.cancel(CANCEL, lambda _answer: None)
    inner.answer(TIMEOUT)

    inner.answer_late(0)

    assert wire.cancels == 1


def test_what_came_of_a_request_is_told_before_its_order_hears_of_it() -> None:
    inner = FakeOrderGateway()
    wire = OrderWire(inner)
    seen: list[object] = []
    wire.on_outcome = seen.append

    wire.place(PLACE, lambda _answer: seen.append("order"))
    inner.answer(ACK)
    wire.cancel(CANCEL, lambda _answer: seen.append("cancel"))
    inner.answer(TIMEOUT)

    assert seen == [ACK, "order", TIMEOUT, "cancel"]


def test_a_line_that_ended_is_missed_by_nobody() -> None:
    async def scene() -> None:
        told: list[Any] = []
        gateway = FakeSessionGateway((ACCOUNT,), loop_clock())
        line = SessionLine(gateway, told.append)

        line.call(CallGateway(call=SessionCall.SUPPRESS), told.append)
        line.end()
        await quiet()

        assert told == []

    run(scene())


def test_a_cancel_is_no_conversation() -> None:
    inner = FakeOrderGateway()
    wire = OrderWire(inner)

    wire.cancel(CANCEL, lambda _answer: None)

    assert inner.calls == [CANCEL]
    assert wire.conversations == ()


def test_a_request_that_could_not_be_made_is_not_on_the_wire() -> None:
    inner = FakeOrderGateway()
    inner.error = OSError("no route")
    wire = OrderWire(inner)

    with pytest.raises(OSError, match="no route"):
        wire.place(PLACE, lambda _answer: None)

    assert wire.conversations == ()


def test_a_line_that_was_cut_lets_no_answer_through() -> None:
    async def scene() -> None:
        told: list[Any] = []
        late: list[Any] = []
        gateway = FakeSessionGateway((ACCOUNT,), loop_clock())
        line = SessionLine(gateway, late.append)
        call = CallGateway(call=SessionCall.SUPPRESS)

        line.call(call, told.append)
        await quiet()
        line.call(call, told.append)
        line.cut()
        await quiet()

        assert (len(told), len(late)) == (1, 1)

    run(scene())


def test_a_line_of_a_feed_is_the_feed_until_it_is_cut() -> None:
    async def scene() -> None:
        told: list[Any] = []
        late: list[Any] = []
        inner = FakeFeedGateway()
        inner.quotes[CONID] = QUOTE
        line = FeedLine(inner, late.append)

        line.connect(told.append)
        line.send(SendTopic(topic=Topic.ORDERS))
        await quiet()
        found = (line.quote(CONID), line.bars(CONID, 1_000, 1), line.heartbeat_age_ms())
        line.cut()
        inner.bring(HeartbeatSeen())
        line.close("enough")
        await quiet()

        assert told == [SocketOpened(), SystemSucceeded(paper=True)]
        assert inner.sent == [SendTopic(topic=Topic.ORDERS)]
        assert found == (QUOTE, (), 0)
        assert [type(message).__name__ for message in late] == ["HeartbeatSeen", "SocketClosed"]
        assert line.heartbeat_age_ms() is None

    run(scene())
