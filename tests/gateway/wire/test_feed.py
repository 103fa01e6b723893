import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.messages import (
    AuthStreamed,
    HeartbeatSeen,
    PromptStreamed,
    SendTopic,
    StreamRefused,
    SystemSucceeded,
    Topic,
)
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    ConId,
    MessageId,
    OrderRow,
    ProfitAndLoss,
    Question,
    QuestionId,
)
from engine.gateway.wire import feed as wire

PROMPT = {
    "orderId": 1883733600,
    "reqId": "29042",
    "dismissable": [],
    "text": "Not immediately executable.\nUse the Price Management Algo?",
    "options": ["Use on this order", "Always use", "Do not use"],
    "type": "M",
    "messageId": "p12",
    "prompt": True,
}
ASKED = PromptStreamed(
    broker_order_id=BrokerOrderId("1883733600"),
    question=Question(
        question_id=QuestionId(
            "notification:1883733600:29042:Use%20on%20this%20order:Do%20not%20use"
        ),
        message_ids=(MessageId("p12"),),
        texts=("Not immediately executable. Use the Price Management Algo?",),
    ),
)
ROW = {"acct": "DU1234567", "orderId": 1}
SEEN = OrderRow(account=AccountId("DU1234567"), broker_order_id=BrokerOrderId("1"))


@pytest.mark.parametrize(
    ("effect", "text"),
    [
        (
            SendTopic(topic=Topic.QUOTES, conid=ConId(265598)),
            b'smd+265598+{"fields":["31","84","85","86","88","7059","87","7762","7741","6509"]}',
        ),
        (SendTopic(topic=Topic.STOP_QUOTES, conid=ConId(265598)), b"umd+265598+{}"),
        (SendTopic(topic=Topic.ORDERS), b"sor+{}"),
        (SendTopic(topic=Topic.TRADES), b'str+{"realtimeUpdatesOnly":false,"days":1}'),
        (SendTopic(topic=Topic.STOP_ORDERS), b"uor+{}"),
        (SendTopic(topic=Topic.STOP_TRADES), b"utr"),
        (SendTopic(topic=Topic.RESULTS), b"spl+{}"),
        (SendTopic(topic=Topic.KEEP_ALIVE), b"tic"),
    ],
)
def test_a_topic_is_asked_for_in_the_brokers_words(effect: SendTopic, text: bytes) -> None:
    assert wire.request(effect) == text


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        (
            {"topic": "system", "success": "user", "isFT": False, "isPaper": True},
            (SystemSucceeded(paper=True),),
        ),
        ({"topic": "system", "success": "user"}, (SystemSucceeded(paper=False),)),
        ({"topic": "system", "hb": 1712596911593}, (HeartbeatSeen(),)),
        ({"topic": "system", "other": 1}, ()),
        ({"topic": "tic", "alive": True, "id": "x"}, (HeartbeatSeen(),)),
        ({"topic": "tic", "alive": False}, ()),
        (
            {"topic": "sts", "args": {"authenticated": True, "competing": False, "message": ""}},
            (AuthStreamed(authenticated=True, competing=False),),
        ),
        (
            {"topic": "sts", "args": {"competing": True}},
            (AuthStreamed(authenticated=None, competing=True),),
        ),
        ({"topic": "sts", "args": {"message": ""}}, ()),
        ({"topic": "sts", "args": {"serverName": "JifN19053"}}, ()),
        ({"topic": "sor", "args": [ROW, ROW]}, (wire.StreamNews(rows=(SEEN, SEEN)),)),
        ({"topic": "sor", "args": ROW}, (wire.StreamNews(rows=(SEEN,)),)),
        ({"topic": "sor", "args": []}, ()),
        (
            {"topic": "sor", "args": [{"orderId": 2}, ROW]},
            (
                wire.StreamNews(rows=(SEEN,)),
                wire.Unread(topic="sor", detail="account and acct missing"),
            ),
        ),
        (
            {"topic": "str", "args": [{"execution_id": "1"}]},
            (wire.Unread(topic="str", detail="side missing"),),
        ),
        (
            {"topic": "spl", "args": {"DU1234567.Core": {"dpl": "-5", "upl": 7, "nl": 100}}},
            (
                wire.StreamNews(
                    results=(
                        ProfitAndLoss(
                            account=AccountId("DU1234567"),
                            daily=Decimal(-5),
                            unrealized=Decimal(7),
                            net_liquidation=Decimal(100),
                        ),
                    )
                ),
            ),
        ),
        (
            {"topic": "spl", "args": {"DU1234567.Core": {"dpl": "x"}, "DU7654321": {"upl": 7}}},
            (
                wire.StreamNews(
                    results=(
                        ProfitAndLoss(
                            account=AccountId("DU7654321"),
                            daily=None,
                            unrealized=Decimal(7),
                            net_liquidation=None,
                        ),
                    )
                ),
                wire.Unread(topic="spl", detail="dpl is 'x', expected a number"),
            ),
        ),
        ({"message": "waiting for session"}, (wire.SessionWanted(),)),
        (
            {"error": "No accounts", "code": 500, "topic": "smd"},
            (StreamRefused(topic="smd", text="No accounts"),),
        ),
        (
            {"topic": "error", "error": "Topic unknown 'null'", "code": 500},
            (StreamRefused(topic="error", text="Topic unknown 'null'"),),
        ),
        (
            {"topic": "ntf", "args": [{"id": "118", "text": "Order\nwill end", "title": None}]},
            (wire.Notice(kind="notice", notice_id="118", text="Order will end"),),
        ),
        (
            {"topic": "ntf", "args": {"id": 118, "title": "Only a title"}},
            (wire.Notice(kind="notice", notice_id="118", text="Only a title"),),
        ),
        (
            {"topic": "ntf", "args": [{"id": 5, "text": "first"}, PROMPT, {"id": 6, "text": "x"}]},
            (
                wire.Notice(kind="notice", notice_id="5", text="first"),
                ASKED,
                wire.Notice(kind="notice", notice_id="6", text="x"),
            ),
        ),
        ({"topic": "ntf", "args": PROMPT}, (ASKED,)),
        (
            {"topic": "ntf", "args": [{**PROMPT, "options": ["This", "That"]}]},
            (
                wire.Notice(
                    kind="notice",
                    notice_id="29042",
                    text="Not immediately executable. Use the Price Management Algo?",
                ),
                wire.Unread(topic="ntf", detail="a prompt with the options ('This', 'That')"),
            ),
        ),
        ({"topic": "ntf", "args": []}, ()),
        (
            {"topic": "blt", "args": [{"id": 1, "exchanges": None, "message": "[BBSMSG]\nx"}]},
            (wire.Notice(kind="bulletin", notice_id="1", text="[BBSMSG] x"),),
        ),
        (
            {"topic": "blt", "args": {"id": 1789618148, "message": "bare"}},
            (wire.Notice(kind="bulletin", notice_id="1789618148", text="bare"),),
        ),
        ({"topic": "act", "args": {"accounts": ["DU1234567"]}}, (wire.AccountsSent(),)),
    ],
)
def test_a_message_says_what_it_says(
    message: dict[str, object], parts: tuple[wire.StreamPart, ...]
) -> None:
    topic = str(message.get("topic", ""))

    assert wire.read(topic, json.dumps(message).encode()) == parts


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("text", b"ech+hb"),
        ("", b'{"result":"unsubscribed from summary"}'),
        ("spl", b'{"topic":"spl","args":[]}'),
        ("sts", b'{"topic":"sts"}'),
        ("", b"[]"),
        ("xyz", b'{"topic":"xyz"}'),
        ("ntf", b'{"topic":"ntf"}'),
        ("blt", b'{"topic":"blt","args":"closed"}'),
    ],
)
def test_what_nobody_can_read_is_reported(topic: str, payload: bytes) -> None:
    [part] = wire.read(topic, payload)

    assert isinstance(part, wire.Unread)
    assert part.topic == topic


@pytest.mark.parametrize("item", [{"text": "same words"}, {"id": {}, "text": "same words"}])
def test_a_notice_without_an_id_is_named_by_its_words(item: dict[str, object]) -> None:
    first, again, other = wire.read(
        "ntf", json.dumps({"args": [item, {"text": "same words"}, {"text": "others"}]}).encode()
    )

    assert isinstance(first, wire.Notice)
    assert isinstance(other, wire.Notice)
    assert first == again
    assert first.notice_id != other.notice_id


@pytest.mark.parametrize("topic", ["tic", "system", "sts", "act"])
def test_what_is_about_the_login_is_not_shown(topic: str) -> None:
    cut = b'{"alive":true,"id":"hunter2","lastAcc'

    assert wire.read(topic, cut) == (wire.Unread(topic=topic, detail="37 bytes"),)


def test_a_cut_off_message_of_no_known_topic_shows_no_token() -> None:
    [part] = wire.read("", b'{"session":"hunter2","topic":"ti')

    assert part == wire.Unread(topic="", detail='{"session":"***","topic":"ti')


def test_a_refusal_shows_no_token() -> None:
    words = "no session bb665d0f9a0a4a8d9a3f3b6d6a1c6d5e"

    parts = wire.read("smd", json.dumps({"error": words}).encode())

    assert parts == (StreamRefused(topic="smd", text="no session ***"),)


@given(
    topic=st.sampled_from(["sor", "str", "spl", "system", "tic", "sts", "ntf", "blt", "act", ""]),
    args=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["orderId", "a", "id", "text", "reqId", "options"]), inner
            )
        ),
        max_leaves=6,
    ),
)
def test_no_message_ends_the_stream(topic: str, args: object) -> None:
    parts = wire.read(topic, json.dumps({"topic": topic, "args": args}).encode())

    assert isinstance(parts, tuple)


def test_the_session_token_goes_as_the_broker_wants_it() -> None:
    assert wire.session_answer("abc") == b'{"session":"abc"}'
