"""What one column of the grid needs of another; `app.py` fills these in.

A port's methods return at once unless they are `async`. What takes time is answered by
a message through the `tell` that the port was given.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeAlias

from engine.domain.messages import (
    CallGateway,
    CancelAtBroker,
    FeedMessage,
    HaltScope,
    JournalMessage,
    ModifyAtBroker,
    OrderAnswered,
    PlaceAtBroker,
    ReplyAtBroker,
    RequestAnswer,
    ResumeScope,
    SendTopic,
    SessionMessage,
)
from engine.domain.values import (
    AccountId,
    Bar,
    ClientOrderId,
    Coid,
    ConId,
    Instrument,
    OrderId,
    OrderState,
    Quote,
    Reason,
    SessionName,
    Terms,
    Ticket,
)
from engine.domain.views import (
    AccountView,
    EventView,
    ExternalOrderView,
    HealthView,
    LimitsView,
    OrderView,
    PositionView,
    SessionView,
)


class OrderEncoder(Protocol):
    """Turns a ticket into the bytes that are journaled, and then sent."""

    def encode(self, ticket: Ticket, coid: Coid) -> bytes:
        """Return the request body of this order."""
        ...

    def encode_change(self, ticket: Ticket, coid: Coid, terms: Terms) -> bytes:
        """Return the request body that gives the order these terms: its whole ticket."""
        ...

    def refusal(self, ticket: Ticket) -> Reason | None:
        """Say why this ticket cannot be written at all, None when it can.

        A future, for instance, needs the operator that the configuration names.
        """
        ...


class OrderGateway(Protocol):
    """Sends what concerns one order. Each call is answered by exactly one `OrderAnswered`.

    Nothing is ever sent twice: library retries are off, and what cannot be told from
    "sent" is answered IN_DOUBT.
    """

    def place(self, effect: PlaceAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        """Send the order unless `send_by_ns` has passed; that is NOT_SENT."""
        ...

    def reply(self, effect: ReplyAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        """Answer the broker's question."""
        ...

    def cancel(self, effect: CancelAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        """Ask for the cancel; it overtakes everything else that waits for the gateway."""
        ...

    def modify(self, effect: ModifyAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        """Send the changed ticket unless `send_by_ns` has passed; that is NOT_SENT."""
        ...


class SessionGateway(Protocol):
    """Makes a session's own requests; each is answered by exactly one message."""

    def call(self, effect: CallGateway, tell: Callable[[SessionMessage], None]) -> None:
        """Make the request."""
        ...


class FeedGateway(Protocol):
    """One session's WebSocket, its quotes and its bars."""

    def connect(self, tell: Callable[[FeedMessage], None]) -> None:
        """Open the WebSocket; everything it brings is told from then on."""
        ...

    def send(self, effect: SendTopic) -> None:
        """Send one request; silently nothing when the WebSocket is gone."""
        ...

    def close(self, reason: str) -> None:
        """Close the WebSocket, if there is one."""
        ...

    def quote(self, conid: ConId) -> Quote | None:
        """Return the last quote, or None when none came since the last connect."""
        ...

    def bars(self, conid: ConId, interval_ms: int, limit: int) -> tuple[Bar, ...]:
        """Return the newest closed bars, oldest first."""
        ...

    def heartbeat_age_ms(self) -> int | None:
        """Return the age of the last heartbeat, None while there is no WebSocket."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractQuery:
    """What a client says of a contract. A symbol alone means a stock.

    `expiry` is `YYYYMMDD` or `YYYYMM`, `right` is `C` or `P`.
    """

    symbol: str
    sec_type: str = "STK"
    exchange: str | None = None
    currency: str | None = None
    expiry: str | None = None
    strike: Decimal | None = None
    right: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AmbiguousSymbol:
    """A symbol that means several contracts; the client must name a conid.

    `candidates` has the first ones, with what is known of them; `count` is how many
    there are.
    """

    symbol: str
    candidates: tuple[Instrument, ...]
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgedInstrument:
    """A contract, and how long ago the broker was asked about it."""

    instrument: Instrument
    age_ms: int


class InstrumentGateway(Protocol):
    """Looks contracts up at the broker, and remembers them for a day."""

    async def by_conid(self, conid: ConId) -> Instrument | Reason:
        """Return the contract with its trading rules, or why it could not be had."""
        ...

    async def find(self, query: ContractQuery) -> Instrument | AmbiguousSymbol | Reason:
        """Return the one contract that fits, or why there is not exactly one."""
        ...

    def age_ms(self, conid: ConId) -> int | None:
        """Return how old our knowledge of a contract is, None without any."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """Bars of the past, in the broker's words: `period` `1d`, `bar` `5min`."""

    conid: ConId
    period: str
    bar: str
    outside_rth: bool = False


class DataGateway(Protocol):
    """Reads market data over REST. A refusal is a `Reason`; nothing here raises."""

    async def snapshot(self, conids: Sequence[ConId]) -> tuple[Quote, ...] | Reason:
        """Return the quotes of up to 100 contracts; one without any data is left out."""
        ...

    async def history(self, query: HistoryQuery) -> tuple[Bar, ...] | Reason:
        """Return up to 1,000 bars, oldest first, with real volumes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is to be journaled. `at_ns` is wall time, epoch nanoseconds."""

    at_ns: int
    account: AccountId | None
    order_id: OrderId | None
    message: JournalMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The entry is durable; `seq` is its place in the journal, 1 for the first."""

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCommitted:
    """The entry is not durable.

    With `JOURNAL_UNAVAILABLE` the journal takes no more, for good; every other code
    refuses this entry only.
    """

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An entry as it was read back."""

    seq: int
    entry: Entry


class Journal(Protocol):
    """The append-only log that orders are rebuilt from. Everything here is on the loop."""

    @property
    def epoch(self) -> int:
        """The number of this engine's start on this journal; it names its orders."""
        ...

    def append(self, entry: Entry, done: Callable[[Committed | NotCommitted], None]) -> None:
        """Queue the entry; `done` is called on the loop once it is durable, in order."""
        ...

    def replay(self) -> Sequence[Recorded]:
        """Return every entry of before this start, oldest first. Only at start."""
        ...

    async def read(self, *, after_seq: int, limit: int) -> tuple[EventView, ...]:
        """Return up to `limit` durable entries with `seq > after_seq`, oldest first."""
        ...

    @property
    def last_seq(self) -> int:
        """The newest durable entry, 0 in an empty journal."""
        ...

    async def records(
        self, *, account: AccountId | None = None, order_id: OrderId | None = None
    ) -> tuple[Recorded, ...]:
        """Return every durable entry of an account or an order, oldest first, while running."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitRequest:
    """A submit as the API read it: a ticket that may still name its contract by symbol.

    `ticket.conid` is 0 and `query` set when the client gave a symbol.
    """

    ticket: Ticket
    query: ContractQuery | None
    request_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsChange:
    """What a client wants changed of an order; None leaves as it is."""

    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The durable order that a submit made, or that an earlier one with its key made."""

    answer: RequestAnswer
    order: OrderView


class EngineDraining(Exception):  # noqa: N818 - says what is so, as the other results do
    """The engine takes no new orders because it is stopping; nothing was journaled."""


class JournalUnavailable(Exception):  # noqa: N818 - as above
    """The journal could not make the request durable; nothing was sent."""


class UnknownAccount(Exception):  # noqa: N818 - as above
    """No session of this engine has that account."""


class UnknownOrder(Exception):  # noqa: N818 - as above
    """No order has that id."""


class UnknownSession(Exception):  # noqa: N818 - as above
    """No session has that name."""


class NotModifiable(Exception):  # noqa: N818 - as above
    """The order is not one that can be changed now; the text says why."""


class ChangeRefused(Exception):  # noqa: N818 - as above
    """Risk refused the new terms; nothing was journaled and the old terms stay."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.message)
        self.reason = reason


SubmitResult: TypeAlias = Submitted | AmbiguousSymbol


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which orders a listing shows; None does not filter. At most `limit`, the newest."""

    account: AccountId | None = None
    state: OrderState | None = None
    open_only: bool = False
    client_order_id: ClientOrderId | None = None
    limit: int | None = None


class Engine(Protocol):
    """Everything the API can ask of the engine. Views are durable state."""

    def accounts(self) -> tuple[AccountView, ...]:
        """Every configured account, in order of configuration."""
        ...

    def account(self, account: AccountId) -> AccountView:
        """One account. Raises `UnknownAccount`."""
        ...

    def positions(self, account: AccountId) -> tuple[PositionView, ...]:
        """What the account holds. Raises `UnknownAccount`."""
        ...

    def limits(self, account: AccountId) -> LimitsView:
        """The limits in force, with their sources. Raises `UnknownAccount`."""
        ...

    def sessions(self) -> tuple[SessionView, ...]:
        """Every configured session."""
        ...

    def health(self) -> HealthView:
        """Whether the engine is started, alive and ready."""
        ...

    def orders(self, wanted: OrderFilter) -> tuple[OrderView, ...]:
        """The orders that pass the filter, newest first."""
        ...

    def order(self, order_id: OrderId) -> OrderView:
        """One order. Raises `UnknownOrder`."""
        ...

    async def submit(self, request: SubmitRequest) -> SubmitResult:
        """Check, journal and send; return once the outcome of the checks is durable.

        Raises `UnknownAccount`, `EngineDraining` or `JournalUnavailable`.
        """
        ...

    async def cancel(self, order_id: OrderId, *, by: str) -> OrderView:
        """Ask for the order's cancel and return it, durable. Raises `UnknownOrder`.

        A terminal order is returned as it is. Raises `JournalUnavailable`.
        """
        ...

    async def modify(self, order_id: OrderId, change: TermsChange, *, by: str) -> OrderView:
        """Ask for new terms and return the order, durable, with `pending` replace.

        Raises `UnknownOrder`, `NotModifiable`, `ChangeRefused`, `EngineDraining` or
        `JournalUnavailable`.
        """
        ...

    def external_orders(self, account: AccountId) -> tuple[ExternalOrderView, ...]:
        """Orders at the broker that this engine did not send. Raises `UnknownAccount`."""
        ...

    async def retry_login(self, session: SessionName, *, reason: str, by: str) -> SessionView:
        """Let a locked session try again. Raises `UnknownSession`."""
        ...

    async def history(self, query: HistoryQuery) -> tuple[Bar, ...] | Reason:
        """Bars of the past, from the broker."""
        ...

    async def wait(self, order_id: OrderId, *, terminal: bool, timeout_ms: int) -> OrderView:
        """Return the order once it is acknowledged (or terminal), or as it is at the timeout."""
        ...

    async def halt(self, halt: HaltScope, *, cancel_working: bool) -> int:
        """Restrict the scope, durably; return how many cancels were asked for."""
        ...

    async def resume(self, resume: ResumeScope) -> bool:
        """Lift the scope's halt, durably; False when there was none."""
        ...

    def quotes(self, conids: Sequence[ConId]) -> tuple[tuple[Quote, int], ...]:
        """The known quotes of these contracts, each with its age in milliseconds."""
        ...

    def bars(self, conid: ConId, *, interval_ms: int, limit: int) -> tuple[Bar, ...]:
        """The newest closed bars of a contract, oldest first."""
        ...

    async def subscribe(self, conid: ConId) -> Instrument | Reason:
        """Stream this contract from now on."""
        ...

    def subscriptions(self) -> tuple[ConId, ...]:
        """The contracts that are streamed."""
        ...

    async def unsubscribe(self, conid: ConId) -> bool:
        """Stop streaming; False when it was not streamed."""
        ...

    async def instrument(self, query: ContractQuery) -> AgedInstrument | AmbiguousSymbol | Reason:
        """Look a contract up."""
        ...

    async def contract(self, conid: ConId) -> AgedInstrument | Reason:
        """Look a contract up by its id."""
        ...

    async def wait_settled(self, order_id: OrderId, *, timeout_ms: int) -> OrderView:
        """Return the order once no change is pending, or as it is at the timeout."""
        ...

    async def snapshot(self, conids: Sequence[ConId]) -> tuple[tuple[Quote, int], ...] | Reason:
        """Quotes that are not streamed, read from the broker, with their ages in ms."""
        ...

    def events(self, after_seq: int) -> AsyncIterator[EventView]:
        """Every journal record after `after_seq`, then those to come, without a gap."""
        ...

    def drain(self) -> None:
        """Take no new orders, finish what is under way, then stop."""
        ...
