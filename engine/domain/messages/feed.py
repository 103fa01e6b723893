"""Messages to and from a session's feed."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from engine.domain.messages.common import (
    ReportAnomaly,
    StartTimer,
    StopTimer,
    TimerFired,
)
from engine.domain.messages.risk import (
    FundsRead,
    LedgerRead,
    PositionsRead,
    ProfitSeen,
    ReconcileAccount,
)
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    ConId,
    Execution,
    ExecutionId,
    OrderRow,
    ProfitAndLoss,
    Question,
    SessionName,
    Source,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReady:
    """The WebSocket is past `system.success`, and every subscription was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLost:
    """The WebSocket is gone or silent; news may have been missed."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthStreamed:
    """The stream reported a change of the brokerage session; None means not mentioned."""

    authenticated: bool | None
    competing: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverNews:
    """Hand rows and executions to the orders that they belong to."""

    rows: tuple[OrderRow, ...] = ()
    executions: tuple[Execution, ...] = ()
    source: Source
    read: int = 0
    """The number of the list's read, from 1; 0 for what the stream told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverToRisk:
    """Tell the account's risk actor what was read about it."""

    account: AccountId
    message: PositionsRead | FundsRead | LedgerRead | ProfitSeen | ReconcileAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStream:
    """Tell the feed to connect its WebSocket and to keep it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseStream:
    """Tell the feed to let the WebSocket go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshStream:
    """Tell the feed to ask for the order and trade topics anew: polls saw what they missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsStreamed:
    """The stream brought news of these orders and executions, to compare with the polls."""

    rows: tuple[OrderRow, ...]
    executions: tuple[ExecutionId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSeen:
    """The broker told people something: a notice, or a bulletin. The journal's NOTICE.

    `notice_id` is the broker's; the same notice comes again with every connection.
    """

    session: SessionName
    kind: str
    notice_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptStreamed:
    """The broker asks about an order that it holds, over the stream."""

    broker_order_id: BrokerOrderId
    question: Question


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeQuotes:
    """Stream this contract's market from now on, over reconnects, too."""

    conid: ConId


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsubscribeQuotes:
    """Stop streaming this contract's market."""

    conid: ConId


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketOpened:
    """The WebSocket handshake is done; the gateway is not connected upstream yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketClosed:
    """There is no WebSocket (any more), and why. Also the answer to a failed connect."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSucceeded:
    """The broker's `system.success`: what is sent from now on will be heard."""

    paper: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatSeen:
    """A `system` heartbeat or an answer to `tic`: the broker itself is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsStreamed:
    """Order rows, executions and results that one socket read brought, in order."""

    rows: tuple[OrderRow, ...] = ()
    executions: tuple[Execution, ...] = ()
    results: tuple[ProfitAndLoss, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRefused:
    """The stream answered with an error text, for instance an unknown topic."""

    topic: str
    text: str


FeedMessage: TypeAlias = (
    OpenStream
    | CloseStream
    | RefreshStream
    | SubscribeQuotes
    | UnsubscribeQuotes
    | SocketOpened
    | SocketClosed
    | SystemSucceeded
    | HeartbeatSeen
    | AuthStreamed
    | NewsStreamed
    | NoticeSeen
    | PromptStreamed
    | StreamRefused
    | TimerFired
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectSocket:
    """Open the WebSocket. Answered by `SocketOpened` or `SocketClosed`, always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseSocket:
    """Close the WebSocket, if there is one. Answered by `SocketClosed` if there was."""

    reason: str


class Topic(StrEnum):
    """What can be asked of the stream."""

    QUOTES = "quotes"
    STOP_QUOTES = "stop_quotes"
    ORDERS = "orders"
    STOP_ORDERS = "stop_orders"
    TRADES = "trades"
    STOP_TRADES = "stop_trades"
    RESULTS = "results"
    KEEP_ALIVE = "keep_alive"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTopic:
    """Send one request on the stream; `conid` goes with the two about quotes."""

    topic: Topic
    conid: ConId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TellSession:
    """Pass this on to the session."""

    message: StreamReady | StreamLost | AuthStreamed | RowsStreamed


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteNotice:
    """Append the notice to the journal, and let people see it."""

    notice: NoticeSeen


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverPrompt:
    """Hand a prompt to the order that it is about; one of somebody else's is left alone."""

    prompt: PromptStreamed


FeedEffect: TypeAlias = (
    ConnectSocket
    | CloseSocket
    | SendTopic
    | TellSession
    | WriteNotice
    | DeliverPrompt
    | DeliverNews
    | DeliverToRisk
    | StartTimer
    | StopTimer
    | ReportAnomaly
)
