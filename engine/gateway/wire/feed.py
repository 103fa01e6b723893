"""The broker's words on the WebSocket: what is asked for, and what messages say.

Rule 1: prices never come here; the Rust decoder reads them.

Rule 2: one message that cannot be read is reported and left out, and never ends the
stream: news that was missed is found by the next poll.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from engine.domain.messages import (
    AuthStreamed,
    HeartbeatSeen,
    PromptStreamed,
    SendTopic,
    StreamRefused,
    SystemSucceeded,
    Topic,
)
from engine.domain.values import Execution, OrderRow, ProfitAndLoss
from engine.gateway.wire.excerpt import excerpt, redact
from engine.gateway.wire.lenient import (
    BadAnswer,
    Row,
    as_row,
    decode,
    flag,
    identifier,
    rows_in,
    sentence,
)
from engine.gateway.wire.question import is_prompt, prompt
from engine.gateway.wire.rows import execution, order_row, readable, results

QUOTE_FIELDS: Final = ("31", "84", "85", "86", "88", "7059", "87", "7762", "7741", "6509")
"""Last price; bid, ask size, ask, bid size; last size; volume, rounded and exact; prior close;
availability."""

_NOTICES: Final = {"ntf": "notice", "blt": "bulletin"}
_PRIVATE: Final = frozenset({"act", "sts", "system", "tic"})
"""Topics about the login: with its id, its user and the machine. Nothing of them is shown."""
_WAITING: Final = "waiting for session"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamNews:
    """What one message says of orders, executions and results, in its order."""

    rows: tuple[OrderRow, ...] = ()
    executions: tuple[Execution, ...] = ()
    results: tuple[ProfitAndLoss, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionWanted:
    """The broker does not know whose stream this is, and waits for the session's token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsSent:
    """The accounts of the session were sent; the stream does so after every connect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message for people; `kind` is `notice` or `bulletin`.

    `notice_id` is the broker's, else one made of the text: equal texts have equal ids.
    """

    kind: str
    notice_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A message, or a part of one, that nobody could read."""

    topic: str
    detail: str


OtherPart: TypeAlias = (
    SessionWanted
    | AccountsSent
    | Notice
    | Unread
    | SystemSucceeded
    | HeartbeatSeen
    | AuthStreamed
    | PromptStreamed
    | StreamRefused
)
StreamPart: TypeAlias = StreamNews | OtherPart


def request(effect: SendTopic) -> bytes:
    """Return the text that asks for a topic, or ends it."""
    match effect.topic:
        case Topic.QUOTES:
            fields = msgspec.json.encode({"fields": QUOTE_FIELDS})
            return b"smd+%d+%b" % (_conid(effect), fields)
        case Topic.STOP_QUOTES:
            return b"umd+%d+{}" % _conid(effect)
        case Topic.ORDERS:
            return b"sor+{}"
        case Topic.STOP_ORDERS:
            return b"uor+{}"
        case Topic.STOP_TRADES:
            return b"utr"
        case Topic.TRADES:
            return b'str+{"realtimeUpdatesOnly":false,"days":1}'
        case Topic.RESULTS:
            return b"spl+{}"
        case Topic.KEEP_ALIVE:
            return b"tic"


def session_answer(token: str) -> bytes:
    """Return what the broker waits for when it says "waiting for session"."""
    return msgspec.json.encode({"session": token})


def read(topic: str, payload: bytes) -> tuple[StreamPart, ...]:
    """Return what a message says, in its order; nothing for one that says nothing to us."""
    try:
        row = as_row(decode(payload), "the message")
    except BadAnswer:
        # The old keep-alive's answer is plain text; whatever else is not JSON was cut off.
        return (Unread(topic=topic, detail=_shown(topic, payload)),)
    if row.get("error"):
        words = redact(sentence(row["error"])) or _shown(topic, payload)
        return (StreamRefused(topic=topic, text=words),)
    try:
        return _read(topic, row, payload)
    except BadAnswer as error:
        return (Unread(topic=topic, detail=f"{error}: {_shown(topic, payload)}"),)


def _read(topic: str, row: Row, payload: bytes) -> tuple[StreamPart, ...]:
    match topic:
        case "sor" | "str":
            return _news(topic, row.get("args"))
        case "spl":
            return _results(row.get("args"))
        case "system":
            return _system(row)
        case "tic":
            return () if flag(row, "alive") is False else (HeartbeatSeen(),)
        case "sts":
            return _auth(as_row(row.get("args"), "sts args"))
        case "act":
            return (AccountsSent(),)
        case "ntf" | "blt":
            return _notices(topic, row.get("args"))
        case "" if row.get("message") == _WAITING:
            return (SessionWanted(),)
        case _:
            return (Unread(topic=topic, detail=_shown(topic, payload)),)


def _news(topic: str, args: object) -> tuple[StreamPart, ...]:
    """Return the rows that can be read, in order, and a report of each that cannot."""
    if topic == "sor":
        orders = readable(rows_in(args), order_row)
        news, reports = StreamNews(rows=orders.rows), orders.unread
    else:
        trades = readable(rows_in(args), execution)
        news, reports = StreamNews(executions=trades.rows), trades.unread
    return _with_reports(topic, news, reports)


def _results(args: object) -> tuple[StreamPart, ...]:
    found = results(args)
    return _with_reports("spl", StreamNews(results=found.rows), found.unread)


def _with_reports(topic: str, news: StreamNews, reports: tuple[str, ...]) -> tuple[StreamPart, ...]:
    unread = tuple(Unread(topic=topic, detail=report) for report in reports)
    return unread if news == StreamNews() else (news, *unread)


def _shown(topic: str, payload: bytes) -> str:
    """Return what may be shown of a message."""
    return f"{len(payload)} bytes" if topic in _PRIVATE else excerpt(payload)


def _system(row: Row) -> tuple[StreamPart, ...]:
    if "success" in row:
        return (SystemSucceeded(paper=flag(row, "isPaper") is True),)
    return (HeartbeatSeen(),) if "hb" in row else ()


def _auth(args: Row) -> tuple[StreamPart, ...]:
    authenticated, competing = flag(args, "authenticated"), flag(args, "competing")
    if authenticated is None and competing is None:
        return ()
    return (AuthStreamed(authenticated=authenticated, competing=competing),)


def _notices(topic: str, args: object) -> tuple[StreamPart, ...]:
    """Return what is for people, and what the broker wants to be answered, in its order."""
    if not isinstance(args, list | dict):
        message = f"args is {type(args).__name__}, expected an array or an object"
        raise BadAnswer(message)
    found: list[StreamPart] = []
    for item in rows_in(args):
        if not is_prompt(item):
            found.append(_notice(_NOTICES[topic], item))
            continue
        try:
            broker_order_id, question = prompt(item)
            found.append(PromptStreamed(broker_order_id=broker_order_id, question=question))
        except BadAnswer as error:
            # Nobody here can answer it, so a person should see it.
            found += (_notice(_NOTICES[topic], item), Unread(topic=topic, detail=str(error)))
    return tuple(found)


def _notice(kind: str, item: Row) -> Notice:
    words = (
        sentence(item.get("text")) or sentence(item.get("message")) or sentence(item.get("title"))
    )
    try:
        notice_id = identifier(item, "id", "reqId")
    except BadAnswer:
        notice_id = None
    if notice_id is None:
        notice_id = hashlib.sha256(words.encode()).hexdigest()[:16]
    return Notice(kind=kind, notice_id=notice_id, text=words or "a notice without text")


def _conid(effect: SendTopic) -> int:
    assert effect.conid is not None, f"{effect.topic} needs a conid"
    return effect.conid
