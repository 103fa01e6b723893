"""What reaches the broker: orders, sessions, feeds, contracts and market data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from engine.domain.messages import (
    CallGateway,
    CancelAtBroker,
    FeedMessage,
    ModifyAtBroker,
    OrderAnswered,
    PlaceAtBroker,
    ReplyAtBroker,
    SendTopic,
    SessionMessage,
)
from engine.domain.values import (
    Bar,
    Coid,
    ConId,
    Instrument,
    ParameterKind,
    Quote,
    Reason,
    Terms,
    Ticket,
)

ANSWER_MS_MAX: Final = 12_000
"""So long after its last byte was written a request is waited for.

The broker gives up on its own backend after ten seconds; its 503 should still be heard.
"""

LATE_ANSWER_MS_MAX: Final = 60_000
"""So long after that an answer to what changes something is still read, and told as late."""


class OrderEncoder(Protocol):
    """Turns a ticket into the bytes that are journaled, and then sent."""

    def encode(self, ticket: Ticket, coid: Coid) -> bytes:
        """Return the request body of this order."""
        ...

    def encode_group(self, orders: Sequence[tuple[Ticket, Coid]]) -> bytes:
        """Return the request body of a whole group, its leader first."""
        ...

    def encode_change(
        self, ticket: Ticket, coid: Coid, terms: Terms, *, leader: Coid | None = None
    ) -> bytes:
        """Return the request body that gives the order these terms: its whole ticket.

        `leader` is the id of the entry when the order is the exit of a bracket.
        """
        ...

    def refusal(self, ticket: Ticket) -> Reason | None:
        """Say why this ticket cannot be written at all, None when it can.

        A future, for instance, needs the operator that the configuration names.
        """
        ...


class OrderGateway(Protocol):
    """Sends what concerns one order. Each call is answered by exactly one `OrderAnswered`.

    Nothing is ever sent twice: library retries are off, and what cannot be told from
    "sent" is answered IN_DOUBT. An answer that comes after its deadline is told once more,
    as `OrderAnswered(late=True)`, for as long as `LATE_ANSWER_MS_MAX`.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgoParameterRule:
    """A parameter that an algorithm takes; `values` are those allowed, empty for any."""

    name: str
    kind: ParameterKind
    required: bool
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgoRule:
    """An algorithm of the broker, by the name that an order gives."""

    name: str
    parameters: tuple[AlgoParameterRule, ...]


class InstrumentGateway(Protocol):
    """Looks contracts up at the broker, and remembers them for a day."""

    async def by_conid(self, conid: ConId) -> Instrument | Reason:
        """Return the contract with its trading rules, or why it could not be had."""
        ...

    async def find(self, query: ContractQuery) -> Instrument | AmbiguousSymbol | Reason:
        """Return the one contract that fits, or why there is not exactly one."""
        ...

    async def algos(self, conid: ConId) -> tuple[AlgoRule, ...] | Reason:
        """Return the broker's algorithms for a contract, or why they could not be had."""
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
