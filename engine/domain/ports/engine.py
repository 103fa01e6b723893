"""The engine as its clients see it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeAlias

from engine.domain.messages import (
    HaltScope,
    RequestAnswer,
    ResumeScope,
)
from engine.domain.ports.gateway import AgedInstrument, AmbiguousSymbol, ContractQuery, HistoryQuery
from engine.domain.values import (
    AccountId,
    Bar,
    BrokerOrderId,
    ClientOrderId,
    ConId,
    GroupKind,
    Instrument,
    OrderId,
    OrderState,
    Quote,
    Reason,
    Resolution,
    SessionName,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitRequest:
    """A submit as the API read it: a ticket that may still name its contract by symbol.

    `ticket.conid` is 0 and `query` set when the client gave a symbol.
    """

    ticket: Ticket
    query: ContractQuery | None
    request_sha256: str
    group: GroupKind | None = None
    followers: tuple[Ticket, ...] = ()
    """The other orders of the group: the exits of a bracket, or other members. They are
    for the same contract and account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveRequest:
    """What a person declares a parked order to be; see `ResolveOrder`."""

    resolution: Resolution
    reason: str
    approved_by: str | None = None
    broker_order_id: BrokerOrderId | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None


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
    followers: tuple[OrderView, ...] = ()


class EngineDraining(Exception):  # noqa: N818 - says what is so, as the other results do
    """The engine takes no new orders because it is stopping; nothing was journaled."""


class JournalUnavailable(Exception):  # noqa: N818 - as above
    """The journal could not make the request durable; nothing was sent."""


class JournalFull(JournalUnavailable):
    """As above, because its disk is full: what exists goes on, nothing new begins."""


class UnknownAccount(Exception):  # noqa: N818 - as above
    """No session of this engine has that account."""


class UnknownOrder(Exception):  # noqa: N818 - as above
    """No order has that id."""


class UnknownSession(Exception):  # noqa: N818 - as above
    """No session has that name."""


class NotModifiable(Exception):  # noqa: N818 - as above
    """The order is not one that can be changed now; the text says why."""


class NotResolvable(Exception):  # noqa: N818 - as above
    """The order is not in doubt, or what was declared of it cannot be; the text says why."""


class UnknownExternalOrder(Exception):  # noqa: N818 - as above
    """The broker shows no such order of somebody else in that account."""


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

    async def resolve(self, order_id: OrderId, request: ResolveRequest, *, by: str) -> OrderView:
        """Declare what became of an order in doubt; return it, durable.

        Raises `UnknownOrder`, `NotResolvable` or `JournalUnavailable`.
        """
        ...

    async def adopt(
        self, account: AccountId, broker_order_id: BrokerOrderId, *, cancel: bool, by: str
    ) -> OrderView:
        """Make somebody else's order one of ours, and cancel it if wanted; return it, durable.

        Raises `UnknownAccount`, `UnknownExternalOrder` or `JournalUnavailable`.
        """
        ...

    async def story(self, order_id: OrderId) -> tuple[EventView, ...]:
        """Every journal record of an order, oldest first. Raises `UnknownOrder`."""
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
