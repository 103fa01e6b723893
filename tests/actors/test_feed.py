from decimal import Decimal

from structlog.testing import capture_logs

from engine import metrics
from engine.domain.messages import (
    AuthStreamed,
    NewsStreamed,
    NoticeSeen,
    PromptStreamed,
    ReplyAtBroker,
    SendTopic,
    SessionCall,
    StreamRefused,
    Topic,
)
from engine.domain.values import (
    BrokerOrderId,
    MessageId,
    ProfitAndLoss,
    Question,
    QuestionId,
    SessionState,
)
from tests.actors.house import ACCOUNT, BROKER_ID, CONID, MAIN, ready_house
from tests.fakes import quiet, run, skip


def connected() -> float:
    return float(metrics.WS_CONNECTED.labels(MAIN)._value.get())


def test_a_stream_subscribes_once_it_is_heard() -> None:
    async def scene() -> None:
        house = await ready_house()

        assert house.line.feed.sent == [
            SendTopic(topic=Topic.ORDERS),
            SendTopic(topic=Topic.TRADES),
            SendTopic(topic=Topic.RESULTS),
            SendTopic(topic=Topic.QUOTES, conid=CONID),
        ]
        assert connected() == 1
        assert metrics.SUBSCRIPTIONS.labels(MAIN)._value.get() == 1

    run(scene())


def test_a_lost_stream_is_counted_logged_and_opened_again() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.WS_RECONNECTS.labels(MAIN)
        before = counter._value.get()

        with capture_logs() as logs:
            house.line.feed.down = "connection refused"
            house.line.feed.close("a cable was pulled")
            await quiet()
            lost = (connected(), house.bridge.sessions()[0].state)
            await skip(1)
            house.line.feed.down = None
            await skip(5)

        assert lost == (0, SessionState.DEGRADED)
        assert counter._value.get() == before + 1, "a socket that never opened was not lost"
        assert [line["reason"] for line in logs if line["event"] == "stream_closed"] == [
            "a cable was pulled",
            "connection refused",
        ]
        assert house.bridge.sessions()[0].state is SessionState.READY
        assert connected() == 1

    run(scene())


def test_a_silent_stream_is_closed() -> None:
    async def scene() -> None:
        house = await ready_house()
        feed = house.line.feed
        send = feed.send

        def send_and_hear_nothing(effect: SendTopic) -> None:
            if effect.topic is not Topic.KEEP_ALIVE:
                send(effect)

        feed.send = send_and_hear_nothing  # type: ignore[method-assign] # the broker is gone
        with capture_logs() as logs:
            await skip(29)

        assert [line["reason"] for line in logs if line["event"] == "stream_closed"] == [
            "no heartbeat from the broker in time"
        ]

    run(scene())


def test_a_running_result_reaches_its_account() -> None:
    async def scene() -> None:
        house = await ready_house()
        result = ProfitAndLoss(
            account=ACCOUNT, daily=Decimal("-12.5"), unrealized=None, net_liquidation=None
        )

        house.line.feed.bring(NewsStreamed(results=(result,)))
        await quiet()

        assert house.bridge.account(ACCOUNT).daily_pnl.value == Decimal("-12.5")

    run(scene())


def test_a_change_of_the_login_makes_the_session_look_before_it_sends_more() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.session.held = {SessionCall.AUTH_STATUS}

        house.line.feed.bring(AuthStreamed(authenticated=False, competing=None))
        await quiet()

        assert house.line.session.calls[-1] is SessionCall.AUTH_STATUS
        assert house.bridge.sessions()[0].state is SessionState.DEGRADED

    run(scene())


def test_a_refused_topic_is_reported() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.ANOMALIES.labels("feed", "refused")
        before = counter._value.get()

        house.line.feed.bring(StreamRefused(topic="xyz", text="unknown topic"))
        await quiet()

        assert counter._value.get() == before + 1

    run(scene())


def test_a_notice_is_written_down_once_however_often_the_stream_comes_back() -> None:
    async def scene() -> None:
        house = await ready_house()
        notice = NoticeSeen(session=MAIN, kind="bulletin", notice_id="7", text="Closed tomorrow")

        house.line.feed.bring(notice, notice)
        await quiet()
        house.line.feed.close("a cable was pulled")
        await skip(5)
        house.line.feed.bring(notice)
        await quiet()

        written = [one.entry.message for one in house.journal.durable]
        assert [message for message in written if isinstance(message, NoticeSeen)] == [notice]

    run(scene())


def test_a_prompt_about_somebody_elses_order_is_noted_and_not_answered() -> None:
    async def scene() -> None:
        house = await ready_house()
        question = Question(
            question_id=QuestionId("29042"), message_ids=(MessageId("p12"),), texts=("Sure?",)
        )

        house.line.feed.bring(
            PromptStreamed(broker_order_id=BrokerOrderId("999"), question=question)
        )
        await quiet()

        messages = (one.entry.message for one in house.journal.durable)
        (written,) = (message for message in messages if isinstance(message, NoticeSeen))
        assert written == NoticeSeen(
            session=MAIN,
            kind="prompt",
            notice_id="29042",
            text="about order 999, which is not ours: Sure?",
        )
        assert house.line.orders.calls == []

    run(scene())


def test_a_prompt_about_our_order_is_answered_by_the_accounts_policy() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        question = Question(
            question_id=QuestionId("29042"), message_ids=(MessageId("o163"),), texts=("Sure?",)
        )

        house.line.feed.bring(PromptStreamed(broker_order_id=BROKER_ID, question=question))
        await quiet()

        replies = [call for call in house.line.orders.calls if isinstance(call, ReplyAtBroker)]
        assert [(reply.order_id, reply.question_id) for reply in replies] == [
            (view.order_id, QuestionId("29042"))
        ]

    run(scene())
